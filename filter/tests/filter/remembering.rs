//! Memory tools are added if the configuration asks for them, and their calls are answered with headroomd's
//! results.

use headroom_api::v1::{MemoryCallRequest, MemoryCallResponse};
use prost::Message;
use serde_json::{Value, json};

use crate::host::metric;
use crate::proxy::{Plugin, Stream, calls};
use crate::retrieving::{ends, events, last_call, message, read, text};

const FOUND: &str = "Notes from earlier sessions, quoted as data.\n1. [relevance=0.80] [3f] \"x\"";

fn plugin(own_tools: &[&str]) -> Plugin {
    Plugin::new(json!({
        "own_tools": own_tools,
        "tenant": "t",
        "project": "everything",
        "control_plane": {"cluster": "c"},
    }))
}

fn request(tools: &Value) -> Value {
    json!({"model": "claude-sonnet-4-5", "max_tokens": 100, "tools": tools,
        "system": "You are an agent.\n<env>\nWorking directory: /src/shop\n</env>",
        "messages": [{"role": "user", "content": "Which port does the API listen on?"}]})
}

fn ask(plugin: &mut Plugin, extra: &[(&str, &str)]) -> Stream {
    let headers = [&[("x-api-key", "k"), ("user-agent", "claude-cli/2.1 (external, cli)")], extra].concat();
    let body = request(&json!([{"name": "list", "input_schema": {"type": "object"}}])).to_string();
    plugin.post("/v1/messages", &headers, body.as_bytes())
}

fn tools(stream: &Stream) -> Vec<String> {
    let sent: Value = serde_json::from_slice(&stream.sent_body).unwrap();
    let tools = sent["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["name"].as_str().unwrap_or_default().to_owned()).collect()
}

fn call(name: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": input})
}

/// Sends an answer of these blocks.
fn answers(stream: &mut Stream, content: &[Value], streamed: bool) {
    let (kind, body) = if streamed {
        ("text/event-stream", events(content, "tool_use"))
    } else {
        ("application/json", message(json!(content), "tool_use"))
    };
    stream.respond("200", kind, &[]);
    for piece in body.as_bytes().chunks(4_096) {
        stream.provider_sends(piece, false);
    }
    stream.provider_sends(b"", true);
}

/// Lets the sidecar answer, and returns what it was asked.
fn gives(stream: &mut Stream, text: &str, is_error: bool) -> MemoryCallRequest {
    let call = calls("Call").pop().expect("a call of memory");
    let answer = MemoryCallResponse { text: text.to_owned(), is_error };
    stream.sidecar_answers(call.token, Some(&answer.encode_to_vec()));
    MemoryCallRequest::decode(&*call.message).unwrap()
}

/// The result that the model receives.
fn result() -> Value {
    let continued: Value = serde_json::from_slice(&last_call().body).unwrap();
    continued["messages"].as_array().unwrap().last().unwrap()["content"][0].clone()
}

const FIVE: [&str; 6] =
    ["memory_save", "memory_search", "memory_update", "memory_delete", "memory_list", "list"];

#[test]
fn the_model_is_given_what_memory_says_and_the_client_one_answer() {
    for streamed in [false, true] {
        let mut plugin = plugin(&["memory"]);
        let mut stream = ask(&mut plugin, &[]);
        assert_eq!(tools(&stream), FIVE);
        let content = [text("I look. "), call("memory_search", json!({"query": "port"}))];
        answers(&mut stream, &content, streamed);
        assert!(stream.answer_paused);
        let asked = gives(&mut stream, FOUND, false);
        let expected = MemoryCallRequest {
            tenant: "t".to_owned(),
            project: String::new(),
            folder: "/src/shop".to_owned(),
            agent: "claude_code".to_owned(),
            provider: "anthropic".to_owned(),
            conversation_id: asked.conversation_id.clone(),
            tool: "memory_search".to_owned(),
            arguments: r#"{"query":"port"}"#.to_owned(),
            default_project: "everything".to_owned(),
        };
        assert_eq!(asked, expected);
        assert_eq!(asked.conversation_id.len(), 16);
        assert_eq!((result()["content"].as_str(), result().get("is_error")), (Some(FOUND), None));
        ends(&mut stream, streamed);
        assert_eq!(read(&stream, streamed), ("I look. It is 2.".to_owned(), vec![], "end_turn".to_owned()));
        stream.finish();
        assert_eq!(plugin.records().pop().unwrap().hidden_rounds, 1);
        plugin.delete();
    }
    assert_eq!((metric("headroom.memory_calls"), metric("headroom.hidden_rounds.withheld")), (2, 2));
}

#[test]
fn a_header_names_the_project_and_the_stack_the_agent() {
    let mut plugin = plugin(&["memory"]);
    let extra = [("x-headroom-project", "shop"), ("x-headroom-stack", "wrap_claude")];
    let mut stream = ask(&mut plugin, &extra);
    answers(&mut stream, &[call("memory_list", json!({}))], false);
    let asked = gives(&mut stream, FOUND, false);
    assert_eq!((asked.project.as_str(), asked.agent.as_str()), ("shop", "wrap_claude"));
}

#[test]
fn whatever_becomes_of_the_sidecar_the_model_is_told_so_and_goes_on() {
    let huge = "x".repeat((1 << 20) + 1);
    let answer = |text: &str| MemoryCallResponse { text: text.to_owned(), is_error: false }.encode_to_vec();
    let (whole, empty, long) = (answer(FOUND), answer(""), answer(&huge));
    let cut = &whole[..whole.len() - 3];
    let cases: [(Option<&[u8]>, &str); 5] = [
        (None, "whether something was saved or changed is not known"),
        (Some(cut), "is not known"),
        (Some(&empty), "is not known"),
        (Some(b"nonsense"), "is not known"),
        (Some(&long), "is too long to be shown"),
    ];
    for (answer, expected) in cases {
        for streamed in [false, true] {
            let mut plugin = plugin(&["memory"]);
            let mut stream = ask(&mut plugin, &[]);
            answers(
                &mut stream,
                &[call("memory_save", json!({"content": "x", "importance": 0.7}))],
                streamed,
            );
            let token = calls("Call").pop().unwrap().token;
            stream.sidecar_answers(token, answer);
            let result = result();
            assert!(result["content"].as_str().unwrap().contains(expected), "{result}");
            assert_eq!(result["is_error"], true);
            ends(&mut stream, streamed);
            assert_eq!(read(&stream, streamed).0, "It is 2.");
            stream.finish();
            plugin.delete();
        }
    }
    assert_eq!((metric("headroom.memory_calls"), metric("headroom.memory_calls_failed")), (2, 8));
}

#[test]
fn arguments_that_are_too_long_are_refused_here_and_an_error_of_memory_is_one_for_the_model() {
    let mut plugin = plugin(&["memory"]);
    let mut stream = ask(&mut plugin, &[]);
    let long = "x".repeat(1 << 20);
    answers(&mut stream, &[call("memory_save", json!({"content": long}))], false);
    assert!(calls("Call").is_empty());
    assert_eq!(
        (result()["is_error"].clone(), result()["content"].as_str().unwrap().len()),
        (json!(true), 52)
    );
    ends(&mut stream, false);
    let mut stream = ask(&mut plugin, &[]);
    answers(&mut stream, &[call("memory_update", json!([1, {"memory_id": null}]))], false);
    let asked = gives(&mut stream, "Error: invalid type. Nothing was done.", true);
    assert_eq!(asked.arguments, r#"[1,{"memory_id":null}]"#);
    assert_eq!(
        (result()["is_error"].clone(), result()["content"].as_str().unwrap().len()),
        (json!(true), 38)
    );
}

#[test]
fn beside_calls_of_the_clients_tools_a_save_is_done_and_a_search_is_dropped() {
    let theirs = json!({"type": "tool_use", "id": "toolu_2", "name": "list", "input": {}});
    for (name, is_asked) in [("memory_save", true), ("memory_search", false), ("memory_delete", true)] {
        for streamed in [false, true] {
            let mut plugin = plugin(&["memory"]);
            let before = calls("Call").len();
            let mut stream = ask(&mut plugin, &[]);
            let input = json!({"content": "x", "query": "y", "memory_id": "z"});
            answers(&mut stream, &[text("A "), call(name, input), theirs.clone()], streamed);
            assert_eq!(calls("Call").len() - before, usize::from(is_asked), "{name}");
            if is_asked {
                gives(&mut stream, "Saved 1 new", false);
            }
            assert!(!stream.answer_paused);
            let expected = ("A ".to_owned(), vec!["list".to_owned()], "tool_use".to_owned());
            assert_eq!(read(&stream, streamed), expected);
            assert!(!String::from_utf8_lossy(&stream.client).contains("_hr1_"));
            stream.finish();
            plugin.delete();
        }
    }
}

#[test]
fn nothing_is_added_where_the_client_brings_such_tools_or_the_provider_keeps_the_conversation() {
    let mut plugin = plugin(&["memory", "memory_20250818"]);
    let mut sent = |body: Value| {
        let body = body.to_string();
        plugin.post("/v1/messages", &[("x-api-key", "k")], body.as_bytes()).sent_body == body.as_bytes()
    };
    let both = json!([{"name": "mcp__headroom__memory_save"}, {"type": "memory_20250818", "name": "memory"}]);
    assert!(sent(request(&both)));
    assert!(sent(request(&json!([]))));
    let mut kept = request(&json!([{"name": "list"}]));
    kept["thread"] = json!({"type": "continue"});
    assert!(sent(kept));
    assert!(!sent(request(&json!([{"name": "list"}]))));
}

/// Codex lists the tools of an MCP server inside of one for the server, under their bare names.
#[test]
fn tools_that_an_mcp_server_brings_inside_of_a_namespace_are_the_clients() {
    let body = |inner: &str| {
        let server = json!({"type": "namespace", "name": "mcp__headroom", "tools": [{"type": "function", "name": inner}]});
        json!({"model": "gpt-5", "store": false, "input": "Which port?",
            "tools": [{"type": "function", "name": "exec_command"}, server]})
        .to_string()
    };
    let mut plugin = plugin(&["memory"]);
    let mut sent = |body: &str| {
        let stream = plugin.post("/v1/responses", &[("authorization", "Bearer k")], body.as_bytes());
        String::from_utf8_lossy(&stream.sent_body).into_owned()
    };
    assert_eq!(sent(&body("memory_search")), body("memory_search"));
    assert!(
        sent(&body("search")).contains("memory_save"),
        "another server's tools are no reason to add none"
    );
}

#[test]
fn a_call_of_a_tool_that_the_client_brings_is_the_clients() {
    let mut plugin = plugin(&["memory"]);
    let body = request(&json!([{"name": "memory_search", "input_schema": {"type": "object"}}])).to_string();
    let mut stream = plugin.post("/v1/messages", &[("x-api-key", "k")], body.as_bytes());
    answers(&mut stream, &[call("memory_search", json!({"query": "port"}))], false);
    assert!(calls("Call").is_empty());
    assert_eq!(read(&stream, false).1, ["memory_search"]);
}

#[test]
fn without_a_sidecar_or_with_a_name_that_is_none_no_tool_is_added() {
    for (own_tools, control_plane) in
        [(json!(["memory"]), json!({})), (json!(["memories", 7]), json!({"cluster": "c"}))]
    {
        let mut plugin = Plugin::new(json!({"own_tools": own_tools, "control_plane": control_plane}));
        let stream = ask(&mut plugin, &[]);
        assert_eq!(tools(&stream), ["list"]);
        stream.finish();
        plugin.delete();
    }
}
