//! The commands that inspect a running Headroom, against `headroomctl up`.

use std::process::Output;

use anyhow::Result;
use headroom_e2e::client::Call;
use headroom_e2e::deadline::until;
use headroom_e2e::{Provider, built};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{NAME_HEADER, Up, providers};

async fn run(up: &Up, arguments: &[&str]) -> Result<Output> {
    let url = format!("http://{}", up.listener);
    let mut command = Command::new(built::headroomctl().await?);
    command.args(arguments).args(["--url", &url]).env("HEADROOM_WORKSPACE_DIR", up.workspace.path());
    Ok(command.output().await?)
}

/// A request with a tool output that gets shorter.
fn compressible() -> Call {
    let rows: Vec<Value> = (0..80).map(|id| json!({"id": id, "name": "row", "state": "ready"})).collect();
    let output = serde_json::to_string_pretty(&rows).unwrap_or_default();
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": [
        {"role": "user", "content": "List them."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "list", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": output}]}]});
    Call::post("/v1/messages", body.to_string()).header(NAME_HEADER, "counted")
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_and_its_request_counts_nowhere() -> Result<()> {
    let provider = Provider::start(0).await?;
    let up = Up::start(tempfile::tempdir()?, &providers(&format!("http://{}", provider.address()))).await?;

    let doctor = run(&up, &["doctor", "--json"]).await?;
    let said = String::from_utf8_lossy(&doctor.stderr).into_owned();
    let checks: Vec<Value> = serde_json::from_slice(&doctor.stdout)?;
    assert!(doctor.status.success(), "{said}\n{checks:#?}");
    let names: Vec<&str> = checks.iter().filter_map(|check| check["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "headroomd",
            "readiness",
            "Envoy",
            "V8",
            "filter",
            "configuration",
            "buffer limit",
            "routes",
            "test request",
            "versions",
            "records",
            "reasoning"
        ]
    );
    for check in &checks {
        // the machine's clock may be past the prices' date
        let may_warn = check["name"] == "readiness" && check["verdict"] == "warning";
        assert!(check["verdict"] == "ok" || may_warn, "{check}");
    }
    assert!(checks[8]["found"].as_str().is_some_and(|found| found.contains("compressed from")));
    assert_eq!(checks[4]["details"]["control_plane"]["cluster"], "headroom");
    let shown = String::from_utf8(run(&up, &["doctor", "--no-request"]).await?.stdout)?;
    assert!(shown.lines().all(|line| line.chars().count() < 200), "{shown}");
    let stats: Value = serde_json::from_slice(&up.send(Call::get("/stats")).await?.body)?;
    assert_eq!((&stats["requests"]["total"], &stats["tokens"]["saved"]), (&0.into(), &0.into()), "{stats}");
    assert_eq!(stats["recent_requests"], Value::Array(Vec::new()));

    assert_eq!(up.send(compressible()).await?.status, 200);
    until("the request is counted", || async {
        let stats = up.send(Call::get("/stats")).await.ok()?;
        let stats: Value = serde_json::from_slice(&stats.body).ok()?;
        (stats["requests"]["total"] == 1).then_some(())
    })
    .await?;

    let perf = run(&up, &["perf", "--json"]).await?;
    let stages: Vec<Value> = serde_json::from_slice(&perf.stdout)?;
    assert!(stages.iter().any(|stage| stage["stage"] == "overhead" && stage["count"] == 1), "{stages:?}");

    let history =
        String::from_utf8(run(&up, &["history", "--last", "24h", "--series", "hourly"]).await?.stdout)?;
    assert!(history.contains("together"), "{history}");
    let csv = String::from_utf8(run(&up, &["history", "--csv"]).await?.stdout)?;
    assert!(csv.starts_with("timestamp,tokens_saved,") && csv.lines().count() == 2, "{csv}");

    let file = up.workspace.path().join("report.html");
    let report = run(&up, &["report", "--html", &file.display().to_string()]).await?;
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    let page = std::fs::read_to_string(&file)?;
    assert!(page.contains("The newest 1 requests") && page.contains("claude-sonnet-4-5"), "{page}");

    let telemetry: Value = serde_json::from_slice(&run(&up, &["telemetry", "show"]).await?.stdout)?;
    assert_eq!(telemetry["enabled"], false, "{telemetry}");
    Ok(())
}

#[tokio::test]
async fn the_doctor_names_a_dead_headroom_and_exits_with_1() -> Result<()> {
    let mut command = Command::new(built::headroomctl().await?);
    let closed = headroom_e2e::sidecar::free_port()?.to_string();
    command.args(["doctor", "--url", &format!("http://{closed}"), "--admin", &closed]);
    let output = command.output().await?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("FAILED") && text.contains("headroomctl up") && text.contains(&closed), "{text}");
    Ok(())
}
