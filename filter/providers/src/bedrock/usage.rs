//! The words in which answers of Bedrock say what they cost and how they ended.

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
