//! Shortens payload, which is not meant to be read: encoded data, and programs packed on one line.
//!
//! The start of encoded data says what it is, and the rest says nothing. Of a packed program the start, the
//! end, and the parts that answer the question stay. All other text stays as it is:
//!
//! ```text
//! logo: iVBORw0KGgoAAAANSUhEUgAAAyAAAAJYCAYAAACadoJw…11952 more characters…
//! ```
//!
//! Certificates, keys and lists of hashes are short enough to stay whole.

use std::cell::LazyCell;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::keep::counted;
use super::query::Query;
use super::signal::floor_char_boundary;
use crate::block::{Context, Lossy};
use crate::lines;
use crate::work;

/// The shortest encoded data, in characters: longer than a key or a token.
const MIN_BLOB: usize = 1000;
/// How many of them are shown.
const BLOB_HEAD: usize = 48;

/// The lengths of lines into which tools wrap encoded data (`base64`, `openssl`, MIME, uuencode's like).
const WRAPS: &[usize] = &[60, 64, 70, 72, 76, 78];
/// Wrapped data has at least this many such lines: a certificate has some thirty, a key of 4096 bits fifty.
const MIN_WRAPPED: usize = 64;

/// A line of a packed program has at least this many bytes, and one of [`SIGNS`] at least every
/// [`SIGN_EVERY`] bytes.
const MIN_PACKED: usize = 3000;
const SIGN_EVERY: usize = 24;
const SIGNS: &[u8] = b"(){};,=";
/// In a program that is not packed, at least one byte in this many is a blank.
const BLANK_EVERY: usize = 8;

/// Words and signs of programs and style sheets. A packed line has at least [`FEWEST_WORDS`] different ones of
/// them, and one in this many bytes: signs alone are as dense in data that a program printed.
const WORDS: &[&str] = &[
    "function",
    "return",
    ")=>",
    "var ",
    "let ",
    "const ",
    "if(",
    "for(",
    "else",
    "this.",
    "new ",
    "typeof ",
    "void 0",
    "===",
    "!==",
    "&&",
    "||",
    "void(",
    "null!=",
    ".prototype",
    "color:",
    "margin",
    "padding",
    "display:",
    "width:",
    "font-",
    "@media",
    "background",
];
const FEWEST_WORDS: usize = 2;
const WORD_EVERY: usize = 150;
/// Members of JSON, line ends in a quoted text: with one in this many bytes a line is data.
const DATA_EVERY: usize = 100;

/// `None` only if the automaton could not be built, which depends only on the words.
static PROGRAM: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| AhoCorasick::new(WORDS).ok());

/// What is shown of a packed line: its start and end, and pieces that answer the question. Bytes.
const PACKED_HEAD: usize = 400;
const PACKED_TAIL: usize = 160;
const PIECE: usize = 240;
const ANSWERS: usize = 6;

/// If more than one part in this many would be shown, the text is not payload.
const MOST_SHOWN: usize = 2;

/// The text with its payload shortened.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    work::spend(text.len());
    let lines: Vec<&str> = lines::split(text).collect();
    let query = LazyCell::new(|| Query::new(cx));
    let (mut out, mut gone) = (String::new(), Omissions::default());
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        if at > 0 {
            out.push('\n');
        }
        let (read, wrapped) = wrapped(lines.get(at..).unwrap_or_default());
        if wrapped < MIN_WRAPPED && read > 1 {
            // These lines are shorter than anything that is shortened, and none of them begins wrapped data.
            let plain = lines.get(at..at + read).unwrap_or_default();
            out.push_str(&plain.join("\n"));
            at += read;
            continue;
        }
        if wrapped >= MIN_WRAPPED {
            let rest = lines.get(at + 1..at + wrapped).unwrap_or_default();
            out.push_str(line);
            out.push_str(&format!("\n… {} of the same encoding", counted(rest.len(), "more line")));
            gone.blobs += 1;
            gone.characters += rest.iter().map(|line| line.len() + 1).sum::<usize>();
            at += wrapped;
            continue;
        }
        if is_packed(line) {
            packed(line, &query, &mut out, &mut gone);
        } else if line.len() >= MIN_BLOB {
            blobs(line, &mut out, &mut gone);
        } else {
            out.push_str(line);
        }
        at += 1;
    }
    // A text with payload and other content has its own digest.
    if out.len() * MOST_SHOWN > text.len() {
        return None;
    }
    let mut of = Vec::new();
    if gone.blobs > 0 {
        of.push(counted(gone.blobs, "encoded blob"));
    }
    if gone.packed > 0 {
        of.push(counted(gone.packed, "packed line"));
    }
    let what = format!("{} left out of {}", counted(gone.characters, "character"), of.join(" and "));
    Some(Lossy { text: out, left_out: what })
}

/// What was left out.
#[derive(Default)]
struct Omissions {
    characters: usize,
    blobs: usize,
    packed: usize,
}

fn is_encoding(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_')
}

/// Whether characters of an encoding really are encoded data: with capitals, small letters and digits.
fn is_mixed(run: &str) -> bool {
    let has = |is: fn(&u8) -> bool| run.as_bytes().iter().any(is);
    has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase)
}

/// How many of the next lines could be one piece of wrapped data, and how many are.
fn wrapped(lines: &[&str]) -> (usize, usize) {
    let Some(width) = lines.first().map(|line| line.len()).filter(|width| WRAPS.contains(width)) else {
        return (0, 0);
    };
    let is = |line: &&&str| line.len() == width && line.bytes().all(is_encoding) && is_mixed(line);
    let full = lines.iter().take_while(is).count();
    let signs = lines.iter().take(full).any(|line| line.contains(['+', '/']));
    let last = lines.get(full).is_some_and(|line| {
        !line.is_empty() && line.len() < width && line.bytes().all(is_encoding) && !line.starts_with('-')
    });
    (full, if signs { full + usize::from(last) } else { 0 })
}

/// Appends a line with the encoded data in it shortened.
fn blobs(line: &str, out: &mut String, gone: &mut Omissions) {
    let mut from = 0;
    while let Some(rest) = line.get(from..).filter(|rest| !rest.is_empty()) {
        let run = rest.bytes().take_while(|b| is_encoding(*b)).count();
        let text = rest.get(..run).unwrap_or_default();
        if run >= MIN_BLOB && is_mixed(text) {
            out.push_str(text.get(..BLOB_HEAD).unwrap_or_default());
            out.push_str(&format!("…{} more characters…", run - BLOB_HEAD));
            gone.blobs += 1;
            gone.characters += run - BLOB_HEAD;
        } else {
            out.push_str(text);
        }
        let behind = rest.get(run..).unwrap_or_default();
        let other = behind.bytes().position(is_encoding).unwrap_or(behind.len());
        out.push_str(behind.get(..other).unwrap_or_default());
        from += run + other;
    }
}

/// Whether a line is a program without its layout.
fn is_packed(line: &str) -> bool {
    if line.len() < MIN_PACKED {
        return false;
    }
    let signs = line.bytes().filter(|b| SIGNS.contains(b)).count();
    let blanks = line.bytes().filter(|b| *b == b' ').count();
    let encloses = line.contains(['{', '(']) && !line.starts_with(['{', '[']);
    encloses
        && signs * SIGN_EVERY >= line.len()
        && blanks * BLANK_EVERY <= line.len()
        && is_program(line)
        && !is_data(line)
}

/// Whether a line has the words of a program.
fn is_program(line: &str) -> bool {
    work::spend(line.len());
    let mut found = [0_usize; WORDS.len()];
    for word in PROGRAM.iter().flat_map(|words| words.find_iter(line)) {
        if let Some(count) = found.get_mut(word.pattern().as_usize()) {
            *count += 1;
        }
    }
    let different = found.iter().filter(|count| **count > 0).count();
    different >= FEWEST_WORDS && found.iter().sum::<usize>() * WORD_EVERY >= line.len()
}

/// Whether a line is data that a program printed: JSON after other words, rows of a database, a text in
/// quotes.
fn is_data(line: &str) -> bool {
    work::spend(3 * line.len());
    let dense =
        |mark: &str| memchr::memmem::find_iter(line.as_bytes(), mark).count() * DATA_EVERY > line.len();
    dense("\":") || dense("\\n") || ["INSERT INTO", "insert into"].iter().any(|rows| line.contains(rows))
}

/// Appends the start, the end and the answers of a packed line.
fn packed(line: &str, query: &Query, out: &mut String, gone: &mut Omissions) {
    let pieces = pieces(line);
    let mut kept = vec![false; pieces.len()];
    let answers = query.best(&pieces).into_iter().take(ANSWERS);
    let ends =
        (0..PACKED_HEAD.div_ceil(PIECE)).chain(pieces.len() - PACKED_TAIL.div_ceil(PIECE)..pieces.len());
    for piece in answers.chain(ends) {
        if let Some(kept) = kept.get_mut(piece) {
            *kept = true;
        }
    }
    let mut hidden = 0;
    let mut before = 0;
    for (piece, kept) in pieces.iter().zip(kept) {
        if !kept {
            hidden += piece.chars().count();
            continue;
        }
        if hidden > before {
            out.push_str(&format!("…{} more characters…", hidden - before));
            before = hidden;
        }
        out.push_str(piece);
    }
    gone.packed += 1;
    gone.characters += hidden;
}

/// A line in pieces of [`PIECE`] bytes and less.
fn pieces(line: &str) -> Vec<&str> {
    let mut pieces = Vec::with_capacity(line.len() / PIECE + 1);
    let mut rest = line;
    while !rest.is_empty() {
        let end = floor_char_boundary(rest, PIECE).max(1);
        let Some((piece, behind)) = rest.split_at_checked(end) else { break };
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

#[cfg(test)]
#[allow(clippy::string_slice, reason = "the texts are ASCII")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    fn shortened(text: &str, query: &str) -> Option<Lossy> {
        let config = Config::default();
        lossy(text, &Context { query, ..Context::of(&config) })
    }

    /// Encoded data, the same every time.
    fn encoded(characters: usize) -> String {
        let signs = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut state = 7u32;
        (0..characters)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from(signs[(state >> 26) as usize])
            })
            .collect()
    }

    #[test]
    fn encoded_data_keeps_its_start_and_all_around_it_stays() {
        let blob = encoded(4000);
        let kept = shortened(&format!("a: 1\nlogo: {blob}\nb: 2\n"), "").unwrap();
        assert_eq!(kept.text, format!("a: 1\nlogo: {}…3952 more characters…\nb: 2\n", &blob[..48]));
        assert_eq!(kept.left_out, "3,952 characters left out of 1 encoded blob");
        let uri = shortened(&format!("<img src=\"data:image/png;base64,{blob}\">\n"), "").unwrap();
        assert!(uri.text.ends_with("…3952 more characters…\">\n"), "{}", uri.text);
    }

    #[test]
    fn wrapped_data_keeps_its_first_line() {
        let blob = encoded(76 * 99 + 20);
        let lines: Vec<&str> = (0..100).map(|n| &blob[n * 76..(n * 76 + 76).min(blob.len())]).collect();
        let kept = shortened(&format!("begin\n{}\nend\n", lines.join("\n")), "").unwrap();
        assert_eq!(kept.text, format!("begin\n{}\n… 99 more lines of the same encoding\nend\n", lines[0]));
    }

    #[test]
    fn keys_hashes_and_words_stay() {
        let blob = encoded(64 * 40);
        let key: Vec<&str> = (0..40).map(|n| &blob[n * 64..n * 64 + 64]).collect();
        let hashes: String =
            (0..200).map(|n: u64| format!("{:064x}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
        for text in [
            format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n", key.join("\n")),
            hashes,
            "a/long/path/".repeat(200),
            "some words and more ".repeat(400),
        ] {
            assert_eq!(shortened(&text, ""), None, "{}", &text[..80]);
        }
    }

    #[test]
    fn a_packed_program_keeps_its_ends_and_what_was_asked_for() {
        let body: String = (0..900).map(|n| format!("function f{n}(a,b){{return a+b*{n}}}")).collect();
        let text = format!("/*! licence */!function(){{{body}var retry_limit=7;{body}}}();");
        let kept = shortened(&text, "where is retry_limit set?").unwrap();
        assert!(kept.text.starts_with("/*! licence */!function(){function f0"), "{}", kept.text);
        assert!(kept.text.contains("var retry_limit=7;"), "{}", kept.text);
        assert!(kept.text.ends_with("}();"), "{}", kept.text);
        assert!(kept.text.len() * 10 < text.len());
        let said: usize = kept
            .text
            .split('…')
            .filter_map(|part| part.strip_suffix(" more characters")?.parse::<usize>().ok())
            .sum();
        let shown = kept
            .text
            .split('…')
            .filter(|part| !part.ends_with(" more characters"))
            .map(str::len)
            .sum::<usize>();
        assert_eq!(said + shown, text.len());
    }

    #[test]
    fn data_on_one_line_is_no_program() {
        let rows = |row: &dyn Fn(usize) -> String| (0..200).map(row).collect::<Vec<_>>().join(",");
        for text in [
            format!(
                "INSERT INTO `t` VALUES {};",
                rows(&|n| format!("({n},'function return var x',{n},'paid')"))
            ),
            format!(
                "POST /v1 -> 207 {{\"results\":[{}]}}",
                rows(&|n| format!("{{\"id\":{n},\"status\":201}}"))
            ),
            format!("Ok(Orders{{items:[{}]}})", rows(&|n| format!("Order{{id:{n},total:7,state:Paid}}"))),
            format!("callback([{}]);", rows(&|n| format!("{{\"id\":{n},\"return\":\"var this.if(\"}}"))),
            format!("/bin/java {}", rows(&|n| format!("-Dk{n}=(v{n});x=paid"))),
            format!("(0, '{}')", rows(&|n| format!("a.js:{n}:  var x=f({n});return this.y;else\\n"))),
            format!("Result: {}", rows(&|n| format!("{{:id=>{n},:state=>{{:paid=>true}}}}"))),
        ] {
            assert!(text.len() >= MIN_PACKED);
            assert_eq!(shortened(&text, ""), None, "{}", &text[..80]);
        }
    }

    #[test]
    fn a_packed_style_sheet_keeps_its_ends() {
        let text: String =
            (0..300).map(|n| format!(".c{n}{{color:#fff;margin:0 {n}px;display:block}}")).collect();
        let kept = shortened(&text, "").unwrap();
        assert!(
            kept.text.starts_with(".c0{")
                && kept.text.ends_with(".c299{color:#fff;margin:0 299px;display:block}")
        );
        assert!(kept.text.len() * 10 < text.len());
    }

    proptest! {
        #[test]
        fn what_is_shown_stands_in_the_text_in_its_order_and_the_rest_is_counted(
            parts in prop::collection::vec("[A-Za-z0-9+/]{1000,1400}|[ -~é\n]{0,40}|(function\\(a\\)\\{return a\\};var x=\\(a,b\\);é){80}", 1..8),
        ) {
            let text = parts.concat();
            if let Some(kept) = shortened(&text, "") {
                let mut rest = text.as_str();
                for piece in kept.text.split(['…', '\n']) {
                    if let Some(count) = piece.strip_suffix(" more characters").and_then(|n| n.parse::<usize>().ok()) {
                        let end = rest.char_indices().nth(count).map_or(rest.len(), |(at, _)| at);
                        rest = &rest[end..];
                        continue;
                    }
                    if piece.ends_with(" of the same encoding") {
                        continue;
                    }
                    let at = rest.find(piece);
                    prop_assert!(at.is_some(), "{piece:?}");
                    rest = &rest[at.unwrap() + piece.len()..];
                }
            }
        }
    }
}
