//! OpenAI Chat Completions, and what speaks it.
//!
//! Tool outputs are the content of messages with the role `tool`.

use super::tape::Value;
use super::{Call, NotUnderstood, Role, Walk, each_text};

pub(crate) fn read<'b>(root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [model, stream, tools, messages] = root.pick(["model", "stream", "tools", "messages"])?;
    walk.envelope(model, stream, tools);
    let messages = messages.filter(|messages| messages.is_array()).ok_or(NotUnderstood)?;
    for message in messages.elements() {
        read_message(message, walk)?;
    }
    Ok(())
}

fn read_message<'b>(message: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [role, content, tool_calls, tool_call_id] =
        message.pick(["role", "content", "tool_calls", "tool_call_id"])?;
    let Some(role) = role else { return Ok(()) };
    if role.is("tool") {
        let call = walk.call_of(tool_call_id);
        return each_text(content, &["text"], |text| walk.output(call, text));
    }
    let role = if role.is("user") {
        Role::User
    } else if role.is("assistant") {
        Role::Assistant
    } else {
        Role::System
    };
    each_text(content, &["text"], |text| walk.reading(role, text))?;
    walk.end_of_user_message();
    for tool_call in tool_calls.into_iter().flat_map(Value::elements) {
        let [id, function, custom, caller] = tool_call.pick(["id", "function", "custom", "caller"])?;
        if let Some(function) = function.filter(|function| function.is_object()) {
            let [name, arguments] = function.pick(["name", "arguments"])?;
            walk.call(id, Call::new(name, arguments, caller)?);
        } else if let Some(custom) = custom.filter(|custom| custom.is_object()) {
            let [name, input] = custom.pick(["name", "input"])?;
            walk.call(id, Call::new(name, input, caller)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::wire::Api::OpenAiChat;
    use crate::wire::Role;
    use crate::wire::tests::{outputs, readings, refused};

    #[test]
    fn tool_messages_are_found_as_strings_and_as_text_parts() {
        let body = r#"{"messages":[
            {"role":"developer","content":"Be kind."},
            {"content":[{"type":"text","text":"Which pets?"},{"type":"image_url","image_url":{"url":"x"}}],"role":"user"},
            {"role":"assistant","content":null,"tool_calls":[
                {"id":"a","type":"function","function":{"name":"list","arguments":"{\"kind\":\"dog\"}"}},
                {"id":"b","type":"custom","custom":{"name":"show","input":"Rex"}}]},
            {"content":"Rex","tool_call_id":"a","role":"tool"},
            {"role":"tool","tool_call_id":"b","content":[{"type":"text","text":"one"},{"type":"other","text":"x"}]},
            {"role":"tool","tool_call_id":"b","content":null},
            {"role":"function","name":"old","content":"legacy"},
            {"role":"assistant","content":[],"tool_calls":null}]}"#;
        assert_eq!(
            outputs(OpenAiChat, body),
            [r#"list {"kind":"dog"} after Which pets?: Rex"#, "show Rex after Which pets?: one"]
        );
        assert_eq!(
            readings(OpenAiChat, body)[..2],
            [(Role::System, "Be kind.".to_owned()), (Role::User, "Which pets?".to_owned())]
        );
    }

    #[test]
    fn an_id_that_is_reused_names_the_latest_call() {
        let body = r#"{"messages":[
            {"role":"assistant","tool_calls":[{"id":"a","function":{"name":"one","arguments":"1"}}]},
            {"role":"tool","tool_call_id":"a","content":"x"},
            {"role":"assistant","tool_calls":[{"id":"a","function":{"name":"two","arguments":"2"}}]},
            {"role":"tool","tool_call_id":"a","content":"y"}]}"#;
        assert_eq!(outputs(OpenAiChat, body), ["one 1: x", "two 2: y"]);
    }

    #[test]
    fn a_content_that_is_no_content_is_not_understood() {
        assert!(refused(OpenAiChat, r#"{"messages":[{"role":"tool","content":{"text":"x"}}]}"#));
        assert!(refused(OpenAiChat, r#"{"messages":[{"role":"tool","content":"x","role":"user"}]}"#));
        assert!(refused(OpenAiChat, r#"{"messages":[[]]}"#));
    }
}
