//! The shapes of single lines: one predicate each, over bytes.

use memchr::memmem;

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

/// Whether the separator at `at` is inside a date or a time: `job-2026-05-06.log`, `web-10:22:33`.
fn is_in_time(line: &[u8], at: usize) -> bool {
    let group = |from: usize, digits: usize| -> Option<u32> {
        let found = line.get(from..from + digits)?;
        let ends = line.get(from + digits).is_none_or(|b| !b.is_ascii_digit());
        let starts = from.checked_sub(1).and_then(|at| line.get(at)).is_none_or(|b| !b.is_ascii_digit());
        (ends && starts && found.iter().all(u8::is_ascii_digit))
            .then(|| found.iter().fold(0, |n, b| n * 10 + u32::from(b - b'0')))
    };
    let within = |number: Option<u32>, most: u32| number.is_some_and(|number| number <= most);
    let is = |place: usize| line.get(place).is_some_and(|b| line.get(at) == Some(b));
    // No letter comes before the hours or the year, except ISO's `T`.
    let alone = |from: usize| {
        let before = from.checked_sub(1).and_then(|at| line.get(at));
        before.is_none_or(|b| !b.is_ascii_alphabetic() || *b == b'T')
    };
    let time = |hours: usize| {
        alone(hours)
            && is(hours + 2)
            && is(hours + 5)
            && within(group(hours, 2), 23)
            && within(group(hours + 3, 2), 59)
            && within(group(hours + 6, 2), 60)
    };
    let date = |year: usize| {
        is(year + 4)
            && is(year + 7)
            && group(year, 4).is_some_and(|year| (1970..2100).contains(&year))
            && within(group(year + 5, 2), 12)
            && within(group(year + 8, 2), 31)
    };
    // The separator before the year, or one of those inside.
    let back = |n: usize| at.checked_sub(n);
    back(2).is_some_and(time)
        || back(5).is_some_and(time)
        || date(at + 1)
        || time(at + 1)
        || back(4).is_some_and(date)
        || back(7).is_some_and(date)
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

/// Starts with a time stamp or a level, perhaps in brackets, or has an ISO time near its start.
pub(super) fn is_log(line: &Line<'_>) -> bool {
    let line = line.bare;
    let bare = line.strip_prefix(b"[").or_else(|| line.strip_prefix(b"\"")).unwrap_or(line);
    if LEVELS.strip(bare).is_some_and(|rest| rest.first().is_none_or(|b| !b.is_ascii_alphanumeric())) {
        return true;
    }
    if DAYS_AND_MONTHS.strip(bare).is_some() && clock(bare, 24) {
        return true;
    }
    let head = bare.get(..bare.len().min(STAMP_WITHIN)).unwrap_or_default();
    (starts_with_date(bare) || iso_time(head) || request_time(head) || is_record(line))
        && !is_commit_in_a_line(head)
}

/// The time of a line begins within this many bytes.
const STAMP_WITHIN: usize = 80;

/// `[29/Nov/2026:10:00:09 +0000]`: the time of a request, as web servers write it.
fn request_time(line: &[u8]) -> bool {
    memchr::memchr_iter(b'[', line).any(|at| {
        let time = line.get(at + 1..).unwrap_or_default();
        let letters = time.get(3..6).is_some_and(|month| month.iter().all(u8::is_ascii_alphabetic));
        let is = |at: usize, byte: u8| time.get(at) == Some(&byte);
        letters && is(2, b'/') && is(6, b'/') && is(11, b':') && clock(time.get(12..).unwrap_or_default(), 5)
    })
}

/// `ee4610d Ann Example 2026-11-29 14:06:19 +0000 Fix it`: a commit as `git log --format` prints it, with the
/// id first or after the time. Its subject is not a log message of a program.
fn is_commit_in_a_line(line: &[u8]) -> bool {
    let mut words = line.split(|b| *b == b' ').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let mut words = words.skip_while(|word| !is_zone(word));
    let zoned = words.next().is_some();
    is_abbreviated(first) && (zoned || first.len() != UUID_GROUP && iso_time(line))
        || zoned && starts_with_date(line) && words.next().is_some_and(is_abbreviated)
}

/// The first group of a UUID, which services use in names of requests, has this many digits.
const UUID_GROUP: usize = 8;

/// The id of a commit: 7 to 12 hexadecimal digits or all 40, with a letter and a digit.
fn is_abbreviated(word: &[u8]) -> bool {
    (matches!(word.len(), 7..=12 | 40))
        && word.iter().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
        && word.iter().any(u8::is_ascii_alphabetic)
        && word.iter().any(u8::is_ascii_digit)
}

/// `+0200`
fn is_zone(word: &[u8]) -> bool {
    matches!(word, [b'+' | b'-', rest @ ..] if rest.len() == 4 && rest.iter().all(u8::is_ascii_digit))
}

/// Whether a line starts with a date or a time, perhaps in a bracket.
pub(super) fn is_dated(line: &Line<'_>) -> bool {
    starts_with_date(line.bare.strip_prefix(b"[").unwrap_or(line.bare))
}

/// `{"level":30,"time":…,"msg":…}`: a log line as structured loggers write it.
fn is_record(line: &[u8]) -> bool {
    line.starts_with(b"{\"")
        && line.ends_with(b"}")
        && RECORD_KEYS.iter().filter(|key| memmem::find(line, key).is_some()).count() >= 2
}

const RECORD_KEYS: &[&[u8]] = &[
    b"\"level\":",
    b"\"time\":",
    b"\"ts\":",
    b"\"timestamp\":",
    b"\"msg\":",
    b"\"message\":",
    b"\"severity\":",
];

/// `12:34` within the first `within` bytes.
fn clock(line: &[u8], within: usize) -> bool {
    line.get(..line.len().min(within))
        .unwrap_or_default()
        .windows(5)
        .any(|w| matches!(w, [a, b, b':', c, d] if [a, b, c, d].iter().all(|b| b.is_ascii_digit())))
}

/// Digits and date separators that begin with a date, a time of day or an epoch.
fn starts_with_date(line: &[u8]) -> bool {
    let stamp =
        line.iter().take_while(|b| b.is_ascii_digit() || matches!(b, b'-' | b'/' | b':' | b'.')).count();
    if stamp == 0 || is_file_name(line) {
        return false;
    }
    let (stamp, rest) = line.split_at(stamp);
    if is_address(stamp) {
        return false;
    }
    let digits = stamp.iter().filter(|b| b.is_ascii_digit()).count();
    let separators = stamp.len() - digits;
    let spaced = matches!(rest.first(), Some(b' ' | b'T' | b'_' | b'\t' | b']' | b','));
    spaced
        && (separators >= 2 && digits >= 6
            || separators == 0 && (digits == 10 || digits == 13)
            || digits == 6 && separators == 0 && clock_digits(rest)
            || separators == 1 && digits == 4 && clock(rest, 10))
}

/// `10.0.0.7`, `10.0.0.0/24`, `10.0.0.7:80`.
fn is_address(stamp: &[u8]) -> bool {
    let address = stamp.split(|b| matches!(b, b'/' | b':')).next().unwrap_or_default();
    address.split(|b| *b == b'.').count() == 4 && !address.contains(&b'-')
}

/// Whether a line starts with the name of a file: `2026-11-05T03:15:04.tar.gz`.
fn is_file_name(line: &[u8]) -> bool {
    let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    ends_as_a_file(word)
}

/// `….tar.gz`, `….log`: an extension of letters after a point.
fn ends_as_a_file(word: &[u8]) -> bool {
    memchr::memrchr(b'.', word).is_some_and(|dot| {
        let extension = word.get(dot + 1..).unwrap_or_default();
        (1..=5).contains(&extension.len())
            && extension.first().is_some_and(u8::is_ascii_lowercase)
            && extension.iter().all(u8::is_ascii_alphanumeric)
    })
}

/// ` 203615`: the time of HDFS-like stamps.
fn clock_digits(rest: &[u8]) -> bool {
    rest.len() >= 7
        && rest.first() == Some(&b' ')
        && rest.get(1..7).unwrap_or_default().iter().all(u8::is_ascii_digit)
}

/// `2024-05-06T07:08`, or with a blank between, but not in the name of a file.
fn iso_time(line: &[u8]) -> bool {
    memchr::memchr_iter(b'-', line).any(|dash| {
        let Some(start) = dash.checked_sub(4) else { return false };
        let Some(w) = line.get(start..start + 16) else { return false };
        let before = start.checked_sub(1).and_then(|at| line.get(at));
        let in_a_word =
            before.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'));
        let word = line.get(start..).unwrap_or_default().split(u8::is_ascii_whitespace).next();
        let is_name = |word: &[u8]| ends_as_a_file(word) || in_a_word && w.get(10) == Some(&b'T');
        if word.is_some_and(is_name) {
            return false;
        }
        w.get(7) == Some(&b'-')
            && matches!(w.get(10), Some(b'T' | b' '))
            && w.get(13) == Some(&b':')
            && [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15]
                .iter()
                .all(|&i| w.get(i).is_some_and(u8::is_ascii_digit))
    })
}

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
    if memmem::find(line.bare, b" changed, ").is_some() && line.bare.first().is_some_and(u8::is_ascii_digit) {
        return true;
    }
    let Some(bar) = memmem::find(line.bare, b" | ") else { return false };
    let rest = line.bare.get(bar + 3..).unwrap_or_default().trim_ascii_start();
    let digits = digits(rest);
    line.is_indented()
        && (digits > 0
            && rest.get(digits..).unwrap_or_default().iter().all(|b| matches!(b, b' ' | b'+' | b'-'))
            || rest.starts_with(b"Bin"))
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
    if bare.len() > 160 || !name.iter().all(in_name) || words().count() > MOST_WORDS {
        return false;
    }
    let starts = name.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'@');
    let behind = memmem::rfind(name, b"==").map(|at| name.get(at + 2..).unwrap_or_default());
    let behind = behind.or_else(|| {
        memchr::memrchr(b'@', name).filter(|at| *at > 0).map(|at| name.get(at + 1..).unwrap_or_default())
    });
    starts && (behind.is_some_and(is_version) || words().skip(1).take(2).any(is_version))
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
