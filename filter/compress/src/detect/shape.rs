//! The shapes of single lines: one predicate each, over bytes.

mod time;

use memchr::memmem;

use self::time::is_in_time;
pub(super) use self::time::{is_dated, is_log};

/// A line, or its start, without its line end.
#[derive(Clone, Copy)]
pub(super) struct Line<'t> {
    pub(super) bytes: &'t [u8],
    /// The line without its indentation.
    pub(super) bare: &'t [u8],
}

impl Line<'_> {
    fn is_indented(&self) -> bool {
        self.bare.len() < self.bytes.len()
    }

    pub(super) fn count(&self, byte: u8) -> usize {
        memchr::memchr_iter(byte, self.bytes).count()
    }
}

/// Texts that a line may start with. Most lines start with none of them.
struct Starts {
    /// The first bytes of the texts.
    first: [bool; 256],
    texts: &'static [&'static [u8]],
}

#[allow(clippy::indexing_slicing, reason = "a byte is an index of 256 entries, and no text is empty")]
impl Starts {
    const fn new(texts: &'static [&'static [u8]]) -> Self {
        let mut first = [false; 256];
        let mut at = 0;
        while at < texts.len() {
            first[texts[at][0] as usize] = true;
            at += 1;
        }
        Self { first, texts }
    }

    /// The rest of the line after the first of the texts that it starts with.
    fn strip<'l>(&self, line: &'l [u8]) -> Option<&'l [u8]> {
        if !self.first[usize::from(*line.first()?)] {
            return None;
        }
        self.texts.iter().find_map(|text| line.strip_prefix(*text))
    }
}

/// `  12→text`, `12\ttext`, `12: text`, `12-text`, `12|text`: a line number and its separator.
pub(super) fn is_numbered(line: &Line<'_>) -> bool {
    let digits = digits(line.bare);
    digits > 0
        && digits <= 7
        && match line.bare.get(digits..).unwrap_or_default() {
            [] => true,
            [b'\t' | b':' | b'-' | b'|', ..] => true,
            [b' ', rest @ ..] => rest.first() == Some(&b'|'),
            rest => rest.starts_with("→".as_bytes()),
        }
}

/// `  12→text`: a number that a file reader puts before a line.
pub(super) fn is_numbered_by_a_reader(line: &Line<'_>) -> bool {
    let digits = digits(line.bare);
    digits > 0 && digits <= 7 && line.bare.get(digits..).unwrap_or_default().starts_with("→".as_bytes())
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// `path:12:text` or, in context lines, `path-12-text`.
pub(super) fn is_located(line: &Line<'_>) -> bool {
    let line = line.bytes;
    let path = path_len(line);
    if path == 0 {
        return false;
    }
    // The separator of a context line may also occur in a path, so it is searched for inside the path.
    memchr::memchr2_iter(b':', b'-', line.get(..line.len().min(path + 1)).unwrap_or_default()).any(|i| {
        let n = digits(line.get(i + 1..).unwrap_or_default());
        i > 0
            && n > 0
            && line.get(i + 1 + n) == line.get(i)
            && !line.get(..i).unwrap_or_default().iter().all(u8::is_ascii_digit)
            && !is_in_time(line, i)
            && !(line.get(i) == Some(&b':') && is_host(line.get(..i).unwrap_or_default()))
    })
}

/// `10.0.0.7`, `localhost`, `api.example.com`: a name that is followed by a port, not by a line number.
fn is_host(name: &[u8]) -> bool {
    const ENDS: &[&[u8]] =
        &[b".com", b".net", b".org", b".io", b".dev", b".local", b".internal", b".svc", b".cluster"];
    let address = name.iter().filter(|b| **b == b'.').count() == 3
        && name.iter().all(|b| b.is_ascii_digit() || *b == b'.');
    let dotted = || name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    address || name == b"localhost" || dotted() && ENDS.iter().any(|end| name.ends_with(end))
}

/// `path.ext:text` without a line number: not [`is_located`].
pub(super) fn is_named(line: &Line<'_>) -> bool {
    let bytes = line.bytes;
    let path = path_len(bytes);
    bytes.get(path) == Some(&b':')
        && memchr::memrchr(b'.', bytes.get(..path).unwrap_or_default())
            .is_some_and(|dot| dot > 0 && dot + 1 < path && path - dot <= 8)
        && bytes.get(path + 1).is_some_and(|&b| b != b':')
        && !is_host(bytes.get(..path).unwrap_or_default())
        && !is_located(line)
}

/// The length of the path at the start of the line, with or without a drive.
fn path_len(line: &[u8]) -> usize {
    let drive = matches!(line, [b'A'..=b'Z' | b'a'..=b'z', b':', b'\\' | b'/', ..]);
    let (drive, path) = line.split_at(if drive { 2 } else { 0 });
    if path.first().is_some_and(u8::is_ascii_graphic) {
        drive.len() + path.iter().take_while(|b| is_path_byte(**b) || **b == b'\\').count()
    } else {
        0
    }
}

#[allow(clippy::indexing_slicing, reason = "a byte is an index of 256 entries")]
fn is_path_byte(b: u8) -> bool {
    PATH_BYTES[usize::from(b)]
}

/// Letters, digits, everything beyond ASCII, and some signs.
#[allow(clippy::indexing_slicing, reason = "a byte is an index of 256 entries")]
static PATH_BYTES: [bool; 256] = {
    let mut is = [false; 256];
    let mut b = 0u8;
    loop {
        is[b as usize] =
            b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-' | b'+' | b'@' | b'~' | 0x80..);
        if b == u8::MAX {
            break is;
        }
        b += 1;
    }
};

static LEVELS: Starts =
    Starts::new(&[b"INFO", b"WARNING", b"WARN", b"ERROR", b"DEBUG", b"TRACE", b"FATAL", b"NOTICE"]);
static DAYS_AND_MONTHS: Starts = Starts::new(&[
    b"Mon ", b"Tue ", b"Wed ", b"Thu ", b"Fri ", b"Sat ", b"Sun ", b"Jan ", b"Feb ", b"Mar ", b"Apr ",
    b"May ", b"Jun ", b"Jul ", b"Aug ", b"Sep ", b"Oct ", b"Nov ", b"Dec ",
]);

static TEST_STARTS: Starts = Starts::new(&[
    b"PASSED ",
    b"FAILED ",
    b"ERROR ",
    b"--- FAIL",
    b"--- PASS",
    b"=== RUN",
    b"=== CONT",
    b"=== PAUSE",
    b"=== NAME",
    b"test result:",
    b"npm ERR",
    b"npm WARN",
    b"npm error",
    b"npm warn",
    b"error: ",
    b"error[",
    b"warning: ",
    b"make: ",
    b"make[",
    b"[ERROR] ",
    b"[INFO] ",
    b"[WARNING] ",
    b"Collecting ",
    b"Downloading ",
    b"Installing ",
    b"Requirement already",
    b"FAIL\t",
    b"ok  \t",
    b"?   \t",
    b"FAIL ",
    b"PASS ",
    b"collected ",
    b"BUILD ",
    b"E   ",
]);
static TEST_BARE_STARTS: Starts = Starts::new(&[
    b"Compiling ",
    b"Finished ",
    b"Downloaded ",
    b"Updating ",
    b"Running ",
    b"PASS [",
    b"FAIL [",
    "✓ ".as_bytes(),
    "✗ ".as_bytes(),
    "✕ ".as_bytes(),
    "× ".as_bytes(),
    "✔ ".as_bytes(),
    "● ".as_bytes(),
]);

/// A line as test runners, compilers and package managers print it.
pub(super) fn is_test(line: &Line<'_>) -> bool {
    if TEST_STARTS.strip(line.bytes).is_some() || TEST_BARE_STARTS.strip(line.bare).is_some() {
        return true;
    }
    let line = line.bytes;
    let rust_or_unittest = line.starts_with(b"test ") && memmem::find(line, b" ... ").is_some()
        || line.ends_with(b" ... ok")
        || line.ends_with(b" ... FAIL")
        || line.ends_with(b" ... ERROR");
    let rule = line.len() > 20
        && (line.starts_with(b"====") && line.ends_with(b"==")
            || line.starts_with(b"____") && line.ends_with(b"__"));
    rust_or_unittest
        || rule
        || line.starts_with(b"Ran ") && memmem::find(line, b" in ").is_some()
        || is_test_by_a_colon(line)
}

/// `tests/test_a.py::test_b PASSED`, or `src/main.c:12:3: error: …`.
fn is_test_by_a_colon(line: &[u8]) -> bool {
    // Only the first message counts: a later one may be in a text that the tool quotes.
    let mut message = None;
    for colon in memchr::memchr_iter(b':', line) {
        let (before, after) =
            (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
        if after.first() == Some(&b':') && before.ends_with(b".py") {
            let words = [&b"PASSED"[..], b"FAILED", b"ERROR", b"SKIPPED"];
            if words.iter().any(|word| memmem::find(line, word).is_some()) {
                return true;
            }
        }
        if message.is_none() && (after.starts_with(b" error") || after.starts_with(b" warning")) {
            message = Some(before);
        }
    }
    let place = |b: &&u8| b.is_ascii_digit() || matches!(b, b':' | b',' | b')');
    message.is_some_and(|before| before.iter().rev().take_while(place).count() >= 2)
}

/// A line of a stack trace.
pub(super) fn is_frame(line: &Line<'_>) -> bool {
    let bare = line.bare;
    line.is_indented()
        && (bare.starts_with(b"at ")
            || bare.starts_with(b"File \"") && memmem::find(bare, b", line ").is_some()
            || is_go_frame(bare))
        || bare.starts_with(b"Caused by: ")
        || line.bytes.starts_with(b"goroutine ")
        || line.bytes.starts_with(b"Traceback (most recent call last)")
}

/// `/src/a.go:12 +0x1d`. The plus sign is rare, and searching a byte is faster than searching a text.
fn is_go_frame(bare: &[u8]) -> bool {
    memchr::memrchr(b'+', bare).is_some()
        && memmem::find(bare, b" +0x").is_some()
        && memmem::find(bare, b".go:").is_some()
}

/// A path alone on its line, possibly after the branches of a tree.
pub(super) fn is_path(line: &Line<'_>) -> bool {
    let line = line.bare;
    let bare = match line.iter().position(|b| b.is_ascii() && !matches!(b, b' ' | b'-' | b'|' | b'`')) {
        Some(at)
            if line.get(..at).unwrap_or_default().iter().any(|b| *b >= 0x80 || matches!(b, b'|' | b'`')) =>
        {
            line.get(at..).unwrap_or_default()
        }
        _ => line,
    };
    if memchr::memchr(b' ', bare).is_some() && !bare.starts_with(b"/") && !bare.starts_with(b"./") {
        return false;
    }
    let plain = bare
        .iter()
        .all(|&b| is_path_byte(b) || b == b' ' || matches!(b, b'[' | b']' | b'(' | b')' | b'=' | b','));
    let name = bare.strip_suffix(b"/").unwrap_or(bare);
    let extension = memchr::memrchr(b'.', name).is_some_and(|dot| {
        let extension = name.get(dot + 1..).unwrap_or_default();
        !extension.is_empty()
            && extension.len() <= 10
            && extension.iter().all(u8::is_ascii_alphanumeric)
            && !extension.iter().all(u8::is_ascii_digit)
    });
    plain
        && (extension
            || name.len() < bare.len()
            || bare.starts_with(b"./")
            || memchr::memchr(b'/', bare).is_some())
}

/// `-rw-r--r-- …`, as `ls -l` prints it.
pub(super) fn is_permissions(line: &Line<'_>) -> bool {
    let line = line.bare;
    line.len() > 10
        && matches!(line.first(), Some(b'-' | b'd' | b'l' | b'c' | b'b' | b'p' | b's'))
        && line
            .get(1..10)
            .unwrap_or_default()
            .iter()
            .all(|b| matches!(b, b'r' | b'w' | b'x' | b'-' | b's' | b'S' | b't' | b'T'))
}

/// `| cell | cell |`
pub(super) fn is_piped(line: &Line<'_>) -> bool {
    line.bare.len() > 2 && line.bare.starts_with(b"|") && line.bare.ends_with(b"|")
}

/// `----+------`, `+---+---+`: the line between titles and rows in outputs of databases.
pub(super) fn is_ruling(line: &Line<'_>) -> bool {
    line.bare.iter().all(|b| matches!(b, b'-' | b'+')) && memmem::find(line.bare, b"-+-").is_some()
}

/// `<p>…</p>`
pub(super) fn is_markup(line: &Line<'_>) -> bool {
    line.bare.starts_with(b"<") && line.bare.ends_with(b">")
}

/// What `git log` prints for a commit: its first lines, or the changed files with their counts.
pub(super) fn is_commit(line: &Line<'_>) -> bool {
    let commit = line.bytes.strip_prefix(b"commit ");
    commit.is_some_and(|id| id.len() >= 7 && id.iter().take_while(|b| b.is_ascii_hexdigit()).count() >= 7)
        || line.bytes.starts_with(b"Author: ")
        || line.bytes.starts_with(b"Date:   ")
        || is_stat(line)
}

/// ` src/a.rs | 12 ++--`, ` 3 files changed, 12 insertions(+)`.
fn is_stat(line: &Line<'_>) -> bool {
    // Cheap questions first: each line is asked.
    if line.bare.first().is_some_and(u8::is_ascii_digit) && memmem::find(line.bare, b" changed, ").is_some() {
        return true;
    }
    if !line.is_indented() {
        return false;
    }
    let Some(bar) = memmem::find(line.bare, b" | ") else { return false };
    let rest = line.bare.get(bar + 3..).unwrap_or_default().trim_ascii_start();
    let digits = digits(rest);
    digits > 0 && rest.get(digits..).unwrap_or_default().iter().all(|b| matches!(b, b' ' | b'+' | b'-'))
        || rest.starts_with(b"Bin")
}

/// A name and a version, as package managers list what is installed: `requests==2.31.0`, `serde v1.0.2`,
/// `bash/stable,now 5.2.15-2 amd64 [installed]`, `rake (13.0.6)`.
pub(super) fn is_package(line: &Line<'_>) -> bool {
    const MOST_WORDS: usize = 6;
    let bare = line.bare;
    let words = || bare.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
    let Some(name) = words().next() else { return false };
    let in_name = |b: &u8| {
        b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'_' | b'.' | b'@' | b'/' | b'+' | b':' | b'=' | b',' | b'~')
    };
    let starts = name.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'@');
    if !starts || bare.len() > 160 || !name.iter().all(in_name) || words().count() > MOST_WORDS {
        return false;
    }
    let behind = name.windows(2).rposition(|two| two == b"==");
    let behind = behind.map(|at| name.get(at + 2..).unwrap_or_default());
    let behind = behind.or_else(|| {
        memchr::memrchr(b'@', name).filter(|at| *at > 0).map(|at| name.get(at + 1..).unwrap_or_default())
    });
    behind.is_some_and(is_version) || words().skip(1).take(2).any(is_version)
}

/// `1.2`, `v1.2.3-4`, `(13.0.6)`.
fn is_version(word: &[u8]) -> bool {
    let word = word.strip_prefix(b"(").unwrap_or(word);
    let word = word.strip_prefix(b"v").unwrap_or(word);
    let digits = digits(word);
    digits > 0
        && digits <= 4
        && word.get(digits) == Some(&b'.')
        && word.get(digits + 1).is_some_and(u8::is_ascii_digit)
        && !word.ends_with(b":")
}

pub(super) fn is_hunk_header(line: &Line<'_>) -> bool {
    line.bytes.starts_with(b"@@ -") || line.bytes.starts_with(b"@@@ -")
}

/// `+++ b/src/a.c`
pub(super) fn is_diff_file(line: &Line<'_>) -> bool {
    line.bytes.starts_with(b"+++ ") || line.bytes.starts_with(b"--- ")
}

/// `NAME   READY   STATUS`: three or more words in capitals, separated by at least two blanks.
pub(super) fn is_column_header(line: &Line<'_>) -> bool {
    line.bare.iter().all(|b| {
        b.is_ascii_uppercase()
            || b.is_ascii_digit()
            || matches!(b, b' ' | b'-' | b'_' | b'/' | b'%' | b'(' | b')')
    }) && is_wide(line)
}

/// Two or more runs of two or more blanks inside the line.
pub(super) fn is_wide(line: &Line<'_>) -> bool {
    line.bare.windows(3).filter(|w| matches!(w, [before, b' ', b' '] if *before != b' ')).nth(1).is_some()
}

const CODE_WORDS: &[&[u8]] = &[
    b"def", b"class", b"import", b"from", b"func", b"fn", b"pub", b"use", b"package", b"const", b"let",
    b"var", b"return", b"if", b"for", b"while", b"else", b"elif", b"try", b"except", b"with", b"struct",
    b"impl", b"type",
];

/// A line of a program: its ending, its first word, or the shape of an assignment or a call.
pub(super) fn is_code(line: &Line<'_>) -> bool {
    let bare = line.bare;
    if matches!(bare.last(), Some(b'{' | b'}' | b';')) || bare.ends_with(b"):") || bare.ends_with(b"),") {
        return true;
    }
    if matches!(bare.first(), Some(b'#' | b'@'))
        || bare.starts_with(b"//")
        || bare.starts_with(b"/*")
        || bare.starts_with(b"* ")
    {
        return true;
    }
    let word = bare.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')).count();
    let (word, rest) = bare.split_at(word);
    CODE_WORDS.contains(&word) && rest.first().is_none_or(|b| !b.is_ascii_alphanumeric())
        || !word.is_empty()
            && (rest.starts_with(b"(") && memchr::memchr(b')', rest).is_some()
                || rest.starts_with(b" = ")
                || rest.starts_with(b" := ")
                || rest.starts_with(b" += "))
}
