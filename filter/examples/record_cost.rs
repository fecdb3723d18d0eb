//! What a record's digests cost, in instructions, and what a request costs that the filter has seen before.
//!
//! ```sh
//! cargo run --release -p headroom-filter --example record_cost -- benches/conversations/claude_code.jsonl
//! ```
//!
//! It runs itself under valgrind's callgrind, which counts. The request is the longest of the file, a conversation a line.

#![allow(clippy::print_stdout, reason = "it is what it is for")]

use std::cell::RefCell;
use std::error::Error;
use std::hint::black_box;
use std::process::Command;

use headroom_compress::{Api, Config, Memo, ParsedBody, Request, appendix};
use headroom_filter::prefix;
use headroom_filter::system_lines::Prompts;

/// Repetitions, so that starting up counts for nothing.
const TIMES: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [body] => compare(body),
        [body, part] => run(body, part),
        _ => Err("usage: record_cost FILE".into()),
    }
}

/// The longest line.
fn body(path: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let text = std::fs::read_to_string(path)?;
    let longest = text.lines().max_by_key(|line| line.len()).ok_or("the file is empty")?;
    Ok(longest.as_bytes().to_vec())
}

fn compare(path: &str) -> Result<(), Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let count = |part: &str| -> Result<u64, Box<dyn Error>> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(&program)
            .args([path, part])
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = text.lines().find_map(|line| line.split_once("Collected :")).ok_or(text.clone())?;
        Ok(line.1.trim().parse()?)
    };
    let nothing = count("nothing")?;
    let each = |part: &str| -> Result<u64, Box<dyn Error>> { Ok((count(part)? - nothing) / TIMES as u64) };
    let (request, digests, record) = (each("request")?, each("digests")?, each("record")?);
    println!("body: {} bytes", body(path)?.len());
    println!("a repeated request, engine and what its record needs beside digests: {request} instructions");
    println!("digests of what stands before each message: {digests}");
    println!("digests and what the cache goes by: {record}");
    let all = (request + digests) as f64;
    println!(
        "the latter alone: {:.2} % of a repeated request",
        (record as f64 - digests as f64) / all * 100.0
    );
    Ok(())
}

fn run(path: &str, part: &str) -> Result<(), Box<dyn Error>> {
    let body = body(path)?;
    let api = if memchr::memmem::find(&body, b"\"tool_use\"").is_some() {
        Api::AnthropicMessages
    } else {
        Api::OpenAiChat
    };
    let memo = RefCell::new(Memo::new(64 << 20));
    let config = Config::default();
    let request = Request::new(api);
    let mut prompts = Prompts::default();
    let mut once = |part: &str| {
        match part {
            "request" => {
                let read = ParsedBody::new(&body, api, &config);
                let outcome = read.compress(&request, &config, &mut memo.borrow_mut());
                black_box(appendix(&body, &request, &outcome.blocks, &mut memo.borrow_mut()));
            }
            "digests" => drop(black_box(prefix::digests(api, &body))),
            "record" => drop(black_box(prefix::read(api, &body, &mut prompts))),
            _ => {}
        };
    };
    for part in ["request", "digests", "record"] {
        once(part);
    }
    for _ in 0..TIMES {
        once(part);
    }
    Ok(())
}
