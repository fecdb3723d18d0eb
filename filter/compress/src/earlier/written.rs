//! What the model itself has written: texts of several lines in the arguments of its calls.
//!
//! An agent that edits a file is shown its own lines again by the tool, and once more when it reads the file.

use std::borrow::Cow;

use headroom_providers::tape::Value;
use memchr::memchr_iter;

use super::MIN_LINES;
use super::label::Members;

/// Characters of an argument's name that may stand in a reference. Longer ones are not names.
const MAX_NAME: usize = 32;

/// The arguments of a call that a run of lines could stand in, by name. Only those at the top, whose names
/// say which of them is meant.
pub(super) fn texts<'a, 'b>(arguments: &'a Members<'_, 'b>) -> Vec<(&'a str, Cow<'b, str>)> {
    let named = arguments.iter().filter(|(name, value)| has_lines(*value) && is_name(name));
    let texts = named.filter_map(|(name, value)| Some((&**name, value.text()?)));
    texts.filter(|(_, text)| text.split('\n').nth(MIN_LINES - 1).is_some()).collect()
}

/// Whether a value could be a text of enough lines: each line end is an escape in JSON.
fn has_lines(value: Value<'_, '_>) -> bool {
    value.is_string()
        && memchr_iter(b'\\', value.raw().as_bytes()).take(MIN_LINES - 1).count() == MIN_LINES - 1
}

/// One word, and not the one that stands for a tool's output.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain) && name != super::reference::OUTPUT
}

/// Whether a line can be referred to where it stands in an argument. There it is part of a JSON string: where
/// a name follows a line end or a tab, the escape before it (`\nlast_name`) runs into it, and who looks for the
/// name does not find it as it was printed. A word like others is found by what stands around it.
pub(super) fn is_plain(line: &str) -> bool {
    let escaped = line.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_control()).map(|(at, _)| at + 1);
    std::iter::once(0).chain(escaped).all(|at| !starts_with_a_name(line.get(at..).unwrap_or_default()))
}

/// Whether a text starts with an identifier, a path or a number, and not with a mere word: letters, of which
/// at most the first is a capital, alone.
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
