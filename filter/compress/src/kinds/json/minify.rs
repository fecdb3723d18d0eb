//! JSON without layout: still JSON, for documents that a table does not make shorter.

use headroom_providers::string;

use super::parse::{Minification, Tree};
use super::spell;

/// A text with its documents minified.
#[derive(Debug)]
pub(crate) struct MinifiedText {
    pub(crate) text: String,
    /// Whether some string now has other escapes than before.
    pub(crate) respelled: bool,
}

/// All documents of the tree, one per line.
pub(crate) fn documents(tree: &Tree<'_>) -> MinifiedText {
    let mut text = String::with_capacity(tree.text.len());
    let mut respelled = false;
    let mut from = 0;
    for layout in &tree.layout {
        let (start, end) = (layout.start as usize, layout.end as usize);
        text.push_str(tree.text.get(from..start).unwrap_or_default());
        from = end;
        match layout.becomes {
            Minification::Nothing => {}
            Minification::LineEnd => text.push('\n'),
            Minification::String => {
                let at = text.len();
                match string::decode(tree.text.get(start + 1..end - 1).unwrap_or_default()) {
                    Some(value) => spell::quote(&mut text, &value),
                    None => text.push_str(tree.text.get(start..end).unwrap_or_default()),
                }
                respelled |=
                    text.get(at..).unwrap_or_default() != tree.text.get(start..end).unwrap_or_default();
            }
        }
    }
    text.push_str(tree.text.get(from..).unwrap_or_default());
    MinifiedText { text, respelled }
}
