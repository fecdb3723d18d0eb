//! Starts everything in order, and stops it without losing received data.

mod chores;
mod learning;
mod listeners;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::chores::{maintain, sweep, sweep_answers, tidy};
use self::learning::learning;
use self::listeners::{listen, serve_grpc, serve_http};
use crate::answers::Answers;
use crate::budget::Budgets;
use crate::clock::now_ms;
use crate::decisions::Decisions;
use crate::filters::Filters;
use crate::gateway::Service;
use crate::grpc;
use crate::http::{self, App, Board, Desk, Guard, Probes};
use crate::ledger::contribution::Accounting;
use crate::ledger::import;
use crate::ledger::labels::{Dimension, Labels};
use crate::ledger::store::LedgerStore;
use crate::ledger::writer::{Ledger, WriterCounts};
use crate::limits::Limits;
use crate::memory::Memory;
use crate::messages::Messages;
use crate::models::Models;
use crate::originals::counts::Counts;
use crate::originals::keeper::Originals;
use crate::originals::store::OriginalsStore;
use crate::request_log::{LostLines, RequestLog};
use crate::retention::{Retention, steady_ms};
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::stage_timings;
use crate::store::Database;
use crate::store::SqlOriginals;
use crate::store::{Renewing, SqlLedger};
use crate::subscriptions::Subscriptions;
use crate::tasks::Tasks;
use crate::telemetry::{Beacon, Schedule};
use crate::tenants::Tenants;
use crate::text_model::TextModel;
use crate::toin;
use crate::trouble::StoreError;
use crate::upstream;
use crate::warmup::Warmup;

/// How long connections may take to end when the sidecar stops. Data that they send in that time is still written.
const CONNECTIONS: Duration = Duration::from_secs(5);
/// How long the queues may take to be written after that.
const DRAIN: Duration = Duration::from_secs(4);

/// Why the sidecar does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address is in use or cannot be bound.
    #[error("{name}: cannot listen on {address}: {error}")]
    Listen {
        /// `http`, `grpc` or `metrics`.
        name: &'static str,
        /// The address from the settings.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The log of requests cannot be opened.
    #[error("{path}: requests cannot be logged there: {error}")]
    LogFile {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The ready file cannot be written.
    #[error("{path}: the ready file cannot be written: {error}")]
    ReadyFile {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
}

/// Where the sidecar listens: `ip:port` or `unix:/path`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Addresses {
    /// The process.
    pub pid: u32,
    /// For people and Prometheus.
    pub http: String,
    /// For the filter.
    pub grpc: String,
    /// Only `/metrics`, if it has its own listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
}

/// A running sidecar.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Stops listening, ends current requests, writes the queues, closes the store.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.ended.await {
            tracing::error!(message = "A task of the sidecar ended badly.", %error);
        }
    }
}

/// Starts the sidecar. When this returns, its addresses answer.
pub async fn start(settings: &Settings) -> Result<Running, StartError> {
    headroom_private::folder(&settings.workspace_dir)
        .map_err(|error| StoreError::Folder { path: settings.workspace_dir.display().to_string(), error })?;
    if let Database::Lines(path) = &settings.database {
        tracing::info!(
            message = "Savings are kept as JSON Lines. Originals are only in memory and are lost when this process ends, and no other headroomd can share them.",
            path = %path.display(),
        );
    }
    let tasks = Tasks::default();
    let stop = CancellationToken::new();
    let mut warmup = Warmup::default();
    let opened = Renewing::<SqlLedger>::open(&settings.database, Arc::new(now_ms)).await?;
    warmup.note_store("store", opened.location());
    let ledger_watch = opened.watch();
    let store: Arc<dyn LedgerStore> = Arc::new(opened);
    let opened = Renewing::<SqlOriginals>::open(&settings.originals, Arc::new(now_ms)).await?;
    warmup.note_code_aware(settings.code_aware);
    warmup.note_store("originals", opened.location());
    let memory =
        Memory::open(settings.memory.clone(), settings.memory_models.clone(), settings.user.clone()).await;
    let answers = Answers::new(settings.answers_max_bytes, memory.clone());
    let originals_watch = opened.watch();
    let text_model = TextModel::new(&settings.text_model);
    let learning = learning(settings, &mut warmup).await;
    let originals_store: Arc<dyn OriginalsStore> = Arc::new(opened);
    let kept = store.retention_time().await?;
    let retention = Arc::new(Retention::new(kept, Arc::new(now_ms), Arc::new(steady_ms)));
    let aging = Arc::clone(&retention);
    let (originals, originals_writer) =
        Originals::new(Arc::clone(&originals_store), settings.keep, Arc::new(move || aging.now()));
    let aging = Arc::clone(&retention);
    let decisions = Decisions::new(
        Arc::clone(&originals_store),
        Arc::clone(&text_model) as _,
        Arc::new(move || aging.now()),
    );
    import(store.as_ref(), &settings.savings_path, &mut warmup).await;
    if let Err(error) = tidy(store.as_ref(), &retention).await {
        tracing::warn!(message = "The store was not tidied; it will be in an hour.", %error);
    }
    let accounting = Arc::new(accounting(store.as_ref(), settings, &mut warmup).await?);

    let metrics = Arc::new(http::Metrics::default());
    let observed = Arc::clone(&metrics);
    let sessions = Arc::new(Sessions::default());
    let filters = Arc::new(Filters::default());
    let messages = Arc::new(Messages::new(settings.log_messages));
    let (told, landings) = watch::channel(0);
    let limits = Limits::new(Arc::clone(&store), Arc::clone(&accounting));
    let subscriptions = Arc::new(Subscriptions::load(settings.subscription_state_path.clone(), now_ms()));
    let allowances = Arc::clone(&subscriptions);
    let lost_lines = Arc::new(LostLines::default());
    let log = settings.log_file.as_deref().map(|path| {
        RequestLog::open(path, Arc::clone(&messages), Arc::clone(&lost_lines))
            .map_err(|error| StartError::LogFile { path: path.display().to_string(), error })
    });
    let (request_log, log_writer) = log.transpose()?.unzip();
    let (ledger, writer) = Ledger::new(Arc::clone(&store), Arc::clone(&accounting), move |landed| {
        observed.observe(landed);
        stage_timings::log(landed);
        if let Some(log) = &request_log {
            log.log(landed);
        }
        allowances.observe(landed, now_ms());
        told.send_modify(|landings| *landings += 1);
    });

    let (http_listener, http) = listen("http", &settings.http).await?;
    let (grpc_listener, grpc) = listen("grpc", &settings.grpc).await?;
    let metrics_listener = match &settings.metrics {
        Some(address) => Some(listen("metrics", address).await?),
        None => None,
    };
    let (metrics_listener, metrics_address) = metrics_listener.unzip();
    let addresses = Addresses { pid: std::process::id(), http, grpc, metrics: metrics_address };

    if let Some(problem) = &settings.telemetry.problem {
        tracing::warn!(message = "Telemetry stays off.", problem);
    }
    let beacon = Arc::new(Beacon::new(settings.telemetry.clone(), Arc::clone(&store)));
    let app = Arc::new(App {
        store: Arc::clone(&store),
        ledger: ledger.clone(),
        originals: originals.clone(),
        answers: answers.clone(),
        metrics: Arc::clone(&metrics),
        lost_lines,
        sessions: Arc::clone(&sessions),
        filters: Arc::clone(&filters),
        messages: Arc::clone(&messages),
        memory: memory.clone(),
        scorer: settings.scorer,
        learning: Arc::clone(learning.learner.counts()),
        learned: learning.learned.clone(),
        desk: Desk::new(Service::new(
            settings.compress_within,
            originals.clone(),
            ledger.clone(),
            Arc::clone(&text_model),
            {
                let memory = memory.clone();
                Arc::new(move || memory.embedder())
            },
        )),
        text_model: Arc::clone(&text_model),
        board: Board::new(
            Arc::clone(&store),
            ledger.clone(),
            originals.clone(),
            answers.clone(),
            Arc::clone(&subscriptions),
            landings,
        ),
        turnstile: http::Turnstile::default(),
        accounting,
        guard: Arc::new(Guard::new(
            settings.token.clone(),
            settings.tenants.clone(),
            settings.allowed_hosts.clone(),
        )),
        warmup,
        probes: Probes::new(
            ledger_watch,
            originals_watch,
            [("memory", memory.watch())].into_iter().chain(learning.watch.map(|watch| ("learn", watch))),
        ),
        beacon: Arc::clone(&beacon),
        tasks: tasks.clone(),
        stop: stop.clone(),
        listeners: http::listeners(),
        started: Instant::now(),
        deployment: upstream::health::deployment(|name| std::env::var(name).ok()),
    });
    tasks.spawn("ledger_writer", writer);
    if let Some(writer) = log_writer {
        tasks.spawn("request_log", writer);
    }
    tasks.spawn("maintenance", maintain(Arc::clone(&store), Arc::clone(&retention), stop.clone()));
    tasks.spawn("originals_writer", originals_writer);
    tasks.spawn(
        "originals_sweep",
        sweep(originals.clone(), Arc::clone(&store), Arc::clone(&retention), stop.clone()),
    );
    let kept = {
        let (subscriptions, stop) = (Arc::clone(&subscriptions), stop.clone());
        async move { subscriptions.keep(now_ms, stop).await }
    };
    tasks.spawn("subscriptions", kept);
    tasks.spawn("answers_sweep", sweep_answers(answers.clone(), stop.clone()));
    tasks.spawn("memory", memory.clone().keep(stop.clone()));
    tasks.spawn("text_model", text_model.keep(stop.clone()));
    if let Some(worker) = learning.worker {
        tasks.spawn("learner", worker.run());
    }
    if let Some(path) = settings.toin_path.clone() {
        tasks.spawn("toin", toin::keep(path, Arc::clone(&store), stop.clone()));
    }
    tasks.spawn("telemetry", beacon.run(Schedule::default(), stop.clone()));
    if let Some(listener) = metrics_listener {
        // this listener has no token: its address decides who can read it
        let guard = Arc::new(Guard::new(None, Tenants::default(), settings.allowed_hosts.clone()));
        let router = http::metrics_router(Arc::clone(&app), guard);
        tasks.spawn("metrics", serve_http(listener, router, stop.clone()));
    }
    tasks.spawn("http", serve_http(http_listener, http::router(app), stop.clone()));
    let queues = Queues { records: Arc::clone(ledger.counts()), originals: Arc::clone(originals.counts()) };
    let watched = grpc::FilterState { filters, sessions, metrics };
    let keys = grpc::Keys { token: settings.token.clone(), tenants: settings.tenants.clone() };
    let routes = grpc::routes(grpc::Parts {
        ledger,
        limits,
        originals,
        memory: memory.clone(),
        answers,
        decisions,
        messages,
        learner: learning.learner,
        watched,
        keys,
    });
    tasks.spawn("grpc", serve_grpc(grpc_listener, routes, stop.clone()));

    tracing::info!(
        message = "Listening.",
        http = addresses.http,
        grpc = addresses.grpc,
        store = store.location(),
    );
    if let Some(path) = &settings.ready_file {
        write_ready_file(path, &addresses)
            .map_err(|error| StartError::ReadyFile { path: path.display().to_string(), error })?;
    }
    let (ready_file, learned) = (settings.ready_file.clone(), learning.learned.store);
    let ending = stop.clone();
    let ended = tokio::spawn(async move {
        ending.cancelled().await;
        // the writers write their queues and end when all users of the ledger and the originals are gone
        if tokio::time::timeout(CONNECTIONS, tasks.ended()).await.is_err() {
            tracing::warn!(message = "Connections did not end in time and are cut off.");
            queues.drain().await;
        }
        // with the data of the last reports
        if let Err(error) = subscriptions.write(now_ms()) {
            tracing::warn!(message = "The state of subscriptions cannot be written.", %error);
        }
        store.close().await;
        originals_store.close().await;
        memory.close().await;
        if let Some(learned) = learned {
            learned.close().await;
        }
        if let Some(path) = ready_file {
            fs::remove_file(path).ok();
        }
        tracing::info!(message = "Stopped.");
    });
    Ok(Running { addresses, stop, ended })
}

/// Received data that is not durable yet.
struct Queues {
    records: Arc<WriterCounts>,
    originals: Arc<Counts>,
}

impl Queues {
    /// Waits until both are empty, and logs the rest if that takes too long. None of the rest was acknowledged.
    async fn drain(&self) {
        let deadline = Instant::now() + DRAIN;
        loop {
            let (records, originals) = (self.records.unwritten(), self.originals.unwritten());
            if records == 0 && originals == 0 {
                return;
            }
            if Instant::now() >= deadline {
                return tracing::error!(
                    message = "Not everything was written. Filters keep records until they are acknowledged.",
                    records,
                    originals,
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Imports upstream's history. A file that cannot be imported does not affect anything else.
async fn import(store: &dyn LedgerStore, path: &Path, warmup: &mut Warmup) {
    let source = path.display().to_string();
    match import::read(path, now_ms()) {
        Ok(None) => warmup.note_no_import(),
        Ok(Some(imported)) => {
            let news = match store.import(&source, &imported).await {
                Ok(news) => news,
                Err(error) => {
                    tracing::error!(message = "The savings file was left out.", source, %error);
                    warmup.note_import("left out", Some("it could not be stored: see the log".to_owned()));
                    return;
                }
            };
            let tokens_saved = imported.lifetime.tokens_saved;
            tracing::info!(
                message = "The savings file was read.",
                source,
                news,
                tokens_saved,
                points = imported.points.len(),
                skipped = imported.skipped_points,
            );
            warmup.note_import(if news { "imported" } else { "imported before" }, None);
        }
        Err(error) => {
            tracing::warn!(message = "The savings file was left out.", source, %error);
            warmup.note_import("left out", Some(error.to_string()));
        }
    }
}

async fn accounting(
    store: &dyn LedgerStore,
    settings: &Settings,
    warmup: &mut Warmup,
) -> Result<Accounting, StoreError> {
    let requests = store.tallies().await?.into_iter().map(|(dimension, value, _)| (dimension, value));
    let blocks = store.block_tallies().await?.into_iter().map(|(dimension, value, _)| (dimension, value));
    let models = Models::load(&settings.models);
    for warning in models.warnings() {
        tracing::warn!(message = "A model's figures were left out.", warning);
    }
    if let Some(days) = models.stale_days(now_ms()) {
        tracing::warn!(
            message = "The built-in prices may be out of date: put newer ones into models.json.",
            days,
            checked = models.checked(),
        );
    }
    warmup.note_models(&models, now_ms());
    let budgets = Budgets::load(settings.budgets.as_deref(), &settings.config_dir.join("budgets.json"));
    for warning in budgets.warnings() {
        tracing::warn!(message = "A budget was left out.", warning);
    }
    let tenants = store.cache_tenants().await?.into_iter().map(|tenant| (Dimension::Tenant, tenant));
    Ok(Accounting { labels: Labels::knowing(requests.chain(blocks).chain(tenants)), models, budgets })
}

/// A waiting process never reads a partial file.
fn write_ready_file(path: &Path, addresses: &Addresses) -> io::Result<()> {
    headroom_private::write(path, &serde_json::to_vec(addresses)?)
}
