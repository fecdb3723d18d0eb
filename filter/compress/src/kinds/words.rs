//! Splits a line into words and the text between them.
//!
//! A word is a maximal run of the characters of names, paths, numbers and addresses, so a value is never cut
//! in two.

#![allow(clippy::indexing_slicing, reason = "a byte is an index of 256 entries")]

/// The class of a byte: 0 if it belongs to no word, otherwise [`WORD`], with [`DIGIT`] for digits. Bytes
/// beyond ASCII belong to words: they are parts of letters.
static BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        let c = b as u8;
        if c.is_ascii_digit() {
            table[b] = WORD | DIGIT;
        } else if c.is_ascii_alphabetic()
            || matches!(c, b'_' | b'@' | b'#' | b'.' | b'/' | b':' | b'\\' | b'+' | b'-')
            || c >= 0x80
        {
            table[b] = WORD;
        }
        b += 1;
    }
    table
};
const WORD: u8 = 1;
const DIGIT: u8 = 2;

/// The byte ranges of the words of a line, ascending.
pub(crate) struct Words<'a> {
    line: &'a [u8],
    at: usize,
}

/// The words of `line`.
pub(crate) fn words(line: &str) -> Words<'_> {
    Words { line: line.as_bytes(), at: 0 }
}

impl Words<'_> {
    /// The range of the next word, and whether it looks like a value (see [`is_value`]).
    pub(crate) fn next_with_value(&mut self) -> Option<(usize, usize, bool)> {
        let line = self.line;
        loop {
            let start = self.at + line.get(self.at..)?.iter().position(|&b| BYTES[usize::from(b)] != 0)?;
            let (mut end, mut has) = (start, 0);
            for &b in line.get(start..).unwrap_or_default() {
                let is = BYTES[usize::from(b)];
                if is == 0 {
                    break;
                }
                has |= is;
                end += 1;
            }
            self.at = end;
            // A colon or full stop at the end of a word is punctuation.
            let trimmed =
                line.get(start..end).unwrap_or_default().iter().rposition(|&b| !matches!(b, b':' | b'.'));
            if let Some(last) = trimmed {
                return Some((start, start + last + 1, has & DIGIT != 0));
            }
        }
    }
}

impl Iterator for Words<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        self.next_with_value().map(|(start, end, _)| (start, end))
    }
}

/// Whether a word looks like a value instead of wording: it has a digit.
pub(crate) fn is_value(word: &[u8]) -> bool {
    word.iter().any(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<&str> {
        words(line).map(|(a, b)| &line[a..b]).collect()
    }

    #[test]
    fn values_stay_whole() {
        assert_eq!(
            split("sshd[24]: from 10.0.0.1:22 to /tmp/a-b.c, uid=0."),
            ["sshd", "24", "from", "10.0.0.1:22", "to", "/tmp/a-b.c", "uid", "0"]
        );
    }

    #[test]
    fn punctuation_alone_is_no_word() {
        assert_eq!(split("... :: ( ) ."), Vec::<&str>::new());
        assert_eq!(split("größe=1"), ["größe", "1"]);
    }
}
