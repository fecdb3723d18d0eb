//! Token usage out of a provider's JSON, byte by byte and in constant memory.
//!
//! The scanner follows the structure of the document and remembers the keys on the way down to where
//! it stands, as far as they can lead to usage. It never needs more than one key or one number at a
//! time, so it does not matter where the network cuts the document.

use headroom_api::v1::Usage;
use memchr::memchr2;

/// Containers below this depth cannot hold usage: a root array, an object, `response`, `usage` and
/// `prompt_tokens_details` are five.
const DEPTH: usize = 5;
/// The longest key that matters, `cache_creation_input_tokens`, has 27 bytes.
const KEY_BYTES: usize = 32;

/// The meaning of a key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Key {
    #[default]
    Other,
    /// What a streamed event wraps the message in.
    Envelope,
    Usage,
    Details,
    Input,
    Output,
    Thoughts,
    CacheRead,
    Cached,
    CacheWrite,
}

impl Key {
    fn of(name: &[u8]) -> Self {
        match name {
            b"message" | b"response" => Self::Envelope,
            b"usage" | b"usageMetadata" => Self::Usage,
            b"prompt_tokens_details" | b"input_tokens_details" => Self::Details,
            b"input_tokens" | b"prompt_tokens" | b"promptTokenCount" => Self::Input,
            b"output_tokens" | b"completion_tokens" | b"candidatesTokenCount" => Self::Output,
            b"thoughtsTokenCount" => Self::Thoughts,
            b"cache_read_input_tokens" | b"cachedContentTokenCount" => Self::CacheRead,
            b"cached_tokens" => Self::Cached,
            b"cache_creation_input_tokens" => Self::CacheWrite,
            _ => Self::Other,
        }
    }
}

/// Where in the grammar the next byte stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum At {
    #[default]
    Between,
    String,
    Escape,
    Number,
}

/// An open container.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    /// The key that it stands under.
    key: Key,
    array: bool,
}

/// Reads usage from one JSON document after another.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    at: At,
    /// All open containers; those beyond `DEPTH` are only counted.
    depth: usize,
    frames: [Frame; DEPTH],
    /// The string at hand is a key.
    in_key: bool,
    /// The next string is a key.
    key_next: bool,
    key: Key,
    name: [u8; KEY_BYTES],
    /// Longer than `name` when the key is.
    name_len: usize,
    /// `None` once a number is no whole number.
    number: Option<u64>,
    output: u64,
    thoughts: u64,
    found: Option<Usage>,
}

impl Scanner {
    /// What was found so far; a later figure replaces an earlier one.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.found
    }

    /// Starts a new document; what was found stays.
    pub(crate) fn next_document(&mut self) {
        let Self { output, thoughts, found, .. } = *self;
        *self = Self { output, thoughts, found, ..Self::default() };
    }

    /// Reads on.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = match self.at {
                At::String => self.string(bytes),
                At::Escape => {
                    // No key that matters is spelled with escapes.
                    self.name_len = KEY_BYTES + 1;
                    self.at = At::String;
                    rest
                }
                At::Number => self.number(byte, bytes, rest),
                At::Between => {
                    self.between(byte);
                    rest
                }
            };
        }
    }

    fn between(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.in_key = self.key_next && self.depth <= DEPTH;
                self.name_len = 0;
                self.at = At::String;
            }
            b'{' | b'[' => self.open(byte == b'['),
            b'}' | b']' => {
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
                self.at = At::Number;
            }
            _ => {}
        }
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

    /// Most of an answer is inside strings: look for their end several bytes at a time.
    fn string<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let end = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        let (text, rest) = bytes.split_at(end);
        if self.in_key {
            let len = self.name_len.saturating_add(text.len());
            if let Some(room) = self.name.get_mut(self.name_len..len) {
                room.copy_from_slice(text);
            }
            self.name_len = len;
        }
        let Some((&byte, rest)) = rest.split_first() else { return rest };
        if byte == b'\\' {
            self.at = At::Escape;
        } else {
            self.at = At::Between;
            if self.in_key {
                self.key = self.name.get(..self.name_len).map_or(Key::Other, Key::of);
            }
            self.in_key = false;
            self.key_next = false;
        }
        rest
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
                self.at = At::Between;
                if let Some(number) = self.number.take() {
                    self.figure(number);
                }
                bytes
            }
        }
    }

    fn figure(&mut self, figure: u64) {
        let open = self.frames.get(..self.depth).unwrap_or_default();
        // Gemini streams an array of answers unless asked for events.
        let path = match open {
            [Frame { array: true, .. }, rest @ ..] => rest,
            all => all,
        };
        let in_details = match path {
            [_, Frame { key: Key::Usage, .. }] => false,
            [_, Frame { key: Key::Envelope, .. }, Frame { key: Key::Usage, .. }] => false,
            [_, Frame { key: Key::Usage, .. }, Frame { key: Key::Details, .. }] => true,
            [
                _,
                Frame { key: Key::Envelope, .. },
                Frame { key: Key::Usage, .. },
                Frame { key: Key::Details, .. },
            ] => true,
            _ => return,
        };
        let mut usage = self.found.unwrap_or_default();
        match (self.key, in_details) {
            (Key::Input, false) => usage.input_tokens = figure,
            (Key::Output, false) => self.output = figure,
            (Key::Thoughts, false) => self.thoughts = figure,
            (Key::CacheRead, false) | (Key::Cached, true) => usage.cache_read_tokens = figure,
            (Key::CacheWrite, false) => usage.cache_write_tokens = figure,
            _ => return,
        }
        // Gemini counts thinking apart from the answer; it is billed as output.
        usage.output_tokens = self.output.saturating_add(self.thoughts);
        self.found = Some(usage);
    }
}
