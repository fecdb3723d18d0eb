//! What kind of content is this text?

use crate::outcome::Kind;

/// The kind of a text, from the text alone.
pub(crate) fn kind(_text: &str) -> Kind {
    Kind::Text
}
