//! Runs the examples for a canary and for alerts in `docs/operations.md`: the routes and the configuration
//! in `envoy/production.yaml`, and the metrics in `envoy/alerts.yaml`.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};
use headroom_compress::Api;
use headroom_e2e::built;
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::deadline::until;

use crate::bodies::{anthropic, chat, pretty_pets, shortened};
use crate::production::Production;
use crate::stacks::forwarded;

/// The blocks of a language in the section, without the indentation of a list.
fn blocks(section: &str, language: &str) -> Vec<String> {
    let fence = format!("  ```{language}\n");
    let blocks = section.split(&fence).skip(1).filter_map(|rest| rest.split("  ```").next());
    blocks
        .map(|block| {
            block.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
        })
        .collect()
}

#[tokio::test]
async fn a_canary_by_client_or_by_conversation_compresses_its_requests_and_audits_all_others() -> Result<()> {
    let page = fs::read_to_string(built::workspace().join("docs/operations.md"))?;
    let section =
        page.split("\n## ").find(|section| section.starts_with("A canary")).context("the section")?;
    let (routes, configuration) = (blocks(section, "yaml"), blocks(section, "json"));
    assert_eq!((routes.len(), configuration.len()), (2, 1));
    let indented =
        |text: &str, by: usize| text.lines().map(|line| format!("{:by$}{line}\n", "")).collect::<String>();
    let first = "              # Azure OpenAI: `/openai/v1/…` and `/openai/deployments/…`.\n";
    let inserted = format!("{}{first}", indented(&routes.join("\n"), 14));
    let production = fs::read_to_string(built::workspace().join("envoy/production.yaml"))?;
    let value = production
        .split_once("                  value: |\n")
        .and_then(|(_, rest)| rest.split_once("                # A trap"))
        .map(|(value, _)| value.to_owned())
        .context("the filter's configuration")?;
    let canary =
        Production::start_with(&[(first, &inserted), (&value, &indented(&configuration[0], 20))]).await?;

    let (openai, claude) = (chat(&pretty_pets(41)), anthropic(&pretty_pets(41)));
    for (name, path, body, header, compressed) in [
        ("team", "/v1/chat/completions", &openai, ("x-headroom-team", "research"), true),
        ("other team", "/v1/chat/completions", &openai, ("x-headroom-team", "sales"), false),
        ("nobody", "/v1/chat/completions", &openai, ("x-n", "1"), false),
        ("session", "/v1/messages", &claude, ("x-claude-code-session-id", "2f0c"), true),
        ("other session", "/v1/messages", &claude, ("x-claude-code-session-id", "9f0c"), false),
        // The team's requests still go to the same provider.
        ("team's claude", "/v1/messages", &claude, ("x-headroom-team", "research"), false),
    ] {
        for turn in ["", " again"] {
            let name = format!("{name}{turn}");
            let call = Call::post(path, body.clone()).header(header.0, header.1);
            let answer = canary.send(&name, call).await?;
            assert_eq!(answer.status, 200, "{name}");
            let got = forwarded(&canary.provider, &name);
            let api = if path == "/v1/messages" { Api::AnthropicMessages } else { Api::OpenAiChat };
            let expected = if compressed { shortened(api, body) } else { body.clone() };
            assert_eq!(got.body, expected, "{name}");
            let host = if api == Api::OpenAiChat { "api.openai.com" } else { "api.anthropic.com" };
            assert_eq!(got.headers["host"], host, "{name}");
            let outcome = if compressed { "compressed" } else { "audited" };
            assert_eq!(answer.header("x-headroom-outcome"), Some(outcome), "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_metric_that_an_alert_names_is_there() -> Result<()> {
    let alerts = fs::read_to_string(built::workspace().join("envoy/alerts.yaml"))?;
    let expressions = alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let words = expressions.flat_map(|expression| {
        expression
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with("headroom_"))
    });
    let named: BTreeSet<&str> = words.collect();
    assert!(named.len() >= 8, "{named:?}");

    let production = Production::start().await?;
    let body = anthropic(&pretty_pets(42));
    production.send("alerts", Call::post("/v1/messages", body)).await?;
    until("every metric is shown", || async {
        let mut sidecar = Connection::open(production.sidecar.http(), Protocol::Http1).await.ok()?;
        let of_sidecar = sidecar.send(Call::get("/metrics")).await.ok()?.text();
        let of_envoy = production.envoy.admin_get("/stats/prometheus").await.ok()?;
        let shown = |name: &&str| {
            let declared = format!("# TYPE {name} ");
            of_sidecar.contains(&declared) || of_envoy.contains(&declared)
        };
        // A vector of counters appears only after its first error.
        let missing: Vec<_> = named.iter().filter(|name| !shown(name)).collect();
        (missing.is_empty() || missing == [&"headroom_store_errors_total"]).then_some(())
    })
    .await
}
