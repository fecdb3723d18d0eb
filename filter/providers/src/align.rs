//! The aligner: lines of a system prompt that change from request to request move to its end, so that what stands before
//! them is the same in every request and can be read from the provider's cache.
//!
//! Which lines is said by rules that are a part of the configuration; nothing is found out here. A rule names a prompt by
//! the digest of its first line, lines by their number, and for each line the class of what changes in it. A line that
//! shows nothing of the class stays: the prompt has become another one, or the rule was wrong. In a moved line's place
//! stands its number, and behind a note at the end the line under that number, so the model reads the same prompt.
//!
//! A prompt in which Claude Code has put its accounting line is left alone.

use std::fmt::Write as _;
use std::ops::Range;

use crate::prompt::{BILLING, Class, Line, Prompt, line_digest, lines};
use crate::tape::NotUnderstood;

/// What is done to one system prompt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The digest of the prompt's first line that is not blank.
    pub prompt: u64,
    /// The lines that move, by their number from 1, each with what has to be seen in it.
    pub lines: Vec<(u32, Class)>,
    /// Whether lines end with a line feed alone, without blanks before it.
    pub trim: bool,
}

/// What a rule makes of a prompt.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    /// Inside the prompt's texts.
    pub(crate) edits: Vec<(Range<usize>, String)>,
    /// What goes to the end, as JSON spells it; empty: no line moves.
    pub(crate) tail: String,
    /// Lines that move, or lose blanks.
    pub(crate) lines: u32,
    /// What the model reads beside its prompt.
    pub(crate) added: String,
}

/// How what has moved begins at the end of a prompt.
pub const NOTE: &str = "Lines that were moved here from further up in this prompt:";

/// What a prompt becomes under the first rule that names it. `None`: nothing changes.
pub(crate) fn align(
    body: &str,
    prompt: &Prompt<'_, '_>,
    rules: &[Rule],
) -> Result<Option<Aligned>, NotUnderstood> {
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
    let mut aligned = Aligned::default();
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
