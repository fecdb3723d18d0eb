//! The keys in Cohere's answers for usage.

use crate::usage::Key;

pub(crate) fn key(name: &[u8]) -> Option<Key> {
    (name == b"billed_units").then_some(Key::Billed)
}
