//! Reads a JSON document byte by byte, in constant memory.
//!
//! The scanner follows the structure of the document and remembers the keys on the way to the current
//! position, as far as they can lead to something relevant. It never needs more than one key, one number or
//! one short text at a time, so the network may cut the document anywhere. `usage` decides what is relevant.

use memchr::memchr2;

use crate::anthropic::usage::is_bound_elsewhere;
use crate::base64::Decoder;
use crate::table;
use crate::usage::{Findings, Frame, Key, Text};

/// Containers below this depth hold nothing relevant: a root array, an object, `response`, `usage`,
/// `cacheDetails` and its element are six.
const DEPTH: usize = 6;
/// The longest key that matters, `cache_creation_input_tokens`, has 27 bytes.
const KEY_BYTES: usize = 32;
/// The longest names of models: the ids of Bedrock's inference profiles.
const TEXT_BYTES: usize = 160;

/// The place of the next byte in the grammar.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Position {
    #[default]
    Between,
    String,
    Escape,
    Number,
}

/// What the current string is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Role {
    /// Nothing relevant.
    #[default]
    Passing,
    Key,
    Text(Text),
    /// Another document, in base64.
    Wrapped,
}

/// Reads one JSON document after another.
#[derive(Debug, Default)]
pub struct Scanner {
    at: Position,
    /// All open containers; those beyond `DEPTH` are only counted.
    depth: usize,
    frames: [Frame; DEPTH],
    role: Role,
    /// Whether the next string is a key.
    key_next: bool,
    key: Key,
    short: Short,
    /// `None` once a number is not whole.
    number: Option<u64>,
    found: Findings,
    /// The inner document, for documents that carry one; `None`: none is expected.
    wrapped: Option<Box<NestedDocument>>,
}

/// A document inside a document.
#[derive(Debug, Default)]
struct NestedDocument {
    decoder: Decoder,
    scanner: Scanner,
}

/// A key or a text, as long as it is short.
#[derive(Debug)]
struct Short {
    bytes: [u8; TEXT_BYTES],
    /// Larger than the room if it is too long, or contains an escape that is not decoded.
    len: usize,
    /// How many bytes are stored in any case.
    head: usize,
}

impl Default for Short {
    fn default() -> Self {
        Self { bytes: [0; TEXT_BYTES], len: 0, head: 0 }
    }
}

impl Short {
    fn push(&mut self, text: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..) {
            let fits = room.len().min(text.len());
            for (room, byte) in room.iter_mut().zip(text) {
                *room = *byte;
            }
            self.head = self.len.saturating_add(fits);
        }
        self.len = self.len.saturating_add(text.len());
    }

    fn clear(&mut self) {
        (self.len, self.head) = (0, 0);
    }

    fn spoil(&mut self) {
        self.len = usize::MAX;
    }

    fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len)
    }

    /// The stored bytes, up to the first escape that is not decoded.
    fn head(&self) -> &[u8] {
        self.bytes.get(..self.head).unwrap_or_default()
    }
}

impl Scanner {
    /// A scanner for the documents of Bedrock's `invoke-with-response-stream`, which carry another one in
    /// their member `bytes`.
    pub fn of_wrapped() -> Self {
        Self { wrapped: Some(Box::default()), ..Self::default() }
    }

    /// What was found so far.
    pub fn found(&self) -> &Findings {
        match &self.wrapped {
            Some(wrapped) if !wrapped.scanner.found.is_empty() => &wrapped.scanner.found,
            _ => &self.found,
        }
    }

    /// As [`Scanner::found`], to add findings from outside the document.
    pub fn found_mut(&mut self) -> &mut Findings {
        match &mut self.wrapped {
            Some(wrapped) if !wrapped.scanner.found.is_empty() => &mut wrapped.scanner.found,
            _ => &mut self.found,
        }
    }

    /// Starts a new document; what was found stays.
    pub fn next_document(&mut self) {
        let mut found = std::mem::take(&mut self.found);
        found.end_document();
        let wrapped = self.wrapped.take();
        *self = Self { found, wrapped, ..Self::default() };
    }

    /// Reads the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = match self.at {
                Position::String => self.string(bytes),
                Position::Escape => {
                    self.escape(byte);
                    rest
                }
                Position::Number => self.number(byte, bytes, rest),
                Position::Between => {
                    self.between(byte);
                    rest
                }
            };
        }
    }

    fn between(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.role = self.role_of_string();
                self.short.clear();
                self.at = Position::String;
            }
            b'{' | b'[' => self.open(byte == b'['),
            b'}' | b']' => {
                self.found.close(self.frames.get(..self.depth).unwrap_or_default());
                self.depth = self.depth.saturating_sub(1);
                self.key = Key::Other;
                self.key_next = false;
            }
            b',' => {
                self.key = Key::Other;
                self.key_next = self.top().is_some_and(|frame| !frame.array);
            }
            b'0'..=b'9' => {
                self.number = Some(u64::from(byte - b'0'));
                self.at = Position::Number;
            }
            _ => {}
        }
    }

    fn role_of_string(&mut self) -> Role {
        if self.depth > DEPTH {
            return Role::Passing;
        }
        if self.key_next {
            return Role::Key;
        }
        if self.key == Key::Bytes
            && self.depth == 1
            && let Some(wrapped) = &mut self.wrapped
        {
            wrapped.decoder = Decoder::default();
            wrapped.scanner.next_document();
            return Role::Wrapped;
        }
        Text::at(self.open_frames(), self.key).map_or(Role::Passing, Role::Text)
    }

    fn open(&mut self, array: bool) {
        let key = std::mem::take(&mut self.key);
        if let Some(frame) = self.frames.get_mut(self.depth) {
            *frame = Frame { key, array };
        }
        self.depth = self.depth.saturating_add(1);
        self.key_next = !array;
    }

    fn top(&self) -> Option<&Frame> {
        self.frames.get(self.depth.checked_sub(1)?)
    }

    /// Empty below the depth at which something can be relevant.
    fn open_frames(&self) -> &[Frame] {
        self.frames.get(..self.depth).unwrap_or_default()
    }

    /// Most of an answer is inside strings: look for their end several bytes at a time.
    fn string<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let end = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        let (text, rest) = bytes.split_at(end);
        self.take(text);
        let Some((&byte, rest)) = rest.split_first() else { return rest };
        if byte == b'\\' {
            self.at = Position::Escape;
            return rest;
        }
        self.at = Position::Between;
        match (std::mem::take(&mut self.role), self.short.get()) {
            (Role::Key, name) => {
                self.key = name.filter(|name| name.len() <= KEY_BYTES).map_or(Key::Other, table::key);
            }
            (Role::Text(Text::Message), _) if is_bound_elsewhere(self.short.head()) => {
                self.found.refuse_for_prefix();
            }
            (Role::Text(Text::Message), _) => {}
            (Role::Text(text), Some(value)) => self.found.text(text, value),
            _ => {}
        }
        self.key_next = false;
        rest
    }

    fn take(&mut self, text: &[u8]) {
        match self.role {
            Role::Passing => {}
            Role::Key | Role::Text(_) => self.short.push(text),
            Role::Wrapped => {
                if let Some(wrapped) = &mut self.wrapped {
                    let NestedDocument { decoder, scanner } = &mut **wrapped;
                    decoder.feed(text, |bytes| scanner.feed(bytes));
                }
            }
        }
    }

    fn escape(&mut self, byte: u8) {
        self.at = Position::String;
        match byte {
            b'/' => self.take(b"/"),
            // Nothing relevant is spelled with other escapes.
            _ => self.short.spoil(),
        }
    }

    fn number<'b>(&mut self, byte: u8, bytes: &'b [u8], rest: &'b [u8]) -> &'b [u8] {
        match byte {
            b'0'..=b'9' => {
                let digit = u64::from(byte - b'0');
                self.number = self.number.and_then(|n| n.checked_mul(10)?.checked_add(digit));
                rest
            }
            b'.' | b'e' | b'E' | b'+' | b'-' => {
                self.number = None;
                rest
            }
            _ => {
                self.at = Position::Between;
                if let Some(number) = self.number.take() {
                    let open = self.frames.get(..self.depth).unwrap_or_default();
                    self.found.figure(open, self.key, number);
                }
                bytes
            }
        }
    }
}
