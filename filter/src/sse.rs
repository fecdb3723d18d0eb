//! Server-sent events: hands the data of each event to the scanner as they come.
//!
//! Works on bytes: a character, a line or a field name may be cut anywhere, and a line may end in LF, in
//! CR, or in both.

use memchr::memchr2;

use crate::scan::Scanner;

const FIELD: &[u8] = b"data:";

/// Where in a line the next byte stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Line {
    /// So many bytes of the line are read and all of them are of `FIELD`.
    Name(usize),
    Data,
    Skipped,
}

/// Reads a stream of events.
#[derive(Debug)]
pub(crate) struct Events {
    line: Line,
    /// The last byte ended a line as a CR, of which an LF may be the other half.
    after_cr: bool,
    pub(crate) scanner: Scanner,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { line: Line::Name(0), after_cr: false, scanner: Scanner::default() }
    }

    /// Reads on.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                bytes = rest;
                continue;
            }
            let Line::Name(read) = self.line else {
                bytes = self.rest_of_line(bytes);
                continue;
            };
            match byte {
                b'\n' | b'\r' => {
                    if read == 0 {
                        self.scanner.next_document();
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

    fn rest_of_line<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let end = memchr2(b'\n', b'\r', bytes);
        let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end.saturating_add(1)));
        if self.line == Line::Data {
            self.scanner.feed(line);
        }
        if end.is_some() {
            self.line = Line::Name(0);
            self.after_cr = line.last() == Some(&b'\r');
        }
        rest
    }
}
