//! What the configuration says of old turns: whether they stay, or are rewritten at boundaries of a conversation.
//!
//! If a setting of it cannot be read, the filter does what changes least: old turns stay.

use headroom_compress::{AskedBack, CachePrice, Epochs, Weights};

use crate::lenient::Reader;

/// The values of `history`: whether old turns are rewritten.
pub(crate) const HISTORIES: &[(&str, bool)] = &[("append", false), ("epochs", true)];

/// The value of `history` that is used where it cannot be read.
pub(crate) const APPEND: (bool, &str) = (false, "old turns stay as they are");

/// Entries of `prices` and of `asked_back` that are looked through for each request.
const MAX_ENTRIES: usize = 256;
const MAX_TOKENS: u32 = 10_000_000;
const LEFT_OUT: &str = "the entry is left out";

/// Reads `epochs`.
pub(crate) fn read(reader: &mut Reader) -> Epochs {
    let defaults = Epochs::default();
    let Some(mut section) = reader.section("epochs") else { return defaults };
    let window_tokens = section.number("window_tokens", 1_000..=MAX_TOKENS, defaults.window_tokens);
    let quarter = (window_tokens / 4).max(500);
    let mut step_tokens = section.number("step_tokens", 500..=MAX_TOKENS, quarter);
    if step_tokens >= window_tokens {
        section.refuse("step_tokens", "expected less than window_tokens", "a quarter of it is used");
        step_tokens = quarter;
    }
    let epochs = Epochs {
        window_tokens,
        step_tokens,
        keep_turns: section.number("keep_turns", 1..=1_000, defaults.keep_turns),
        read_lifecycle: section.flag("read_lifecycle", defaults.read_lifecycle),
        intelligent_context: section.flag("intelligent_context", defaults.intelligent_context),
        weights: weights(&mut section),
        prices: prices(&mut section),
        asked_back: asked_back(&mut section),
    };
    reader.close(section);
    epochs
}

fn weights(section: &mut Reader) -> Weights {
    let defaults = Weights::default();
    let Some(mut weights) = section.section("weights") else { return defaults };
    let mut weight = |name: &str, default| weights.number(name, 0..=1_000, default);
    let read = Weights {
        recency: weight("recency", defaults.recency),
        semantic_similarity: weight("semantic_similarity", defaults.semantic_similarity),
        retrieval_rate: weight("retrieval_rate", defaults.retrieval_rate),
        error_indicators: weight("error_indicators", defaults.error_indicators),
        forward_references: weight("forward_references", defaults.forward_references),
        token_density: weight("token_density", defaults.token_density),
    };
    section.close(weights);
    read
}

fn prices(section: &mut Reader) -> Vec<CachePrice> {
    let mut prices = Vec::new();
    for mut entry in section.sections("prices") {
        let model = entry.pattern("model", LEFT_OUT).ok().flatten();
        let read = entry.required_number("read_percent", 0..=100, LEFT_OUT);
        let write = entry.required_number("write_percent", 0..=1_000, LEFT_OUT);
        if let (Some(model), Some(read_percent), Some(write_percent)) = (model, read, write) {
            prices.push(CachePrice { model, read_percent, write_percent });
        }
        section.close(entry);
    }
    capped(section, "prices", prices)
}

fn asked_back(section: &mut Reader) -> Vec<AskedBack> {
    let mut tools = Vec::new();
    for mut entry in section.sections("asked_back") {
        let tool = entry.pattern("tool", LEFT_OUT).ok().flatten();
        let percent = entry.required_number("percent", 0..=100, LEFT_OUT);
        if let (Some(tool), Some(percent)) = (tool, percent) {
            tools.push(AskedBack { tool, percent });
        }
        section.close(entry);
    }
    capped(section, "asked_back", tools)
}

fn capped<T>(section: &mut Reader, key: &str, mut entries: Vec<T>) -> Vec<T> {
    if entries.len() > MAX_ENTRIES {
        section.refuse(key, "expected at most 256 entries", "the others are left out");
        entries.truncate(MAX_ENTRIES);
    }
    entries
}
