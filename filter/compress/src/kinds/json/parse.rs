//! A strict JSON parser that keeps every value as a span of the text.
//!
//! Nodes lie in document order in one vector; a container's first child follows it directly, and
//! `next` leads past a node's whole subtree. An object's children alternate between keys and values.
//! Nothing is converted: numbers and strings stay as they are spelled, duplicate keys stay, so
//! whatever is written from the tree can be exact to the bit. One pass, no recursion.

use std::borrow::Cow;
use std::ops::Range;

use crate::wire::string;

/// Deeper documents are left alone. The same limit as serde_json's, so that neither the recursive
/// writers here nor a client's own parser can run out of stack.
const MAX_DEPTH: usize = 128;

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
    /// Items of an array, entries of an object.
    pub(crate) len: u32,
}

/// One or more documents over one text.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    pub(crate) text: &'a str,
    nodes: Vec<Node>,
    pub(crate) roots: Vec<u32>,
    /// Where the first document starts in the text.
    pub(crate) start: usize,
    /// Where the last document ends in the text.
    pub(crate) end: usize,
}

impl<'a> Tree<'a> {
    /// Reads the documents (objects or arrays) that follow each other from `start` on with nothing
    /// but white space between them, and stops at the first thing that is something else.
    pub(crate) fn read(text: &'a str, start: usize) -> Option<Self> {
        u32::try_from(text.len()).ok()?;
        let mut parser = Parser { bytes: text.as_bytes(), at: start, nodes: Vec::new() };
        parser.nodes.reserve((text.len() - start.min(text.len())) / 12);
        let mut roots = Vec::new();
        let mut end = start;
        loop {
            parser.skip_space();
            let (nodes, root) = (parser.nodes.len(), parser.nodes.len() as u32);
            if !matches!(parser.peek(), Some(b'{' | b'[')) || parser.document().is_none() {
                parser.nodes.truncate(nodes);
                break;
            }
            end = parser.at;
            roots.push(root);
        }
        (!roots.is_empty()).then_some(Self { text, nodes: parser.nodes, roots, start, end })
    }

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
        &self.text[self.span(id)]
    }

    /// A string's content between its quotes, as the text spells it.
    pub(crate) fn inner(&self, id: u32) -> &'a str {
        let span = self.span(id);
        &self.text[span.start + 1..span.end - 1]
    }

    /// A string's value; `None` for lone surrogates, which no Rust string can hold.
    pub(crate) fn string(&self, id: u32) -> Option<Cow<'a, str>> {
        if self.node(id).escaped {
            string::decode(self.inner(id)).map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(self.inner(id)))
        }
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
}

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
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn push(&mut self, shape: Shape, start: usize, escaped: bool) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { shape, escaped, start: start as u32, end: self.at as u32, next, len: 0 });
    }

    /// One value with everything in it.
    fn document(&mut self) -> Option<()> {
        let mut open: Vec<usize> = Vec::new();
        loop {
            // a value starts here
            self.skip_space();
            let start = self.at;
            let mut entered = false;
            match self.peek()? {
                b'"' => {
                    let escaped = self.string()?;
                    self.push(Shape::String, start, escaped);
                }
                b'{' | b'[' => {
                    if open.len() == MAX_DEPTH {
                        return None;
                    }
                    let object = self.bytes[start] == b'{';
                    self.at += 1;
                    open.push(self.nodes.len());
                    self.push(if object { Shape::Object } else { Shape::Array }, start, false);
                    entered = true;
                }
                b't' => self.word(b"true", Shape::Bool)?,
                b'f' => self.word(b"false", Shape::Bool)?,
                b'n' => self.word(b"null", Shape::Null)?,
                _ => {
                    self.number()?;
                    self.push(Shape::Number, start, false);
                }
            }
            // what follows it: a comma, or the end of one or more containers
            loop {
                let Some(&container) = open.last() else { return Some(()) };
                let object = self.nodes[container].shape == Shape::Object;
                self.skip_space();
                match self.peek()? {
                    b',' if !entered => {
                        self.at += 1;
                        self.nodes[container].len += 1;
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    byte @ (b'}' | b']') => {
                        if (byte == b'}') != object {
                            return None;
                        }
                        self.at += 1;
                        let next = self.nodes.len() as u32;
                        let node = &mut self.nodes[container];
                        node.len += u32::from(!entered);
                        node.end = self.at as u32;
                        node.next = next;
                        open.pop();
                        entered = false;
                    }
                    _ if entered => {
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    _ => return None,
                }
            }
        }
    }

    fn key(&mut self) -> Option<()> {
        self.skip_space();
        let start = self.at;
        let escaped = self.string()?;
        self.push(Shape::String, start, escaped);
        self.skip_space();
        (self.peek()? == b':').then(|| self.at += 1)
    }

    fn word(&mut self, word: &[u8], shape: Shape) -> Option<()> {
        let start = self.at;
        self.bytes[start..].starts_with(word).then(|| {
            self.at += word.len();
            self.push(shape, start, false);
        })
    }

    /// Moves past a string and says whether it holds an escape.
    fn string(&mut self) -> Option<bool> {
        if self.peek()? != b'"' {
            return None;
        }
        let (end, escaped) = string::end(self.bytes, self.at + 1)?;
        self.at = end + 1;
        Some(escaped)
    }

    fn number(&mut self) -> Option<()> {
        let length = number_length(&self.bytes[self.at..])?;
        self.at += length;
        Some(())
    }
}

/// The length of the JSON number that `bytes` start with.
pub(crate) fn number_length(bytes: &[u8]) -> Option<usize> {
    let digits =
        |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && bytes[at] == b'0') {
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
