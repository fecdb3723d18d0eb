//! `--explain`: what happened to each block, for people.

use std::io::{self, Write};

use headroom_compress::{BlockOutcome, Explanation, PRESSURE_TOKENS, Skip};

use super::record::{Record, Totals};
use crate::number::{grouped, saved};

/// One request: a headline, and a line per block.
pub(super) fn request(out: &mut impl Write, record: &Record) -> io::Result<()> {
    let tokens = &record.tokens;
    write!(out, "line {}", record.line)?;
    if let Some(id) = &record.id {
        write!(out, "  {}", id.get().trim_matches('"'))?;
    }
    if let Some(turn) = &record.turn {
        write!(out, "  turn {}", turn.get())?;
    }
    let (before, after) = (grouped(tokens.before), grouped(tokens.after));
    let api = record.api.unwrap_or("-");
    let model = record.model.as_deref().unwrap_or("no model");
    let share = saved(tokens.before, tokens.after);
    writeln!(out, "  {api}  {model}: {}, {before} -> {after} tokens, {share} saved", record.outcome)?;
    for block in &record.blocks {
        let (before, after) = (grouped(block.tokens_before.into()), grouped(block.tokens_after.into()));
        let tool = if block.tool.is_empty() { "(unknown tool)" } else { block.tool.as_str() };
        let loss = if block.lossy { " (lossy)" } else { "" };
        let memo = if block.memo { "  memo" } else { "" };
        writeln!(
            out,
            "    {tool:<24} {:<11} {:<24} {before:>9} -> {after:>9}{memo}",
            block.kind,
            format!("{}{loss}", block.outcome)
        )?;
        if let Some(left_out) = &block.left_out {
            writeln!(out, "        left out: {left_out}")?;
        }
        if let Some(explanation) = &block.explanation {
            attempts(out, explanation)?;
        }
        if !block.memo {
            writeln!(out, "        {}", reason(block.result))?;
        }
    }
    out.flush()
}

/// What the call suggested, and a line for each form that was tried.
fn attempts(out: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    if let Some(hint) = explanation.hint {
        writeln!(out, "        the call suggests {}; the text itself does not show a kind", hint.name())?;
    }
    if explanation.pressure > 0 {
        let total = PRESSURE_TOKENS.get(usize::from(explanation.pressure) - 1).copied().unwrap_or_default();
        writeln!(out, "        pressed harder: {} tokens or more stand before it", grouped(total))?;
    }
    for attempt in &explanation.attempts {
        let loss = if attempt.lossy { " (lossy)" } else { "" };
        let (before, after) = (grouped(attempt.tokens_before as u64), grouped(attempt.tokens_after as u64));
        writeln!(
            out,
            "        tried on {:<11} {:<24} {before:>9} -> {after:>9}  {}",
            attempt.kind.name(),
            format!("{}{loss}", attempt.compressor.name()),
            attempt.verdict.name()
        )?;
    }
    Ok(())
}

/// Why a block has this outcome.
fn reason(outcome: BlockOutcome) -> &'static str {
    match outcome {
        BlockOutcome::Compressed { lossy: true, .. } => {
            "forwarded: the forms taken together, with a marker for what is left out"
        }
        BlockOutcome::Compressed { .. } => "forwarded: the forms taken together, which have fewer tokens",
        BlockOutcome::Skipped(skip) => match skip {
            Skip::TooSmall => "as it was: shorter than min_block_bytes",
            Skip::TooLarge => "as it was: longer than max_block_bytes",
            Skip::PolicyOff => "as it was: the configuration says off for this tool or kind",
            Skip::Retrieved => "as it was: the model asked for it",
            Skip::NotText => "as it was: no text that can be replaced",
            Skip::Program => "as it was: a program at the provider reads it",
            Skip::NoGain => "as it was: no form saves enough tokens",
            Skip::TooCostly => "as it was: it takes more work than its size allows",
        },
    }
}

/// Sums over all requests.
pub(super) fn totals(out: &mut impl Write, totals: &Totals) -> io::Result<()> {
    let (before, after) = (totals.tokens_before, totals.tokens_after);
    writeln!(
        out,
        "\n{} requests: {} -> {} tokens, {} saved",
        grouped(totals.requests),
        grouped(before),
        grouped(after),
        saved(before, after)
    )?;
    for (outcome, requests) in &totals.by_request_outcome {
        writeln!(out, "    {outcome:<24} {:>9} requests", grouped(*requests))?;
    }
    writeln!(out, "blocks:")?;
    for (outcome, [blocks, before, after]) in &totals.by_block_outcome {
        writeln!(
            out,
            "    {outcome:<24} {:>9} blocks {:>13} -> {:>13} tokens",
            grouped(*blocks),
            grouped(*before),
            grouped(*after)
        )?;
    }
    out.flush()
}
