//! One line of input: a body, alone or in an envelope.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A line and the position of its body.
#[derive(Debug)]
pub(super) struct Line<'l> {
    text: &'l str,
    span: Range<usize>,
    /// The conversation, as JSON.
    pub(super) id: Option<&'l RawValue>,
    /// The request's number in the conversation, as JSON.
    pub(super) turn: Option<&'l RawValue>,
    /// The format that the envelope names.
    pub(super) format: Option<&'l str>,
}

#[derive(Deserialize)]
struct Envelope<'l> {
    #[serde(borrow)]
    body: &'l RawValue,
    #[serde(borrow, default)]
    id: Option<&'l RawValue>,
    #[serde(borrow, default)]
    turn: Option<&'l RawValue>,
    #[serde(borrow, default)]
    format: Option<&'l str>,
}

impl<'l> Line<'l> {
    /// The whole line is the body. `None` if it is not text.
    pub(super) fn bare(line: &'l [u8]) -> Option<Self> {
        std::str::from_utf8(line).ok().map(Self::whole)
    }

    /// The whole text is the body.
    pub(super) fn whole(text: &'l str) -> Self {
        Self { text, span: 0..text.len(), id: None, turn: None, format: None }
    }

    /// The body is the value of `body`. `None` when the line is not an envelope.
    pub(super) fn envelope(line: &'l [u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let envelope: Envelope<'l> = serde_json::from_str(text).ok()?;
        // The value borrows from the line, so the distance between the two is its position.
        let start = envelope.body.get().as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        let span = start..start.checked_add(envelope.body.get().len())?;
        text.get(span.clone())?;
        Some(Self { text, span, id: envelope.id, turn: envelope.turn, format: envelope.format })
    }

    pub(super) fn body(&self) -> &'l str {
        &self.text[self.span.clone()]
    }

    pub(super) fn before(&self) -> &'l str {
        &self.text[..self.span.start]
    }

    pub(super) fn after(&self) -> &'l str {
        &self.text[self.span.end..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_falls_apart_at_its_body() {
        let text = r#" {"turn": 3, "body" : {"messages": []} ,"more":[1], "id":"c","format":"gemini"}"#;
        let line = Line::envelope(text.as_bytes()).unwrap();
        assert_eq!(line.body(), r#"{"messages": []}"#);
        assert_eq!([line.before(), line.body(), line.after()].concat(), text);
        assert_eq!((line.format, line.turn.unwrap().get()), (Some("gemini"), "3"));
    }

    #[test]
    fn what_is_no_envelope_is_not_taken_apart() {
        for text in ["", "{", "[]", r#"{"id":1}"#, r#"{"body":1,"body":2}"#, "\u{0}"] {
            assert!(Line::envelope(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(Line::envelope(b"{\"body\":\"\xff\"}").is_none());
        assert!(Line::bare(b"\xff").is_none());
    }
}
