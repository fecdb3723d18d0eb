//! How a conversation begins.

use std::ops::Range;

use headroom_providers::walk::{Role, Walk};
use xxhash_rust::xxh3::Xxh3;

use crate::outcome::Opening;
use crate::working_directory::{is_accounting, is_agents_own};

/// Bytes of a question that are looked at.
const QUESTION_BYTES: usize = 512;

/// How the conversation begins, and where that stands behind the edits.
pub(super) fn opening(walk: &Walk<'_>, edits: &[(Range<usize>, &str)]) -> Option<Opening> {
    if walk.may_reason || walk.kept_by_provider {
        return None;
    }
    let (opening, rest) = walk.readings.split_at_checked(walk.opening)?;
    let last = opening.last().filter(|last| last.role == Role::User && last.span.is_string())?;
    let at = last.span.range().end.checked_sub(1)?;
    let before = edits.iter().take_while(|(span, _)| span.end <= at);
    let end = before.fold(at, |at, (span, text)| at.saturating_sub(span.len()).saturating_add(text.len()));
    let question = opening.iter().rev().filter(|reading| reading.role == Role::User);
    let question = question
        .filter_map(|reading| reading.span.text(walk.body))
        .find(|text| !is_agents_own(text))
        .unwrap_or_default();
    let question = question.get(..question.floor_char_boundary(QUESTION_BYTES)).unwrap_or_default();
    let is_all = !walk.is_answered && walk.outputs.is_empty() && rest.iter().all(|it| it.role != Role::User);
    Some(Opening { end, question: question.to_owned(), is_all })
}

/// The same for all requests of a conversation, as long as it begins in the same way.
pub(super) fn conversation_id(walk: &Walk<'_>) -> Option<String> {
    let opening = walk.readings.get(..walk.opening).filter(|opening| !opening.is_empty())?;
    let mut hash = Xxh3::new();
    for reading in opening.iter().filter(|reading| matches!(reading.role, Role::System | Role::User)) {
        if !is_accounting(reading, walk.body) {
            hash.update(reading.span.raw(walk.body).as_bytes());
        }
    }
    Some(format!("{:016x}", hash.digest()))
}
