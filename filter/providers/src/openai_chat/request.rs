//! OpenAI Chat Completions, and what speaks it.
//!
//! Tool outputs are the content of messages with the role `tool`.

use crate::context_edits;
use crate::reasoning;
use crate::retrieve_tool::{Listings, Naming};
use crate::tape::{NotUnderstood, Value};
use crate::walk::{Call, Role, Walk, each_text};

/// Parameters that ask for reasoning: OpenAI's, OpenRouter's, DeepSeek's, Qwen's, vLLM's.
const ASKS: [&str; 6] = [
    "reasoning_effort",
    "reasoning",
    "thinking",
    "enable_thinking",
    "include_reasoning",
    "chat_template_kwargs",
];
/// Members of the model's messages that hold thoughts, or what stands for them.
const THOUGHTS: [&str; 8] = [
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "reasoning_text",
    "reasoning_opaque",
    "thinking_blocks",
    "thought_signature",
    "signature",
];
/// The same of its calls.
const SIGNATURES: [&str; 3] = ["extra_content", "thought_signature", "signature"];

pub(crate) fn read<'b>(root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [model, stream, tools, messages, n, management, truncation, transforms, plugins, left] =
        root.pick([
            "model",
            "stream",
            "tools",
            "messages",
            "n",
            "context_management",
            "truncation",
            "transforms",
            "plugins",
            "truncate_prompt_tokens",
        ])?;
    walk.envelope(Naming::Function, model, stream, tools)?;
    // OpenRouter's transforms take messages out of the middle, as does the plugin that came after them; vLLM cuts a
    // prompt from the left.
    walk.clears_outputs = context_edits::clear_outputs(management)?
        || context_edits::truncates(truncation)
        || transforms.is_some_and(|transforms| transforms.elements().next().is_some())
        || compresses(plugins)?
        || left.is_some_and(|tokens| !tokens.is_null());
    walk.binds_reasoning = reasoning::asks(root, ASKS);
    // Several answers to one request cannot all be continued.
    if n.is_some_and(|n| n.raw() != "1" && !n.is_null()) {
        walk.own_tools = Listings::default();
    }
    let messages = messages.filter(|messages| messages.is_array()).ok_or(NotUnderstood)?;
    for message in messages.elements() {
        read_message(message, walk)?;
    }
    Ok(())
}

/// Whether one of OpenRouter's plugins, which is not switched off, takes messages out of the conversation.
fn compresses(plugins: Option<Value<'_, '_>>) -> Result<bool, NotUnderstood> {
    for plugin in plugins.into_iter().flat_map(Value::elements).filter(|plugin| plugin.is_object()) {
        let [id, enabled] = plugin.pick(["id", "enabled"])?;
        let off = enabled.is_some_and(|enabled| enabled.raw() == "false");
        if !off && id.and_then(Value::text).is_some_and(|id| id.contains("compression")) {
            return Ok(true);
        }
    }
    Ok(false)
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
    walk.binds_reasoning |= role == Role::Assistant && reasoning::carries(message, THOUGHTS);
    for tool_call in tool_calls.into_iter().flat_map(Value::elements) {
        walk.binds_reasoning |= reasoning::carries(tool_call, SIGNATURES);
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
