//! The keys in Bedrock's answers for usage and the end of an answer.

use crate::usage::Key;

pub(crate) fn key(name: &[u8]) -> Option<Key> {
    Some(match name {
        b"cacheDetails" => Key::CacheDetails,
        b"bytes" => Key::Bytes,
        b"inputTokens" => Key::InputAlone,
        b"outputTokens" => Key::Output,
        b"cacheReadInputTokens" => Key::CacheRead,
        b"cacheWriteInputTokens" => Key::CacheWrite,
        b"stopReason" => Key::StopReason,
        _ => return None,
    })
}
