//! The memory tools in a request's tool list.

use headroom_compress::{Api, Config, Memo, MemoryTools, Outcome, OwnTools, Request, RetrieveTool, compress};
use serde_json::{Value, json};

const BOTH: MemoryTools = MemoryTools { facts: true, files: true };
const NAMES: [&str; 5] = ["memory_save", "memory_search", "memory_update", "memory_delete", "memory_list"];

fn run(api: Api, body: &str, retrieve_tool: RetrieveTool, memory_tools: MemoryTools) -> Outcome<'_> {
    let request = Request { retrieve_tool, memory_tools, ..Request::new(api) };
    compress(body.as_bytes(), &request, &Config::default(), &mut Memo::new(1 << 20))
}

/// A request with these tools of the client.
fn body(api: Api, names: &[&str]) -> String {
    let tool = |name: &&str| match api {
        Api::OpenAiChat => json!({"type": "function", "function": {"name": name}}),
        Api::OpenAiResponses => json!({"type": "function", "name": name}),
        _ => json!({"name": name}),
    };
    let tools: Vec<Value> = names.iter().map(tool).collect();
    let message = json!([{"role": "user", "content": "hi"}]);
    match api {
        Api::OpenAiResponses => json!({"store": false, "input": "hi", "tools": tools}),
        Api::GeminiGenerateContent => {
            json!({"contents": [{"parts": [{"text": "hi"}]}], "tools": [{"functionDeclarations": tools}]})
        }
        Api::GeminiCodeAssist => json!({"request": {"contents": [{"parts": [{"text": "hi"}]}],
            "tools": [{"functionDeclarations": tools}]}}),
        Api::BedrockConverse => {
            json!({"toolConfig": {"tools": [{"toolSpec": {"name": "a"}}]}, "messages": []})
        }
        _ => json!({"messages": message, "tools": tools}),
    }
    .to_string()
}

/// The names in a tool list, in order.
fn listed(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let body = body.get("request").unwrap_or(&body);
    let tools = body["tools"][0].get("functionDeclarations").unwrap_or(&body["tools"]);
    let name = |tool: &Value| tool.get("function").unwrap_or(tool)["name"].as_str().unwrap().to_owned();
    tools.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn they_stand_at_the_head_and_every_other_byte_stays() {
    for api in Api::ALL {
        let body = body(api, &["a", "b"]);
        for retrieve_tool in [RetrieveTool::Assume, RetrieveTool::Add] {
            let outcome = run(api, &body, retrieve_tool, BOTH);
            if !api.takes_own_tools() {
                assert_eq!((&*outcome.body, outcome.added_tools), (body.as_bytes(), OwnTools::default()));
                continue;
            }
            let (retrieve, files) = (retrieve_tool == RetrieveTool::Add, api == Api::AnthropicMessages);
            let memory = MemoryTools { facts: true, files };
            assert_eq!(outcome.added_tools, OwnTools { retrieve, memory }, "{api:?}");
            let expected: Vec<&str> = retrieve
                .then_some("headroom_retrieve")
                .into_iter()
                .chain(NAMES)
                .chain(files.then_some("memory"))
                .chain(["a", "b"])
                .collect();
            assert_eq!(listed(&outcome.body), expected, "{api:?}");
            let sent = String::from_utf8(outcome.body.to_vec()).unwrap();
            let start = sent.bytes().zip(body.bytes()).take_while(|(one, other)| one == other).count();
            let end = sent.len() - (body.len() - start);
            assert_eq!(sent[end..], body[start..], "{api:?}");
            assert!(outcome.tokens.after > outcome.tokens.before);
        }
    }
}

#[test]
fn the_five_cost_at_most_six_hundred_tokens() {
    let body = body(Api::OpenAiChat, &["a"]).replacen('{', r#"{"model":"gpt-4.1","#, 1);
    let facts = MemoryTools { facts: true, files: false };
    let tokens = run(Api::OpenAiChat, &body, RetrieveTool::Assume, facts).tokens;
    let cost = tokens.after - tokens.before;
    assert!((300..=600).contains(&cost), "{cost}");
}

#[test]
fn a_client_that_brings_one_of_a_kind_gets_none_of_it() {
    for api in Api::ALL.into_iter().filter(|api| api.takes_own_tools()) {
        for name in
            ["memory_search", "mcp__headroom__memory_save", "headroom_memory_list", "mcp_x_memory_update"]
        {
            let body = body(api, &["a", name]);
            let added = run(api, &body, RetrieveTool::Add, BOTH).added_tools;
            assert!(added.retrieve && !added.memory.facts, "{api:?} {name}");
        }
        for name in ["my_memory_search", "memory_searches", "search"] {
            let body = body(api, &["a", name]);
            assert!(run(api, &body, RetrieveTool::Add, BOTH).added_tools.memory.facts, "{api:?} {name}");
        }
    }
    let declared = r#"{"messages":[],"tools":[{"type":"memory_20250818","name":"memory"}]}"#;
    let added = run(Api::AnthropicMessages, declared, RetrieveTool::Assume, BOTH).added_tools;
    assert_eq!(added.memory, MemoryTools { facts: true, files: false });
}

#[test]
fn nothing_is_added_without_a_list_or_where_the_provider_keeps_the_conversation() {
    for (api, body) in [
        (Api::AnthropicMessages, r#"{"messages":[{"role":"user","content":"hi"}]}"#),
        (Api::AnthropicMessages, r#"{"messages":[],"tools":[]}"#),
        (Api::AnthropicMessages, r#"{"messages":[],"tools":[7]}"#),
        (Api::OpenAiChat, r#"{"n":2,"messages":[],"tools":[{"type":"function","function":{"name":"a"}}]}"#),
        (Api::OpenAiResponses, r#"{"input":"hi","tools":[{"type":"function","name":"a"}]}"#),
        (
            Api::OpenAiResponses,
            r#"{"store":false,"previous_response_id":"r","input":"hi","tools":[{"type":"function","name":"a"}]}"#,
        ),
    ] {
        let outcome = run(api, body, RetrieveTool::Add, BOTH);
        assert_eq!((&*outcome.body, outcome.added_tools), (body.as_bytes(), OwnTools::default()), "{body}");
    }
}

#[test]
fn the_folder_is_read_only_where_somebody_wants_to_know_it() {
    let body =
        json!({"system": "Working directory: /src/shop", "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"name": "a"}]})
        .to_string();
    let folder = |memory| run(Api::AnthropicMessages, &body, RetrieveTool::Add, memory).working_directory;
    assert_eq!((folder(BOTH).as_deref(), folder(MemoryTools::NONE)), (Some("/src/shop"), None));
}
