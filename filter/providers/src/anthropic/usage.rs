//! The keys in Anthropic's answers for usage and the end of an answer.

use memchr::memmem;

use crate::usage::Key;

pub(crate) fn key(name: &[u8]) -> Option<Key> {
    Some(match name {
        b"delta" => Key::Envelope,
        b"cache_creation" => Key::CacheCreation,
        b"input_transformations" => Key::Transformations,
        b"cache_read_input_tokens" => Key::CacheRead,
        b"cache_creation_input_tokens" => Key::CacheWrite,
        b"ephemeral_5m_input_tokens" => Key::CacheWrite5m,
        b"ephemeral_1h_input_tokens" => Key::CacheWrite1h,
        b"stop_reason" => Key::StopReason,
        _ => return None,
    })
}

/// Part of the message of a refusal for a changed prefix: *messages.1.content.0: Invalid `signature` in
/// `thinking` block. The block is bound to a different conversation.*
const BOUND_ELSEWHERE: &[u8] = b"bound to a different conversation";

/// Whether an error message says that thinking is bound to another conversation.
pub(crate) fn is_bound_elsewhere(message: &[u8]) -> bool {
    memmem::find(message, BOUND_ELSEWHERE).is_some()
}
