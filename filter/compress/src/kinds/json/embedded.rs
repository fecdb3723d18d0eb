//! JSON documents inside strings: `"{\"a\": 1}"` as `$json{a:1}`.
//!
//! Only for strings in one of a few usual layouts, so that the exact string can be written again from the
//! document: no white space (`$json`), a blank after commas and colons (`$json_spaced`, Python's default), or
//! lines indented by two or four (`$json_indent2`, `$json_indent4`).

use super::parse::{Shape, Tree};
use super::spell;
use crate::kinds::sink::{Comparison, Sink};

/// Shorter strings gain nothing.
const MIN_BYTES: usize = 16;

/// The deepest nesting of documents in strings; deeper ones stay strings. Each level doubles the escapes, so
/// real ones have two levels.
const MAX_NESTING: usize = 3;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Layout {
    Compact,
    Spaced,
    Indented(usize),
}

impl Layout {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Compact => "$json",
            Self::Spaced => "$json_spaced",
            Self::Indented(2) => "$json_indent2",
            Self::Indented(_) => "$json_indent4",
        }
    }

    /// The only layout that the text can have.
    fn guess(text: &str) -> Option<Self> {
        let inside = text.get(1..)?;
        if let Some(rest) = inside.strip_prefix('\n') {
            return match rest.bytes().take_while(|&b| b == b' ').count() {
                width @ (2 | 4) => Some(Self::Indented(width)),
                _ => None,
            };
        }
        let spaced = text.contains(": ") || text.contains(", ");
        let compact = text.contains(":\"") || text.contains("\",\"") || !spaced;
        Some(if compact && !text.contains("\": ") && !text.contains(", \"") {
            Self::Compact
        } else {
            Self::Spaced
        })
    }
}

/// The document in a string, and its layout; `None` if it has to stay a string.
pub(crate) fn document(text: &str, nesting: usize) -> Option<(Layout, Tree<'_>)> {
    if nesting >= MAX_NESTING
        || text.len() < MIN_BYTES
        || !text.starts_with(['{', '['])
        || !text.ends_with(['}', ']'])
    {
        return None;
    }
    let layout = Layout::guess(text)?;
    let tree = Tree::read(text)?;
    let [root] = tree.roots[..] else { return None };
    if tree.text.len() != text.len() || tree.size() < 3 {
        return None;
    }
    let mut again = Comparison::with(text);
    lay_out(&tree, root, layout, 0, &mut again)?;
    again.is_equal().then_some((layout, tree))
}

/// Writes a document in a layout, with minimal escapes in strings; `None` if a string is spelled differently.
fn lay_out(tree: &Tree<'_>, id: u32, layout: Layout, depth: usize, out: &mut impl Sink) -> Option<()> {
    if out.differs() {
        return None;
    }
    let node = tree.node(id);
    match node.shape {
        Shape::String => return spell_minimally(tree, id, out),
        Shape::Array | Shape::Object => {
            let object = node.shape == Shape::Object;
            out.push_str(if object { "{" } else { "[" });
            let mut children = (0..node.len).scan(id + 1, |at, _| {
                let child = *at;
                *at = if object { tree.after(child + 1) } else { tree.after(child) };
                Some(child)
            });
            for index in 0..node.len {
                let child = children.next()?;
                if index > 0 {
                    out.push_str(",");
                }
                match layout {
                    Layout::Indented(width) => line(out, width * (depth + 1)),
                    Layout::Spaced if index > 0 => out.push_str(" "),
                    _ => {}
                }
                if object {
                    spell_minimally(tree, child, out)?;
                    out.push_str(if layout == Layout::Compact { ":" } else { ": " });
                }
                lay_out(tree, child + u32::from(object), layout, depth + 1, out)?;
            }
            if let (Layout::Indented(width), 1..) = (layout, node.len) {
                line(out, width * depth);
            }
            out.push_str(if object { "}" } else { "]" });
        }
        _ => out.push_str(tree.raw(id)),
    }
    Some(())
}

fn line(out: &mut impl Sink, width: usize) {
    out.push_str("\n");
    out.push_blanks(width);
}

fn spell_minimally(tree: &Tree<'_>, id: u32, out: &mut impl Sink) -> Option<()> {
    let mut spelled = String::new();
    spell::quote(&mut spelled, &tree.string(id)?);
    out.push_str(&spelled);
    (spelled == tree.raw(id)).then_some(())
}
