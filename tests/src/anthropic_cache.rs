//! Simulates what Anthropic's prompt cache reads and writes of requests, by its documented rules.
//!
//! A prefix of blocks (tools, then system, then messages) is written at each breakpoint, and nowhere else. From each
//! breakpoint the provider looks for a written prefix at the breakpoint itself and at up to 19 blocks before it; the
//! longest one is read. Prefixes of fewer tokens than a minimum are neither written nor read. Lifetimes are not
//! simulated: the requests of one conversation are assumed to be within them.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use headroom_compress::Encoding;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Positions that are searched from a breakpoint, inclusive.
const LOOK_BACK: usize = 20;
/// The minimum of most models.
const MIN_TOKENS: u64 = 1_024;
const MAX_BREAKPOINTS: usize = 4;

/// What was written so far.
#[derive(Clone, Debug, Default)]
pub struct AnthropicCache {
    written: HashSet<[u8; 32]>,
}

/// The input tokens of a request, counted in o200k_base.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InputTokens {
    /// Read from the cache.
    pub read: u64,
    /// Written to it.
    pub written: u64,
    /// Neither read nor written.
    pub plain: u64,
}

impl InputTokens {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.read + self.written + self.plain
    }

    /// What they cost, in tokens of plain input: a read costs a tenth, a write for five minutes a quarter more.
    pub fn cost(&self) -> f64 {
        0.1 * self.read as f64 + 1.25 * self.written as f64 + self.plain as f64
    }

    /// Adds another request's.
    pub fn add(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.plain += other.plain;
    }
}

/// A block: its digest including all before it, the tokens up to its end, and whether it has a breakpoint.
struct Block {
    prefix: [u8; 32],
    tokens: u64,
    is_breakpoint: bool,
}

impl AnthropicCache {
    /// Processes a request.
    pub fn ask(&mut self, body: &[u8]) -> Result<InputTokens> {
        let body: Value = serde_json::from_slice(body)?;
        let blocks = blocks(&body)?;
        let points: Vec<usize> = (0..blocks.len()).filter(|at| blocks[*at].is_breakpoint).collect();
        ensure!(points.len() <= MAX_BREAKPOINTS, "a request may have 4 breakpoints, this one has {points:?}");
        let long = |at: &usize| blocks[*at].tokens >= MIN_TOKENS;
        let found = points
            .iter()
            .flat_map(|point| point.saturating_sub(LOOK_BACK - 1)..=*point)
            .filter(|at| long(at) && self.written.contains(&blocks[*at].prefix))
            .max();
        let last = points.iter().copied().filter(|at| long(at)).max();
        self.written.extend(points.iter().filter(|at| long(at)).map(|at| blocks[*at].prefix));
        let tokens = |at: Option<usize>| at.map_or(0, |at| blocks[at].tokens);
        let read = tokens(found);
        let written = tokens(last).saturating_sub(read);
        let total = blocks.last().map_or(0, |block| block.tokens);
        Ok(InputTokens { read, written, plain: total - read - written })
    }
}

fn blocks(body: &Value) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let (mut prefix, mut tokens) = ([0; 32], 0);
    let mut push = |who: &str, block: &Value| {
        let mut block = block.clone();
        let control = block.as_object_mut().and_then(|members| members.remove("cache_control"));
        let text = format!("{who}{block}");
        prefix = Sha256::new_with_prefix(prefix).chain_update(&text).finalize().into();
        tokens += Encoding::O200kBase.count(&text) as u64;
        let is_breakpoint = control.is_some_and(|control| !control.is_null());
        blocks.push(Block { prefix, tokens, is_breakpoint });
    };
    let list = |content: &Value| match content {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        content => content.as_array().cloned().unwrap_or_default(),
    };
    list(&body["tools"]).iter().for_each(|tool| push("tools", tool));
    list(&body["system"]).iter().for_each(|block| push("system", block));
    for message in body["messages"].as_array().context("a request has messages")? {
        let role = message["role"].as_str().context("a message has a role")?;
        list(&message["content"]).iter().for_each(|block| push(role, block));
    }
    Ok(blocks)
}
