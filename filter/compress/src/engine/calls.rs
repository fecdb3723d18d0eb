//! What calls and users said, as the compressors read it: taken from the body once, however many outputs have it in
//! common, and up to a length that no ordinary text has.

use std::borrow::Cow;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use headroom_providers::string;
use headroom_providers::tape::Span;
use headroom_providers::walk::Output;

use crate::block::CallFacts;
use crate::call::Call;
use crate::kinds::signal::floor_char_boundary;

/// How many bytes of a tool's name count. Providers allow 128 at most.
const MOST_NAME: usize = 1 << 10;

/// How many bytes of the arguments of a call count, and of each end of a user's text.
const MOST_SAID: usize = 64 << 10;

/// A call whose outputs are compressed.
#[derive(Debug)]
pub(super) struct OutputCall {
    pub(super) name: Arc<str>,
    pub(super) arguments: Box<str>,
    pub(super) facts: CallFacts,
}

impl OutputCall {
    fn of(output: &Output, body: &str) -> Self {
        let start = |span: Span, most| span.text_start(body, most);
        let name = output.call.and_then(|call| start(call.name?, MOST_NAME)).unwrap_or_default();
        let arguments = output.call.and_then(|call| call.arguments).map(|span| {
            start(span, MOST_SAID).unwrap_or_else(|| {
                let raw = span.raw(body);
                Cow::Borrowed(raw.get(..floor_char_boundary(raw, MOST_SAID)).unwrap_or_default())
            })
        });
        Self {
            name: Arc::from(name),
            arguments: Box::from(arguments.unwrap_or_default()),
            facts: CallFacts::default(),
        }
    }

    pub(super) fn texts(&self) -> Call<'_> {
        Call { name: &self.name, arguments: &self.arguments }
    }
}

/// The calls so far, and the last text of a user.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// By where they stand; one for all outputs whose call is not known.
    calls: HashMap<Option<usize>, OutputCall, FixedState>,
    query: (Option<Span>, String),
}

impl Said {
    /// The call of an output, and the last user text before it.
    pub(super) fn before(&mut self, output: &Output, body: &str) -> (&OutputCall, &str) {
        if self.query.0 != output.query {
            let query = output.query.and_then(|span| ends_of_text(span, body, MOST_SAID));
            self.query = (output.query, query.unwrap_or_default().into_owned());
        }
        let at = output.call.and_then(|call| call.start());
        (self.calls.entry(at).or_insert_with(|| OutputCall::of(output, body)), &self.query.1)
    }
}

/// The start and the end of a string's text, as two lines where something is between them: a question may stand behind
/// what was pasted. `None` for other values and for strings that are not text.
fn ends_of_text(span: Span, body: &str, most: usize) -> Option<Cow<'_, str>> {
    let raw = span.raw(body);
    if raw.len() <= 2 * most || !span.is_string() {
        return span.text(body);
    }
    let start = span.text_start(body, most)?;
    // The rest of an escape that is cut is read as letters; the rest of two surrogates is no text.
    let from = (raw.len() - most..raw.len()).find(|at| raw.is_char_boundary(*at))?;
    let end =
        (from..raw.len().min(from + 12)).find_map(|from| string::decode(raw.get(from..raw.len() - 1)?))?;
    Some(Cow::Owned(format!("{start}\n{end}")))
}

#[cfg(test)]
mod tests {
    use headroom_providers::Api;
    use serde_json::json;

    use super::*;

    /// Calls `check` with what is said before the first two outputs of a request.
    fn said(name: &str, arguments: &str, question: &str, check: impl Fn([(&str, &str, &str); 2], bool)) {
        let body = json!({"messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": "c", "content": [
                {"type": "text", "text": "x"}, {"type": "text", "text": "y"}]}]})
        .to_string();
        let walk = Api::OpenAiChat.walk(body.as_bytes()).unwrap();
        let mut said = Said::default();
        let [first, second] = [0, 1].map(|at| {
            let (call, query) = said.before(&walk.outputs[at], &body);
            (Arc::clone(&call.name), call.arguments.clone(), query.to_owned())
        });
        let is_one = Arc::ptr_eq(&first.0, &second.0);
        check([&first, &second].map(|(name, arguments, query)| (&**name, &**arguments, &**query)), is_one);
    }

    #[test]
    fn outputs_of_one_call_share_what_was_said() {
        said("run", "{\"a\":\"\\n\"}", "why\n?", |texts, is_one| {
            assert_eq!(texts, [("run", "{\"a\":\"\\n\"}", "why\n?"); 2]);
            assert!(is_one);
        });
    }

    #[test]
    fn of_very_long_texts_the_start_counts() {
        for character in ["a", "\n", "é", "\u{1}", "\u{1f600}"] {
            for before in 0..12 {
                let long = format!("{}{}", "b".repeat(before), character.repeat(MOST_SAID));
                said(&long, &long, &long, |[(name, arguments, query), _], is_one| {
                    assert!(long.starts_with(name) && long.starts_with(arguments));
                    assert!(long.chars().take(9).eq(query.chars().take(9)));
                    assert!(long.chars().rev().take(9).eq(query.chars().rev().take(9)));
                    assert!((MOST_NAME / 8..=MOST_NAME).contains(&name.len()), "{}", name.len());
                    assert!((MOST_SAID / 8..=MOST_SAID).contains(&arguments.len()), "{}", arguments.len());
                    assert!((MOST_SAID / 4..=2 * MOST_SAID + 1).contains(&query.len()), "{}", query.len());
                    assert!(is_one);
                });
            }
        }
    }

    #[test]
    fn an_escape_is_never_cut() {
        for before in 0..12 {
            let body = format!("[\"{}{}\"]", "b".repeat(before), "\\ud83d\\ude00".repeat(20));
            let tape = headroom_providers::tape::Tape::of(body.as_bytes()).unwrap();
            let span = tape.root().elements().next().unwrap().span();
            let text = span.text_start(&body, 64).unwrap();
            assert!(span.text(&body).unwrap().starts_with(&*text));
            assert_eq!(text.len(), before + (64 - before) / 12 * 4);
            let ends = ends_of_text(span, &body, 64).unwrap();
            assert!(ends.starts_with(&*text) && ends.len() < 2 * 64, "{ends}");
            let end = ends.rsplit('\n').next().unwrap();
            assert!(
                span.text(&body).unwrap().ends_with(end.trim_start_matches(|c: char| c.is_ascii())),
                "{end}"
            );
        }
    }

    #[test]
    fn a_question_behind_a_long_text_is_read() {
        said(
            "run",
            "{}",
            &format!("{}why does `parse` fail?", "line \"x\"\n".repeat(1 << 15)),
            |texts, _| {
                let question = texts[0].2;
                assert!(question.starts_with("line") && question.ends_with("why does `parse` fail?"));
                assert!(question.len() < 3 * MOST_SAID, "{}", question.len());
            },
        );
    }
}
