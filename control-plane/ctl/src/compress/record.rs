//! What happened to a request, as `--report` writes it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use headroom_compress::{Api, Block, BlockOutcome, Explanation, Outcome, UnreadReason, provider_tokens};
use serde::Serialize;
use serde_json::value::RawValue;

use super::format::Format;
use super::line::Line;
use super::text_model::{FORM, ShortenedText};

/// One request.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    /// Its file, if it is not from standard input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// Counted from 1.
    pub(super) line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) turn: Option<Box<RawValue>>,
    /// compressed, unchanged, not_json, unknown_format, not_understood or too_large.
    pub(super) outcome: &'static str,
    pub(super) api: Option<&'static str>,
    pub(super) model: Option<String>,
    pub(super) bytes_before: usize,
    pub(super) bytes_after: usize,
    pub(super) tokens: Tokens,
    pub(super) blocks: Vec<BlockRecord>,
    /// Content addresses of what lossy replacements left out.
    pub(super) originals: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Tokens {
    encoding: &'static str,
    estimate: bool,
    pub(super) before: u64,
    pub(super) after: u64,
    tool_outputs_before: u64,
    tool_outputs_after: u64,
}

/// One tool output.
#[derive(Debug, Serialize)]
pub(super) struct BlockRecord {
    pub(super) tool: String,
    pub(super) kind: &'static str,
    /// A compressor's name, or `skipped:` and the reason.
    pub(super) outcome: String,
    pub(super) lossy: bool,
    pub(super) tokens_before: u32,
    pub(super) tokens_after: u32,
    pub(super) memo: bool,
    /// The string's position in the client's body, quotes included. Bytes.
    span: [usize; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) left_out: Option<String>,
    /// Why it has this outcome, if requested and if the block is not known from an earlier request.
    #[serde(skip)]
    pub(super) explanation: Option<Explanation>,
    #[serde(skip)]
    pub(super) result: BlockOutcome,
}

/// Sums over all requests.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) by_request_outcome: BTreeMap<&'static str, u64>,
    pub(super) tokens_before: u64,
    pub(super) tokens_after: u64,
    /// Blocks, tokens before, tokens after.
    pub(super) by_block_outcome: BTreeMap<String, [u64; 3]>,
}

impl Record {
    /// A line that is returned unchanged because the engine cannot read it.
    pub(super) fn not_read(number: u64, line: Option<&Line<'_>>, outcome: &'static str) -> Self {
        Self {
            file: None,
            line: number,
            id: line.and_then(|line| line.id).map(ToOwned::to_owned),
            turn: line.and_then(|line| line.turn).map(ToOwned::to_owned),
            outcome,
            api: None,
            model: None,
            bytes_before: line.map_or(0, |line| line.body().len()),
            bytes_after: line.map_or(0, |line| line.body().len()),
            tokens: Tokens::default(),
            blocks: Vec::new(),
            originals: Vec::new(),
        }
    }

    /// What the engine did.
    pub(super) fn read(
        number: u64,
        line: &Line<'_>,
        format: Format,
        outcome: &Outcome<'_>,
        explanations: Vec<Option<Explanation>>,
    ) -> Self {
        let compressed = outcome.blocks.iter().any(|block| replaced(block.outcome));
        let tokens = &outcome.tokens;
        Self {
            api: Some(Api::from(format).name()),
            model: outcome.model.clone(),
            bytes_after: outcome.body.len(),
            tokens: Tokens {
                encoding: tokens.encoding.name(),
                estimate: tokens.estimate,
                before: tokens.before,
                after: tokens.after,
                tool_outputs_before: tokens.tool_outputs_before,
                tool_outputs_after: tokens.tool_outputs_after,
            },
            blocks: outcome
                .blocks
                .iter()
                .zip(explanations.into_iter().chain(std::iter::repeat(None)))
                .map(|(block, explanation)| {
                    BlockRecord::new(block, explanation, outcome.model.as_deref().unwrap_or_default())
                })
                .collect(),
            originals: outcome.originals.iter().map(|original| original.hash.to_string()).collect(),
            ..Self::not_read(
                number,
                Some(line),
                match outcome.unread {
                    Some(UnreadReason::TooLarge) => "too_large",
                    Some(UnreadReason::NotUnderstood) => "not_understood",
                    None if compressed => "compressed",
                    None if matches!(outcome.body, Cow::Owned(_)) => "extended",
                    None => "unchanged",
                },
            )
        }
    }
}

impl Record {
    /// Replaces the figures of the request, which was made for one text, with those of the text.
    pub(super) fn of_text(mut self, before: usize, after: usize) -> Self {
        (self.tokens.before, self.tokens.after) =
            (self.tokens.tool_outputs_before, self.tokens.tool_outputs_after);
        (self.bytes_before, self.bytes_after) = (before, after);
        self.api = None;
        self
    }
}

impl Record {
    /// The only output was shortened by a text model, where no form has shortened it.
    pub(super) fn note_shortened(&mut self, short: &ShortenedText) {
        self.outcome = "compressed";
        let after = u64::from(short.tokens);
        (self.tokens.after, self.tokens.tool_outputs_after) = (after, after);
        self.originals.push(short.hash.clone());
        for block in &mut self.blocks {
            block.outcome = FORM.to_owned();
            block.lossy = true;
            block.tokens_after = short.tokens;
            block.left_out = Some(short.left_out.clone());
        }
    }
}

impl BlockRecord {
    /// The figures of blocks in the same unit as those of the request.
    fn new(block: &Block, explanation: Option<Explanation>, model: &str) -> Self {
        let tokens = |plain: u32| u32::try_from(provider_tokens(model, plain.into())).unwrap_or(u32::MAX);
        Self {
            tool: block.tool.to_string(),
            kind: block.kind.name(),
            outcome: block.outcome.name(),
            lossy: matches!(block.outcome, BlockOutcome::Compressed { lossy: true, .. }),
            tokens_before: tokens(block.tokens_before),
            tokens_after: tokens(block.tokens_after),
            memo: block.memo,
            span: [block.span.start, block.span.end],
            left_out: block.left_out.as_ref().map(ToString::to_string),
            explanation,
            result: block.outcome,
        }
    }
}

impl Totals {
    pub(super) fn add(&mut self, record: &Record) {
        self.requests += 1;
        *self.by_request_outcome.entry(record.outcome).or_default() += 1;
        self.tokens_before += record.tokens.before;
        self.tokens_after += record.tokens.after;
        for block in &record.blocks {
            let [blocks, before, after] = self.by_block_outcome.entry(block.outcome.clone()).or_default();
            *blocks += 1;
            *before += u64::from(block.tokens_before);
            *after += u64::from(block.tokens_after);
        }
    }
}

fn replaced(outcome: BlockOutcome) -> bool {
    matches!(outcome, BlockOutcome::Compressed { .. })
}
