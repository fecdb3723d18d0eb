//! Codex reads a fact that Claude Code has saved: with the tools that the filter adds, and over MCP.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{RecordedRequest, ToolCall};
use headroom_e2e::relay::Relay;
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Script, Stack, built, node, say, skip};
use serde_json::{Value, json};

use super::{Agent, Setting, call, claude_code, codex, run, said};

const FACT: &str = "The API server listens on port 8787";
/// The model's last text.
const DONE: &str = "Looked after.";

fn saves(tool: &str) -> ToolCall {
    call(tool, json!({"content": FACT, "importance": 0.8}))
}

fn searches(tool: &str) -> ToolCall {
    call(tool, json!({"query": "Which port does the API server listen on?"}))
}

/// Runs an agent whose model makes one call, and returns all requests that arrived.
async fn converse(
    stack: &Stack,
    installed: &Path,
    home: &Path,
    first: ToolCall,
    agent: impl FnOnce(&Setting<'_>) -> Result<Agent>,
) -> Result<Vec<RecordedRequest>> {
    let last = Script { text: Some(DONE.to_owned()), ..Script::default() };
    let script = Script { tool_call: Some(first), then: vec![last], by_outputs: true, ..Script::default() };
    let work = home.join("work");
    let port = Relay::reserve()?;
    let url = format!("http://{}", port.address());
    let agent = agent(&Setting { url: &url, home, work: &work })?;
    let relay = port.start(stack.envoy.listener(), agent.name, &script).await?;
    let output = run(&agent, installed, home, &work).await?;
    ensure!(output.status.success(), "{} ended with {}:\n{}", agent.name, output.status, said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    ensure!(stdout.contains(DONE), "the answer was expected:\n{}", said(&output));
    ensure!(!stdout.contains("memory_"), "the agent shows a call:\n{stdout}");
    let sent = relay.sent().len();
    Ok((0..sent).flat_map(|n| stack.provider.requests(&format!("{}/{n}", agent.name))).collect())
}

fn read(requests: &[RecordedRequest], text: &str) -> bool {
    requests.iter().any(|request| String::from_utf8_lossy(&request.body).contains(text))
}

/// The only fact that headroomd has for the folder.
async fn kept(stack: &Stack, work: &Path) -> Result<Value> {
    let asked = json!({"project": work.canonicalize()?}).to_string();
    let call = Call::post("/v1/memory/list", asked);
    let answer = Connection::open(stack.sidecar.http(), Protocol::Http1).await?.send(call).await?;
    let listed: Value = serde_json::from_str(&answer.text()).context(answer.text())?;
    let facts = listed["facts"].as_array().context("facts")?;
    let [fact] = facts.as_slice() else { anyhow::bail!("{} facts: {listed}", facts.len()) };
    ensure!((&fact["content"], &fact["scope"]) == (&json!(FACT), &json!("project")), "{fact}");
    Ok(fact.clone())
}

/// A repository to work in.
fn house() -> Result<tempfile::TempDir> {
    let home = tempfile::tempdir()?;
    fs::create_dir_all(home.path().join("work/.git"))?;
    Ok(home)
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn what_claude_code_saves_with_the_filters_tools_codex_reads_back() -> Result<()> {
    let found = tokio::task::spawn_blocking(|| node::with("agents")).await?;
    let Some(installed) = skip::unless("agents from npm", found)? else { return Ok(()) };
    let filter = json!({"reversible": true, "own_tools": ["memory"],
        "control_plane": {"cluster": "headroom", "report_interval_ms": 50}});
    let stack = Stack::start(Options { filter: Some(filter), ..Options::default() }, Kind::Real).await?;
    let home = house()?;
    let requests = converse(&stack, &installed, home.path(), saves("memory_save"), claude_code).await?;
    ensure!(read(&requests, "Saved 1 new"), "Claude Code's model was not told that it was saved");
    let fact = kept(&stack, &home.path().join("work")).await?;
    ensure!(fact["created_via"] == "filter" && fact["source_provider"] == "anthropic", "{fact}");
    let agent = fact["source_agent"].as_str().unwrap_or_default();
    ensure!(agent.starts_with("claude"), "{fact}");

    let requests =
        converse(&stack, &installed, home.path(), searches("memory_search"), |at| codex(at, false)).await?;
    ensure!(read(&requests, &format!("\\\"{FACT}\\\"")), "Codex's model has not read the fact");
    say(&format!("{agent} saved a fact through the filter, and Codex's model read it back"));
    Ok(())
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn what_claude_code_saves_over_mcp_codex_reads_back() -> Result<()> {
    let found = tokio::task::spawn_blocking(|| node::with("agents")).await?;
    let Some(installed) = skip::unless("agents from npm", found)? else { return Ok(()) };
    let filter = json!({"control_plane": {"cluster": "headroom", "report_interval_ms": 50}});
    let stack = Stack::start(Options { filter: Some(filter), ..Options::default() }, Kind::Real).await?;
    let home = house()?;
    let program = built::headroomctl().await?;
    let arguments = json!([
        "mcp",
        "--memory",
        "--url",
        format!("http://{}", stack.sidecar.http()),
        "--grpc",
        stack.sidecar.grpc().to_string()
    ]);
    let claude = |at: &Setting<'_>| {
        let mut agent = claude_code(at)?;
        let servers = json!({"mcpServers": {"headroom": {"command": program, "args": arguments}}});
        let options = ["--mcp-config".to_owned(), servers.to_string(), "--strict-mcp-config".to_owned()];
        agent.arguments.splice(1..1, options);
        Ok(agent)
    };
    let requests =
        converse(&stack, &installed, home.path(), saves("mcp__headroom__memory_save"), claude).await?;
    ensure!(read(&requests, "Saved 1 new"), "Claude Code's model was not told that it was saved");
    let fact = kept(&stack, &home.path().join("work")).await?;
    ensure!(fact["created_via"] == "mcp" && fact["source_agent"] == "claude-code", "{fact}");

    let codex = |at: &Setting<'_>| {
        let agent = codex(at, false)?;
        let file = at.home.join(".codex/config.toml");
        let server = format!("[mcp_servers.headroom]\ncommand = {}\nargs = {arguments}\n", json!(program));
        fs::write(&file, fs::read_to_string(&file)? + &server)?;
        Ok(agent)
    };
    let requests =
        converse(&stack, &installed, home.path(), searches("mcp__headroom/memory_search"), codex).await?;
    ensure!(read(&requests, FACT), "Codex's model has not read the fact");
    say("Claude Code saved a fact over MCP, and Codex's model read it back");

    // The hook that `wrap --memory` writes.
    let url = format!("http://{}", stack.sidecar.http());
    let command = format!("'{}' memory context --hook --url '{url}'", program.display());
    let hooked = |at: &Setting<'_>| {
        let hook = json!({"matcher": "startup", "hooks": [{"type": "command", "command": command}]});
        fs::create_dir_all(at.home.join(".claude"))?;
        let settings = json!({"hooks": {"SessionStart": [hook]}}).to_string();
        fs::write(at.home.join(".claude/settings.json"), settings)?;
        claude_code(at)
    };
    let looks = call("Bash", json!({"command": "true"}));
    let requests = converse(&stack, &installed, home.path(), looks, hooked).await?;
    ensure!(read(&requests, "quoted as data") && read(&requests, FACT), "the hook has put nothing in");
    Ok(())
}
