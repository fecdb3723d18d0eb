//! Amazon Bedrock Converse.
//!
//! Each block is an object whose only member says what it is. Tool outputs are the `text` and `json` parts of
//! `toolResult` blocks in user messages. A `toolUse` or `toolResult` with a `type` belongs to a tool that ran
//! at the provider. `reasoningContent`, `guardContent`, `citationsContent`, `cachePoint`, images, documents,
//! videos and search results are not read.

use crate::context_edits;
use crate::reasoning;
use crate::retrieve_tool::Naming;
use crate::tape::{NotUnderstood, Value};
use crate::walk::{Call, Role, Walk};

/// What asks for reasoning, in the words of the models' makers.
const ASKS: [&str; 5] = ["thinking", "reasoning_config", "reasoningConfig", "reasoning_effort", "reasoning"];

pub(crate) fn read<'b>(root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [config, system, messages, fields] =
        root.pick(["toolConfig", "system", "messages", "additionalModelRequestFields"])?;
    let tools = match config.filter(|config| config.is_object()) {
        Some(config) => config.pick(["tools"])?[0],
        None => None,
    };
    // The path names the model and says whether the answer is a stream.
    walk.envelope(Naming::ToolSpec, None, None, tools)?;
    let fields = fields.filter(|fields| fields.is_object());
    walk.may_reason = fields.is_some_and(|fields| reasoning::asks(fields, &ASKS));
    if let Some(fields) = fields {
        walk.clears_outputs = context_edits::clear_outputs(fields.pick(["context_management"])?[0])?;
    }
    for block in system.into_iter().flat_map(Value::elements) {
        read_block(block, Role::System, walk)?;
    }
    let messages = messages.filter(|messages| messages.is_array()).ok_or(NotUnderstood)?;
    for message in messages.elements() {
        let [role, content] = message.pick(["role", "content"])?;
        let role = match role {
            Some(role) if role.is("user") => Role::User,
            Some(role) if role.is("assistant") => Role::Assistant,
            _ => Role::System,
        };
        for block in content.into_iter().flat_map(Value::elements) {
            read_block(block, role, walk)?;
        }
        walk.end_of_user_message();
    }
    Ok(())
}

fn read_block<'b>(block: Value<'_, 'b>, role: Role, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    if !block.is_object() {
        return Ok(());
    }
    let [text, tool_use, tool_result] = block.pick(["text", "toolUse", "toolResult"])?;
    walk.may_reason |= reasoning::asks(block, &["reasoningContent"]);
    if let Some(text) = text.filter(|text| text.is_string()) {
        walk.reading(role, text);
    }
    if let Some(tool_use) = tool_use.filter(|tool_use| tool_use.is_object()) {
        let [id, name, input, kind] = tool_use.pick(["toolUseId", "name", "input", "type"])?;
        if !at_provider(kind) {
            walk.call(id, Call::new(name, input, None)?);
        }
    }
    if let Some(tool_result) = tool_result.filter(|it| it.is_object() && role == Role::User) {
        let [id, content, kind] = tool_result.pick(["toolUseId", "content", "type"])?;
        if at_provider(kind) {
            return Ok(());
        }
        let call = walk.call_of(id);
        for part in content.into_iter().flat_map(Value::elements) {
            read_part(part, call, walk)?;
        }
    }
    Ok(())
}

fn read_part<'b>(part: Value<'_, 'b>, call: Option<Call>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    if !part.is_object() {
        return Ok(());
    }
    let [text, json] = part.pick(["text", "json"])?;
    if let Some(text) = text.filter(|text| text.is_string()) {
        walk.output(call, text);
    }
    if let Some(json) = json {
        walk.structured_output(call, json);
    }
    Ok(())
}

fn at_provider(kind: Option<Value<'_, '_>>) -> bool {
    kind.is_some_and(|kind| !kind.is_null())
}
