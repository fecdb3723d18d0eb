//! JSON without layout: still JSON, for documents that no table makes shorter.

use super::parse::{Shape, Tree};
use super::spell;

/// All documents of the tree, one per line.
pub(crate) fn documents(tree: &Tree<'_>) -> String {
    let mut out = String::with_capacity(tree.end - tree.start);
    for (at, &root) in tree.roots.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        value(tree, root, &mut out);
    }
    out
}

fn value(tree: &Tree<'_>, id: u32, out: &mut String) {
    match tree.node(id).shape {
        Shape::Array => {
            out.push('[');
            for (at, item) in tree.items(id).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                value(tree, item, out);
            }
            out.push(']');
        }
        Shape::Object => {
            out.push('{');
            for (at, (key, item)) in tree.entries(id).enumerate() {
                if at > 0 {
                    out.push(',');
                }
                string(tree, key, out);
                out.push(':');
                value(tree, item, out);
            }
            out.push('}');
        }
        Shape::String => string(tree, id, out),
        _ => out.push_str(tree.raw(id)),
    }
}

fn string(tree: &Tree<'_>, id: u32, out: &mut String) {
    if tree.node(id).escaped
        && let Some(text) = tree.string(id)
    {
        return spell::quote(out, &text);
    }
    out.push_str(tree.raw(id));
}
