//! Outputs of every kind, cut, doubled, shuffled and broken: the engine keeps its promises for all of them.
//!
//! Every run tries the same mutations. The fuzz targets search for new ones where a nightly compiler is
//! available.

use std::fs;

use headroom_compress::{Api, BlockOutcome, Config, Memo, Profile, Request, compress};
use serde_json::{Value, json};

use crate::numbers::Numbers;

/// Mutations of each output.
const ROUNDS: u64 = 24;

/// The longest mutated output in bytes.
const MOST: usize = 16 << 10;

fn outputs(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() > 200 => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| outputs(item, found)),
        Value::Object(members) => members.values().for_each(|member| outputs(member, found)),
        _ => {}
    }
}

/// Long strings of all fixtures, and one output of each kind that is missing there.
fn seeds() -> Vec<String> {
    let mut seeds = Vec::new();
    for folder in ["faults", "bodies"] {
        let folder = format!("{}/tests/fixtures/{folder}", env!("CARGO_MANIFEST_DIR"));
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if let Ok(body) = serde_json::from_slice(&fs::read(path).unwrap()) {
                outputs(&body, &mut seeds);
            }
        }
    }
    let lines = |line: &dyn Fn(usize) -> String| (0..120).map(|at| line(at) + "\n").collect::<String>();
    seeds.push(lines(&|at| {
        format!("2026-01-02T03:04:{:02}Z ERROR db-{at} took {at} ms\n\tat a.b(C.java:{at})", at % 60)
    }));
    seeds.push(lines(&|at| {
        format!("diff --git a/f{at} b/f{at}\n--- a/f{at}\n+++ b/f{at}\n@@ -1,2 +1,2 @@\n a\n-b{at}\n+c{at}")
    }));
    seeds.push(lines(&|at| format!("src/a{}.rs:{at}:    let x = {at};", at / 9)));
    seeds.push(lines(&|at| format!("id-{at},{},paid,2026-01-{:02}", at * 7 % 50, at % 28)));
    seeds.push(lines(&|at| format!("| {at} | b{at} |")));
    seeds.push(lines(&|at| format!("./src/dir{}/file{at}.py", at / 9)));
    seeds.push(lines(&|at| format!("# Part {at}\n\nThe first word is never the last. Whoever says so, e.g. J. Smith, is right about {at} of them.\n")));
    seeds.push(lines(&|at| format!("{at:>6}→    let x = {at};")));
    seeds
}

/// A mutation of `text`: pieces of it, or of `other`, in a new order.
fn mutated(text: &str, other: &str, numbers: &mut Numbers) -> String {
    const MARKS: [&str; 14] = [
        "\n",
        "\n\n",
        "…",
        "[headroom: ",
        "\"",
        "<td rowspan=9>",
        "\u{1b}[31m",
        "```\n",
        "--- ",
        "@@ ",
        "{\"",
        "]",
        "\r",
        "🦀",
    ];
    let mut out = String::new();
    for _ in 0..2 + numbers.below(6) {
        let source = if numbers.below(4) == 0 { other } else { text };
        let from = source.floor_char_boundary(numbers.below(source.len()));
        let to = source.floor_char_boundary(from + numbers.below(MOST / 2));
        let piece = &source[from..to];
        match numbers.below(6) {
            0 => out.push_str(
                &piece[..piece.floor_char_boundary(piece.len().min(200))].repeat(1 + numbers.below(40)),
            ),
            1 => out.extend(piece.lines().rev().flat_map(|line| [line, "\n"])),
            2 => out.push_str(MARKS[numbers.below(MARKS.len())]),
            _ => out.push_str(piece),
        }
    }
    let end = out.floor_char_boundary(out.len().min(MOST));
    out.truncate(end);
    out
}

#[test]
fn mutated_outputs_of_every_kind_keep_every_promise() {
    let seeds = seeds();
    let mut lossy_forms = 0;
    for (at, seed) in seeds.iter().enumerate() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ (at as u64 + 1));
        for _ in 0..ROUNDS {
            let other = &seeds[numbers.below(seeds.len())];
            let text = mutated(seed, other, &mut numbers);
            let body = json!({"model": "m", "tools": [{"type": "function", "function": {"name": "run"}}], "messages": [
                {"role": "user", "content": "Why did item 17 fail?"},
                {"role": "assistant", "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "run", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": text}]})
            .to_string();
            for profile in [Profile::Lossless, Profile::Aggressive] {
                let config = Config { profile, min_block_bytes: 0, ..Config::default() };
                let request = Request { reversible: true, ..Request::new(Api::OpenAiChat) };
                let outcome = compress(body.as_bytes(), &request, &config, &mut Memo::new(0));
                let forwarded: Value = serde_json::from_slice(&outcome.body).unwrap();
                let shown = forwarded["messages"][2]["content"].as_str().unwrap();
                let block = &outcome.blocks[0];
                match block.outcome {
                    BlockOutcome::Skipped(_) => assert_eq!(shown, text),
                    BlockOutcome::Compressed { lossy, .. } => {
                        assert!(block.tokens_after < block.tokens_before && !shown.trim().is_empty());
                        assert_eq!(lossy, block.left_out.is_some());
                        assert!(profile != Profile::Lossless || !lossy);
                        assert_eq!(
                            lossy,
                            shown.ends_with(']')
                                && shown.contains("headroom_retrieve hash=")
                                && !outcome.originals.is_empty()
                        );
                        lossy_forms += usize::from(lossy);
                    }
                }
            }
        }
    }
    assert!(lossy_forms > 50, "{lossy_forms} of the outputs had a digest: too few to say anything");
}
