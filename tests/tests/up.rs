//! `headroomctl up`, as users run it: the program, its two children, and signals.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result};
use headroom_e2e::client::{Answer, Call, Connection, Protocol};
use headroom_e2e::deadline::{until, within};
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER, Script};
use headroom_e2e::{Provider, built, envoy};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

#[path = "up/background.rs"]
mod background;
#[path = "up/commands.rs"]
mod commands;
#[path = "up/demo.rs"]
mod demo;
#[path = "up/providers.rs"]
mod providers_by_name;
#[path = "up/safety.rs"]
mod safety;
#[path = "up/tls.rs"]
mod tls;

/// A running `headroomctl up` on free ports.
struct Up {
    process: Child,
    listener: SocketAddr,
    workspace: TempDir,
    /// Its standard output when it was ready.
    printed: String,
}

async fn command(workspace: &Path, arguments: &[String]) -> Result<Command> {
    command_with(workspace, arguments, &built::headroomd().await?).await
}

async fn command_with(workspace: &Path, arguments: &[String], headroomd: &Path) -> Result<Command> {
    let mut command = Command::new(built::headroomctl().await?);
    command.args(["up", "--port", "0", "--workers", "1", "--workspace-dir"]).arg(workspace);
    command.arg("--module").arg(built::filter_module().await?);
    command.arg("--headroomd").arg(headroomd);
    command.arg("--envoy").arg(envoy::binary().await?);
    command.args(arguments);
    for name in ["HTTP", "GRPC", "HOST", "MODE", "TOKEN", "TOKEN_FILE", "ALLOWED_HOSTS", "LOG_MESSAGES"] {
        command.env_remove(format!("HEADROOM_{name}"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

fn providers(url: &str) -> Vec<String> {
    ["--anthropic-api-url", "--openai-api-url", "--gemini-api-url"].map(|name| format!("{name}={url}")).into()
}

impl Up {
    async fn start(workspace: TempDir, arguments: &[String]) -> Result<Self> {
        Self::spawn(command(workspace.path(), arguments).await?, workspace).await
    }

    async fn spawn(mut command: Command, workspace: TempDir) -> Result<Self> {
        let mut process = command.spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("a pipe was asked for")?).lines();
        let mut listener = None;
        let mut printed = String::new();
        while let Some(line) = within("a line from headroomctl up", lines.next_line()).await?? {
            printed = printed + &line + "\n";
            if let Some(url) = line.strip_prefix("ANTHROPIC_BASE_URL=http://") {
                listener = Some(url.parse()?);
            }
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let Some(listener) = listener else {
            let (_, message) = ending(process).await?;
            anyhow::bail!("no base URL was printed: {message}");
        };
        Ok(Self { process, listener, workspace, printed })
    }

    async fn send(&self, call: Call) -> Result<Answer> {
        Connection::open(self.listener, Protocol::Http1).await?.send(call).await
    }

    /// The process ids of Envoy and headroomd.
    fn children(&self) -> Result<Vec<(String, u32)>> {
        let id = self.process.id().context("headroomctl runs")?;
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let named = children.split_whitespace().map(|child| {
            let name = fs::read_to_string(format!("/proc/{child}/comm"))?;
            Ok((name.trim().to_owned(), child.parse()?))
        });
        let all: Vec<(String, u32)> = named.collect::<Result<_>>()?;
        Ok(all.into_iter().filter(|(name, _)| name.starts_with("envoy") || name == "headroomd").collect())
    }

    fn signal(&self, signal: &str) -> Result<()> {
        kill(signal, self.process.id().context("headroomctl runs")?)
    }
}

fn kill(signal: &str, process: u32) -> Result<()> {
    let status = std::process::Command::new("kill").args([signal, &process.to_string()]).status()?;
    anyhow::ensure!(status.success(), "kill {signal} {process}: {status}");
    Ok(())
}

/// The exit status of a process, and its standard error.
async fn ending(mut process: Child) -> Result<(ExitStatus, String)> {
    let mut message = String::new();
    let mut stderr = process.stderr.take().context("a pipe was asked for")?;
    within("the end of headroomctl up", stderr.read_to_string(&mut message)).await??;
    Ok((within("the end of headroomctl up", process.wait()).await??, message))
}

async fn gone(children: &[(String, u32)]) -> Result<()> {
    until("the children are gone", || async {
        let running = |process: &u32| {
            // A zombie has ended too.
            fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
        };
        (!children.iter().any(|(_, process)| running(process))).then_some(())
    })
    .await
}

fn messages_call(name: &str) -> Call {
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]});
    Call::post("/v1/messages", body.to_string()).header(NAME_HEADER, name)
}

#[tokio::test]
async fn requests_are_served_until_sigterm_and_counted_after_it() -> Result<()> {
    let provider = Provider::start(0).await?;
    let workspace = tempfile::tempdir()?;
    let filter = workspace.path().join("filter.json");
    // More often than each second: at the end `up` waits for little longer than that.
    let often = json!({"cluster": "headroom", "http_cluster": "headroomd_http", "report_interval_ms": 300});
    fs::write(&filter, json!({"control_plane": often}).to_string())?;
    let mut arguments = providers(&format!("http://{}", provider.address()));
    arguments.push(format!("--filter-config={}", filter.display()));
    let up = Up::start(workspace, &arguments).await?;
    assert_eq!(up.send(messages_call("served")).await?.status, 200);
    assert_eq!(provider.requests("served").len(), 1);
    for (path, status) in
        [("/livez", 200), ("/readyz", 200), ("/stats", 200), ("/debug/tasks", 404), ("/else", 404)]
    {
        assert_eq!(up.send(Call::get(path)).await?.status, status, "{path}");
    }

    // At once, so that the record of the request is still in the filter's queue.
    let children = up.children()?;
    assert_eq!(children.len(), 2, "{children:?}");
    up.signal("-TERM")?;
    let Up { process, workspace, .. } = up;
    let (status, message) = ending(process).await?;
    assert_eq!(status.code(), Some(0), "{message}");
    gone(&children).await?;

    let again = Up::start(workspace, &arguments).await?;
    let stats: Value = serde_json::from_slice(&again.send(Call::get("/stats")).await?.body)?;
    assert_eq!(stats["requests"]["total"], 1, "{stats}");
    Ok(())
}

#[tokio::test]
async fn a_request_that_is_open_at_the_end_gets_its_answer_and_is_counted() -> Result<()> {
    let provider = Provider::start(0).await?;
    let arguments = providers(&format!("http://{}", provider.address()));
    let up = Up::start(tempfile::tempdir()?, &arguments).await?;
    let gated = Script { gate: true, ..Script::default() };
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 10, "stream": true,
        "messages": [{"role": "user", "content": "hi"}]});
    let call = Call::post("/v1/messages", body.to_string())
        .header(NAME_HEADER, "open")
        .header(SCRIPT_HEADER, &gated.header());
    let mut answer = Connection::open(up.listener, Protocol::Http1).await?.stream(call).await?;
    answer.next().await?.context("its first event")?;
    up.signal("-TERM")?;
    let Up { process, workspace, listener, .. } = up;
    until("it takes no more requests", || async {
        Connection::open(listener, Protocol::Http1).await.is_err().then_some(())
    })
    .await?;
    // Longer than the wait for the last report, so that only the open request keeps Envoy running.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    // The maximum number of events of an answer.
    provider.release("open", 50);
    assert!(answer.finish().await?.text().contains("message_stop"));
    let (status, message) = ending(process).await?;
    assert_eq!(status.code(), Some(0), "{message}");
    assert!(message.contains("Waiting up to 5 s"), "{message}");

    let again = Up::start(workspace, &arguments).await?;
    let stats: Value = serde_json::from_slice(&again.send(Call::get("/stats")).await?.body)?;
    assert_eq!(stats["requests"]["total"], 1, "{stats}");
    Ok(())
}

#[tokio::test]
async fn a_dead_envoy_is_named_with_the_end_of_its_log() -> Result<()> {
    let up = Up::start(tempfile::tempdir()?, &providers("http://127.0.0.1:9")).await?;
    let children = up.children()?;
    let (_, child) = children.iter().find(|(child, _)| child.starts_with("envoy")).context("it runs")?;
    kill("-KILL", *child)?;
    let (status, message) = ending(up.process).await?;
    assert_eq!(status.code(), Some(1), "{message}");
    assert!(message.contains("Envoy died") && message.contains(".log, ends:"), "{message}");
    gone(&children).await
}

#[tokio::test]
async fn when_it_is_killed_its_children_end_too() -> Result<()> {
    let up = Up::start(tempfile::tempdir()?, &providers("http://127.0.0.1:9")).await?;
    let children = up.children()?;
    up.signal("-KILL")?;
    let status = ending(up.process).await?.0;
    assert!(!status.success());
    gone(&children).await
}

#[tokio::test]
async fn a_second_one_is_refused_where_it_would_meet_the_first() -> Result<()> {
    let up = Up::start(tempfile::tempdir()?, &providers("http://127.0.0.1:9")).await?;
    let same_folder = command(up.workspace.path(), &[]).await?.spawn()?;
    let (status, message) = ending(same_folder).await?;
    assert_eq!(status.code(), Some(1));
    assert!(message.contains("another `headroomctl up`") && message.contains("--workspace-dir"), "{message}");

    let other_folder = tempfile::tempdir()?;
    let port = up.listener.port().to_string();
    let mut same_port = Command::new(built::headroomctl().await?);
    same_port.args(["up", "--port", &port, "--workspace-dir"]).arg(other_folder.path());
    same_port.arg("--module").arg(built::filter_module().await?);
    same_port.arg("--headroomd").arg(built::headroomd().await?).arg("--envoy").arg(envoy::binary().await?);
    same_port.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let (status, message) = ending(same_port.spawn()?).await?;
    assert_eq!(status.code(), Some(1));
    assert!(
        message.contains(&format!("port {port} on 127.0.0.1")) && message.contains("--port"),
        "{message}"
    );
    Ok(())
}

#[tokio::test]
async fn a_sidecar_that_cannot_start_is_quoted() -> Result<()> {
    let workspace = tempfile::tempdir()?;
    let sidecar = workspace.path().join("sidecar.sh");
    fs::write(&sidecar, "#!/bin/sh\necho no room left >&2\nexit 3\n")?;
    let mut permissions = fs::metadata(&sidecar)?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(&sidecar, permissions)?;
    let mut command = Command::new(built::headroomctl().await?);
    command.args(["up", "--port", "0", "--workspace-dir"]).arg(workspace.path());
    command.arg("--module").arg(&sidecar).arg("--headroomd").arg(&sidecar).arg("--envoy").arg(&sidecar);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let (status, message) = ending(command.spawn()?).await?;
    assert_eq!(status.code(), Some(1));
    assert!(
        message.contains("headroomd ended (exit status: 3)") && message.contains("no room left"),
        "{message}"
    );
    Ok(())
}

#[tokio::test]
async fn a_provider_is_reached_over_tls_only_with_a_certificate_of_its_own() -> Result<()> {
    let good = tls::Server::start(&["localhost", "127.0.0.1"]).await?;
    let wrong = tls::Server::start(&["other.example"]).await?;
    let workspace = tempfile::tempdir()?;
    let roots = workspace.path().join("roots.pem");
    fs::write(&roots, [good.root(), wrong.root()].concat())?;
    let arguments = [
        format!("--anthropic-api-url=https://localhost:{}/prefix", good.port()),
        format!("--openai-api-url=https://127.0.0.1:{}", good.port()),
        format!("--gemini-api-url=https://localhost:{}", wrong.port()),
    ];
    let mut command = command(workspace.path(), &arguments).await?;
    command.env("SSL_CERT_FILE", &roots);
    let up = Up::spawn(command, workspace).await?;
    let by_name = up.send(Call::post("/v1/messages", "{}")).await?;
    assert_eq!(by_name.text(), "POST /prefix/v1/messages HTTP/1.1");
    let by_address = up.send(Call::post("/v1/chat/completions", "{}")).await?;
    assert_eq!(by_address.text(), "POST /v1/chat/completions HTTP/1.1");
    let refused = up.send(Call::post("/v1beta/models/gemini-2.5-pro:generateContent", "{}")).await?;
    assert_eq!(refused.status, 503);
    assert_eq!(wrong.requests(), 0);
    Ok(())
}
