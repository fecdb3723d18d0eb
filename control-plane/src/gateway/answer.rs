//! The answer to a caller.

use std::collections::BTreeMap;

use serde::Serialize;

use super::request::{CompressRequest, Input, Mode};
use super::row::{CompressedRow, RowResult};

/// Why rows were returned unchanged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SkipReason {
    /// `x-headroom-bypass` asked for it.
    Bypass,
    /// It took too long.
    Timeout,
    /// Too many calls are waiting.
    Busy,
    /// The originals could not be stored.
    NotKept,
    /// An internal error.
    Internal,
}

impl SkipReason {
    /// The reason in the answer; `None` if the caller asked for it.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Bypass => None,
            Self::Timeout => Some("compression_timeout"),
            Self::Busy => Some("busy"),
            Self::NotKept => Some("originals_not_kept"),
            Self::Internal => Some("internal_error"),
        }
    }
}

/// Everything but the messages.
#[derive(Debug, Serialize)]
struct Figures<'a> {
    tokens_before: u64,
    tokens_after: u64,
    tokens_saved: u64,
    compression_ratio: f64,
    transforms_applied: Vec<String>,
    transforms_summary: BTreeMap<String, u32>,
    ccr_hashes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Session<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression_skipped: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skip_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    llmlingua: Option<&'a TextModelAnswer>,
    #[serde(flatten)]
    scored: Option<&'a ScorerAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<bool>,
}

/// What became of the wish for a text model.
#[derive(Clone, Debug, Serialize)]
pub(super) struct TextModelAnswer {
    /// Outputs that it has shortened.
    pub(super) shortened: usize,
    /// Why it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

/// Who has decided which lines what the user has said is about.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct ScorerAnswer {
    pub(super) scorer: &'static str,
    /// Why it is not the one that was asked for, or not for each output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scorer_note: Option<String>,
}

#[derive(Debug, Serialize)]
struct Session<'a> {
    id: &'a str,
    frozen_message_count: usize,
    cached_prefix_replayed: bool,
}

/// The planned result for one tool output.
#[derive(Debug, Serialize)]
struct PlannedOutput<'a> {
    /// The row's index among the messages.
    message: usize,
    tool: &'a str,
    kind: &'a str,
    outcome: &'a str,
    lossy: bool,
    tokens_before: u32,
    tokens_after: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<&'a str>,
}

impl<'a> PlannedOutput<'a> {
    fn new(message: usize, told: &'a RowResult) -> Self {
        let record = &told.record;
        Self {
            message,
            tool: &record.tool,
            kind: &record.kind,
            outcome: &record.outcome,
            lossy: record.lossy,
            tokens_before: record.tokens_before,
            tokens_after: record.tokens_after,
            left_out: told.left_out.as_deref(),
        }
    }
}

/// The results for the rows of a call.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) asked: &'a CompressRequest,
    pub(super) rows: &'a [CompressedRow],
    pub(super) hashes: Vec<String>,
    /// The number of rows with an earlier answer in the session.
    pub(super) replayed: usize,
    pub(super) skipped: Option<SkipReason>,
    /// `None`: nobody has asked for a text model.
    pub(super) text_model: Option<TextModelAnswer>,
    /// `None`: nobody has named a scorer, or nothing may be left out.
    pub(super) scored: Option<ScorerAnswer>,
}

impl Answer<'_> {
    /// The body.
    pub(super) fn json(&self) -> String {
        let simulated = self.asked.mode == Mode::Simulate && self.skipped.is_none();
        let mut body = String::with_capacity(self.asked.len() + 1024);
        body.push_str("{\"messages\":[");
        self.push_rows(&mut body, !simulated);
        if self.asked.input == Input::Items {
            body.push_str("],\"input\":[");
            self.push_rows(&mut body, !simulated);
        }
        if simulated {
            body.push_str("],\"plan\":{\"messages\":[");
            self.push_rows(&mut body, true);
            body.push_str("],\"blocks\":");
            body.push_str(&serde_json::to_string(&self.plan()).unwrap_or_else(|_| "[]".to_owned()));
            body.push_str("},");
        } else {
            body.push_str("],");
        }
        let figures = serde_json::to_string(&self.figures()).unwrap_or_default();
        body.push_str(figures.strip_prefix('{').unwrap_or("}"));
        body
    }

    fn push_rows(&self, body: &mut String, compressed: bool) {
        for (place, (row, answer)) in self.asked.rows().zip(self.rows).enumerate() {
            if place > 0 {
                body.push(',');
            }
            body.push_str(answer.text.as_deref().filter(|_| compressed).unwrap_or(row));
        }
    }

    fn figures(&self) -> Figures<'_> {
        let before = self.rows.iter().map(|row| row.before).sum();
        let after: u64 = self.rows.iter().map(|row| row.after).sum();
        let transforms: Vec<String> = self.told().filter_map(|(_, told)| transform(told)).collect();
        let mut summary = BTreeMap::new();
        for transform in &transforms {
            *summary.entry(transform.clone()).or_default() += 1;
        }
        let session = self.asked.session.as_deref().map(|id| Session {
            id,
            frozen_message_count: self.replayed,
            cached_prefix_replayed: self.replayed > 0,
        });
        let reason = self.skipped.and_then(SkipReason::reason);
        Figures {
            tokens_before: before,
            tokens_after: after,
            tokens_saved: before.saturating_sub(after),
            compression_ratio: if before == 0 { 1.0 } else { after as f64 / before as f64 },
            transforms_applied: transforms,
            transforms_summary: summary,
            ccr_hashes: self.hashes.clone(),
            session,
            compression_skipped: reason.map(|_| true),
            skip_reason: reason,
            llmlingua: self.text_model.as_ref(),
            scored: self.scored.as_ref(),
            simulated: (self.asked.mode == Mode::Simulate).then_some(true),
        }
    }

    fn plan(&self) -> Vec<PlannedOutput<'_>> {
        let planned = |(message, told)| PlannedOutput::new(message, told);
        self.told().map(planned).collect()
    }

    fn told(&self) -> impl Iterator<Item = (usize, &RowResult)> {
        let rows = self.rows.iter().enumerate();
        rows.flat_map(|(message, row)| row.blocks.iter().map(move |told| (message, told)))
    }
}

/// A form by the name of its compressor; `None` if the output is unchanged.
fn transform(told: &RowResult) -> Option<String> {
    let outcome = &told.record.outcome;
    let lossy = if told.record.lossy { ":lossy" } else { "" };
    (!outcome.starts_with("skipped:")).then(|| format!("headroom:{outcome}{lossy}"))
}
