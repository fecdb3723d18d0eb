//! No real source file that its language accepts may get a form that the language refuses.
//!
//! `HEADROOM_SOURCES` names folders, separated by colons; without it only the files of
//! `tests/fixtures/sources` are checked. The judges are the languages' own parsers: CPython, Node.js,
//! TypeScript's (`HEADROOM_TYPESCRIPT`: the folder of the package), gofmt, syn, javac's, gcc and g++. A judge
//! that the machine does not have is skipped, with a message.
//!
//! ```text
//! HEADROOM_SOURCES=/usr/lib/python3:/usr/share/go cargo test -p headroom-compress --test engine judged -- --nocapture
//! ```
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::print_stderr, reason = "figures, and what was skipped")]

mod judges;
mod sources;

use std::collections::BTreeMap;
use std::fs;

use headroom_compress::{Api, BlockOutcome, Compressor, Config, Memo, Request, compress};
use serde_json::{Value, json};

use judges::Judge;
use sources::{Source, sources};

/// The file as a model sees it when it reads it, without the marker; `None` if nothing was left out.
fn cut(source: &Source, numbered: bool) -> Option<String> {
    let text = if numbered {
        let lines = source.text.split('\n').zip(1..).map(|(line, number)| format!("{number:6}→{line}"));
        lines.collect::<Vec<_>>().join("\n")
    } else {
        source.text.clone()
    };
    let body = json!({"model": "claude-opus-5-5", "tools": [{"name": "Read", "input_schema": {}}], "messages": [
        {"role": "user", "content": "Have a look around."},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "a", "name": "Read", "input": {"file_path": format!("/src/{}", source.name)}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": text}]}]});
    let request = Request { reversible: true, ..Request::new(Api::AnthropicMessages) };
    let config = Config { code_aware: true, ..Config::default() };
    let body = body.to_string();
    let outcome = compress(body.as_bytes(), &request, &config, &mut Memo::new(1 << 20));
    let cut = outcome.blocks.iter().any(|block| {
        matches!(block.outcome, BlockOutcome::Compressed { compressor: Compressor::Code, lossy: true })
    });
    if !cut {
        return None;
    }
    let forwarded: Value = serde_json::from_slice(&outcome.body).unwrap();
    let shown = forwarded["messages"][2]["content"][0]["content"].as_str().unwrap().to_owned();
    let (shown, marker) = shown.rsplit_once('\n').unwrap();
    assert!(marker.starts_with("[headroom: ") && marker.contains("headroom_retrieve"), "{marker}");
    Some(if numbered { check_numbers(&source.text, shown) } else { shown.to_owned() })
}

/// The content of a numbered form. Checks that each line is where the form's numbers say.
fn check_numbers(original: &str, shown: &str) -> String {
    let lines: Vec<&str> = original.split('\n').collect();
    let mut number = 0;
    let mut out = Vec::new();
    for line in shown.split('\n').skip(1) {
        let anchored =
            line.split_once('→').and_then(|(digits, rest)| Some((digits.trim().parse().ok()?, rest)));
        let (at, content) = match anchored.filter(|(at, _): &(usize, &str)| *at > number) {
            Some((at, rest)) => (at, rest),
            None => (number + 1, line),
        };
        match gap(content) {
            Some((first, last)) => {
                assert_eq!(at, first, "{line}");
                number = last;
            }
            None => {
                assert_eq!(lines[at - 1], content, "line {at}");
                number = at;
            }
        }
        out.push(content);
    }
    // there is no line after the last line end
    let whole = lines.len() - usize::from(lines.last() == Some(&""));
    assert!(number >= whole, "{number} of {whole} lines");
    out.join("\n")
}

/// `// lines 41-88 left out`
fn gap(line: &str) -> Option<(usize, usize)> {
    let rest = line.trim().strip_suffix("left out").or_else(|| line.trim().strip_suffix("left out]"))?;
    let (_, range) = rest.rsplit_once("lines ")?;
    let (first, last) = range.trim().split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[derive(Default)]
struct Figures {
    files: usize,
    cut: usize,
    valid: usize,
    broken: Vec<String>,
}

#[test]
fn no_file_that_its_language_accepts_becomes_one_that_it_refuses() {
    let folder = std::env::temp_dir().join(format!("headroom-judged-{}", std::process::id()));
    let mut figures: BTreeMap<Judge, Figures> = BTreeMap::new();
    let mut pairs: BTreeMap<Judge, Vec<judges::Pair>> = BTreeMap::new();
    for (number, source) in sources().into_iter().enumerate() {
        let Some(judge) = Judge::of(&source.name) else { continue };
        let figures = figures.entry(judge).or_default();
        figures.files += 1;
        let Some(shown) = cut(&source, false) else { continue };
        figures.cut += 1;
        if let Some(numbered) = cut(&source, true) {
            let plain = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
            assert_eq!(plain(&numbered), plain(&shown), "{}", source.path.display());
        }
        let place = folder.join(number.to_string());
        let pair = judges::Pair {
            source: source.path.clone(),
            before: place.join("before").join(&source.name),
            after: place.join("after").join(&source.name),
        };
        for (file, text) in [(&pair.before, &source.text), (&pair.after, &shown)] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        pairs.entry(judge).or_default().push(pair);
    }
    for (judge, pairs) in &pairs {
        let figures = figures.entry(*judge).or_default();
        match judge.refused(pairs) {
            Ok(refused) => {
                for pair in pairs.iter().filter(|pair| !refused.contains(&pair.before)) {
                    figures.valid += 1;
                    if refused.contains(&pair.after) {
                        figures.broken.push(format!("{} -> {}", pair.source.display(), pair.after.display()));
                    }
                }
            }
            Err(problem) => eprintln!("SKIPPED: {judge:?} judges nothing here: {problem}"),
        }
    }
    let mut broken = Vec::new();
    eprintln!("judge        files    cut  judged  broken");
    for (judge, figures) in figures {
        let Figures { files, cut, valid, broken: refused } = figures;
        eprintln!("{:<10} {files:7} {cut:6} {valid:7} {:7}", format!("{judge:?}"), refused.len());
        broken.extend(refused);
    }
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));
    let _ = fs::remove_dir_all(folder);
}
