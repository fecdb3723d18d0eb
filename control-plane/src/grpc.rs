//! `headroom.v1` over gRPC: thin, everything is decided in the ledger.

mod report;

use headroom_api::v1::control_plane_server::ControlPlaneServer;

pub(crate) use self::report::Service;

/// The service as tonic routes it, with a bound on what a message may hold.
pub(crate) fn service(service: Service) -> ControlPlaneServer<Service> {
    ControlPlaneServer::new(service).max_decoding_message_size(MAX_MESSAGE_BYTES)
}

/// Bytes of one report at most: 10,000 records without blocks, or a thousand with fifty each.
const MAX_MESSAGE_BYTES: usize = 4 << 20;
