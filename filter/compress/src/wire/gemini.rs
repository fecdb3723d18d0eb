//! Gemini `generateContent`.
//!
//! A tool output is the `response` object of a `functionResponse`. Its members are up to the client:
//! where there is exactly one and it is a string, that string is the output's text; anything else is
//! structured data and stays. Names may be in camel case or in snake case, as in any protobuf JSON.

use std::borrow::Cow;
use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::tape::Value;
use super::{Call, NotUnderstood, Role, Walk};

pub(crate) fn read<'b>(root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [model, tools, system, system_snake, contents] =
        root.pick(["model", "tools", "systemInstruction", "system_instruction", "contents"])?;
    walk.envelope(model, None, tools);
    let mut unanswered = Unanswered::default();
    if let Some(system) = either(system, system_snake)? {
        let [parts] = system.pick(["parts"])?;
        for part in parts.into_iter().flat_map(list) {
            read_part(part, Role::System, walk, &mut unanswered)?;
        }
    }
    let contents = contents.filter(|contents| contents.is_array()).ok_or(NotUnderstood)?;
    let mut last = Role::System;
    for content in contents.elements() {
        let [role, parts] = content.pick(["role", "parts"])?;
        let role = match role {
            Some(role) if role.is("model") => Role::Assistant,
            _ => Role::User,
        };
        if role == Role::Assistant && last != Role::Assistant {
            unanswered.clear();
        }
        last = role;
        for part in parts.into_iter().flat_map(list) {
            read_part(part, role, walk, &mut unanswered)?;
        }
        walk.end_of_user_message();
    }
    Ok(())
}

/// The calls of the model's latest turn that have no id, by tool: they are answered in their order.
type Unanswered<'b> = HashMap<Cow<'b, str>, VecDeque<Call>, FixedState>;

fn read_part<'b>(
    part: Value<'_, 'b>,
    role: Role,
    walk: &mut Walk<'b>,
    unanswered: &mut Unanswered<'b>,
) -> Result<(), NotUnderstood> {
    let [text, thought, call, call_snake, response, response_snake] = part.pick([
        "text",
        "thought",
        "functionCall",
        "function_call",
        "functionResponse",
        "function_response",
    ])?;
    if let Some(call) = either(call, call_snake)? {
        let [id, name, args] = call.pick(["id", "name", "args"])?;
        let call = Call::new(name, args, None)?;
        walk.call(id, call);
        if id.is_none()
            && let Some(name) = name.and_then(Value::text)
        {
            unanswered.entry(name).or_default().push_back(call);
        }
    }
    if let Some(response) = either(response, response_snake)? {
        let [id, name, value] = response.pick(["id", "name", "response"])?;
        let call = match id {
            Some(_) => walk.call_of(id),
            None => name
                .and_then(Value::text)
                .and_then(|name| unanswered.get_mut(&name).and_then(VecDeque::pop_front)),
        };
        // The output names its tool itself, whether or not the call is there.
        let call = call.map_or_else(|| Call::new(name, None, None), Ok)?;
        let Some(value) = value.filter(|value| value.is_object()) else { return Ok(()) };
        let mut members = value.members();
        match (members.next(), members.next()) {
            (Some((_, text)), None) if text.is_string() => walk.output(Some(call), text),
            (Some(_), _) => walk.output(Some(call), value),
            (None, _) => {}
        }
    }
    if let Some(text) = text.filter(|text| text.is_string())
        && !thought.is_some_and(Value::is_true)
    {
        walk.reading(role, text);
    }
    Ok(())
}

/// The one of two spellings that is there. Both at once mean different things to different parsers.
fn either<'t, 'b>(
    camel: Option<Value<'t, 'b>>,
    snake: Option<Value<'t, 'b>>,
) -> Result<Option<Value<'t, 'b>>, NotUnderstood> {
    match (camel, snake) {
        (Some(_), Some(_)) => Err(NotUnderstood),
        (camel, snake) => Ok(camel.or(snake).filter(|value| !value.is_null())),
    }
}

/// The elements of an array; a single object stands for a list of one.
fn list<'t, 'b>(value: Value<'t, 'b>) -> impl Iterator<Item = Value<'t, 'b>> {
    value.is_object().then_some(value).into_iter().chain(value.elements())
}

#[cfg(test)]
mod tests {
    use crate::wire::Api::GeminiGenerateContent;
    use crate::wire::tests::{outputs, refused};

    #[test]
    fn the_only_member_of_a_response_is_its_text_in_either_spelling() {
        let body = r#"{"contents":[
            {"role":"user","parts":[{"text":"Which pets?"}]},
            {"role":"model","parts":[{"functionCall":{"id":"1","name":"list","args":{"kind":"dog"}}}]},
            {"role":"user","parts":[{"functionResponse":{"response":{"output":"Rex"},"name":"list","id":"1"}}]},
            {"parts":[{"function_response":{"name":"list","response":{"error":"none \u00e9"}}},
                      {"functionResponse":{"name":"list","response":{"a":"b","c":"d"}}},
                      {"functionResponse":{"name":"list","response":{"a":["b"]}}},
                      {"functionResponse":{"name":"list","response":{}}},
                      {"functionResponse":{"name":"list","response":"Rex"}}]}]}"#;
        assert_eq!(
            outputs(GeminiGenerateContent, body),
            [
                r#"list {"kind":"dog"} after Which pets?: Rex"#,
                "list after Which pets?: none \u{e9}",
                r#"list after Which pets?: data {"a":"b","c":"d"}"#,
                r#"list after Which pets?: data {"a":["b"]}"#,
            ]
        );
    }

    #[test]
    fn calls_without_ids_are_answered_in_their_order_and_within_their_turn() {
        let body = r#"{"contents":[
            {"role":"model","parts":[{"functionCall":{"name":"get","args":1}},{"functionCall":{"name":"put","args":2}},
                                     {"functionCall":{"name":"get","args":3}}]},
            {"role":"user","parts":[{"functionResponse":{"name":"get","response":{"r":"a"}}},
                                    {"functionResponse":{"name":"get","response":{"r":"b"}}}]},
            {"role":"model","parts":[{"functionCall":{"name":"get","args":4}}]},
            {"role":"user","parts":[{"functionResponse":{"name":"put","response":{"r":"c"}}},
                                    {"functionResponse":{"name":"get","response":{"r":"d"}}}]}]}"#;
        assert_eq!(outputs(GeminiGenerateContent, body), ["get 1: a", "get 3: b", "put: c", "get 4: d"]);
    }

    #[test]
    fn both_spellings_at_once_are_not_understood() {
        assert!(refused(
            GeminiGenerateContent,
            r#"{"contents":[{"parts":[{"functionResponse":{},"function_response":{}}]}]}"#
        ));
        assert!(refused(GeminiGenerateContent, r#"{"contents":{}}"#));
        assert!(refused(GeminiGenerateContent, r#"{"messages":[]}"#));
    }
}
