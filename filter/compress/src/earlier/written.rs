//! Texts of the model: arguments of its calls with several lines.
//!
//! When an agent edits a file, the tool shows it its own lines again, and so does reading the file later.

use std::borrow::Cow;

use headroom_providers::tape::Value;
use memchr::memchr_iter;

use super::MIN_LINES;
use super::label::Members;

/// Longer argument names do not appear in references.
const MAX_NAME: usize = 32;

/// The arguments of a call that may contain a run of lines, by name. Only top-level ones, whose names are
/// unique.
pub(super) fn texts<'a, 'b>(arguments: &'a Members<'_, 'b>) -> Vec<(&'a str, Cow<'b, str>)> {
    let named = arguments.iter().filter(|(name, value)| has_lines(*value) && is_name(name));
    let texts = named.filter_map(|(name, value)| Some((&**name, value.text()?)));
    texts.filter(|(_, text)| text.split('\n').nth(MIN_LINES - 1).is_some()).collect()
}

/// Whether a value may have enough lines: each line end is an escape in JSON.
fn has_lines(value: Value<'_, '_>) -> bool {
    value.is_string()
        && memchr_iter(b'\\', value.raw().as_bytes()).take(MIN_LINES - 1).count() == MIN_LINES - 1
}

/// Whether it is one word, and not the name for a tool's output.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain) && name != super::reference::OUTPUT
}

/// Whether a reference can name a line in an argument. The argument is a JSON string: if a name follows a
/// line end or a tab, the escape before it joins the name (`\nlast_name`), and a search for the name does not
/// find it. An ordinary word is found by the words around it.
pub(super) fn is_plain(line: &str) -> bool {
    let escaped = line.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_control()).map(|(at, _)| at + 1);
    std::iter::once(0).chain(escaped).all(|at| !starts_with_a_name(line.get(at..).unwrap_or_default()))
}

/// Whether a text starts with an identifier, a path or a number, and not with an ordinary word: only letters,
/// of which at most the first is a capital.
fn starts_with_a_name(text: &str) -> bool {
    let in_a_name = |char: char| char.is_alphanumeric() || matches!(char, '_' | '.' | '-' | '/' | ':' | '@');
    let end = text.find(|char| !in_a_name(char)).unwrap_or(text.len());
    let name = text.get(..end).unwrap_or_default().trim_end_matches(['.', ':']);
    let word = name.strip_prefix(|first: char| first.is_ascii_alphabetic()).unwrap_or(name);
    name.starts_with(|first: char| first.is_alphanumeric() || first == '_')
        && !word.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::earlier::label::members;
    use headroom_providers::tape::Tape;

    #[test]
    fn texts_of_several_lines_are_found_by_name() {
        let arguments = r#"{"path":"a.py","new_string":"  a\n  b\n  c\n  d","n":1,"edits":[{"x":"a\nb\nc\nd"}],
            "a name":"a\nb\nc\nd","output":"a\nb\nc\nd","short":"a\nb\nc"}"#;
        let texts = |arguments: &str| {
            let tape = Tape::of(arguments.as_bytes()).ok();
            let members = members(tape.as_ref());
            let owned = texts(&members).into_iter().map(|(name, text)| (name.to_owned(), text.into_owned()));
            owned.collect::<Vec<_>>()
        };
        assert_eq!(texts(arguments), [("new_string".to_owned(), "  a\n  b\n  c\n  d".to_owned())]);
        for odd in ["", "{", "\\n\\n\\n\\n", "[\"a\\nb\\nc\\nd\"]", "{\"a\":\"\\n\\n\\n\\ud800\"}"] {
            assert!(texts(odd).is_empty(), "{odd}");
        }
    }

    #[test]
    fn words_that_an_escape_would_run_into_stay() {
        for line in [
            "",
            "}",
            "    last_name",
            "# comment",
            "  \"a\": \"b\"",
            "Note: a",
            "\treturn x",
            "}\telse",
            "./x",
        ] {
            assert!(is_plain(line), "{line}");
        }
        for line in ["last_name = x", "\ta.b", "  a =\tb2", "_x", "é", "inName()", "a/b", "7", "HTTP", "x-y"]
        {
            assert!(!is_plain(line), "{line}");
        }
    }
}
