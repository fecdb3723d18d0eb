//! Tools of memory that the filter adds: one agent's model finds what another's has saved, in every format; no
//! prefix ever changes; and without headroomd the model gets an error.

use anyhow::{Context as _, Result, ensure};
use headroom_compress::Api;
use headroom_e2e::Stack;
use headroom_e2e::agent::Format;
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::envoy::Options;
use headroom_e2e::proof::{Conversations, Event, Row, hold};
use headroom_e2e::provider::{SCRIPT_HEADER, Script, ToolCall};
use headroom_e2e::sidecar::{Kind, Sidecar};
use serde_json::{Value, json};

use crate::reversible::{APIS, body, path, reversible};
use crate::stacks::{Mode, assert_no_trap};

const FACT: &str = "The API server listens on port 8787";

fn options(own_tools: &Value) -> Options {
    let mut options = reversible(Mode::Strip);
    let plugin = options.filter.as_mut().expect("the filter is on");
    plugin["own_tools"] = own_tools.clone();
    plugin["control_plane"]["timeout_ms"] = 60_000.into();
    options
}

fn call(name: &str, arguments: Value) -> ToolCall {
    ToolCall { name: name.to_owned(), arguments }
}

fn says(text: &str) -> Script {
    Script { text: Some(text.to_owned()), ..Script::default() }
}

/// The answer of a model that calls this tool first, and the tool's result.
async fn asks(stack: &Stack, name: &str, api: Api, stream: bool, call: ToolCall) -> Result<(String, String)> {
    let script = Script {
        tool_call: Some(call),
        piece_bytes: Some(41),
        then: vec![says("Noted all of it.")],
        ..says("Wait.")
    };
    let call = Call::post(&path(api, stream), body(api, stream, &["short".to_owned()]))
        .header("authorization", "Bearer sk-ant-s3cret")
        .header("user-agent", "some-agent/1.0")
        .header("x-headroom-user-id", "ada")
        .header("x-headroom-project", "shop")
        .header(SCRIPT_HEADER, &script.header());
    let (answer, requests) = stack.exchange(name, Protocol::Http1, call).await?;
    ensure!(answer.status == 200 && requests.len() == 2, "{name}: {} {}", answer.status, answer.text());
    let text = answer.text();
    ensure!(text.contains("Noted") && !text.contains("memory_"), "{name}: {text}");
    Ok((text, String::from_utf8(requests[1].body.to_vec())?))
}

/// What headroomd lists for a user and a project.
async fn facts(sidecar: &Sidecar, user: &str, project: &str) -> Result<Vec<Value>> {
    let asked = json!({"project": project, "limit": 100}).to_string();
    let call = Call::post("/v1/memory/list", asked).header("x-headroom-user-id", user);
    let answer = Connection::open(sidecar.http(), Protocol::Http1).await?.send(call).await?;
    let listed: Value = serde_json::from_str(&answer.text()).context(answer.text())?;
    Ok(listed["facts"].as_array().cloned().unwrap_or_default())
}

#[tokio::test]
async fn what_a_model_saves_in_one_format_a_model_finds_in_every_other() -> Result<()> {
    let stack = Stack::start(options(&json!(["memory"])), Kind::Real).await?;
    for (number, api) in APIS.into_iter().enumerate() {
        for stream in [false, true] {
            let name = format!("saves {api:?} {stream}");
            let fact =
                format!("{FACT}, says number {number} in a {}", if stream { "stream" } else { "document" });
            let save = call("memory_save", json!({"content": fact, "importance": 0.8}));
            let (_, given) = asks(&stack, &name, api, stream, save).await?;
            assert!(given.contains("Saved 1 new"), "{name}: {given}");
        }
    }
    for api in APIS {
        for stream in [false, true] {
            let name = format!("finds {api:?} {stream}");
            let search = call("memory_search", json!({"query": "which port does the server listen on?"}));
            let (_, given) = asks(&stack, &name, api, stream, search).await?;
            for number in 0..APIS.len() {
                assert!(given.contains(&format!("{FACT}, says number {number}")), "{name}: {given}");
            }
        }
    }
    let kept = facts(&stack.sidecar, "ada", "shop").await?;
    assert_eq!(kept.len(), 2 * APIS.len(), "{kept:?}");
    for fact in &kept {
        assert_eq!((&fact["created_via"], &fact["source_agent"]), (&json!("filter"), &json!("some-agent")));
        let provider = fact["source_provider"].as_str().unwrap_or_default();
        assert!(["anthropic", "openai", "gemini"].contains(&provider), "{fact}");
        assert_eq!(fact["conversation"].as_str().map(str::len), Some(16), "{fact}");
    }
    assert!(facts(&stack.sidecar, "ada", "other").await?.is_empty(), "another project");
    assert!(facts(&stack.sidecar, "bob", "shop").await?.is_empty(), "another tenant");
    assert!(stack.envoy.stat("wasmcustom.headroom.memory_calls").await? >= 16);
    assert_no_trap(&stack).await
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_an_error_that_the_model_reads() -> Result<()> {
    let stack = Stack::start(options(&json!(["memory"])), Kind::Real).await?;
    for api in APIS {
        for (tool, arguments) in [
            ("memory_save", json!({"content": 7})),
            ("memory_save", json!({})),
            ("memory_update", json!({"memory_id": "none", "new_content": "x"})),
            ("memory_search", json!({"query": ["x"]})),
            ("memory_save", json!({"content": "x".repeat(9_000), "importance": 0.5})),
        ] {
            let name = format!("senseless {api:?} {tool} {}", arguments.to_string().len());
            let (_, given) = asks(&stack, &name, api, true, call(tool, arguments)).await?;
            assert!(given.contains("Error: ") && given.contains("Nothing was done"), "{name}: {given}");
        }
    }
    assert!(facts(&stack.sidecar, "ada", "shop").await?.is_empty());
    assert_no_trap(&stack).await
}

#[tokio::test]
async fn a_file_that_anthropics_tool_creates_is_a_fact_and_only_anthropics_requests_get_it() -> Result<()> {
    let stack = Stack::start(options(&json!(["memory_20250818"])), Kind::Real).await?;
    let path = "/memories/ports.md";
    for stream in [false, true] {
        let api = Api::AnthropicMessages;
        let create = json!({"command": "create", "path": path, "file_text": FACT});
        let (_, given) =
            asks(&stack, &format!("creates {stream}"), api, stream, call("memory", create)).await?;
        let expected =
            if stream { "already exists" } else { "File created successfully at: /memories/ports.md" };
        assert!(
            given.contains(expected) && given.contains(r#"{"type":"memory_20250818","name":"memory"}"#),
            "{given}"
        );
        let view = json!({"command": "view", "path": path});
        let (_, given) = asks(&stack, &format!("views {stream}"), api, stream, call("memory", view)).await?;
        assert!(given.contains(&format!("1\\t{FACT}")), "{given}");
    }
    let kept = facts(&stack.sidecar, "ada", "shop").await?;
    assert_eq!((kept.len(), &kept[0]["content"]), (1, &json!(FACT)), "{kept:?}");
    for api in APIS.into_iter().filter(|api| *api != Api::AnthropicMessages) {
        let name = format!("none {api:?}");
        let call = Call::post(&crate::reversible::path(api, false), body(api, false, &["short".to_owned()]));
        let (_, requests) = stack.exchange(&name, Protocol::Http1, call).await?;
        assert!(!String::from_utf8_lossy(&requests[0].body).contains("memory"), "{name}");
    }
    assert_no_trap(&stack).await
}

#[tokio::test]
async fn without_headroomd_the_model_is_told_so_and_the_request_succeeds() -> Result<()> {
    let stack = Stack::start(options(&json!(["memory"])), Kind::Down).await?;
    for api in APIS {
        for stream in [false, true] {
            let name = format!("down {api:?} {stream}");
            let save = call("memory_save", json!({"content": FACT, "importance": 0.8}));
            let (_, given) = asks(&stack, &name, api, stream, save).await?;
            assert!(given.contains("Error: memory "), "{name}: {given}");
        }
    }
    assert!(stack.envoy.stat("wasmcustom.headroom.memory_calls_failed").await? >= 8);
    assert_no_trap(&stack).await
}

/// Conversations in which the model uses memory in every round except every fourth, in which it retrieves.
async fn held(event: Event) -> Result<Vec<Row>> {
    let conversations = Conversations {
        remember_every: 1,
        retrieve_every: 4,
        plugin: json!({"own_tools": ["memory"]}),
        ..Conversations::default()
    };
    let rows = hold(event, &conversations).await?;
    let problems: Vec<String> = rows.iter().flat_map(Row::problems).collect();
    ensure!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    // If the server has the conversation, nothing is added.
    for row in rows.iter().filter(|row| row.format != Format::StoredResponses) {
        let (remembered, retrieved) = (row.report.remembered.len(), row.report.retrievals.len());
        ensure!(remembered >= 4 && retrieved >= 3, "{:?}, stream: {}: {row:?}", row.format, row.stream);
    }
    Ok(rows)
}

#[tokio::test]
async fn conversations_that_use_memory_are_append_only() -> Result<()> {
    let rows = held(Event::Nothing).await?;
    let found = |row: &&Row| row.report.remembered.iter().any(|text| text.contains("relevance="));
    ensure!(rows.iter().filter(found).count() >= 4, "what was saved was found: {rows:?}");
    Ok(())
}

#[tokio::test]
async fn conversations_that_use_memory_are_append_only_when_headroomd_is_killed() -> Result<()> {
    held(Event::Killed).await?;
    Ok(())
}

#[tokio::test]
async fn conversations_that_use_memory_are_append_only_through_two_envoys_in_turn() -> Result<()> {
    held(Event::TwoEnvoys).await?;
    Ok(())
}
