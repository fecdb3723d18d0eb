//! What texts cost in tokens. The memo keeps each count.

use std::borrow::Cow;

use headroom_providers::tape::Span;

use crate::memo::Memo;
use crate::tokens::Encoding;

/// Forms are chosen by these tokens for every model: clients switch models in the middle of a conversation,
/// and what was sent before has to stay the same (I3).
pub(super) const FORMS: Encoding = Encoding::O200kBase;

/// The tokens of what a model reads of a value.
pub(super) fn count_span(span: Span, body: &str, encoding: Encoding, memo: &mut Memo) -> u32 {
    let raw = span.raw(body);
    let key = memo.fingerprint(raw).wrapping_add(encoding as u128);
    memo.count(key, || {
        let text = span.reading(body).unwrap_or(Cow::Borrowed(raw));
        u32::try_from(encoding.count(&text)).unwrap_or(u32::MAX)
    })
}

/// The tokens of a text that the body does not hold.
pub(super) fn count_text(text: &str, encoding: Encoding, memo: &mut Memo) -> u32 {
    memo.count(memo.fingerprint(text).wrapping_add(encoding as u128), || {
        u32::try_from(encoding.count(text)).unwrap_or(u32::MAX)
    })
}
