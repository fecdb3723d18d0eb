//! Code with line numbers, diffs, and git's output about changes.

use super::{Numbers, lines};
use crate::document::{Document, Original};
use crate::question::{Ask, Key, after, before, count, field, line_after, line_number, whether};

fn code(first: u64, count: u64, seed: u64, number: impl Fn(u64) -> String) -> String {
    let mut n = Numbers::new(seed);
    lines(count, |at| {
        let code = match at % 12 {
            0 => format!("def step_{at}(self, rows):"),
            11 => String::new(),
            5 => format!("    limit = {}", n.below(10_000)),
            at => format!(
                "    {} = self.{}(rows[{}], {})",
                n.pick(&["left", "right", "total"]),
                n.pick(&["load", "merge", "scale"]),
                n.below(90),
                at * 3
            ),
        };
        format!("{}{code}", number(first + at))
    })
}

fn diff() -> String {
    let mut n = Numbers::new(62);
    (0..7)
        .map(|file| {
            let old = 10 + n.below(300);
            format!(
                "diff --git a/src/unit_{file}.c b/src/unit_{file}.c\nindex {:07x}..{:07x} 100644\n--- a/src/unit_{file}.c\n+++ b/src/unit_{file}.c\n@@ -{old},7 +{old},8 @@ int unit_{file}(void)\n \n     int a = {};\n     int b = {};\n-    int size_{file} = {};\n+    int size_{file} = {};\n+    int spare_{file} = {};\n     if (a > b)\n         return {};\n     return a;\n",
                n.below(1 << 28), n.below(1 << 28), n.below(90), n.below(90), n.below(5000), n.below(5000), n.below(5000), n.below(9)
            )
        })
        .collect()
}

fn git_log() -> String {
    let mut n = Numbers::new(63);
    (0..16)
        .map(|at| {
            let author = if at % 7 == 3 { "Bo Berg <bo@example.com>" } else { "Ann Example <ann@example.com>" };
            format!(
                "commit {:08x}{:08x}{:08x}{:08x}{:08x}\nAuthor: {author}\nDate:   Sun Oct {} {:02}:{:02}:{:02} 2026 +0200\n\n    part {}: change number {at}\n    \n    Closes #{}.\n\n",
                n.below(1 << 32), n.below(1 << 32), n.below(1 << 32), n.below(1 << 32), n.below(1 << 32), 4 + n.below(20), n.below(24), n.below(60), n.below(60), n.below(40), n.below(3000)
            )
        })
        .collect::<String>()
        .replace("    \n", "\n")
        .trim_end()
        .to_owned()
        + "\n"
}

fn blame() -> String {
    let mut n = Numbers::new(64);
    let commits = [
        "3b1f6c21 (Ann Example 2026-03-01 15:48:30 +0000",
        "9ad04e77 (Bo Berg     2026-07-19 09:02:11 +0000",
        "^c0ffee1 (Ann Example 2024-01-30 18:00:05 +0000",
    ];
    lines(40, |at| {
        let commit = commits.get(usize::try_from(at / 6 % 3).unwrap_or(0)).copied().unwrap_or_default();
        format!("{commit} {:>3}) value_{at} = {}", 81 + at, n.below(100_000))
    })
}

pub(super) fn all() -> Vec<Document> {
    let arrow = code(101, 72, 61, |at| format!("{at:>6}→"));
    let tab = code(1, 60, 65, |at| format!("{at:>6}\t"));
    let stat = lines(24, |at| {
        let mut n = Numbers::new(660 + at);
        format!(
            " src/area_{}/file_{at}.ts | {:>3} {}",
            at % 4,
            n.below(200),
            "+".repeat(usize::try_from(1 + n.below(20)).unwrap_or(1))
        )
    }) + " 24 files changed, 1411 insertions(+), 3 deletions(-)\n";
    vec![
        Document::new(
            "code-arrows",
            "code",
            Original::of_outputs([(
                "Read",
                "{\"file_path\":\"/srv/app/steps.py\",\"offset\":101,\"limit\":72}",
                arrow,
            )]),
        )
        .ask("On which line of the file is step_36 defined?", before(&["def step_36("], "→"))
        .ask(
            "Which limit does step_24 have?",
            Ask::by(|text| {
                let from = text.find("def step_24(").unwrap_or(0);
                let rest = text.get(from..).unwrap_or_default();
                Ok(Key::Text(
                    rest.split("limit = ")
                        .nth(1)
                        .and_then(|rest| rest.lines().next())
                        .unwrap_or_default()
                        .to_owned(),
                ))
            }),
        )
        .ask("What stands on line 149 of the file, without the indentation?", after(&["   149→"], "→", ""))
        .ask("What stands on line 163 of the file, without the indentation?", after(&["   163→"], "→", ""))
        .ask(
            "What is the number of the last line that is shown?",
            Ask::by(|text| {
                Ok(Key::Text(
                    text.lines()
                        .last()
                        .and_then(|line| line.split('→').next())
                        .unwrap_or_default()
                        .trim()
                        .to_owned(),
                ))
            }),
        )
        .ask("How many functions are defined?", count(&["def "])),
        Document::of_command("code-cat", "code", "cat -n steps.py", tab)
            .ask("On which line is step_48 defined?", field(&["def step_48("], 0))
            .ask("What stands on line 27, without the indentation?", after(&["    27\t"], "\t", ""))
            .ask("What stands on line 53, without the indentation?", after(&["    53\t"], "\t", ""))
            .ask(
                "On which lines is a limit set (numbers)?",
                Ask::by(|text| {
                    Ok(Key::Set(
                        text.lines()
                            .filter(|line| line.contains("limit = "))
                            .filter_map(|line| line.split_whitespace().next())
                            .map(str::to_owned)
                            .collect(),
                    ))
                }),
            )
            .ask(
                "Is line 24 empty but for its number? (yes or no)",
                Ask::by(|text| {
                    Ok(Key::Text(
                        if text.lines().any(|line| line == "    24\t") { "yes" } else { "no" }.to_owned(),
                    ))
                })
                .derived(),
            ),
        Document::of_command("diff-files", "diff", "git diff", diff())
            .ask("Which value does size_4 have after the change?", after(&["+    int size_4 "], "= ", ";"))
            .ask("Which value did size_2 have before the change?", after(&["-    int size_2 "], "= ", ";"))
            .ask("Which value does spare_5 get?", after(&["spare_5 "], "= ", ";"))
            .ask(
                "At which line of the old file does the hunk in src/unit_3.c begin?",
                after(&["int unit_3(void)"], "@@ -", ","),
            )
            .ask("How many files are changed?", count(&["diff --git"]))
            .ask(
                "How many lines are added in all?",
                Ask::by(|text| {
                    Ok(Key::Text(
                        text.lines()
                            .filter(|line| line.starts_with('+') && !line.starts_with("+++"))
                            .count()
                            .to_string(),
                    ))
                })
                .derived(),
            ),
        Document::of_command("diff-stat", "diff", "git diff --stat", stat)
            .ask("How many lines changed in file_13.ts?", field(&["file_13.ts"], 2))
            .ask(
                "In which folder is file_18.ts? Answer the whole path of the file.",
                field(&["file_18.ts"], 0),
            )
            .ask("How many insertions are there in all?", after(&["files changed"], "changed, ", " "))
            .ask("How many lines changed in file_7.ts?", field(&["file_7.ts"], 2)),
        Document::of_command("git-log", "history", "git log -16", git_log())
            .ask(
                "What is the whole name (hash) of the commit of change number 9?",
                Ask::by(|text| commit(text, 9, |entry| entry.split_whitespace().next().map(str::to_owned))),
            )
            .ask(
                "Who wrote change number 10 (the name, without address)?",
                Ask::by(|text| {
                    commit(text, 10, |entry| {
                        Some(entry.split("Author: ").nth(1)?.split(" <").next()?.to_owned())
                    })
                }),
            )
            .ask(
                "At what time of day (HH:MM:SS) was change number 4 made?",
                Ask::by(|text| {
                    commit(text, 4, |entry| {
                        entry.split("Date:").nth(1)?.split_whitespace().nth(3).map(str::to_owned)
                    })
                }),
            )
            .ask(
                "Which issue does change number 12 close (number without #)?",
                Ask::by(|text| {
                    commit(text, 12, |entry| {
                        Some(entry.split("Closes #").nth(1)?.split('.').next()?.to_owned())
                    })
                }),
            )
            .ask(
                "Who wrote change number 2 (the name, without address)?",
                Ask::by(|text| {
                    commit(text, 2, |entry| {
                        Some(entry.split("Author: ").nth(1)?.split(" <").next()?.to_owned())
                    })
                }),
            )
            .ask("How many commits are by Bo Berg?", count(&["Author: Bo Berg"])),
        Document::of_command("git-blame", "history", "git blame -L 81,120 values.py", blame())
            .ask("Which commit (as printed) set line 93?", field(&[" 93) "], 0))
            .ask(
                "Who last changed line 89 (the name)?",
                Ask::by(|text| {
                    Ok(Key::Text(
                        text.lines()
                            .find(|line| line.contains(" 89) "))
                            .and_then(|line| {
                                Some(
                                    line.split('(')
                                        .nth(1)?
                                        .split("  2")
                                        .next()?
                                        .split(" 20")
                                        .next()?
                                        .trim()
                                        .to_owned(),
                                )
                            })
                            .unwrap_or_default(),
                    ))
                }),
            )
            .ask("Which value has value_31?", after(&["value_31 "], "= ", " "))
            .ask(
                "On which day (as printed) was line 101 last changed?",
                Ask::by(|text| {
                    Ok(Key::Text(
                        text.lines()
                            .find(|line| line.contains(" 101) "))
                            .and_then(|line| line.split_whitespace().find(|word| word.starts_with("20")))
                            .unwrap_or_default()
                            .to_owned(),
                    ))
                }),
            )
            .ask("Is any line by Cy Cole? (yes or no)", whether(&["Cy Cole"]))
            .ask(
                "Which code follows value_17 on the next line? Answer the code without its number.",
                Ask::by(|text| {
                    match line_after(&["value_17 "], 1).key(&Original::of_outputs([(
                        "Bash",
                        "{}",
                        text.to_owned(),
                    )]))? {
                        Key::Text(line) => {
                            Ok(Key::Text(line.split(") ").nth(1).unwrap_or_default().to_owned()))
                        }
                        other => Ok(other),
                    }
                }),
            )
            .ask("Which line of the output (from 1) has value_22?", line_number(&["value_22 "])),
    ]
}

/// Something of the only commit with this change.
fn commit(text: &str, change: u64, of: impl Fn(&str) -> Option<String>) -> anyhow::Result<Key> {
    let mark = format!("change number {change}\n");
    let mut found = text.split("commit ").filter(|entry| entry.contains(&mark));
    let (Some(entry), None) = (found.next(), found.next()) else {
        anyhow::bail!("not one commit with {mark}")
    };
    Ok(Key::Text(of(entry).ok_or_else(|| anyhow::anyhow!("the commit lacks it"))?))
}
