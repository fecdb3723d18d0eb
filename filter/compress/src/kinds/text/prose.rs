//! Whether a text is prose: sentences that people wrote for people.
//!
//! A digest of headings and first sentences is correct only for prose. In the line by line output of a
//! program (a linter, a plan, YAML, checksums, a snapshot of a page) no sentence stands for the others. Prose
//! has three properties: most of it is in lines of plain words, these words end in sentences, and its lines
//! do not repeat each other's wording.

use crate::kinds::wording;

/// At least this percentage of the bytes is in lines of plain words.
const LEAST_PLAIN: usize = 60;

/// A line of plain words has at least this many words, and this percentage of them is plain.
const FEWEST_WORDS: usize = 4;
const PLAIN_WORDS: usize = 75;

/// A sentence ends at least once in this many bytes.
const SENTENCE: usize = 600;

/// Lines that share a wording with this many others are from a program. In prose this happens by chance to at
/// most this percentage of the lines, without headings.
const ALIKE: usize = 4;
const MOST_ALIKE: usize = 20;

/// Whether these lines are prose.
pub(super) fn is_prose(lines: &[&str]) -> bool {
    let (mut bytes, mut plain, mut ends, mut full) = (0, 0, 0, 0usize);
    for line in lines {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        bytes += line.len();
        full += usize::from(!is_heading(line));
        if is_plain(line) {
            plain += line.len();
            ends += sentence_ends(line);
        } else if is_commit(line) {
            return false;
        }
    }
    plain * 100 >= bytes * LEAST_PLAIN && ends * SENTENCE >= plain && alike(lines) * 100 <= full * MOST_ALIKE
}

/// How many lines, without headings, share their wording with others.
fn alike(lines: &[&str]) -> usize {
    let bare = lines.iter().map(|line| if is_heading(line.trim()) { "" } else { *line });
    let groups = wording::group(bare.map(|line| (line, 0)), ALIKE);
    groups.all().iter().map(|group| group.count).filter(|count| *count >= ALIKE).sum()
}

fn is_heading(line: &str) -> bool {
    line.starts_with('#') || line.bytes().all(|b| matches!(b, b'=' | b'-' | b'*' | b'_'))
}

/// `commit 1f2e…`: `git log` prints records, each with its own message.
fn is_commit(line: &str) -> bool {
    line.strip_prefix("commit ").is_some_and(|rest| {
        let hash = rest.split(' ').next().unwrap_or_default();
        hash.len() >= 7 && hash.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// Whether a line consists of plain words with one blank between them. In a script without blanks the letters
/// are counted.
fn is_plain(line: &str) -> bool {
    let line = unmarked(line);
    if is_columns(line) || starts_with_place(line) {
        return false;
    }
    let (mut words, mut plain) = (0usize, 0usize);
    for word in line.split_ascii_whitespace() {
        if word.len() > 1 || word.starts_with(char::is_alphanumeric) {
            words += 1;
            plain += usize::from(is_word(word));
        }
    }
    let beyond = line.chars().filter(|c| !c.is_ascii() && c.is_alphabetic()).count();
    words >= FEWEST_WORDS && plain * 100 >= words * PLAIN_WORDS || beyond >= 20 && beyond * 4 >= line.len()
}

/// A line without the mark of a list or a quotation.
fn unmarked(line: &str) -> &str {
    let line = line.trim_start_matches(['>', ' ']);
    let bare = line.strip_prefix(['-', '*', '+', '•']).unwrap_or_else(|| {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() < line.len() { rest.strip_prefix(['.', ')']).unwrap_or(line) } else { line }
    });
    bare.trim_start()
}

/// Whether a line has two blanks or a tab inside, except after the end of a sentence.
fn is_columns(line: &str) -> bool {
    let bytes = line.as_bytes();
    let wide = |w: &[u8]| matches!(w, [before, b' ', b' '] if !matches!(before, b' ' | b'.' | b'!' | b'?' | b':' | b')'));
    memchr::memchr(b'\t', bytes).is_some() || bytes.windows(3).any(wide)
}

/// `src/a.rb:3:1: …`, `12:5 error …`, `[3] …`, `+ name …`: a first word as programs print it.
fn starts_with_place(line: &str) -> bool {
    let first = line.split(' ').next().unwrap_or_default();
    let digits = first.bytes().filter(u8::is_ascii_digit).count();
    let marks =
        first.bytes().filter(|b| matches!(b, b':' | b'/' | b'\\' | b'=' | b'[' | b'|' | b'{')).count();
    digits > 0 && marks > 0 || marks > 1
}

/// A word of letters, possibly in quotes, emphasized, or linked, with its punctuation.
fn is_word(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    !bare.is_empty()
        && word.len() - bare.len() <= 6
        && !word.ends_with('=')
        && bare.chars().all(|c| c.is_alphabetic() || matches!(c, '\'' | '’' | '-' | '–' | '—'))
}

/// Full stops and the like after a word, at the end of the line or before a blank.
fn sentence_ends(line: &str) -> usize {
    let mut ends = 0;
    let mut chars = line.chars().peekable();
    let mut letters = 0;
    while let Some(c) = chars.next() {
        match c {
            '。' | '！' | '？' => ends += 1,
            '.' | '!' | '?' if letters > 1 => {
                while chars.next_if(|next| matches!(next, '"' | '\'' | ')' | '”' | '*' | '_' | '`')).is_some()
                {
                }
                ends += usize::from(chars.peek().is_none_or(|next| next.is_whitespace()));
            }
            _ => {}
        }
        letters = if c.is_alphanumeric() { letters + 1 } else { 0 };
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prose(text: &str) -> bool {
        is_prose(&text.lines().collect::<Vec<_>>())
    }

    fn lines(line: impl Fn(usize) -> String) -> String {
        (0..60).map(|n| line(n) + "\n").collect()
    }

    #[test]
    fn paragraphs_lists_and_messages_are_prose() {
        for text in [
            "The house stood on a hill above the river. Nobody had lived there for years,\nand the garden had gone wild. In spring the children came to play.\n",
            "# Title\n\n- The first thing to know is that nothing here is urgent.\n- The second is that you may ask anyone, at any time.\n\n1. Open the door.\n2. Walk through it, and close it behind you.\n",
            "Dear Ms Smith,\n\nthank you for your letter of May. We have passed it on to our colleagues in Leeds.\nThey will write to you (if they have not done so yet) within the week.\n",
            "数据库的设计目标是让每一次写入都可以在失败之后恢复。这一点很重要。\n因此所有的日志都会先写入磁盘，然后才会被确认。读者可以参考下一章。\n",
        ] {
            assert!(prose(text), "{text}");
        }
    }

    #[test]
    fn what_programs_print_is_none() {
        let cases = [
            lines(|n| {
                format!(
                    "app/models/m{n}.rb:{n}:1: W: Line is too long. Please make it shorter.\n  render json: item.errors, status: x if and true"
                )
            }),
            lines(|n| format!("  {n}:5  error  Unexpected console statement was found here.  no-console")),
            lines(|n| {
                format!(
                    "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: svc-{n}\n  description: This is the service that answers. It is small."
                )
            }),
            lines(|n| {
                format!(
                    "  - link \"Story number {n} about a topic.\" [ref=e{n}] [cursor=pointer]:\n    - /url: https://example.org/{n}"
                )
            }),
            lines(|n| format!("{n:064x}  dist/file-{n}.tar.gz")),
            lines(|n| format!("Starting the worker with number {n} on this host. Done.")),
            lines(|n| format!("  + resource \"aws_instance\" \"web{n}\" {{\n      + ami = \"abc\"\n    }}")),
            lines(|n| {
                format!(
                    "commit {n:040x}\nAuthor: Ann <a@b.c>\n\n    The change makes the house a better place. It is number {}.\n    Nobody has asked for it, but there it is.\n",
                    n * n
                )
            }),
            lines(|n| format!("Reading package lists from mirror {n}... Done.")),
            lines(|n| format!("ii  libfoo{n}  1.2.{n}  amd64  The library that does foo. It is small.")),
        ];
        for text in cases {
            assert!(!prose(&text), "{text}");
        }
    }

    #[test]
    fn one_long_word_is_no_prose_and_a_last_line_end_changes_nothing() {
        assert!(!prose(&"x".repeat(100_000)));
        for text in ["", ".", "é", &"x".repeat(100_000), &". ".repeat(50_000)] {
            assert_eq!(prose(text), prose(&format!("{text}\n")), "{text:.20}");
        }
    }
}
