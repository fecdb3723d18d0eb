//! JSON strings: where one ends, its text, and a text as a string in the fewest bytes.

use std::borrow::Cow;

/// A word whose bytes are all `byte`.
const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The high bit of the first byte that is a quote, a backslash or a control character, and possibly
/// of bytes behind it; 0 when there is none.
///
/// `(x - 1) & !x & 0x80` per byte is the classic test for zero: a borrow can only run from a byte
/// that is zero into the next, so everything up to and including the first hit is exact.
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

/// The position of the closing quote of the string whose text starts at `at`, and whether there is an
/// escape before it. `None`: no end, a bare control character, or an escape that JSON does not know.
pub(crate) fn end(body: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    loop {
        while let Some(chunk) = body.get(at..)?.first_chunk::<8>() {
            let stops = stops(u64::from_le_bytes(*chunk));
            if stops != 0 {
                at += (stops.trailing_zeros() / 8) as usize;
                break;
            }
            at += 8;
        }
        // Here stands a stop, or fewer than eight bytes are left.
        match *body.get(at)? {
            b'"' => return Some((at, escaped)),
            b'\\' => {
                escaped = true;
                at += match *body.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' => {
                        let digits = body.get(at + 2..at + 6)?;
                        if !digits.iter().all(u8::is_ascii_hexdigit) {
                            return None;
                        }
                        6
                    }
                    _ => return None,
                };
            }
            byte if byte < 0x20 => return None,
            _ => at += 1,
        }
    }
}

/// The text of a string with its quotes.
pub(crate) fn text(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    decode(inner).map(Cow::Owned)
}

/// The text of a string, given what stands between its quotes. `None` when that has a lone surrogate:
/// such a string is no text, and no sequence of characters stands for it.
pub(crate) fn decode(inner: &str) -> Option<String> {
    // As bytes, because a character that is pushed is encoded anew, and most escapes stand for one byte.
    let mut text = Vec::with_capacity(inner.len());
    let mut rest = inner.as_bytes();
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, behind) = rest.split_at_checked(at)?;
        text.extend_from_slice(plain);
        rest = behind;
        // Line ends and the indentation behind them are escapes side by side.
        while let Some((b'\\', escaped)) = rest.split_first() {
            let (kind, behind) = escaped.split_first()?;
            rest = behind;
            text.push(match kind {
                b'n' => b'\n',
                b'"' | b'\\' | b'/' => *kind,
                b't' => b'\t',
                b'r' => b'\r',
                b'b' => 0x08,
                b'f' => 0x0c,
                b'u' => {
                    let (character, behind) = code_point(rest)?;
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = behind;
                    continue;
                }
                _ => return None,
            });
        }
    }
    text.extend_from_slice(rest);
    String::from_utf8(text).ok()
}

/// The character whose digits stand here, behind `\u`, and what follows its escape or its two escapes.
fn code_point(digits: &[u8]) -> Option<(char, &[u8])> {
    let (first, rest) = unit(digits)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let (second, rest) = unit(rest.strip_prefix(b"\\u")?)?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)?, rest))
}

/// The number of four hexadecimal digits, and what follows them.
fn unit(digits: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = digits.split_at_checked(4)?;
    let unit = digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?));
    Some((unit?, rest))
}

/// Appends a text as a JSON string with its quotes: raw UTF-8, and an escape only where there has to
/// be one.
pub(crate) fn encode_into(text: &str, out: &mut String) {
    out.reserve(text.len() + text.len() / 16 + 2);
    out.push('"');
    let bytes = text.as_bytes();
    let mut from = 0;
    let mut at = 0;
    while at < bytes.len() {
        if let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let stops = stops(u64::from_le_bytes(*chunk));
            if stops == 0 {
                at += 8;
                continue;
            }
            at += (stops.trailing_zeros() / 8) as usize;
        }
        let Some(&byte) = bytes.get(at) else { break };
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            at += 1;
            continue;
        }
        out.push_str(text.get(from..at).unwrap_or_default());
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            _ => {
                const HEX: [char; 16] =
                    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
                out.push_str("\\u00");
                out.push(if byte >= 0x10 { '1' } else { '0' });
                out.extend(HEX.get(usize::from(byte & 0xf)));
            }
        }
        at += 1;
        from = at;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.push('"');
}

/// A JSON value, known to be one, without the white space between its tokens.
pub(crate) fn without_layout(raw: &str) -> Cow<'_, str> {
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
        fn the_end_of_a_string_is_its_first_bare_quote(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut expected = None;
            let mut at = 0;
            while at < bytes.len() {
                match bytes[at] {
                    b'"' => { expected = Some(at); break }
                    b'\\' => match bytes.get(at + 1) {
                        Some(b'u') if bytes.len() >= at + 6 && bytes[at + 2..at + 6].iter().all(u8::is_ascii_hexdigit) => at += 6,
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                        _ => break,
                    },
                    0..0x20 => break,
                    _ => at += 1,
                }
            }
            prop_assert_eq!(end(&bytes, 0).map(|(at, _)| at), expected);
        }
    }
}
