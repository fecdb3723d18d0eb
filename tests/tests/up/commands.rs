//! The commands that look at a running Headroom, against `headroomctl up`.

use std::process::Output;

use anyhow::Result;
use headroom_e2e::{Provider, built};
use serde_json::Value;
use tokio::process::Command;

use super::{Up, providers};

async fn run(up: &Up, arguments: &[&str]) -> Result<Output> {
    let url = format!("http://{}", up.listener);
    let mut command = Command::new(built::headroomctl().await?);
    command.args(arguments).args(["--url", &url]).env("HEADROOM_WORKSPACE_DIR", up.workspace.path());
    Ok(command.output().await?)
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_and_the_request_that_it_sent_is_shown_by_the_others() -> Result<()> {
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
            "reasoning"
        ]
    );
    for check in &checks {
        // the machine's clock may be past the prices' date
        let may_warn = check["name"] == "readiness" && check["verdict"] == "warning";
        assert!(check["verdict"] == "ok" || may_warn, "{check}");
    }
    assert!(checks[8]["found"].as_str().is_some_and(|found| found.contains("compressed from")));

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
