//! The prefix with a line's number: `     1→`, `1\t`, `1:`, `1-`, `1|`, ` 12 | `, `L12:`, `00012| `.

/// The separator between a number and the line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Separator {
    Arrow,
    Tab,
    Colon,
    Dash,
    Bar,
    SpacedBar,
}

/// The most digits of a line number. Longer ones are content: a number beyond `u32` names no line.
const MAX_DIGITS: usize = 9;
/// The most blanks before a number. Tools pad to 7 at most; with more it is an indented number.
const MAX_PADDING: usize = 12;

impl Separator {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Arrow => "→",
            Self::Tab => "\t",
            Self::Colon => ":",
            Self::Dash => "-",
            Self::Bar => "|",
            Self::SpacedBar => " |",
        }
    }

    /// The separator at the start of `rest`.
    fn at(rest: &[u8]) -> Option<Self> {
        match rest {
            [b'\t', ..] => Some(Self::Tab),
            [b':', ..] => Some(Self::Colon),
            [b'-', ..] => Some(Self::Dash),
            [b'|', ..] => Some(Self::Bar),
            [b' ', b'|', ..] => Some(Self::SpacedBar),
            [0xe2, 0x86, 0x92, ..] => Some(Self::Arrow),
            _ => None,
        }
    }

    /// Whether tools write a blank after it, so that one may belong to the prefix.
    fn may_have_blank(self) -> bool {
        matches!(self, Self::Colon | Self::Bar | Self::SpacedBar)
    }
}

/// How the numbers of one region are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Style {
    /// Whether there is a letter: Codex writes `L12: `.
    pub(crate) letter: bool,
    /// Whether it is padded with zeros instead of blanks.
    pub(super) zeros: bool,
    /// The number of bytes to which the number is padded.
    pub(super) width: usize,
    pub(crate) separator: Separator,
    /// Whether a blank after the separator belongs to the prefix.
    pub(crate) blank: bool,
}

/// The number prefix of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Prefix {
    pub(crate) number: u32,
    /// `blank` is false here: whether a blank belongs to the prefix depends on the other lines.
    pub(crate) style: Style,
    padded: bool,
    /// Bytes of the prefix.
    pub(crate) len: usize,
}

impl Prefix {
    /// The number prefix at the start of `line`.
    pub(crate) fn of(line: &[u8]) -> Option<Self> {
        let letter = match line.first()? {
            b'L' => true,
            b' ' | b'0'..=b'9' => false,
            _ => return None,
        };
        let from = usize::from(letter);
        let blanks =
            if letter { 0 } else { line.iter().take(MAX_PADDING).take_while(|b| **b == b' ').count() };
        let at = from + blanks;
        let digits = line.get(at..)?.iter().take(MAX_DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > MAX_DIGITS {
            return None;
        }
        let separator = Separator::at(line.get(at + digits..).unwrap_or_default())?;
        let number = line
            .get(at..at + digits)
            .unwrap_or_default()
            .iter()
            .fold(0, |n: u32, b| n * 10 + u32::from(b - b'0'));
        let zeros = line.get(at) == Some(&b'0') && digits > 1;
        if zeros && blanks > 0 {
            return None;
        }
        let style = Style { letter, zeros, width: blanks + digits, separator, blank: false };
        Some(Self { number, style, padded: zeros || blanks > 0, len: at + digits + separator.text().len() })
    }

    /// Whether a tool that wrote `first` before an earlier line would write this prefix for this number: same
    /// letter, same padding. The caller compares separators.
    pub(crate) fn continues(&self, first: &Style) -> bool {
        let style = &self.style;
        let digits = digits(self.number);
        style.letter == first.letter
            && if digits >= first.width {
                !self.padded
            } else {
                self.padded && style.width == first.width && style.zeros == first.zeros
            }
    }
}

impl Style {
    /// Appends the number as the tool wrote it, without the separator.
    #[cfg(test)]
    pub(crate) fn push_original_number(&self, out: &mut String, number: u32) {
        if self.letter {
            out.push('L');
        }
        for _ in digits(number)..self.width {
            out.push(if self.zeros { '0' } else { ' ' });
        }
        push_number(out, number);
    }

    /// Appends the number without padding.
    pub(crate) fn push_number(&self, out: &mut String, number: u32) {
        if self.letter {
            out.push('L');
        }
        push_number(out, number);
    }

    /// Appends the separator.
    #[cfg(test)]
    pub(crate) fn push_separator(&self, out: &mut String) {
        out.push_str(self.separator.text());
        if self.blank {
            out.push(' ');
        }
    }
}

/// Whether the blank after the separators belongs to the prefix. `lines`: the lines of a region, from their
/// separators on. It does if every line that is not empty has one, and if the smallest number of blanks is
/// odd: one blank means a line without indentation, and no file indents all its lines by an odd number.
pub(crate) fn blank_belongs<'a>(separator: Separator, lines: impl Iterator<Item = &'a [u8]>) -> bool {
    if !separator.may_have_blank() {
        return false;
    }
    let mut smallest = usize::MAX;
    for line in lines.filter(|line| !line.is_empty()) {
        let blanks = line.iter().take_while(|b| **b == b' ').count();
        if blanks == 0 {
            return false;
        }
        if blanks < line.len() {
            smallest = smallest.min(blanks);
        }
    }
    smallest % 2 == 1 && smallest != usize::MAX
}

pub(crate) fn digits(number: u32) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Appends a number in decimal.
pub(crate) fn push_number(out: &mut String, number: u32) {
    let mut place = 1;
    while number / place >= 10 {
        place *= 10;
    }
    while place > 0 {
        out.push(char::from(b'0' + (number / place % 10) as u8));
        place /= 10;
    }
}

/// Appends the first and the last of some lines.
pub(crate) fn push_range(out: &mut String, first: u32, last: u32) {
    push_number(out, first);
    out.push('-');
    push_number(out, last);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_written_in_decimal() {
        for number in [0, 9, 10, 99, 100, 101, 65_536, 999_999_999, 1_000_000_000, u32::MAX] {
            let mut out = String::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string());
        }
    }
}
