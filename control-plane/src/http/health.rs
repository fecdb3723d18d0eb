//! Health: whether the process lives, whether it can work, and the state of its parts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use headroom_api::names::{PRE_UPSTREAM_VARIABLE, pre_upstream};
use headroom_api::pages::{Check, Config, Health, MemoryCheck, PreUpstream, Runtime};
use tokio::sync::Mutex;

use super::App;
use super::guard::Access;
use crate::clock::{iso, now_ms};
use crate::trouble::{StoreError, StoreWatch, Trouble};
use crate::upstream::health as upstream;

/// How long the result of a write check of the stores is reused. Health is open to everyone, and a check
/// takes the stores' write locks.
const PROBE_HOLDS: Duration = Duration::from_secs(1);
/// How long a store may take for that. Callers of health checks give up after a few seconds.
const PROBE_PATIENCE: Duration = Duration::from_millis(400);

/// The state of a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum StoreState {
    Works,
    /// It can be read but not written.
    ReadOnly(Trouble),
    Out(Trouble),
}

/// The state of all stores.
#[derive(Clone, Copy, Debug)]
struct States {
    /// The ledger's and the originals'.
    stores: [StoreState; 2],
    /// Memory's, without which everything else works.
    memory: StoreState,
}

/// Checks whether the stores can be written, once for all concurrent requests.
#[derive(Debug)]
pub(crate) struct Probes {
    /// The stores by their names in `/metrics`, the ledger's and the originals' first.
    watches: Vec<(&'static str, Arc<StoreWatch>)>,
    last: Mutex<Option<(Instant, States)>>,
}

impl Probes {
    pub(crate) fn new(
        ledger: Arc<StoreWatch>,
        originals: Arc<StoreWatch>,
        others: impl IntoIterator<Item = (&'static str, Arc<StoreWatch>)>,
    ) -> Self {
        let watches = [("ledger", ledger), ("originals", originals)].into_iter().chain(others).collect();
        Self { watches, last: Mutex::new(None) }
    }

    /// The stores' names in `/metrics`, with the observations of each.
    pub(super) fn watches(&self) -> impl Iterator<Item = (&'static str, &StoreWatch)> {
        self.watches.iter().map(|(name, watch)| (*name, watch.as_ref()))
    }

    async fn states(&self, app: &App) -> States {
        let mut last = self.last.lock().await;
        if let Some((_, states)) = last.filter(|(at, _)| at.elapsed() < PROBE_HOLDS) {
            return states;
        }
        let (ledger, originals) = (&app.store, &app.originals);
        let stores = [
            state("store", ledger.check(), async || ledger.display_session().await.map(drop)).await,
            state("originals", originals.check(), async || originals.sums().await.map(drop)).await,
        ];
        let memory = state("memory", app.memory.check(), async || app.memory.read().await).await;
        let states = States { stores, memory };
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

/// Always 200, if the process answers.
pub(super) async fn livez(State(app): State<Arc<App>>, Extension(access): Extension<Access>) -> Json<Health> {
    Json(shown(alive(&app), access))
}

/// 200 with the list of problems if anything can be served; 503 if neither store can be read.
pub(super) async fn readyz(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
) -> (StatusCode, Json<Health>) {
    let page = readiness(&app).await;
    (status(&page), Json(shown(page, access)))
}

/// Readiness with the configuration and the deployment.
pub(super) async fn health(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
) -> (StatusCode, Json<Health>) {
    let database = if app.store.location().contains("://") { "postgresql" } else { "sqlite" };
    let page = Health {
        config: Some(Config {
            learn: app.learned.store.is_some(),
            ..upstream::config(database, app.answers.is_asked())
        }),
        deployment: Some(app.deployment.clone()),
        ..readiness(&app).await
    };
    (status(&page), Json(shown(page, access)))
}

/// The part of a health page that this caller may see.
fn shown(page: Health, access: Access) -> Health {
    match access {
        Access::Full => page,
        Access::Tenant(_) | Access::Status => Health { status: page.status, ..Health::default() },
    }
}

fn status(page: &Health) -> StatusCode {
    if page.ready == Some(true) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn alive(app: &App) -> Health {
    Health {
        service: Some(upstream::SERVICE.to_owned()),
        status: "healthy".to_owned(),
        alive: Some(true),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        timestamp: Some(iso(now_ms())),
        uptime_seconds: Some(app.started.elapsed().as_secs_f64()),
        ..Health::default()
    }
}

async fn readiness(app: &App) -> Health {
    let states = app.probes.states(app).await;
    let started = app.warmup.is_ready();
    let ready = started && states.stores.iter().any(|state| !matches!(state, StoreState::Out(_)));
    let check = |ready: bool, status: &str, error: Option<String>| Check {
        enabled: true,
        ready,
        status: status.to_owned(),
        error,
        ..Check::default()
    };
    let mut checks: BTreeMap<String, Check> = upstream::optional_checks(app.answers.is_asked()).into();
    let startup = if started { "healthy" } else { "unhealthy" };
    checks.insert("startup".to_owned(), check(started, startup, None));
    let places = [app.store.location(), app.originals.location()];
    let stores = ["store", "originals"].into_iter().zip(places).zip(states.stores).zip(&app.probes.watches);
    for (((name, place), state), (_, watch)) in stores {
        checks.insert(name.to_owned(), store_check(state, watch, is_nearly_full(place)));
    }
    checks.extend(app.warmup.checks());
    let trouble = app.filters.trouble();
    let state = if trouble.is_some() { "degraded" } else { "healthy" };
    checks.insert("filter_configuration".to_owned(), check(true, state, trouble));
    checks.insert("memory".to_owned(), memory_check(app, states.memory));
    let is_bad = |check: &Check| check.status == "degraded" || check.status == "unhealthy";
    let bad: Vec<String> =
        checks.iter().filter(|(_, check)| is_bad(check)).map(|(name, _)| name.clone()).collect();
    let status = match ready {
        false => "unhealthy",
        true if bad.is_empty() => "healthy",
        true => "degraded",
    };
    Health {
        status: status.to_owned(),
        ready: Some(ready),
        degraded: Some(bad),
        checks: Some(checks),
        runtime: Some(runtime()),
        ..alive(app)
    }
}

/// How many bodies each worker of Envoy may process at a time. The filter enforces it; the program that starts both
/// passes the value to headroomd.
fn runtime() -> Runtime {
    let said = std::env::var(PRE_UPSTREAM_VARIABLE).ok();
    let bodies = pre_upstream(said.as_deref()).or_else(|| pre_upstream(None));
    Runtime {
        anthropic_pre_upstream: bodies.map(|bodies| PreUpstream {
            enabled: bodies.resolved > 0,
            resolved_concurrency: bodies.resolved,
            source: bodies.source.to_owned(),
        }),
    }
}

/// Whether the disk of a file is almost full: a small write may still find room in the store's journal.
fn is_nearly_full(place: &str) -> bool {
    const LEAST_BYTES: u64 = 1 << 20;
    rustix::fs::statvfs(place).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_BYTES)
}

/// The check of memory. Problems with memory do not stop anything else.
fn memory_check(app: &App, state: StoreState) -> Check {
    let (backend, embedder) = (app.memory.backend_state(), app.memory.embedder_state());
    let why = match state {
        StoreState::Works => {
            let aside = app.memory.watch().set_aside();
            let aside = aside.map(|path| format!("damaged and set aside as {}", path.display()));
            aside.or_else(|| embedder.error.clone())
        }
        StoreState::ReadOnly(trouble) => Some(format!("it cannot be written: {}", trouble.sentence())),
        StoreState::Out(trouble) => {
            Some(format!("it can neither be read nor written: {}", trouble.sentence()))
        }
    };
    let status = if why.is_some() { "degraded" } else { "healthy" };
    Check {
        enabled: true,
        ready: state == StoreState::Works,
        status: status.to_owned(),
        error: why,
        memory: Some(MemoryCheck {
            backend: backend.info,
            initialized: backend.status == Some("loaded"),
            embedder: embedder.info,
            embedder_status: embedder.status.map(str::to_owned),
        }),
    }
}

fn store_check(state: StoreState, watch: &StoreWatch, nearly_full: bool) -> Check {
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
    Check {
        enabled: true,
        ready: state == StoreState::Works,
        status: status.to_owned(),
        error,
        ..Check::default()
    }
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
            Check {
                enabled: true,
                ready: false,
                status: "degraded".to_owned(),
                error: Some("it cannot be written: the disk is full".to_owned()),
                ..Check::default()
            }
        );
        let silent = state("s", std::future::pending(), async || Ok(())).await;
        assert_eq!(silent, StoreState::ReadOnly(Trouble::Busy));
        let gone = state("s", std::future::pending(), async || std::future::pending().await).await;
        assert_eq!(gone, StoreState::Out(Trouble::Busy));
        assert_eq!(store_check(gone, &StoreWatch::default(), false).status, "unhealthy");
        let tight = store_check(works, &StoreWatch::default(), true);
        assert_eq!((tight.status.as_str(), tight.ready), ("degraded", true));
        assert!(!is_nearly_full("postgres://h/d"), "what is no file has no disk here");
    }
}
