//! Server-sent events: their data as it comes, or whole events with their original bytes.
//!
//! Both work on bytes: a character, a line or a field name may be cut anywhere, and a line may end in LF, in
//! CR, or in both.

use memchr::memchr2;

const FIELD: &[u8] = b"data:";

/// The place of the next byte in a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Line {
    /// This many bytes of the line are read, and all of them match `FIELD`.
    Name(usize),
    Data,
    Skipped,
}

/// What a stream of events consists of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Piece<'b> {
    /// Bytes of an event's data.
    Data(&'b [u8]),
    /// The end of an event.
    End,
}

/// Passes on the data of events as it comes, and keeps none of it.
#[derive(Debug)]
pub(crate) struct Pieces {
    line: Line,
    /// The last byte was a CR that ended a line, and an LF may still belong to it.
    after_cr: bool,
}

impl Default for Pieces {
    fn default() -> Self {
        Self { line: Line::Name(0), after_cr: false }
    }
}

impl Pieces {
    /// Reads the next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Piece<'_>)) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                bytes = rest;
                continue;
            }
            let Line::Name(read) = self.line else {
                bytes = self.rest_of_line(bytes, &mut each);
                continue;
            };
            match byte {
                b'\n' | b'\r' => {
                    if read == 0 {
                        each(Piece::End);
                    }
                    self.line = Line::Name(0);
                    self.after_cr = byte == b'\r';
                }
                _ if FIELD.get(read) == Some(&byte) => {
                    let read = read + 1;
                    self.line = if read == FIELD.len() { Line::Data } else { Line::Name(read) };
                }
                _ => self.line = Line::Skipped,
            }
            bytes = rest;
        }
    }

    fn rest_of_line<'b>(&mut self, bytes: &'b [u8], each: &mut impl FnMut(Piece<'_>)) -> &'b [u8] {
        let end = memchr2(b'\n', b'\r', bytes);
        let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end.saturating_add(1)));
        if self.line == Line::Data {
            each(Piece::Data(line));
        }
        if end.is_some() {
            self.line = Line::Name(0);
            self.after_cr = line.last() == Some(&b'\r');
        }
        rest
    }
}

/// One event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// The bytes as they came, with the blank line that ends them.
    pub raw: Vec<u8>,
    /// The field `event`; empty if there is none.
    pub name: String,
    /// The fields `data`, joined by line feeds; empty if there are none, as in a comment.
    pub data: String,
}

/// Splits a stream of bytes into events, wherever the network cuts it, and keeps those that are held.
#[derive(Debug, Default)]
pub struct Splitter {
    held: Vec<u8>,
    bytes: Vec<u8>,
    /// How many of `bytes` have been returned as events.
    taken: usize,
    /// How many of `bytes` are known to contain no further end of an event.
    searched: usize,
}

impl Splitter {
    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.searched = self.searched.saturating_sub(self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The number of bytes that are kept.
    pub fn kept(&self) -> usize {
        self.held.len() + self.bytes.len() - self.taken
    }

    /// Takes the rest for an event whose blank line is missing. Without data it is not an event.
    pub fn end_event(&mut self) {
        let begun = self.bytes.get(self.taken..).unwrap_or_default();
        let text = String::from_utf8_lossy(begun);
        let has_data =
            text.split(['\n', '\r']).any(|line| field(line, "data").is_some_and(|it| !it.is_empty()));
        if has_data {
            self.push(b"\n\n");
        } else {
            self.bytes.truncate(self.taken);
        }
    }

    /// The next whole event.
    pub fn next_event(&mut self) -> Option<Event> {
        let end = self.end()?;
        let raw = self.bytes.get(self.taken..end)?.to_vec();
        self.taken = end;
        self.searched = end;
        let text = String::from_utf8_lossy(&raw);
        let (mut name, mut data) = (String::new(), Vec::new());
        for line in text.split(['\n', '\r']) {
            if let Some(value) = field(line, "data") {
                data.push(value);
            } else if let Some(value) = field(line, "event") {
                name = value.to_owned();
            }
        }
        let data = data.join("\n");
        Some(Event { name, data, raw })
    }

    /// Keeps bytes of events that the client must not have yet.
    pub fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// What was held, in order.
    pub fn release(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Everything that is kept, in order.
    pub fn into_rest(mut self) -> Vec<u8> {
        self.held.extend(self.bytes.drain(self.taken..));
        self.held
    }

    /// The offset after the next blank line: two line ends in a row, of any kind.
    fn end(&mut self) -> Option<usize> {
        // A line end that was cut off may belong to the one before it.
        let mut at = self.searched.saturating_sub(3).max(self.taken);
        while let Some(found) = memchr2(b'\n', b'\r', self.bytes.get(at..)?) {
            let first = at + found;
            let second = first + line_end(self.bytes.get(first..)?)?;
            // A carriage return at the very end may be half of a line end.
            if self.bytes.get(first..) == Some(b"\r") || self.bytes.get(second..) == Some(b"\r") {
                break;
            }
            if let Some(length) = self.bytes.get(second..).and_then(line_end) {
                return Some(second + length);
            }
            at = second;
        }
        self.searched = self.bytes.len();
        None
    }
}

/// The length of the line end at the start of `bytes`.
fn line_end(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\r', b'\n', ..] => Some(2),
        [b'\r' | b'\n', ..] => Some(1),
        _ => None,
    }
}

/// The value of a field, without the one blank that may come before it.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.strip_prefix(name)?.strip_prefix(':')?;
    Some(value.strip_prefix(' ').unwrap_or(value))
}

/// An event as text.
pub(crate) fn write(name: &str, data: &str) -> String {
    if name.is_empty() { format!("data: {data}\n\n") } else { format!("event: {name}\ndata: {data}\n\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> (Vec<(String, String)>, Vec<u8>) {
        let mut splitter = Splitter::default();
        let (mut events, mut bytes) = (Vec::new(), Vec::new());
        for chunk in chunks {
            splitter.push(chunk);
            while let Some(event) = splitter.next_event() {
                bytes.extend_from_slice(&event.raw);
                events.push((event.name, event.data));
            }
        }
        bytes.extend(splitter.into_rest());
        (events, bytes)
    }

    #[test]
    fn events_are_the_same_wherever_the_network_cuts() {
        for text in [
            "event: a\ndata: {\"x\":\"é\"}\n\n: comment\n\ndata:1\ndata: 2\n\ndata: [DONE]\n\n",
            "event: a\r\ndata: {}\r\n\r\ndata: x\r\n\r\n",
            "data: a\r\rdata: b\r\r\n",
        ] {
            let bytes = text.as_bytes();
            let (whole, _) = events(&[bytes]);
            assert!(whole.len() >= 2, "{whole:?}");
            for cut in 0..=bytes.len() {
                for second in cut..=bytes.len() {
                    let (cut_events, cut_bytes) =
                        events(&[&bytes[..cut], &bytes[cut..second], &bytes[second..]]);
                    assert_eq!(cut_bytes, bytes);
                    if !text.contains("\r\r") {
                        assert_eq!(cut_events, whole, "{cut} {second}");
                    }
                }
            }
        }
    }

    #[test]
    fn fields_are_read_and_data_lines_joined() {
        let (events, _) = events(&[b"event: a\ndata:1\ndata: 2\nid: 7\n\n:\n\n"]);
        assert_eq!(events, [("a".to_owned(), "1\n2".to_owned()), (String::new(), String::new())]);
    }
}
