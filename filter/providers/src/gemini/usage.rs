//! The keys in Gemini's answers for usage and the end of an answer.

use crate::usage::Key;

pub(crate) fn key(name: &[u8]) -> Option<Key> {
    Some(match name {
        b"usageMetadata" => Key::Usage,
        b"candidates" => Key::Choices,
        b"promptFeedback" => Key::Feedback,
        b"promptTokenCount" => Key::InputWhole,
        b"toolUsePromptTokenCount" => Key::ToolInput,
        b"candidatesTokenCount" => Key::Output,
        b"thoughtsTokenCount" => Key::Thoughts,
        b"cachedContentTokenCount" => Key::Cached,
        b"modelVersion" => Key::Model,
        b"finishReason" => Key::StopReason,
        b"blockReason" => Key::Reason,
        _ => return None,
    })
}
