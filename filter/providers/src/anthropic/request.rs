//! Anthropic Messages.
//!
//! Tool outputs are the texts of `tool_result` blocks in user messages. A `tool_use` with a `caller` other
//! than `direct` was made by a program in the provider's container, and that program reads the result.
//! `server_tool_use`, `mcp_tool_use` and their `…_tool_result` blocks belong to the provider.

use crate::context_edits;
use crate::format::Part;
use crate::reasoning;
use crate::retrieve_tool::Naming;
use crate::tape::{NotUnderstood, Value};
use crate::walk::{Call, Role, Walk, each_text};

pub(crate) fn read<'b>(root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [model, stream, tools, system, messages, thread, management] =
        root.pick(["model", "stream", "tools", "system", "messages", "thread", "context_management"])?;
    walk.kept_by_provider = thread.is_some_and(|thread| !thread.is_null());
    walk.envelope(Naming::Name, model, stream, tools)?;
    walk.may_reason = reasoning::asks(root, &["thinking"]);
    walk.clears_outputs = context_edits::clear_outputs(management)?;
    each_text(system, &["text"], |text| walk.reading(Role::System, text))?;
    let messages = messages.filter(|messages| messages.is_array()).ok_or(NotUnderstood)?;
    for message in messages.elements() {
        let [role, content] = message.pick(["role", "content"])?;
        let (Some(role), Some(content)) = (role, content) else { continue };
        let role = if role.is("user") {
            Role::User
        } else if role.is("assistant") {
            walk.is_answered = true;
            Role::Assistant
        } else {
            Role::System
        };
        if content.is_array() {
            for block in content.elements() {
                read_block(block, role, walk)?;
            }
        } else {
            each_text(Some(content), &[], |text| walk.reading(role, text))?;
        }
        walk.end_of_user_message();
    }
    Ok(())
}

/// What a member of a body holds.
pub(crate) fn part(key: &[u8]) -> Part {
    match key {
        b"system" => Part::System,
        b"tools" => Part::Tools,
        b"messages" => Part::Messages,
        _ => Part::Other,
    }
}

fn read_block<'b>(block: Value<'_, 'b>, role: Role, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    if !block.is_object() {
        return Ok(());
    }
    let [kind, text, id, name, input, caller, tool_use_id, content] =
        block.pick(["type", "text", "id", "name", "input", "caller", "tool_use_id", "content"])?;
    let Some(kind) = kind else { return Ok(()) };
    if kind.is("text") {
        if let Some(text) = text.filter(|text| text.is_string()) {
            walk.reading(role, text);
        }
    } else if kind.is("tool_use") {
        walk.may_reason |= reasoning::asks(block, &["signature", "thought_signature"]);
        walk.call(id, Call::new(name, input, caller)?);
    } else if kind.is("thinking") || kind.is("redacted_thinking") {
        (walk.carries_thinking, walk.may_reason) = (true, true);
    } else if kind.is("tool_result") && role == Role::User {
        let call = walk.call_of(tool_use_id);
        each_text(content, &["text"], |text| walk.output(call, text))?;
    } else if kind.is("compaction") {
        walk.compaction(block);
    }
    Ok(())
}
