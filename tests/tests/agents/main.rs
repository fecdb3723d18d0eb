//! Coding agents from npm, driven without a person through a loop in which they run their own tools.
//!
//! Slow, and a gigabyte to install: `make test-clients`.

mod litellm;
mod long;
mod memory;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use headroom_compress::Api;
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::provider::ToolCall;
use headroom_e2e::reading::{output_texts, without_outputs};
use headroom_e2e::relay::Relay;
use headroom_e2e::sidecar::{Kind, Sidecar};
use headroom_e2e::websocket::WebSocketProvider;
use headroom_e2e::{Script, Stack, built, node, say, skip};
use serde_json::{Value, json};

/// The model's last text, which the agent must print.
const ANSWER: &str = "The third error names disk sdc.";

/// How long an agent may take in all, in seconds. A limit against hanging: each needs a few seconds.
const PATIENCE: &str = "300";

/// The places of the model and of an agent's own files.
struct Setting<'a> {
    /// `http://…` without a path.
    url: &'a str,
    /// Its HOME, only for this run.
    home: &'a Path,
    /// Its working folder, with `pets.json` and `build.log`.
    work: &'a Path,
}

/// How to run an agent.
struct Agent {
    /// Its name here.
    name: &'static str,
    /// Its API.
    api: Api,
    /// Its program in `node_modules/.bin`.
    program: &'static str,
    /// Its arguments: options against questions to the user, and a prompt.
    arguments: Vec<String>,
    /// Its environment, besides PATH and HOME.
    environment: Vec<(&'static str, String)>,
    /// Calls of its own tools: print `pets.json`, print `build.log`, read `pets.json` again.
    calls: [ToolCall; 3],
}

fn call(name: &str, arguments: Value) -> ToolCall {
    ToolCall { name: name.to_owned(), arguments }
}

fn owned<const N: usize>(arguments: [&str; N]) -> Vec<String> {
    arguments.map(str::to_owned).to_vec()
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
        let minute = n / 60;
        let second = n % 60;
        let what = if n % 60 == 30 {
            format!("ERROR cannot write to disk sd{}", ["a", "b", "c"][n / 60])
        } else {
            format!("INFO worker-{} finished step {n} in {} ms", n % 7, 40 + n % 13)
        };
        let _ = writeln!(log, "2026-01-01 00:{minute:02}:{second:02} {what}");
    }
    log
}

/// Runs an agent against the scripted provider and compares its requests with those that arrived.
async fn drive(agent: impl FnOnce(&Setting<'_>) -> Result<Agent>) -> Result<()> {
    let found = tokio::task::spawn_blocking(|| node::with("agents")).await?;
    let Some(installed) = skip::unless("agents from npm", found)? else { return Ok(()) };
    let stack = Stack::start(Options { filter: Some(plugin()), ..Options::default() }, Kind::Real).await?;
    let home = tempfile::tempdir()?;
    let work = workplace(home.path())?;

    // The agent's configuration needs the address of the relay, whose script needs the agent's tools.
    let port = Relay::reserve()?;
    let url = format!("http://{}", port.address());
    let agent = agent(&Setting { url: &url, home: home.path(), work: &work })?;
    let relay = port.start(stack.envoy.listener(), agent.name, &script_of(&agent.calls)).await?;

    let output = run(&agent, &installed, home.path(), &work).await?;
    let loops = held_against(&agent, &stack, &relay).with_context(|| said(&output))?;
    ensure!(output.status.success(), "it ended with {}:\n{}", output.status, said(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    ensure!(stdout.contains(ANSWER), "the answer was expected:\n{}", said(&output));

    let seen = until("the requests are in the statistics", || async {
        let stats = stack.sidecar.stats().await.ok()?;
        (stats["requests"]["total"].as_u64()? >= loops as u64).then_some(stats)
    })
    .await?;
    let saved = seen["tokens"]["saved"].as_u64().unwrap_or_default();
    ensure!(saved > 0, "/stats says that nothing was saved: {}", seen["tokens"]);
    Ok(())
}

/// As `headroomctl up` sets the filter up.
fn plugin() -> Value {
    json!({"reversible": true,
        "control_plane": {"cluster": "headroom", "report_interval_ms": 50}})
}

/// A folder with the files to read.
fn workplace(home: &Path) -> Result<PathBuf> {
    let work = home.join("work");
    fs::create_dir(&work)?;
    fs::write(work.join("pets.json"), pets())?;
    fs::write(work.join("build.log"), log())?;
    Ok(work)
}

/// The model asks for these one after another, and then knows the answer.
fn script_of(calls: &[ToolCall; 3]) -> Script {
    let [first, then @ ..] = calls.clone().map(|call| Script { tool_call: Some(call), ..Script::default() });
    let last = Script { text: Some(ANSWER.to_owned()), ..Script::default() };
    Script { then: [&then[..], &[last]].concat(), by_outputs: true, ..first }
}

async fn run(agent: &Agent, installed: &Path, home: &Path, work: &Path) -> Result<Output> {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", PATIENCE])
        .arg(installed.join("node_modules/.bin").join(agent.program))
        .args(&agent.arguments)
        .current_dir(work)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .envs(agent.environment.iter().map(|(key, value)| (*key, value)))
        .stdin(std::process::Stdio::null());
    tokio::task::spawn_blocking(move || command.output()).await?.context("timeout of coreutils")
}

fn said(output: &Output) -> String {
    let text =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    let lines: Vec<&str> = text.lines().collect();
    format!(
        "the agent ended with {} and said:\n{}",
        output.status,
        lines[lines.len().saturating_sub(60)..].join("\n")
    )
}

/// A request of the loop, as the agent sent it and as it arrived.
struct Pair {
    sent: Bytes,
    arrived: Bytes,
}

/// Checks each request and returns how many belong to the loop.
fn held_against(agent: &Agent, stack: &Stack, relay: &Relay) -> Result<usize> {
    let mut pairs = Vec::new();
    for (number, sent) in relay.sent().into_iter().enumerate() {
        let arrived = stack.provider.requests(&format!("{}/{number}", agent.name));
        let [arrived] = arrived.as_slice() else {
            ensure!(sent.body.is_empty(), "{} {} arrived {} times", number, sent.path, arrived.len());
            continue;
        };
        ensure!(arrived.path == sent.path, "{} became {}", sent.path, arrived.path);
        let outputs = output_texts(agent.api, &sent.body).unwrap_or_default();
        if outputs.is_empty() {
            ensure!(
                without_retrieve_tool(agent.api, &arrived.body)?
                    == without_retrieve_tool(agent.api, &sent.body)?,
                "request {number} has no tool output and was changed"
            );
            continue;
        }
        pairs.push(Pair { sent: sent.body, arrived: arrived.body.clone() });
    }
    ensure!(pairs.len() >= agent.calls.len(), "{} requests with tool outputs", pairs.len());
    for pair in &pairs {
        let [sent, arrived] = [&pair.sent, &pair.arrived].map(|body| without_retrieve_tool(agent.api, body));
        ensure!(sent? == arrived?, "something besides the tool outputs was changed");
    }
    for two in pairs.windows(2) {
        let [one, next] = two else { continue };
        // Bytes that an agent repeats are forwarded as the same bytes (I3): forwarded requests differ no
        // earlier than the agent's own requests, except for the saving in the outputs before.
        let saved = escaped(agent.api, &one.sent)?.saturating_sub(escaped(agent.api, &one.arrived)?);
        ensure!(
            common(&one.arrived, &next.arrived) + saved >= common(&one.sent, &next.sent),
            "the cached prefix broke: {} of {} bytes stay the same, {} arrived and {saved} were saved",
            common(&one.sent, &next.sent),
            one.sent.len(),
            common(&one.arrived, &next.arrived),
        );
    }
    let last = pairs.last().context("there are requests")?;
    let [sent, arrived] = [&last.sent, &last.arrived].map(|body| output_texts(agent.api, body));
    let (sent, arrived) = (sent?, arrived?);
    let lengths: Vec<_> =
        sent.iter().zip(&arrived).map(|(s, a)| format!("{} → {}", s.len(), a.len())).collect();
    say(&format!("{}: {} requests with outputs, characters {}", agent.name, pairs.len(), lengths.join(", ")));
    let [pets, log, read, ..] = arrived.as_slice() else { panic!("three outputs, not {}", arrived.len()) };
    for n in 0..40 {
        // An output may refer to an earlier one with the same text.
        let is_shown = read.contains(&format!("Rex {n}")) || read.contains("same as");
        ensure!(pets.contains(&format!("Rex {n}")) && is_shown, "Rex {n} is gone:\n{pets}\n{read}");
    }
    for disk in ["sda", "sdb", "sdc"] {
        ensure!(
            log.contains(&format!("ERROR cannot write to disk {disk}")),
            "the error of {disk} is gone:\n{log}"
        );
    }
    for (sent, arrived) in sent.iter().zip(&arrived) {
        ensure!(arrived.len() <= sent.len(), "an output got longer:\n{arrived}");
    }
    let [before, after] = [&sent, &arrived].map(|outputs| outputs.iter().map(String::len).sum::<usize>());
    ensure!(after < before / 2, "the outputs have {after} characters of {before}:\n{}", arrived.join("\n"));
    Ok(pairs.len())
}

/// A body without the text of outputs, and without the tool that the filter adds.
fn without_retrieve_tool(api: Api, body: &[u8]) -> Result<Value> {
    let mut value = without_outputs(api, body)?;
    let is_ours = |tool: &Value| tool.to_string().contains("\"name\":\"headroom_retrieve\"");
    let lists = value["tools"].as_array_mut();
    if let Some(tools) = lists {
        for tool in tools.iter_mut() {
            if let Some(functions) = tool.get_mut("functionDeclarations").and_then(Value::as_array_mut) {
                functions.retain(|function| !is_ours(function));
            }
        }
        tools.retain(|tool| tool.get("functionDeclarations").is_some() || !is_ours(tool));
    }
    Ok(value)
}

/// The length of all tool outputs as spelled in a body.
fn escaped(api: Api, body: &[u8]) -> Result<usize> {
    Ok(output_texts(api, body)?.iter().map(|text| json!(text).to_string().len()).sum())
}

/// How many bytes two texts have in common from the start.
fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// Codex with its own provider, over HTTP or, as it does with OpenAI's, in a WebSocket session.
fn codex(setting: &Setting<'_>, websockets: bool) -> Result<Agent> {
    let folder = setting.home.join(".codex");
    fs::create_dir(&folder)?;
    let configuration = format!(
        r#"model = "gpt-5"
model_provider = "headroom"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.headroom]
name = "Headroom"
base_url = "{}/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
supports_websockets = {websockets}
"#,
        setting.url
    );
    fs::write(folder.join("config.toml"), configuration)?;
    Ok(Agent {
        name: "codex",
        api: Api::OpenAiResponses,
        program: "codex",
        arguments: owned([
            "exec",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            "Which disk does the third error name?",
        ]),
        environment: vec![("OPENAI_API_KEY", "dummy".into())],
        calls: CODEX_CALLS.map(codex_call),
    })
}

/// The commands for Codex.
const CODEX_CALLS: [&str; 3] = ["cat pets.json", "cat build.log", "cat -n pets.json"];

fn codex_call(command: &str) -> ToolCall {
    call("exec_command", json!({"cmd": command}))
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn codex_runs_its_loop_over_responses() -> Result<()> {
    drive(|setting| codex(setting, false)).await
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn codex_runs_its_loop_in_a_websocket_session() -> Result<()> {
    let found = tokio::task::spawn_blocking(|| node::with("agents")).await?;
    let Some(installed) = skip::unless("agents from npm", found)? else { return Ok(()) };
    let home = tempfile::tempdir()?;
    let work = workplace(home.path())?;
    let provider = WebSocketProvider::start(script_of(&CODEX_CALLS.map(codex_call))).await?;
    let sidecar = Sidecar::start(Kind::Real, home.path()).await?;
    let neighbours = Neighbours {
        provider: provider.address(),
        sidecar_grpc: sidecar.grpc(),
        sidecar_http: sidecar.http(),
    };
    let options = Options { filter: Some(plugin()), ..Options::default() };
    let envoy = Envoy::start(&options, neighbours, &built::filter_module().await?, home.path()).await?;
    let url = format!("http://{}", envoy.listener());
    let agent = codex(&Setting { url: &url, home: home.path(), work: &work }, true)?;
    let output = run(&agent, &installed, home.path(), &work).await?;
    ensure!(output.status.success(), "it ended with {}:\n{}", output.status, said(&output));
    ensure!(String::from_utf8_lossy(&output.stdout).contains(ANSWER), "no answer:\n{}", said(&output));

    let arrived = provider.messages();
    let requests: Vec<Value> = arrived
        .iter()
        .filter_map(|message| serde_json::from_str(message.to_text().ok()?).ok())
        .filter(|message: &Value| message["type"] == "response.create")
        .collect();
    let outputs: Vec<&str> = requests
        .iter()
        .flat_map(|request| request["input"].as_array().into_iter().flatten())
        .filter_map(|item| item["output"].as_str())
        .collect();
    let [pets, log, read] = outputs.as_slice() else { anyhow::bail!("{} outputs", outputs.len()) };
    for n in 0..40 {
        ensure!(pets.contains(&format!("Rex {n}")) && read.contains(&format!("Rex {n}")), "Rex {n} is gone");
    }
    for disk in ["sda", "sdb", "sdc"] {
        ensure!(log.contains(&format!("ERROR cannot write to disk {disk}")), "{disk} is gone:\n{log}");
    }
    let stats = until("each request has a record", || async {
        let stats = sidecar.stats().await.ok()?;
        (stats["requests"]["total"].as_u64()? >= requests.len() as u64).then_some(stats)
    })
    .await?;
    ensure!(stats["requests"]["total"] == requests.len(), "{} of {}", stats["requests"], requests.len());
    let mut connection = Connection::open(sidecar.http(), Protocol::Http1).await?;
    let feed = connection.send(Call::get("/transformations/feed?limit=100")).await?.text();
    let feed: Value = serde_json::from_str(&feed)?;
    let records = feed["transformations"].as_array().context("records")?;
    let answered = records.iter().all(|it| it["status"] == 200 && it["usage"].is_object());
    ensure!(answered, "a record has no answer: {feed:#}");
    ensure!(records.iter().all(|it| it["session_id"] == records[0]["session_id"]), "one session: {feed:#}");
    let saved = stats["tokens"]["saved"].as_u64().unwrap_or_default();
    ensure!(saved > 0, "nothing was saved: {}", stats["tokens"]);
    let lengths: Vec<_> = outputs.iter().map(|output| output.len().to_string()).collect();
    say(&format!(
        "codex over WebSocket: {} requests, outputs of {} characters arrived, {saved} tokens saved",
        requests.len(),
        lengths.join(", "),
    ));
    Ok(())
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn gemini_cli_runs_its_loop() -> Result<()> {
    drive(|setting| {
        let folder = setting.home.join(".gemini");
        fs::create_dir(&folder)?;
        let settings = json!({
            "security": {"auth": {"selectedType": "gemini-api-key"}},
            "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
            "privacy": {"usageStatisticsEnabled": false},
            "telemetry": {"enabled": false},
        });
        fs::write(folder.join("settings.json"), settings.to_string())?;
        let shell = |command: &str| call("run_shell_command", json!({"command": command}));
        Ok(Agent {
            name: "gemini-cli",
            api: Api::GeminiGenerateContent,
            program: "gemini",
            arguments: owned([
                "--yolo",
                "--model",
                "gemini-2.5-pro",
                "--prompt",
                "Which disk does the third error name?",
            ]),
            environment: vec![
                ("GEMINI_API_KEY", "dummy".into()),
                ("GOOGLE_GEMINI_BASE_URL", setting.url.into()),
                ("GEMINI_CLI_TRUST_WORKSPACE", "true".into()),
            ],
            calls: [
                shell("cat pets.json"),
                shell("cat build.log"),
                call("read_file", json!({"file_path": setting.work.join("pets.json")})),
            ],
        })
    })
    .await
}

/// Claude Code with a model that is known to think.
fn claude_code(setting: &Setting<'_>) -> Result<Agent> {
    let shell = |command: &str| call("Bash", json!({"command": command}));
    Ok(Agent {
        name: "claude-code",
        api: Api::AnthropicMessages,
        program: "claude",
        arguments: owned([
            "--print",
            "--permission-mode",
            "bypassPermissions",
            "--model",
            "claude-sonnet-4-5",
            "Which disk does the third error name?",
        ]),
        environment: vec![
            ("ANTHROPIC_API_KEY", "dummy".into()),
            ("ANTHROPIC_BASE_URL", setting.url.into()),
            // As root it refuses to run without questions unless it believes that it is in a sandbox.
            ("IS_SANDBOX", "1".into()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".into()),
        ],
        calls: [
            shell("cat pets.json"),
            shell("cat build.log"),
            call("Read", json!({"file_path": setting.work.join("pets.json")})),
        ],
    })
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn claude_code_runs_its_loop() -> Result<()> {
    drive(claude_code).await
}

/// OpenCode with a model of one of the AI SDK's providers.
fn opencode(
    setting: &Setting<'_>,
    name: &'static str,
    api: Api,
    provider: &Value,
    model: &str,
) -> Result<Agent> {
    let folder = setting.home.join(".config/opencode");
    fs::create_dir_all(&folder)?;
    let configuration = json!({
        "autoupdate": false,
        "share": "disabled",
        "permission": "allow",
        "model": model,
        "small_model": model,
        "provider": provider,
    });
    fs::write(folder.join("opencode.json"), configuration.to_string())?;
    let shell = |command: &str| call("bash", json!({"command": command, "description": "Print a file"}));
    Ok(Agent {
        name,
        api,
        program: "opencode",
        arguments: owned(["run", "Which disk does the third error name?"]),
        environment: vec![
            ("OPENCODE_DISABLE_AUTOUPDATE", "1".into()),
            ("OPENCODE_DISABLE_MODELS_FETCH", "1".into()),
            ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1".into()),
        ],
        calls: [
            shell("cat pets.json"),
            shell("cat build.log"),
            call("read", json!({"filePath": setting.work.join("pets.json")})),
        ],
    })
}

fn opencode_anthropic(setting: &Setting<'_>) -> Result<Agent> {
    let options = json!({"baseURL": format!("{}/v1", setting.url), "apiKey": "dummy"});
    let provider = json!({"anthropic": {"options": options}});
    opencode(setting, "opencode-anthropic", Api::AnthropicMessages, &provider, "anthropic/claude-sonnet-4-5")
}

fn opencode_chat(setting: &Setting<'_>) -> Result<Agent> {
    let options = json!({"baseURL": format!("{}/v1", setting.url), "apiKey": "dummy"});
    let models = json!({"gpt-4.1": {"name": "GPT-4.1", "tool_call": true}});
    let provider = json!({"scripted":
        {"npm": "@ai-sdk/openai-compatible", "name": "Scripted", "options": options, "models": models}});
    opencode(setting, "opencode-chat", Api::OpenAiChat, &provider, "scripted/gpt-4.1")
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn opencode_runs_its_loop_over_anthropic() -> Result<()> {
    drive(opencode_anthropic).await
}

#[tokio::test]
#[ignore = "slow: make test-clients"]
async fn opencode_runs_its_loop_over_chat_completions() -> Result<()> {
    drive(opencode_chat).await
}
