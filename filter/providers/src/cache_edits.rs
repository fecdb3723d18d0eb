//! Changes to a request that are made only for the provider's prompt cache, if an operator asks for them:
//! breakpoints for clients that set none, and the [aligner](crate::align).
//!
//! Both are pure functions of the body and the configuration (I3). Providers do not bind reasoning to
//! `cache_control`.

use crate::align::{AlignedPrompt, Rule, align};
use crate::anthropic::breakpoints;
pub use crate::anthropic::breakpoints::Lifetime;
use crate::api::Api;
use crate::prompt::Prompt;
use crate::splice::Edits;
use crate::tape::{NotUnderstood, Tape};

/// The requested changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheEdits<'r> {
    /// Which lines of which system prompts move.
    pub align: &'r [Rule],
    /// The lifetime of cache entries at the new breakpoints; `None`: none are set.
    pub breakpoints: Option<Lifetime>,
}

/// A body that was changed for the cache.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CacheEdited {
    /// The body.
    pub body: Vec<u8>,
    /// Breakpoints that were set.
    pub breakpoints: u32,
    /// Lines of the system prompt that have moved, or lost blanks.
    pub aligned_lines: u32,
    /// The text that the model reads in addition to the client's.
    pub added: String,
}

impl CacheEdits<'_> {
    /// The changed body. `None`: nothing changes.
    pub fn apply(&self, body: &[u8], api: Api) -> Option<CacheEdited> {
        self.edit(body, api).ok().flatten()
    }

    fn edit(&self, body: &[u8], api: Api) -> Result<Option<CacheEdited>, NotUnderstood> {
        let lifetime = self.breakpoints.filter(|_| api.takes_breakpoints());
        if self.align.is_empty() && lifetime.is_none() {
            return Ok(None);
        }
        let tape = Tape::of(body)?;
        let prompt = api.prompt(tape.root())?;
        let aligned = match &prompt {
            Some(prompt) => align(tape.body(), prompt, self.align)?,
            None => None,
        };
        let mut edits = Edits::default();
        let breakpoints = match lifetime {
            Some(lifetime) => breakpoints::place(tape.root(), lifetime, &mut edits)?,
            None => None,
        };
        let AlignedPrompt { edits: inside, tail, lines: aligned_lines, added } = aligned.unwrap_or_default();
        edits.extend(inside);
        if let Some(prompt) = prompt.filter(|_| !tail.is_empty()) {
            append(&prompt, &tail, api, breakpoints.as_ref().is_some_and(|it| it.wraps_system), &mut edits);
        }
        if let Some(placed) = &breakpoints {
            placed.finish_system(&mut edits);
        }
        if edits.is_empty() {
            return Ok(None);
        }
        let body = edits.apply(tape.body()).ok_or(NotUnderstood)?;
        let breakpoints = breakpoints.map_or(0, |placed| placed.count);
        Ok(Some(CacheEdited { body, breakpoints, aligned_lines, added }))
    }
}

/// Appends a text to the system prompt: as its own part if the prompt is a list or can become one, since
/// breakpoints are set between parts. `is_open`: the prompt is being turned into a list, and its end follows.
fn append(prompt: &Prompt<'_, '_>, tail: &str, api: Api, is_open: bool, edits: &mut Edits) {
    let (range, part) = (prompt.value.span().range(), prompt.part);
    let last = range.end.saturating_sub(1);
    if !prompt.value.is_string() {
        edits.insert(last, format!(",{part}\"{tail}\"}}"));
    } else if is_open {
        edits.insert(range.end, format!(",{part}\"{tail}\"}}"));
    } else if api.takes_text_for_list() {
        edits.insert(range.start, format!("[{part}"));
        edits.insert(range.end, format!("}},{part}\"{tail}\"}}]"));
    } else {
        edits.insert(last, format!("\\n\\n{tail}"));
    }
}

#[cfg(test)]
mod tests;
