//! A provider's prompt cache, by the rules of Anthropic, OpenAI, Gemini or Bedrock.
//!
//! Written from the providers' documentation, independent of Headroom: the test compares Headroom's results with it. A
//! token is four bytes. The caller passes the time.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Value, json};

/// The rules of a cache.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rules {
    /// Breakpoints, each of which looks back over 20 blocks.
    Anthropic {
        /// Tokens that a prefix must have.
        minimum: u64,
    },
    /// The longest beginning that was seen before, in pieces of 128 tokens.
    OpenAi {
        /// Seconds for which a prefix is kept.
        lifetime: u64,
    },
    /// The same in larger pieces, without being asked and without a promise: Gemini's implicit cache.
    Gemini {
        /// Tokens that a beginning must have.
        minimum: u64,
    },
    /// Cache points of Bedrock's Converse.
    Bedrock {
        /// Tokens that a prefix must have.
        minimum: u64,
        /// Blocks that are looked at from a cache point; with Amazon's own models the one before it alone.
        look_back: usize,
    },
}

/// The usage in an answer. The parts do not overlap.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Usage {
    /// Input that was neither read nor written.
    pub(crate) input: u64,
    /// Read from the cache.
    pub(crate) read: u64,
    /// Written for five minutes.
    pub(crate) written_5m: u64,
    /// Written for an hour.
    pub(crate) written_1h: u64,
}

/// The entries of a provider's cache.
#[derive(Debug, Default)]
pub(crate) struct PromptCache {
    /// By digest of everything up to their end; the lifetime of each, and its end.
    entries: HashMap<u64, (u64, u64)>,
}

const LOOK_BACK: usize = 20;
const PIECE_OPENAI: usize = 128;
const MINIMUM_OPENAI: u64 = 1_024;
const PIECE_GEMINI: usize = 1_024;
const LIFETIME_GEMINI: u64 = 3_600;
const BILLING: &str = "x-anthropic-billing-header";

/// A block of a prompt: its tokens, the digest up to it, and its lifetime.
struct Block {
    tokens: u64,
    prefix: u64,
    keep: Option<u64>,
}

impl PromptCache {
    /// The usage of a request at a given second, in the cache of `whose`.
    pub(crate) fn answer(&mut self, rules: Rules, whose: &str, body: &Value, now: u64) -> Usage {
        self.entries.retain(|_, (_, until)| *until >= now);
        match rules {
            Rules::Anthropic { minimum } => self.breakpoints(minimum, LOOK_BACK, &blocks(whose, body), now),
            Rules::Bedrock { minimum, look_back } => {
                self.breakpoints(minimum, look_back, &converse_blocks(whose, body), now)
            }
            Rules::OpenAi { lifetime } => {
                let lifetime = if body["prompt_cache_retention"] == "24h" { 86_400 } else { lifetime };
                let messages = if body["input"].is_null() { &body["messages"] } else { &body["input"] };
                let head = format!("{whose} {}{}{}", body["model"], body["instructions"], body["tools"]);
                self.automatic(MINIMUM_OPENAI, PIECE_OPENAI, lifetime, head, messages, now)
            }
            Rules::Gemini { minimum } => {
                let head = format!("{whose} {}{}", body["systemInstruction"], body["tools"]);
                self.automatic(minimum, PIECE_GEMINI, LIFETIME_GEMINI, head, &body["contents"], now)
            }
        }
    }

    /// Forgets everything, as a provider may at any time.
    pub(crate) fn forget(&mut self) {
        self.entries.clear();
    }

    fn breakpoints(&mut self, minimum: u64, look_back: usize, blocks: &[Block], now: u64) -> Usage {
        let up_to = |at: usize| blocks[..=at].iter().map(|block| block.tokens).sum::<u64>();
        let points: Vec<usize> = (0..blocks.len()).filter(|at| blocks[*at].keep.is_some()).collect();
        let total = blocks.iter().map(|block| block.tokens).sum::<u64>();
        let looked_at = |point: usize| (point.saturating_sub(look_back - 1)..=point).rev();
        let mut found = points.iter().rev().flat_map(|point| looked_at(*point));
        let hit = found.find(|at| self.entries.contains_key(&blocks[*at].prefix));
        let read = hit.map_or(0, up_to);
        // Reading renews an entry and its prefixes.
        for block in &blocks[..hit.map_or(0, |at| at + 1)] {
            if let Some((lifetime, until)) = self.entries.get_mut(&block.prefix) {
                *until = now + *lifetime;
            }
        }
        let (mut usage, mut last) = (Usage { read, ..Usage::default() }, read);
        for at in points {
            let (tokens, keep) = (up_to(at), blocks[at].keep.unwrap_or(0));
            if tokens < minimum {
                continue;
            }
            self.entries.insert(blocks[at].prefix, (keep, now + keep));
            let written = if keep > 300 { &mut usage.written_1h } else { &mut usage.written_5m };
            *written += tokens.saturating_sub(last);
            last = last.max(tokens);
        }
        usage.input = total - last;
        usage
    }

    fn automatic(
        &mut self,
        minimum: u64,
        piece: usize,
        lifetime: u64,
        head: String,
        messages: &Value,
        now: u64,
    ) -> Usage {
        let mut text = head;
        for message in messages.as_array().into_iter().flatten() {
            text.push_str(&message.to_string());
        }
        let total = text.len() as u64 / 4;
        let mut hash = DefaultHasher::new();
        let prefixes: Vec<u64> = text
            .as_bytes()
            .chunks_exact(piece * 4)
            .map(|piece| {
                piece.hash(&mut hash);
                hash.finish()
            })
            .collect();
        if total < minimum {
            return Usage { input: total, ..Usage::default() };
        }
        let pieces = prefixes.iter().take_while(|prefix| self.entries.contains_key(prefix)).count();
        let read = (pieces * piece) as u64;
        let read = if read < minimum { 0 } else { read };
        for prefix in prefixes {
            self.entries.insert(prefix, (lifetime, now + lifetime));
        }
        Usage { input: total - read, read, ..Usage::default() }
    }
}

/// The blocks of a request to Anthropic in the order of its cache: tools, system prompt, messages.
fn blocks(whose: &str, body: &Value) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut hash = DefaultHasher::new();
    (whose, body["model"].to_string()).hash(&mut hash);
    let mut add = |hash: &mut DefaultHasher, value: &Value| {
        let keep = lifetime(&value["cache_control"]);
        let text = without_control(value).to_string();
        text.hash(hash);
        blocks.push(Block { tokens: text.len() as u64 / 4, prefix: hash.finish(), keep });
    };
    for tool in body["tools"].as_array().into_iter().flatten() {
        add(&mut hash, tool);
    }
    for block in content(&body["system"]) {
        let is_billing = block["text"].as_str().is_some_and(|text| text.starts_with(BILLING));
        if !is_billing {
            add(&mut hash, &block);
        }
    }
    (body["thinking"].to_string(), body["tool_choice"].to_string()).hash(&mut hash);
    for message in body["messages"].as_array().into_iter().flatten() {
        message["role"].to_string().hash(&mut hash);
        for block in content(&message["content"]) {
            add(&mut hash, &block);
        }
    }
    if let (Some(keep), Some(last)) = (lifetime(&body["cache_control"]), blocks.last_mut()) {
        last.keep = Some(keep);
    }
    blocks
}

/// The blocks of a request to Bedrock's Converse, each with whether a cache point stands behind it.
fn converse_blocks(whose: &str, body: &Value) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut hash = DefaultHasher::new();
    whose.hash(&mut hash);
    let mut add = |hash: &mut DefaultHasher, value: &Value| {
        let point = &value["cachePoint"];
        if let (Some(last), false) = (blocks.last_mut(), point.is_null()) {
            last.keep = Some(if point["ttl"] == "1h" { 3_600 } else { 300 });
            return;
        }
        let text = value.to_string();
        text.hash(hash);
        blocks.push(Block { tokens: text.len() as u64 / 4, prefix: hash.finish(), keep: None });
    };
    for tool in body["toolConfig"]["tools"].as_array().into_iter().flatten() {
        add(&mut hash, tool);
    }
    for block in content(&body["system"]) {
        add(&mut hash, &block);
    }
    let fields = &body["additionalModelRequestFields"];
    (fields["thinking"].to_string(), body["toolConfig"]["toolChoice"].to_string()).hash(&mut hash);
    for message in body["messages"].as_array().into_iter().flatten() {
        message["role"].to_string().hash(&mut hash);
        for block in content(&message["content"]) {
            add(&mut hash, &block);
        }
    }
    blocks
}

fn content(value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks.clone(),
        _ => Vec::new(),
    }
}

fn without_control(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(members) = value.as_object_mut() {
        members.remove("cache_control");
    }
    value
}

fn lifetime(control: &Value) -> Option<u64> {
    if control.is_null() {
        return None;
    }
    Some(if control["ttl"] == "1h" { 3_600 } else { 300 })
}
