//! The providers' own SDKs, as people install them, through Envoy.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use headroom_e2e::agent::recorded;
use headroom_e2e::built::workspace;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{Plan, Way};
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Stack, node, python, say, skip};
use serde_json::json;

/// Starts a stack, and runs the command with the variables of a script.
async fn drive(command: Command) -> Result<()> {
    drive_in(Stack::start(Options::default(), Kind::Down).await?, command).await
}

async fn drive_in(stack: Stack, mut command: Command) -> Result<()> {
    command
        .env("ENVOY_URL", format!("http://{}", stack.envoy.listener()))
        .env("PROVIDER_URL", format!("http://{}", stack.provider.address()))
        .env("NO_PROXY", "*");
    tokio::task::spawn_blocking(move || python::run(&mut command)).await?
}

/// Runs a script with the packages of a requirements file.
async fn python(requirements: &'static str, script: &str) -> Result<()> {
    let found = tokio::task::spawn_blocking(|| python::with(requirements)).await?;
    let Some(interpreter) = skip::unless("packages from PyPI", found)? else { return Ok(()) };
    let mut command = Command::new(interpreter);
    command.arg(workspace().join("tests/clients").join(script));
    // Otherwise LiteLLM downloads its table of prices.
    command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    drive(command).await
}

/// Runs a script that holds conversations of twelve rounds with a model that thinks and retrieves in every second,
/// and checks the provider's reports of those with these names.
async fn rounds(script: &str, names: &[&str]) -> Result<()> {
    let found = tokio::task::spawn_blocking(|| python::with("requirements.txt")).await?;
    let Some(interpreter) = skip::unless("packages from PyPI", found)? else { return Ok(()) };
    let filter = json!({"reversible": true, "control_plane": {"cluster": "headroom"}});
    let stack = Stack::start(Options { filter: Some(filter), ..Options::default() }, Kind::Real).await?;
    let outputs = recorded(1)?;
    let file = stack.folder().join("outputs.json");
    fs::write(&file, json!(outputs).to_string())?;
    let plan = Plan { retrieve_every: 2, text_every: 5, ways: Way::ALL.to_vec(), ..Plan::default() };
    let mut command = Command::new(interpreter);
    command.arg(workspace().join("tests/clients").join(script)).env("OUTPUTS", file);
    command.env("PLAN", json!(plan).to_string());
    let provider = stack.provider.clone();
    let ran = drive_in(stack, command).await;
    if let Err(error) = &ran {
        say(&format!("{error:#}"));
    }
    for name in names {
        let report = provider.report(name);
        let (asked, exact) = (report.retrievals.len(), report.exact(&outputs));
        say(&format!("{name}: {} requests, {exact} of {asked} retrievals exact", report.requests));
        ensure!(report.problems().is_empty(), "{name}:\n{}", report.problems().join("\n"));
        // If the server has the conversation, nothing is left out.
        ensure!(exact == asked && (asked >= 5 || name.contains("stored")), "{name}: {exact} of {asked}");
        ensure!(report.requests > 12, "{name}: {report:?}");
    }
    ran
}

/// Runs a script of `clients/sdks`.
async fn node(script: &str) -> Result<()> {
    let found = tokio::task::spawn_blocking(|| node::with("sdks")).await?;
    let Some(folder) = skip::unless("packages from npm", found)? else { return Ok(()) };
    let mut command = Command::new("node");
    command.arg(folder.join(script));
    drive(command).await
}

#[tokio::test]
async fn the_anthropic_sdk_runs_a_tool_loop_streaming_and_not() -> Result<()> {
    python("requirements.txt", "anthropic_sdk.py").await
}

#[tokio::test]
async fn the_openai_sdk_runs_a_tool_loop_streaming_and_not() -> Result<()> {
    python("requirements.txt", "openai_sdk.py").await
}

#[tokio::test]
async fn the_anthropic_sdk_holds_long_conversations_with_retrievals() -> Result<()> {
    rounds("anthropic_rounds_sdk.py", &["anthropic-rounds-whole", "anthropic-rounds-stream"]).await
}

#[tokio::test]
async fn the_openai_sdk_holds_long_conversations_with_retrievals() -> Result<()> {
    let names = [
        "openai-chat-rounds-whole",
        "openai-chat-rounds-stream",
        "openai-responses-rounds-whole",
        "openai-responses-rounds-stream",
        "openai-responses-rounds-stored-whole",
        "openai-responses-rounds-stored-stream",
    ];
    rounds("openai_rounds_sdk.py", &names).await
}

#[tokio::test]
async fn the_google_gen_ai_sdk_calls_a_function_by_itself_streaming_and_not() -> Result<()> {
    python("requirements.txt", "google_genai_sdk.py").await
}

#[tokio::test]
async fn langchain_runs_a_tool_loop_over_anthropic_chat_and_responses() -> Result<()> {
    python("requirements.txt", "langchain_sdk.py").await
}

#[tokio::test]
async fn litellm_runs_a_tool_loop_over_anthropic_chat_and_gemini() -> Result<()> {
    python("litellm-requirements.txt", "litellm_sdk.py").await
}

#[tokio::test]
async fn the_anthropic_sdk_for_node_runs_a_tool_loop_streaming_and_not() -> Result<()> {
    node("anthropic_sdk.mjs").await
}

#[tokio::test]
async fn the_openai_sdk_for_node_runs_a_tool_loop_streaming_and_not() -> Result<()> {
    node("openai_sdk.mjs").await
}

#[tokio::test]
async fn the_google_gen_ai_sdk_for_node_runs_a_tool_loop_streaming_and_not() -> Result<()> {
    node("google_genai_sdk.mjs").await
}

#[test]
fn each_client_script_is_run_here() -> Result<()> {
    let source = include_str!("clients.rs");
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let mut scripts = 0;
    for entry in fs::read_dir(&clients)?.chain(fs::read_dir(clients.join("sdks"))?) {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.contains("_sdk.") {
            assert!(source.contains(&format!("\"{name}\"")), "{name} is run by no test");
            scripts += 1;
        }
    }
    assert!(scripts > 5, "{scripts}");
    Ok(())
}
