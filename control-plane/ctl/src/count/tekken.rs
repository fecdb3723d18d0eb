//! Mistral's tokenizer, from the file that Mistral publishes with its models.

use std::collections::HashMap as StdHashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use tiktoken_rs::CoreBPE;

/// Maximum size of the file, in bytes: the published ones have 14 to 20 MB.
const MAX_BYTES: u64 = 128 << 20;
/// How texts are split before pairs are merged; the same in every published version. No other pattern is run,
/// because a pattern can run forever.
const PATTERN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

#[derive(Deserialize)]
struct Model {
    config: Described,
    vocab: Vec<Token>,
}

#[derive(Deserialize)]
struct Described {
    pattern: String,
    default_vocab_size: usize,
    default_num_special_tokens: usize,
}

#[derive(Deserialize)]
struct Token {
    rank: usize,
    token_bytes: String,
}

/// A Tekken tokenizer.
pub(super) struct Tekken(CoreBPE);

impl Tekken {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = || format!("--tokenizer: {}", path.display());
        let mut text = String::new();
        let file = File::open(path).with_context(name)?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).with_context(name)?;
        ensure!(text.len() as u64 <= MAX_BYTES, "{}: expected at most {} MiB", name(), MAX_BYTES >> 20);
        Self::parse(&text).with_context(name)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let Model { config, vocab } = serde_json::from_str(text).context("expected Mistral's tekken.json")?;
        ensure!(config.pattern == PATTERN, "it splits texts in a way that is not known here");
        let size = config.default_vocab_size.checked_sub(config.default_num_special_tokens);
        let size = size.filter(|size| *size <= vocab.len() && *size >= 256);
        let Some(size) = size else { bail!("its sizes do not fit each other") };
        let mut ranks = StdHashMap::with_capacity(size);
        for (place, token) in vocab.iter().take(size).enumerate() {
            ensure!(token.rank == place, "token {place} has the rank {}", token.rank);
            let bytes = BASE64_STANDARD.decode(&token.token_bytes);
            let bytes = bytes.with_context(|| format!("the bytes of token {place}"))?;
            let rank = u32::try_from(place)?;
            ensure!(ranks.insert(bytes, rank).is_none(), "token {place} is there twice");
        }
        for byte in 0..=u8::MAX {
            ensure!(ranks.contains_key(&[byte][..]), "the byte {byte} is not a token");
        }
        Ok(Self(CoreBPE::new(ranks.into_iter().collect(), [].into_iter().collect(), PATTERN)?))
    }

    /// The tokens of a text, without the tokens around messages.
    pub(super) fn count(&self, text: &str) -> usize {
        self.0.count_ordinary(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The bytes, and a few pairs in the order in which they are merged.
    fn model() -> Value {
        let pairs = ["he", "ll", "hell", "hello", " w", " wo"].map(|pair| pair.as_bytes().to_vec());
        let tokens = (0..=u8::MAX).map(|byte| vec![byte]).chain(pairs);
        let vocab: Vec<Value> = tokens
            .enumerate()
            .map(|(rank, bytes)| json!({"rank": rank, "token_bytes": BASE64_STANDARD.encode(bytes), "token_str": null}))
            .collect();
        let config = json!({"pattern": PATTERN, "num_vocab_tokens": vocab.len(), "default_vocab_size": 262 + 1000,
            "default_num_special_tokens": 1000, "version": "v3"});
        json!({"config": config, "vocab": vocab})
    }

    #[test]
    fn pairs_are_merged_by_rank_inside_of_the_pieces() {
        let tekken = Tekken::parse(&model().to_string()).unwrap();
        for (text, tokens) in [("", 0), ("hello", 1), ("hello world", 5), ("ß", 2), ("1234", 4), ("<s>", 3)]
        {
            assert_eq!(tekken.count(text), tokens, "{text:?}");
        }
        assert_eq!(tekken.count(&"x".repeat(1 << 18)), 1 << 18, "one piece, however long");
    }

    #[test]
    fn what_is_no_tokenizer_is_refused() {
        let good = model();
        let broken = |pointer: &str, value: Value| {
            let mut model = good.clone();
            *model.pointer_mut(pointer).unwrap() = value;
            Tekken::parse(&model.to_string()).err().map(|error| format!("{error:#}")).unwrap_or_default()
        };
        assert!(broken("/config/pattern", json!("(a+)+$")).contains("not known"));
        assert!(broken("/config/default_vocab_size", json!(3)).contains("sizes"));
        assert!(broken("/config/default_vocab_size", json!(9_000_000)).contains("sizes"));
        assert!(broken("/vocab/9/rank", json!(8)).contains("rank"));
        assert!(broken("/vocab/9/token_bytes", json!("%")).contains("bytes of token 9"));
        assert!(broken("/vocab/9/token_bytes", json!("CA==")).contains("twice"));
        assert!(broken("/vocab/9/token_bytes", json!("AAAA")).contains("byte 9 is not a token"));
        for text in ["", "[]", "{\"config\":{}}"] {
            assert!(Tekken::parse(text).is_err(), "{text}");
        }
    }
}
