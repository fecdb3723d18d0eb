//! Removes what a terminal would not show: escape sequences, overstrikes, and earlier states of a line that
//! was overwritten. Also removes white space at line ends.
//!
//! The rules remove only what has no meaning in a text:
//!
//! * escape sequences (colours, cursor, title, character sets) are removed. Links (OSC 8) stay, because their
//!   address is shown nowhere else. On a line with an error all sequences stay, as the tool marked it;
//! * a letter that is struck over itself or over an underscore, as `man` prints bold and underlined text,
//!   becomes that letter;
//! * CR LF becomes LF, and a CR before a line's first character is removed;
//! * of the states of a progress line, separated by CR, only the last one stays. States must have most of
//!   their letters in common; other text stays, so that text with CR as its line end is not taken for a
//!   progress line. A state with an error is never removed;
//! * blanks and tabs at line ends are removed, by [`line_ends`] only.
//!
//! Outputs of tools that read files are not cleaned: there every byte may matter.

use memchr::{memchr, memchr2, memchr3, memmem, memrchr};

use crate::block::Context;
use crate::kinds::numbered::region::{Reader, Role};
use crate::kinds::signal::{self, Signal};
use crate::lines;
use crate::tool::Class;
use crate::work;

const ESCAPE: u8 = 0x1b;
const BACKSPACE: u8 = 0x08;
/// The longest escape sequence, in bytes; a longer one was not ended properly.
const MAX_SEQUENCE: usize = 512;
/// Two states of a line are alike if a common start and a common end make up this many percent of the longer
/// one's letters. Rates change their unit (kB, MB), and the last state adds a word (`done`).
const ALIKE_PERCENT: usize = 50;

/// The text as a terminal would show it; `None` if that changes nothing.
pub(crate) fn screen(text: &str, cx: &Context<'_>) -> Option<String> {
    if reads_files(cx) { None } else { terminal(text) }
}

/// The same, without regard to the tool.
pub(crate) fn terminal(text: &str) -> Option<String> {
    memchr3(ESCAPE, BACKSPACE, b'\r', text.as_bytes())?;
    let bare = without_escapes(text);
    let struck = without_overstrikes(bare.as_deref().unwrap_or(text));
    let bare = struck.or(bare);
    let last = without_redraws(bare.as_deref().unwrap_or(text));
    last.or(bare)
}

/// The text without blanks and tabs at line ends; `None` if there are none. Numbered lines belong to a file
/// and keep theirs.
pub(crate) fn line_ends(text: &str, cx: &Context<'_>) -> Option<String> {
    if reads_files(cx) {
        return None;
    }
    let mut out = String::new();
    let mut copied = 0;
    for line in Reader::new(text).filter(|line| line.role == Role::Plain) {
        let kept = line.start
            + text.get(line.start..line.end).unwrap_or_default().trim_end_matches([' ', '\t']).len();
        if kept < line.end {
            out.push_str(text.get(copied..kept).unwrap_or_default());
            copied = line.end;
        }
    }
    (copied > 0).then(|| out + text.get(copied..).unwrap_or_default())
}

/// For each line, whether its form differs from what was printed: it has characters that a terminal would not
/// show, or white space at its end. Empty if no line does.
pub(crate) fn changed_lines(text: &str, cx: &Context<'_>) -> Vec<bool> {
    if reads_files(cx) { Vec::new() } else { marked(text) }
}

/// The same, without regard to the tool.
pub(crate) fn marked(text: &str) -> Vec<bool> {
    let bytes = text.as_bytes();
    let is_blank = |at: usize| matches!(bytes.get(at), Some(b' ' | b'\t'));
    let mut ends = memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]);
    let is_plain = memchr3(ESCAPE, BACKSPACE, b'\r', bytes).is_none()
        && !ends.any(|end| end.checked_sub(1).is_some_and(is_blank));
    if is_plain {
        return Vec::new();
    }
    let is = |line: &str| {
        memchr3(ESCAPE, BACKSPACE, b'\r', line.as_bytes()).is_some() || line.ends_with([' ', '\t'])
    };
    lines::split(text).map(is).collect()
}

/// Whether the output is the text of a file, of which an edit may need every byte.
fn reads_files(cx: &Context<'_>) -> bool {
    matches!(Class::of(cx.call.name), Class::Read | Class::Edit)
}

fn without_escapes(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    // The end of the last checked line, and whether that line keeps its sequences.
    let (mut end, mut stays) = (0, false);
    let mut ends = StringEnds { bytes, bell: 0, terminator: 0 };
    while let Some(found) = memchr(ESCAPE, bytes.get(at..).unwrap_or_default()) {
        let start = at + found;
        if start >= end {
            let from = memrchr(b'\n', bytes.get(..start).unwrap_or_default()).map_or(0, |before| before + 1);
            end =
                memchr(b'\n', bytes.get(start..).unwrap_or_default()).map_or(bytes.len(), |len| start + len);
            stays = signal::classify(text.get(from..end).unwrap_or_default()) == Signal::Error;
        }
        if stays {
            at = end;
            continue;
        }
        let len = match bytes.get(start + 1) {
            Some(b']') => ends.length(start),
            _ => sequence(bytes.get(start..bytes.len().min(start + MAX_SEQUENCE)).unwrap_or_default()),
        };
        at = start + len.max(1);
        if len > 0 {
            out.push_str(text.get(copied..start).unwrap_or_default());
            copied = at;
        }
    }
    (copied > 0).then(|| out + text.get(copied..).unwrap_or_default())
}

/// Where the strings of a text may end, such as titles. They are searched for forward, once: a text may be full of
/// strings that do not end.
struct StringEnds<'t> {
    bytes: &'t [u8],
    /// The first bell or line end behind the last string that was read.
    bell: usize,
    /// The first terminator behind it.
    terminator: usize,
}

impl StringEnds<'_> {
    /// The length of the sequence with a string that starts here; 0 if it may not be removed.
    fn length(&mut self, start: usize) -> usize {
        let inside = start + 2;
        // A link's address would be lost.
        if self.bytes.get(inside..).is_some_and(|string| string.starts_with(b"8;")) {
            return 0;
        }
        if self.bell < inside {
            self.bell = self.find(inside, |bytes| memchr2(0x07, b'\n', bytes));
        }
        if self.terminator < inside {
            self.terminator = self.find(inside, |bytes| memmem::find(bytes, b"\x1b\\"));
        }
        let bell = (self.bytes.get(self.bell) == Some(&0x07)).then_some(self.bell + 1);
        let terminator = Some(self.terminator + 2);
        let last = self.bytes.len().min(start + MAX_SEQUENCE);
        let ends = [bell, terminator].into_iter().flatten().filter(|end| *end <= last);
        ends.min().map_or(0, |end| end - start)
    }

    /// The first place from here on; the end of the text if there is none.
    fn find(&self, from: usize, search: impl Fn(&[u8]) -> Option<usize>) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        let before = search(rest).unwrap_or(rest.len());
        work::spend(before);
        from + before
    }
}

/// The length of the escape sequence at the start of `bytes`; 0 if there is none that may be removed.
fn sequence(bytes: &[u8]) -> usize {
    let skip = |from: usize, range: std::ops::RangeInclusive<u8>| {
        from + bytes.get(from..).unwrap_or_default().iter().take_while(|b| range.contains(b)).count()
    };
    match bytes.get(1) {
        Some(b'[') => {
            let end = skip(skip(2, 0x30..=0x3f), 0x20..=0x2f);
            bytes.get(end).filter(|b| (0x40..=0x7e).contains(*b)).map_or(0, |_| end + 1)
        }
        Some(0x20..=0x2f) => {
            let end = skip(1, 0x20..=0x2f);
            bytes.get(end).filter(|b| (0x30..=0x7e).contains(*b)).map_or(0, |_| end + 1)
        }
        Some(b'7' | b'8' | b'=' | b'>' | b'c' | b'D' | b'E' | b'H' | b'M' | b'N' | b'O' | b'Z') => 2,
        _ => 0,
    }
}

fn without_overstrikes(text: &str) -> Option<String> {
    memchr(BACKSPACE, text.as_bytes())?;
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut changed = false;
    while let Some(c) = chars.next() {
        if c == '\u{8}'
            && let (Some(before), Some(&over)) = (out.chars().next_back(), chars.peek())
            && before != '\n'
            && (before == over || before == '_')
        {
            out.pop();
            changed = true;
            continue;
        }
        out.push(c);
    }
    changed.then_some(out)
}

fn without_redraws(text: &str) -> Option<String> {
    memchr(b'\r', text.as_bytes())?;
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let line = line.trim_end_matches('\r').trim_start_matches('\r');
        let mut state = "";
        for next in line.split('\r') {
            if !state.is_empty() && !overwrites(next, state) {
                out.push_str(state);
                out.push('\r');
            }
            if !next.is_empty() {
                state = next;
            }
        }
        out.push_str(state);
        out.push_str(end);
    }
    (out.len() < text.len()).then_some(out)
}

/// Whether `next` is a later state of the line `state`.
fn overwrites(next: &str, state: &str) -> bool {
    if next.is_empty() || next == state {
        return true;
    }
    let letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).collect::<Vec<_>>();
    let (a, b) = (letters(state), letters(next));
    let start = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let rest = a.len().min(b.len()) - start;
    let end = a.iter().rev().zip(b.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let longer = a.len().max(b.len());
    let alike = if longer == 0 {
        has_digit(state) == has_digit(next)
    } else {
        (start + end) * 100 >= longer * ALIKE_PERCENT
    };
    alike && signal::classify(state) != Signal::Error
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::call::Call;
    use crate::config::Config;

    fn of<T>(tool: &str, run: impl Fn(&Context<'_>) -> T) -> T {
        let config = Config::default();
        run(&Context {
            call: Call { name: tool, arguments: "{}" },
            reversible: false,
            ..Context::of(&config)
        })
    }

    fn screened(text: &str) -> String {
        of("Bash", |cx| screen(text, cx)).unwrap_or_else(|| "(as it is)".to_owned())
    }

    fn without_line_ends(text: &str) -> Option<String> {
        of("Bash", |cx| line_ends(text, cx))
    }

    #[test]
    fn what_a_tool_reads_from_a_file_is_left_alone() {
        assert_eq!(of("Read", |cx| screen("\x1b[1mx\r\n", cx)), None);
        assert_eq!(of("Read", |cx| line_ends("x  \n", cx)), None);
        let numbered = "[lines 9-10, every 10th numbered]\n     9\tx  \n10\t\ny  ";
        assert_eq!(without_line_ends(numbered).as_deref(), numbered.strip_suffix("  "));
    }

    #[test]
    fn escape_sequences_go_and_links_stay() {
        assert_eq!(screened("\x1b[1m\x1b[38;5;9mwarning\x1b[0m: no\x1b[K"), "warning: no");
        assert_eq!(screened("\x1b]0;title\x07$ ls\x1b(B\x1b[?2004l"), "$ ls");
        assert_eq!(screened("\x1b]2;title\x1b\\$ ls"), "$ ls");
        assert_eq!(screened("\x1b]8;;https://a.b/c\x1b\\link\x1b]8;;\x1b\\"), "(as it is)");
        assert_eq!(screened("\x1b[1mok\x1b[0m\n\x1b[31m1 error\x1b[0m"), "ok\n\x1b[31m1 error\x1b[0m");
        assert_eq!(screened("cut \x1b[38;5"), "(as it is)");
        assert_eq!(screened("lone \x1b"), "(as it is)");
        assert_eq!(screened("\x1b]0;no end"), "(as it is)");
    }

    #[test]
    fn the_ends_of_strings_are_searched_for_once() {
        let text = "\x1b]".repeat(100_000);
        for end in ["", "\x07", "\x1b\\"] {
            let text = format!("{text}{end}");
            work::start(text.len());
            assert_eq!(terminal(&text).is_some(), !end.is_empty());
            assert!(work::spent(text.len()) <= 4 * text.len() as u64);
        }
        work::unlimited();
        let far = format!("\x1b]0;{}\x07", "x".repeat(MAX_SEQUENCE));
        assert_eq!(screened(&far), "(as it is)");
        assert_eq!(screened("\x1b]0;a\n\x07b\x1b]0;c\x07d"), "\x1b]0;a\n\x07bd");
    }

    #[test]
    fn overstrikes_are_the_letters_they_show() {
        assert_eq!(screened("N\x08NA\x08AM\x08ME\x08E\n_\x08f_\x08o"), "NAME\nfo");
        assert_eq!(screened("a\x08b"), "(as it is)");
    }

    #[test]
    fn of_a_progress_line_the_last_state_stays() {
        assert_eq!(
            screened("Receiving objects:   1% (1/99)\rReceiving objects: 100% (99/99), done.\nnext\r\n"),
            "Receiving objects: 100% (99/99), done.\nnext\n"
        );
        assert_eq!(
            screened("  0%|     | 0/3 [?it/s]\r 50%|##   | 1/3 [2it/s]\r100%|#####| 3/3 [2it/s]\n"),
            "100%|#####| 3/3 [2it/s]\n"
        );
        assert_eq!(screened("10%\r20%\r30%"), "30%");
        assert_eq!(screened("\r\x1b[2KBuilding a\r\x1b[2KBuilding b\n"), "Building b\n");
    }

    #[test]
    fn lines_that_end_in_cr_and_errors_stay() {
        assert_eq!(screened("first of all\rsecond thing\rand last"), "(as it is)");
        assert_eq!(screened("fetch: error 7 in part 1\rfetch: error 7 in part 2"), "(as it is)");
        assert_eq!(screened("a\r\nb\r\n"), "a\nb\n");
    }

    #[test]
    fn blanks_at_line_ends_go() {
        assert_eq!(without_line_ends("a  \n\tb\t \n\n  \nc ").as_deref(), Some("a\n\tb\n\n\nc"));
        assert_eq!(without_line_ends("a\n b\n"), None);
    }

    proptest! {
        #[test]
        fn nothing_but_what_the_rules_name_goes(text in "([a-zé%0-9 \t]{1,6}|\r\n|\n){0,40}") {
            let shown = of("Bash", |cx| screen(&text, cx)).unwrap_or_else(|| text.clone());
            prop_assert_eq!(&shown, &text.replace("\r\n", "\n"));
            let ends = without_line_ends(&shown).unwrap_or_else(|| shown.clone());
            let expected: Vec<&str> = shown.split('\n').map(|line| line.trim_end_matches([' ', '\t'])).collect();
            prop_assert_eq!(ends, expected.join("\n"));
        }

        #[test]
        fn every_line_stays_and_none_grows(text in "(\x1b\\[[0-9;]{0,3}m?|\x1b\\]0;|\x07|\x08|_|a|é|done|[0-9]%|\r|\n|\0){0,60}") {
            let once = of("Bash", |cx| screen(&text, cx)).unwrap_or_else(|| text.clone());
            prop_assert!(once.len() <= text.len());
            prop_assert!(once.matches('\n').count() == text.matches('\n').count());
        }
    }
}
