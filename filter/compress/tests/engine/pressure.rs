//! New outputs are compressed harder as a conversation grows, and old ones stay as they are.

use headroom_compress::{Api, BlockOutcome, Config, Memo, Outcome, PRESSURE_TOKENS, Request, compress};
use serde_json::{Value, json};

fn config() -> Config {
    Config { pressure: true, ..Config::default() }
}

/// Log lines of which a lossy form can leave out some.
fn log(turn: usize) -> String {
    let line = |n: usize| {
        format!(
            "2026-11-03T10:{:02}:{:02}Z INFO worker-{turn} handled job {n} in {} ms",
            n / 60 % 60,
            n % 60,
            n * 7 % 90
        )
    };
    (0..400).map(line).collect::<Vec<_>>().join("\n")
}

/// One round of a conversation: words, a call, and its output.
fn round(turn: usize, words: usize) -> [Value; 2] {
    let id = format!("call_{turn}");
    [
        json!({"role": "assistant", "content": "word ".repeat(words), "tool_calls": [
            {"id": id, "type": "function", "function": {"name": "bash", "arguments": "{\"command\": \"tail run.log\"}"}}]}),
        json!({"role": "tool", "tool_call_id": id, "content": log(turn)}),
    ]
}

fn body(rounds: &[usize]) -> Vec<u8> {
    let mut messages = vec![json!({"role": "user", "content": "Why does it stop?"})];
    messages.extend(rounds.iter().enumerate().flat_map(|(turn, words)| round(turn, *words)));
    let tool = json!({"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}});
    json!({"messages": messages, "model": "gpt-5", "tools": [tool]}).to_string().into_bytes()
}

fn pressed<'b>(body: &'b [u8], memo: &mut Memo) -> Outcome<'b> {
    compress(body, &Request { reversible: true, ..Request::new(Api::OpenAiChat) }, &config(), memo)
}

fn steps(outcome: &Outcome<'_>) -> Vec<u8> {
    outcome.blocks.iter().map(|block| block.pressure).collect()
}

#[test]
fn each_total_that_is_crossed_presses_new_outputs_one_step_harder() {
    let [first, second, third] = PRESSURE_TOKENS.map(|tokens| usize::try_from(tokens).unwrap());
    let rounds = [10, first, second - first, third - second];
    let body = body(&rounds);
    let outcome = pressed(&body, &mut Memo::new(0));
    assert_eq!(steps(&outcome), [0, 1, 2, 3]);
    let after: Vec<u32> = outcome.blocks.iter().map(|block| block.tokens_after).collect();
    assert!(after.is_sorted_by(|earlier, later| earlier >= later) && after[3] < after[0], "{after:?}");
    for block in &outcome.blocks {
        assert!(matches!(block.outcome, BlockOutcome::Compressed { lossy: true, .. }), "{block:?}");
    }
}

#[test]
fn an_output_keeps_its_form_when_the_conversation_has_grown() {
    let rounds = [10, usize::try_from(PRESSURE_TOKENS[0]).unwrap(), 90_000];
    let mut warm = Memo::new(1 << 20);
    let mut before: Vec<u8> = Vec::new();
    for end in 1..=rounds.len() {
        let body = body(&rounds[..end]);
        let outcome = pressed(&body, &mut warm);
        assert_eq!(pressed(&body, &mut Memo::new(0)).body, outcome.body, "the memo decides nothing");
        assert!(outcome.body.starts_with(&before), "what was sent stays");
        assert_eq!(steps(&outcome).len(), end);
        let list = outcome.body.windows(9).position(|at| at == b"],\"model\"").unwrap();
        before = outcome.body[..list].to_vec();
    }
}

#[test]
fn without_pressure_nothing_is_pressed() {
    let body = body(&[10, usize::try_from(PRESSURE_TOKENS[2]).unwrap()]);
    let request = Request { reversible: true, ..Request::new(Api::OpenAiChat) };
    let outcome = compress(&body, &request, &Config::default(), &mut Memo::new(0));
    assert_eq!(steps(&outcome), [0, 0]);
}
