//! A single text through the engine: as the only tool output of a request.

use headroom_compress::{Api, Config, Memo, Outcome, Profile, Request, compress};
use serde_json::Value;

use crate::text;

/// Memory for one text's entry. Bytes. Every call has a different text.
const MEMO_BYTES: usize = 1 << 20;

/// The tool that a text comes from by default.
const SOME_TOOL: &str = "tool";

/// The engine with the settings from the arguments.
#[derive(Clone, Debug)]
pub(super) struct Compressor {
    config: Config,
}

/// The result for a text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct CompressedText {
    pub(super) text: String,
    /// A compressor's name, or `skipped:` and the reason.
    pub(super) outcome: String,
    pub(super) kind: &'static str,
    pub(super) tokens_before: u32,
    pub(super) tokens_after: u32,
    /// The hash to retrieve what was left out; `None` if nothing was.
    pub(super) left_out: Option<String>,
}

impl Compressor {
    pub(super) fn new(profile: Profile) -> Self {
        Self { config: Config { profile, ..Config::default() } }
    }

    /// Compresses a text. `query` says what the text is needed for and decides what is kept. Something is
    /// left out only if `reversible`.
    pub(super) fn compress(
        &self,
        text: &str,
        tool: Option<&str>,
        query: &str,
        reversible: bool,
    ) -> Option<CompressedText> {
        let body = text::request(text, tool.unwrap_or(SOME_TOOL), query);
        let request = Request { reversible, ..Request::new(Api::OpenAiChat) };
        let outcome = compress(body.as_bytes(), &request, &self.config, &mut Memo::new(MEMO_BYTES));
        compressed(&outcome)
    }
}

fn compressed(outcome: &Outcome<'_>) -> Option<CompressedText> {
    let body: Value = serde_json::from_slice(&outcome.body).ok()?;
    let block = outcome.blocks.first()?;
    Some(CompressedText {
        text: body.pointer("/messages/2/content")?.as_str()?.to_owned(),
        outcome: block.outcome.name(),
        kind: block.kind.name(),
        tokens_before: block.tokens_before,
        tokens_after: block.tokens_after,
        left_out: outcome.originals.first().map(|original| original.hash.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> String {
        (0..2_000)
            .map(|n| format!("2026-01-01T00:00:{:02}Z INFO worker {n} finished job {}\n", n % 60, n * 31))
            .collect()
    }

    #[test]
    fn something_is_left_out_only_where_it_can_be_had_back() {
        let compressor = Compressor::new(Profile::Balanced);
        let text = log();
        let lossy = compressor.compress(&text, Some("Bash"), "", true).unwrap();
        let hash = headroom_compress::address(&text);
        assert_eq!(lossy.left_out.as_deref(), Some(hash.as_str()));
        assert!(lossy.text.contains(&hash) && lossy.tokens_after < lossy.tokens_before / 2, "{lossy:?}");
        let lossless = compressor.compress(&text, Some("Bash"), "", false).unwrap();
        assert!(lossless.left_out.is_none() && !lossless.text.contains("headroom_retrieve"));
    }

    #[test]
    fn what_cannot_be_compressed_comes_back_as_it_was() {
        let compressor = Compressor::new(Profile::Balanced);
        for text in ["", "short", "größe \"quoted\"\r\n\u{1F600}"] {
            assert_eq!(compressor.compress(text, None, "why", true).unwrap().text, text);
        }
    }
}
