//! Clients that run `headroom_retrieve` themselves, while headroomd is down: their MCP server answers with a
//! placeholder, and the filter replaces it with the original in every request.

use anyhow::{Context as _, Result, ensure};
use headroom_compress::address;
use headroom_compress::rounds::{PLACEHOLDER, RetrieveArguments, answer};
use headroom_e2e::Stack;
use headroom_e2e::agent::{Agent, Format};
use headroom_e2e::provider::{Plan, ToolCall};
use headroom_e2e::sidecar::Kind;
use serde_json::{Value, json};

use crate::reversible::{ROWS, reversible, rows};
use crate::stacks::{MODES, assert_no_trap};

/// The tool's name in clients that have it from an MCP server.
const TOOL: &str = "mcp__headroom__headroom_retrieve";

/// The results in a request, in order.
fn results(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|it| results(it, found)),
        Value::Object(members) => {
            let is_result = members.contains_key("tool_use_id")
                || members.contains_key("tool_call_id")
                || members.get("type").is_some_and(|kind| kind == "function_call_output");
            let text = members.get("content").or(members.get("output")).and_then(Value::as_str);
            match text.filter(|_| is_result) {
                Some(text) => found.push(text.to_owned()),
                None => members.values().for_each(|it| results(it, found)),
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn the_original_takes_the_place_of_the_placeholder_in_this_and_every_later_request() -> Result<()> {
    let original = rows(ROWS, 1);
    let hash = address(&original);
    let page =
        answer(&original, &RetrieveArguments { hash: hash.clone(), ..RetrieveArguments::default() }).text;
    let seen = format!("notes.md:3: {PLACEHOLDER}");
    let call = |name: &str, arguments| ToolCall { name: name.to_owned(), arguments };
    let calls = vec![
        call("list", json!({})),
        call(TOOL, json!({"hash": hash})),
        call("read_file", json!({"path": "notes.md"})),
        call(TOOL, json!({"hash": "0".repeat(24)})),
    ];
    let outputs = vec![original.clone(), PLACEHOLDER.to_owned(), seen.clone(), PLACEHOLDER.to_owned()];
    for mode in MODES {
        let stack = Stack::start(reversible(mode), Kind::Down).await?;
        for (format, stream) in [
            (Format::Messages, false),
            (Format::Messages, true),
            (Format::Chat, false),
            (Format::Responses, true),
        ] {
            let name = format!("placeholder {format:?} {stream}");
            stack.provider.follow(&name, Plan { calls: calls.clone(), parallel_every: 0, ..Plan::default() });
            let mut agent = Agent::new(format, &name, stream, outputs.clone());
            agent.settings.tools = ["list", "read_file", TOOL].map(str::to_owned).to_vec();
            agent.say(&format!("What does this mean? {PLACEHOLDER}"));
            agent.rounds(stack.envoy.listener(), 8).await?;
            agent.turn(stack.envoy.listener()).await?;
            let report = stack.provider.report(&name);
            ensure!(report.problems().is_empty(), "{name}: {:?}", report.problems());
            let requests = stack.provider.requests(&name);
            ensure!(requests.len() == 9, "{name}: {}", requests.len());
            for (number, request) in requests.iter().enumerate() {
                let body: Value = serde_json::from_slice(&request.body)?;
                let mut found = Vec::new();
                results(&body, &mut found);
                ensure!(found.len() == number, "{name} {number}: {} results", found.len());
                for (at, result) in found.iter().enumerate() {
                    let expected = match at % 4 {
                        0 => {
                            ensure!(*result != original, "{name}: the output has been left as it was");
                            continue;
                        }
                        // The tool has returned the same text before, and the engine refers to it.
                        2 if at > 4 => "[same output as read_file notes.md above]",
                        1 => page.as_str(),
                        2 => seen.as_str(),
                        _ => PLACEHOLDER,
                    };
                    ensure!(result == expected, "{name}, request {number}, result {at}: {result}");
                }
                let first = String::from_utf8_lossy(&request.body);
                let asked = first.find("What does this mean?").context("what the user said")?;
                ensure!(first[asked..].starts_with(&format!("What does this mean? {PLACEHOLDER}")), "{name}");
            }
        }
        assert_no_trap(&stack).await?;
    }
    Ok(())
}
