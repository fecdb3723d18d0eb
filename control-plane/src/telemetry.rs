//! The telemetry beacon: off unless switched on, and then only to the address that the operator names.
//!
//! It sends only sums: no text of any request, no names of hosts, projects, tools or tenants. `/telemetry`
//! shows its payload, whether it is on or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headroom_api::names::yes_or_no;
use headroom_api::pages::{self, Stats};
use headroom_retry::Retry;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::ledger::store::LedgerStore;
use crate::models::Models;
use crate::stats::Snapshot;
use crate::trouble::StoreError;
use crate::url::without_secrets;

/// Time limit of the receiver's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of telemetry, from the environment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TelemetrySettings {
    /// The address; `None` if it is off.
    pub endpoint: Option<String>,
    /// Why it is off although it was switched on.
    pub problem: Option<String>,
    /// `HEADROOM_SDK`.
    sdk: String,
    /// `HEADROOM_STACK`, or `wrap_` and the agent of `HEADROOM_AGENT_TYPE`.
    stack: Option<String>,
    install_mode: &'static str,
}

/// The times of sending, as in upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    first: Duration,
    every: Duration,
    /// A process that ran for a shorter time sends nothing at its end.
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

impl TelemetrySettings {
    /// Reads the variables; only `on`, `true`, `yes`, `1` and `enabled` switch it on.
    pub fn from_env(env: impl Fn(&str) -> Option<String>) -> Self {
        let get =
            |name: &str| env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let switch = get("HEADROOM_TELEMETRY").unwrap_or_default();
        let on = switch.eq_ignore_ascii_case("enabled") || yes_or_no(&switch) == Some(true);
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
    telemetry: TelemetrySettings,
    store: Arc<dyn LedgerStore>,
    started: Instant,
    session_id: String,
}

impl Beacon {
    pub(crate) fn new(telemetry: TelemetrySettings, store: Arc<dyn LedgerStore>) -> Self {
        // distinguishes processes on one store, and contains nothing else
        let session = format!("{} {} {}", store.epoch(), std::process::id(), now_ms());
        let session_id = blake3::hash(session.as_bytes()).to_hex()[..32].to_owned();
        Self { telemetry, store, started: Instant::now(), session_id }
    }

    /// The switch and the payload, for people.
    pub(crate) async fn page(&self) -> Result<pages::Telemetry, StoreError> {
        Ok(pages::Telemetry {
            enabled: self.telemetry.endpoint.is_some(),
            endpoint: self.telemetry.endpoint.as_deref().map(without_secrets),
            problem: self.telemetry.problem.clone(),
            payload: self.payload().await?,
        })
    }

    /// Sends at intervals until the sidecar stops. Does nothing when telemetry is off.
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
            Ok(payload) if payload.requests == 0 => return,
            Ok(payload) => payload,
            Err(error) => return tracing::warn!(message = "Telemetry was not sent.", %error),
        };
        let sent = Retry::FAR
            .send(client.post(endpoint).json(&payload))
            .await
            .and_then(reqwest::Response::error_for_status);
        if let Err(error) = sent {
            // the error names the URL, which may contain a key
            tracing::warn!(message = "Telemetry was not sent.", error = %error.without_url());
        }
    }

    async fn payload(&self) -> Result<pages::Beacon, StoreError> {
        let stats = Snapshot::read(self.store.as_ref(), now_ms()).await?.page();
        let (epoch, uptime) = (self.store.epoch(), self.started.elapsed());
        Ok(payload(stats, &self.telemetry, &self.session_id, &epoch, uptime))
    }
}

/// The payload, from the data of `/stats`. Sums are those of the store's lifetime.
fn payload(
    stats: Stats,
    telemetry: &TelemetrySettings,
    session_id: &str,
    epoch: &str,
    uptime: Duration,
) -> pages::Beacon {
    let requests = stats.requests.unwrap_or_default();
    let tokens = stats.tokens.unwrap_or_default();
    let saved = stats.cost.unwrap_or_default().breakdown;
    let overhead = stats.overhead.unwrap_or_default();
    let average = |sum: i64| sum.checked_div(requests.total).unwrap_or(0);
    pages::Beacon {
        session_id: session_id.to_owned(),
        // of the store, not of the machine: a hash of a host's name can be guessed
        instance_id: blake3::hash(epoch.as_bytes()).to_hex()[..16].to_owned(),
        headroom_version: env!("CARGO_PKG_VERSION").to_owned(),
        os: std::env::consts::OS.to_owned(),
        sdk: telemetry.sdk.clone(),
        backend: "envoy".to_owned(),
        session_minutes: uptime.as_secs() / 60,
        install_mode: telemetry.install_mode.to_owned(),
        headroom_stack: stack(telemetry, &requests.by_stack),
        tokens_saved: tokens.saved,
        requests: requests.total,
        compression_percent: tokens.savings_percent,
        cache_hit_rate: stats.prefix_cache.unwrap_or_default().totals.hit_rate,
        cost_saved_usd: saved.compression_savings_usd,
        cache_saved_usd: saved.cache_savings_usd,
        models_used: models_used(&requests.by_model),
        overhead_avg_ms: overhead.average_ms,
        overhead_max_ms: overhead.max_ms,
        ttfb_avg_ms: stats.ttfb.unwrap_or_default().average_ms,
        pipeline_timing: stats.pipeline_timing,
        avg_tokens_before: average(tokens.total_before_compression),
        avg_tokens_after: average(tokens.input),
        requests_by_stack: requests.by_stack,
    }
}

/// What was set, or the stack of more than four requests in five, or `mixed`, or `proxy`.
fn stack(telemetry: &TelemetrySettings, by_stack: &BTreeMap<String, i64>) -> String {
    if let Some(stack) = &telemetry.stack {
        return stack.clone();
    }
    let all: i64 = by_stack.values().sum();
    match by_stack.iter().max_by_key(|(_, count)| **count) {
        Some((name, count)) if count * 5 > all * 4 => name.clone(),
        Some(_) => "mixed".to_owned(),
        None => "proxy".to_owned(),
    }
}

/// Names of public models, each once; an operator's own names are not sent.
fn models_used(by_model: &BTreeMap<String, i64>) -> Vec<String> {
    let builtin = Models::default();
    let is_public = |name: &str| builtin.get(name).price.is_some() && !builtin.get(name).inferred;
    let shown = |name: &String| if is_public(name) { name.clone() } else { "custom".to_owned() };
    by_model.keys().map(shown).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use axum::routing::post;
    use axum::{Json, Router};
    use serde_json::{Value, json};
    use tokio::sync::mpsc;

    use super::*;
    use crate::ledger::contribution::Accounting;
    use crate::ledger::store::Batch;
    use crate::store::Database;
    use crate::store::SqlLedger;

    fn from_env(env: &[(&str, &str)]) -> TelemetrySettings {
        TelemetrySettings::from_env(|name| {
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
    }

    #[test]
    fn the_stack_is_what_was_set_or_what_dominates() {
        let telemetry = from_env(&[("HEADROOM_AGENT_TYPE", "claude"), ("HEADROOM_SDK", " ")]);
        assert_eq!((telemetry.sdk.as_str(), telemetry.install_mode), ("proxy", "wrapped"));
        let counts = |counts: &[(&str, i64)]| -> BTreeMap<String, i64> {
            counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        assert_eq!(stack(&telemetry, &counts(&[])), "wrap_claude");
        let none = TelemetrySettings::default();
        assert_eq!(stack(&none, &counts(&[("a", 81), ("b", 19)])), "a");
        assert_eq!(stack(&none, &counts(&[("a", 80), ("b", 20)])), "mixed");
        assert_eq!(stack(&none, &counts(&[])), "proxy");
        assert_eq!(
            models_used(&counts(&[("gpt-5", 1), ("acme-secret", 2), ("acme-other", 3)])),
            ["custom", "gpt-5"]
        );
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

        let telemetry = TelemetrySettings { endpoint: Some(url), ..from_env(&[("HEADROOM_SDK", "mine")]) };
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
        assert_eq!(beacon.page().await.unwrap().payload.requests, 1);
    }
}
