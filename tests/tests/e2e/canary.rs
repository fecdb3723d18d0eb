//! Runs the example for a canary in `docs/operations.md`: the routes and the configuration in `envoy/production.yaml`.

use std::fs;

use anyhow::{Context as _, Result};
use headroom_compress::Api;
use headroom_e2e::built;
use headroom_e2e::client::Call;

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
