//! Request bodies, and the engine's results for them without Envoy.

use headroom_compress::{Api, Config, Memo, Request, compress};
use serde_json::{Value, json};

use crate::stacks::MAX_BODY_BYTES;

/// A tool output that the engine can shorten without losing anything.
pub(crate) fn pretty_pets(count: usize) -> String {
    let pets: Vec<Value> = (0..count)
        .map(|n| json!({"id": 1000 + n, "name": format!("Rex {n}"), "kind": "dog", "vaccinated": n % 3 == 0}))
        .collect();
    serde_json::to_string_pretty(&pets).expect("plain data")
}

/// An Anthropic request around one tool output. Spacing, escapes and number spelling are unusual on
/// purpose: everything except the output must arrive unchanged.
pub(crate) fn anthropic(output: &str) -> Vec<u8> {
    format!(
        r#"{{ "model":"claude-sonnet-4-5","max_tokens" : 1.024e3,
  "system":[{{"type":"text","text":"Be br\u0069ef.","cache_control":{{"type":"ephemeral"}}}}],
	"messages":[
  {{"role":"user","content":"List the pets \ud83d\udc36 \/ please"}},
  {{"role":"assistant","content":[{{"type":"tool_use","id":"toolu_1","name":"list_pets","input":{{ "limit":  10 }}}}]}},
  {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"toolu_1","content":{},"is_error":false}}]}}]  }}
"#,
        Value::from(output)
    )
    .into_bytes()
}

/// An OpenAI Chat request around one tool output.
pub(crate) fn chat(output: &str) -> Vec<u8> {
    format!(
        r#"{{"model": "gpt-4.1", "temperature": 0.70, "messages": [{{"role": "user", "content": "List the p\u0065ts"}},
{{"role": "assistant", "content": null, "tool_calls": [{{"id": "call_1", "type": "function", "function": {{"name": "list_pets", "arguments": "{{ }}"}}}}]}},
{{"role": "tool", "tool_call_id": "call_1", "content": {}}}]}}"#,
        Value::from(output)
    )
    .into_bytes()
}

/// What the engine forwards for a body, with the configuration of the shared stacks.
pub(crate) fn compressed(api: Api, body: &[u8]) -> Vec<u8> {
    let config = Config { max_body_bytes: MAX_BODY_BYTES, ..Config::default() };
    compress(body, &Request::new(api), &config, &mut Memo::new(16 << 20)).body.into_owned()
}

/// The same, for tests of a body that gets shorter.
pub(crate) fn shortened(api: Api, body: &[u8]) -> Vec<u8> {
    let result = compressed(api, body);
    assert!(result.len() < body.len(), "the engine shortens this body");
    result
}
