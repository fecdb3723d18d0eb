//! `headroomctl wrap` and `unwrap` with coding agents as people install them: the loop runs through a Headroom
//! that was started for it, the agent's settings are what they were, and nothing is left running.
//!
//! Slow, and a gigabyte to install: `make test-clients`. What needs no agent runs with the others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use headroom_e2e::deadline::until;
use headroom_e2e::provider::ToolCall;
use headroom_e2e::relay::Relay;
use headroom_e2e::{Provider, Script, built, envoy, node, python, say, skip};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// What the model says at last, and the agent is expected to print.
const ANSWER: &str = "The third error names disk sdc.";
const QUESTION: &str = "Which disk does the third error name?";

/// How long an agent may take in all, in seconds. A limit against hanging: each needs a few seconds.
const PATIENCE: &str = "300";

/// The scripted provider, a home folder, and four free ports in a row.
struct House {
    folder: TempDir,
    relay: Relay,
    url: String,
    port: u16,
    variables: Vec<(String, String)>,
}

impl House {
    async fn new(calls: &[ToolCall]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let home = folder.path().join("home");
        fs::create_dir_all(home.join("work"))?;
        fs::create_dir(folder.path().join("workspace"))?;
        fs::write(home.join("work/pets.json"), pets())?;
        fs::write(home.join("work/build.log"), log())?;
        let provider = Provider::start(0).await?;
        let reserved = Relay::reserve()?;
        let url = format!("http://{}", reserved.address());
        let relay = reserved.start(provider.address(), "wrapped", &script_of(calls)).await?;
        let variables = [
            ("HEADROOM_MODULE", built::filter_module().await?.display().to_string()),
            ("HEADROOMD", built::headroomd().await?.display().to_string()),
            ("ENVOY", envoy::binary().await?.display().to_string()),
            ("ANTHROPIC_TARGET_API_URL", url.clone()),
            ("OPENAI_TARGET_API_URL", url.clone()),
            ("GEMINI_TARGET_API_URL", url.clone()),
            ("CHATGPT_TARGET_API_URL", url.clone()),
            ("CODE_ASSIST_TARGET_API_URL", url.clone()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Ok(Self { folder, relay, url, port: free_ports()?, variables })
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.home().join(name);
        fs::create_dir_all(path.parent().context("a file below the home folder")?)?;
        Ok(fs::write(path, text)?)
    }

    /// headroomctl with the home folder, the programs below `bin` first on PATH, and these variables.
    async fn command(&self, bin: &Path, variables: &[(&str, &str)]) -> Result<Command> {
        let path = std::env::var("PATH")?;
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", PATIENCE])
            .arg(built::headroomctl().await?)
            .current_dir(self.home().join("work"))
            .env_clear()
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOME", self.home())
            .env("SHELL", "/bin/bash")
            .env("HEADROOM_PORT", self.port.to_string())
            .env("HEADROOM_WORKSPACE_DIR", self.workspace())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Waits until nothing of what was started is left.
    async fn is_quiet(&self) -> Result<()> {
        let port = self.port;
        until("Headroom has ended with the last run", || async move {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err().then_some(())
        })
        .await?;
        let lock = fs::File::open(self.workspace().join("run/lock"))?;
        until("`up` has ended", || async { lock.try_lock().ok() }).await
    }

    /// The texts of the tool outputs in the last request that reached the provider.
    fn outputs(&self) -> Result<String> {
        let sent = self.relay.sent();
        let last =
            sent.iter().filter(|request| !request.body.is_empty()).max_by_key(|request| request.body.len());
        Ok(String::from_utf8(last.context("requests reached the provider")?.body.to_vec())?)
    }
}

fn free_ports() -> Result<u16> {
    for _ in 0..50 {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = first.local_addr()?.port();
        let others =
            (1..4).map(|step| TcpListener::bind((Ipv4Addr::LOCALHOST, port.checked_add(step)?)).ok());
        if others.collect::<Option<Vec<_>>>().is_some() {
            return Ok(port);
        }
    }
    anyhow::bail!("no four free ports in a row")
}

/// 40 records as an API gives them, indented.
fn pets() -> String {
    let pets: Vec<Value> = (0..40)
        .map(|n| json!({"id": 1000 + n, "name": format!("Rex {n}"), "kind": "dog", "vaccinated": n % 3 == 0}))
        .collect();
    serde_json::to_string_pretty(&pets).expect("plain data")
}

/// The log of a build, in which three lines report an error.
fn log() -> String {
    let mut log = String::new();
    for n in 0..160 {
        let what = if n % 60 == 30 {
            format!("ERROR cannot write to disk sd{}", ["a", "b", "c"][n / 60])
        } else {
            format!("INFO worker-{} finished step {n} in {} ms", n % 7, 40 + n % 13)
        };
        let _ = writeln!(log, "2026-01-01 00:{:02}:{:02} {what}", n / 60, n % 60);
    }
    log
}

fn script_of(calls: &[ToolCall]) -> Script {
    let steps: Vec<Script> = calls
        .iter()
        .map(|call| Script { tool_call: Some(call.clone()), ..Script::default() })
        .chain([Script { text: Some(ANSWER.to_owned()), ..Script::default() }])
        .collect();
    let Some((first, then)) = steps.split_first() else { return Script::default() };
    Script { then: then.to_vec(), by_outputs: true, ..first.clone() }
}

fn call(name: &str, arguments: Value) -> ToolCall {
    ToolCall { name: name.to_owned(), arguments }
}

fn said(output: &Output) -> String {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let lines: Vec<&str> = out.lines().chain(["--- and on standard error:"]).chain(err.lines()).collect();
    format!("{}\n{}", output.status, lines[lines.len().saturating_sub(80)..].join("\n"))
}

/// An agent, and what it needs beside what `wrap` gives it.
struct Agent {
    name: &'static str,
    arguments: Vec<&'static str>,
    variables: Vec<(&'static str, &'static str)>,
    /// Files in its home folder; those that `wrap --install` edits are among them.
    files: Vec<(&'static str, String)>,
    calls: [ToolCall; 2],
    /// Whether it needs files that `wrap --install` cannot do without.
    edits: bool,
}

/// Runs an agent with `wrap` alone, then with `wrap --install` beside a Headroom of its own, and unwraps it.
async fn drive(bin: PathBuf, agent: Agent) -> Result<()> {
    let house = House::new(&agent.calls).await?;
    for (name, text) in &agent.files {
        house.write(name, text)?;
    }
    let mut wrapped = house.command(&bin, &agent.variables).await?;
    wrapped.args(["wrap", agent.name, "--"]).args(&agent.arguments);
    let output = wrapped.output().await?;
    ensure!(output.status.success(), "{}", said(&output));
    ensure!(String::from_utf8_lossy(&output.stdout).contains(ANSWER), "no answer: {}", said(&output));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = errors.lines().last().unwrap_or_default();
    ensure!(line.starts_with("headroomctl: saved ") && !line.contains("saved 0 of"), "{}", said(&output));
    say(&format!("{}: {line}", agent.name));
    let body = house.outputs()?;
    ensure!(
        body.contains("Rex 39") && !body.contains(r#"\"name\": \"Rex 39\""#),
        "nothing was compressed: {body}"
    );
    for (name, text) in &agent.files {
        let now = fs::read_to_string(house.home().join(name))?;
        ensure!(&now == text, "{name} was edited for good:\n{now}");
    }
    house.is_quiet().await?;
    if !agent.edits {
        return Ok(());
    }

    let mut install = house.command(&bin, &agent.variables).await?;
    let output = install.args(["wrap", agent.name, "--install"]).output().await?;
    ensure!(output.status.success(), "{}", said(&output));
    let edited: Vec<&str> = agent
        .files
        .iter()
        .filter(|(name, text)| fs::read_to_string(house.home().join(name)).is_ok_and(|now| &now != text))
        .map(|(name, _)| *name)
        .collect();
    ensure!(!edited.is_empty(), "nothing was edited: {}", said(&output));
    let before = house.relay.sent().len();
    // The agent itself, while another wrapped run keeps Headroom alive.
    let script = format!(
        "until curl -fsS -o /dev/null http://127.0.0.1:{}/livez; do sleep 0.2; done; exec \"$@\"",
        house.port
    );
    let mut keeper = house.command(&bin, &agent.variables).await?;
    fs::create_dir_all(house.folder.path().join("keeper"))?;
    write_program(&house.folder.path().join("keeper/pi"), "#!/bin/sh\nsleep 120\n")?;
    keeper
        .env("PATH", format!("{}:{}", house.folder.path().join("keeper").display(), std::env::var("PATH")?));
    let mut keeper = keeper.args(["wrap", "pi"]).spawn()?;
    let mut alone = Command::new("timeout");
    alone.args(["--kill-after=5", PATIENCE, "sh", "-c", &script, "sh"]);
    alone.arg(bin.join(program(agent.name))).args(&agent.arguments);
    alone.current_dir(house.home().join("work")).env_clear().env("HOME", house.home());
    alone.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH")?));
    alone.envs(agent.variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = alone.output().await?;
    ensure!(String::from_utf8_lossy(&output.stdout).contains(ANSWER), "installed: {}", said(&output));
    ensure!(house.relay.sent().len() > before, "its requests did not pass Headroom: {}", said(&output));
    let id = keeper.id().context("it runs")?.to_string();
    std::process::Command::new("kill").arg(id).status()?;
    keeper.wait().await?;

    for _ in 0..2 {
        let mut unwrap = house.command(&bin, &[]).await?;
        let output = unwrap.args(["unwrap", agent.name]).output().await?;
        ensure!(output.status.success(), "{}", said(&output));
    }
    for (name, text) in agent.files.iter().filter(|(name, _)| edited.contains(name)) {
        let now = fs::read_to_string(house.home().join(name))?;
        ensure!(&now == text, "{name} is not what it was:\n{now}");
    }
    house.is_quiet().await
}

fn program(agent: &str) -> &str {
    if agent == "continue" { "cn" } else { agent }
}

fn write_program(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

async fn from_npm() -> Result<Option<PathBuf>> {
    let found = tokio::task::spawn_blocking(|| node::with("agents")).await?;
    Ok(skip::unless("agents from npm", found)?.map(|folder| folder.join("node_modules/.bin")))
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn claude_code_is_wrapped_although_its_settings_name_another_address() -> Result<()> {
    let Some(bin) = from_npm().await? else { return Ok(()) };
    let settings =
        "{\n    // mine\n    \"env\": {\n        \"ANTHROPIC_BASE_URL\": \"http://127.0.0.1:9\"\n    }\n}\n";
    drive(
        bin,
        Agent {
            name: "claude",
            arguments: vec![
                "--print",
                "--permission-mode",
                "bypassPermissions",
                "--model",
                "claude-sonnet-4-5",
                QUESTION,
            ],
            variables: vec![
                ("ANTHROPIC_API_KEY", "dummy"),
                ("IS_SANDBOX", "1"),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ],
            files: vec![(".claude/settings.json", settings.replace("    // mine\n", ""))],
            calls: [
                call("Bash", json!({"command": "cat pets.json"})),
                call("Bash", json!({"command": "cat build.log"})),
            ],
            edits: true,
        },
    )
    .await
}

fn codex(auth: &str) -> Agent {
    let configuration =
        "# mine\nmodel = \"gpt-5\"\ncheck_for_update_on_startup = false\n\n[analytics]\nenabled = false\n";
    Agent {
        name: "codex",
        arguments: vec![
            "exec",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            QUESTION,
        ],
        variables: vec![],
        files: vec![(".codex/config.toml", configuration.to_owned()), (".codex/auth.json", auth.to_owned())],
        calls: [
            call("exec_command", json!({"cmd": "cat pets.json"})),
            call("exec_command", json!({"cmd": "cat build.log"})),
        ],
        edits: true,
    }
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn codex_is_wrapped_with_an_api_key() -> Result<()> {
    let Some(bin) = from_npm().await? else { return Ok(()) };
    drive(bin, codex(r#"{"OPENAI_API_KEY":"dummy"}"#)).await
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn gemini_cli_is_wrapped() -> Result<()> {
    let Some(bin) = from_npm().await? else { return Ok(()) };
    let settings = json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
        "privacy": {"usageStatisticsEnabled": false},
        "telemetry": {"enabled": false},
    });
    let shell = |command: &str| call("run_shell_command", json!({"command": command}));
    drive(
        bin,
        Agent {
            name: "gemini",
            arguments: vec!["--yolo", "--model", "gemini-2.5-pro", "--prompt", QUESTION],
            variables: vec![("GEMINI_API_KEY", "dummy"), ("GEMINI_CLI_TRUST_WORKSPACE", "true")],
            files: vec![
                (".gemini/settings.json", settings.to_string()),
                (".gemini/.env", "A=1\n".to_owned()),
            ],
            calls: [shell("cat pets.json"), shell("cat build.log")],
            edits: true,
        },
    )
    .await
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn opencode_is_wrapped() -> Result<()> {
    let Some(bin) = from_npm().await? else { return Ok(()) };
    let configuration = "{\n  // mine\n  \"autoupdate\": false,\n  \"share\": \"disabled\",\n  \"permission\": \"allow\",\n  \"model\": \"anthropic/claude-sonnet-4-5\",\n  \"small_model\": \"anthropic/claude-sonnet-4-5\",\n}\n";
    let shell = |command: &str| call("bash", json!({"command": command, "description": "Print a file"}));
    drive(
        bin,
        Agent {
            name: "opencode",
            arguments: vec!["run", QUESTION],
            variables: vec![
                ("ANTHROPIC_API_KEY", "dummy"),
                ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
                ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
                ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
            ],
            files: vec![(".config/opencode/opencode.jsonc", configuration.to_owned())],
            calls: [shell("cat pets.json"), shell("cat build.log")],
            edits: true,
        },
    )
    .await
}
