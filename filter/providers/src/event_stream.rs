//! AWS event streams (`application/vnd.amazon.eventstream`): passes the payload of each message to the
//! scanner as it comes.
//!
//! A message is: its length, the length of its headers, a CRC-32 of these two; the headers; the payload; a
//! CRC-32 of everything. Numbers are big-endian. Every byte goes to the client, and the client checks the
//! message's checksum, so only the first one is checked here: it shows that a stream really is of this
//! format.

use crate::scan::Scanner;

const PRELUDE_BYTES: usize = 12;
const SUM_BYTES: u32 = 4;
/// The longest message that AWS allows.
const MAX_MESSAGE_BYTES: u32 = 24 << 20;
/// The longest names that are searched for: `:exception-type`, and values like `modelStreamErrorException`.
const HEADER_BYTES: usize = 64;
/// Headers that name the error if a message is not an event.
const ERROR_HEADERS: [&[u8]; 2] = [b":exception-type", b":error-code"];

/// Reads a stream of messages.
#[derive(Debug)]
pub(crate) struct Messages {
    at: Position,
    /// The current part, as far as it fits.
    short: [u8; HEADER_BYTES],
    short_len: usize,
    headers_left: u32,
    payload_bytes: u32,
    names_error: bool,
    pub(crate) scanner: Scanner,
}

/// Which part of a message the next byte belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Position {
    Prelude,
    NameLength,
    Name(u8),
    Kind,
    ValueLength(Option<u8>),
    Value {
        left: u32,
        text: bool,
    },
    Payload(u32),
    Sum(u32),
    /// The format is violated: nothing more is read.
    Broken,
}

impl Messages {
    pub(crate) fn new() -> Self {
        Self {
            at: Position::Prelude,
            short: [0; HEADER_BYTES],
            short_len: 0,
            headers_left: 0,
            payload_bytes: 0,
            names_error: false,
            scanner: Scanner::of_wrapped(),
        }
    }

    /// Reads the next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Position::Payload(left) = self.at {
                let piece = bytes.len().min(left as usize);
                let (payload, behind) = bytes.split_at(piece);
                self.scanner.feed(payload);
                self.payload(left - u32::try_from(piece).unwrap_or(left));
                bytes = behind;
                continue;
            }
            self.byte(byte);
            bytes = rest;
        }
    }

    fn byte(&mut self, byte: u8) {
        match self.at {
            Position::Prelude => {
                self.keep(byte);
                if self.short_len == PRELUDE_BYTES {
                    self.begin();
                }
            }
            Position::NameLength => {
                self.short_len = 0;
                self.header(1, if byte == 0 { Position::Kind } else { Position::Name(byte) });
            }
            Position::Name(left) => {
                self.keep(byte);
                self.header(1, if left == 1 { Position::Kind } else { Position::Name(left - 1) });
            }
            Position::Kind => {
                let name = self.short.get(..self.short_len).unwrap_or_default();
                self.names_error = ERROR_HEADERS.contains(&name);
                self.short_len = 0;
                // The types are: true, false, byte, short, integer, long, bytes, string, time, UUID.
                let next = match byte {
                    0 | 1 => Position::NameLength,
                    2 => Position::Value { left: 1, text: false },
                    3 => Position::Value { left: 2, text: false },
                    4 => Position::Value { left: 4, text: false },
                    5 | 8 => Position::Value { left: 8, text: false },
                    6 | 7 => Position::ValueLength(None),
                    9 => Position::Value { left: 16, text: false },
                    _ => Position::Broken,
                };
                self.header(1, next);
            }
            Position::ValueLength(None) => self.header(1, Position::ValueLength(Some(byte))),
            Position::ValueLength(Some(high)) => {
                let left = u32::from(u16::from_be_bytes([high, byte]));
                self.header(
                    1,
                    if left == 0 { Position::NameLength } else { Position::Value { left, text: true } },
                );
            }
            Position::Value { left, text } => {
                self.keep(byte);
                let next =
                    if left == 1 { Position::NameLength } else { Position::Value { left: left - 1, text } };
                if left == 1
                    && text
                    && self.names_error
                    && let Some(class) = self.short.get(..self.short_len)
                {
                    self.scanner.found_mut().error(class);
                }
                self.header(1, next);
            }
            Position::Sum(left) => {
                self.at = if left == 1 { Position::Prelude } else { Position::Sum(left - 1) }
            }
            Position::Payload(_) | Position::Broken => {}
        }
    }

    /// Keeps a byte. What is longer than the buffer cannot be a name that is searched for.
    fn keep(&mut self, byte: u8) {
        if let Some(room) = self.short.get_mut(self.short_len) {
            *room = byte;
        }
        self.short_len = self.short_len.saturating_add(1);
    }

    /// The prelude is complete.
    fn begin(&mut self) {
        self.short_len = 0;
        let number = |at: usize| -> u32 {
            let bytes = self.short.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_be_bytes)
        };
        let (length, headers, sum) = (number(0), number(4), number(8));
        let around = PRELUDE_BYTES as u32 + SUM_BYTES;
        let payload = length.checked_sub(around).and_then(|rest| rest.checked_sub(headers));
        let sound =
            length <= MAX_MESSAGE_BYTES && crc32fast::hash(self.short.get(..8).unwrap_or_default()) == sum;
        let Some(payload) = payload.filter(|_| sound) else {
            self.at = Position::Broken;
            return;
        };
        self.headers_left = headers;
        self.payload_bytes = payload;
        self.names_error = false;
        self.header(0, Position::NameLength);
    }

    /// This many bytes of the headers have been read; `next` follows unless the headers have ended.
    fn header(&mut self, bytes: u32, next: Position) {
        let Some(left) = self.headers_left.checked_sub(bytes) else {
            self.at = Position::Broken;
            return;
        };
        self.headers_left = left;
        match (left, next) {
            (0, Position::NameLength) => self.payload(self.payload_bytes),
            // The header is longer than the rest of the headers.
            (0, _) => self.at = Position::Broken,
            (_, next) => self.at = next,
        }
    }

    /// This many bytes of the payload are still to come.
    fn payload(&mut self, left: u32) {
        if left > 0 {
            self.at = Position::Payload(left);
        } else {
            self.scanner.next_document();
            self.short_len = 0;
            self.at = Position::Sum(SUM_BYTES);
        }
    }
}
