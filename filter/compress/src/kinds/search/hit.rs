//! One line of a search: `path:12:text`, its context `path-13-text`, and both without number.

use hashbrown::HashSet;

use crate::kinds::sink::Sink;

/// A line that belongs to a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Hit<'a> {
    pub(super) path: &'a str,
    /// The digits of the line number, if it has one.
    pub(super) number: Option<&'a str>,
    /// Whether the line matched; if not, it is context.
    pub(super) matched: bool,
    pub(super) text: &'a str,
}

/// How many bytes of a line may be its path.
const MAX_PATH: usize = 300;
/// How many dashes are tried as the end of a path: a path may contain dashes.
const MAX_DASHES: usize = 24;
/// The longest extension of a file.
const MAX_EXTENSION: usize = 10;

pub(super) type Paths<'a> = HashSet<&'a str, foldhash::fast::FixedState>;

impl<'a> Hit<'a> {
    /// A match. Its path ends at the first colon that does not belong to a drive.
    pub(super) fn matched(line: &'a str) -> Option<Self> {
        let head = line.as_bytes().get(..line.len().min(MAX_PATH)).unwrap_or_default();
        let drive = matches!(head, [b'A'..=b'Z' | b'a'..=b'z', b':', b'\\' | b'/', ..]);
        let from = if drive { 2 } else { 0 };
        let at = from + memchr::memchr(b':', head.get(from..).unwrap_or_default())?;
        let (path, rest) = (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default());
        if !could_be_path(path) {
            return None;
        }
        let digits = digits(rest);
        if digits > 0 && rest.as_bytes().get(digits) == Some(&b':') {
            return Some(Self {
                path,
                number: Some(rest.get(..digits).unwrap_or_default()),
                matched: true,
                text: rest.get(digits + 1..).unwrap_or_default(),
            });
        }
        is_surely_path(path).then_some(Self { path, number: None, matched: true, text: rest })
    }

    /// A line of context of a file that `known` accepts: only this distinguishes the dash after the path from
    /// a dash in it.
    pub(super) fn context(line: &'a str, numbered: bool, known: impl Fn(&str) -> bool) -> Option<Self> {
        let head = line.as_bytes().get(..line.len().min(MAX_PATH)).unwrap_or_default();
        for at in memchr::memchr_iter(b'-', head).take(MAX_DASHES) {
            let (path, rest) = (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default());
            if numbered {
                let digits = digits(rest);
                if digits == 0 || rest.as_bytes().get(digits) != Some(&b'-') || !known(path) {
                    continue;
                }
                let number = Some(rest.get(..digits).unwrap_or_default());
                return Some(Self {
                    path,
                    number,
                    matched: false,
                    text: rest.get(digits + 1..).unwrap_or_default(),
                });
            } else if known(path) {
                return Some(Self { path, number: None, matched: false, text: rest });
            }
        }
        None
    }

    /// The line number's value.
    pub(super) fn line(&self) -> Option<u64> {
        self.number?.parse().ok()
    }

    /// Appends the line with `path` before it.
    pub(super) fn push_with(&self, path: &str, out: &mut impl Sink) {
        out.push_str(path);
        let separator = if self.matched { ":" } else { "-" };
        out.push_str(separator);
        if let Some(number) = self.number {
            out.push_str(number);
            out.push_str(separator);
        }
        out.push_str(self.text);
    }
}

/// The number of digits at the start of `text`, up to the length of a line number.
pub(super) fn digits(text: &str) -> usize {
    let digits = text.bytes().take(10).take_while(u8::is_ascii_digit).count();
    if digits < 10 { digits } else { 0 }
}

fn could_be_path(path: &str) -> bool {
    !path.is_empty()
        && path
            .bytes()
            .all(|b| b > b' ' && !matches!(b, b'"' | b'\'' | b'(' | b')' | b'<' | b'>' | b'|' | b'=' | b','))
        && !path.bytes().all(|b| b.is_ascii_digit())
}

/// Without a line number after it, a path needs a directory or an extension to be recognized.
fn is_surely_path(path: &str) -> bool {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let named = name.len() > extension.len() + 1;
    named
        && !extension.is_empty()
        && extension.len() <= MAX_EXTENSION
        && extension.bytes().all(|b| b.is_ascii_alphanumeric())
        && !extension.bytes().all(|b| b.is_ascii_digit())
}
