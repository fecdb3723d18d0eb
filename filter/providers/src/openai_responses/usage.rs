//! The keys in responses for usage and the end of an answer.

use crate::usage::Key;

pub(crate) fn key(name: &[u8]) -> Option<Key> {
    Some(match name {
        b"input_tokens_details" => Key::InputDetails,
        b"output_tokens_details" => Key::OutputDetails,
        b"incomplete_details" => Key::Incomplete,
        _ => return None,
    })
}
