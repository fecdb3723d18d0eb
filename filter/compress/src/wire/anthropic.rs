//! Anthropic Messages.
//!
//! Tool outputs are the texts of `tool_result` blocks in user messages. A `tool_use` with a `caller`
//! other than `direct` was made by a program in the provider's container, and its result goes there.
//! `server_tool_use`, `mcp_tool_use` and their `…_tool_result` blocks are the provider's own.

use super::tape::Value;
use super::{Call, NotUnderstood, Role, Walk, each_text};

pub(crate) fn read<'b>(root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
    let [model, stream, tools, system, messages] =
        root.pick(["model", "stream", "tools", "system", "messages"])?;
    walk.envelope(model, stream, tools);
    each_text(system, &["text"], |text| walk.reading(Role::System, text))?;
    let messages = messages.filter(|messages| messages.is_array()).ok_or(NotUnderstood)?;
    for message in messages.elements() {
        let [role, content] = message.pick(["role", "content"])?;
        let (Some(role), Some(content)) = (role, content) else { continue };
        let role = if role.is("user") {
            Role::User
        } else if role.is("assistant") {
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
        walk.call(id, Call::new(name, input, caller)?);
    } else if kind.is("tool_result") && role == Role::User {
        let call = walk.call_of(tool_use_id);
        each_text(content, &["text"], |text| walk.output(call, text))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::wire::Api::AnthropicMessages;
    use crate::wire::Role;
    use crate::wire::tests::{outputs, readings, refused};

    #[test]
    fn results_are_found_as_strings_and_as_text_blocks() {
        let body = r#"{"messages":[
            {"role":"user","content":"Which pets?"},
            {"role":"assistant","content":[{"type":"tool_use","id":"a","name":"list","input":{ "kind": "dog" }},
                                           {"type":"tool_use","id":"b","name":"show","input":{}}]},
            {"content":[{"content":"Rex","tool_use_id":"a","type":"tool_result"},
                        {"type":"tool_result","tool_use_id":"b","is_error":true,"content":[
                            {"type":"text","text":"one","cache_control":{"type":"ephemeral"}},
                            {"type":"image","source":{"type":"base64","data":"AA","media_type":"image/png"}},
                            {"type":"search_result","source":"s","title":"t","content":[{"type":"text","text":"cited"}]},
                            {"type":"document","source":{"type":"text","data":"x","media_type":"text/plain"}},
                            {"type":"tool_reference","tool_name":"text"},
                            {"type":"text","text":"two"}]},
                        {"type":"tool_result","tool_use_id":"unknown","content":null},
                        {"type":"tool_result","tool_use_id":"unknown"},
                        {"type":"tool_result","tool_use_id":"unknown","content":"orphan"}],"role":"user"}]}"#;
        assert_eq!(
            outputs(AnthropicMessages, body),
            [
                r#"list {"kind":"dog"} after Which pets?: Rex"#,
                "show {} after Which pets?: one",
                "show {} after Which pets?: two",
                " after Which pets?: orphan",
            ]
        );
    }

    #[test]
    fn what_the_provider_runs_is_not_ours() {
        let body = r#"{"messages":[{"role":"assistant","content":[
            {"type":"server_tool_use","id":"s","name":"web_search","input":{}},
            {"type":"web_search_tool_result","tool_use_id":"s","content":[{"type":"text","text":"found"}]},
            {"type":"mcp_tool_result","tool_use_id":"s","content":[{"type":"text","text":"found"}]},
            {"type":"tool_result","tool_use_id":"s","content":"not a user's"},
            {"type":"thinking","thinking":"hm","signature":"x"},
            {"type":"redacted_thinking","data":"x"}]}]}"#;
        assert_eq!(outputs(AnthropicMessages, body), [""; 0]);
        assert_eq!(readings(AnthropicMessages, body), []);
    }

    #[test]
    fn the_result_of_a_call_by_a_program_is_marked() {
        let body = r#"{"messages":[{"role":"assistant","content":[
            {"type":"tool_use","id":"a","name":"q","input":1,"caller":{"type":"code_execution_20250825","tool_id":"s"}},
            {"type":"tool_use","id":"b","name":"q","input":2,"caller":{"type":"direct"}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"x"},
                                      {"type":"tool_result","tool_use_id":"b","content":"y"}]}]}"#;
        assert_eq!(outputs(AnthropicMessages, body), ["q 1 by program: x", "q 2: y"]);
    }

    #[test]
    fn everything_else_is_read_in_the_providers_order() {
        let body = r#"{"messages":[{"role":"user","content":"u"},{"role":"assistant","content":[
            {"type":"text","text":"a"},{"type":"tool_use","id":"i","name":"n","input":{"k": 1}}]},
            {"role":"system","content":[{"type":"text","text":"late"}]}],
            "system":[{"type":"text","text":"s"}],"tools":[ {"name":"n"} ],"model":"claude"}"#;
        let expected = [
            (Role::Tools, r#"[{"name":"n"}]"#),
            (Role::System, "s"),
            (Role::User, "u"),
            (Role::Assistant, "a"),
            (Role::Assistant, "n"),
            (Role::Assistant, r#"{"k":1}"#),
            (Role::System, "late"),
        ];
        assert_eq!(readings(AnthropicMessages, body), expected.map(|(role, text)| (role, text.to_owned())));
    }

    #[test]
    fn a_member_that_is_there_twice_is_not_understood() {
        for body in [
            r#"{"messages":[],"messages":[]}"#,
            r#"{"messages":[],"mess\u0061ges":[]}"#,
            r#"{"messages":[{"role":"user","content":"a","content":"b"}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","type":"text"}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":"","text":""}]}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","content":{"text":"x"}}]}]}"#,
            r#"{"messages":[{"role":"user","content":1}]}"#,
            r#"{"messages":["text"]}"#,
        ] {
            assert!(refused(AnthropicMessages, body), "{body}");
        }
    }

    #[test]
    fn keys_with_escapes_and_any_layout_are_read() {
        let body = "\n{\t\"m\\u0065ssages\" : [ {\"role\":\"\\u0075ser\",\"content\":[{\"t\\u0079pe\":\"tool_result\"\r\n,
            \"\\u0063ontent\"  :  \"\\u0052ex\" }]}]}  ";
        assert_eq!(outputs(AnthropicMessages, body), [": Rex"]);
    }

    #[test]
    fn a_lone_surrogate_makes_one_text_unreadable_and_no_more() {
        let body = r#"{"messages":[{"role":"user","content":[
            {"type":"tool_result","content":"\ud800"},{"type":"tool_result","content":"fine"}]}]}"#;
        assert_eq!(outputs(AnthropicMessages, body), [": no text", ": fine"]);
    }
}
