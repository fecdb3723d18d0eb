//! The aligner: moves lines of a system prompt that change from request to request to its end. The text
//! before them is then the same in every request and can be read from the provider's cache.
//!
//! Rules in the configuration say which lines move; this module finds nothing out itself. A rule names a
//! prompt by the digest of its first line, its lines by their number, and for each line the class of what
//! changes in it. A line that shows nothing of its class stays: the prompt has changed, or the rule was
//! wrong. A moved line is replaced by its number, and a note at the end introduces the line under that
//! number, so the model reads the same prompt.
//!
//! A prompt into which Claude Code has put its accounting line is left alone.

use std::fmt::Write as _;
use std::ops::Range;

use crate::prompt::{BILLING, Class, Line, Prompt, line_digest, lines};
use crate::tape::NotUnderstood;

/// What is done to one system prompt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The digest of the prompt's first line that is not blank.
    pub prompt: u64,
    /// The lines that move, by their number from 1, each with the class that has to be found in it.
    pub lines: Vec<(u32, Class)>,
    /// Whether blanks before the ends of lines are removed.
    pub trim: bool,
}

/// The result of a rule for a prompt.
#[derive(Debug, Default)]
pub(crate) struct AlignedPrompt {
    /// Edits inside the prompt's texts.
    pub(crate) edits: Vec<(Range<usize>, String)>,
    /// The text for the end of the prompt, as JSON spells it; empty: no line moves.
    pub(crate) tail: String,
    /// Lines that move, or lose blanks.
    pub(crate) lines: u32,
    /// The text that the model reads in addition to its prompt.
    pub(crate) added: String,
}

/// The note before the moved lines at the end of a prompt.
pub const NOTE: &str = "Lines that were moved here from further up in this prompt:";

/// Applies the first rule that names this prompt. `None`: nothing changes.
pub(crate) fn align(
    body: &str,
    prompt: &Prompt<'_, '_>,
    rules: &[Rule],
) -> Result<Option<AlignedPrompt>, NotUnderstood> {
    if rules.is_empty() {
        return Ok(None);
    }
    let all: Vec<Line> = prompt.texts()?.into_iter().flat_map(|text| lines(body, text)).collect();
    let Some(first) = all.iter().find(|line| !line.is_blank()) else { return Ok(None) };
    let digest = line_digest(first.whole(body).as_bytes());
    let Some(rule) = rules.iter().find(|rule| rule.prompt == digest) else { return Ok(None) };
    if all.iter().any(|line| line.raw(body).starts_with(BILLING)) {
        return Ok(None);
    }
    let mut aligned = AlignedPrompt::default();
    let mut moved = 0_u32;
    for (line, number) in all.iter().zip(1_u32..) {
        let class = rule.lines.iter().find(|(at, _)| *at == number).map(|(_, class)| *class);
        let moves = match class.filter(|_| !line.is_blank()) {
            Some(class) => class.is_in(&line.said(body).ok_or(NotUnderstood)?),
            None => false,
        };
        if moves {
            moved = moved.saturating_add(1);
            let place = format!("[moved line {moved}: see the end of this prompt]");
            if aligned.tail.is_empty() {
                aligned.tail.push_str(NOTE);
                aligned.added.push_str(NOTE);
            }
            // Writing to a String cannot fail.
            let _ = write!(aligned.tail, "\\nmoved line {moved}: {}", line.raw(body));
            let _ = write!(aligned.added, "\nmoved line {moved}: {place}");
            aligned.edits.push((line.text..line.text_end, place));
        }
        let trims = rule.trim && line.text_end < line.end;
        if trims {
            aligned.edits.push((line.text_end..line.end, String::new()));
        }
        aligned.lines = aligned.lines.saturating_add(u32::from(moves || trims));
    }
    Ok((aligned.lines > 0).then_some(aligned))
}
