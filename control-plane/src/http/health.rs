//! Whether the process lives, whether it can work, and what it consists of.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::App;
use crate::clock::{iso, now_ms};

/// The name under which the original answered; scripts look for it.
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

/// 200 for as long as the process answers at all.
pub(super) async fn livez(State(app): State<Arc<App>>) -> Json<Value> {
    Json(Value::Object(alive(&app)))
}

/// 200 when reports can be counted, 503 until then and whenever they cannot.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (ready, body) = readiness(&app).await;
    (status(ready), Json(Value::Object(body)))
}

/// Readiness with the configuration and the deployment.
pub(super) async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
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
    (status(ready), Json(Value::Object(body)))
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
    let store = app.store.check().await;
    let ready = store.is_ok();
    if let Err(error) = &store {
        tracing::warn!(message = "Not ready: the store cannot be written.", %error);
    }
    let mut body = alive(app);
    let verdict = if ready { "healthy" } else { "unhealthy" };
    body.insert("status".to_owned(), json!(verdict));
    body.insert("ready".to_owned(), json!(ready));
    let failure = store.err().map(|_| "the store cannot be written: see the log");
    body.insert(
        "checks".to_owned(),
        json!({
            "startup": {"enabled": true, "ready": true, "status": "healthy", "error": null},
            "store": {"enabled": true, "ready": ready, "status": verdict, "error": failure},
            "cache": disabled(),
            "rate_limiter": disabled(),
            "memory": disabled(),
        }),
    );
    (ready, body)
}

fn disabled() -> Value {
    json!({"enabled": false, "ready": true, "status": "disabled", "error": null})
}
