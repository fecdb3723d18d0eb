//! A line as words and what stands between them.
//!
//! A word is a maximal run of the characters that names, paths, numbers and addresses are made of,
//! so that a value is never cut in two.

/// Whether a byte belongs to a word, by byte. Bytes beyond ASCII do: they are parts of letters.
const WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        let c = b as u8;
        table[b] = c.is_ascii_alphanumeric()
            || matches!(c, b'_' | b'@' | b'#' | b'.' | b'/' | b':' | b'\\' | b'+' | b'-')
            || c >= 0x80;
        b += 1;
    }
    table
};

/// The byte ranges of the words of a line, ascending.
pub(crate) struct Words<'a> {
    line: &'a [u8],
    at: usize,
}

/// The words of `line`.
pub(crate) fn words(line: &str) -> Words<'_> {
    Words { line: line.as_bytes(), at: 0 }
}

impl Iterator for Words<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        loop {
            let rest = self.line.get(self.at..)?;
            let start = self.at + rest.iter().position(|&b| WORD[usize::from(b)])?;
            let length = self.line[start..].iter().position(|&b| !WORD[usize::from(b)]);
            let end = length.map_or(self.line.len(), |n| start + n);
            self.at = end;
            // a colon or full stop at the end of a word is punctuation
            let trimmed = self.line[start..end].iter().rposition(|&b| !matches!(b, b':' | b'.'));
            if let Some(last) = trimmed {
                return Some((start, start + last + 1));
            }
        }
    }
}

/// Whether a word looks like a value rather than wording: it has a digit.
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
