//! Python's print of a value: dictionaries, lists, and objects with their fields.
//!
//! `{'output': 'a\nb', 'returncode': 0}`, `[TextContent(type='text', text='…')]`, `content='…' name='ls'`.
//! Only the strings are decoded. Between them, brackets have to match and only bytes may occur that such
//! values have. Everything is on one line, because strings escape their line ends: this distinguishes it from
//! program code.

use std::borrow::Cow;

use super::path::Path;
use super::{MIN_TEXT, Text, is_text};

/// Open brackets at once.
const MAX_DEPTH: usize = 100;

/// A bracket that is open.
struct Open {
    bracket: u8,
    /// Commas since it was opened.
    index: usize,
    /// The steps of the current path, so far one per bracket.
    named: bool,
}

/// The texts in `value`; `None` if it is not such a value.
pub(super) fn texts(value: &str) -> Option<Vec<Text<'_>>> {
    let line = value.trim_ascii();
    if memchr::memchr(b'\n', line.as_bytes()).is_some() || !starts_like_one(line) {
        return None;
    }
    let start = value.len() - value.trim_ascii_start().len();
    Scanner {
        value,
        at: start,
        end: start + line.len(),
        open: Vec::new(),
        path: Path::default(),
        found: Vec::new(),
    }
    .value()
}

/// `{'a`, `[{`, `('`, `Name(`, `name='`: how such a value begins, unlike a sentence or JSON.
fn starts_like_one(line: &str) -> bool {
    let bytes = line.as_bytes();
    match bytes {
        [b'{', b'\'' | b'"', ..] => bytes.ends_with(b"}"),
        [b'[', b'\'' | b'"' | b'{' | b'(' | b'[', ..] => bytes.ends_with(b"]"),
        [b'[', b'A'..=b'Z' | b'a'..=b'z', ..] => bytes.ends_with(b")]"),
        [b'(', b'\'' | b'"' | b'{' | b'[' | b'(', ..] => bytes.ends_with(b")"),
        [b'\'', ..] => bytes.ends_with(b"'"),
        [b'A'..=b'Z' | b'a'..=b'z' | b'_', ..] => {
            let name = bytes.iter().take_while(|b| is_name(**b)).count();
            match bytes.get(name..) {
                Some([b'(', ..]) => bytes.ends_with(b")"),
                Some([b'=', b'\'' | b'"' | b'[' | b'{', ..]) => true,
                _ => false,
            }
        }
        _ => false,
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

struct Scanner<'a> {
    value: &'a str,
    at: usize,
    end: usize,
    open: Vec<Open>,
    path: Path<'a>,
    found: Vec<Text<'a>>,
}

impl<'a> Scanner<'a> {
    fn value(mut self) -> Option<Vec<Text<'a>>> {
        while self.at < self.end {
            let byte = *self.value.as_bytes().get(self.at)?;
            match byte {
                b'\'' | b'"' => self.string(byte)?,
                b'{' | b'[' | b'(' => {
                    if self.open.len() == MAX_DEPTH {
                        return None;
                    }
                    self.place();
                    self.open.push(Open { bracket: byte, index: 0, named: false });
                    self.at += 1;
                }
                b'}' | b']' | b')' => {
                    let open = self.open.pop()?;
                    if !matches!((open.bracket, byte), (b'{', b'}') | (b'[', b']') | (b'(', b')')) {
                        return None;
                    }
                    if open.named {
                        self.path.pop();
                    }
                    self.at += 1;
                    self.leave();
                }
                b',' => {
                    self.leave();
                    if let Some(open) = self.open.last_mut() {
                        open.index += 1;
                    }
                    self.at += 1;
                }
                byte if is_name(byte) => self.name()?,
                b' ' | b':' | b'=' | b'-' | b'+' | b'<' | b'>' => self.at += 1,
                _ => return None,
            }
        }
        self.open.is_empty().then_some(self.found)
    }

    /// Begins a value: the path gets a step for it, from its key or its position.
    fn place(&mut self) {
        match self.open.last_mut() {
            Some(open) if open.named => {}
            Some(Open { bracket: b'[', index, named }) => {
                *named = true;
                self.path.index(*index);
            }
            Some(open) => {
                open.named = true;
                self.path.transparent();
            }
            None => {}
        }
    }

    /// Ends a value.
    fn leave(&mut self) {
        if let Some(open) = self.open.last_mut()
            && open.named
        {
            open.named = false;
            self.path.pop();
        }
    }

    /// A key: it names the value after it.
    fn key(&mut self, key: &'a str) {
        self.leave();
        if let Some(open) = self.open.last_mut() {
            open.named = true;
            self.path.key(key);
        }
    }

    /// A number, `None`, the name of a class, or one of a field before its `=`.
    fn name(&mut self) -> Option<()> {
        let rest = self.value.get(self.at..self.end)?;
        let length = rest.bytes().take_while(|b| is_name(*b)).count();
        let name = rest.get(..length)?;
        self.at += length;
        match self.value.as_bytes().get(self.at) {
            Some(b'=') if self.open.is_empty() => {
                // Fields in a row, as pydantic prints a model.
                self.path = Path::default();
                self.path.key(name);
            }
            Some(b'=') => self.key(name),
            // Bytes and raw strings are spelled differently.
            Some(b'\'' | b'"') => return None,
            _ => {}
        }
        Some(())
    }

    fn string(&mut self, quote: u8) -> Option<()> {
        let start = self.at;
        let end = end_of_string(self.value.as_bytes().get(..self.end)?, start + 1, quote)?;
        let inner = self.value.get(start + 1..end)?;
        self.at = end + 1;
        let key = self.open.last().is_some_and(|open| open.bracket == b'{' && !open.named)
            && self.value.as_bytes().get(self.at) == Some(&b':');
        if key {
            self.key(if inner.contains('\\') { "" } else { inner });
            return Some(());
        }
        self.place();
        if inner.len() + 2 >= MIN_TEXT
            && let Some(text) = decode(inner)?
            && is_text(&text)
        {
            self.found.push(Text { span: start..end + 1, text, path: self.path.written() });
        }
        Some(())
    }
}

/// The closing quote of the string whose text starts at `at`.
fn end_of_string(bytes: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    loop {
        at += memchr::memchr2(b'\\', quote, bytes.get(at..)?)?;
        if bytes.get(at) == Some(&quote) {
            return Some(at);
        }
        at += 2;
    }
}

/// The string at the start of a text, and its length in bytes.
pub(crate) fn string(text: &str) -> Option<(Cow<'_, str>, usize)> {
    let quote = *text.as_bytes().first().filter(|byte| matches!(byte, b'\'' | b'"'))?;
    let end = end_of_string(text.as_bytes(), 1, quote)?;
    Some((decode(text.get(1..end)?)??, end + 1))
}

/// The text of a string. The outer `None`: it is not a Python string; the inner one: it is not Unicode text.
fn decode(inner: &str) -> Option<Option<Cow<'_, str>>> {
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Some(Cow::Borrowed(inner)));
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(rest.get(..at)?);
        let escape = rest.get(at + 1..)?;
        let digits = match escape.as_bytes().first()? {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            plain => {
                text.push(match plain {
                    b'n' => '\n',
                    b'r' => '\r',
                    b't' => '\t',
                    b'\\' | b'\'' | b'"' => char::from(*plain),
                    _ => return None,
                });
                rest = escape.get(1..)?;
                continue;
            }
        };
        let code = escape.get(1..=digits).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()))?;
        match char::from_u32(u32::from_str_radix(code, 16).ok()?) {
            Some(character) => text.push(character),
            None => return Some(None),
        }
        rest = escape.get(1 + digits..)?;
    }
    text.push_str(rest);
    Some(Some(Cow::Owned(text)))
}

/// Appends a text as Python prints it: in single quotes, unless it contains single quotes and no double ones.
/// Existing double quotes stay, because such a value may be JSON with a `NaN` in it. Characters beyond ASCII
/// stay, except invisible ones.
pub(crate) fn encode_into(text: &str, before: Option<&u8>, out: &mut String) {
    let double = before == Some(&b'"') || text.contains('\'') && !text.contains('"');
    let quote = if double { '"' } else { '\'' };
    out.reserve(text.len() + text.len() / 16 + 2);
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '\x7f'..='\u{a0}' | '\u{ad}' => {
                out.push_str(&format!("\\x{:02x}", u32::from(character)));
            }
            character => {
                if character == quote {
                    out.push('\\');
                }
                out.push(character);
            }
        }
    }
    out.push(quote);
}
