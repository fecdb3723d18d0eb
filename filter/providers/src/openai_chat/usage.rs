//! The keys in chat completions for usage and the end of an answer: those of OpenAI, Groq and DeepSeek.

use crate::usage::Key;

pub(crate) fn key(name: &[u8]) -> Option<Key> {
    Some(match name {
        b"x_groq" => Key::Envelope,
        b"prompt_tokens_details" => Key::InputDetails,
        b"completion_tokens_details" => Key::OutputDetails,
        b"choices" => Key::Choices,
        b"prompt_tokens" => Key::InputWhole,
        b"completion_tokens" => Key::Output,
        b"reasoning_tokens" => Key::Reasoning,
        b"cached_tokens" | b"prompt_cache_hit_tokens" => Key::Cached,
        b"cache_write_tokens" => Key::CacheWritten,
        _ => return None,
    })
}
