//! A strict JSON parser that keeps every value as a span of the text.
//!
//! Nodes are in document order in one vector. A container's first child follows it directly, and `next` leads
//! past a node's whole subtree. An object's children alternate between keys and values. Nothing is converted:
//! numbers and strings keep their spelling, and duplicate keys stay, so the output can be exact. One pass;
//! the depth is limited.

use std::borrow::Cow;
use std::ops::Range;

use headroom_providers::string;

use super::keys::Names;
use crate::work;

/// Deeper documents are left alone. The limit of serde_json, so that neither the recursive writers here nor a
/// client's own parser can run out of stack.
const MAX_DEPTH: usize = 128;

/// The most keys and values of all documents in a text. Each takes some twenty bytes here, and more in what
/// is derived from it, however short it is. Eight megabytes of JSON with ordinary values have 700 thousand.
pub(super) const MAX_NODES: usize = 1 << 20;

/// Bytes per key and value in outputs without layout, to reserve room for the nodes once.
const BYTES_PER_NODE: usize = 12;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) shape: Shape,
    /// A string with at least one backslash.
    pub(crate) escaped: bool,
    start: u32,
    end: u32,
    next: u32,
    /// The number of items of an array or entries of an object; for a key, the [number](Tree::name) of its
    /// name.
    pub(crate) len: u32,
}

/// One or more documents.
#[derive(Clone, Debug)]
pub(crate) struct Tree<'a> {
    /// The text from the start of the first document to the end of the last.
    pub(crate) text: &'a str,
    nodes: Vec<Node>,
    pub(crate) roots: Vec<u32>,
    /// How many different names the keys have.
    pub(crate) names: usize,
    /// The places that minification makes shorter, in the order of the text.
    pub(crate) layout: Vec<Layout>,
}

/// A part of a document that minification shortens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) becomes: Minification,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Minification {
    /// White space between tokens.
    Nothing,
    /// The text between two documents.
    LineEnd,
    /// A string with escapes.
    String,
}

impl<'a> Tree<'a> {
    /// Reads the documents (objects or arrays) at the start of a text, with only white space between them,
    /// and stops at the first other content.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        u32::try_from(text.len()).ok()?;
        work::spend(text.len());
        let bytes = text.as_bytes();
        let nodes = Vec::with_capacity(bytes.len() / BYTES_PER_NODE);
        let layout = Vec::with_capacity(bytes.len() / BYTES_PER_NODE);
        let mut parser = Parser { bytes, at: 0, nodes, names: Names::new(), layout };
        let mut roots = Vec::new();
        let mut end = 0;
        while let Some(b'{' | b'[') = parser.peek() {
            let (root, layout) = (parser.nodes.len(), parser.layout.len());
            if root > 0 && text.get(end..parser.at).unwrap_or_default() != "\n" {
                parser.lay_out(end, Minification::LineEnd);
            }
            if parser.value(0).is_none() {
                parser.nodes.truncate(root);
                parser.layout.truncate(layout);
                break;
            }
            end = parser.at;
            roots.push(root as u32);
            parser.at += spaces(bytes.get(end..).unwrap_or_default());
        }
        let Parser { nodes, names, layout, .. } = parser;
        (!roots.is_empty()).then(|| Self {
            text: text.get(..end).unwrap_or_default(),
            nodes,
            roots,
            names: names.len(),
            layout,
        })
    }

    #[allow(clippy::indexing_slicing, reason = "nodes are numbered by the list that they stand in")]
    pub(crate) fn node(&self, id: u32) -> Node {
        self.nodes[id as usize]
    }

    /// The number of nodes.
    pub(crate) fn size(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn span(&self, id: u32) -> Range<usize> {
        let node = self.node(id);
        node.start as usize..node.end as usize
    }

    /// The value as the text spells it.
    pub(crate) fn raw(&self, id: u32) -> &'a str {
        self.text.get(self.span(id)).unwrap_or_default()
    }

    /// A string's content between its quotes, as the text spells it.
    pub(crate) fn inner(&self, id: u32) -> &'a str {
        let span = self.span(id);
        self.text.get(span.start + 1..span.end - 1).unwrap_or_default()
    }

    /// A string's value; `None` if it has a lone surrogate, which a Rust string cannot hold.
    pub(crate) fn string(&self, id: u32) -> Option<Cow<'a, str>> {
        if self.node(id).escaped {
            string::decode(self.inner(id)).map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(self.inner(id)))
        }
    }

    /// The number of a key's name, below [`Tree::names`]: equal spellings have equal numbers.
    pub(crate) fn name(&self, key: u32) -> u32 {
        self.node(key).len
    }

    /// The node after a whole subtree.
    pub(crate) fn after(&self, id: u32) -> u32 {
        self.node(id).next
    }

    /// The items of an array.
    pub(crate) fn items(&self, id: u32) -> Items<'_, 'a> {
        Items { tree: self, at: id + 1, left: self.node(id).len }
    }

    /// The entries of an object: key and value.
    pub(crate) fn entries(&self, id: u32) -> Entries<'_, 'a> {
        Entries { tree: self, at: id + 1, left: self.node(id).len }
    }
}

#[derive(Clone)]
pub(crate) struct Items<'t, 'a> {
    tree: &'t Tree<'a>,
    at: u32,
    left: u32,
}

impl Iterator for Items<'_, '_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let item = self.at;
        self.at = self.tree.node(item).next;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

#[derive(Clone)]
pub(crate) struct Entries<'t, 'a> {
    tree: &'t Tree<'a>,
    at: u32,
    left: u32,
}

impl Iterator for Entries<'_, '_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        self.left = self.left.checked_sub(1)?;
        let key = self.at;
        self.at = self.tree.node(key + 1).next;
        Some((key, key + 1))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    names: Names<'a>,
    layout: Vec<Layout>,
}

impl<'a> Parser<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn skip_space(&mut self) {
        if let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            let start = self.at;
            self.at += spaces(self.bytes.get(start..).unwrap_or_default());
            self.lay_out(start, Minification::Nothing);
        }
    }

    /// Notes the text between `start` and here.
    fn lay_out(&mut self, start: usize, becomes: Minification) {
        self.layout.push(Layout { start: start as u32, end: self.at as u32, becomes });
    }

    #[inline]
    fn push(&mut self, shape: Shape, start: usize, escaped: bool, len: u32) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { shape, escaped, start: start as u32, end: self.at as u32, next, len });
    }

    /// Reads one value with its content, at `depth`.
    fn value(&mut self, depth: usize) -> Option<()> {
        if self.nodes.len() >= MAX_NODES {
            return None;
        }
        match self.peek()? {
            b'"' => {
                let start = self.at;
                let escaped = self.string()?;
                self.push(Shape::String, start, escaped, 0);
                Some(())
            }
            b'{' => self.container(Shape::Object, depth),
            b'[' => self.container(Shape::Array, depth),
            b't' => self.word(b"true", Shape::Bool),
            b'f' => self.word(b"false", Shape::Bool),
            b'n' => self.word(b"null", Shape::Null),
            _ => self.number(),
        }
    }

    fn container(&mut self, shape: Shape, depth: usize) -> Option<()> {
        if depth == MAX_DEPTH {
            return None;
        }
        let close = if shape == Shape::Object { b'}' } else { b']' };
        let id = self.nodes.len();
        self.push(shape, self.at, false, 0);
        self.at += 1;
        self.skip_space();
        let mut len = 0;
        if self.peek()? != close {
            loop {
                if shape == Shape::Object {
                    self.key()?;
                }
                self.value(depth + 1)?;
                len += 1;
                self.skip_space();
                match self.peek()? {
                    b',' => self.at += 1,
                    byte if byte == close => break,
                    _ => return None,
                }
                self.skip_space();
            }
        }
        self.at += 1;
        let next = self.nodes.len() as u32;
        let node = self.nodes.get_mut(id)?;
        (node.end, node.next, node.len) = (self.at as u32, next, len);
        Some(())
    }

    /// Reads a key, and the text between it and its value.
    fn key(&mut self) -> Option<()> {
        if self.peek()? != b'"' {
            return None;
        }
        let start = self.at;
        let escaped = self.string()?;
        let name = self.names.number(self.bytes.get(start + 1..self.at - 1).unwrap_or_default());
        self.push(Shape::String, start, escaped, name);
        self.skip_space();
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        self.skip_space();
        Some(())
    }

    fn word(&mut self, word: &[u8], shape: Shape) -> Option<()> {
        let start = self.at;
        self.bytes.get(start..).unwrap_or_default().starts_with(word).then(|| {
            self.at += word.len();
            self.push(shape, start, false, 0);
        })
    }

    /// Reads a string whose first quote is here, and returns whether it contains an escape.
    fn string(&mut self) -> Option<bool> {
        let start = self.at;
        let (end, escaped) = string::end(self.bytes, start + 1)?;
        self.at = end + 1;
        if escaped {
            self.lay_out(start, Minification::String);
        }
        Some(escaped)
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        self.at += number_length(self.bytes.get(start..).unwrap_or_default())?;
        self.push(Shape::Number, start, false, 0);
        Some(())
    }
}

/// The length of the white space that `bytes` start with.
pub(crate) fn spaces(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count()
}

/// The length of the JSON number that `bytes` start with.
pub(crate) fn number_length(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        bytes
            .get(from.min(bytes.len())..)
            .unwrap_or_default()
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && bytes.get(at) == Some(&b'0')) {
        return None;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return None;
        }
        at += 1 + sign + exponent;
    }
    Some(at)
}
