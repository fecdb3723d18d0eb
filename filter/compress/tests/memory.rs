//! The most memory that a body in work takes, whatever it contains (I7): bytes that are allocated at the same
//! time, counted.
//!
//! A VM never gives memory back, so the maximum counts, and not what is left in the end.

#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use headroom_compress::{Api, BlockOutcome, Config, Memo, Request, Skip, compress};
use serde_json::json;

/// The system's allocator, with a count.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is the system allocator's, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const MEGABYTE: usize = 1 << 20;
/// The lengths that are tried: half of the default limit of a body, and the default limit of an output.
const BODY: usize = 16 * MEGABYTE;
const OUTPUT: usize = 8 * MEGABYTE;
/// The filter reserves this many times the length of a body in work.
const FACTOR: usize = 5;

/// The most bytes that are allocated while a body is in work, and the outcomes of its blocks.
fn most(body: &[u8]) -> (usize, Vec<BlockOutcome>) {
    most_with(&Config::default(), body)
}

fn most_with(config: &Config, body: &[u8]) -> (usize, Vec<BlockOutcome>) {
    let request = Request { reversible: true, ..Request::new(Api::AnthropicMessages) };
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let outcome = compress(body, &request, config, &mut Memo::new(64 << 20));
    let blocks = outcome.blocks.iter().map(|block| block.outcome).collect();
    (MOST.load(Ordering::Relaxed) - before, blocks)
}

/// A request with two outputs.
fn request(output: &str) -> Vec<u8> {
    let turn = |id: &str| {
        [
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "query", "input": {}}]}),
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": output}]}),
        ]
    };
    let messages = [turn("a"), turn("b")].concat();
    json!({"model": "claude-sonnet-4-5", "messages": messages}).to_string().into_bytes()
}

/// JSON of about this size.
fn list(open: &str, item: &str, close: &str, bytes: usize) -> String {
    let items = bytes / (item.len() + 1) - 1;
    format!("{open}{}{item}{close}", format!("{item},").repeat(items))
}

/// A single test, because the count is for the whole process.
#[test]
fn what_a_body_of_tiny_values_takes_is_bounded() {
    // The vocabulary is built on the first count.
    most(&request("[1, 2, 3]"));
    for (open, item, close) in [
        ("[", "1", "]"),
        ("[", "[]", "]"),
        ("[", "{}", "]"),
        ("{", r#""a":1"#, "}"),
        ("[", r#"{"a":1}"#, "]"),
    ] {
        let bare = list(open, item, close, BODY);
        let (taken, _) = most(bare.as_bytes());
        eprintln!("{open}{item},… as a body of {} MB: {} MB", bare.len() / MEGABYTE, taken / MEGABYTE);
        assert!(taken <= FACTOR * BODY, "{item}: {taken}");

        let body = request(&list(open, item, close, OUTPUT - 100));
        let (taken, blocks) = most(&body);
        eprintln!("{open}{item},… as two outputs in {} MB: {} MB", body.len() / MEGABYTE, taken / MEGABYTE);
        assert!(taken <= FACTOR * body.len(), "{item}: {taken}");
        assert_eq!(blocks, [BlockOutcome::Skipped(Skip::TooLarge); 2], "{item}");

        // As many values as are read.
        let body = request(&list(open, item, close, MEGABYTE / 4 * item.len()));
        let (taken, blocks) = most(&body);
        eprintln!("{open}{item},… as two outputs in {} MB: {} MB", body.len() / MEGABYTE, taken / MEGABYTE);
        assert!(taken <= FACTOR * BODY, "{item}: {taken}");
        assert!(!blocks.contains(&BlockOutcome::Skipped(Skip::TooLarge)), "{item}: {blocks:?}");
    }
    for (name, body) in [
        ("one word", one_word(4 * MEGABYTE)),
        ("tiny lines in a string", request(&json!({"s": tiny_lines(1_200_000)}).to_string())),
        ("results of few calls with long paths", long_paths(4 * MEGABYTE)),
    ] {
        let config = Config { epochs: Some(Box::default()), ..Config::default() };
        let (taken, _) = most_with(&config, &body);
        eprintln!("{name} in {} MB: {} MB", body.len() / MEGABYTE, taken / MEGABYTE);
        assert!(taken <= FACTOR * BODY, "{name}: {taken}");
    }
}

/// A message of one word, in which no long run of ASCII stands.
fn one_word(bytes: usize) -> Vec<u8> {
    let unit = "in".repeat(120) + "\u{e9}";
    let said = json!({"role": "user", "content": unit.repeat(bytes / unit.len())});
    json!({"model": "claude-sonnet-4-5", "messages": [said]}).to_string().into_bytes()
}

/// Lines of one letter.
fn tiny_lines(count: usize) -> String {
    (0..count).flat_map(|at| [char::from(b'a' + (at * 7919 % 26) as u8), '\n']).collect()
}

/// Calls whose paths have half of the bytes, and results that name them in turn.
fn long_paths(bytes: usize) -> Vec<u8> {
    const CALLS: usize = 65;
    let path = |at: usize| format!("{at}{}", "/a".repeat(bytes / CALLS / 4));
    let calls = (0..CALLS).map(|at| {
        json!({"type": "tool_use", "id": format!("c{at}"), "name": "Read", "input": {"file_path": path(at)}})
    });
    let results = (0..bytes / 2 / 70)
        .map(|at| json!({"type": "tool_result", "tool_use_id": format!("c{}", at % CALLS), "content": "x"}));
    let messages = json!([
        {"role": "user", "content": "Go on."},
        {"role": "assistant", "content": calls.collect::<Vec<_>>()},
        {"role": "user", "content": results.collect::<Vec<_>>()}]);
    let tools = json!([{"name": "Read", "input_schema": {"type": "object"}}]);
    json!({"model": "claude-sonnet-4-5", "tools": tools, "messages": messages}).to_string().into_bytes()
}
