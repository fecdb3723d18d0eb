//! One test request from end to end: through Envoy and the filter to the provider, and reported to headroomd, which
//! does not count it.

use std::time::Duration;

use headroom_api::names::DOCTOR_STACK;
use headroom_api::pages::{Probe, Stats};
use headroom_retry::Retry;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Check;
use crate::running::Running;

const NAME: &str = "test request";
/// The filter reports once a second; this leaves time for a machine under load.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);

/// Sends a request with a tool output that compresses well, and waits until it is reported. `untouched`: the filter
/// could not read all of its configuration, so it may leave this request unchanged.
pub(super) async fn check(running: &Running, client: &Client, untouched: bool) -> Check {
    let before = reported(running).await;
    let url = running.url("/v1/messages");
    let request = client
        .post(&url)
        .header("content-type", "application/json")
        .header("anthropic-version", "2023-06-01")
        .header("x-headroom-stack", DOCTOR_STACK)
        .body(body().to_string());
    let status = match Retry::NEAR.send(request).await.map_err(reqwest::Error::without_url) {
        Ok(answer) => answer.status(),
        Err(error) => {
            return Check::failed(
                NAME,
                format!("{url} does not answer: {error}"),
                "see Envoy's log and its access log",
            );
        }
    };
    if status.as_u16() == 503 || status.as_u16() == 504 {
        return Check::failed(
            NAME,
            format!("{url} answers {status}: Envoy does not reach the provider"),
            "see the access log for the reason; can this machine reach the internet, and is the provider's URL right?",
        );
    }
    if status.as_u16() == 404 || status.as_u16() == 413 {
        return Check::failed(
            NAME,
            format!("{url} answers {status}"),
            "see the checks of routes and of the buffer limit",
        );
    }
    // without a key the provider refuses it, which shows that the request arrived
    let answered = format!("the provider answered {status}");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let (Some(before), Some(probe)) = (&before, reported(running).await)
            && let Some(probe) = probe
            && before.as_ref().is_none_or(|before| before.request_id != probe.request_id)
        {
            return outcome_check(&probe, &answered);
        }
        sleep(LOOK).await;
    }
    if untouched {
        return Check::warning(
            NAME,
            format!("{answered}; the filter passed it untouched and did not report it"),
            "see the check of the configuration",
        );
    }
    Check::failed(
        NAME,
        format!("{answered}, but headroomd has no record of the request"),
        "see that the filter runs (the checks above) and reaches headroomd's gRPC port: Envoy's counter wasmcustom.headroom.reports_failed grows when it does not",
    )
}

fn outcome_check(probe: &Probe, answered: &str) -> Check {
    let Probe { outcome, tokens_before, tokens_after, .. } = probe;
    if outcome == "compressed" {
        return Check::ok(
            NAME,
            format!("{answered}; compressed from {tokens_before} to {tokens_after} tokens, and reported"),
        );
    }
    Check::warning(
        NAME,
        format!("{answered}; reported as {outcome}, not compressed"),
        "see the filter's configuration: is it set to measure only, or to bypass?",
    )
}

/// The newest test request that headroomd knows, if any; `None` if headroomd does not answer.
async fn reported(running: &Running) -> Option<Option<Probe>> {
    let stats: Stats = running.page("/stats", &[]).await.ok()?;
    Some(stats.probe)
}

/// A conversation with one tool output: pretty-printed JSON, which every profile shortens.
fn body() -> Value {
    let rows: Vec<Value> =
        (0..80).map(|n| json!({"id": n, "name": format!("row {n}"), "state": "ready"})).collect();
    let output = serde_json::to_string_pretty(&rows).unwrap_or_default();
    json!({
        "model": "claude-sonnet-4-5",
        "max_tokens": 1,
        "messages": [
            {"role": "user", "content": "headroomctl doctor"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_doctor", "name": "list", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_doctor", "content": output}]},
        ],
    })
}
