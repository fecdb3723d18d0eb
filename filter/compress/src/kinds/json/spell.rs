//! How strings and keys are spelled: bare if nothing else can be meant, otherwise as JSON strings with as few
//! escapes as possible.

#![allow(clippy::indexing_slicing, reason = "a byte is an index of 256 entries")]

use super::parse::number_length;

/// Bytes that decide whether a text may be bare. All others are allowed in it.
static IN_PART: [bool; 256] = control_and(b",()[]{}");

/// Bytes that a bare key never has.
static IN_KEY: [bool; 256] = control_and(b",:=(){}[]<>*\"\\");

/// A table that is true for control characters and for these bytes.
const fn control_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[0x7f] = true;
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// Whether a reader could take the text for a number, a boolean, null or a blank.
pub(crate) fn looks_like_value(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => number_length(text.as_bytes()) == Some(text.len()),
        _ => matches!(text, "" | "true" | "false" | "null" | "~"),
    }
}

/// Whether a string may be bare as a value.
pub(crate) fn bare(text: &str) -> bool {
    !looks_like_value(text) && bare_part(text)
}

/// Whether a string may be bare in a place where only strings are possible.
pub(crate) fn bare_cell(text: &str) -> bool {
    !matches!(text, "" | "null" | "~") && bare_part(text)
}

/// Bare text ends at a comma, a line end or a closing bracket that it did not open itself. Its first
/// character must not have another meaning.
fn bare_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if matches!(first, b'"' | b'$' | b'(' | b'[' | b'{' | b'!' | b'@' | b' ') || last == b' ' {
        return false;
    }
    if announces_rows(text) || text.starts_with(GAP) {
        return false;
    }
    if !bytes.iter().any(|&byte| IN_PART[usize::from(byte)]) {
        return true;
    }
    let mut open = [0u8; 8];
    let mut depth = 0;
    for &byte in bytes {
        match byte {
            0..=0x1f | 0x7f => return false,
            b',' if depth == 0 => return false,
            b'(' | b'[' | b'{' => {
                let Some(slot) = open.get_mut(depth) else { return false };
                *slot = byte;
                depth += 1;
            }
            b')' | b']' | b'}' => {
                if depth == 0 {
                    return false;
                }
                depth -= 1;
                if !matches!(
                    (open.get(depth), byte),
                    (Some(b'('), b')') | (Some(b'['), b']') | (Some(b'{'), b'}')
                ) {
                    return false;
                }
            }
            _ => {}
        }
    }
    depth == 0
}

/// How a text begins that says how many items are not shown.
const GAP: char = '…';

/// `[3 rows` and `{3 rows` are the beginnings of tables.
fn announces_rows(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(" rows")
}

/// Whether a key may be bare.
pub(crate) fn bare_key(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with([' ', '!', '@', GAP])
        && !text.ends_with(' ')
        && !announces_rows(text)
        && !text.bytes().any(|byte| IN_KEY[usize::from(byte)])
}

/// Whether texts may be the fixed parts of a column's template.
pub(crate) fn template_parts(prefix: &str, suffix: &str) -> bool {
    let fits = |text: &str| {
        text.bytes().all(|b| {
            !matches!(b, 0..=0x1f | 0x7f | b',' | b'*' | b'<' | b'>' | b'"' | b'(' | b')' | b'[' | b']')
        }) && braces_close(text)
    };
    !prefix.starts_with([' ', '$', '!', '@', '{', GAP])
        && !suffix.ends_with(' ')
        && fits(prefix)
        && fits(suffix)
}

fn braces_close(text: &str) -> bool {
    let mut depth = 0i32;
    for byte in text.bytes() {
        depth += i32::from(byte == b'{') - i32::from(byte == b'}');
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

/// Appends a JSON string with only the escapes that JSON requires.
pub(crate) fn quote(out: &mut String, text: &str) {
    out.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x8 => "\\b",
            0xc => "\\f",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(text.get(from..at).unwrap_or_default());
        if escape.is_empty() {
            out.push_str("\\u00");
            out.push(char::from(b'0' + (byte >> 4)));
            out.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
        } else {
            out.push_str(escape);
        }
        from = at + 1;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.push('"');
}
