//! What the ledger of the prompt cache costs in the filter, in instructions, beside what a request costs that the filter
//! has seen before.
//!
//! ```sh
//! cargo run --release -p headroom-filter --example record_cost
//! ```
//!
//! It runs itself under valgrind's callgrind, which counts. Bodies have a system prompt of 12 KB with a date, eight tools,
//! breakpoints, and so many bytes of recorded tool outputs. A *request* is what the filter works out for one without the
//! ledger: the engine with all outputs remembered, what a report needs beside it, and the digests that tell whether a
//! conversation was only extended. With the ledger, the pass over the forwarded body that makes these digests notes
//! breakpoints, bytes and the lines of the system prompt as well, and the record that is sent has them in it. Counted are
//! both; headers, answers and Envoy are not, which cost something in each request too, so that the share is the highest
//! that it can be.

#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

use std::borrow::Cow;
use std::cell::RefCell;
use std::error::Error;
use std::hint::black_box;
use std::process::Command;

use headroom_api::v1::RequestRecord;
use headroom_compress::{Api, Config, Memo, ParsedBody, Request, appendix};
use headroom_filter::prefix;
use headroom_filter::system_lines::Prompts;
use prost::Message as _;
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Repetitions, so that starting up counts for nothing.
const TIMES: u64 = 20;
const SIZES: [(&str, usize); 3] = [("10 KB", 10_000), ("100 KB", 100_000), ("1 MB", 1_000_000)];
const APIS: [Api; 2] = [Api::AnthropicMessages, Api::OpenAiChat];
/// The parts that are counted, each with all before it.
const PARTS: [&str; 3] = ["nothing", "request", "ledger"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => compare(),
        [api, size, part] => run(&request(api.parse()?, size.parse()?)?, part),
        _ => Err("usage: record_cost".into()),
    }
}

fn compare() -> Result<()> {
    println!("{:<20} {:>8} {:>14} {:>12} {:>8}", "", "", "request", "ledger", "");
    for (number, api) in APIS.iter().enumerate() {
        for (name, bytes) in SIZES {
            let [nothing, request, ledger] = PARTS.map(|part| count(number, bytes, part));
            let (nothing, request, ledger) = (nothing?, request?, ledger?);
            let of_request = request.saturating_sub(nothing) / TIMES;
            let of_ledger = ledger.saturating_sub(request) / TIMES;
            let share = of_ledger as f64 / of_request as f64 * 100.0;
            println!("{:<20} {name:>8} {of_request:>14} {of_ledger:>12} {share:>6.2} %", api.name());
        }
    }
    Ok(())
}

/// Instructions of this program doing one part.
fn count(api: usize, bytes: usize, part: &str) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([&api.to_string(), &bytes.to_string(), part])
        .output()
        .map_err(|error| format!("valgrind does not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let (_, collected) = collected.ok_or_else(|| said.clone().into_owned())?;
    Ok(collected.trim().parse()?)
}

/// A request as an agent sends it.
fn request(api: usize, bytes: usize) -> Result<(Api, Vec<u8>)> {
    let api = *APIS.get(api).ok_or("no such format")?;
    let rules: String = (0..120)
        .map(|n| {
            format!(
                "- Rule {n}: say what you have done and what is left before you go on to src/part_{n}.rs.\n"
            )
        })
        .collect();
    let system =
        format!("You look after a repository.\n\nToday's date: 2026-11-29\nPlatform: linux\n{rules}");
    let schema = json!({"type": "object", "required": ["path"], "properties": {
        "path": {"type": "string", "description": "Where it is, from the root of the repository."}}});
    let about = "Looks at what is asked for, and says what it has found there. ".repeat(8);
    let names = (0..8).map(|n| format!("tool_{n}"));
    let mut messages = vec![json!({"role": "user", "content": "Find out why the tests fail."})];
    messages.extend(turns(api, bytes)?);
    let body = if api == Api::AnthropicMessages {
        let point = json!({"type": "ephemeral"});
        let tool = |name| json!({"name": name, "description": about, "input_schema": schema});
        json!({"model": "claude-sonnet-4-5", "max_tokens": 8192, "stream": true, "cache_control": point,
            "tools": names.map(tool).collect::<Value>(), "messages": messages,
            "system": [{"type": "text", "text": system, "cache_control": point}]})
    } else {
        let function = |name| json!({"name": name, "description": about, "parameters": schema});
        let tools = names.map(|name| json!({"type": "function", "function": function(name)}));
        messages.insert(0, json!({"role": "system", "content": system}));
        json!({"model": "gpt-4.1", "stream": true, "tools": tools.collect::<Value>(), "messages": messages})
    };
    Ok((api, body.to_string().into_bytes()))
}

/// Recorded calls and what came of them, until there are so many bytes.
fn turns(api: Api, bytes: usize) -> Result<Vec<Value>> {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/conversations/claude_code.jsonl");
    let (mut turns, mut held) = (Vec::new(), 0);
    let recorded = std::fs::read_to_string(recorded)?;
    let conversations =
        recorded.lines().map(serde_json::from_str).collect::<std::result::Result<Vec<Value>, _>>()?;
    let messages = conversations.iter().flat_map(|it| it["messages"].as_array().into_iter().flatten());
    let mut calls: Vec<&Value> = Vec::new();
    for message in messages.cycle() {
        calls.extend(message["calls"].as_array().into_iter().flatten());
        let Some(call) = calls.iter().find(|call| call["id"] == message["id"]) else { continue };
        if held >= bytes {
            return Ok(turns);
        }
        let text = match &message["content"] {
            Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
            text => text.as_str().unwrap_or_default().to_owned(),
        };
        held += text.len();
        let (id, name, arguments) = (format!("call_{}", turns.len()), &call["name"], &call["args"]);
        turns.extend(match api {
            Api::AnthropicMessages => [
                json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": name, "input": arguments}]}),
                json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": text}]}),
            ],
            _ => [
                json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function",
                    "function": {"name": name, "arguments": arguments.to_string()}}]}),
                json!({"role": "tool", "tool_call_id": id, "content": text}),
            ],
        });
    }
    Err("the file has no conversations".into())
}

fn run((api, body): &(Api, Vec<u8>), part: &str) -> Result<()> {
    let memo = RefCell::new(Memo::new(64 << 20));
    let config = Config::default();
    let request = Request { reversible: true, ..Request::new(*api) };
    let mut prompts = Prompts::default();
    let mut once = |part: &str| {
        if part == "nothing" {
            return;
        }
        let parsed = ParsedBody::new(body, *api, &config);
        let outcome = parsed.compress(&request, &config, &mut memo.borrow_mut());
        let (forwarded_prefix, cache_layout) = if part == "ledger" {
            let read = prefix::read(*api, &outcome.body, &mut prompts);
            read.map(|prefix| (prefix.digests, prefix.layout)).unzip()
        } else {
            (prefix::digests(*api, &outcome.body), None)
        };
        let client_prefix = match &outcome.body {
            Cow::Owned(_) => prefix::digests(*api, body),
            Cow::Borrowed(_) => forwarded_prefix.clone(),
        };
        let record =
            RequestRecord { forwarded_prefix, client_prefix, cache_layout, ..RequestRecord::default() };
        black_box(appendix(body, &request, &outcome.blocks, &mut memo.borrow_mut()));
        black_box(record.encode_to_vec());
    };
    // What is remembered afterwards is not counted as repeated.
    once("ledger");
    for _ in 0..TIMES {
        once(part);
    }
    Ok(())
}
