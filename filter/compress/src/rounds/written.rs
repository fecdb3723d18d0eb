//! How the filter writes a round of its own tool: the model's call and the result.
//!
//! Everything follows from what the request holds and from the [trace](super::trace), so that the round is the
//! same when it is sent for the first time and whenever it is put back.

use xxhash_rust::xxh3::xxh3_64;

use super::page::Range;
use crate::wire::splice::splice;
use crate::wire::tape::Tape;
use crate::wire::{Api, retrieve_tool, string};

/// A call of our tool with its result.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Retrieval {
    /// Of the call.
    pub id: String,
    /// The address of the text.
    pub hash: String,
    /// The page; `None`: the whole text.
    pub range: Option<Range>,
    /// What the model reads.
    pub result: String,
}

/// The id of a call of ours: no other call in the conversation has it. `calls` is the number of calls of the
/// client's tools before this turn, `ordinal` the number of the retrieval in it.
pub fn call_id(api: Api, calls: usize, ordinal: usize, hash: &str, range: Option<Range>) -> String {
    let range = range.map(Range::argument).unwrap_or_default();
    let digest = xxh3_64(format!("{calls} {ordinal} {hash} {range}").as_bytes());
    let prefix = match api {
        Api::AnthropicMessages | Api::AnthropicBedrock => "toolu_hr",
        _ => "call_hr",
    };
    format!("{prefix}{digest:016x}")
}

/// A text as a JSON string.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    string::encode_into(text, &mut out);
    out
}

impl Retrieval {
    /// The call's arguments as JSON.
    fn arguments(&self) -> String {
        match self.range {
            None => format!("{{\"hash\":{}}}", quote(&self.hash)),
            Some(range) => {
                format!("{{\"hash\":{},\"lines\":{}}}", quote(&self.hash), quote(&range.argument()))
            }
        }
    }

    /// The call in the model's turn: a content block of Anthropic, an element of `tool_calls` of OpenAI Chat, an
    /// item of OpenAI Responses.
    pub fn call(&self, api: Api) -> String {
        let (id, name, arguments) = (quote(&self.id), quote(retrieve_tool::NAME), self.arguments());
        match api {
            Api::OpenAiChat => {
                let arguments = quote(&arguments);
                format!(
                    r#"{{"id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#
                )
            }
            Api::OpenAiResponses => {
                let arguments = quote(&arguments);
                format!(r#"{{"type":"function_call","call_id":{id},"name":{name},"arguments":{arguments}}}"#)
            }
            _ => format!(r#"{{"type":"tool_use","id":{id},"name":{name},"input":{arguments}}}"#),
        }
    }

    /// The result: a content block of Anthropic, a message of OpenAI Chat, an item of OpenAI Responses.
    pub fn answer(&self, api: Api) -> String {
        let (id, result) = (quote(&self.id), quote(&self.result));
        match api {
            Api::OpenAiChat => format!(r#"{{"role":"tool","tool_call_id":{id},"content":{result}}}"#),
            Api::OpenAiResponses => {
                format!(r#"{{"type":"function_call_output","call_id":{id},"output":{result}}}"#)
            }
            _ => format!(r#"{{"type":"tool_result","tool_use_id":{id},"content":{result}}}"#),
        }
    }
}

/// A message of the model in the format of OpenAI Chat that calls our tool alone.
pub fn chat_message(text: &str, reasoning: &str, calls: &[String]) -> String {
    let content = if text.is_empty() { "null".to_owned() } else { quote(text) };
    let calls = calls.join(",");
    // DeepSeek and Moonshot want it back with the results of a turn's calls.
    let reasoning = match reasoning {
        "" => String::new(),
        reasoning => format!(r#","reasoning_content":{}"#, quote(reasoning)),
    };
    format!(r#"{{"role":"assistant","content":{content},"tool_calls":[{calls}]{reasoning}}}"#)
}

/// A body in which the object in one of its members has one more member. `None`: there is no such object, or it
/// has the member already.
pub fn object_with_member(body: &[u8], member: &str, name: &str, value: &str) -> Option<Vec<u8>> {
    let tape = Tape::of(body).ok()?;
    let [object] = tape.root().pick([member]).ok()?;
    let object = object.filter(|object| object.is_object())?;
    if object.pick([name]).ok()?[0].is_some() {
        return None;
    }
    let end = object.span().range().end.checked_sub(1)?;
    let comma = if object.members().next().is_some() { "," } else { "" };
    let added = format!("{comma}{}:{value}", quote(name));
    splice(tape.body(), &[(end..end, &added)]).map(String::into_bytes)
}

/// A message of Anthropic with these content blocks.
pub fn message(role: &str, content: &[String]) -> String {
    format!(r#"{{"role":"{role}","content":[{}]}}"#, content.join(","))
}
