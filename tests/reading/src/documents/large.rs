//! Outputs that are large enough for the default profile to leave something out.

use serde_json::{Value, json};

use super::{Numbers, lines, pages, tables};
use crate::document::{Document, Original};
use crate::question::{Ask, Key, after, before, count, row};

fn log() -> String {
    let mut n = Numbers::new(101);
    lines(260, |at| match at {
        87 => "2026-10-05 02:14:31,118 ERROR shard-5 lost its lease: holder node-17 answered after 4210 ms"
            .to_owned(),
        203 => "2026-10-05 02:33:52,905 FATAL shard-5 stops: 3 of 5 replicas gone, epoch 9917".to_owned(),
        _ => format!(
            "2026-10-05 02:{:02}:{:02},{:03} INFO  shard-{} applied batch {} of {} entries in {} ms",
            at / 7,
            at % 60,
            n.below(1000),
            n.below(8),
            60_000 + at,
            n.below(400),
            n.below(90)
        ),
    })
}

fn jobs() -> String {
    let mut n = Numbers::new(102);
    let rows: Vec<Value> = (0..160)
        .map(|at| json!({"id": 88_000 + at, "name": format!("job-{at}"), "conclusion": if at == 71 || at == 133 { "failure" } else { "success" }, "runner": format!("r-{}", n.below(400)), "started_at": format!("2026-10-05T{:02}:{:02}:{:02}Z", n.below(24), n.below(60), n.below(60)), "url": format!("https://ci.example.com/jobs/{}", n.below(1 << 30)), "minutes": n.below(90)}))
        .collect();
    json!({"total_count": 160, "jobs": rows}).to_string()
}

fn mocha() -> String {
    let mut n = Numbers::new(103);
    let mut text = String::new();
    for suite in 0..24 {
        text += &format!("\n  suite {suite}\n");
        for at in 0..12 {
            if suite == 13 && at == 4 {
                text += "    1) returns the right total\n";
            } else {
                text += &format!(
                    "    ✔ handles the case number {suite}-{at} of {} rows ({}ms)\n",
                    n.below(900),
                    n.below(300)
                );
            }
        }
    }
    text + "\n\n  287 passing (9s)\n  1 failing\n\n  1) suite 13\n       returns the right total:\n\n      AssertionError [ERR_ASSERTION]: Expected values to be strictly equal:\n\n5302 !== 5320\n\n      + expected - actual\n\n      -5302\n      +5320\n\n      at Context.<anonymous> (test/total.spec.js:64:14)\n      at process.processImmediate (node:internal/timers:483:21)\n\n"
}

fn search() -> String {
    let mut n = Numbers::new(104);
    lines(600, |at| {
        format!(
            "lib/area_{}/file_{}.rb:{}:  register :{}_{at}, size: {}",
            at / 100,
            at / 50,
            10 + at % 50 * 17,
            n.pick(&["hook", "filter", "route"]),
            n.below(5000)
        )
    })
}

fn paths() -> String {
    let mut n = Numbers::new(105);
    lines(900, |at| {
        format!(
            "./vendor/pkg_{}/src/{}_{at}.{}",
            at / 30,
            n.pick(&["core", "util", "view"]),
            n.pick(&["js", "ts", "map"])
        )
    })
}

fn prose() -> String {
    let mut n = Numbers::new(106);
    lines(30, |at| {
        format!(
            "# Chapter {at}\n\nThe team met in room {} and talked about the plan. Nobody had asked for it before, and it took a long time until all had seen what it meant for the year. The harbour had been closed for most of the winter, and the boats that came later found no place. Those who lived there had seen such years before and said little about them. In the end {} votes were for it.\n\nLater that week the plan was changed once more, since the money had not come in time. The harbour office wrote that {} boxes were waiting, and that each day would cost more than the one before. The letters were kept in the office, where everybody could read them who asked. Some did, and wrote down what they had found in them. Others waited for the next meeting.\n",
            n.below(400),
            n.below(90),
            n.below(10_000)
        )
    })
}

fn diff() -> String {
    let mut n = Numbers::new(107);
    (0..40)
        .map(|file| {
            let body: String = (0..14).map(|at| match at % 4 { 0 => format!("+    add_{file}_{at}({});\n", n.below(10_000)), 1 => format!("-    del_{file}_{at}({});\n", n.below(10_000)), _ => format!("     keep_{at}();\n") }).collect();
            format!("diff --git a/src/m{file}.js b/src/m{file}.js\nindex {:07x}..{:07x} 100644\n--- a/src/m{file}.js\n+++ b/src/m{file}.js\n@@ -{},10 +{},10 @@\n{body}", n.below(1 << 28), n.below(1 << 28), 5 + file, 5 + file)
        })
        .collect()
}

pub(super) fn all() -> Vec<Document> {
    vec![
        Document::of_command("large-log", "large", "cat shard.log", log())
            .ask("Which node held the lease that shard-5 lost?", after(&["lost its lease"], "holder ", " "))
            .ask("Which epoch did shard-5 stop in?", after(&["FATAL"], "epoch ", " "))
            .ask("How many entries had batch 60140?", after(&["batch 60140 "], "of ", " "))
            .ask(
                "How many lines does the output have, as the tool printed it?",
                Ask::by(|text| Ok(Key::Text(text.lines().count().to_string()))).derived(),
            )
            .ask_for_line(151),
        Document::new("large-jobs", "large", Original::of_outputs([("list_jobs", "{\"run\":4}", jobs())]))
            .ask(
                "Which jobs failed (names)?",
                Ask::by(|text| {
                    let value: Value = serde_json::from_str(text)?;
                    let rows = value["jobs"].as_array().into_iter().flatten();
                    Ok(Key::Set(
                        rows.filter(|row| row["conclusion"] == "failure")
                            .filter_map(|row| row["name"].as_str())
                            .map(str::to_owned)
                            .collect(),
                    ))
                }),
            )
            .ask("On which runner did job-133 run?", row("/jobs", ("name", "job-133"), "/runner"))
            .ask("How many minutes did job-95 take?", row("/jobs", ("name", "job-95"), "/minutes"))
            .ask("How many jobs are there in all?", crate::question::value("/total_count")),
        Document::of_command("large-test", "large", "npm test", mocha())
            .ask(
                "Which value did the failing test get (actual)?",
                Ask::by(|text| {
                    Ok(Key::Text(
                        text.lines()
                            .find_map(|line| line.split_once(" !== "))
                            .map(|(left, _)| left.to_owned())
                            .unwrap_or_default(),
                    ))
                }),
            )
            .ask(
                "In which file, line and column did it fail? Answer PATH:LINE:COLUMN.",
                after(&["at Context"], "(", ")"),
            )
            .ask("How many tests passed?", before(&[" passing"], " passing"))
            .ask(
                "In how many ms was case 8-7 done (the number)?",
                Ask::by(|text| {
                    Ok(Key::Text(
                        text.lines()
                            .find(|line| line.contains("number 8-7 "))
                            .and_then(|line| line.split('(').nth(1))
                            .map(|rest| rest.trim_end_matches("ms)").to_owned())
                            .unwrap_or_default(),
                    ))
                }),
            )
            .ask_for_line(120),
        Document::of_command("large-csv", "large", "cat orders.csv", tables::orders(420, 108))
            .ask("Which amount has order 5217?", tables::csv_cell("5217,", 3))
            .ask("Which state has order 5003?", tables::csv_cell("5003,", 2))
            .ask(
                "Which number has the last order?",
                Ask::by(|text| {
                    Ok(Key::Text(
                        text.lines()
                            .last()
                            .and_then(|line| line.split(',').next())
                            .unwrap_or_default()
                            .to_owned(),
                    ))
                }),
            )
            .ask(
                "How many orders (rows without the header) are there?",
                Ask::by(|text| Ok(Key::Text((text.lines().count() - 1).to_string()))).derived(),
            )
            .ask_for_line(222),
        Document::of_command("large-search", "large", "grep -rn register lib", search())
            .ask("In which file does the entry …_217 stand? Answer the path.", before(&["_217,"], ":"))
            .ask("Which size has the entry …_42?", after(&["_42,"], "size: ", " "))
            .ask("How many hits are there in all?", count(&["register"]))
            .ask_for_line(180),
        Document::of_command("large-paths", "large", "find ./vendor -type f", paths())
            .ask("How many files are listed?", count(&["./vendor/"]))
            .ask(
                "In which package (pkg_…) is the file with number 415?",
                Ask::by(|text| {
                    Ok(Key::Text(
                        text.lines()
                            .find(|line| line.contains("_415."))
                            .and_then(|line| line.split('/').nth(2))
                            .unwrap_or_default()
                            .to_owned(),
                    ))
                }),
            )
            .ask("What is the whole path of the file with number 730?", crate::question::field(&["_730."], 0))
            .ask_for_line(500),
        Document::new(
            "large-prose",
            "large",
            Original::of_outputs([("WebFetch", "{\"url\":\"https://example.com/minutes\"}", prose())]),
        )
        .ask(
            "How many votes were for the plan in chapter 12?",
            Ask::by(|text| chapter(text, 12, "In the end ")),
        )
        .ask("In which room did the team meet in chapter 21?", Ask::by(|text| chapter(text, 21, "in room ")))
        .ask("How many boxes were waiting in chapter 5?", Ask::by(|text| chapter(text, 5, "wrote that "))),
        Document::new(
            "large-html",
            "large",
            Original::of_outputs([(
                "WebFetch",
                "{\"url\":\"https://shop.example.com/all\"}",
                pages::html(130),
            )]),
        )
        .ask("What does item 94 cost?", after(&["<td>item 94</td>"], "item 94</td><td>", "<"))
        .ask("Which price of item 3 holds now (the new one)?", after(&["<ins>"], "<ins>", "<"))
        .ask("Where does the link of item 61 lead (path)?", after(&["<td>item 61</td>"], "href=\"", "\""))
        .ask("What is the value of the field mail in the form?", after(&["name=\"mail\""], "value=\"", "\"")),
        Document::of_command("large-diff", "large", "git diff main", diff())
            .ask("Which number is given to add_17_8?", after(&["add_17_8("], "(", ")"))
            .ask("Which number was given to del_30_1?", after(&["del_30_1("], "(", ")"))
            .ask("How many files are changed?", count(&["diff --git"])),
    ]
}

fn chapter(text: &str, number: u64, mark: &str) -> anyhow::Result<Key> {
    let chapter = text.split("# Chapter ").find(|chapter| chapter.starts_with(&format!("{number}\n")));
    let word =
        chapter.and_then(|chapter| chapter.split(mark).nth(1)).and_then(|rest| rest.split([' ', '.']).next());
    Ok(Key::Text(word.ok_or_else(|| anyhow::anyhow!("no chapter {number}"))?.to_owned()))
}
