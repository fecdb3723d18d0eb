//! JSON without layout: still JSON, for documents that no table makes shorter.

use super::parse::{Becomes, Tree};
use super::spell;
use crate::wire::string;

/// A text with its documents minified.
#[derive(Debug)]
pub(crate) struct Minified {
    pub(crate) text: String,
    /// Some string is spelled with other escapes than before.
    pub(crate) respelled: bool,
}

/// All documents of the tree, one per line.
pub(crate) fn documents(tree: &Tree<'_>) -> Minified {
    let mut text = String::with_capacity(tree.text.len());
    let mut respelled = false;
    let mut from = 0;
    for layout in &tree.layout {
        let (start, end) = (layout.start as usize, layout.end as usize);
        text.push_str(&tree.text[from..start]);
        from = end;
        match layout.becomes {
            Becomes::Nothing => {}
            Becomes::LineEnd => text.push('\n'),
            Becomes::String => {
                let at = text.len();
                match string::decode(&tree.text[start + 1..end - 1]) {
                    Some(value) => spell::quote(&mut text, &value),
                    None => text.push_str(&tree.text[start..end]),
                }
                respelled |= text[at..] != tree.text[start..end];
            }
        }
    }
    text.push_str(&tree.text[from..]);
    Minified { text, respelled }
}
