//! Gemini `generateContent`.
//!
//! A tool output is the `response` object of a `functionResponse`, whose members are up to the client.
//! Names may be in camel case or in snake case, as in any protobuf JSON.

use crate::prompt::Prompt;
use crate::reasoning;
use crate::retrieve_tool::Naming;
use crate::tape::{NotUnderstood, Value};
use crate::walk::{Call, Role, Walk};

pub(crate) fn read<'b>(root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [model, tools, system, system_snake, contents] =
        root.pick(["model", "tools", "systemInstruction", "system_instruction", "contents"])?;
    walk.envelope(Naming::Declarations, model, None, tools)?;
    if let Some(system) = either(system, system_snake)? {
        let [parts] = system.pick(["parts"])?;
        for part in parts.into_iter().flat_map(list) {
            read_part(part, Role::System, walk)?;
        }
    }
    let [config, config_snake] = root.pick(["generationConfig", "generation_config"])?;
    if let Some(config) = config.or(config_snake).filter(|config| config.is_object()) {
        walk.binds_reasoning = reasoning::asks(config, ["thinkingConfig", "thinking_config"]);
    }
    let contents = contents.filter(|contents| contents.is_array()).ok_or(NotUnderstood)?;
    for content in contents.elements() {
        let [role, parts] = content.pick(["role", "parts"])?;
        let role = match role {
            Some(role) if role.is("model") => Role::Assistant,
            _ => Role::User,
        };
        for part in parts.into_iter().flat_map(list) {
            read_part(part, role, walk)?;
        }
        walk.end_of_user_message();
    }
    let [cached, cached_snake] = root.pick(["cachedContent", "cached_content"])?;
    if cached.or(cached_snake).is_some_and(|cached| !cached.is_null()) {
        // A cache may bring tools that the request does not list.
        walk.called = 0;
    }
    Ok(())
}

/// The system prompt.
pub(crate) fn prompt<'t, 'b>(root: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
    let [system, system_snake] = root.pick(["systemInstruction", "system_instruction"])?;
    let Some(system) = either(system, system_snake)? else { return Ok(None) };
    let [parts] = system.pick(["parts"])?;
    Ok(parts.map(|value| Prompt { value, part: r#"{"text":"# }))
}

fn read_part<'b>(part: Value<'_, 'b>, role: Role, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [text, thought, call, call_snake, response, response_snake] = part.pick([
        "text",
        "thought",
        "functionCall",
        "function_call",
        "functionResponse",
        "function_response",
    ])?;
    walk.binds_reasoning |= reasoning::carries(part, ["thoughtSignature", "thought_signature", "thought"]);
    if let Some(call) = either(call, call_snake)? {
        let [id, name, args] = call.pick(["id", "name", "args"])?;
        // Without ids, an output belongs to the latest call of its tool.
        walk.call(id.or(name), Call::new(name, args, None)?);
    }
    if let Some(response) = either(response, response_snake)? {
        let [id, name, value] = response.pick(["id", "name", "response"])?;
        let call = match walk.call_of(id.or(name)) {
            Some(call) => Some(call),
            None => Some(Call::new(name, None, None)?),
        };
        let Some(value) = value.filter(|value| value.is_object()) else { return Ok(()) };
        walk.structured_output(call, value);
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
