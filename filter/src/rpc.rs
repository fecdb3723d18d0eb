//! headroom.v1 over Envoy gRPC.

use headroom_api::method;

use crate::config::{ControlPlane, MAX_CLUSTER_NAME_BYTES};
use crate::host;

/// Sends an encoded `ReportRequest`; the answer comes to the context that is running now.
pub(crate) fn report(control_plane: &ControlPlane, message: &[u8]) -> host::Result<u32> {
    call(control_plane, method::CONTROL_PLANE, method::REPORT, message, control_plane.timeout_ms)
}

/// As [`report`] for an `AdmitRequest`.
pub(crate) fn admit(control_plane: &ControlPlane, message: &[u8]) -> host::Result<u32> {
    call(control_plane, method::ORIGINALS, method::ADMIT, message, control_plane.admit_timeout_ms)
}

/// As [`report`] for a `RetrieveRequest`.
pub(crate) fn retrieve(control_plane: &ControlPlane, message: &[u8]) -> host::Result<u32> {
    call(control_plane, method::ORIGINALS, method::RETRIEVE, message, control_plane.timeout_ms)
}

fn call(
    control_plane: &ControlPlane,
    service: &str,
    method: &str,
    message: &[u8],
    timeout_ms: u32,
) -> host::Result<u32> {
    let target = grpc_service(&control_plane.cluster)
        .ok_or(host::Refused { call: "grpc_call", status: BAD_ARGUMENT })?;
    let bearer = control_plane.token.bearer();
    let metadata = bearer.as_ref().map(|bearer| (&b"authorization"[..], bearer.as_bytes()));
    host::grpc_call(&target, service, method, metadata.as_slice(), message, timeout_ms)
}

const BAD_ARGUMENT: u32 = 2;

/// A serialized `envoy.config.core.v3.GrpcService{envoy_grpc{cluster_name}}`.
///
/// Envoy parses the target as a `GrpcService` and takes it for a cluster's name only when that fails. A
/// name that happens to be valid protobuf, such as `headroom-cp`, parses as an empty service, and
/// Envoy aborts on it. So the target is always a real one. `None`: the name has no bytes, or more than
/// the one-byte lengths can say.
fn grpc_service(cluster: &str) -> Option<Vec<u8>> {
    // Field 1 of GrpcService is envoy_grpc, field 1 of EnvoyGrpc is cluster_name; both have wire type 2.
    const FIELD_1: u8 = 1 << 3 | 2;
    if cluster.is_empty() || cluster.len() > MAX_CLUSTER_NAME_BYTES {
        return None;
    }
    let len = u8::try_from(cluster.len()).ok()?;
    let mut service = vec![FIELD_1, len.checked_add(2)?, FIELD_1, len];
    service.extend_from_slice(cluster.as_bytes());
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
    }

    #[test]
    fn every_name_is_sent_as_a_service_that_names_it() {
        let long = "c".repeat(MAX_CLUSTER_NAME_BYTES);
        for name in ["headroom-cp", "hr", "outbound|8789||headroomd.headroom.svc.cluster.local", &long] {
            let service = GrpcService::decode(grpc_service(name).unwrap().as_slice()).unwrap();
            assert_eq!(service.envoy_grpc.unwrap().cluster_name, name);
        }
    }

    #[test]
    fn a_name_that_does_not_fit_is_no_target() {
        assert_eq!(grpc_service(""), None);
        assert_eq!(grpc_service(&"c".repeat(MAX_CLUSTER_NAME_BYTES + 1)), None);
    }
}
