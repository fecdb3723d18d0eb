//! Coding agents in long conversations with a model that thinks, and a provider that checks what its thinking is
//! bound to.

use std::fs;

use anyhow::{Result, ensure};
use headroom_e2e::agent::rows;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{Plan, ToolCall, Way};
use headroom_e2e::reading::output_texts;
use headroom_e2e::relay::Relay;
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Script, Stack, node, say, skip};

use super::{
    ANSWER, Agent, Setting, claude_code, codex, opencode_anthropic, opencode_chat, plugin, run, said,
    workplace,
};

/// How many rounds of its own tools an agent runs in a long conversation.
const ROUNDS: usize = 12;

/// Runs an agent for twelve rounds with a model that thinks and retrieves in every second, and a provider that
/// checks what its thinking is bound to.
async fn drive_long(agent: impl FnOnce(&Setting<'_>) -> Result<Agent>) -> Result<()> {
    let found = tokio::task::spawn_blocking(|| node::with("agents")).await?;
    let Some(installed) = skip::unless("agents from npm", found)? else { return Ok(()) };
    let stack = Stack::start(Options { filter: Some(plugin()), ..Options::default() }, Kind::Real).await?;
    let home = tempfile::tempdir()?;
    let work = workplace(home.path())?;
    fs::write(work.join("deployments.json"), rows(120, 7))?;
    let port = Relay::reserve()?;
    // Without Headroom the same run shows whether the harness itself is at fault.
    let is_alone = std::env::var_os("WITHOUT_HEADROOM").is_some();
    let to = if is_alone { stack.provider.address() } else { stack.envoy.listener() };
    let url = format!("http://{}", port.address());
    let mut agent = agent(&Setting { url: &url, home: home.path(), work: &work })?;
    // A list that loses most of its rows, so that there is something to retrieve.
    let arguments = agent.calls[0].arguments.to_string().replace("pets.json", "deployments.json");
    agent.calls[2] = ToolCall { arguments: serde_json::from_str(&arguments)?, ..agent.calls[0].clone() };
    let plan = Plan {
        rounds: ROUNDS,
        calls: agent.calls.to_vec(),
        parallel_every: 0,
        retrieve_every: 2,
        ways: Way::ALL.to_vec(),
        last: ANSWER.to_owned(),
        ..Plan::default()
    };
    stack.provider.follow(agent.name, plan);
    let relay = port.start(to, agent.name, &Script::default()).await?;
    let output = run(&agent, &installed, home.path(), &work).await?;
    let report = stack.provider.report(agent.name);
    ensure!(output.status.success(), "it ended with {} after {report:?}:\n{}", output.status, said(&output));
    let sent = relay.sent();
    let outputs = sent.iter().flat_map(|sent| output_texts(agent.api, &sent.body).unwrap_or_default());
    let mut originals: Vec<String> = outputs.collect();
    originals.sort_unstable();
    originals.dedup();
    let (asked, exact) = (report.retrievals.len(), report.exact(&originals));
    say(&format!(
        "{}: {} requests, {} mismatches, {exact} of {asked} retrievals exact",
        agent.name,
        report.requests,
        report.refused.len() + report.dropped.len(),
    ));
    ensure!(report.problems().is_empty(), "{}\n{}", report.problems().join("\n"), said(&output));
    ensure!(String::from_utf8_lossy(&output.stdout).contains(ANSWER), "no answer:\n{}", said(&output));
    ensure!(report.later_requests >= ROUNDS, "{report:?}");
    ensure!(
        is_alone || (asked >= ROUNDS / 2 - 1 && exact == asked),
        "{exact} of {asked} retrievals are exact"
    );
    Ok(())
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn claude_code_holds_a_long_conversation_with_retrievals() -> Result<()> {
    drive_long(|setting| {
        let mut agent = claude_code(setting)?;
        // Makes it ask for thinking with any model.
        agent.environment.push(("MAX_THINKING_TOKENS", "4096".into()));
        Ok(agent)
    })
    .await
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn codex_holds_a_long_conversation_with_retrievals() -> Result<()> {
    drive_long(|setting| codex(setting, false)).await
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn opencode_holds_long_conversations_with_retrievals() -> Result<()> {
    drive_long(opencode_anthropic).await?;
    drive_long(opencode_chat).await
}
