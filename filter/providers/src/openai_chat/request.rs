//! OpenAI Chat Completions, also from other providers.
//!
//! Tool outputs are the content of messages with the role `tool`.

use crate::context_edits;
use crate::reasoning;
use crate::retrieve_tool::{Listings, Naming};
use crate::tape::{NotUnderstood, Value};
use crate::walk::{Call, Role, Walk, each_text};

/// How those who speak this format are asked for reasoning: OpenAI, OpenRouter, DeepSeek and others, Qwen, vLLM, and
/// Gemini behind `extra_body`.
const ASKING: [&str; 9] = [
    "reasoning_effort",
    "reasoning",
    "include_reasoning",
    "thinking",
    "enable_thinking",
    "thinking_budget",
    "chat_template_kwargs",
    "extra_body",
    "google",
];

/// How it comes back in the model's messages, and in its calls.
const CARRYING: [&str; 7] = [
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "reasoning_opaque",
    "thinking_blocks",
    "extra_content",
    "provider_specific_fields",
];

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
    walk.may_reason = reasoning::asks(root, &ASKING);
    // OpenRouter's transforms take messages out of the middle, as does the plugin that came after them; vLLM cuts a
    // prompt from the left.
    walk.clears_outputs = context_edits::clear_outputs(management)?
        || context_edits::truncates(truncation)
        || transforms.is_some_and(|transforms| transforms.elements().next().is_some())
        || compresses(plugins)?
        || left.is_some_and(|tokens| !tokens.is_null());
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

/// Whether an active OpenRouter plugin removes messages from the conversation.
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
        walk.is_answered = true;
        walk.may_reason |= reasoning::asks(message, &CARRYING);
        Role::Assistant
    } else {
        Role::System
    };
    each_text(content, &["text"], |text| walk.reading(role, text))?;
    walk.end_of_user_message();
    for tool_call in tool_calls.into_iter().flat_map(Value::elements) {
        let [id, function, custom, caller] = tool_call.pick(["id", "function", "custom", "caller"])?;
        walk.may_reason |= reasoning::asks(tool_call, &CARRYING);
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
