//! The system prompt of a request, line by line: which prompt it is, and which of its lines contain something
//! that changes from request to request.
//!
//! Lines are counted from 1 over all texts of the prompt. Each text begins a new line, and a line ends where
//! a line feed is spelled as `\n`. A prompt is identified by the digest of its first line that is not blank.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use crate::string;
use crate::tape::{NotUnderstood, Span, Value};

/// The beginning of the line that Claude Code puts into its system prompt for the provider's billing. It
/// changes with every request.
pub const BILLING: &str = "x-anthropic-billing-header";

/// The digest of a line as it is spelled in JSON: the records of requests have the same one, and they are
/// made without decoding. Never 0, which means none.
pub fn line_digest(line: &[u8]) -> u64 {
    xxh3_64(line).max(1)
}

/// A digest as people and files write it: 16 hexadecimal digits.
pub fn digest_name(digest: u64) -> String {
    format!("{digest:016x}")
}

/// The digest from its [`digest_name`].
pub fn digest_of_name(name: &str) -> Option<u64> {
    let is_one = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(name, 16).ok().filter(|_| is_one)
}

/// A class of changing text.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Class {
    /// `2026-11-29`, `29.11.2026`, `November 29`, `29 Nov 2026`
    Date,
    /// `14:05`, `14:05:33`
    Time,
    /// A UUID, or another request id: a word of 16 or more letters and digits.
    Uuid,
    /// A whole number.
    Number,
}

impl Class {
    /// Each with its name.
    pub const NAMES: [(&'static str, Self); 4] =
        [("date", Self::Date), ("time", Self::Time), ("uuid", Self::Uuid), ("number", Self::Number)];

    /// The name in files and on pages.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, class)| *class == self).map_or("", |(name, _)| name)
    }

    /// Whether a line contains something of this class.
    pub fn is_in(self, line: &str) -> bool {
        match self {
            Self::Date => has_date(&words(line)),
            Self::Time => has_time(&words(line)),
            Self::Uuid => line.split(|c: char| !is_of_id(c)).any(is_id),
            Self::Number => words(line).iter().any(|word| word.number.is_some()),
        }
    }
}

fn is_of_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// Shorter words are not taken for ids.
const MIN_ID_BYTES: usize = 16;

/// A UUID or the like: letters and digits mixed, not several words with hyphens between them.
fn is_id(word: &str) -> bool {
    let hex = |part: &str, len: usize| part.len() == len && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<&str> = word.split('-').collect();
    if let [a, b, c, d, e] = parts.as_slice()
        && hex(a, 8)
        && [b, c, d].iter().all(|part| hex(part, 4))
        && hex(e, 12)
    {
        return true;
    }
    parts.iter().flat_map(|part| part.split('_')).any(|part| {
        part.len() >= MIN_ID_BYTES
            && part.bytes().any(|byte| byte.is_ascii_digit())
            && part.bytes().any(|byte| byte.is_ascii_alphabetic())
    })
}

/// A run of digits or of letters.
struct Word<'l> {
    text: &'l str,
    /// `None`: it consists of letters.
    number: Option<u32>,
    /// The text between the word before and this one.
    before: &'l str,
}

/// Longer numbers are not part of a date or a time.
const MAX_DIGITS: usize = 9;

fn words(line: &str) -> Vec<Word<'_>> {
    let kind = |byte: u8| (byte.is_ascii_digit(), byte.is_ascii_alphabetic());
    let bytes = line.as_bytes();
    let (mut words, mut at, mut end) = (Vec::new(), 0, 0);
    while let Some(&byte) = bytes.get(at) {
        if !byte.is_ascii_alphanumeric() {
            at = at.saturating_add(1);
            continue;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let length = rest.iter().take_while(|other| kind(**other) == kind(byte)).count();
        let to = at.saturating_add(length);
        let text = line.get(at..to).unwrap_or_default();
        let number = byte
            .is_ascii_digit()
            .then(|| text.parse().ok().filter(|_| length <= MAX_DIGITS).unwrap_or(u32::MAX));
        words.push(Word { text, number, before: line.get(end..at).unwrap_or_default() });
        (at, end) = (to, to);
    }
    words
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl Word<'_> {
    fn is_month(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        let is_short = text.len() == 3 || text == "sept";
        MONTHS.iter().any(|month| *month == text || (is_short && month.starts_with(&text)))
    }

    fn is_from(&self, from: u32, to: u32, digits: usize) -> bool {
        self.text.len() <= digits && self.number.is_some_and(|number| (from..=to).contains(&number))
    }

    fn is_year(&self) -> bool {
        self.text.len() == 4 && self.is_from(1900, 2199, 4)
    }
}

fn has_date(words: &[Word<'_>]) -> bool {
    let day = |word: &Word<'_>| word.is_from(1, 31, 2);
    let numeric = words.windows(3).any(|three| match three {
        [a, b, c] if b.before == c.before && matches!(b.before, "-" | "/" | ".") => {
            (a.is_year() && b.is_from(1, 12, 2) && day(c)) || (day(a) && day(b) && c.is_year())
        }
        _ => false,
    });
    let is_near = |word: &Word<'_>| word.before.len() <= 2 && !word.before.contains('\n');
    numeric
        || words.windows(2).any(|two| match two {
            [a, b] => is_near(b) && ((a.is_month() && (day(b) || b.is_year())) || (day(a) && b.is_month())),
            _ => false,
        })
        // 29th of November
        || words.windows(3).any(|three| match three {
            [a, b, c] => day(a) && b.before.is_empty() && is_ordinal(b.text) && is_near(c) && c.is_month(),
            _ => false,
        })
}

fn is_ordinal(text: &str) -> bool {
    ["st", "nd", "rd", "th"].iter().any(|end| text.eq_ignore_ascii_case(end))
}

fn has_time(words: &[Word<'_>]) -> bool {
    words.windows(2).any(|two| match two {
        [hour, minute] => {
            hour.is_from(0, 23, 2)
                && minute.before == ":"
                && minute.text.len() == 2
                && minute.is_from(0, 59, 2)
        }
        _ => false,
    })
}

/// The JSON before the text of a part, in most formats.
pub(crate) const TEXT_PART: &str = r#"{"type":"text","text":"#;

/// The system prompt's position, and how to extend it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prompt<'t, 'b> {
    /// A text, or a list of parts.
    pub(crate) value: Value<'t, 'b>,
    /// The JSON before the text of a part.
    pub(crate) part: &'static str,
}

impl<'t, 'b> Prompt<'t, 'b> {
    /// The prompt in a format whose first message may be a system message.
    pub(crate) fn of_first_message(
        messages: Option<Value<'t, 'b>>,
        part: &'static str,
    ) -> Result<Option<Self>, NotUnderstood> {
        let first =
            messages.and_then(|messages| messages.elements().next()).filter(|first| first.is_object());
        let Some(first) = first else { return Ok(None) };
        let [role, content] = first.pick(["role", "content"])?;
        let is_system = role.is_some_and(|role| role.is("system") || role.is("developer"));
        Ok(content.filter(|_| is_system).map(|value| Self { value, part }))
    }

    /// Its texts, in order.
    pub(crate) fn texts(&self) -> Result<Vec<Span>, NotUnderstood> {
        if self.value.is_string() {
            return Ok(vec![self.value.span()]);
        }
        let mut texts = Vec::new();
        for part in self.value.elements().filter(|part| part.is_object()) {
            let [text] = part.pick(["text"])?;
            texts.extend(text.filter(|text| text.is_string()).map(Value::span));
        }
        Ok(texts)
    }
}

/// A line of a text that is a JSON string in a body. Offsets are those of the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    /// Where it begins.
    pub(crate) start: usize,
    /// The end of its leading blanks.
    pub(crate) text: usize,
    /// The start of its trailing blanks; a carriage return counts as one.
    pub(crate) text_end: usize,
    /// The position of the line feed, or the end of the text.
    pub(crate) end: usize,
}

impl Line {
    /// The decoded text; `None`: it is not valid text.
    pub(crate) fn said<'b>(&self, body: &'b str) -> Option<Cow<'b, str>> {
        let raw = self.raw(body);
        if raw.contains('\\') { string::decode(raw).map(Cow::Owned) } else { Some(Cow::Borrowed(raw)) }
    }

    /// Whether it contains only blanks.
    pub(crate) fn is_blank(&self) -> bool {
        self.text == self.text_end
    }

    /// The whole line as it is spelled.
    pub(crate) fn whole<'b>(&self, body: &'b str) -> &'b str {
        body.get(self.start..self.end).unwrap_or_default()
    }

    /// The same without blanks at its ends.
    pub(crate) fn raw<'b>(&self, body: &'b str) -> &'b str {
        body.get(self.text..self.text_end).unwrap_or_default()
    }
}

/// The lines of a text.
pub(crate) fn lines(body: &str, text: Span) -> Vec<Line> {
    let range = text.range();
    let (start, end) = (range.start.saturating_add(1), range.end.saturating_sub(1));
    let bytes = body.as_bytes().get(..end).unwrap_or_default();
    let begin = |at: usize| Line { start: at, text: at, text_end: at, end: at };
    let (mut lines, mut line, mut at, mut is_blank) = (Vec::new(), begin(start), start, true);
    while let Some(&byte) = bytes.get(at) {
        let next = at.saturating_add(spelled(byte, bytes.get(at.saturating_add(1))));
        match bytes.get(at..next).map(unit) {
            Some(Unit::LineFeed) => {
                line.end = at;
                lines.push(line);
                (line, is_blank) = (begin(next), true);
            }
            Some(Unit::Blank) if is_blank => (line.text, line.text_end) = (next, next),
            Some(Unit::Blank) => {}
            _ => (line.text_end, is_blank) = (next, false),
        }
        at = next;
    }
    line.end = end;
    if is_blank {
        (line.text, line.text_end) = (end, end);
    }
    lines.push(line);
    lines
}

/// Whether a JSON string contains only white space.
pub(crate) fn is_blank(quoted: &str) -> bool {
    let inner = quoted.as_bytes().get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    let mut at = 0_usize;
    while let Some(&byte) = inner.get(at) {
        let spelled = spelled(byte, inner.get(at.saturating_add(1)));
        let next = at.saturating_add(spelled);
        if matches!(inner.get(at..next).map(unit), None | Some(Unit::Other)) {
            return false;
        }
        at = next;
    }
    true
}

/// How many bytes spell the character that begins here, or its first byte.
fn spelled(byte: u8, next: Option<&u8>) -> usize {
    match (byte, next) {
        (b'\\', Some(b'u')) => 6,
        (b'\\', _) => 2,
        _ => 1,
    }
}

enum Unit {
    LineFeed,
    Blank,
    Other,
}

fn unit(spelled: &[u8]) -> Unit {
    match spelled {
        b"\\n" => Unit::LineFeed,
        b" " | b"\\t" | b"\\r" => Unit::Blank,
        _ => Unit::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tape::Tape;

    #[test]
    fn a_digest_has_a_name() {
        let digest = line_digest(b"x");
        assert_eq!(digest_of_name(&digest_name(digest)), Some(digest));
        for name in ["", "12", "+123456789abcdef", "0123456789abcdeg", "0123456789abcdef0"] {
            assert_eq!(digest_of_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_class_is_seen_where_it_is_and_nowhere_else() {
        use Class::{Date, Number, Time, Uuid};
        for (line, expected) in [
            ("Today's date: 2026-11-29", &[Date, Number][..]),
            ("Heute ist der 29.11.2026.", &[Date, Number]),
            ("11/29/2026", &[Date, Number]),
            ("The date is November 29, 2026.", &[Date, Number]),
            ("on 29 Nov", &[Date, Number]),
            ("the 29th November", &[Date, Number]),
            ("November 2026", &[Date, Number]),
            ("2026-11-29T14:05:33Z", &[Date, Time, Number]),
            ("at 9:05 am", &[Time, Number]),
            ("Request 0f8fad5b-d9cb-469f-a165-70867728950e", &[Uuid, Number]),
            ("id req_011CSHoEeqs5C35K2UUqR7Fy", &[Uuid, Number]),
            ("session abcdef0123456789", &[Uuid, Number]),
            ("turn 17", &[Number]),
            ("ratio 3:1, version 1.40.0, may 99", &[Number]),
            ("a well-known-and-respected-way, incomprehensibilities", &[]),
            ("You may march on.", &[]),
            ("Decide.", &[]),
            ("", &[]),
            ("99999999999999999999 2026-13-40 25:61", &[Number]),
        ] {
            for (name, class) in Class::NAMES {
                assert_eq!(class.is_in(line), expected.contains(&class), "{name} in {line:?}");
                assert_eq!(class.name(), name);
            }
        }
    }

    fn found(text: &str) -> Vec<String> {
        let body = text.to_owned();
        let tape = Tape::of(body.as_bytes()).unwrap();
        lines(&body, tape.root().span()).iter().map(|line| line.said(&body).unwrap().into_owned()).collect()
    }

    #[test]
    fn a_text_of_white_space_is_blank_however_it_is_spelled() {
        for (quoted, expected) in [
            (r#""""#, true),
            (r#"" \n\t\r""#, true),
            (r#"" a""#, false),
            (r#""\\n""#, false),
            (r#""\u00e9""#, false),
        ] {
            assert_eq!(is_blank(quoted), expected, "{quoted}");
        }
    }

    #[test]
    fn lines_end_where_a_line_feed_is_spelled_and_nowhere_else() {
        assert_eq!(found(r#""  a \r\n\tb\u000Ac \n\n""#), ["a", "b\nc", "", ""]);
        assert_eq!(found(r#""C:\\new\\r\\""#), [r"C:\new\r\"]);
        assert_eq!(found(r#""""#), [""]);
        assert_eq!(found(r#"" \t ""#), [""]);
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_text(text in "[a\\\\\" \t\r\n\u{e9}\u{1f600}]{0,30}", ascii: bool) {
            let spelled = serde_json::to_string(&text).unwrap();
            let spelled = if ascii { spelled.replace('\u{e9}', "\\u00e9") } else { spelled };
            let blank = [' ', '\t', '\r'];
            let expected: Vec<&str> = text.split('\n').map(|line| line.trim_matches(blank)).collect();
            prop_assert_eq!(found(&spelled), expected);
        }
    }
}
