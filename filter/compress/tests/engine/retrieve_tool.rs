//! The tool `headroom_retrieve` in a request's tool list.

use headroom_compress::{Api, Config, Memo, Request, RetrieveTool, compress};

const TOOLS: [(Api, &str, &str); 4] = [
    (
        Api::AnthropicMessages,
        r#"{"messages":[{"role":"user","content":"hi"}],"tools":[{"name":"a","input_schema":{}} ]}"#,
        "input_schema",
    ),
    (
        Api::OpenAiChat,
        r#"{"tools":[{"type":"function","function":{"name":"a"}}],"messages":[{"role":"user","content":"hi"}]}"#,
        "function",
    ),
    (
        Api::OpenAiResponses,
        r#"{"store":false,"input":"hi","tools":[{"type":"function","name":"a"}]}"#,
        "parameters",
    ),
    (
        Api::GeminiGenerateContent,
        r#"{"contents":[{"parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"a"}]}]}"#,
        "parameters",
    ),
];

fn with_tool(api: Api, body: &str) -> (String, headroom_compress::Tokens, bool) {
    let request = Request { retrieve_tool: RetrieveTool::Add, ..Request::new(api) };
    let outcome = compress(body.as_bytes(), &request, &Config::default(), &mut Memo::new(1 << 20));
    let (tokens, added) = (outcome.tokens, outcome.added_tools.retrieve);
    (String::from_utf8(outcome.body.into_owned()).unwrap(), tokens, added)
}

#[test]
fn the_tool_is_added_first_and_every_other_byte_stays() {
    for (api, body, key) in TOOLS {
        let (with, tokens, added) = with_tool(api, body);
        assert!(added);
        serde_json::from_str::<serde_json::Value>(&with).unwrap();
        let start = with
            .find(r#"[{"name":"headroom_retrieve""#)
            .or(with.find(r#"[{"type":"function","function":{"name":"headroom"#));
        let start = start.or(with.find(r#"[{"type":"function","name":"headroom_retrieve""#)).unwrap() + 1;
        let definition = &with[start..start + with.len() - body.len()];
        assert!(definition.contains(key), "{definition}");
        assert_eq!(with.replacen(definition, "", 1), body);
        assert!(tokens.after > tokens.before && tokens.after - tokens.before <= 90, "{tokens:?}");
    }
}

/// A conversation with these tools, whose two outputs may be lossy, each after a call.
fn conversation(tools: &str) -> String {
    let output = |n: usize| {
        let rows: Vec<_> = (0..400)
            .map(|row| serde_json::json!({"id": 7919 * row + n, "name": format!("deployment-{row}"), "status": "ok"}))
            .collect();
        serde_json::to_string(&rows).unwrap()
    };
    let turn = |id: &str, n| {
        serde_json::json!([{"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "list", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": output(n)}]}])
    };
    let [first, second] = [turn("a", 1), turn("b", 2)].map(|it| it.to_string());
    let inner = |list: &str| list[1..list.len() - 1].to_owned();
    format!("{{\"messages\":[{},{}],\"tools\":{tools}}}", inner(&first), inner(&second))
}

/// Which of its outputs leave something out, and the forwarded messages.
fn left_out(body: &str, retrieve_tool: RetrieveTool) -> (Vec<bool>, String) {
    let request = Request { reversible: true, retrieve_tool, ..Request::new(Api::AnthropicMessages) };
    let outcome = compress(body.as_bytes(), &request, &Config::default(), &mut Memo::new(1 << 20));
    let left_out = outcome.blocks.iter().map(|block| block.left_out.is_some()).collect();
    let sent: serde_json::Value = serde_json::from_slice(&outcome.body).unwrap();
    (left_out, sent["messages"].to_string())
}

#[test]
fn a_last_request_without_tools_keeps_what_was_sent_and_leaves_out_no_more() {
    let (with, sent) = left_out(&conversation(r#"[{"name":"list"}]"#), RetrieveTool::Add);
    assert_eq!(with, [true, true]);
    let (without, last) = left_out(&conversation("[]"), RetrieveTool::Add);
    assert_eq!(without, [true, false]);
    let common = sent.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    assert!(common > sent.rfind("[{\"content\"").unwrap(), "the same up to the last result");
    assert_eq!(left_out(&conversation("[]"), RetrieveTool::Require).0, [false, false]);
}

#[test]
fn an_appended_tool_changes_nothing_in_front_of_it() {
    let tools = |list: &str| {
        let body = conversation(list);
        let request = Request { retrieve_tool: RetrieveTool::Add, ..Request::new(Api::AnthropicMessages) };
        let outcome = compress(body.as_bytes(), &request, &Config::default(), &mut Memo::new(1 << 20));
        let sent: serde_json::Value = serde_json::from_slice(&outcome.body).unwrap();
        sent["tools"].as_array().unwrap().clone()
    };
    let (one, two) = (tools(r#"[{"name":"list"}]"#), tools(r#"[{"name":"list"},{"name":"more"}]"#));
    assert_eq!((one.len(), &two[..2]), (2, one.as_slice()));
    assert_eq!(one[0]["name"], "headroom_retrieve");
}

#[test]
fn what_the_provider_keeps_is_never_left_out() {
    let body = conversation(r#"[{"name":"list"}]"#).replacen('{', r#"{"thread":{"type":"continue"},"#, 1);
    assert_eq!(left_out(&body, RetrieveTool::Add).0, [false, false]);
}

#[test]
fn a_request_without_tools_stays_as_it_is() {
    for (api, body, _) in TOOLS {
        let start = body.find("\"tools\"").unwrap();
        let bare = body.replace(&body[start..start + 9], "\"tools\":[],\"was\":[");
        assert_eq!(with_tool(api, &bare).0, bare);
    }
}

#[test]
fn a_client_that_lists_the_tool_keeps_its_own_definition() {
    for (api, body, _) in TOOLS {
        let listed = body.replace("\"a\"", "\"headroom_retrieve\"");
        let (with, _, added) = with_tool(api, &listed);
        assert_eq!((with, added), (listed, false));
    }
}

#[test]
fn several_answers_to_one_request_leave_no_one_to_answer_the_call() {
    let (api, body, _) = TOOLS[1];
    let several = body.replacen('{', "{\"n\":2,", 1);
    assert_eq!(with_tool(api, &several).0, several);
    let one = body.replacen('{', "{\"n\":1,", 1);
    assert!(with_tool(api, &one).2);
}

#[test]
fn a_format_whose_answers_are_not_followed_gets_no_tool_and_nothing_is_left_out() {
    let rows: Vec<_> = (0..400)
        .map(|n| serde_json::json!({"id": 7919 * n, "name": format!("deployment-{n}"), "status": "ok"}))
        .collect();
    let text = serde_json::to_string(&rows).unwrap();
    let bedrock = serde_json::json!({"toolConfig": {"tools": [{"toolSpec": {"name": "list"}}]}, "messages": [
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "list", "input": {}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": text}]}}]}]});
    let bedrock = bedrock.to_string();
    let listed =
        bedrock.replace(r#"{"toolSpec":{"name":"list"}}"#, r#"{"toolSpec":{"name":"headroom_retrieve"}}"#);
    let lossy = |body: &str, retrieve_tool| {
        let request = Request { reversible: true, retrieve_tool, ..Request::new(Api::BedrockConverse) };
        let outcome = compress(body.as_bytes(), &request, &Config::default(), &mut Memo::new(1 << 20));
        assert!(!outcome.added_tools.retrieve);
        assert!(outcome.body.len() < body.len());
        !outcome.originals.is_empty()
    };
    assert!(!lossy(&bedrock, RetrieveTool::Add));
    assert!(!lossy(&bedrock, RetrieveTool::Require));
    assert!(lossy(&bedrock, RetrieveTool::Assume));
    assert!(lossy(&listed, RetrieveTool::Add), "the client answers the calls of its own tool");
}

#[test]
fn each_replacement_is_found_behind_a_tool_that_was_added() {
    let body = conversation(r#"[{"name":"list"}]"#);
    let request = Request { retrieve_tool: RetrieveTool::Add, ..Request::new(Api::AnthropicMessages) };
    let outcome = compress(body.as_bytes(), &request, &Config::default(), &mut Memo::new(1 << 20));
    assert!(outcome.added_tools.retrieve && outcome.blocks.len() == 2);
    let sent = std::str::from_utf8(&outcome.body).unwrap();
    for (block, original) in outcome.blocks.iter().zip(&outcome.originals) {
        let text: String = serde_json::from_str(&sent[block.replaced.clone().unwrap()]).unwrap();
        assert!(text.contains(&*original.hash), "{text}");
    }
}
