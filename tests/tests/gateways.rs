//! The clients of `/v1/compress`: LiteLLM's guardrail, npm `headroom-ai` and the Python client, as people install them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use headroom_e2e::agent::recorded;
use headroom_e2e::built::workspace;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{Plan, Report, Way};
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Stack, node, python, say, skip};
use serde::Deserialize;
use serde_json::json;

/// The result of a conversation through LiteLLM.
#[derive(Debug, Deserialize)]
struct Conversation {
    said: Option<String>,
    error: Option<String>,
    seconds: f64,
    report: Report,
}

/// No filter: what is shortened here was shortened by `/v1/compress`.
async fn stack() -> Result<Stack> {
    Stack::start(Options { filter: None, ..Options::default() }, Kind::Real).await
}

/// Runs the tool loops through a version of LiteLLM's proxy; `newer` is installed over the packages of the file.
async fn litellm(
    requirements: &'static str,
    newer: Option<&'static str>,
) -> Result<Option<(BTreeMap<String, Conversation>, Vec<String>, Plan)>> {
    let install = move || {
        let interpreter = python::with(requirements)?;
        if let Some(newer) = newer {
            // The extra `proxy` of this version needs a package that PyPI does not have.
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", newer];
            python::run(Command::new(&interpreter).args(pip))?;
        }
        Ok(interpreter)
    };
    let found = tokio::task::spawn_blocking(install).await?;
    let Some(interpreter) = skip::unless("packages from PyPI", found)? else { return Ok(None) };
    let stack = stack().await?;
    let outputs = recorded(1)?;
    let file = stack.folder().join("outputs.json");
    fs::write(&file, json!(outputs).to_string())?;
    let plan = Plan { rounds: 12, retrieve_every: 2, ways: vec![Way::Alone], ..Plan::default() };
    let mut command = Command::new(interpreter);
    command
        .arg(workspace().join("tests/clients/litellm_guardrail.py"))
        .env("OUTPUTS", file)
        .env("PLAN", json!(plan).to_string())
        .env("PROVIDER_URL", format!("http://{}", stack.provider.address()))
        .env("SIDECAR_URL", format!("http://{}", stack.envoy.listener()));
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}: {errors}", output.status);
    let conversations: BTreeMap<String, Conversation> =
        serde_json::from_slice(&output.stdout).with_context(|| errors)?;
    for (name, conversation) in &conversations {
        let report = &conversation.report;
        say(&format!(
            "{name}: {:.1} s, {} requests, {} rewritten, {} refused, {} dropped, {} of {} retrievals exact",
            conversation.seconds,
            report.requests,
            report.rewritten.len(),
            report.refused.len(),
            report.dropped.len(),
            report.exact(&outputs),
            report.retrievals.len(),
        ));
    }
    Ok(Some((conversations, outputs, plan)))
}

/// Assertions for every version.
fn each_goes_to_its_end(conversations: &BTreeMap<String, Conversation>, plan: &Plan) -> Result<()> {
    ensure!(conversations.len() == 14, "{:?}", conversations.keys());
    for (name, conversation) in conversations {
        let Conversation { said, error, report, .. } = conversation;
        ensure!(said.as_deref() == Some(&plan.last) && error.is_none(), "{name}: {error:?} {said:?}");
        // LiteLLM changes the text that the reasoning is bound to. The provider refuses it, and LiteLLM sends the
        // request again without any reasoning.
        let bound = name == "messages-thinking";
        ensure!(bound != report.refused.is_empty(), "{name}: {:?}", report.refused);
        ensure!(report.requests > plan.rounds, "{name}: {} requests", report.requests);
        if name == "messages-thinking-drop" {
            ensure!(!report.dropped.is_empty(), "{name}: {report:?}");
        } else {
            ensure!(report.dropped.is_empty(), "{name}: {:?}", report.dropped);
        }
        // The first request with a result contains it whole; later ones contain it shortened.
        let serves = !name.contains("down") && !name.contains("slow");
        ensure!(serves != report.rewritten.is_empty(), "{name}: {:?}", report.rewritten);
    }
    Ok(())
}

#[tokio::test]
#[ignore = "750 MB from PyPI: make test-clients"]
async fn litellms_guardrail_shortens_what_models_have_read_and_goes_on_where_headroomd_does_not_answer()
-> Result<()> {
    let Some((conversations, _, plan)) = litellm("litellm-proxy-requirements.txt", None).await? else {
        return Ok(());
    };
    each_goes_to_its_end(&conversations, &plan)?;
    for (name, conversation) in &conversations {
        ensure!(conversation.report.retrievals.is_empty(), "{name}: this version cannot ask");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "750 MB from PyPI: make test-clients"]
async fn litellms_newest_guardrail_answers_retrievals_by_itself() -> Result<()> {
    let found = litellm("litellm-proxy-newest-requirements.txt", Some("litellm==1.110.2")).await?;
    let Some((conversations, outputs, plan)) = found else { return Ok(()) };
    each_goes_to_its_end(&conversations, &plan)?;
    for (name, conversation) in &conversations {
        let (asked, exact) = (conversation.report.retrievals.len(), conversation.report.exact(&outputs));
        let serves = name.contains("-up-");
        ensure!(exact == asked && (asked > 2 || !serves), "{name}: {exact} of {asked} are exact");
    }
    Ok(())
}

#[tokio::test]
async fn the_python_client_passes_its_own_tests() -> Result<()> {
    let found = tokio::task::spawn_blocking(|| python::with("client-requirements.txt")).await?;
    let Some(interpreter) = skip::unless("packages from PyPI", found)? else { return Ok(()) };
    let stack = stack().await?;
    let folder = workspace().join("control-plane/clients/python");
    let mut command = Command::new(interpreter);
    command
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .current_dir(&folder)
        .env("PYTHONPATH", folder.join("src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HEADROOM_BASE_URL", format!("http://{}", stack.envoy.listener()))
        .env("PROVIDER_URL", format!("http://{}", stack.provider.address()))
        .env("NO_PROXY", "*");
    tokio::task::spawn_blocking(move || python::run(&mut command)).await?
}

#[tokio::test]
async fn npm_headroom_ai_works_unchanged_with_its_four_wrappers() -> Result<()> {
    let found = tokio::task::spawn_blocking(|| node::with("typescript")).await?;
    let Some(folder) = skip::unless("packages from npm", found)? else { return Ok(()) };
    let stack = stack().await?;
    let mut command = Command::new("node");
    command
        .arg(folder.join("headroom_ai.mjs"))
        .env("HEADROOM_BASE_URL", format!("http://{}", stack.envoy.listener()))
        .env("PROVIDER_URL", format!("http://{}", stack.provider.address()))
        .env("NO_PROXY", "*");
    tokio::task::spawn_blocking(move || python::run(&mut command)).await?
}
