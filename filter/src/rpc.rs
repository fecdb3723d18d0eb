//! The calls of `headroom.v1`, over Envoy's gRPC.

use std::time::Duration;

use headroom_api::method;
use proxy_wasm::types::Status;

use crate::config::{ControlPlane, MAX_CLUSTER_NAME_BYTES};
use crate::host;

/// Sends an encoded `ReportRequest`; the running context receives the answer.
pub(crate) fn report(control_plane: &ControlPlane, message: &[u8]) -> host::Result<u32> {
    call(control_plane, method::CONTROL_PLANE, method::REPORT, message, control_plane.timeout_ms)
}

/// As [`report`] for a `LimitsRequest`, which is empty.
pub(crate) fn limits(control_plane: &ControlPlane) -> host::Result<u32> {
    call(control_plane, method::CONTROL_PLANE, method::LIMITS, &[], control_plane.timeout_ms)
}

/// As [`report`] for an `AdmitRequest`.
pub(crate) fn admit(control_plane: &ControlPlane, message: &[u8]) -> host::Result<u32> {
    call(control_plane, method::ORIGINALS, method::ADMIT, message, control_plane.timeout_ms)
}

/// As [`report`] for a `RetrieveRequest`.
pub(crate) fn retrieve(control_plane: &ControlPlane, message: &[u8]) -> host::Result<u32> {
    call(control_plane, method::ORIGINALS, method::RETRIEVE, message, control_plane.timeout_ms)
}

/// As [`report`] for a `MemoryCallRequest`.
pub(crate) fn memory(control_plane: &ControlPlane, message: &[u8]) -> host::Result<u32> {
    call(control_plane, method::MEMORY, method::CALL, message, control_plane.timeout_ms)
}

/// As [`report`] for a `MemoryContextRequest`, with a deadline of its own.
pub(crate) fn memory_context(
    control_plane: &ControlPlane,
    message: &[u8],
    timeout_ms: u32,
) -> host::Result<u32> {
    call(control_plane, method::MEMORY, method::CONTEXT, message, timeout_ms)
}

/// As [`report`] for a `DecideRequest`, with a deadline of its own.
pub(crate) fn decide(control_plane: &ControlPlane, message: &[u8], timeout_ms: u32) -> host::Result<u32> {
    call(control_plane, method::TEXT_MODEL, method::DECIDE, message, timeout_ms)
}

/// As [`report`] for a `FindAnswerRequest`, with a deadline of its own.
pub(crate) fn find_answer(
    control_plane: &ControlPlane,
    message: &[u8],
    timeout_ms: u32,
) -> host::Result<u32> {
    call(control_plane, method::ANSWERS, method::FIND, message, timeout_ms)
}

/// As [`report`] for a `KeepAnswerRequest`.
pub(crate) fn keep_answer(control_plane: &ControlPlane, message: &[u8]) -> host::Result<u32> {
    call(control_plane, method::ANSWERS, method::KEEP, message, control_plane.timeout_ms)
}

fn call(
    control_plane: &ControlPlane,
    service: &str,
    method: &str,
    message: &[u8],
    timeout_ms: u32,
) -> host::Result<u32> {
    let target = grpc_service(&control_plane.cluster)
        .ok_or(host::RefusedCall { call: "grpc_call", status: Status::BadArgument as u32 })?;
    let bearer = control_plane.token.bearer();
    let metadata = bearer.as_ref().map(|bearer| ("authorization", bearer.as_bytes()));
    let timeout = Duration::from_millis(timeout_ms.into());
    host::grpc_call(&target, service, method, metadata.into_iter().collect(), message, timeout)
}

/// The `:authority` of the calls. Without one Envoy sends the cluster's name. The names that Istio
/// (`outbound|8789||…`) and Envoy Gateway (`grpcroute/…`) give are not valid authorities: the sidecar's
/// HTTP/2 library resets such a stream before the sidecar sees it.
const AUTHORITY: &str = "headroomd";

/// A serialized `envoy.config.core.v3.GrpcService{envoy_grpc{cluster_name, authority}}`.
///
/// Envoy parses the target as a `GrpcService`, and takes it for a cluster's name only if that fails. A name
/// that happens to be valid protobuf, such as `headroom-cp`, parses as an empty service, and Envoy aborts. So
/// the target is always a serialized service. It contains `envoy_grpc` twice, once with each of its fields,
/// which protobuf reads as one message: so each length fits in one byte, and the target is text, as the crate
/// needs it. `None`: the name is empty, or longer than a one-byte length allows.
fn grpc_service(cluster: &str) -> Option<String> {
    // Field 1 of GrpcService is envoy_grpc, fields 1 and 2 of EnvoyGrpc are cluster_name and authority; all
    // have wire type 2.
    const FIELD_1: char = '\u{a}';
    const FIELD_2: char = '\u{12}';
    if cluster.is_empty() || cluster.len() > MAX_CLUSTER_NAME_BYTES {
        return None;
    }
    let mut service = String::new();
    for (field, value) in [(FIELD_1, cluster), (FIELD_2, AUTHORITY)] {
        let length = u8::try_from(value.len()).ok()?;
        service.extend([FIELD_1, char::from(length.checked_add(2)?), field, char::from(length)]);
        service.push_str(value);
    }
    Some(service)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct GrpcService {
        #[prost(message, optional, tag = "1")]
        envoy_grpc: Option<EnvoyGrpc>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct EnvoyGrpc {
        #[prost(string, tag = "1")]
        cluster_name: String,
        #[prost(string, tag = "2")]
        authority: String,
    }

    #[test]
    fn every_name_is_sent_as_a_service_that_names_it_and_an_authority() {
        let long = "c".repeat(MAX_CLUSTER_NAME_BYTES);
        for name in ["headroom-cp", "hr", "outbound|8789||headroomd.headroom.svc.cluster.local", &long] {
            let service = GrpcService::decode(grpc_service(name).unwrap().as_bytes()).unwrap();
            let target = service.envoy_grpc.unwrap();
            assert_eq!((target.cluster_name.as_str(), target.authority.as_str()), (name, "headroomd"));
        }
    }

    #[test]
    fn a_name_that_does_not_fit_is_no_target() {
        assert_eq!(grpc_service(""), None);
        assert_eq!(grpc_service(&"c".repeat(MAX_CLUSTER_NAME_BYTES + 1)), None);
    }
}
