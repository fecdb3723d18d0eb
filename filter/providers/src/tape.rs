//! A body as a flat list of JSON values: one strict pass over the bytes, nothing copied.
//!
//! The list is in the order of the body: a container is followed by its content, object members as key,
//! value, key, value. Readers of the wire formats walk it and never look at the bytes between values, so
//! white space, key order and spelling make no difference to them.
//!
//! It accepts a subset of RFC 8259 as `serde_json` reads it (the property tests below compare the two). A
//! `\u` escape of a lone surrogate is accepted here; only decoding it into text fails later.

use std::borrow::Cow;

use crate::string;

/// Deepest nesting of containers: `serde_json`'s own limit, so that the provider's ordinary parser can read
/// whatever passes here.
const MAX_DEPTH: usize = 127;

/// The most values in a body. Real conversations of 16 MiB have some 10,000; at 16 bytes each this limits the
/// list to 16 MiB.
const MAX_NODES: usize = 1 << 20;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shape {
    Object,
    Array,
    /// A string without escapes: its bytes are its text.
    Plain,
    /// A string with at least one escape.
    Escaped,
    /// A number, `true`, `false` or `null`.
    Scalar,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    start: u32,
    end: u32,
    /// The index after the last node that belongs to this one.
    next: u32,
    shape: Shape,
}

/// The body does not follow its format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotUnderstood;

/// The values of a body.
#[derive(Debug)]
pub struct Tape<'b> {
    body: &'b str,
    nodes: Vec<Node>,
}

/// One value of a body.
#[derive(Clone, Copy, Debug)]
pub struct Value<'t, 'b> {
    tape: &'t Tape<'b>,
    index: u32,
}

/// The position of a value, without the tape: it can be kept after the walk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    start: u32,
    end: u32,
    shape: Shape,
}

impl<'b> Tape<'b> {
    /// Reads a body.
    pub fn of(body: &'b [u8]) -> Result<Self, NotUnderstood> {
        if u32::try_from(body.len()).is_err() {
            return Err(NotUnderstood);
        }
        let text = simdutf8::basic::from_utf8(body).map_err(|_| NotUnderstood)?;
        // A guess that fits requests, whose strings are long. A wrong guess costs a reallocation.
        let mut scanner = Scanner { body, at: 0, nodes: Vec::with_capacity(body.len() / 256 + 16) };
        scanner.document().ok_or(NotUnderstood)?;
        Ok(Self { body: text, nodes: scanner.nodes })
    }

    /// The body as text: it is valid UTF-8 throughout.
    pub fn body(&self) -> &'b str {
        self.body
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_, 'b> {
        Value { tape: self, index: 0 }
    }

    fn node(&self, index: u32) -> Node {
        // Every index comes from the tape itself; the fallback only avoids a panic.
        self.nodes.get(index as usize).copied().unwrap_or(Node {
            start: 0,
            end: 0,
            next: u32::MAX,
            shape: Shape::Scalar,
        })
    }
}

impl<'t, 'b> Value<'t, 'b> {
    fn node(self) -> Node {
        self.tape.node(self.index)
    }

    /// Its position.
    pub fn span(self) -> Span {
        let Node { start, end, shape, .. } = self.node();
        Span { start, end, shape }
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.node().shape == Shape::Object
    }

    /// Whether it is an array.
    pub fn is_array(self) -> bool {
        self.node().shape == Shape::Array
    }

    /// Whether it is a string.
    pub fn is_string(self) -> bool {
        matches!(self.node().shape, Shape::Plain | Shape::Escaped)
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.raw() == "null"
    }

    /// Whether it is `true`.
    pub fn is_true(self) -> bool {
        self.raw() == "true"
    }

    /// The value as it is written.
    pub fn raw(self) -> &'b str {
        self.span().raw(self.tape.body)
    }

    /// The text of a string; `None` for other values and for strings that are not text.
    pub fn text(self) -> Option<Cow<'b, str>> {
        self.span().text(self.tape.body)
    }

    /// Whether this is the string `expected`.
    pub fn is(self, expected: &str) -> bool {
        match self.node().shape {
            Shape::Plain => self.span().inner(self.tape.body) == expected,
            Shape::Escaped => self.text().is_some_and(|text| text == expected),
            Shape::Object | Shape::Array | Shape::Scalar => false,
        }
    }

    /// The elements of an array; none for other values.
    pub fn elements(self) -> Children<'t, 'b> {
        self.children(Shape::Array)
    }

    /// The members of an object; none for other values.
    pub fn members(self) -> impl Iterator<Item = (Value<'t, 'b>, Value<'t, 'b>)> {
        let mut children = self.children(Shape::Object);
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    fn children(self, of: Shape) -> Children<'t, 'b> {
        let node = self.node();
        let end = if node.shape == of { node.next } else { self.index + 1 };
        Children { tape: self.tape, index: self.index + 1, end }
    }

    /// The values of these members, `None` for missing ones. An object that has one of them twice means
    /// different things to different parsers and is not understood; nor is a value that is not an object.
    pub fn pick<const N: usize>(self, names: [&str; N]) -> Result<[Option<Value<'t, 'b>>; N], NotUnderstood> {
        if !self.is_object() {
            return Err(NotUnderstood);
        }
        let mut found = [None; N];
        for (key, value) in self.members() {
            let Some(key) = key.text() else { continue };
            for (name, slot) in names.iter().zip(&mut found) {
                if *name == key && slot.replace(value).is_some() {
                    return Err(NotUnderstood);
                }
            }
        }
        Ok(found)
    }
}

/// An iterator over the values directly inside a container.
#[derive(Clone, Debug)]
pub struct Children<'t, 'b> {
    tape: &'t Tape<'b>,
    index: u32,
    end: u32,
}

impl<'t, 'b> Iterator for Children<'t, 'b> {
    type Item = Value<'t, 'b>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.end {
            return None;
        }
        let value = Value { tape: self.tape, index: self.index };
        self.index = value.node().next;
        Some(value)
    }
}

impl Span {
    /// The bytes, with the quotes of a string.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Whether it is a string.
    pub fn is_string(self) -> bool {
        matches!(self.shape, Shape::Plain | Shape::Escaped)
    }

    /// The value as it is written. `body` is the body that the span belongs to.
    pub fn raw(self, body: &str) -> &str {
        body.get(self.range()).unwrap_or_default()
    }

    /// The part between the quotes of a string.
    fn inner(self, body: &str) -> &str {
        body.get(self.start as usize + 1..(self.end as usize).saturating_sub(1)).unwrap_or_default()
    }

    /// The text of a string; `None` for other values and for strings that are not text.
    pub fn text(self, body: &str) -> Option<Cow<'_, str>> {
        match self.shape {
            Shape::Plain => Some(Cow::Borrowed(self.inner(body))),
            Shape::Escaped => string::decode(self.inner(body)).map(Cow::Owned),
            Shape::Object | Shape::Array | Shape::Scalar => None,
        }
    }

    /// The start of a string's text, of which only `most` bytes are read. `None` for other values and for strings that are not
    /// text.
    pub fn text_start(self, body: &str, most: usize) -> Option<Cow<'_, str>> {
        let inner = self.inner(body);
        if inner.len() <= most || !self.is_string() {
            return self.text(body);
        }
        // An escape that is cut has no text. The longest is one of two surrogates, with twelve bytes.
        (0..12).find_map(|less| string::decode(inner.get(..most.checked_sub(less)?)?)).map(Cow::Owned)
    }

    /// What a model reads of the value: the text of a string, other values as JSON without layout.
    pub fn reading(self, body: &str) -> Option<Cow<'_, str>> {
        if self.is_string() { self.text(body) } else { Some(string::without_layout(self.raw(body))) }
    }
}

struct Scanner<'b> {
    body: &'b [u8],
    at: usize,
    nodes: Vec<Node>,
}

impl Scanner<'_> {
    /// Reads the whole body. `None`: not JSON, or over a limit.
    fn document(&mut self) -> Option<()> {
        // Indices of the containers that are open.
        let mut open: Vec<usize> = Vec::with_capacity(16);
        loop {
            // A value starts here.
            self.space();
            match self.peek()? {
                b'{' => {
                    self.open(Shape::Object, &mut open)?;
                    if self.peek()? != b'}' {
                        self.key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.open(Shape::Array, &mut open)?;
                    if self.peek()? != b']' {
                        continue;
                    }
                }
                b'"' => self.string()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            // A value, or the content of a container, ends here.
            loop {
                self.space();
                let Some(&container) = open.last() else {
                    return (self.at == self.body.len()).then_some(());
                };
                let is_object = self.nodes.get(container)?.shape == Shape::Object;
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        self.space();
                        if is_object {
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if is_object => self.close(&mut open)?,
                    b']' if !is_object => self.close(&mut open)?,
                    _ => return None,
                }
            }
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn push(&mut self, start: usize, shape: Shape) -> Option<()> {
        if self.nodes.len() >= MAX_NODES {
            return None;
        }
        let next = u32::try_from(self.nodes.len() + 1).ok()?;
        let start = u32::try_from(start).ok()?;
        let end = u32::try_from(self.at).ok()?;
        self.nodes.push(Node { start, end, next, shape });
        Some(())
    }

    fn open(&mut self, shape: Shape, open: &mut Vec<usize>) -> Option<()> {
        if open.len() >= MAX_DEPTH {
            return None;
        }
        open.push(self.nodes.len());
        self.push(self.at, shape)?;
        self.at += 1;
        self.space();
        Some(())
    }

    fn close(&mut self, open: &mut Vec<usize>) -> Option<()> {
        self.at += 1;
        let end = u32::try_from(self.at).ok()?;
        let next = u32::try_from(self.nodes.len()).ok()?;
        let node = self.nodes.get_mut(open.pop()?)?;
        node.end = end;
        node.next = next;
        Some(())
    }

    fn key(&mut self) -> Option<()> {
        if self.peek()? != b'"' {
            return None;
        }
        self.string()?;
        self.space();
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        let start = self.at;
        let (end, escaped) = string::end(self.body, start + 1)?;
        self.at = end + 1;
        self.push(start, if escaped { Shape::Escaped } else { Shape::Plain })
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let start = self.at;
        if !self.body.get(start..)?.starts_with(word) {
            return None;
        }
        self.at += word.len();
        self.push(start, Shape::Scalar)
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        self.push(start, Shape::Scalar)
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn accepts(body: &[u8]) -> bool {
        Tape::of(body).is_ok()
    }

    /// Whether the strict parser accepts it, as any JSON: the texts of values are not decoded.
    fn oracle(body: &[u8]) -> bool {
        serde_json::from_slice::<&RawValue>(body).is_ok()
    }

    #[test]
    fn what_is_not_json_is_not_read() {
        for body in [
            "",
            " ",
            "{",
            "}",
            "[",
            "]",
            "{]",
            "[}",
            "[1,]",
            "[,1]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{\"a\" 1}",
            "[1 2]",
            "1 2",
            "{}{}",
            "nul",
            "nulll",
            "tru",
            "True",
            "NaN",
            "Infinity",
            "-",
            "01",
            "-01",
            "1.",
            ".5",
            "+1",
            "1e",
            "1e+",
            "0x1",
            "\"",
            "\"\\",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\u+123\"",
            "\"\n\"",
            "\"\t\"",
            "\"\0\"",
            "'a'",
            "[1]//",
            "/**/1",
            "\u{feff}1",
            "1\u{a0}",
            "\u{b}1",
            "\"1234567\u{1f}\"",
        ] {
            assert!(!accepts(body.as_bytes()), "{body:?}");
            assert!(!oracle(body.as_bytes()), "{body:?}");
        }
        for body in [&b"\"\xff\""[..], b"\"\xc0\x80\"", b"\"\xed\xa0\x80\"", b"[1]\xff", b"\"\xe2\x82"] {
            assert!(!accepts(body), "{body:?}");
        }
    }

    #[test]
    fn every_spelling_of_json_is_read() {
        for body in [
            "0",
            "-0",
            "-0.0e-0",
            "1e999",
            "123456789012345678901234567890",
            "\"\"",
            "\" \\ud800 \"",
            "\"\\u0000\"",
            " \t\r\n{ \"a\" : [ ] , \"b\" : { } } \n",
            "[[],{},[[]],null,true,false]",
            "\"\u{7f}\u{2028}\"",
        ] {
            assert!(accepts(body.as_bytes()), "{body:?}");
            assert!(oracle(body.as_bytes()), "{body:?}");
        }
    }

    #[test]
    fn nesting_stops_where_serde_json_stops() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(accepts(nested(MAX_DEPTH).as_bytes()));
        assert!(serde_json::from_str::<serde_json::Value>(&nested(MAX_DEPTH)).is_ok());
        assert!(!accepts(nested(MAX_DEPTH + 1).as_bytes()));
        assert!(serde_json::from_str::<serde_json::Value>(&nested(MAX_DEPTH + 1)).is_err());
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let many = |values: usize| format!("[{}1]", "1,".repeat(values - 2));
        assert!(accepts(many(MAX_NODES).as_bytes()));
        assert!(!accepts(many(MAX_NODES + 1).as_bytes()));
    }

    #[test]
    fn members_are_found_by_their_text_in_any_order_and_once() {
        let body = br#" { "b" : 1, "\u0061" : "x\n" , "c":{"a":2} } "#;
        let tape = Tape::of(body).unwrap();
        let [a, b, missing] = tape.root().pick(["a", "b", "d"]).unwrap();
        assert_eq!(a.unwrap().text().unwrap(), "x\n");
        assert_eq!(b.unwrap().raw(), "1");
        assert!(missing.is_none());

        let twice = br#"{"a":1,"\u0061":2}"#;
        let tape = Tape::of(twice).unwrap();
        assert!(tape.root().pick(["a"]).is_err());
        assert!(tape.root().pick(["b"]).is_ok());
    }

    /// Rebuilds a `serde_json` value from a tape.
    fn rebuilt(value: Value<'_, '_>) -> serde_json::Value {
        if value.is_object() {
            value.members().map(|(key, value)| (key.text().unwrap().into_owned(), rebuilt(value))).collect()
        } else if value.is_array() {
            value.elements().map(rebuilt).collect()
        } else if value.is_string() {
            serde_json::Value::String(value.text().unwrap().into_owned())
        } else {
            serde_json::from_str(value.raw()).unwrap()
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
            "[\\x00-\\x7f\u{e9}\u{1f600}]{0,40}".prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                prop::collection::hash_map(any::<String>(), inner, 0..8)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_reads_as_serde_json_reads_it(value in json(), pretty: bool) {
            let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let body = body.unwrap();
            let tape = Tape::of(body.as_bytes()).unwrap();
            prop_assert_eq!(rebuilt(tape.root()), serde_json::from_str::<serde_json::Value>(&body).unwrap());
        }

        #[test]
        fn bytes_that_serde_json_rejects_are_rejected(
            body in prop::collection::vec(prop::sample::select(br#"{}[]",:\/ truefalsn0123.-+eEu"#.to_vec()), 0..24),
        ) {
            prop_assert_eq!(accepts(&body), oracle(&body), "{}", String::from_utf8_lossy(&body));
        }

        #[test]
        fn damaged_json_is_accepted_exactly_where_serde_json_accepts_it(
            value in json(), at: prop::sample::Index, byte: u8, cut: bool,
        ) {
            let mut body = serde_json::to_vec(&value).unwrap();
            let at = at.index(body.len());
            if cut { body.truncate(at) } else { body[at] = byte }
            prop_assert_eq!(accepts(&body), oracle(&body), "{}", String::from_utf8_lossy(&body));
        }
    }
}
