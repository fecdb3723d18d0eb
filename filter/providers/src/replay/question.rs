//! Requests that are one question and nothing else: no history, and no part that is not text.

use serde_json::{Map, Value};

use super::ReplayableRequest;
use crate::api::Api;

/// A question that was taken out of its request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    /// Its words.
    pub text: String,
    /// Everything else in the request, spelled in one way: members in the order of their names.
    pub rest: Vec<u8>,
}

impl ReplayableRequest {
    /// The request as a question, if it is one.
    pub fn into_question(mut self) -> Option<Question> {
        let text = match self.api {
            Api::AnthropicMessages => only(self.body.get_mut("messages")?).and_then(content)?,
            Api::OpenAiChat => behind_instructions(self.body.get_mut("messages")?).and_then(content)?,
            Api::OpenAiResponses => match self.body.get_mut("input")? {
                text @ Value::String(_) => taken(text)?,
                items => behind_instructions(items).and_then(content)?,
            },
            Api::GeminiGenerateContent => {
                let contents = self.body.get_mut("contents")?;
                only(contents).and_then(|content| part(content.get_mut("parts")?))?
            }
            _ => return None,
        };
        let rest = serde_json::to_vec(&self.body).ok()?;
        (!text.trim().is_empty()).then_some(Question { text, rest })
    }
}

type Message = Map<String, Value>;

/// The only message, which is the user's.
fn only(messages: &mut Value) -> Option<&mut Message> {
    let [message] = messages.as_array_mut()?.as_mut_slice() else { return None };
    users(message)
}

/// The only message that is not an instruction of the system: the last one.
fn behind_instructions(messages: &mut Value) -> Option<&mut Message> {
    let (last, instructions) = messages.as_array_mut()?.split_last_mut()?;
    let is_instruction =
        |message: &Value| matches!(message.get("role").and_then(Value::as_str), Some("system" | "developer"));
    if !instructions.iter().all(is_instruction) {
        return None;
    }
    users(last)
}

fn users(message: &mut Value) -> Option<&mut Message> {
    let message = message.as_object_mut()?;
    let is_users = message.get("role").is_none_or(|role| role == "user");
    let is_message = message.get("type").is_none_or(|kind| kind == "message");
    (is_users && is_message).then_some(message)
}

fn content(message: &mut Message) -> Option<String> {
    match message.get_mut("content")? {
        text @ Value::String(_) => taken(text),
        parts => part(parts),
    }
}

/// The text of the only part.
fn part(parts: &mut Value) -> Option<String> {
    let [part] = parts.as_array_mut()?.as_mut_slice() else { return None };
    let is_text = matches!(part.get("type").and_then(Value::as_str), None | Some("text" | "input_text"));
    taken(part.get_mut("text").filter(|_| is_text)?)
}

fn taken(text: &mut Value) -> Option<String> {
    match std::mem::take(text) {
        Value::String(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn question(api: Api, body: Value) -> Option<Question> {
        ReplayableRequest::read(api, body.to_string().as_bytes(), None, true)?.into_question()
    }

    #[test]
    fn a_request_that_is_one_question_is_its_text_and_the_rest() {
        let text = "What is Envoy?";
        let parts = |kind: &str| json!([{"type": kind, "text": text}]);
        for (api, member, value) in [
            (Api::AnthropicMessages, "messages", json!([{"role": "user", "content": text}])),
            (Api::AnthropicMessages, "messages", json!([{"role": "user", "content": parts("text")}])),
            (
                Api::OpenAiChat,
                "messages",
                json!([{"role": "system", "content": "s"}, {"role": "user", "content": text}]),
            ),
            (Api::OpenAiResponses, "input", json!(text)),
            (Api::OpenAiResponses, "input", json!([{"role": "user", "content": parts("input_text")}])),
            (Api::GeminiGenerateContent, "contents", json!([{"parts": [{"text": text}]}])),
        ] {
            let body = |model: &str| json!({"model": model, "store": false, member: value});
            let found = question(api, body("m")).unwrap_or_else(|| panic!("{api:?} {value}"));
            assert_eq!(found.text, text);
            assert!(!String::from_utf8_lossy(&found.rest).contains("Envoy"));
            assert_ne!(found.rest, question(api, body("other")).unwrap().rest, "everything else counts");
            let spaced = format!(" {} ", body("m")).replace("\"model\"", " \"model\" ");
            let again =
                ReplayableRequest::read(api, spaced.as_bytes(), None, true).unwrap().into_question().unwrap();
            assert_eq!(again, found);
        }
    }

    #[test]
    fn history_and_parts_that_are_no_text_make_it_more_than_a_question() {
        let user = json!({"role": "user", "content": "a"});
        let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}});
        for messages in [
            json!([user, {"role": "assistant", "content": "b"}, user]),
            json!([user, user]),
            json!([{"role": "assistant", "content": "b"}]),
            json!([{"role": "user", "content": [image]}]),
            json!([{"role": "user", "content": [{"type": "text", "text": "a"}, image]}]),
            json!([{"role": "user", "content": " \n"}]),
            json!([{"role": "user", "content": []}]),
            json!([]),
            json!("a"),
        ] {
            for api in [Api::OpenAiChat, Api::AnthropicMessages] {
                assert_eq!(question(api, json!({"messages": messages})), None, "{messages}");
            }
        }
        let output = json!([{"type": "function_call_output", "content": "a"}]);
        assert_eq!(question(Api::OpenAiResponses, json!({"store": false, "input": output})), None);
    }
}
