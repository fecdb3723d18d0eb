//! A file's text, separated from its byte order mark and its line endings.

use similar::{ChangeTag, TextDiff};

const MARK: char = '\u{feff}';

/// A file's text.
#[derive(Clone, Debug)]
pub(super) struct Text {
    has_mark: bool,
    /// As in the file.
    original: String,
    /// With lines that end with `\n` alone.
    pub(super) body: String,
}

impl Text {
    /// Reads a file's bytes; `None` where they are not UTF-8.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (has_mark, original) = match text.strip_prefix(MARK) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        Some(Self { has_mark, original: original.to_owned(), body: original.replace("\r\n", "\n") })
    }

    /// The bytes of an edited body: each kept line keeps its ending, and each new one gets the most
    /// frequent ending.
    pub(super) fn encode(&self, edited: &str) -> Vec<u8> {
        let mut out = String::with_capacity(edited.len() + 3);
        if self.has_mark {
            out.push(MARK);
        }
        let windows = self.original.matches("\r\n").count();
        if windows == 0 {
            out.push_str(edited);
            return out.into_bytes();
        }
        let unix = self.original.matches('\n').count() - windows;
        let usual = if windows > unix { "\r\n" } else { "\n" };
        let mut originals = self.original.split_inclusive('\n');
        for change in TextDiff::from_lines(self.body.as_str(), edited).iter_all_changes() {
            match change.tag() {
                ChangeTag::Delete => {
                    originals.next();
                }
                ChangeTag::Equal => out.push_str(originals.next().unwrap_or_default()),
                ChangeTag::Insert => match change.value().strip_suffix('\n') {
                    Some(line) => {
                        out.push_str(line);
                        out.push_str(usual);
                    }
                    None => out.push_str(change.value()),
                },
            }
        }
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_keeps_its_end_and_a_new_one_gets_the_usual() {
        let text = Text::decode(b"\xef\xbb\xbfone\r\ntwo\nthree\r\nfour").unwrap();
        assert_eq!(text.body, "one\ntwo\nthree\nfour");
        assert_eq!(text.encode(&text.body), b"\xef\xbb\xbfone\r\ntwo\nthree\r\nfour");
        assert_eq!(text.encode("one\nnew\ntwo\nfour\n"), b"\xef\xbb\xbfone\r\nnew\r\ntwo\nfour\r\n");
    }

    #[test]
    fn what_is_no_utf_8_is_no_text() {
        assert!(Text::decode(b"\xff\xfe{\0}\0").is_none());
    }
}
