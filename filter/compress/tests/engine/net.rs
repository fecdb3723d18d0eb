//! The savings in a record compare the forwarded request with the received one.

use headroom_compress::{Api, BlockOutcome, Config, Memo, Outcome, Profile, Request, RetrieveTool, compress};
use serde_json::Value;

use crate::bash;

fn run(body: &str, retrieve_tool: RetrieveTool) -> Outcome<'_> {
    let request = Request { reversible: true, retrieve_tool, ..Request::new(Api::AnthropicMessages) };
    compress(body.as_bytes(), &request, &Config::default(), &mut Memo::new(1 << 20))
}

/// Sentences that have nothing in common.
fn prose(lines: usize) -> String {
    const WORDS: [&str; 12] = [
        "river", "stone", "late", "under", "quiet", "seven", "market", "turns", "always", "green", "letter",
        "found",
    ];
    let mut state = 7_u32;
    let mut word = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        WORDS[(state >> 16) as usize % WORDS.len()]
    };
    (0..lines)
        .map(|n| format!("{}.\n", (0..6 + n % 5).map(|_| word()).collect::<Vec<_>>().join(" ")))
        .collect()
}

#[test]
fn a_request_that_got_nothing_pays_for_the_tool_that_it_carries() {
    let body = bash::request("make", &prose(12));
    let outcome = run(&body, RetrieveTool::Add);
    assert!(outcome.added_tools.retrieve);
    assert!(
        outcome.blocks.iter().all(|block| matches!(block.outcome, BlockOutcome::Skipped(_))),
        "{:?}",
        outcome.blocks
    );
    let tool = outcome.tokens.after - outcome.tokens.before;
    let sent: Value = serde_json::from_slice(&outcome.body).unwrap();
    let definition = sent["tools"][0].to_string();
    // The provider's tokenizer is estimated from a public one, by a factor of at most 1.3.
    let counted = outcome.tokens.encoding.count(&definition) as u64;
    assert!(
        (counted..=counted * 13 / 10 + 4).contains(&tool),
        "{tool} in the record, {counted} in {definition}"
    );
}

#[test]
fn what_is_reported_unchanged_has_the_bytes_that_came() {
    for output in [prose(12), "\u{e9}\"\\ \n".repeat(3), String::new(), "{\"a\": 1}".to_owned()] {
        let body = bash::request("make", &output);
        let outcome = run(&body, RetrieveTool::Assume);
        let changed =
            outcome.blocks.iter().any(|block| matches!(block.outcome, BlockOutcome::Compressed { .. }));
        assert_eq!(outcome.body == body.as_bytes(), !changed, "{:?}", outcome.blocks);
        assert_eq!(outcome.tokens.before == outcome.tokens.after, !changed, "{:?}", outcome.tokens);
    }
}

#[test]
fn a_form_that_saves_little_is_not_used() {
    // white space at the ends of lines is removed, one token per line
    let with_blanks = |lines: usize| {
        let text = prose(240);
        let mut out = String::new();
        for (n, line) in text.lines().enumerate() {
            out += line;
            out += if n < lines { " \t \t\n" } else { "\n" };
        }
        bash::request("make", &out)
    };
    let mut saved = Vec::new();
    for lines in [1, 4, 8, 60, 200] {
        let body = with_blanks(lines);
        let request = Request::new(Api::AnthropicMessages);
        let config = Config { profile: Profile::Lossless, ..Config::default() };
        let outcome = compress(body.as_bytes(), &request, &config, &mut Memo::new(1 << 20));
        let (before, after) = (outcome.tokens.before, outcome.tokens.after);
        let gained = before - after;
        if gained == 0 {
            assert_eq!(outcome.body, body.as_bytes());
        } else {
            assert!(gained >= 20 || gained * 100 >= before * 3, "{gained} of {before}");
        }
        saved.push(gained);
    }
    assert_eq!(saved.first(), Some(&0));
    assert!(saved.last() > Some(&0), "{saved:?}");
}
