//! Whether the process lives, whether it can work, and what it consists of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use headroom_api::names::{PRE_UPSTREAM_VARIABLE, pre_upstream};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::App;
use super::guard::Access;
use crate::clock::{iso, now_ms};
use crate::trouble::{StoreError, StoreWatch, Trouble};

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

/// How long an answer of the stores to "can you be written?" holds. Health is open to everyone, and
/// asking takes their write locks.
const PROBE_HOLDS: Duration = Duration::from_secs(1);
/// How long a store may take to answer that. Who asks for our health gives up after a second or a few.
const PROBE_PATIENCE: Duration = Duration::from_millis(400);

/// What a store can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum StoreState {
    Works,
    /// It is read, and not written.
    ReadOnly(Trouble),
    Out(Trouble),
}

/// Asks the stores whether they can be written, for all who want to know at the same time.
#[derive(Debug)]
pub(crate) struct Probes {
    /// The ledger's and the originals'.
    watches: [Arc<StoreWatch>; 2],
    last: Mutex<Option<(Instant, [StoreState; 2])>>,
}

impl Probes {
    pub(crate) fn new(ledger: Arc<StoreWatch>, originals: Arc<StoreWatch>) -> Self {
        Self { watches: [ledger, originals], last: Mutex::new(None) }
    }

    /// The stores' names in `/metrics`, with what was seen of each.
    pub(super) fn watches(&self) -> impl Iterator<Item = (&'static str, &StoreWatch)> {
        ["ledger", "originals"].into_iter().zip(self.watches.iter().map(Arc::as_ref))
    }

    async fn states(&self, app: &App) -> [StoreState; 2] {
        let mut last = self.last.lock().await;
        if let Some((_, states)) = last.filter(|(at, _)| at.elapsed() < PROBE_HOLDS) {
            return states;
        }
        let (ledger, originals) = (&app.store, &app.originals);
        let states = [
            state("store", ledger.check(), async || ledger.display_session().await.map(drop)).await,
            state("originals", originals.check(), async || originals.sums().await.map(drop)).await,
        ];
        *last = Some((Instant::now(), states));
        states
    }
}

async fn state(
    name: &str,
    write: impl Future<Output = Result<(), StoreError>>,
    read: impl AsyncFnOnce() -> Result<(), StoreError>,
) -> StoreState {
    let trouble = match tokio::time::timeout(PROBE_PATIENCE, write).await {
        Ok(Ok(())) => return StoreState::Works,
        Ok(Err(error)) => {
            tracing::warn!(message = "A store cannot be written.", name, %error);
            Trouble::of(&error)
        }
        Err(_) => Trouble::Busy,
    };
    match tokio::time::timeout(PROBE_PATIENCE, read()).await {
        Ok(Ok(())) => StoreState::ReadOnly(trouble),
        Ok(Err(_)) | Err(_) => StoreState::Out(trouble),
    }
}

/// 200 for as long as the process answers at all.
pub(super) async fn livez(State(app): State<Arc<App>>, Extension(access): Extension<Access>) -> Json<Value> {
    Json(shown(alive(&app), access))
}

/// 200 when anything can be served, with what does not work; 503 when nothing can: neither store can be read.
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
        Access::Tenant(_) | Access::Status => json!({"status": body.get("status")}),
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
    let states = app.probes.states(app).await;
    let started = app.warmup.is_ready();
    let ready = started && states.iter().any(|state| !matches!(state, StoreState::Out(_)));
    let mut checks = Map::new();
    let startup = if started { "healthy" } else { "unhealthy" };
    checks.insert(
        "startup".to_owned(),
        json!({"enabled": true, "ready": started, "status": startup, "error": null}),
    );
    let places = [app.store.location(), app.originals.location()];
    let stores = ["store", "originals"].into_iter().zip(places).zip(states).zip(&app.probes.watches);
    for (((name, place), state), watch) in stores {
        checks.insert(name.to_owned(), store_check(state, watch, is_nearly_full(place)));
    }
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
    let is_bad = |check: &Value| check["status"] == "degraded" || check["status"] == "unhealthy";
    let bad: Vec<&String> = checks.iter().filter(|(_, check)| is_bad(check)).map(|(name, _)| name).collect();
    let status = match ready {
        false => "unhealthy",
        true if bad.is_empty() => "healthy",
        true => "degraded",
    };
    let mut body = alive(app);
    body.insert("status".to_owned(), json!(status));
    body.insert("ready".to_owned(), json!(ready));
    body.insert("degraded".to_owned(), json!(bad));
    body.insert("checks".to_owned(), Value::Object(checks));
    body.insert("runtime".to_owned(), runtime());
    (ready, body)
}

/// How many bodies each worker of Envoy may have in work. The filter does that; who has started both tells headroomd.
fn runtime() -> Value {
    let said = std::env::var(PRE_UPSTREAM_VARIABLE).ok();
    let bodies = pre_upstream(said.as_deref()).or_else(|| pre_upstream(None));
    json!({"anthropic_pre_upstream": bodies.map(|bodies| json!({
        "enabled": bodies.resolved > 0,
        "resolved_concurrency": bodies.resolved,
        "source": bodies.source,
    }))})
}

/// Whether the disk of a file has next to nothing left: a small write may still find room in the store's journal.
fn is_nearly_full(place: &str) -> bool {
    const LEAST_BYTES: u64 = 1 << 20;
    rustix::fs::statvfs(place).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_BYTES)
}

fn store_check(state: StoreState, watch: &StoreWatch, nearly_full: bool) -> Value {
    let (status, error) = match (state, watch.set_aside()) {
        (StoreState::Out(trouble), _) => {
            ("unhealthy", Some(format!("it can neither be read nor written: {}", trouble.sentence())))
        }
        (StoreState::ReadOnly(trouble), _) => {
            ("degraded", Some(format!("it cannot be written: {}", trouble.sentence())))
        }
        (StoreState::Works, _) if watch.refused().is_some() => {
            let why = watch.refused().map_or("see the log", Trouble::sentence);
            ("degraded", Some(format!("the last write was refused: {why}")))
        }
        (StoreState::Works, _) if nearly_full => {
            ("degraded", Some("its disk is full, or has less than 1 MiB left".to_owned()))
        }
        (StoreState::Works, Some(path)) => {
            ("degraded", Some(format!("damaged and set aside as {}", path.display())))
        }
        (StoreState::Works, None) => ("healthy", None),
    };
    json!({"enabled": true, "ready": state == StoreState::Works, "status": status, "error": error})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> StoreError {
        let error = std::io::Error::from(std::io::ErrorKind::StorageFull);
        StoreError::Folder { path: "x".to_owned(), error }
    }

    #[tokio::test]
    async fn what_can_be_read_is_not_out_of_service() {
        let works = state("s", async { Ok(()) }, async || Err(full())).await;
        assert_eq!(works, StoreState::Works);
        let full_disk = state("s", async { Err(full()) }, async || Ok(())).await;
        assert_eq!(full_disk, StoreState::ReadOnly(Trouble::Full));
        assert_eq!(
            store_check(full_disk, &StoreWatch::default(), true),
            json!({"enabled": true, "ready": false, "status": "degraded",
                   "error": "it cannot be written: the disk is full"})
        );
        let silent = state("s", std::future::pending(), async || Ok(())).await;
        assert_eq!(silent, StoreState::ReadOnly(Trouble::Busy));
        let gone = state("s", std::future::pending(), async || std::future::pending().await).await;
        assert_eq!(gone, StoreState::Out(Trouble::Busy));
        assert_eq!(store_check(gone, &StoreWatch::default(), false)["status"], "unhealthy");
        let tight = store_check(works, &StoreWatch::default(), true);
        assert_eq!((&tight["status"], &tight["ready"]), (&json!("degraded"), &json!(true)));
        assert!(!is_nearly_full("postgres://h/d"), "what is no file has no disk here");
    }
}
