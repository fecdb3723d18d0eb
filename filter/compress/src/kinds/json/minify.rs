//! JSON without layout: still JSON, for documents that no table makes shorter.

use super::parse::{Shape, Tree};
use super::spell;

/// A text with its documents minified.
#[derive(Debug, Default)]
pub(crate) struct Minified {
    pub(crate) text: String,
    /// Some string is spelled with other escapes than before.
    pub(crate) respelled: bool,
}

/// All documents of the tree, one per line.
pub(crate) fn documents(tree: &Tree<'_>) -> Minified {
    let mut out = Minified { text: String::with_capacity(tree.text.len()), respelled: false };
    for (at, &root) in tree.roots.iter().enumerate() {
        if at > 0 {
            out.text.push('\n');
        }
        out.value(tree, root);
    }
    out
}

impl Minified {
    fn value(&mut self, tree: &Tree<'_>, id: u32) {
        match tree.node(id).shape {
            Shape::Array => {
                self.text.push('[');
                for (at, item) in tree.items(id).enumerate() {
                    if at > 0 {
                        self.text.push(',');
                    }
                    self.value(tree, item);
                }
                self.text.push(']');
            }
            Shape::Object => {
                self.text.push('{');
                for (at, (key, item)) in tree.entries(id).enumerate() {
                    if at > 0 {
                        self.text.push(',');
                    }
                    self.scalar(tree, key);
                    self.text.push(':');
                    self.value(tree, item);
                }
                self.text.push('}');
            }
            _ => self.scalar(tree, id),
        }
    }

    fn scalar(&mut self, tree: &Tree<'_>, id: u32) {
        if tree.node(id).escaped {
            self.escaped(tree, id);
        } else {
            self.text.push_str(tree.raw(id));
        }
    }

    fn escaped(&mut self, tree: &Tree<'_>, id: u32) {
        let Some(text) = tree.string(id) else { return self.text.push_str(tree.raw(id)) };
        let from = self.text.len();
        spell::quote(&mut self.text, &text);
        self.respelled |= self.text[from..] != *tree.raw(id);
    }
}
