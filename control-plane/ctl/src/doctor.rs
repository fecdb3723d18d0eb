//! `headroomctl doctor`: checks each step of a request's path and says how to repair a broken one.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use headroom_api::pages::{Health, Reports, Stats};
use serde::Serialize;
use serde_json::Value;

use crate::environment::Environment;
use crate::progress::Spinner;
use crate::running::{Running, SidecarArgs};

#[path = "doctor/envoy.rs"]
pub mod envoy;
#[path = "doctor/reasoning.rs"]
mod reasoning;
#[path = "doctor/request.rs"]
mod request;

/// Every answer comes from this machine; what takes longer is broken.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Checks a running Headroom.
#[derive(Args, Clone, Debug, Default)]
pub struct DoctorArgs {
    /// Where Headroom listens.
    #[command(flatten)]
    pub at: SidecarArgs,
    /// Envoy's admin interface, a socket or a URL [default: run/envoy.sock in the workspace]
    #[arg(long, value_name = "PATH|URL")]
    pub admin: Option<String>,
    /// The folder for state [default: HEADROOM_WORKSPACE_DIR, or ~/.headroom]
    #[arg(long, value_name = "DIR")]
    pub workspace_dir: Option<PathBuf>,
    /// Leave out the test request, which goes to the provider without a key and is in none of the figures
    #[arg(long)]
    pub no_request: bool,
    /// Print JSON: one object per check
    #[arg(long)]
    pub json: bool,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, and something should be done.
    Warning,
    /// Does not work.
    Failed,
    /// Unknown, because an earlier check failed or the check was left out.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
    /// Details that are too long for people; only in JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl Check {
    pub(crate) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), remedy: String::new(), details: None }
    }

    pub(crate) fn skipped(name: &'static str, found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, ..Self::ok(name, found) }
    }

    pub(crate) fn warning(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, remedy: remedy.into(), ..Self::ok(name, found) }
    }

    pub(crate) fn failed(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, remedy: remedy.into(), ..Self::ok(name, found) }
    }
}

/// Runs every check and prints them; an error when one failed.
pub async fn doctor(args: &DoctorArgs) -> anyhow::Result<()> {
    let env = Environment::of_process();
    let running = args.at.running_in(args.workspace_dir.as_ref())?;
    let client = || reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
    let admin = envoy::Admin::find(args, env, client())?;
    let client = client().build()?;

    let mut checks = vec![alive(&running).await];
    let through = checks[0].verdict != Verdict::Failed;
    checks.push(if through { ready(&running).await } else { Check::skipped("readiness", "nothing answers") });
    checks.extend(admin.checks().await);
    checks.push(match (through, args.no_request) {
        (false, _) => Check::skipped("test request", "nothing answers"),
        (true, true) => Check::skipped("test request", "left out"),
        (true, false) => {
            let _doing = Spinner::now("Sending a test request …");
            let untouched = checks
                .iter()
                .any(|check| check.name == envoy::CONFIGURATION && check.verdict == Verdict::Warning);
            request::check(&running, &client, untouched).await
        }
    });

    // after the request, so that a fresh filter has reported
    checks.push(if through {
        versions(&running).await
    } else {
        Check::skipped("versions", "nothing answers")
    });

    checks.push(if through { records(&running).await } else { Check::skipped("records", "nothing answers") });

    checks.push(if through {
        reasoning::check(&running).await
    } else {
        Check::skipped("reasoning", "nothing answers")
    });

    let out = if args.json { serde_json::to_string_pretty(&checks)? + "\n" } else { lines(&checks) };
    stdout().write_all(out.as_bytes())?;
    match checks.iter().filter(|check| check.verdict == Verdict::Failed).count() {
        0 => Ok(()),
        1 => bail!("one check failed"),
        failed => bail!("{failed} checks failed"),
    }
}

/// The checks, one per line, each failed one with what to do.
pub fn lines(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok     ",
            Verdict::Warning => "warning",
            Verdict::Failed => "FAILED ",
            Verdict::Skipped => "skipped",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{verdict}  {:width$}  {}", check.name, check.found);
        if !check.remedy.is_empty() {
            let _ = writeln!(out, "         {:width$}  → {}", "", check.remedy);
        }
    }
    out
}

const TOKEN: &str = "where a token is needed, put it into HEADROOM_TOKEN";
const UP: &str = "start Headroom with `headroomctl up`, or say where it is with --url";

async fn alive(running: &Running) -> Check {
    const NAME: &str = "headroomd";
    let url = running.url("/livez");
    match running.answer("/livez", running.get("/livez")).await {
        Err(_) => Check::failed(NAME, format!("{url} does not answer"), UP),
        Ok((status, body)) if status.is_success() => match page(&body).version {
            Some(version) => Check::ok(NAME, format!("{version} answers at {url}")),
            // The rest needs the token.
            None => Check::warning(NAME, format!("{url} answers, and shows its status only"), TOKEN),
        },
        Ok((status, _)) if status.as_u16() == 503 => Check::failed(
            NAME,
            format!("{url}: Envoy answers, headroomd behind it does not"),
            "see headroomd's log (logs/headroomd.log in the workspace). Requests go on meanwhile, without originals and figures",
        ),
        Ok((status, _)) => Check::failed(NAME, format!("{url} answers {status}: that is not Headroom"), UP),
    }
}

async fn ready(running: &Running) -> Check {
    const NAME: &str = "readiness";
    let body = match running.answer("/readyz", running.get("/readyz")).await {
        Ok((_, body)) => body,
        Err(error) => return Check::failed(NAME, error.to_string(), UP),
    };
    let page = page(&body);
    let in_state = |wanted: &[&str]| -> Vec<String> {
        let of_it = page.checks.iter().flatten().filter(|(_, check)| wanted.contains(&check.status.as_str()));
        of_it
            .map(|(name, check)| match &check.error {
                Some(why) => format!("{name}: {why}"),
                None => name.clone(),
            })
            .collect()
    };
    if page.ready.is_none() {
        const SHOWN: &str = "its details are shown only with the token";
        match page.status.as_str() {
            "healthy" => return Check::ok(NAME, format!("ready; {SHOWN}")),
            "degraded" => {
                return Check::warning(NAME, format!("degraded; {SHOWN}"), "see /readyz with the token");
            }
            _ => {}
        }
    }
    if page.ready != Some(true) {
        let bad = in_state(&["unhealthy", "failed", "error", "starting"]).join("; ");
        return Check::failed(NAME, format!("not ready. {bad}"), "see /readyz, and headroomd's log");
    }
    match in_state(&["degraded", "unhealthy", "warning"]) {
        degraded if degraded.is_empty() => Check::ok(NAME, "everything that is switched on works"),
        degraded => Check::warning(NAME, degraded.join("; "), "see /readyz for what was left out"),
    }
}

async fn versions(running: &Running) -> Check {
    const NAME: &str = "versions";
    let live: Health = running.page("/livez", &[]).await.unwrap_or_default();
    let sidecar = live.version.unwrap_or_else(|| "unknown".to_owned());
    let stats: Stats = match running.page("/stats", &[]).await {
        Ok(stats) => stats,
        Err(error) => {
            return Check::failed(NAME, error.to_string(), TOKEN);
        }
    };
    let command_line = env!("CARGO_PKG_VERSION");
    match stats.reports.unwrap_or_default().filter_version.filter(|version| !version.is_empty()) {
        None => Check::warning(
            NAME,
            format!("headroomd {sidecar}; no filter has reported yet"),
            "send a request through Envoy; when none is counted after that, see that the filter reaches headroomd's gRPC port",
        ),
        Some(filter) if filter == sidecar && sidecar == command_line => {
            Check::ok(NAME, format!("filter, headroomd and headroomctl are all {sidecar}"))
        }
        Some(filter) => Check::warning(
            NAME,
            format!("filter {filter}, headroomd {sidecar}, headroomctl {command_line}"),
            "bring all to one version: they are released together",
        ),
    }
}

/// Whether the figures are complete.
async fn records(running: &Running) -> Check {
    const NAME: &str = "records";
    match running.page::<Stats>("/stats", &[]).await {
        Ok(stats) => records_of(&stats.reports.unwrap_or_default()),
        Err(error) => Check::failed(NAME, error.to_string(), TOKEN),
    }
}

fn records_of(reports: &Reports) -> Check {
    const NAME: &str = "records";
    let (dropped, lost) = (reports.dropped_records, reports.lost_records);
    if dropped == 0 && lost == 0 {
        return Check::ok(NAME, "every record that a filter has announced has arrived");
    }
    Check::warning(
        NAME,
        format!(
            "{lost} records of Envoys that were killed or not drained never arrived, and filters dropped \
             {dropped}: the figures lack these requests, and the last {} ms of each killed Envoy",
            reports.report_interval_ms
        ),
        "drain an Envoy before it is stopped: docs/load.md says how; filters drop records if headroomd is away for a long time",
    )
}

/// Parses a health page; empty if it is another page.
fn page(body: &str) -> Health {
    serde_json::from_str(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_never_came_are_told() {
        let of = |reports: &str| records_of(&serde_json::from_str(reports).unwrap());
        assert_eq!(of(r#"{"dropped_records": 0, "lost_records": 0}"#).verdict, Verdict::Ok);
        assert_eq!(of("{}").verdict, Verdict::Ok, "an older headroomd");
        let check = of(r#"{"dropped_records": 2, "lost_records": 7, "report_interval_ms": 1000}"#);
        assert_eq!(check.verdict, Verdict::Warning);
        assert!(check.found.starts_with("7 records") && check.found.contains("1000 ms"), "{}", check.found);
    }

    #[test]
    fn what_failed_is_followed_by_what_to_do() {
        let text = lines(&[Check::ok("a", "fine"), Check::failed("longer", "broken", "mend it")]);
        assert_eq!(text, "ok       a       fine\nFAILED   longer  broken\n                 → mend it\n");
    }
}
