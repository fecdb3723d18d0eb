//! OpenAI Responses.
//!
//! Tool outputs are the `output` of `function_call_output`, `custom_tool_call_output` and
//! `local_shell_call_output` items, which the client makes, and `stdout` and `stderr` of `shell_call_output`
//! items if the call did not run in a container of the provider. `apply_patch_call_output` is a status line
//! for the provider. Items that hold both a call and its result (`mcp_call`, `web_search_call`, …) ran at the
//! provider.

use crate::context_edits;
use crate::reasoning;
use crate::retrieve_tool::Naming;
use crate::sort;
use crate::tape::{NotUnderstood, Value};
use crate::walk::{Call, Role, Walk, each_text};

/// The types of text parts, in messages and in outputs.
const TEXTS: [&str; 3] = ["input_text", "output_text", "text"];

/// Items that replace everything before them. Codex has written the later two.
const COMPACTIONS: [&str; 3] = ["compaction", "compaction_summary", "context_compaction"];

pub(crate) fn read<'b>(root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [model, stream, tools, instructions, input, previous, conversation, store, management, truncation] =
        root.pick([
            "model",
            "stream",
            "tools",
            "instructions",
            "input",
            "previous_response_id",
            "conversation",
            "store",
            "context_management",
            "truncation",
        ])?;
    // A response is stored unless the request switches that off.
    walk.kept_by_provider = [previous, conversation].into_iter().flatten().any(|id| !id.is_null())
        || store.is_none_or(|store| store.raw() != "false");
    walk.envelope(Naming::Name, model, stream, tools)?;
    walk.may_reason = reasoning::asks(root, &["reasoning"]) || reasoning::includes_encrypted(root);
    walk.clears_outputs = context_edits::clear_outputs(management)? || context_edits::truncates(truncation);
    each_text(instructions, &TEXTS, |text| walk.reading(Role::System, text))?;
    let input = input.ok_or(NotUnderstood)?;
    if input.is_string() {
        walk.reading(Role::User, input);
        walk.end_of_user_message();
    } else if !input.is_array() {
        return Err(NotUnderstood);
    }
    for item in input.elements() {
        read_item(item, walk)?;
    }
    let [prompt] = root.pick(["prompt"])?;
    if prompt.is_some_and(|prompt| !prompt.is_null()) {
        // A stored prompt may bring tools that the request does not list, and messages that stand before its own.
        walk.called = 0;
        walk.may_reason = true;
    }
    Ok(())
}

fn read_item<'b>(item: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [kind, role, content, call_id, name, arguments, input, action, caller, environment, output] = item
        .pick([
            "type",
            "role",
            "content",
            "call_id",
            "name",
            "arguments",
            "input",
            "action",
            "caller",
            "environment",
            "output",
        ])?;
    let is = |expected| kind.is_some_and(|kind: Value<'_, '_>| kind.is(expected));
    if is("message") || (kind.is_none() && role.is_some()) {
        let role = match role {
            Some(role) if role.is("user") => Role::User,
            Some(role) if role.is("assistant") => Role::Assistant,
            _ => Role::System,
        };
        walk.is_answered |= role == Role::Assistant;
        each_text(content, &TEXTS, |text| walk.reading(role, text))?;
        walk.end_of_user_message();
        return Ok(());
    }
    // Everything else is the model's, an answer to it, or stands for both.
    walk.is_answered = true;
    if is("reasoning") {
        (walk.carries_thinking, walk.may_reason) = (true, true);
    } else if is("function_call") {
        walk.call(call_id, Call::new(name, arguments, caller)?);
    } else if is("custom_tool_call") {
        walk.call(call_id, Call::new(name, input, caller)?);
    } else if is("local_shell_call") || is("shell_call") && is_local(environment)? {
        // This tool has no name but the item's type.
        walk.call(call_id, Call::new(kind, action, caller)?);
    } else if is("function_call_output") || is("custom_tool_call_output") || is("local_shell_call_output") {
        let call = walk.call_of(call_id);
        each_text(output, &TEXTS, |text| walk.output(call, text))?;
    } else if COMPACTIONS.iter().any(|name| is(name)) {
        walk.may_reason |= reasoning::asks(item, &["encrypted_content"]);
        walk.compaction(item);
    } else if is("shell_call_output")
        && is_local(environment)?
        && let Some(call) = walk.call_of(call_id)
    {
        // One element for each command.
        for command in output.into_iter().flat_map(Value::elements).filter(|value| value.is_object()) {
            let mut streams = command.pick(["stdout", "stderr"])?.into_iter().flatten().collect::<Vec<_>>();
            streams.retain(|stream| stream.is_string());
            sort::by_key(&mut streams, |stream| stream.span().range().start);
            streams.into_iter().for_each(|stream| walk.output(Some(call), stream));
        }
    }
    Ok(())
}

/// Whether a shell call runs at the client: its environment says so, or is not given.
fn is_local(environment: Option<Value<'_, '_>>) -> Result<bool, NotUnderstood> {
    match environment {
        Some(environment) if environment.is_object() => {
            let [kind] = environment.pick(["type"])?;
            Ok(kind.is_some_and(|kind| kind.is("local")))
        }
        Some(environment) => Ok(environment.is_null()),
        None => Ok(true),
    }
}
