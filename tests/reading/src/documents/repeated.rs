//! Several outputs; later ones repeat earlier ones.

use super::{Numbers, lines};
use crate::document::{Document, Original};
use crate::question::{Ask, Key, after, count, inside, line_number};

fn source(seed: u64, change: bool) -> String {
    let mut n = Numbers::new(seed);
    lines(60, |at| {
        let value = n.below(100_000);
        let value = if change && at == 31 { 777_123 } else { value };
        format!("export const setting_{at} = {value}; // {}", n.pick(&["ms", "rows", "bytes", "percent"]))
    })
}

fn text(at: usize, number: usize) -> Ask {
    Ask::by(move |text| Ok(Key::Text(text.lines().nth(number - 1).unwrap_or_default().trim().to_owned())))
        .of_output(at)
}

pub(super) fn all() -> Vec<Document> {
    let read = "{\"file_path\":\"/srv/web/settings.ts\"}";
    let (before, after_edit) = (source(91, false), source(91, true));
    let mut n = Numbers::new(92);
    let build = lines(50, |at| {
        format!("step {at:>2}: linked object {:06x} of {} symbols", n.below(1 << 24), n.below(900))
    });
    let again = build.replace("step 18: ", "step 18: relinked, ").replace("step 44: ", "step 44: relinked, ")
        + "done in 8.25 s\n";
    let grep: String = before
        .lines()
        .enumerate()
        .filter(|(at, _)| at % 3 == 0)
        .map(|(at, line)| format!("{}:{line}\n", at + 1))
        .collect();
    let part: String = before.lines().skip(19).take(25).map(|line| format!("{line}\n")).collect();
    let wrapped = |text: &str, code: u8| serde_json::json!({"stdout": text, "exitCode": code}).to_string();
    let (first, second) = (wrapped(&build, 0), wrapped(&again, 3));
    vec![
        Document::new(
            "again-edited",
            "repeated",
            Original::of_outputs([("Read", read, before.clone()), ("Read", read, after_edit)]),
        )
        .ask("Which value has setting_31 in output 2?", after(&["setting_31 "], "= ", ";").of_output(1))
        .ask("Which value has setting_12 in output 2?", after(&["setting_12 "], "= ", ";").of_output(1))
        .ask("What stands on line 47 of output 2?", text(1, 47))
        .ask("Which value had setting_31 in output 1?", after(&["setting_31 "], "= ", ";"))
        .ask(
            "How many lines does output 2 have, as the tool printed it?",
            Ask::by(|text| Ok(Key::Text(text.lines().count().to_string()))).of_output(1).derived(),
        ),
        Document::new(
            "again-whole",
            "repeated",
            Original::of_outputs([
                ("Read", read, before.clone()),
                ("Bash", "{\"command\":\"echo ok\"}", "ok\n".to_owned()),
                ("Read", read, before.clone()),
            ]),
        )
        .ask("Which value has setting_20 in output 3?", after(&["setting_20 "], "= ", ";").of_output(2))
        .ask("What stands on line 33 of output 3?", text(2, 33))
        .ask("What does output 2 say?", text(1, 1))
        .ask("How many lines of output 3 end in bytes?", count(&["// bytes"]).of_output(2)),
        Document::new(
            "again-part",
            "repeated",
            Original::of_outputs([
                ("Read", read, before.clone()),
                ("Bash", "{\"command\":\"sed -n 20,44p settings.ts\"}", part),
            ]),
        )
        .ask("What stands on line 1 of output 2?", text(1, 1))
        .ask("What stands on line 25 of output 2?", text(1, 25))
        .ask(
            "Which value has setting_30, as output 2 prints it?",
            after(&["setting_30 "], "= ", ";").of_output(1),
        )
        .ask("On which line of output 2 does setting_27 stand?", line_number(&["setting_27 "]).of_output(1)),
        Document::new(
            "again-search",
            "repeated",
            Original::of_outputs([
                ("Read", read, before),
                ("Bash", "{\"command\":\"grep -n setting settings.ts | awk 'NR%3==1'\"}", grep),
            ]),
        )
        .ask("Which value has setting_33 in output 2?", after(&["setting_33 "], "= ", ";").of_output(1))
        .ask(
            "Which line number does output 2 give for setting_45?",
            Ask::by(|text| {
                Ok(Key::Text(
                    text.lines()
                        .find(|line| line.contains("setting_45 "))
                        .and_then(|line| line.split(':').next())
                        .unwrap_or_default()
                        .to_owned(),
                ))
            })
            .of_output(1),
        )
        .ask(
            "How many lines does output 2 have, as the tool printed it?",
            Ask::by(|text| Ok(Key::Text(text.lines().count().to_string()))).of_output(1).derived(),
        ),
        Document::new(
            "again-build",
            "repeated",
            Original::of_outputs([
                ("Bash", "{\"command\":\"make\"}", build),
                ("Bash", "{\"command\":\"make again\"}", again),
            ]),
        )
        .ask(
            "Which steps were relinked in output 2 (numbers)?",
            crate::question::all(&["relinked"], |line| {
                Some(line.split("step ").nth(1)?.split(':').next()?.trim().to_owned())
            })
            .of_output(1),
        )
        .ask("How many symbols has step 27 in output 2?", after(&["step 27:"], " of ", " ").of_output(1))
        .ask(
            "Which object was linked in step 18 of output 2?",
            after(&["step 18:"], "object ", " ").of_output(1),
        )
        .ask(
            "How long did the second run take in seconds?",
            after(&["done in"], "done in ", " ").of_output(1),
        ),
        Document::new(
            "again-values",
            "repeated",
            Original::of_outputs([("run", "{\"n\":1}", first), ("run", "{\"n\":2}", second)]),
        )
        .ask("What is the exit code of output 2?", crate::question::value("/exitCode").of_output(1))
        .ask(
            "How many symbols has step 35 in output 2?",
            inside("/stdout", after(&["step 35:"], " of ", " ")).of_output(1),
        )
        .ask(
            "Which object was linked in step 44 of output 2?",
            inside("/stdout", after(&["step 44:"], "object ", " ")).of_output(1),
        )
        .ask(
            "Which object was linked in step 9 of output 2?",
            inside("/stdout", after(&["step  9:"], "object ", " ")).of_output(1),
        ),
    ]
}
