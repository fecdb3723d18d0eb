//! Cohere Chat, version 2.
//!
//! Tool outputs are the content of messages with the role `tool`: a string, or parts of the type `text`. The
//! citations of an answer return `document` parts to the client as they were sent, so such a part is an
//! output only if the request switches citations off.

use crate::reasoning;
use crate::retrieve_tool::Naming;
use crate::tape::{NotUnderstood, Value};
use crate::walk::{Call, Role, Walk, each_text};

pub(crate) fn read<'b>(root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [model, stream, tools, messages, citations] =
        root.pick(["model", "stream", "tools", "messages", "citation_options"])?;
    walk.envelope(Naming::Function, model, stream, tools)?;
    walk.may_reason = reasoning::asks(root, &["thinking"]);
    let cited = is_cited(citations)?;
    let messages = messages.filter(|messages| messages.is_array()).ok_or(NotUnderstood)?;
    for message in messages.elements() {
        read_message(message, cited, walk)?;
    }
    Ok(())
}

/// Citations are on unless the request says otherwise.
fn is_cited(options: Option<Value<'_, '_>>) -> Result<bool, NotUnderstood> {
    let Some(options) = options.filter(|options| options.is_object()) else { return Ok(true) };
    let [mode] = options.pick(["mode"])?;
    let off = |mode: Value<'_, '_>| ["OFF", "off", "DISABLED", "disabled"].iter().any(|name| mode.is(name));
    Ok(!mode.is_some_and(off))
}

fn read_message<'b>(message: Value<'_, 'b>, cited: bool, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [role, content, tool_plan, tool_calls, tool_call_id] =
        message.pick(["role", "content", "tool_plan", "tool_calls", "tool_call_id"])?;
    let Some(role) = role else { return Ok(()) };
    if role.is("tool") {
        let call = walk.call_of(tool_call_id);
        return read_output(content, cited, call, walk);
    }
    let role = if role.is("user") {
        Role::User
    } else if role.is("assistant") {
        Role::Assistant
    } else {
        Role::System
    };
    if let Some(plan) = tool_plan.filter(|plan| plan.is_string()) {
        walk.reading(role, plan);
    }
    each_text(content, &["text"], |text| walk.reading(role, text))?;
    walk.end_of_user_message();
    for tool_call in tool_calls.into_iter().flat_map(Value::elements) {
        let [id, function] = tool_call.pick(["id", "function"])?;
        if let Some(function) = function.filter(|function| function.is_object()) {
            let [name, arguments] = function.pick(["name", "arguments"])?;
            walk.call(id, Call::new(name, arguments, None)?);
        }
    }
    Ok(())
}

fn read_output<'b>(
    content: Option<Value<'_, 'b>>,
    cited: bool,
    call: Option<Call>,
    walk: &mut Walk<'b>,
) -> Result<(), NotUnderstood> {
    if !content.is_some_and(Value::is_array) {
        return each_text(content, &[], |text| walk.output(call, text));
    }
    for part in content.into_iter().flat_map(Value::elements).filter(|part| part.is_object()) {
        let [kind, text, document] = part.pick(["type", "text", "document"])?;
        let is = |expected| kind.is_some_and(|kind: Value<'_, '_>| kind.is(expected));
        if is("text") {
            if let Some(text) = text.filter(|text| text.is_string()) {
                walk.output(call, text);
            }
        } else if let Some(document) = document.filter(|document| document.is_object() && is("document")) {
            let [data] = document.pick(["data"])?;
            match data {
                Some(data) if !cited => walk.structured_output(call, data),
                // The model reads it, so it is counted.
                _ => walk.output(call, document),
            }
        }
    }
    Ok(())
}
