//! The telemetry beacon: off unless switched on, and then only to the address that the operator names.
//!
//! It sends sums: no text of any request, no names of hosts, projects, tools or tenants. What it
//! would send is shown at `/telemetry` whether it is on or not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headroom_retry::Retry;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::ledger::store::LedgerStore;
use crate::models::Models;
use crate::stats::Snapshot;
use crate::trouble::StoreError;

/// How long the other end may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the environment says about telemetry.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Telemetry {
    /// Where to; `None` when it is off.
    pub endpoint: Option<String>,
    /// Why it is off although it was switched on.
    pub problem: Option<String>,
    /// `HEADROOM_SDK`.
    sdk: String,
    /// `HEADROOM_STACK`, or `wrap_` and the agent of `HEADROOM_AGENT_TYPE`.
    stack: Option<String>,
    install_mode: &'static str,
}

/// When it is sent, as in upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    first: Duration,
    every: Duration,
    /// A process that ran for less sends nothing when it ends.
    least_uptime: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(60),
            every: Duration::from_secs(300),
            least_uptime: Duration::from_secs(120),
        }
    }
}

impl Telemetry {
    /// Reads the variables; only `on`, `true`, `yes`, `1` and `enabled` switch it on.
    pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Self {
        let get =
            |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let switch = get("HEADROOM_TELEMETRY").unwrap_or_default().to_ascii_lowercase();
        let on = matches!(switch.as_str(), "on" | "true" | "yes" | "1" | "enabled");
        let (endpoint, problem) = match get("HEADROOM_TELEMETRY_ENDPOINT") {
            _ if !on => (None, None),
            Some(url) if url.starts_with("https://") || url.starts_with("http://") => (Some(url), None),
            Some(_) => (None, Some("HEADROOM_TELEMETRY_ENDPOINT: expected an http or https URL".to_owned())),
            None => (
                None,
                Some("HEADROOM_TELEMETRY is on, but HEADROOM_TELEMETRY_ENDPOINT names no URL".to_owned()),
            ),
        };
        let agent = get("HEADROOM_AGENT_TYPE");
        Self {
            endpoint,
            problem,
            sdk: get("HEADROOM_SDK").unwrap_or_else(|| "proxy".to_owned()),
            install_mode: if agent.is_some() { "wrapped" } else { "unknown" },
            stack: get("HEADROOM_STACK").or_else(|| agent.map(|agent| format!("wrap_{agent}"))),
        }
    }
}

/// Makes the payload and sends it.
pub(crate) struct Beacon {
    telemetry: Telemetry,
    store: Arc<dyn LedgerStore>,
    started: Instant,
    session_id: String,
}

impl Beacon {
    pub(crate) fn new(telemetry: Telemetry, store: Arc<dyn LedgerStore>) -> Self {
        // distinguishes processes on one store, and says nothing more
        let session = format!("{} {} {}", store.epoch(), std::process::id(), now_ms());
        let session_id = blake3::hash(session.as_bytes()).to_hex()[..32].to_owned();
        Self { telemetry, store, started: Instant::now(), session_id }
    }

    /// The switch and the payload, for people.
    pub(crate) async fn shown(&self) -> Result<Value, StoreError> {
        Ok(json!({
            "enabled": self.telemetry.endpoint.is_some(),
            "endpoint": self.telemetry.endpoint.as_deref().map(without_secrets),
            "problem": self.telemetry.problem,
            "payload": self.payload().await?,
        }))
    }

    /// Sends now and then until the sidecar stops. Does nothing when telemetry is off.
    pub(crate) async fn run(self: Arc<Self>, schedule: Schedule, stop: CancellationToken) {
        let Some(endpoint) = &self.telemetry.endpoint else { return };
        let redirect = reqwest::redirect::Policy::none();
        let client = match reqwest::Client::builder().timeout(ANSWER_TIMEOUT).redirect(redirect).build() {
            Ok(client) => client,
            Err(error) => return tracing::warn!(message = "Telemetry stays off.", %error),
        };
        let mut wait = schedule.first;
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(wait) => false,
            };
            if stopped && self.started.elapsed() < schedule.least_uptime {
                return;
            }
            self.send(&client, endpoint).await;
            if stopped {
                return;
            }
            wait = schedule.every;
        }
    }

    async fn send(&self, client: &reqwest::Client, endpoint: &str) {
        let payload = match self.payload().await {
            Ok(payload) if payload["requests"] == 0 => return,
            Ok(payload) => payload,
            Err(error) => return tracing::warn!(message = "Telemetry was not sent.", %error),
        };
        let sent = Retry::FAR
            .send(client.post(endpoint).json(&payload))
            .await
            .and_then(reqwest::Response::error_for_status);
        if let Err(error) = sent {
            // the error names the URL, which may hold a key
            tracing::warn!(message = "Telemetry was not sent.", error = %error.without_url());
        }
    }

    async fn payload(&self) -> Result<Value, StoreError> {
        let stats = Snapshot::read(self.store.as_ref(), now_ms()).await?.to_json();
        let (epoch, uptime) = (self.store.epoch(), self.started.elapsed());
        Ok(payload(&stats, &self.telemetry, &self.session_id, &epoch, uptime))
    }
}

/// The payload from what `/stats` answers. Sums are those of the store's lifetime.
fn payload(stats: &Value, telemetry: &Telemetry, session_id: &str, epoch: &str, uptime: Duration) -> Value {
    let requests = stats["requests"]["total"].as_i64().unwrap_or(0);
    let tokens = &stats["tokens"];
    let average = |sum: &Value| sum.as_i64().unwrap_or(0).checked_div(requests).unwrap_or(0);
    json!({
        "session_id": session_id,
        // of the store, not of the machine: a hash of a host's name can be guessed
        "instance_id": blake3::hash(epoch.as_bytes()).to_hex()[..16],
        "headroom_version": env!("CARGO_PKG_VERSION"),
        "os": std::env::consts::OS,
        "sdk": telemetry.sdk,
        "backend": "envoy",
        "session_minutes": uptime.as_secs() / 60,
        "install_mode": telemetry.install_mode,
        "headroom_stack": stack(telemetry, &stats["requests"]["by_stack"]),
        "requests_by_stack": stats["requests"]["by_stack"],
        "tokens_saved": tokens["saved"],
        "requests": requests,
        "compression_percent": tokens["savings_percent"],
        "cache_hit_rate": stats["prefix_cache"]["totals"]["hit_rate"],
        "cost_saved_usd": stats["cost"]["breakdown"]["compression_savings_usd"],
        "cache_saved_usd": stats["cost"]["breakdown"]["cache_savings_usd"],
        "models_used": models_used(&stats["requests"]["by_model"]),
        "overhead_avg_ms": stats["overhead"]["average_ms"],
        "overhead_max_ms": stats["overhead"]["max_ms"],
        "ttfb_avg_ms": stats["ttfb"]["average_ms"],
        "pipeline_timing": stats["pipeline_timing"],
        "avg_tokens_before": average(&tokens["total_before_compression"]),
        "avg_tokens_after": average(&tokens["input"]),
    })
}

/// What was set, or the stack of more than four requests in five, or `mixed`, or `proxy`.
fn stack(telemetry: &Telemetry, by_stack: &Value) -> String {
    if let Some(stack) = &telemetry.stack {
        return stack.clone();
    }
    let counts: Vec<(&String, i64)> = by_stack
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, count)| (name, count.as_i64().unwrap_or(0)))
        .collect();
    let all: i64 = counts.iter().map(|(_, count)| count).sum();
    match counts.iter().max_by_key(|(_, count)| *count) {
        Some((name, count)) if count * 5 > all * 4 => (*name).clone(),
        Some(_) => "mixed".to_owned(),
        None => "proxy".to_owned(),
    }
}

/// Names of public models; an operator's own names stay here.
fn models_used(by_model: &Value) -> Vec<String> {
    let builtin = Models::default();
    let names = by_model.as_object().into_iter().flatten().map(|(name, _)| name);
    let public = |name: &&String| builtin.get(name).price.is_some() && !builtin.get(name).inferred;
    let mut used: Map<String, Value> = Map::new();
    for name in names {
        let shown = if public(&name) { name.clone() } else { "custom".to_owned() };
        used.insert(shown, Value::Null);
    }
    used.into_iter().map(|(name, _)| name).collect()
}

/// A URL's scheme, host and path: what else it holds may be a key.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use axum::routing::post;
    use axum::{Json, Router};
    use tokio::sync::mpsc;

    use super::*;
    use crate::ledger::contribution::Accounting;
    use crate::ledger::store::Batch;
    use crate::store::Database;
    use crate::store::SqlLedger;

    fn from_env(env: &[(&str, &str)]) -> Telemetry {
        Telemetry::from_env(|name| {
            env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn it_is_off_unless_switched_on_with_an_address() {
        let url = ("HEADROOM_TELEMETRY_ENDPOINT", "https://t.example/in?key=k");
        assert_eq!(from_env(&[url]).endpoint, None);
        for off in ["off", "0", "false", "no", "disabled", "", "perhaps"] {
            assert_eq!(from_env(&[url, ("HEADROOM_TELEMETRY", off)]).endpoint, None, "{off}");
        }
        assert!(from_env(&[url, ("HEADROOM_TELEMETRY", "On")]).endpoint.is_some());
        assert!(from_env(&[("HEADROOM_TELEMETRY", "1")]).problem.is_some());
        assert_eq!(without_secrets("https://u:p@t.example/in?key=k#f"), "https://t.example/in");
    }

    #[test]
    fn the_stack_is_what_was_set_or_what_dominates() {
        let telemetry = from_env(&[("HEADROOM_AGENT_TYPE", "claude"), ("HEADROOM_SDK", " ")]);
        assert_eq!((telemetry.sdk.as_str(), telemetry.install_mode), ("proxy", "wrapped"));
        assert_eq!(stack(&telemetry, &json!({})), "wrap_claude");
        let none = Telemetry::default();
        assert_eq!(stack(&none, &json!({"a": 81, "b": 19})), "a");
        assert_eq!(stack(&none, &json!({"a": 80, "b": 20})), "mixed");
        assert_eq!(stack(&none, &json!({})), "proxy");
        assert_eq!(models_used(&json!({"gpt-5": 1, "acme-secret": 2, "acme-other": 3})), ["custom", "gpt-5"]);
    }

    #[tokio::test]
    async fn sums_are_sent_once_there_are_any_and_a_last_time_at_the_end() {
        let (received, mut inbox) = mpsc::channel(16);
        let receive = move |Json(body): Json<Value>| async move { received.send(body).await.unwrap() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/in", post(receive))).await });

        let dir = tempfile::tempdir().unwrap();
        let store = SqlLedger::open(&Database::File(dir.path().join("db")), now_ms()).await.unwrap();
        let record = headroom_api::v1::RequestRecord {
            sequence: 1,
            project: "secret".to_owned(),
            ..Default::default()
        };
        let batch = Batch { vm_id: "vm".to_owned(), records: vec![record], ..Batch::default() };
        store.append(&[batch], &Accounting::default(), now_ms()).await.unwrap();

        let telemetry = Telemetry { endpoint: Some(url), ..from_env(&[("HEADROOM_SDK", "mine")]) };
        let beacon = Arc::new(Beacon::new(telemetry, Arc::new(store)));
        let stop = CancellationToken::new();
        let schedule = Schedule {
            first: Duration::ZERO,
            every: Duration::from_secs(3600),
            least_uptime: Duration::ZERO,
        };
        let running = tokio::spawn(Arc::clone(&beacon).run(schedule, stop.clone()));
        let first = inbox.recv().await.unwrap();
        assert_eq!((&first["requests"], &first["sdk"]), (&json!(1), &json!("mine")));
        assert!(!first.to_string().contains("secret"));
        stop.cancel();
        assert_eq!(inbox.recv().await.unwrap()["session_id"], first["session_id"]);
        running.await.unwrap();
        assert_eq!(beacon.shown().await.unwrap()["payload"]["requests"], 1);
    }
}
