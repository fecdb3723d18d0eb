//! Bringing everything up, in order, and taking it down again without losing what was taken in.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::grpc;
use crate::http::{self, App};
use crate::ledger::contribution::Accounting;
use crate::ledger::labels::Labels;
use crate::ledger::writer::Ledger;
use crate::listen::{Listener, Peer, bind};
use crate::models::Models;
use crate::settings::Settings;
use crate::store::{LedgerStore, SqlStore, StoreError};

/// Why the sidecar does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address is taken or cannot be bound.
    #[error("{name}: cannot listen on {address}: {error}")]
    Listen {
        /// `http` or `grpc`.
        name: &'static str,
        /// The address as it was asked for.
        address: String,
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
}

/// A sidecar that runs.
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

    /// Stops listening, ends what is under way, writes what is queued, closes the store.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.ended.await {
            tracing::error!(message = "A task of the sidecar ended badly.", %error);
        }
    }
}

/// Starts the sidecar. When this returns, both addresses answer.
pub async fn start(settings: &Settings) -> Result<Running, StartError> {
    let store = Arc::new(SqlStore::open(&settings.database, now_ms()).await?);
    let store: Arc<dyn LedgerStore> = store;
    let known = store.tallies().await?.into_iter().map(|(dimension, value, _)| (dimension, value));
    let known_blocks =
        store.block_tallies().await?.into_iter().map(|(dimension, value, _)| (dimension, value));
    let labels = Labels::knowing(known.chain(known_blocks));
    let accounting = Arc::new(Accounting { labels, models: Models::load(&settings.models) });

    let metrics = Arc::new(http::Metrics::default());
    let observed = Arc::clone(&metrics);
    let (ledger, writer) =
        Ledger::start(Arc::clone(&store), Arc::clone(&accounting), move |landed| observed.observe(landed));

    let (http_listener, http) = listen("http", &settings.http).await?;
    let (grpc_listener, grpc) = listen("grpc", &settings.grpc).await?;
    let addresses = Addresses { pid: std::process::id(), http, grpc };

    let stop = CancellationToken::new();
    let app = Arc::new(App::new(Arc::clone(&store), ledger.clone(), accounting, metrics));
    let http = tokio::spawn(serve_http(http_listener, app, stop.clone()));
    let service = grpc::service(grpc::Service { ledger, epoch: store.epoch().to_owned() });
    let grpc = tokio::spawn(serve_grpc(grpc_listener, service, stop.clone()));

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
    let ready_file = settings.ready_file.clone();
    let ended = tokio::spawn(async move {
        // both hold the ledger: the writer ends, with its queue written, once they are gone
        let ended = tokio::join!(http, grpc);
        for ended in [ended.0, ended.1] {
            if let Err(error) = ended {
                tracing::error!(message = "A listener ended badly.", %error);
            }
        }
        if let Err(error) = writer.await {
            tracing::error!(message = "The writer ended badly.", %error);
        }
        store.close().await;
        if let Some(path) = ready_file {
            fs::remove_file(path).ok();
        }
        tracing::info!(message = "Stopped.");
    });
    Ok(Running { addresses, stop, ended })
}

async fn listen(
    name: &'static str,
    address: &crate::settings::Bind,
) -> Result<(Listener, String), StartError> {
    bind(address).await.map_err(|error| StartError::Listen { name, address: format!("{address:?}"), error })
}

async fn serve_http(listener: Listener, app: Arc<App>, stop: CancellationToken) {
    let router = http::router(app).into_make_service_with_connect_info::<Peer>();
    let stopped = stop.cancelled_owned();
    let served = match listener {
        Listener::Tcp(listener) => axum::serve(listener, router).with_graceful_shutdown(stopped).await,
        Listener::Unix(listener) => axum::serve(listener, router).with_graceful_shutdown(stopped).await,
    };
    if let Err(error) = served {
        tracing::error!(message = "HTTP ended.", %error);
    }
}

async fn serve_grpc(
    listener: Listener,
    service: headroom_api::v1::control_plane_server::ControlPlaneServer<grpc::Service>,
    stop: CancellationToken,
) {
    let server = tonic::transport::Server::builder().add_service(service);
    let stopped = stop.cancelled_owned();
    let served = match listener {
        Listener::Tcp(listener) => {
            server.serve_with_incoming_shutdown(TcpListenerStream::new(listener), stopped).await
        }
        Listener::Unix(listener) => {
            server.serve_with_incoming_shutdown(UnixListenerStream::new(listener), stopped).await
        }
    };
    if let Err(error) = served {
        tracing::error!(message = "gRPC ended.", %error);
    }
}

/// Appears under its name only when complete, so that who waits for it never reads half.
fn write_ready_file(path: &Path, addresses: &Addresses) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, serde_json::to_vec(addresses)?)?;
    fs::rename(&partial, path)
}
