//! Headroom in the background: `up --detach`, `status`, `logs`, `restart`, `down`, and the configuration file that all
//! of them read.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use headroom_e2e::client::{Connection, Protocol};
use headroom_e2e::sidecar::free_port;
use headroom_e2e::{Provider, built, envoy};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::{kill, messages_call, within};

/// A folder for state, and in it the configuration file.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    async fn new(provider: &Provider, more: &str) -> Result<Self> {
        let home = Self { folder: tempfile::tempdir()? };
        let url = format!("http://{}", provider.address());
        let port = free_port()?.port();
        fs::create_dir(home.config())?;
        fs::write(
            home.config().join("config.toml"),
            format!(
                "port = {port}\nworkers = 1\nmodule = {:?}\nheadroomd = {:?}\nenvoy = {:?}\n{more}[upstreams]\nanthropic = \
                 {url:?}\nopenai = {url:?}\ngemini = {url:?}\n[sidecar]\nhttp = \"127.0.0.1:0\"\ngrpc = \
                 \"127.0.0.1:0\"\noriginals_seconds = 77\n[filter]\nresponse_headers = false\n",
                built::filter_module().await?,
                built::headroomd().await?,
                envoy::binary().await?,
            ),
        )?;
        Ok(home)
    }

    fn config(&self) -> std::path::PathBuf {
        self.folder.path().join("config")
    }

    fn workspace(&self) -> &Path {
        self.folder.path()
    }

    async fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(built::headroomctl().await?);
        command.args(arguments).env("HEADROOM_CONFIG_DIR", self.config());
        command.env("HEADROOM_WORKSPACE_DIR", self.workspace()).stdin(Stdio::null()).kill_on_drop(true);
        for name in ["HTTP", "GRPC", "HOST", "MODE", "TOKEN", "PORT", "WORKERS", "PROFILE"] {
            command.env_remove(format!("HEADROOM_{name}"));
        }
        Ok(command)
    }

    async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(arguments).await?;
        within("headroomctl ends", command.output()).await?.map_err(Into::into)
    }

    async fn says(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments).await?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{arguments:?}: {}: {errors}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    async fn status(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.run(&["status", "--json"]).await?.stdout)?)
    }
}

impl Drop for Home {
    /// Ends processes that a failing test leaves in the background.
    fn drop(&mut self) {
        let said = fs::read(self.workspace().join("run/up.json")).unwrap_or_default();
        let said: Value = serde_json::from_slice(&said).unwrap_or_default();
        if let Some(pid) = said["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()) {
            kill("-TERM", pid).ok();
        }
    }
}

async fn answers(url: &str, name: &str) -> Result<u16> {
    let address = url.strip_prefix("http://").context("a URL")?.parse()?;
    let answer = Connection::open(address, Protocol::Http1).await?.send(messages_call(name)).await?;
    ensure!(answer.header("x-headroom-outcome").is_none(), "the file says that no such headers are sent");
    Ok(answer.status.as_u16())
}

#[tokio::test]
async fn it_is_started_looked_at_restarted_and_stopped_in_the_background() -> Result<()> {
    let provider = Provider::start(0).await?;
    let home = Home::new(&provider, "").await?;
    assert_eq!(home.status().await?["running"], false);
    assert_eq!(home.run(&["status"]).await?.status.code(), Some(1));
    let nothing = home.run(&["restart"]).await?;
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("up --detach"), "{nothing:?}");
    assert!(home.says(&["down"]).await?.contains("does not run"));

    let said = home.says(&["up", "--detach"]).await?;
    assert!(said.starts_with("Headroom is ready.") && said.contains("down` stops it"), "{said}");
    let status = home.status().await?;
    let url = status["state"]["url"].as_str().context("a URL")?.to_owned();
    assert!(said.contains(&format!("ANTHROPIC_BASE_URL={url}\n")), "{said} {status}");
    assert_eq!((&status["serves"], &status["headroomd"]), (&true.into(), &"ready".into()), "{status}");
    assert_eq!(status["state"]["holder"], "background");
    assert_eq!(answers(&url, "first").await?, 200);
    assert_eq!(provider.requests("first").len(), 1);
    let shown = home.says(&["status"]).await?;
    assert!(shown.contains(&url) && shown.contains("in the background"), "{shown}");
    assert!(shown.contains("config.toml"), "{shown}");

    let again = home.run(&["up", "-d"]).await?;
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("runs already"), "{again:?}");

    let logs = home.says(&["logs"]).await?;
    assert!(logs.contains("up        | Headroom is ready."), "{logs}");
    let mut follow = home.command(&["logs", "access", "--follow", "-n", "1"]).await?;
    let mut follow = follow.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(follow.stdout.take().context("a pipe was asked for")?).lines();
    // Envoy writes its access log every ten seconds at the latest, and when it ends.
    assert_eq!(answers(&url, "followed").await?, 200);

    let pid = status["state"]["pid"].clone();
    let restarted = home.says(&["restart"]).await?;
    assert!(restarted.contains(&url), "the port is the file's: {restarted}");
    let line = within("a line of the access log", lines.next_line()).await??.context("a line")?;
    assert!(line.contains("/v1/messages"), "{line}");
    follow.kill().await?;
    let status = home.status().await?;
    assert!(status["serves"] == true && status["state"]["pid"] != pid, "{status}");
    assert_eq!(answers(&url, "second").await?, 200);

    assert!(home.says(&["down"]).await?.contains("is stopped"));
    assert_eq!(home.status().await?["running"], false);
    assert!(!home.workspace().join("run/up.json").exists());
    Ok(())
}

#[tokio::test]
async fn a_headroom_that_cannot_start_in_the_background_says_why_and_leaves_nothing() -> Result<()> {
    let provider = Provider::start(0).await?;
    let home = Home::new(&provider, "").await?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let output = home.run(&["up", "-d", "--port", &port]).await?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("port {port} on 127.0.0.1")), "{error}");
    assert_eq!(home.status().await?["running"], false);
    Ok(())
}

#[tokio::test]
async fn one_in_a_terminal_is_stopped_from_another_and_a_killed_one_counts_as_stopped() -> Result<()> {
    let provider = Provider::start(0).await?;
    let home = Home::new(&provider, "").await?;
    let mut up = home.command(&["up"]).await?.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(up.stdout.take().context("a pipe was asked for")?).lines();
    while let Some(line) = within("a line from headroomctl up", lines.next_line()).await?? {
        if line.starts_with("Ctrl-C") {
            break;
        }
    }
    headroom_e2e::deadline::until("it says where it is", || async {
        (home.status().await.ok()?["serves"] == true).then_some(())
    })
    .await?;
    assert_eq!(home.status().await?["state"]["holder"], "terminal");
    home.says(&["down"]).await?;
    assert_eq!(within("its end", up.wait()).await??.code(), Some(0));

    home.says(&["up", "--detach"]).await?;
    let pid = home.status().await?["state"]["pid"].as_u64().context("a process")?;
    kill("-KILL", u32::try_from(pid)?)?;
    headroom_e2e::deadline::until("it counts as stopped", || async {
        (home.status().await.ok()?["running"] == false).then_some(())
    })
    .await?;
    tokio::time::timeout(Duration::from_secs(60), async {
        // Its children end on their own, and then the ports are free.
        while home.run(&["up", "--detach"]).await?.status.code() != Some(0) {}
        anyhow::Ok(())
    })
    .await??;
    home.says(&["down"]).await?;
    Ok(())
}

#[tokio::test]
async fn the_configuration_file_is_shown_with_sources_and_a_mistake_in_it_stops_everything_but_config()
-> Result<()> {
    let provider = Provider::start(0).await?;
    let home = Home::new(&provider, "").await?;
    let shown = home.says(&["config", "show", "--profile", "lossless"]).await?;
    let row = |name: &str| {
        let row = shown.lines().find(|line| line.split_whitespace().next() == Some(name));
        row.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("profile"), "profile lossless --profile", "{shown}");
    assert_eq!(row("workers"), "workers 1 config.toml, line 2", "{shown}");
    assert_eq!(row("mode"), "mode optimize default", "{shown}");
    assert!(home.says(&["config", "check"]).await?.contains("has no error"));

    let yaml = home.says(&["bootstrap"]).await?;
    assert!(yaml.contains(&provider.address().to_string()), "{yaml}");
    assert!(yaml.contains(r#"\"response_headers\":false"#), "{yaml}");

    fs::write(home.config().join("config.toml"), "port = 1\nprot = 2\n")?;
    for (arguments, code) in [
        (["config", "check"], 1),
        (["config", "show"], 2),
        (["up", "--detach"], 2),
        (["status", "--json"], 2),
    ] {
        let output = home.run(&arguments).await?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains("config.toml, line 2: \"prot\""), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bootstrap_needs_neither_envoy_nor_the_module_on_this_machine() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("headroomctl");
    fs::copy(built::headroomctl().await?, &program)?;
    let run = |arguments: &'static [&'static str]| {
        let mut command = Command::new(&program);
        command.args(arguments).env_clear().env("HOME", folder.path()).env("PATH", "/nowhere");
        command.env("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt");
        async move { command.output().await }
    };
    let output = run(&["bootstrap"]).await?;
    let yaml = String::from_utf8(output.stdout)?;
    assert!(output.status.success() && yaml.contains("\"/etc/headroom/filter.wasm\""), "{yaml}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--module"));
    let told = run(&["bootstrap", "--module", "/opt/filter.wasm"]).await?;
    assert!(String::from_utf8(told.stdout)?.contains("\"/opt/filter.wasm\""));
    assert!(told.stderr.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_service_is_written_for_systemd_and_removed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |arguments: &'static [&'static str]| {
        let folder = folder.path().to_owned();
        async move {
            let mut command = Command::new(built::headroomctl().await?);
            command.args(arguments).env("HOME", &folder).env("XDG_CONFIG_HOME", folder.join("xdg"));
            command.env_remove("HEADROOM_WORKSPACE_DIR").env_remove("XDG_RUNTIME_DIR");
            command.env_remove("DBUS_SESSION_BUS_ADDRESS");
            anyhow::Ok(command.output().await?)
        }
    };
    let file = folder.path().join("xdg/systemd/user/headroom.service");
    let printed = run(&["service", "install", "--dry-run", "--", "--port", "9000"]).await?;
    assert!(!file.exists());
    let written = run(&["service", "install", "--no-start", "--", "--port", "9000"]).await?;
    assert!(written.status.success(), "{written:?}");
    assert_eq!(fs::read(&file)?, printed.stdout);
    assert!(fs::read_to_string(&file)?.contains("headroomctl up --port 9000\n"));
    let refused = run(&["service", "install", "--", "--prot"]).await?;
    assert_eq!(refused.status.code(), Some(2));
    // There is no systemd session here: its error is shown, and the unit is removed anyway.
    run(&["service", "uninstall"]).await?;
    assert!(!file.exists());
    Ok(())
}
