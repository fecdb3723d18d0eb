//! JSON strings: finding their end, decoding them, and encoding a text in the fewest bytes.

#![allow(clippy::indexing_slicing, reason = "half a byte is an index of 16 digits")]

use std::borrow::Cow;

use crate::simd::{BYTES, Bytes, blocks, low, ones, padded};

/// A word whose bytes are all `byte`.
const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The high bit of the first byte that is a quote, a backslash or a control character, and possibly of bytes
/// after it; 0 if there is none.
///
/// `(x - 1) & !x & 0x80` per byte is the classic test for zero: a borrow can only run from a byte that is
/// zero into the next, so everything up to and including the first hit is exact.
#[inline]
fn stops(word: u64) -> u64 {
    const HIGH: u64 = all(0x80);
    let quote = word ^ all(b'"');
    let backslash = word ^ all(b'\\');
    (quote.wrapping_sub(all(1)) & !quote
        | backslash.wrapping_sub(all(1)) & !backslash
        | word.wrapping_sub(all(0x20)) & !word)
        & HIGH
}

/// A string is read word by word up to this length, and as a long one after it.
const SHORT: usize = 32;

/// The position of the closing quote of the string whose text starts at `at`, and whether there is an escape
/// before it. `None`: no end, a bare control character, or an escape that JSON does not have.
#[inline]
pub fn end(body: &[u8], at: usize) -> Option<(usize, bool)> {
    let text = body.get(at..)?;
    for (word, chunk) in text.as_chunks::<8>().0.iter().take(SHORT / 8).enumerate() {
        let stops = stops(u64::from_le_bytes(*chunk));
        if stops != 0 {
            let place = 8 * word + (stops.trailing_zeros() / 8) as usize;
            if text.get(place) == Some(&b'"') {
                return Some((at + place, false));
            }
            break;
        }
    }
    let (end, escaped) = end_of_long(text)?;
    Some((at + end, escaped))
}

/// The same by blocks of 64 bytes, for a string whose text starts at the start of `text`.
#[inline(never)]
fn end_of_long(text: &[u8]) -> Option<(usize, bool)> {
    // Whether the last byte of the previous block is a backslash that escapes this block's first byte.
    let mut carried = 0;
    let mut any = false;
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        // The filling is control characters, so a string never continues into it.
        let bytes = Bytes::new(&padded(rest, 0));
        let backslashes = bytes.equal(b'\\');
        let mut ends = bytes.equal(b'"');
        let mut escaped = 0;
        if backslashes | carried != 0 {
            escaped = behind_odd(backslashes, &mut carried);
            ends &= !escaped;
        }
        let own = low(ends.trailing_zeros());
        if bytes.within(0, 0x1f) & own != 0 {
            return None;
        }
        // Nearly all escapes are line ends and quotes.
        any |= (backslashes | escaped) & own != 0;
        let others = escaped & own & !(bytes.equal(b'n') | bytes.equal(b'"'));
        for place in ones(others) {
            if !is_escape(rest.get(place as usize..)?) {
                return None;
            }
        }
        if ends != 0 {
            return Some((at + ends.trailing_zeros() as usize, any));
        }
        at += BYTES;
    }
}

/// The bytes that a backslash escapes. `carried` is 1 if the first byte is escaped, and is set for the next
/// block.
#[inline]
fn behind_odd(backslashes: u64, carried: &mut u64) -> u64 {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let backslashes = backslashes & !*carried;
    let behind = backslashes << 1 | *carried;
    // The addition inverts each run that starts at an odd position; the bit after the run shows where it
    // ends.
    let (turned, over) = (backslashes & !EVEN & !behind).overflowing_add(backslashes);
    *carried = u64::from(over);
    (EVEN ^ turned << 1) & behind
}

/// Whether a text starts with a valid escape, given a backslash before it.
fn is_escape(text: &[u8]) -> bool {
    match text {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => true,
        [b'u', digits @ ..] => {
            digits.first_chunk::<4>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        }
        _ => false,
    }
}

/// The text of a quoted string.
pub fn text(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    decode(inner).map(Cow::Owned)
}

/// The text of a string, from the part between its quotes. `None` if it has a lone surrogate: no sequence of
/// characters equals such a string.
pub fn decode(inner: &str) -> Option<String> {
    let mut text = String::with_capacity(inner.len());
    // Everything before this is decoded.
    let mut from = 0;
    for (start, block) in blocks(inner.as_bytes()) {
        for place in ones(block.equal(b'\\')) {
            let at = start + place as usize;
            // This backslash may be the character that the previous one escapes.
            if at >= from {
                text.push_str(inner.get(from..at)?);
                let (character, length) = escaped(inner.as_bytes().get(at + 1..)?)?;
                text.push(character);
                from = at + 1 + length;
            }
        }
    }
    text.push_str(inner.get(from..)?);
    Some(text)
}

/// The character of an escape, and the length of the escape without its backslash.
#[inline]
fn escaped(escape: &[u8]) -> Option<(char, usize)> {
    let character = match escape.first()? {
        b'n' => '\n',
        b'"' => '"',
        b'\\' => '\\',
        b't' => '\t',
        b'r' => '\r',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return code_point(escape.get(1..)?),
        _ => return None,
    };
    Some((character, 1))
}

/// The character whose digits begin here, after `\u`, and the length of its escape or its two escapes without
/// the first backslash.
#[inline(never)]
fn code_point(digits: &[u8]) -> Option<(char, usize)> {
    let (first, rest) = unit(digits)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, "uXXXX".len()));
    }
    let (second, _) = unit(rest.strip_prefix(b"\\u")?)?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)?, r"uXXXX\uXXXX".len()))
}

/// The number of four hexadecimal digits, and the rest after them.
fn unit(digits: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = digits.split_at_checked(4)?;
    let unit = digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?));
    Some((unit?, rest))
}

/// Appends a text as a quoted JSON string: raw UTF-8, with escapes only where JSON requires them.
pub fn encode_into(text: &str, out: &mut String) {
    out.reserve(text.len() + text.len() / 16 + 2);
    out.push('"');
    let mut from = 0;
    for (start, block) in blocks(text.as_bytes()) {
        let stops = block.equal(b'"') | block.equal(b'\\') | block.within(0, 0x1f);
        for place in ones(stops) {
            let at = start + place as usize;
            let Some(byte) = text.as_bytes().get(at) else { break };
            out.push_str(text.get(from..at).unwrap_or_default());
            push_escape(*byte, out);
            from = at + 1;
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.push('"');
}

/// Appends the escape of a byte that requires one.
#[inline]
fn push_escape(byte: u8, out: &mut String) {
    match byte {
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        0x08 => out.push_str("\\b"),
        0x0c => out.push_str("\\f"),
        _ => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.push_str("\\u00");
            out.extend([byte >> 4, byte & 0xf].map(|digit| char::from(HEX[usize::from(digit)])));
        }
    }
}

/// A valid JSON value without the white space between its tokens.
pub fn without_layout(raw: &str) -> Cow<'_, str> {
    let bytes = raw.as_bytes();
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let mut out: Option<String> = None;
    let mut from = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'"' {
            let Some((end, _)) = end(bytes, at + 1) else { break };
            at = end + 1;
        } else if is_space(byte) {
            let compact = out.get_or_insert_with(|| String::with_capacity(raw.len()));
            compact.push_str(raw.get(from..at).unwrap_or_default());
            while bytes.get(at).is_some_and(is_space) {
                at += 1;
            }
            from = at;
        } else {
            at += 1;
        }
    }
    match out {
        None => Cow::Borrowed(raw),
        Some(mut compact) => {
            compact.push_str(raw.get(from..).unwrap_or_default());
            Cow::Owned(compact)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(text: &str) -> String {
        let mut out = String::new();
        encode_into(text, &mut out);
        out
    }

    #[test]
    fn a_lone_surrogate_is_no_text() {
        for inner in [
            r"\ud800",
            r"\udc00",
            r"a\udfffb",
            r"\ud800\u0041",
            r"\ud800\ud800",
            r"\ud800\n",
            r"\ud83d",
            r"\ud83dx\ude00",
            "\\ud800\u{e9}\u{e9}\u{e9}",
        ] {
            assert_eq!(decode(inner), None, "{inner}");
        }
        assert_eq!(decode(r"\ud83d\ude00").as_deref(), Some("\u{1f600}"));
        assert_eq!(decode(r"\u0000\/\b\f\uFFFF").as_deref(), Some("\0/\u{8}\u{c}\u{ffff}"));
    }

    #[test]
    fn layout_goes_and_strings_stay() {
        assert_eq!(without_layout("{ \"a b\" :\t[ 1 ,\r\n \" \\\" \" ] }"), r#"{"a b":[1," \" "]}"#);
        assert!(matches!(without_layout(r#"{"a":" "}"#), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn a_text_comes_back_from_its_encoding(text in ".{0,60}", more in "[\\x00-\\x24\\\\a-c\u{7f}-\u{9f}]{0,60}") {
            let text = text + &more;
            let encoded = encode(&text);
            prop_assert_eq!(&serde_json::from_str::<String>(&encoded).unwrap(), &text);
            prop_assert_eq!(super::text(&encoded).unwrap(), text.as_str());
            prop_assert_eq!(end(encoded.as_bytes(), 1).unwrap().0, encoded.len() - 1);
            prop_assert!(encoded.len() <= serde_json::to_string(&text).unwrap().len());
        }

        #[test]
        fn decoding_agrees_with_serde_json(
            inner in r#"(\\u(d[89abcdef]|00|2[0-9])[0-9a-fA-F]{2}|\\[nrt"\\/bf]|[a-z ]|é){0,12}"#,
        ) {
            let quoted = format!("\"{inner}\"");
            prop_assume!(end(quoted.as_bytes(), 1).is_some());
            prop_assert_eq!(decode(&inner), serde_json::from_str::<String>(&quoted).ok());
        }

        #[test]
        fn the_end_of_a_string_is_its_first_bare_quote(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                r#"([ -~é]{0,40}(\\{1,3}["n/u0-9\\]?)?){0,12}[\x00-\x1f]?["a]{0,2}"#.prop_map(String::into_bytes),
                r#"a{0,70}([n"]|\\["n]|\\\\){0,70}\\u[0-9a-g]{4}"{0,2}"#.prop_map(String::into_bytes),
            ]
        ) {
            let mut expected = None;
            let mut escaped = false;
            let mut at = 0;
            while at < bytes.len() {
                match bytes[at] {
                    b'"' => { expected = Some((at, escaped)); break }
                    b'\\' => {
                        escaped = true;
                        match bytes.get(at + 1) {
                            Some(b'u') if bytes.len() >= at + 6 && bytes[at + 2..at + 6].iter().all(u8::is_ascii_hexdigit) => at += 6,
                            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                            _ => break,
                        }
                    }
                    0..0x20 => break,
                    _ => at += 1,
                }
            }
            prop_assert_eq!(end(&bytes, 0), expected);
        }
    }
}
