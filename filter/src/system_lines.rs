//! The lines of a system prompt, as digests, and the words in them that probably differ in the next request:
//! dates, times, ids, numbers, listings. If a line changes, the provider's cache loses everything after it,
//! and people should see which line it is. No text is kept.
//!
//! Lines are read as they are spelled in JSON. They are worked out once for each system prompt.

use std::collections::VecDeque;
use std::rc::Rc;

use headroom_api::v1::{VolatileClass, VolatileToken};
use headroom_providers::align::NOTE;
use memchr::{memchr, memchr2};
use xxhash_rust::xxh3::xxh3_64;

/// The beginning of Claude Code's line about billing, which differs in every request.
pub(crate) const BILLING: &[u8] = b"x-anthropic-billing-header";
/// The limit of the protocol.
const MAX_LINES: usize = 256;
const MAX_TOKENS: usize = 128;
/// Most prompts contain numbers: this leaves room for classes that say more.
const MAX_WITH_NUMBERS: usize = 96;
/// Prompts whose lines are remembered: about the agents and sub-agents that one worker serves at a time.
const MAX_PROMPTS: usize = 32;
/// A word of digits and letters is an id from this many hexadecimal digits on.
const ID_DIGITS: usize = 16;
/// Longer words are data. The longest of the others is a hash of 64 bytes as hexadecimal digits.
const MAX_WORD: usize = 128;
const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];
/// How lines of a listing begin: bullets, and the branches of trees, drawn or escaped.
const BULLETS: [&[u8]; 2] = [b"- ", b"* "];
const BRANCHES: [&[u8]; 7] = [
    "\u{251c}".as_bytes(),
    "\u{2514}".as_bytes(),
    "\u{2502}".as_bytes(),
    b"\\u251c",
    b"\\u2514",
    b"\\u2502",
    b"drwx",
];

/// What is kept of one system prompt.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct SystemLines {
    pub(crate) first_line: u64,
    pub(crate) lines: Vec<u32>,
    pub(crate) left_out: u32,
    pub(crate) volatile_tokens: Vec<VolatileToken>,
}

/// The prompts that were read last, by their digests.
#[derive(Debug, Default)]
pub struct Prompts(VecDeque<(u64, Rc<SystemLines>)>);

impl Prompts {
    /// The lines of the prompt with this digest, whose text is in these JSON values.
    pub(crate) fn get<'b>(
        &mut self,
        digest: u64,
        values: impl IntoIterator<Item = &'b [u8]>,
    ) -> Rc<SystemLines> {
        if let Some((_, known)) = self.0.iter().find(|(known, _)| *known == digest) {
            return Rc::clone(known);
        }
        let lines = Rc::new(SystemLines::read(values));
        if self.0.len() == MAX_PROMPTS {
            self.0.pop_front();
        }
        self.0.push_back((digest, Rc::clone(&lines)));
        lines
    }
}

impl SystemLines {
    /// Reads the texts in JSON values. A value that is not JSON has no lines.
    fn read<'b>(values: impl IntoIterator<Item = &'b [u8]>) -> Self {
        let mut read = Self::default();
        for value in values {
            read.value(value);
        }
        read
    }

    fn value(&mut self, value: &[u8]) {
        let is_text_alone = value.first() == Some(&b'"');
        let (mut rest, mut is_text) = (value, is_text_alone);
        while let Some((string, after)) = next_string(rest) {
            rest = after;
            if after.trim_ascii_start().first() == Some(&b':') {
                is_text = string == b"text" || string == b"content";
            } else if is_text {
                self.text(string);
            }
        }
    }

    fn text(&mut self, text: &[u8]) {
        let (mut start, mut at) = (0, 0);
        while let Some(escape) = text.get(at..).and_then(|rest| memchr(b'\\', rest)) {
            let escape = at.saturating_add(escape);
            at = escape.saturating_add(2);
            if text.get(escape.saturating_add(1)) == Some(&b'n') {
                let line = text.get(start..escape).unwrap_or_default();
                // What the aligner has moved to the end changes there, and is to.
                if line.starts_with(NOTE.as_bytes()) {
                    return;
                }
                self.line(line);
                start = at;
            }
        }
        self.line(text.get(start..).unwrap_or_default());
    }

    fn line(&mut self, line: &[u8]) {
        if line.starts_with(BILLING) {
            return;
        }
        if self.lines.len() >= MAX_LINES {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let digest = xxh3_64(line);
        if self.first_line == 0 && !is_blank(line) {
            self.first_line = digest.max(1);
        }
        // Half of a digest is enough to see whether a line has changed.
        self.lines.push((digest & u64::from(u32::MAX)) as u32);
        let number = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
        for (class, offset) in volatile(line).0 {
            let most = if class == VolatileClass::Number { MAX_WITH_NUMBERS } else { MAX_TOKENS };
            if self.volatile_tokens.len() < most {
                let offset = u32::try_from(offset).unwrap_or(u32::MAX);
                self.volatile_tokens.push(VolatileToken { class: class.into(), line: number, offset });
            }
        }
    }
}

/// The classes that are seen in a line, each with the place where it is seen first.
#[derive(Default)]
struct LineClasses(Vec<(VolatileClass, usize)>);

impl LineClasses {
    fn add(&mut self, class: VolatileClass, offset: usize) {
        if !self.0.iter().any(|(known, _)| *known == class) {
            self.0.push((class, offset));
        }
    }
}

/// The text between the quotes of the next string, and the rest after it.
fn next_string(json: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = memchr(b'"', json)?.saturating_add(1);
    let mut at = start;
    loop {
        let found = at.saturating_add(memchr2(b'"', b'\\', json.get(at..)?)?);
        if json.get(found) == Some(&b'"') {
            return Some((json.get(start..found)?, json.get(found.saturating_add(1)..)?));
        }
        at = found.saturating_add(2);
    }
}

fn is_blank(line: &[u8]) -> bool {
    blanks(line) == line.len()
}

/// The length of the blanks at a line's start.
fn blanks(line: &[u8]) -> usize {
    let mut rest = line.trim_ascii_start();
    while let Some(after) = rest.strip_prefix(b"\\t").or_else(|| rest.strip_prefix(b"\\r")) {
        rest = after.trim_ascii_start();
    }
    line.len().saturating_sub(rest.len())
}

/// What is likely to change in a line, and where.
fn volatile(line: &[u8]) -> LineClasses {
    let mut found = LineClasses::default();
    if is_listing(line) {
        found.add(VolatileClass::Listing, 0);
    }
    if !line.iter().any(u8::is_ascii_digit) {
        return found;
    }
    let blanks = blanks(line);
    // The word before: a month, or the day of a month.
    let mut before: &[u8] = &[];
    let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-:/.+".contains(byte);
    let mut at = 0usize;
    while let Some(skipped) = line.get(at..).and_then(|rest| rest.iter().position(u8::is_ascii_alphanumeric))
    {
        let start = at.saturating_add(skipped);
        let rest = line.get(start..).unwrap_or_default();
        let length = rest.iter().position(|byte| !is_of_word(byte)).unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or_default();
        at = start.saturating_add(length);
        // The letter of an escaped tab is a word too, but no number.
        let is_first = start <= blanks;
        let bare = word.strip_suffix(b".").unwrap_or(word);
        if let Some(class) = class(bare, before, is_first && bare.len() < word.len()) {
            found.add(class, start);
            let behind = bare.iter().position(|byte| *byte == b'T').map(|at| at.saturating_add(1));
            if class == VolatileClass::Date
                && behind.is_some_and(|at| is_time(bare.get(at..).unwrap_or_default()))
            {
                found.add(VolatileClass::Time, start.saturating_add(behind.unwrap_or(0)));
            }
        }
        before = if bare.len() > MAX_WORD { &[] } else { bare };
    }
    found
}

/// The class of a word; `None`: it is an ordinary one.
fn class(word: &[u8], before: &[u8], is_list_number: bool) -> Option<VolatileClass> {
    if word.len() > MAX_WORD {
        return None;
    }
    if is_uuid(word) {
        return Some(VolatileClass::Uuid);
    }
    if is_date(word) || (is_day(before) && is_month(word)) || (is_day(word) && is_month(before)) {
        return Some(VolatileClass::Date);
    }
    if is_time(word) {
        return Some(VolatileClass::Time);
    }
    let is_number = !word.is_empty() && word.iter().all(u8::is_ascii_digit) && !is_list_number;
    is_number.then_some(VolatileClass::Number)
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn is_uuid(word: &[u8]) -> bool {
    let groups: Vec<usize> = word.split(|byte| *byte == b'-').map(<[u8]>::len).collect();
    let is_hex = |bytes: &[u8]| bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    if groups == [8, 4, 4, 4, 12] {
        return is_hex(word);
    }
    word.len() >= ID_DIGITS
        && is_hex(word)
        && groups.len() == 1
        && word.iter().any(u8::is_ascii_digit)
        && word.iter().any(u8::is_ascii_alphabetic)
}

/// A year, a month and a day, in either order.
fn is_date(word: &[u8]) -> bool {
    let date = word.split(|byte| *byte == b'T').next().unwrap_or_default();
    let separators = [b'-', b'/', b'.'];
    separators.into_iter().any(|separator| {
        let parts: Vec<&[u8]> = date.split(|byte| *byte == separator).collect();
        let [first, second, third] = parts[..] else { return false };
        let all = [first, second, third].iter().all(|part| digits(part) == part.len());
        let is_small = |part: &[u8]| matches!(part.len(), 1 | 2);
        all && is_small(second)
            && ((first.len() == 4 && is_small(third)) || (third.len() == 4 && is_small(first)))
    })
}

fn is_time(word: &[u8]) -> bool {
    let hours = digits(word);
    let rest = word.get(hours..).unwrap_or_default();
    matches!(hours, 1 | 2)
        && rest.first() == Some(&b':')
        && digits(rest.get(1..).unwrap_or_default()) == 2
        && !matches!(rest.get(3), Some(byte) if byte.is_ascii_alphabetic() && *byte != b'Z')
}

fn is_month(word: &[u8]) -> bool {
    let word = word.to_ascii_lowercase();
    word.len() >= 3 && MONTHS.iter().any(|month| *month == word || month.get(..3) == Some(&word[..]))
}

fn is_day(word: &[u8]) -> bool {
    let length = digits(word);
    let suffix = word.get(length..).unwrap_or_default();
    matches!(length, 1 | 2) && matches!(suffix, b"" | b"st" | b"nd" | b"rd" | b"th")
}

/// Whether a line names a file: a bullet and a path, a branch of a tree, or a row of `ls -l`.
fn is_listing(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    if BRANCHES.iter().any(|branch| line.starts_with(branch)) || line.starts_with(b"-rw") {
        return true;
    }
    let Some(item) = BULLETS.iter().find_map(|bullet| line.strip_prefix(*bullet)) else { return false };
    let item = item.trim_ascii();
    let is_path = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    let has_dot = item.iter().skip(1).rev().skip(1).any(|byte| *byte == b'.');
    !item.is_empty() && item.iter().all(is_path) && (item.contains(&b'/') || has_dot)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(value: &Value) -> SystemLines {
        SystemLines::read([value.to_string().as_bytes()])
    }

    fn classes(line: &str) -> Vec<(VolatileClass, u32)> {
        let text = format!("You look after deployments.\n{line}");
        let tokens = read(&json!(text)).volatile_tokens;
        assert!(tokens.iter().all(|token| token.line == 2), "{tokens:?}");
        tokens.iter().map(|token| (token.class(), token.offset)).collect()
    }

    #[test]
    fn what_is_likely_to_change_is_found_with_its_place() {
        use VolatileClass::{Date, Listing, Number, Time, Uuid};
        for (line, expected) in [
            ("Today's date: 2026-11-29", vec![(Date, 14)]),
            ("Now: 2026-11-29T14:03:11Z", vec![(Date, 5), (Time, 16)]),
            ("It is 14:03 on 29/11/2026.", vec![(Time, 6), (Date, 15)]),
            ("Sunday, November 29, 2026", vec![(Date, 17), (Number, 21)]),
            ("on 29 Nov we met", vec![(Number, 3), (Date, 6)]),
            ("session 0b9c2e4a-2d1f-4c53-9e43-0e3f0a7c9f11", vec![(Uuid, 8)]),
            ("trace 4bf92f3577b34da6a3ce929d0e0e4736", vec![(Uuid, 6)]),
            ("turn 17 of the game", vec![(Number, 5)]),
            ("- src/main.rs", vec![(Listing, 0)]),
            ("├── Cargo.toml", vec![(Listing, 0)]),
            ("3. Be brief.", vec![]),
            (" \t\r 3. Be brief.", vec![]),
            ("\t a 3. Be brief.", vec![(Number, 5)]),
            ("Use gpt-5 or v2, and nothing else.", vec![]),
            ("- never guess", vec![]),
            ("see e.g. the docs.", vec![]),
        ] {
            assert_eq!(classes(line), expected, "{line}");
        }
    }

    #[test]
    fn lines_are_the_same_however_the_prompt_is_spelled() {
        let alone = read(&json!("a\nb\n\nc"));
        assert_eq!(alone.lines.len(), 4);
        let listed = read(&json!([{"type": "text", "text": "a\nb"}, {"type": "text", "text": "\nc"}]));
        assert_eq!(alone, listed);
        assert_eq!(read(&json!({"role": "system", "content": "a\nb\n\nc"})), alone);
        assert_eq!(read(&json!({"parts": [{"text": "a\nb\n\nc"}]})), alone);
        let billed = read(&json!([{"text": "x-anthropic-billing-header: cch=1"}, {"text": "a\nb\n\nc"}]));
        assert_eq!(billed, alone);
        let changed = read(&json!("a\nb\n\nd"));
        assert_eq!(
            (changed.lines[..3] == alone.lines[..3], changed.lines[3] == alone.lines[3]),
            (true, false)
        );
        assert_eq!(read(&json!("\n \t\na")).first_line, alone.first_line);
        // A backslash before an `n` is not the end of a line.
        assert_eq!(read(&json!("a\\nb")).lines.len(), 1);
    }

    #[test]
    fn what_the_aligner_has_moved_to_the_end_is_no_line() {
        let prompt = |date: &str| {
            let moved = format!("{NOTE}\nmoved line 1: Today is {date}.");
            let there = "a\n[moved line 1: see the end of this prompt]\nb";
            [json!(format!("{there}\n{moved}")), json!([{"text": there}, {"type": "text", "text": moved}])]
        };
        for (before, after) in prompt("2026-11-28").iter().zip(&prompt("2026-11-29")) {
            let lines = read(after);
            assert_eq!(lines, read(before));
            assert_eq!((lines.lines.len(), lines.left_out), (3, 0));
            assert!(lines.volatile_tokens.iter().all(|token| token.line == 2), "{lines:?}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long: String = (0..1_000).map(|n| format!("{n} at 12:0{} on 2026-01-01\n", n % 10)).collect();
        let read = read(&json!(long));
        assert_eq!((read.lines.len(), read.left_out), (MAX_LINES, 1_001 - MAX_LINES as u32));
        assert_eq!(read.volatile_tokens.len(), MAX_TOKENS);
        // One line, whose words and numbers are as many as its bytes.
        for unit in ["1 ", "1-", "a:1.", "12:00 2026-01-01 ", "- a/", "a", "\t"] {
            let read = self::read(&json!(unit.repeat(1_000_000 / unit.len()) + " 1"));
            assert_eq!((read.lines.len(), read.left_out), (1, 0), "{unit}");
            assert!(read.volatile_tokens.len() <= 3, "{unit}");
            assert!(volatile(unit.repeat(100_000).as_bytes()).0.capacity() <= 8, "{unit}");
        }
        let mut prompts = Prompts::default();
        for digest in 1..=2 * MAX_PROMPTS as u64 {
            prompts.get(digest, [&b"\"a\""[..]]);
        }
        assert_eq!(prompts.0.len(), MAX_PROMPTS);
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_are_read(value in prop::collection::vec(any::<u8>(), 0..120)) {
            let read = SystemLines::read([&value[..]]);
            prop_assert!(read.lines.len() <= MAX_LINES);
        }

        #[test]
        fn every_line_is_counted(text in "[a-z0-9:\\-/ \n\\\\\"]{0,200}") {
            prop_assert_eq!(read(&json!(text)).lines.len(), text.split('\n').count());
        }
    }
}
