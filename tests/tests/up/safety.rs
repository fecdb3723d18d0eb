//! How `headroomctl up` handles the death of its sidecar, and what other users, web pages and other machines can
//! access.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use headroom_e2e::client::{Answer, Call, Connection};
use headroom_e2e::deadline::until;
use headroom_e2e::sidecar::free_port;
use headroom_e2e::{Provider, built};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{Up, command, command_with, ending, gone, kill, messages_call, providers};

impl Up {
    fn headroomd(&self) -> Result<u32> {
        let child = self.children()?.into_iter().find(|(name, _)| name == "headroomd");
        Ok(child.context("headroomd runs")?.1)
    }

    async fn get(&self, path: &str, token: Option<&str>) -> Result<Answer> {
        let call = Call::get(path);
        self.send(match token {
            Some(token) => call.header("authorization", &format!("Bearer {token}")),
            None => call,
        })
        .await
    }

    async fn run(&self, arguments: &[&str]) -> Result<String> {
        let url = format!("http://{}", self.listener);
        let mut command = Command::new(built::headroomctl().await?);
        command.args(arguments).args(["--url", &url]).env("HEADROOM_WORKSPACE_DIR", self.workspace.path());
        Ok(String::from_utf8(command.env_remove("HEADROOM_TOKEN").output().await?.stdout)?)
    }
}

#[tokio::test]
async fn requests_go_on_while_headroomd_is_dead_and_it_is_started_again() -> Result<()> {
    let provider = Provider::start(0).await?;
    let mut arguments = providers(&format!("http://{}", provider.address()));
    // It starts again where it was, so nobody else may get its ports meanwhile.
    for option in ["--http", "--grpc"] {
        arguments.push(format!("{option}={}", free_port()?));
    }
    let up = Up::start(tempfile::tempdir()?, &arguments).await?;
    let mut sent = 0;
    for round in 0..2 {
        let dead = up.headroomd()?;
        kill("-KILL", dead)?;
        for number in 0..100 {
            let name = format!("{round}-{number}");
            assert_eq!(up.send(messages_call(&name)).await?.status, 200, "{name}");
            assert_eq!(provider.requests(&name).len(), 1);
            sent += 1;
        }
        until("headroomd runs again", || async {
            let another = up.headroomd().ok()? != dead;
            (another && up.get("/readyz", None).await.ok()?.status == 200).then_some(())
        })
        .await?;
    }
    until("what happened meanwhile is counted", || async {
        let stats: Value = serde_json::from_slice(&up.get("/stats", None).await.ok()?.body).ok()?;
        (stats["requests"]["total"] == sent).then_some(())
    })
    .await?;
    up.signal("-TERM")?;
    let (status, message) = ending(up.process).await?;
    assert_eq!(status.code(), Some(0), "{message}");
    assert_eq!(message.matches("headroomd died").count(), 1, "said once: {message}");
    assert_eq!(message.matches("headroomd runs again").count(), 1, "{message}");
    Ok(())
}

#[tokio::test]
async fn a_headroomd_that_does_not_come_back_is_tried_again_and_again_and_costs_no_request() -> Result<()> {
    let provider = Provider::start(0).await?;
    let workspace = tempfile::tempdir()?;
    let script = workspace.path().join("sidecar.sh");
    let once = workspace.path().join("once");
    let headroomd = built::headroomd().await?;
    fs::write(
        &script,
        format!(
            "#!/bin/sh\n[ -e {0} ] && {{ echo no room left >&2; exit 3; }}\ntouch {0}\nexec {1} \"$@\"\n",
            once.display(),
            headroomd.display()
        ),
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let arguments = providers(&format!("http://{}", provider.address()));
    let up = Up::spawn(command_with(workspace.path(), &arguments, &script).await?, workspace).await?;
    let headroomd = up.headroomd()?;
    let envoy = up.children()?;
    kill("-KILL", headroomd)?;
    let log = up.workspace.path().join("logs/headroomd.log");
    until("two more starts have failed", || async {
        let answer = up.send(messages_call("meanwhile")).await.ok()?;
        assert_eq!(answer.status, 200);
        (fs::read_to_string(&log).ok()?.matches("no room left").count() >= 2).then_some(())
    })
    .await?;
    up.signal("-TERM")?;
    let (status, message) = ending(up.process).await?;
    assert_eq!(status.code(), Some(0), "{message}");
    assert_eq!(message.matches("headroomd died").count(), 1, "{message}");
    gone(&envoy).await
}

/// Everything below a folder, with its mode.
fn modes(folder: &Path) -> Result<Vec<(String, u32)>> {
    let mut found = vec![(folder.display().to_string(), fs::metadata(folder)?.permissions().mode() & 0o777)];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(modes(&entry.path())?);
        } else {
            // A file that gets its name when it is complete may have another one by now.
            let Ok(metadata) = entry.metadata() else { continue };
            found.push((entry.path().display().to_string(), metadata.permissions().mode() & 0o777));
        }
    }
    Ok(found)
}

fn open_all(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            open_all(&path)?;
        } else {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
        }
    }
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?)
}

#[tokio::test]
async fn whatever_it_writes_is_its_owners_alone() -> Result<()> {
    let provider = Provider::start(0).await?;
    let outer = tempfile::tempdir()?;
    let folder = outer.path().join("w");
    let own = folder.join("own.txt");
    fs::create_dir(&folder)?;
    fs::write(&own, "")?;
    open_all(&folder)?;
    let arguments = providers(&format!("http://{}", provider.address()));
    for round in ["new", "left open by an older version"] {
        let open = command(&folder, &arguments).await?;
        let mut shell = Command::new("sh");
        shell.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(open.as_std().get_program());
        shell.args(open.as_std().get_args()).stdin(Stdio::null()).stdout(Stdio::piped());
        shell.stderr(Stdio::piped()).kill_on_drop(true);
        let up = Up::spawn(shell, tempfile::tempdir()?).await?;
        assert_eq!(up.send(messages_call(round)).await?.status, 200);
        let modes = modes(&folder)?;
        for (path, mode) in modes.iter().filter(|(path, _)| !path.ends_with("/own.txt")) {
            assert_eq!(mode & 0o077, 0, "{round}: {path} has {mode:o}");
        }
        for name in [
            "run/envoy.yaml",
            "run/envoy.sock",
            "run/headroomd.json",
            "logs/envoy.log",
            "logs/access.log",
            "logs/headroomd.log",
            "headroom.db",
            "headroom.db-wal",
            "headroom.db-shm",
            "originals.db",
        ] {
            assert!(modes.iter().any(|(path, _)| path.ends_with(&format!("/w/{name}"))), "{name}: {modes:?}");
        }
        assert_eq!(fs::metadata(&own)?.permissions().mode() & 0o777, 0o644, "a file that is not ours");
        up.signal("-TERM")?;
        assert_eq!(ending(up.process).await?.0.code(), Some(0));
        open_all(&folder)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_admin_interface_is_a_socket_for_its_owner_alone() -> Result<()> {
    let up = Up::start(tempfile::tempdir()?, &providers("http://127.0.0.1:9")).await?;
    let run = up.workspace.path().join("run");
    let socket = run.join("envoy.sock");
    assert_eq!(fs::read_to_string(run.join("envoy.admin"))?, socket.display().to_string());
    let kind = fs::metadata(&socket)?;
    assert!(kind.file_type().is_socket());
    assert_eq!(kind.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&run)?.permissions().mode() & 0o777, 0o700);
    let answer = Connection::open_socket(&socket).await?.send(Call::get("/ready")).await?;
    assert_eq!(answer.text().trim(), "LIVE");
    let listeners = Connection::open_socket(&socket).await?.send(Call::get("/listeners")).await?.text();
    assert_eq!(listeners.lines().count(), 1, "nothing of it has a port: {listeners}");
    for call in
        [Call::post("/quitquitquit", ""), Call::post("/logging?level=trace", ""), Call::get("/config_dump")]
    {
        assert_eq!(up.send(call).await?.status, 404);
    }
    Ok(())
}

#[tokio::test]
async fn it_says_how_its_commands_are_called() -> Result<()> {
    let up = Up::start(tempfile::tempdir()?, &providers("http://127.0.0.1:9")).await?;
    let line = up.printed.lines().find_map(|line| line.split_once("/stats, or: "));
    let (_, command) = line.context("the line about savings")?;
    let words: Vec<&str> = command.split(' ').collect();
    let [program, arguments @ ..] = &words[..] else { anyhow::bail!("a command was expected: {command}") };
    let output = Command::new(program).args(arguments).env("PATH", "/usr/bin:/bin").output().await?;
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(up.printed.contains("`make install` puts it on your PATH"), "{}", up.printed);
    Ok(())
}

#[tokio::test]
async fn a_folder_whose_path_is_too_long_for_a_socket_is_refused_with_the_reason() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let long = folder.path().join("x".repeat(120));
    let (status, message) = ending(command(&long, &[]).await?.spawn()?).await?;
    assert_eq!(status.code(), Some(2), "{message}");
    assert!(message.contains("--workspace-dir") && message.contains("shorter"), "{message}");
    Ok(())
}

#[tokio::test]
async fn beyond_loopback_the_sidecar_answers_for_a_token_only() -> Result<()> {
    let provider = Provider::start(0).await?;
    let arguments = providers(&format!("http://{}", provider.address()));
    let mut words = vec!["--host=0.0.0.0".to_owned(), "--log-messages".to_owned()];
    words.extend(arguments);
    let up = Up::start(tempfile::tempdir()?, &words).await?;
    let token = fs::read_to_string(up.workspace.path().join("token"))?.trim().to_owned();
    assert_eq!(up.printed.matches(&token).count(), 1, "{}", up.printed);
    assert_eq!(up.send(messages_call("served")).await?.status, 200);
    for path in [
        "/stats",
        "/stats-cache",
        "/stats-history",
        "/transformations/feed",
        "/events",
        "/metrics",
        "/telemetry",
    ] {
        let refused = up.get(path, None).await?;
        assert_eq!(refused.status, 401, "{path}");
        assert_eq!(up.get(path, Some("wrong")).await?.status, 401, "{path}");
        if path != "/events" {
            assert_eq!(up.get(path, Some(&token)).await?.status, 200, "{path}");
        }
    }
    for path in ["/livez", "/readyz", "/health"] {
        // Degraded while a slow disk holds a store up.
        until(&format!("{path} says healthy and no more"), || async {
            let answer = up.get(path, None).await.ok()?;
            (answer.status == 200 && answer.text() == r#"{"status":"healthy"}"#).then_some(())
        })
        .await?;
        assert_eq!(up.send(Call::post(path, "{}")).await?.status, 401, "{path}");
    }
    assert_eq!(up.get("/stats", Some(&token)).await?.status, 200);
    assert_eq!(up.send(messages_call("pointed").header("host", "evil.example")).await?.status, 403);
    assert!(provider.requests("pointed").is_empty());
    // The filter also sends the token: its reports arrive. Commands on this machine find it.
    until("the request is counted", || async {
        let stats: Value = serde_json::from_str(&up.run(&["stats", "--json"]).await.ok()?).ok()?;
        (stats["requests"]["total"] == 1).then_some(())
    })
    .await?;
    for (name, child) in up.children()? {
        let arguments = fs::read_to_string(format!("/proc/{child}/cmdline"))?;
        assert!(!arguments.contains(&token), "{name}: everybody can read its arguments");
    }
    assert!(!fs::read_to_string(up.workspace.path().join("run/envoy.yaml"))?.contains(&token));

    up.signal("-TERM")?;
    let Up { process, workspace, .. } = up;
    ending(process).await?;
    let again = Up::start(workspace, &words).await?;
    assert!(!again.printed.contains(&token), "printed once: {}", again.printed);
    assert_eq!(again.get("/stats", Some(&token)).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_mode_that_cannot_be_read_passes_everything_and_is_told_everywhere() -> Result<()> {
    let provider = Provider::start(0).await?;
    let workspace = tempfile::tempdir()?;
    let file = workspace.path().join("filter.json");
    fs::write(&file, r#"{"mode": "audti"}"#)?;
    let mut words = providers(&format!("http://{}", provider.address()));
    words.push(format!("--filter-config={}", file.display()));
    let up = Up::start(workspace, &words).await?;
    let rows: Vec<Value> = (0..60).map(|n| json!({"id": n, "name": format!("row {n}")})).collect();
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 1, "messages": [
        {"role": "user", "content": "list"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "list", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t", "content": serde_json::to_string_pretty(&rows)?}]}]})
    .to_string();
    let call = Call::post("/v1/messages", body.clone()).header(super::NAME_HEADER, "untouched");
    assert_eq!(up.send(call).await?.status, 200);
    assert_eq!(provider.requests("untouched")[0].body, body);

    until("readiness says it", || async {
        let ready: Value = serde_json::from_slice(&up.get("/readyz", None).await.ok()?.body).ok()?;
        let check = &ready["checks"]["filter_configuration"];
        (check["status"] == "degraded" && check["error"].as_str()?.contains("pass untouched")).then_some(())
    })
    .await?;
    let checks: Vec<Value> = serde_json::from_str(&up.run(&["doctor", "--json", "--no-request"]).await?)?;
    for (name, found) in
        [("configuration", "a value"), ("readiness", "filter_configuration: the filter cannot read")]
    {
        let check = checks.iter().find(|check| check["name"] == name).context(name)?;
        assert_eq!(check["verdict"], "warning", "{check}");
        assert!(check["found"].as_str().is_some_and(|text| text.contains(found)), "{check}");
    }
    up.signal("-TERM")?;
    let (_, message) = ending(up.process).await?;
    assert!(message.contains("cannot read a value") && message.contains("pass untouched"), "{message}");
    assert_eq!(message.matches("mode: expected one of optimize").count(), 1, "{message}");
    Ok(())
}

#[tokio::test]
async fn a_mode_is_an_option_and_one_that_does_not_exist_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (status, message) =
        ending(command(folder.path(), &["--mode=audti".to_owned()]).await?.spawn()?).await?;
    assert_eq!(status.code(), Some(2));
    assert!(message.contains("audti") && message.contains("audit"), "{message}");
    let mut by_variable = command(folder.path(), &[]).await?;
    let (status, message) = ending(by_variable.env("HEADROOM_MODE", "audti").spawn()?).await?;
    assert_eq!(status.code(), Some(2));
    assert!(message.contains("HEADROOM_MODE: expected one of optimize, audit, simulate, off"), "{message}");
    Ok(())
}

#[tokio::test]
async fn what_make_installs_finds_everything_by_itself() -> Result<()> {
    let prefix = tempfile::tempdir()?;
    let (headroomctl, _) = (built::headroomctl().await?, built::headroomd().await?);
    let module = built::filter_module().await?;
    let envoy = super::envoy::binary().await?;
    let mut make = Command::new("make");
    make.current_dir(built::workspace()).arg("place").arg(format!("PREFIX={}", prefix.path().display()));
    make.arg(format!("built={}", headroomctl.parent().context("it lies in a folder")?.display()));
    make.arg(format!("module={}", module.display())).env("ENVOY", &envoy).env("PATH", "/usr/bin:/bin");
    let output = make.env("CARGO_TARGET_DIR", built::target_folder()?).output().await?;
    let said = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let installed = prefix.path().join("bin/headroomctl");
    assert!(said.contains(&installed.display().to_string()), "{said}");
    assert!(said.contains("PATH"), "this prefix is not on it: {said}");
    // No variable and no option sets a path.
    let mut bootstrap = Command::new(&installed);
    bootstrap.arg("bootstrap").env_clear().env("HOME", prefix.path()).env("PATH", "/usr/bin:/bin");
    bootstrap.args(providers("http://127.0.0.1:9"));
    let output = bootstrap.output().await?;
    let (printed, said) =
        (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{said}");
    let lib = prefix.path().canonicalize()?.join("lib/headroom/headroom_filter.wasm");
    assert!(printed.contains(&lib.display().to_string()), "{printed}");
    Ok(())
}
