//! The sidecar's listeners, HTTP and gRPC, until they are stopped.

use axum::Router;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use super::StartError;
use crate::listen::{Listener, Peer, bind};
use crate::settings::Bind;

/// Concurrent calls on one gRPC connection: an Envoy has one or two connections per worker, and each of its
/// VMs has one report in progress at a time.
const MAX_STREAMS: u32 = 256;

pub(super) async fn listen(name: &'static str, address: &Bind) -> Result<(Listener, String), StartError> {
    bind(address).await.map_err(|error| StartError::Listen { name, address: address.to_string(), error })
}

pub(super) async fn serve_http(listener: Listener, router: Router, stop: CancellationToken) {
    let router = router.into_make_service_with_connect_info::<Peer>();
    let stopped = stop.cancelled_owned();
    let served = match listener {
        Listener::Tcp(listener) => axum::serve(listener, router).with_graceful_shutdown(stopped).await,
        Listener::Unix(listener) => axum::serve(listener, router).with_graceful_shutdown(stopped).await,
    };
    if let Err(error) = served {
        tracing::error!(message = "HTTP ended.", %error);
    }
}

pub(super) async fn serve_grpc(listener: Listener, routes: Routes, stop: CancellationToken) {
    let server = tonic::transport::Server::builder().max_concurrent_streams(MAX_STREAMS).add_routes(routes);
    let stopped = stop.cancelled_owned();
    let served = match listener {
        Listener::Tcp(listener) => {
            // Without it, a small answer can wait for the caller's delayed acknowledgement of the previous
            // one. That takes 40 ms, most of the time that a filter waits for its originals.
            let connections = TcpIncoming::from(listener).with_nodelay(Some(true));
            server.serve_with_incoming_shutdown(connections, stopped).await
        }
        Listener::Unix(listener) => {
            server.serve_with_incoming_shutdown(UnixListenerStream::new(listener), stopped).await
        }
    };
    if let Err(error) = served {
        tracing::error!(message = "gRPC ended.", %error);
    }
}
