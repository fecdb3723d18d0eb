//! The effect of added breakpoints for a client that sets none: an agent's conversations through Envoy, without and
//! with them, and how much Anthropic's cache reads of the requests that reach the provider, by its documented rules.
//!
//! `cargo run -p headroom-e2e --example breakpoints [ROUNDS]`

use anyhow::{Context as _, Result, ensure};
use headroom_e2e::Stack;
use headroom_e2e::agent::{Agent, Format, recorded};
use headroom_e2e::anthropic_cache::{AnthropicCache, InputTokens};
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{Plan, ToolCall};
use headroom_e2e::sidecar::Kind;
use serde_json::json;

const ROUNDS: usize = 40;

#[tokio::main]
async fn main() -> Result<()> {
    let rounds = match std::env::args().nth(1) {
        Some(text) => text.parse().context("expected a number of rounds")?,
        None => ROUNDS,
    };
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["breakpoints", "requests", "input tokens", "read", "written", "plain", "cost"]);
    for breakpoints in ["off", "5m"] {
        let filter = json!({"reversible": true, "breakpoints": breakpoints});
        let stack = Stack::start(
            Options { filter: Some(filter), own_process: true, ..Options::default() },
            Kind::Down,
        )
        .await?;
        let (requests, tokens) = conversation(&stack, rounds).await?;
        let figures =
            [tokens.total(), tokens.read, tokens.written, tokens.plain, tokens.cost().round() as u64];
        let mut row = vec![breakpoints.to_owned(), requests.to_string()];
        row.extend(figures.map(|figure| figure.to_string()));
        table.add_row(row);
    }
    headroom_e2e::say(&format!("{table}"));
    Ok(())
}

async fn conversation(stack: &Stack, rounds: usize) -> Result<(usize, InputTokens)> {
    let call = ToolCall { name: "list".to_owned(), arguments: json!({}) };
    stack.provider.follow("agent", Plan { rounds, calls: vec![call], ..Plan::default() });
    let mut agent = Agent::new(Format::Messages, "agent", true, recorded(3)?);
    agent.say("Which deployments failed?");
    agent.rounds(stack.envoy.listener(), rounds).await?;
    let problems = stack.provider.report("agent").problems();
    ensure!(problems.is_empty(), "{problems:?}");
    let (mut cache, mut sum) = (AnthropicCache::default(), InputTokens::default());
    let requests = stack.provider.requests("agent");
    for request in &requests {
        sum.add(cache.ask(&request.body)?);
    }
    Ok((requests.len(), sum))
}
