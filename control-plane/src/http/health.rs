//! Whether the process lives, whether it can work, and what it consists of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::App;
use super::guard::Access;
use crate::clock::{iso, now_ms};
use crate::store::LedgerStore;

/// The name under which upstream answered; scripts look for it.
const SERVICE: &str = "headroom-proxy";

/// How this sidecar was deployed, as `HEADROOM_DEPLOYMENT_*` say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deployment(Map<String, Value>);

impl Deployment {
    pub(crate) fn from_env(env: impl Fn(&str) -> Option<String>) -> Self {
        let mut known = Map::new();
        for name in ["PROFILE", "PRESET", "RUNTIME", "SUPERVISOR", "SCOPE"] {
            let value = env(&format!("HEADROOM_DEPLOYMENT_{name}"));
            let value = value.filter(|value| !value.trim().is_empty());
            known.insert(name.to_ascii_lowercase(), json!(value));
        }
        Self(known)
    }
}

/// How long an answer of the store to "can you be written?" holds. Health is open to everyone, and
/// asking takes the store's write lock.
const PROBE_HOLDS: Duration = Duration::from_secs(1);

/// Asks the store whether it can be written, for all who want to know at the same time.
#[derive(Debug, Default)]
pub(crate) struct Probe(Mutex<Option<(Instant, bool)>>);

impl Probe {
    async fn is_writable(&self, store: &dyn LedgerStore) -> bool {
        let mut last = self.0.lock().await;
        if let Some((_, writable)) = last.filter(|(at, _)| at.elapsed() < PROBE_HOLDS) {
            return writable;
        }
        let answer = store.check().await;
        if let Err(error) = &answer {
            tracing::warn!(message = "Not ready: the store cannot be written.", %error);
        }
        *last = Some((Instant::now(), answer.is_ok()));
        answer.is_ok()
    }
}

/// 200 for as long as the process answers at all.
pub(super) async fn livez(State(app): State<Arc<App>>, Extension(access): Extension<Access>) -> Json<Value> {
    Json(shown(alive(&app), access))
}

/// 200 when reports can be counted, 503 until then and whenever they cannot.
pub(super) async fn readyz(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
) -> (StatusCode, Json<Value>) {
    let (ready, body) = readiness(&app).await;
    (status(ready), Json(shown(body, access)))
}

/// Readiness with the configuration and the deployment.
pub(super) async fn health(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
) -> (StatusCode, Json<Value>) {
    let (ready, mut body) = readiness(&app).await;
    let database = if app.store.location().contains("://") { "postgresql" } else { "sqlite" };
    body.insert(
        "config".to_owned(),
        json!({
            "backend": "envoy",
            "optimize": true,
            "cache": false,
            "rate_limit": false,
            "memory": false,
            "learn": false,
            "code_graph": false,
            "store": database,
            "pid": std::process::id(),
        }),
    );
    body.insert("deployment".to_owned(), Value::Object(app.deployment.0.clone()));
    (status(ready), Json(shown(body, access)))
}

/// Of a page about health, what this caller may see.
fn shown(body: Map<String, Value>, access: Access) -> Value {
    match access {
        Access::Full => Value::Object(body),
        Access::Status => json!({"status": body.get("status")}),
    }
}

fn status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn alive(app: &App) -> Map<String, Value> {
    let Value::Object(body) = json!({
        "service": SERVICE,
        "status": "healthy",
        "alive": true,
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": iso(now_ms()),
        "uptime_seconds": app.started.elapsed().as_secs_f64(),
    }) else {
        return Map::new();
    };
    body
}

async fn readiness(app: &App) -> (bool, Map<String, Value>) {
    let writable = app.probe.is_writable(app.store.as_ref()).await;
    let ready = writable && app.warmup.is_ready();
    let mut body = alive(app);
    let verdict = |ready: bool| if ready { "healthy" } else { "unhealthy" };
    body.insert("status".to_owned(), json!(verdict(ready)));
    body.insert("ready".to_owned(), json!(ready));
    let mut checks = Map::new();
    let failure = (!writable).then_some("the store cannot be written: see the log");
    checks.insert(
        "startup".to_owned(),
        json!({"enabled": true, "ready": app.warmup.is_ready(), "status": verdict(app.warmup.is_ready()), "error": null}),
    );
    checks.insert(
        "store".to_owned(),
        json!({"enabled": true, "ready": writable, "status": verdict(writable), "error": failure}),
    );
    checks.extend(app.warmup.checks());
    let trouble = app.filters.trouble();
    let state = if trouble.is_some() { "degraded" } else { "healthy" };
    checks.insert(
        "filter_configuration".to_owned(),
        json!({"enabled": true, "ready": true, "status": state, "error": trouble}),
    );
    for absent in ["cache", "rate_limiter", "memory"] {
        checks.insert(
            absent.to_owned(),
            json!({"enabled": false, "ready": true, "status": "disabled", "error": null}),
        );
    }
    body.insert("checks".to_owned(), Value::Object(checks));
    (ready, body)
}
