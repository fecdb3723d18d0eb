//! Lists and dictionaries in Python's spelling: `[{'id': 1, 'ok': True, 'note': None}]`, as many frameworks
//! print a result. Such a value gets the notation of the JSON document with the same values.

use headroom_providers::string;

use super::parse::number_length;
use crate::envelope::python;
use crate::work;

/// The note before the notation of such a value.
pub(super) const NOTE: &str =
    "[headroom: a value that Python printed; here true, false and null stand for True, False and None]\n";

/// The deepest nesting of brackets.
const MAX_DEPTH: usize = 64;

/// The document with the same values, if Python would print it as exactly the same text.
pub(super) fn as_json(text: &str) -> Option<String> {
    let value = text.strip_suffix('\n').unwrap_or(text);
    if !value.starts_with("[{'") && !value.starts_with("{'") {
        return None;
    }
    work::spend(2 * text.len());
    let mut reader = Reader { rest: value, out: String::with_capacity(text.len()) };
    reader.value(0)?;
    reader.rest.is_empty().then_some(reader.out)
}

struct Reader<'a> {
    rest: &'a str,
    out: String,
}

impl Reader<'_> {
    fn take(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        if depth == MAX_DEPTH {
            return None;
        }
        match self.rest.as_bytes().first()? {
            b'[' => self.items(depth, '[', ']'),
            b'{' => self.items(depth, '{', '}'),
            b'\'' | b'"' => self.string(),
            b'T' => self.word("True", "true"),
            b'F' => self.word("False", "false"),
            b'N' => self.word("None", "null"),
            _ => {
                let (number, rest) = self.rest.split_at_checked(number_length(self.rest.as_bytes())?)?;
                self.out.push_str(number);
                self.rest = rest;
                Some(())
            }
        }
    }

    fn word(&mut self, python: &str, json: &str) -> Option<()> {
        self.take(python)?;
        self.out.push_str(json);
        Some(())
    }

    fn items(&mut self, depth: usize, open: char, close: char) -> Option<()> {
        self.take(open.encode_utf8(&mut [0; 4]))?;
        self.out.push(open);
        let mut first = true;
        while !self.rest.starts_with(close) {
            if !first {
                self.take(", ")?;
                self.out.push(',');
            }
            first = false;
            if open == '{' {
                self.string()?;
                self.take(": ")?;
                self.out.push(':');
            }
            self.value(depth + 1)?;
        }
        self.take(close.encode_utf8(&mut [0; 4]))?;
        self.out.push(close);
        Some(())
    }

    /// Reads a string, if Python would spell it in exactly this way.
    fn string(&mut self) -> Option<()> {
        let (text, len) = python::string(self.rest)?;
        let mut again = String::with_capacity(len);
        python::encode_into(&text, None, &mut again);
        let (spelled, rest) = self.rest.split_at_checked(len)?;
        if spelled != again {
            return None;
        }
        string::encode_into(&text, &mut self.out);
        self.rest = rest;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_that_python_printed() {
        let text =
            r#"[{'id': 1, 'ok': True, 'x': None, 's': "it's", 'l': [-1.5e-07, [], {}], 'n': 'a\nb\\"'}]"#;
        let json = r#"[{"id":1,"ok":true,"x":null,"s":"it's","l":[-1.5e-07,[],{}],"n":"a\nb\\\""}]"#;
        assert_eq!(as_json(text).as_deref(), Some(json));
        assert_eq!(as_json("{'a': 'é\\xa0'}\n").as_deref(), Some("{\"a\":\"é\u{a0}\"}"));
    }

    #[test]
    fn what_python_would_print_in_another_way_is_none() {
        for text in [
            "[{'a':1}]",
            "[{'a': 1},{'b': 2}]",
            "[{'a': 1,}]",
            "[{'a': \"b\"}]",
            "[{'a': nan}]",
            "[{'a': 01}]",
            "[{'a': 1}] x",
            "[{'a': (1, 2)}]",
            "[{'a': '\\x41'}]",
            "[{'a",
            "[{'a': '",
            "[{'a': ",
            "{'a': 1",
            "",
        ] {
            assert_eq!(as_json(text), None, "{text}");
        }
        assert_eq!(as_json(&format!("[{{'a': {}", "[".repeat(100_000))), None);
    }
}
