//! The texts of a request and its answer, for the feed: collected only where the configuration asks for them.
//!
//! They come from the body alone. Headers, and so credentials, are never read.

use headroom_api::v1::{LoggedBlock, LoggedMessages};
use headroom_compress::Block;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The messages of one request, and its answer so far.
#[derive(Debug)]
pub(crate) struct Transcript {
    logged: LoggedMessages,
    answer: Vec<u8>,
    /// The most bytes of the request's messages, and of the answer.
    room: usize,
}

/// The text of a tool output takes at most one of this many parts of the room, so that several fit.
const PARTS: usize = 4;

/// Where the wire formats keep the conversation.
#[derive(Deserialize)]
struct Body<'b> {
    /// Anthropic, Chat Completions, Mistral, Converse, Cohere.
    #[serde(borrow)]
    messages: Option<&'b RawValue>,
    /// OpenAI Responses: a text, or items.
    #[serde(borrow)]
    input: Option<&'b RawValue>,
    /// Gemini.
    #[serde(borrow)]
    contents: Option<&'b RawValue>,
    /// Gemini Code Assist: Gemini's fields, one level down.
    #[serde(borrow)]
    request: Option<&'b RawValue>,
}

impl Transcript {
    /// The transcript of a request. `None`: no messages were found in it.
    pub(crate) fn of(body: &[u8], room: usize) -> Option<Self> {
        let Body { messages, input, contents, request } = serde_json::from_slice(body).ok()?;
        let nested = || serde_json::from_str::<Body<'_>>(request?.get()).ok()?.contents;
        let all = messages.or(input).or(contents).or_else(nested)?.get();
        let all: Vec<&RawValue> = match serde_json::from_str(all) {
            Ok(list) => list,
            Err(_) => vec![serde_json::from_str(all).ok()?],
        };
        // The newest ones matter most: the others were in earlier requests of the conversation.
        let (mut left, mut kept) = (room, Vec::new());
        for message in all.iter().rev().map(|message| message.get()) {
            let Some(fits) = message.get(..message.floor_char_boundary(left)).filter(|it| !it.is_empty())
            else {
                break;
            };
            kept.push(fits.to_owned());
            left = left.saturating_sub(message.len());
        }
        kept.reverse();
        let left_out = u32::try_from(all.len().saturating_sub(kept.len())).unwrap_or(u32::MAX);
        let logged = LoggedMessages {
            request_messages: kept,
            request_messages_left_out: left_out,
            ..LoggedMessages::default()
        };
        Some(Self { logged, answer: Vec::new(), room })
    }

    /// Adds the tool outputs of `body`, and their replacements in `forwarded`; `None`: it leaves as it came.
    /// The record leaves out the oldest `left_out` of them.
    pub(crate) fn tell_blocks(
        &mut self,
        body: &[u8],
        forwarded: Option<&[u8]>,
        blocks: &[Block],
        left_out: usize,
    ) {
        let mut left = self.room;
        let longest = self.room / PARTS;
        for (index, block) in blocks.iter().skip(left_out).enumerate().rev() {
            let replaced = block.replaced.clone().and_then(|span| forwarded?.get(span));
            let [before, after] = [body.get(block.span.clone()), replaced].map(|text| {
                let (text, cut) = beginning(text.unwrap_or_default(), longest.min(left));
                left = left.saturating_sub(text.len());
                (text, cut)
            });
            self.logged.blocks.push(LoggedBlock {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                before: before.0,
                before_cut: before.1,
                after: after.0,
                after_cut: after.1,
            });
            if left == 0 {
                break;
            }
        }
    }

    /// Takes more of the answer.
    pub(crate) fn answered(&mut self, bytes: &[u8]) {
        let left = self.room.saturating_sub(self.answer.len());
        self.logged.response_content_cut |= bytes.len() > left;
        self.answer.extend(bytes.iter().take(left));
    }

    /// The transcript as it is reported.
    pub(crate) fn logged(self, request_id: &str) -> LoggedMessages {
        // The last character may be cut in half.
        let response_content = match String::from_utf8(self.answer) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        LoggedMessages { request_id: request_id.to_owned(), response_content, ..self.logged }
    }
}

/// The text of a JSON string, cut to a length, and whether it was cut.
fn beginning(string: &[u8], longest: usize) -> (String, bool) {
    let Ok(mut text) = serde_json::from_slice::<String>(string) else { return (String::new(), false) };
    let end = text.floor_char_boundary(longest);
    let cut = end < text.len();
    text.truncate(end);
    (text, cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_string_ends_with_a_whole_character() {
        assert_eq!(beginning(br#""a\n\u00e4b""#, 3), ("a\n".to_owned(), true));
        assert_eq!(beginning(br#""a\n\u00e4b""#, 5), ("a\n\u{e4}b".to_owned(), false));
        for nothing in [&b""[..], b"12", b"\"cut", b"\xff"] {
            assert_eq!(beginning(nothing, 9), (String::new(), false), "{nothing:?}");
        }
    }

    fn of(body: &str, room: usize) -> (Vec<String>, u32) {
        let logged = Transcript::of(body.as_bytes(), room).unwrap().logged("hr_1");
        (logged.request_messages, logged.request_messages_left_out)
    }

    #[test]
    fn every_wire_format_keeps_its_conversation_somewhere() {
        for body in [
            r#"{"model":"m","system":"s","messages":[{"content":1.0}, {"b":"\u00e9"}]}"#,
            r#"{"input":[{"content":1.0}, {"b":"\u00e9"}],"store":false}"#,
            r#"{"contents":[{"content":1.0}, {"b":"\u00e9"}]}"#,
            r#"{"model":"m","request":{"contents":[{"content":1.0}, {"b":"\u00e9"}]}}"#,
        ] {
            let expected = [r#"{"content":1.0}"#, r#"{"b":"\u00e9"}"#].map(str::to_owned).to_vec();
            assert_eq!(of(body, 1000), (expected, 0));
        }
        assert_eq!(of(r#"{"input":"hi"}"#, 1000), (vec![r#""hi""#.to_owned()], 0));
        for body in [r#"{"model":"m"}"#, r#"{"messages":null}"#, "[1]", "no JSON", r#"{"messages":[1]"#] {
            assert!(Transcript::of(body.as_bytes(), 1000).is_none(), "{body}");
        }
    }

    #[test]
    fn the_newest_messages_are_kept_and_the_one_for_which_there_is_no_room_is_cut() {
        let body = r#"{"messages":["old","äöü","new"]}"#;
        assert_eq!(of(body, 1000).1, 0);
        let kept = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(of(body, 5), (kept(&["\"new\""]), 2));
        assert_eq!(of(body, 9), (kept(&["\"ä", "\"new\""]), 1));
        assert_eq!(of(body, 0), (Vec::new(), 3));
    }

    #[test]
    fn of_an_answer_the_beginning_is_kept() {
        let mut transcript = Transcript::of(br#"{"messages":[]}"#, 5).unwrap();
        transcript.answered(b"ab");
        transcript.answered("cdä".as_bytes());
        transcript.answered(b"more");
        let logged = transcript.logged("hr_1");
        assert_eq!((logged.response_content.as_str(), logged.response_content_cut), ("abcd\u{fffd}", true));
        let mut transcript = Transcript::of(br#"{"messages":[]}"#, 5).unwrap();
        transcript.answered(b"abcde");
        let logged = transcript.logged("hr_1");
        assert_eq!((logged.response_content.as_str(), logged.response_content_cut), ("abcde", false));
    }
}
