//! Agents with a model that uses another format: behind `headroomctl up --backend litellm`, where LiteLLM's proxy
//! translates.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use headroom_compress::Api;
use headroom_e2e::deadline::until;
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER};
use headroom_e2e::reading::output_texts;
use headroom_e2e::{Provider, built, envoy, node, python, say, skip};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{ANSWER, Agent, Setting, claude_code, codex, log, pets, run, said, script_of, workplace};

/// LiteLLM's imports take half a minute on a busy machine.
const READY: Duration = Duration::from_secs(240);

/// A running `headroomctl up`.
struct Up {
    process: Child,
    url: String,
    workspace: tempfile::TempDir,
}

impl Up {
    /// With the LiteLLM of this interpreter, and its configuration.
    async fn start(python: PathBuf, configuration: &serde_json::Value) -> Result<Self> {
        let workspace = tempfile::tempdir()?;
        // The programs of a moved virtual environment contain the old path.
        let litellm = workspace.path().join("litellm");
        let code = "import sys; from litellm import run_server; sys.exit(run_server())";
        std::fs::write(&litellm, format!("#!/bin/sh\nexec {} -c '{code}' \"$@\"\n", python.display()))?;
        std::fs::set_permissions(&litellm, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let file = workspace.path().join("litellm.yaml");
        std::fs::write(&file, configuration.to_string())?;
        let mut command = Command::new(built::headroomctl().await?);
        command.args(["up", "--port", "0", "--workers", "1", "--backend", "litellm", "--workspace-dir"]);
        command.arg(workspace.path()).arg("--litellm").arg(litellm).arg("--litellm-config").arg(&file);
        command.arg("--module").arg(built::filter_module().await?);
        command.arg("--headroomd").arg(built::headroomd().await?).arg("--envoy").arg(envoy::binary().await?);
        command.env("HEADROOM_CONFIG_DIR", workspace.path().join("config"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("a pipe was asked for")?).lines();
        let mut url = None;
        while let Some(line) = timeout(READY, lines.next_line()).await.context("it is not ready")?? {
            if let Some(found) = line.strip_prefix("ANTHROPIC_BASE_URL=") {
                url = Some(found.to_owned());
            }
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let url = url.context("no base URL was printed; what it said is above")?;
        Ok(Self { process, url, workspace })
    }

    /// Stops it, and waits until LiteLLM is gone too.
    async fn stop(mut self) -> Result<()> {
        let process = self.process.id().context("it runs")?.to_string();
        let mark = self.workspace.path().join("run/litellm.json").display().to_string();
        ensure!(!running(&mark).is_empty(), "LiteLLM runs");
        ensure!(std::process::Command::new("kill").args(["-TERM", &process]).status()?.success());
        let status = timeout(READY, self.process.wait()).await.context("it does not end")??;
        ensure!(status.success(), "it ended with {status}");
        until("LiteLLM is gone", || async { running(&mark).is_empty().then_some(()) }).await
    }
}

/// The processes with this text among their arguments.
fn running(mark: &str) -> Vec<u32> {
    let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        std::fs::read(format!("/proc/{id}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
    })
    .collect()
}

/// Lets an agent run its loop with a model at this target, which uses `api`.
async fn drive(
    target: &str,
    base: &str,
    api: Api,
    agent: impl FnOnce(&Setting<'_>) -> Result<Agent>,
) -> Result<()> {
    let found = tokio::task::spawn_blocking(|| node::with("agents")).await?;
    let Some(installed) = skip::unless("agents from npm", found)? else { return Ok(()) };
    let found = tokio::task::spawn_blocking(|| python::with("litellm-proxy-requirements.txt")).await?;
    let Some(interpreter) = skip::unless("packages from PyPI", found)? else { return Ok(()) };
    let provider = Provider::start(0).await?;
    let home = tempfile::tempdir()?;
    let work = workplace(home.path())?;

    // What the model does depends on the agent's tools, which depend only on its folder.
    let calls = agent_calls(&work);
    let headers = json!({NAME_HEADER: "translated", SCRIPT_HEADER: script_of(&calls(target)).header()});
    let parameters = json!({
        "model": target, "api_base": format!("http://{}{base}", provider.address()), "api_key": "dummy",
        "extra_headers": headers,
    });
    let configuration = json!({"model_list": [{"model_name": "*", "litellm_params": parameters}]});
    let up = Up::start(interpreter, &configuration).await?;
    let agent = agent(&Setting { url: &up.url, home: home.path(), work: &work })?;
    let output = run(&agent, &installed, home.path(), &work).await?;
    let requests = provider.requests("translated");
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    ensure!(output.status.success(), "{paths:?} {}", said(&output));
    ensure!(String::from_utf8_lossy(&output.stdout).contains(ANSWER), "{paths:?} {}", said(&output));

    let outputs: Vec<Vec<String>> =
        requests.iter().filter_map(|request| output_texts(api, &request.body).ok()).collect();
    let last = outputs.iter().max_by_key(|outputs| outputs.len()).context("requests with outputs")?;
    ensure!(last.len() >= 3, "three outputs were expected, in the target's format: {paths:?}");
    let whole = pets().len() * 2 + log().len();
    let arrived: usize = last.iter().map(String::len).sum();
    ensure!(arrived < whole / 2, "compressed before they were translated: {arrived} of {whole} characters");
    for disk in ["sda", "sdb", "sdc"] {
        ensure!(
            last.iter().any(|text| text.contains(&format!("ERROR cannot write to disk {disk}"))),
            "{disk}"
        );
    }
    say(&format!("{} at {target}: {} requests, {arrived} of {whole} characters", agent.name, requests.len()));
    up.stop().await
}

type Calls = [headroom_e2e::provider::ToolCall; 3];

/// The calls of the agent's tools.
fn agent_calls(work: &std::path::Path) -> impl Fn(&str) -> Calls {
    let work = work.to_owned();
    move |target| {
        if target.starts_with("anthropic/") {
            super::CODEX_CALLS.map(super::codex_call)
        } else {
            let shell = |command: &str| super::call("Bash", json!({"command": command}));
            [
                shell("cat pets.json"),
                shell("cat build.log"),
                super::call("Read", json!({"file_path": work.join("pets.json")})),
            ]
        }
    }
}

#[tokio::test]
#[ignore = "750 MB from PyPI: make test-clients"]
async fn claude_code_runs_its_loop_with_a_model_that_speaks_chat_completions() -> Result<()> {
    drive("hosted_vllm/gpt-4.1", "/v1", Api::OpenAiChat, claude_code).await
}

#[tokio::test]
#[ignore = "750 MB from PyPI: make test-clients"]
async fn codex_runs_its_loop_with_a_model_that_speaks_anthropics_format() -> Result<()> {
    drive("anthropic/claude-sonnet-4-5", "", Api::AnthropicMessages, |setting| codex(setting, false)).await
}
