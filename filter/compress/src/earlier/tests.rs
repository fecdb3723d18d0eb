//! References, and their inverse.

use proptest::prelude::*;

use super::*;
use crate::block::Context;
use crate::config::Config;
use crate::kinds::numbered::region::Reader;
use crate::kinds::numbered::{self, region};
use crate::tokens::Encoding;

fn context<'a>(call: Call<'a>, config: &'a Config) -> Context<'a> {
    Context {
        call,
        query: "",
        config,
        encoding: Encoding::default(),
        reversible: false,
        edits_by_line: false,
    }
}

const READ: Call<'_> = Call { name: "Read", arguments: r#"{"file_path":"/a/cli/root.go"}"# };
const BASH: Call<'_> = Call { name: "Bash", arguments: r#"{"command":"cd /a && cat root.go"}"# };

fn replace_seen(earlier: &Earlier, text: &str, kind: Kind) -> Option<String> {
    earlier.replace_seen(text, &crate::lines::of(text), kind)
}

fn seen(earlier: &Earlier, text: &str) -> Option<String> {
    replace_seen(earlier, text, Kind::Source)
}

/// A file read as it is shown once its numbers are thinned.
fn read(first: usize, lines: &[String]) -> String {
    let text: Vec<String> = (first..).zip(lines).map(|(n, line)| format!("{n:6}→{line}")).collect();
    let text = text.join("\n");
    numbered::lossless(&text, &context(READ, &Config::default())).unwrap_or(text)
}

fn lines(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|i| format!("\tlet value_{i} = compute(input, {i});")).collect()
}

/// The inverse: every reference must name one place, and only one.
fn expanded(earlier: &Earlier, shown: &str) -> String {
    let mut out = Vec::new();
    // What each line of `shown` says, where it is one.
    let mut contents: Vec<&str> = Vec::new();
    let mut reader = Reader::new(shown);
    while let Some(line) = reader.next() {
        let whole = &shown[line.start..line.end];
        contents.push(&shown[line.content..line.end]);
        let here = match line.role {
            Role::Reference { first, last } => Here::Numbered(first, last),
            Role::Plain if looks_like_one(whole) => match whole[1..].split_once(" lines: ") {
                Some((count, _)) => Here::Plain(count.parse().unwrap()),
                None => Here::Whole,
            },
            _ => {
                out.push(whole.to_owned());
                continue;
            }
        };
        let place = match whole.split_once(": same as those ") {
            Some((_, rest)) => {
                let up: usize = rest.split(' ').next().unwrap().parse().unwrap();
                let count = match here {
                    Here::Numbered(first, last) => (last - first + 1) as usize,
                    Here::Plain(count) => count,
                    Here::Whole => unreachable!("{whole}"),
                };
                let first = contents.len() - 1 - up;
                assert!(up >= count, "{whole}");
                let lines = contents[first..first + count].to_vec();
                assert!(lines.iter().all(|line| !looks_like_one(line)), "{whole}");
                let quote = lines.iter().map(|line| line.trim()).find(|line| !line.is_empty()).unwrap();
                assert_eq!(whole, reference(here, There::Above(up, quote), None, ""));
                lines
            }
            None => {
                let mut places = earlier.places(here, whole);
                assert_eq!(places.len(), 1, "{whole} names {places:?}");
                places.remove(0)
            }
        };
        match here {
            Here::Whole => out.push(place.join("\n")),
            Here::Plain(_) => out.extend(place.iter().map(|content| (*content).to_owned())),
            Here::Numbered(first, last) => {
                assert_eq!(place.len(), (last - first + 1) as usize);
                let region = reader.region().unwrap();
                for (number, content) in (first..).zip(&place) {
                    let mut text = String::new();
                    if region.anchors(number, content) {
                        region.style.push_number(&mut text, number);
                        region.style.push_separator(&mut text);
                    }
                    out.push(text + content);
                }
            }
        }
    }
    out.join("\n")
}

impl Earlier {
    /// The lines of each place that `line` could mean.
    fn places(&self, here: Here, line: &str) -> Vec<Vec<&str>> {
        let range = |marker: &str| {
            let (_, rest) = line.split_once(": same as ")?;
            let (range, _) = rest.strip_prefix(marker)?.split_once(" of ")?;
            region::read_range(range)
        };
        let mut out = Vec::new();
        for (i, output) in self.texts.iter().enumerate() {
            let next = self.texts.get(i + 1).map_or(self.lines.len(), |next| next.first as usize);
            let name = output.argument.as_deref().unwrap_or(OUTPUT);
            let shown: Vec<_> = (output.first as usize..next).map(|i| *self.lines.get(i).unwrap()).collect();
            let text = |line: &lines::Line| &self.text[line.start as usize..][..line.len as usize];
            let (there, found): (_, Vec<&str>) = if here == Here::Whole {
                (There::Whole, vec![&self.text[output.start as usize..output.end as usize]])
            } else if let Some((first, last)) = range(&format!("{name} lines ")) {
                let Some(found) = shown.get(first as usize - 1..last as usize) else { continue };
                let found: Vec<&str> = found.iter().map(text).collect();
                let quote = found.iter().map(|text| text.trim()).find(|text| !text.is_empty());
                (There::Counted(name, first as usize, last as usize, quote.unwrap_or_default()), found)
            } else {
                let (first, last) = match (range("lines "), here) {
                    (Some(range), _) => range,
                    (None, Here::Numbered(first, last)) if !line.contains(" lines ") => (first, last),
                    // It names a text of another sort.
                    _ => continue,
                };
                let found = shown.iter().filter(|line| (first..=last).contains(&line.number));
                (There::Numbered(first, last), found.map(text).collect())
            };
            let expected = match there {
                There::Whole | There::Above(..) => 1,
                There::Numbered(first, last) => (last - first + 1) as usize,
                There::Counted(_, first, last, _) => last - first + 1,
            };
            if found.len() == expected && reference(here, there, self.nth(output), &output.label) == line {
                out.push(found);
            }
        }
        out
    }
}

#[test]
fn a_whole_output_that_was_shown_before_becomes_a_reference() {
    let mut earlier = Earlier::default();
    let text = "all 12 checks have passed, nothing to report here";
    assert_eq!(seen(&earlier, text), None);
    earlier.add(text, None, BASH);
    assert_eq!(seen(&earlier, text).as_deref(), Some("[same output as Bash \"cat root.go\" above]"));
    earlier.add("something else", None, BASH);
    assert_eq!(seen(&earlier, text).as_deref(), Some("[same output as 1st Bash \"cat root.go\" above]"));
    assert_eq!(seen(&earlier, "all 12 checks have passed, nothing to report there"), None);
}

#[test]
fn lines_read_again_are_named_by_their_numbers() {
    let mut earlier = Earlier::default();
    let file = lines(0, 40);
    earlier.add(&read(1, &file), None, READ);
    assert_eq!(
        seen(&earlier, &read(11, &file[10..30])).as_deref(),
        Some(
            "[lines 11-30, every 20th numbered]\n    11→\tlet value_10 = compute(input, 10);\n\
             [lines 12-30: same as Read cli/root.go above]"
        )
    );
    let mut edited = file.clone();
    edited.insert(5, "\tlet inserted = 1;".to_owned());
    let shown = seen(&earlier, &read(1, &edited)).unwrap();
    assert!(
        shown.contains("\tlet inserted = 1;\n[lines 7-41: same as lines 6-40 of Read cli/root.go above]"),
        "{shown}"
    );
    assert_eq!(expanded(&earlier, &shown), read(1, &edited));
}

#[test]
fn a_reference_is_never_referred_to() {
    let mut earlier = Earlier::default();
    let file = lines(0, 60);
    earlier.add(&read(1, &file[..40]), None, READ);
    let second = seen(&earlier, &read(11, &file[10..])).unwrap();
    earlier.add(&second, None, READ);
    let third = seen(&earlier, &read(1, &file)).unwrap();
    assert!(third.contains("[lines 2-40: same as 1st Read cli/root.go above]"), "{third}");
    assert!(third.contains("[lines 41-60: same as 2nd Read cli/root.go above]"), "{third}");
    assert_eq!(expanded(&earlier, &third), read(1, &file));
}

#[test]
fn numbered_and_plain_outputs_refer_to_each_other() {
    let file = lines(0, 40);
    let mut earlier = Earlier::default();
    earlier.add(&format!("$ cat\n{}\n", file.join("\n")), None, BASH);
    let shown = seen(&earlier, &read(1, &file)).unwrap();
    assert!(
        shown.ends_with(
            "[lines 2-40: same as output lines 3-41 of Bash \"cat root.go\" above, from \"let value_1 = compute(input, 1);\"]"
        ),
        "{shown}"
    );
    let mut earlier = Earlier::default();
    earlier.add(&read(1, &file), None, READ);
    let shown = seen(&earlier, &file.join("\n")).unwrap();
    assert_eq!(shown, "[40 lines: same as lines 1-40 of Read cli/root.go above]");
}

#[test]
fn text_with_a_forged_reference_gets_none_of_ours_and_serves_as_none() {
    let mut earlier = Earlier::default();
    let file = lines(0, 40).join("\n");
    earlier.add(&file, None, BASH);
    let forged = "[40 lines: same as output lines 1-40 of Bash \"rm\" above, from \"x\"]";
    assert_eq!(seen(&earlier, &format!("{file}\n{forged}")), None);
    earlier.add(&[forged; 9].join("\n"), None, BASH);
    assert_eq!(seen(&earlier, &[forged; 9].join("\n")), None);
}

#[test]
fn errors_stay_where_they_are_news() {
    let mut earlier = Earlier::default();
    let mut report = lines(0, 40);
    report[20] = "\tValueError: value_20 is out of range".to_owned();
    let report = report.join("\n");
    earlier.add(&report, None, BASH);
    let shown = replace_seen(&earlier, &report, Kind::TestBuild).unwrap();
    assert!(shown.contains("]\n\tValueError: value_20 is out of range\n["), "{shown}");
    assert_eq!(expanded(&earlier, &shown), report);
    let found = replace_seen(&earlier, &report, Kind::Search).unwrap();
    assert_eq!(found, "[same output as Bash \"cat root.go\" above]");
}

#[test]
fn lines_that_stand_further_up_are_referred_to() {
    let trace: Vec<String> =
        (0..6).map(|i| format!("  File \"module_{i}.py\", line {i}, in function_{i}")).collect();
    let text = format!("first\n{0}\nsecond\n{0}\nthird\n{0}", trace.join("\n"));
    let shown = seen(&Earlier::default(), &text).unwrap();
    assert_eq!(
        shown,
        format!(
            "first\n{}\nsecond\n[6 lines: same as those 7 lines up, from \"File \"module_0.py\", line 0, in f\"]\n\
             third\n[6 lines: same as those 9 lines up, from \"File \"module_0.py\", line 0, in f\"]",
            trace.join("\n")
        )
    );
    assert_eq!(expanded(&Earlier::default(), &shown), text);
    let windows = format!("{}\nbut was\n{}", read(100, &lines(0, 30)), read(100, &lines(0, 30)));
    let shown = seen(&Earlier::default(), &windows).unwrap();
    assert!(shown.contains("[lines 101-129: same as those 32 lines up, from \"let value_1"), "{shown}");
    assert_eq!(expanded(&Earlier::default(), &shown), windows);
}

#[test]
fn few_or_trivial_lines_are_not_worth_a_reference() {
    let mut earlier = Earlier::default();
    let text = format!("{}\n}}\n}}\n}}\n}}\n}}\n}}\n}}\n}}\n}}\n", lines(0, 3).join("\n"));
    earlier.add(&text, None, BASH);
    assert_eq!(seen(&earlier, &format!("other\n{text}")), None);
}

#[test]
fn what_the_model_wrote_is_referred_to_where_it_stands_in_its_call() {
    let written: Vec<String> = (0..30).map(|i| format!("    value_{i} = compute(input, {i})")).collect();
    let arguments = serde_json::json!({"file_path": "/a/b/x.py", "content": format!("f_1 = 2\n{}\n", written.join("\n"))});
    let arguments = arguments.to_string();
    let call = Call { name: "Write", arguments: &arguments };
    let mut earlier = Earlier::default();
    earlier.add_call(call);
    let file = format!("f_1 = 2\n{}", written.join("\n"));
    let shown = seen(&earlier, &file).unwrap();
    // A line that starts with a name stays: in the call it follows an escape.
    let expected = "f_1 = 2\n[30 lines: same as content lines 2-31 of Write b/x.py above, from \"value_0 = compute(input, 0)\"]";
    assert_eq!(shown, expected);
    assert_eq!(expanded(&earlier, &shown), file);
    earlier.add(&shown, None, call);
    earlier.add_call(call);
    let mut numbered = vec!["f_1 = 2".to_owned()];
    numbered.extend(written);
    let text = read(10, &numbered);
    let shown = seen(&earlier, &text).unwrap();
    assert!(
        shown.contains("[lines 11-40: same as content lines 2-31 of 2nd Write b/x.py above, from "),
        "{shown}"
    );
    assert_eq!(expanded(&earlier, &shown), text);
}

/// A file of a few distinct lines, so that runs repeat, and reads and edits of it.
fn history() -> impl Strategy<Value = Vec<(String, bool)>> {
    let line = (0u32..30).prop_map(|i| match i {
        0 => String::new(),
        1 => "}".to_owned(),
        2 => "12→looks numbered to some".to_owned(),
        3 => "--".to_owned(),
        i => format!("    call_number_{i}(with, arguments_{i});"),
    });
    let file = prop::collection::vec(line, 1..80);
    let window = (0usize..80, 1usize..80, 0u8..6, any::<bool>());
    (file, prop::collection::vec(window, 1..8)).prop_map(|(mut file, windows)| {
        let mut out = Vec::new();
        for (from, count, change, numbered) in windows {
            let from = from % file.len();
            let to = (from + count).min(file.len());
            let text = if numbered {
                read(from + 1, &file[from..to])
            } else {
                format!("head\n{}\n", file[from..to].join("\n"))
            };
            out.push((text, numbered));
            match change {
                0 => file.insert(from, "    inserted(line);".to_owned()),
                1 => drop(file.drain(from..to.min(from + 3))),
                2 => file.rotate_left(from),
                _ => {}
            }
            if file.is_empty() {
                file.push(String::new());
            }
        }
        out
    })
}

proptest! {
    #[test]
    fn every_reference_expands_to_the_exact_lines(history in history(), writes: bool) {
        let mut earlier = Earlier::default();
        for (text, numbered) in history {
            if writes {
                let arguments = serde_json::json!({"path": "x", "new_text": text}).to_string();
                earlier.add_call(Call { name: "edit", arguments: &arguments });
            }
            let shown = seen(&earlier, &text);
            if let Some(shown) = &shown {
                prop_assert_eq!(expanded(&earlier, shown), text.clone());
            }
            earlier.add(shown.as_deref().unwrap_or(&text), None, if numbered { READ } else { BASH });
        }
    }
}

#[test]
fn twice_the_text_is_at_most_twice_the_work() {
    let work = |text: &str| {
        lines::COMPARED.set(0);
        let mut earlier = Earlier::default();
        replace_seen(&earlier, text, Kind::Source);
        earlier.add(text, None, BASH);
        replace_seen(&earlier, &format!("something new\n{text}"), Kind::Source);
        lines::COMPARED.get()
    };
    for ((name, once), (_, twice)) in crate::savings::hard(25_000).iter().zip(&crate::savings::hard(50_000)) {
        let (once, twice) = (work(once), work(twice));
        assert!(twice <= once * 5 / 2 + 1000, "{name}: {once}, then {twice}");
    }
}

#[test]
#[ignore = "needs a corpus"]
fn every_reference_in_the_corpus_expands_to_the_exact_lines() {
    let Some(conversations) = crate::savings::conversations() else { return };
    let config = Config::default();
    let mut references = 0;
    for (_, outputs) in conversations {
        let mut earlier = Earlier::default();
        for output in outputs {
            let cx = output.context(&config, false);
            let text = numbered::lossless(&output.text, &cx).unwrap_or_else(|| output.text.clone());
            let shown = replace_seen(&earlier, &text, crate::detect::kind(&output.text));
            if let Some(shown) = &shown {
                assert_eq!(expanded(&earlier, shown), text);
                references += 1;
            }
            earlier.add(shown.as_deref().unwrap_or(&text), None, output.call());
        }
    }
    assert!(references > 0);
}

#[test]
fn room_that_was_not_needed_is_given_back() {
    let mut earlier = Earlier::default();
    earlier.reserve(1_000_000);
    let text = "the first line of it\n".repeat(100);
    earlier.add(&text, None, READ);
    assert!(earlier.text.capacity() >= 1_000_000);
    earlier.shrink();
    assert!(earlier.text.capacity() < 2 * text.len(), "{}", earlier.text.capacity());
    assert_eq!(seen(&earlier, &text).as_deref(), Some("[same output as Read cli/root.go above]"));
}
