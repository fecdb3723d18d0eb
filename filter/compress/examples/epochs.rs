//! What rewriting old turns comes to on recorded conversations: the bill for input under several prices of the prompt
//! cache, against the same conversations only ever extended.
//!
//! ```sh
//! cargo run -p headroom-compress --example epochs                # the repository's fixtures
//! CORPUS=DIR cargo run -p headroom-compress --example epochs     # a folder of conversations
//! ```
//!
//! Each turn of the model is a request. What a request has in common with the one before it, message by message, is read
//! from the cache, the rest is written to it. Where a turn uses a word that only an output shows which was taken out, the
//! model is charged for asking: the whole request once more, read from the cache, and 1,500 tokens that are written and
//! stay in each later request. A cell is the change of the bill, the same with what was asked back, and in brackets how
//! often old turns were rewritten and how often the model asked.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a table is what it is for")]

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use headroom_compress::{
    Api, BlockOutcome, CachePrice, Compressor, Config, Encoding, Epochs, Memo, Request, compress,
};
use serde_json::{Value, json};

/// Prices of the cache in percent of the price of input: name, read, write.
const PRICES: [(&str, u32, u32); 4] = [
    ("read 10 %, write 125 %", 10, 125),
    ("read 10 %, write 100 %", 10, 100),
    ("read 50 %, write 100 %", 50, 100),
    ("no cache", 100, 100),
];
const WINDOWS: [u32; 3] = [16_000, 32_000, 64_000];
/// What an answer of the retrieve tool has.
const RETRIEVED: u64 = 1_500;
/// Shorter requests are not cached.
const LEAST_CACHED: u64 = 1_024;

struct Conversation {
    tools: Value,
    messages: Vec<Value>,
    /// How many messages each request has.
    requests: Vec<usize>,
}

fn conversations(file: &Path) -> Vec<Conversation> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| conversation(&serde_json::from_str(line).unwrap())).collect()
}

fn conversation(recorded: &Value) -> Conversation {
    let mut messages = vec![json!({"role": "system", "content": recorded["system"]})];
    let mut requests = Vec::new();
    for message in recorded["messages"].as_array().unwrap() {
        match message["role"].as_str().unwrap() {
            "assistant" => {
                requests.push(messages.len());
                let mut out = json!({"role": "assistant", "content": message["text"]});
                let calls = message["calls"].as_array().cloned().unwrap_or_default();
                if !calls.is_empty() {
                    let call = |call: &Value| {
                        let function = json!({"name": call["name"], "arguments": call["args"].to_string()});
                        json!({"id": call["id"], "type": "function", "function": function})
                    };
                    out["tool_calls"] = calls.iter().map(call).collect();
                }
                messages.push(out);
            }
            "tool" => messages.push(
                json!({"role": "tool", "tool_call_id": message["id"], "content": parts(&message["content"])}),
            ),
            _ => messages.push(json!({"role": "user", "content": parts(&message["content"])})),
        }
    }
    let tools = recorded["tools"].as_array().cloned().unwrap_or_default();
    let tools = tools.iter().map(|tool| json!({"type": "function", "function": tool})).collect();
    Conversation { tools, messages, requests }
}

fn parts(content: &Value) -> Value {
    match content.as_array() {
        Some(texts) => texts.iter().map(|text| json!({"type": "text", "text": text})).collect(),
        None => content.clone(),
    }
}

/// What a conversation costs, in hundredths of a token's price of input.
#[derive(Clone, Copy, Debug, Default)]
struct Bill {
    input: u64,
    retrievals: u64,
    asked: u32,
    rewrites: u32,
    longest: u64,
}

impl Bill {
    fn add(&mut self, other: Self) {
        self.input += other.input;
        self.retrievals += other.retrievals;
        self.asked += other.asked;
        self.rewrites += other.rewrites;
        self.longest = self.longest.max(other.longest);
    }
}

fn count(text: &str) -> u64 {
    Encoding::O200kBase.count(text) as u64
}

/// The bill of a conversation with this configuration, at these prices.
fn bill(conversation: &Conversation, config: &Config, (read, write): (u64, u64)) -> Bill {
    let mut memo = Memo::new(64 << 20);
    let mut bill = Bill::default();
    let mut last: Vec<(String, u64)> = Vec::new();
    let mut asked: HashSet<usize> = HashSet::new();
    let mut carried = 0;
    let tools = count(&conversation.tools.to_string());
    for end in &conversation.requests {
        let body =
            json!({"model": "m", "messages": conversation.messages[..*end], "tools": conversation.tools})
                .to_string();
        let request = Request { reversible: true, ..Request::new(Api::OpenAiChat) };
        let outcome = compress(body.as_bytes(), &request, config, &mut memo);
        bill.rewrites += u32::from(outcome.rewritten.as_ref().is_some_and(|it| it.now));
        let forwarded: Value = serde_json::from_slice(&outcome.body).unwrap();
        let known = last.len();
        let messages: Vec<(String, u64)> = forwarded["messages"]
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(at, message)| {
                let text = message.to_string();
                match last.get(at).filter(|(known, _)| *known == text) {
                    Some(same) => same.clone(),
                    None => {
                        let tokens = count(&text);
                        (text, tokens)
                    }
                }
            })
            .collect();
        let same = messages.iter().zip(&last).take_while(|(one, other)| one == other).count();
        let tokens = |messages: &[(String, u64)]| messages.iter().map(|(_, tokens)| tokens).sum::<u64>();
        let all = tools + tokens(&messages) + carried;
        let mut common = if known == 0 { 0 } else { tools + tokens(&messages[..same]) };
        if common < LEAST_CACHED {
            common = 0;
        } else if same == known {
            common += carried;
        }
        bill.input += common * read + all.saturating_sub(common) * write;
        bill.longest = bill.longest.max(all);
        let gone: Vec<(usize, String)> = outcome
            .blocks
            .iter()
            .enumerate()
            .filter(|(at, block)| is_taken(block.outcome) && !asked.contains(at))
            .map(|(at, block)| (at, serde_json::from_str(&body[block.span.clone()]).unwrap_or_default()))
            .collect();
        if !gone.is_empty()
            && let Some(turn) = conversation.messages.get(*end)
        {
            let shown: String = messages.iter().map(|(text, _)| text.as_str()).collect();
            for word in words(&turn.to_string()).into_iter().filter(|word| !shown.contains(word.as_str())) {
                let Some((at, _)) = gone.iter().find(|(_, text)| text.contains(word.as_str())) else {
                    continue;
                };
                if asked.insert(*at) {
                    bill.asked += 1;
                    bill.retrievals += all * read + RETRIEVED * write;
                    carried += RETRIEVED;
                }
            }
        }
        last = messages;
    }
    bill
}

fn is_taken(outcome: BlockOutcome) -> bool {
    use Compressor::{Dropped, Shortened, StaleRead, SupersededRead};
    matches!(
        outcome,
        BlockOutcome::Compressed { compressor: Dropped | Shortened | StaleRead | SupersededRead, .. }
    )
}

/// Words of a turn that could be values: names, paths, numbers, identifiers.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')));
    let words = words.map(|word| word.trim_matches(['.', '-', '/']));
    let is_value = |word: &str| {
        let inner = word.get(1..).unwrap_or_default();
        word.len() >= 6
            && (word.contains(|c: char| c.is_ascii_digit())
                || inner.contains(|c: char| c.is_uppercase() || "_./-".contains(c)))
    };
    words.filter(|word| is_value(word)).map(str::to_owned).collect()
}

fn main() {
    let corpus = std::env::var_os("CORPUS").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/conversations");
    let folder = match corpus {
        Some(folder) if folder.join("trajectories").is_dir() => folder.join("trajectories"),
        Some(folder) => folder,
        None => fixtures,
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "jsonl"))
        .collect();
    files.sort();
    let windows: Vec<String> = WINDOWS.iter().map(|window| format!("{window} tokens")).collect();
    println!("| set | runs | longest | cache | {} |", windows.join(" | "));
    println!("|---|---|---|---|{}", "---|".repeat(WINDOWS.len()));
    for file in &files {
        let conversations = conversations(file);
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let all = |config: &Config, prices| {
            let mut sum = Bill::default();
            conversations.iter().for_each(|it| sum.add(bill(it, config, prices)));
            sum
        };
        for (prices_name, read, write) in PRICES {
            let prices = (u64::from(read), u64::from(write));
            let plain = all(&Config::default(), prices);
            let cells = WINDOWS.map(|window_tokens| {
                let price = CachePrice { model: "*".to_owned(), read_percent: read, write_percent: write };
                let epochs = Epochs {
                    window_tokens,
                    step_tokens: window_tokens / 4,
                    prices: vec![price],
                    ..Epochs::default()
                };
                let rewritten = all(&Config { epochs: Some(Box::new(epochs)), ..Config::default() }, prices);
                let change = |after: u64| (after as f64 / plain.input as f64 - 1.0) * 100.0;
                let (input, asked) = (rewritten.input, rewritten.input + rewritten.retrievals);
                format!(
                    "{:+.1} % / {:+.1} % ({}, {})",
                    change(input),
                    change(asked),
                    rewritten.rewrites,
                    rewritten.asked
                )
            });
            println!(
                "| {name} | {} | {} | {prices_name} | {} |",
                conversations.len(),
                plain.longest,
                cells.join(" | ")
            );
        }
    }
}
