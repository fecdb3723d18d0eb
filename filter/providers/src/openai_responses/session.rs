//! The events of WebSocket sessions.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::scan::Scanner;

/// The type of a request in a session.
const REQUEST: &str = "response.create";

/// The fields of a client's event that matter here.
#[derive(Deserialize)]
struct Event<'e> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'e, str>>,
    #[serde(borrow)]
    response: Option<&'e RawValue>,
}

/// Whether the scanned message is a request.
pub fn is_request(scanner: &Scanner) -> bool {
    scanner.found().kind() == REQUEST
}

/// Where the request is in a client's event: the event itself, as OpenAI documents it, or its member
/// `response`, as in the Realtime API. `None`: the event does not create a response.
pub fn request_in(text: &[u8]) -> Option<Range<usize>> {
    let Ok(event) = serde_json::from_slice::<Event<'_>>(text) else {
        // Not JSON, or with a repeated key: it cannot be compressed, but may still be a request.
        let mut scanner = Scanner::default();
        scanner.feed(text);
        return is_request(&scanner).then_some(0..text.len());
    };
    if event.kind? != REQUEST {
        return None;
    }
    let Some(response) = event.response else { return Some(0..text.len()) };
    let start = response.get().as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    Some(start..start.checked_add(response.get().len())?)
}

/// Whether an event of this type ends an answer: complete, incomplete, or with an error.
pub fn ends_answer(kind: &str) -> bool {
    matches!(
        kind,
        "response.completed"
            | "response.done"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled"
            | "error"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_of_an_event_is_the_event_or_its_response() {
        let flat = br#"{"type":"response.create","model":"m","input":[]}"#;
        assert_eq!(request_in(flat), Some(0..flat.len()));
        let nested = br#"{ "response": {"model":"m","input":[]} , "type":"response\u002ecreate"}"#;
        let request = request_in(nested).unwrap();
        assert_eq!(&nested[request], br#"{"model":"m","input":[]}"#);
    }

    #[test]
    fn a_request_that_cannot_be_read_is_one_all_the_same() {
        for text in
            [&br#"{"type":"response.create","type":"response.create"}"#[..], br#"{"type":"response.create""#]
        {
            assert_eq!(request_in(text), Some(0..text.len()));
        }
    }

    #[test]
    fn other_events_and_what_is_no_event_have_none() {
        for text in [
            &br#"{"type":"response.cancel","response":{}}"#[..],
            br#"{"type":"response.processed","response_id":"r"}"#,
            br#"{"model":"m","input":[]}"#,
            br#"{"input":[{"type":"response.create"}]}"#,
            br#"{"type":7}"#,
            br#"["response.create"]"#,
            b"\xff",
            b"",
        ] {
            assert_eq!(request_in(text), None, "{}", String::from_utf8_lossy(text));
        }
    }
}
