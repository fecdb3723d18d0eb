//! Looks for inputs that take more than time in proportion (I7): recorded outputs of which one line is as long as all
//! the others together, and lines of them that come again and again.
//!
//! ```text
//! cargo run --release -p headroom-compress --example stretched -- OUTPUTS.jsonl [CASE...]
//! ```
//!
//! Each line of the file is an object with `text`. A case is printed if sixteen times as much of it takes more than
//! three times sixteen times as long, more than 0.4 s a megabyte, or more than 100 times its length of memory. A process
//! that takes 2 GiB ends; the last number on standard error is its case.

#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]
#![allow(clippy::print_stdout, reason = "a command")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use headroom_compress::{Api, Config, Memo, Profile, Request, compress};
use serde_json::{Value, json};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// More is taken for a failure, which ends the process.
const TOO_MUCH: usize = 2 << 30;

// SAFETY: every call is the system allocator's, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        if now > TOO_MUCH {
            std::process::abort();
        }
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

const SMALL: usize = 40_000;
const GROWTH: usize = 16;

fn scrambled(at: usize) -> usize {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

/// A line with other digits.
fn renumbered(line: &str, at: usize) -> String {
    let mut number = scrambled(at + 1);
    line.chars()
        .map(|c| {
            if c.is_ascii_digit() {
                number = number / 10 + 7;
                char::from(b'0' + (number % 10) as u8)
            } else {
                c
            }
        })
        .collect()
}

fn stretched(lines: &[&str], long: usize, way: usize, bytes: usize) -> String {
    let line = lines[long];
    let word = line.split(' ').max_by_key(|word| word.len()).unwrap_or_default();
    let at = line.find(word).unwrap_or(0);
    let count = bytes / 2 / word.len().max(1) + 1;
    let long_line = match way % 3 {
        0 => format!("{}{}{}", &line[..at], word.repeat(count), &line[at + word.len()..]),
        1 => format!("{}{}{}", &line[..at], format!("{word} ").repeat(count), &line[at + word.len()..]),
        _ => format!("{line} ").repeat(bytes / 2 / (line.len() + 1) + 1),
    };
    let mut text = String::new();
    for line in &lines[..long] {
        text += line;
        text.push('\n');
    }
    text += &long_line;
    text.push('\n');
    let others: Vec<&str> =
        lines.iter().enumerate().filter(|(at, _)| *at != long).map(|(_, line)| *line).collect();
    let mut at = 0;
    // from the lines behind it
    let first = if others.is_empty() { 0 } else { long % others.len() };
    while text.len() < bytes && !others.is_empty() {
        let line = others[(first + at) % others.len()];
        if way < 3 {
            text += line
        } else {
            text += &renumbered(line, at / others.len())
        }
        text.push('\n');
        at += 1;
    }
    text
}

/// One line of the output, again and again.
fn repeated(line: &str, renumber: bool, bytes: usize) -> String {
    let mut text = String::new();
    for at in 0.. {
        if text.len() > bytes {
            break;
        }
        if renumber {
            text += &renumbered(line, at)
        } else {
            text += line
        }
        text.push('\n');
    }
    text
}

fn body(text: &str) -> Vec<u8> {
    json!({"model": "gpt-4.1", "tools": [{"type": "function", "function": {"name": "run"}}], "messages": [
        {"role": "user", "content": "What failed, and where is item 4711?"},
        {"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "run", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": text}]})
    .to_string()
    .into_bytes()
}

fn cost(body: &[u8], config: &Config) -> (f64, usize) {
    let request = Request { reversible: true, ..Request::new(Api::OpenAiChat) };
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let start = Instant::now();
    drop(compress(body, &request, config, &mut Memo::new(64 << 20)));
    (start.elapsed().as_secs_f64(), MOST.load(Ordering::Relaxed) - before)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("a file");
    let only: Vec<usize> = arguments.map(|case| case.parse().expect("a number of a case")).collect();
    let config = Config { profile: Profile::Aggressive, ..Config::default() };
    cost(&body("x"), &config);
    let mut case = 0;
    for (number, row) in std::fs::read_to_string(path).expect("readable").lines().enumerate() {
        let row: Value = serde_json::from_str(row).expect("JSON");
        let text = row["text"].as_str().unwrap_or_default();
        let lines: Vec<&str> = text.lines().take(60).collect();
        if lines.len() < 2 {
            continue;
        }
        let mut places = vec![0, 1, 2, 3, lines.len() / 2, lines.len() / 2 + 1, lines.len() - 1];
        places.retain(|place| *place < lines.len());
        places.sort_unstable();
        places.dedup();
        for place in places {
            for way in 0..8 {
                case += 1;
                if !only.is_empty() && !only.contains(&case) {
                    continue;
                }
                eprint!("\r{case} ");
                let make = |bytes: usize| match way {
                    6 | 7 => repeated(lines[place], way == 7, bytes),
                    way => stretched(&lines, place, way, bytes),
                };
                let (small, large) = (body(&make(SMALL)), body(&make(SMALL * GROWTH)));
                let least = |body: &[u8]| {
                    let (one, memory) = cost(body, &config);
                    let (two, _) = cost(body, &config);
                    (one.min(two), memory)
                };
                let ((quick, _), (slow, memory)) = (least(&small), least(&large));
                let ratio = slow / quick / GROWTH as f64;
                let rate = slow / large.len() as f64 * 1e6;
                if ratio > 3.0 || rate > 0.4 || memory > 100 * large.len() {
                    println!(
                        "case {case}: output {number} ({}), line {place}, way {way}: {ratio:.1} times, {:.0} ms, {rate:.2} s/MB, {:.0} bytes a byte",
                        row["kind"],
                        slow * 1e3,
                        memory as f64 / large.len() as f64
                    );
                }
            }
        }
    }
}
