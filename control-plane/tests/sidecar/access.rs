//! Who may see what.

use std::process::Command;

use headroom_api::v1::control_plane_client::ControlPlaneClient;
use headroom_api::v1::{AdmitRequest, RetrieveRequest};
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use crate::child::{Sidecar, client, client_builder};
use crate::records::report;

const TOKEN: (&str, &str) = ("HEADROOM_TOKEN", "s3cret-t0ken");

#[tokio::test]
async fn with_a_token_only_health_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &[], &[TOKEN]).await;
    for open in ["/livez", "/readyz", "/health"] {
        assert_eq!(sidecar.get(open).await.0, 200);
    }
    for closed in [
        "/stats",
        "/metrics",
        "/events",
        "/stats-history",
        "/transformations/feed",
        "/debug/tasks",
        "/x",
        "/v1/retrieve/stats",
        "/v1/retrieve/0123456789abcdef01234567",
    ] {
        let (status, body) = sidecar.get(closed).await;
        assert_eq!(status, 401, "{closed}");
        assert!(!body.contains(TOKEN.1));
    }
    let url = format!("http://{}/stats", sidecar.ready.http);
    let answer = client().get(url).bearer_auth(TOKEN.1).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}

#[tokio::test]
async fn with_a_token_a_filter_must_show_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &[], &[TOKEN]).await;
    let refused = sidecar.grpc().await.report(report("vm", [1])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut originals = sidecar.originals().await;
    assert_eq!(originals.admit(AdmitRequest::default()).await.unwrap_err().code(), Code::Unauthenticated);
    let refused = originals.retrieve(RetrieveRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let channel =
        Endpoint::from_shared(format!("http://{}", sidecar.ready.grpc)).unwrap().connect().await.unwrap();
    let show = |mut request: Request<()>| {
        let token = format!("Bearer {}", TOKEN.1);
        request.metadata_mut().insert("authorization", MetadataValue::try_from(token).unwrap());
        Ok(request)
    };
    let mut client = ControlPlaneClient::with_interceptor(channel, show);
    client.report(report("vm", [1])).await.unwrap();
}

#[tokio::test]
async fn without_a_token_it_refuses_to_listen_beyond_this_machine() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_headroomd"))
        .args(["--http", "0.0.0.0:0", "--grpc", "127.0.0.1:0", "--workspace-dir"])
        .arg(dir.path())
        .env_clear()
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("HEADROOM_TOKEN"), "{said}");
}

#[tokio::test]
async fn a_name_that_was_pointed_here_from_outside_is_refused_and_there_is_no_cors() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--allowed-hosts", "Headroom.Internal"];
    let sidecar = Sidecar::start_with(dir.path(), &args, &[]).await;
    let url = format!("http://{}/stats", sidecar.ready.http);
    for (host, status) in [("evil.example", 403), ("headroom.internal", 200), ("localhost:1", 200)] {
        let request = client().get(&url).header("host", host).header("origin", "http://evil.example");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{host}");
        assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
    }
}

#[tokio::test]
async fn no_credentials_and_no_colours_are_in_a_log_file_however_much_is() {
    let dir = tempfile::tempdir().unwrap();
    let env = [TOKEN, ("HEADROOM_LOG", "trace")];
    let log = dir.path().join("log");
    let sidecar = Sidecar::start_logging(dir.path(), &env, &log).await;
    let url = format!("http://{}/stats?key=sk-in-the-query", sidecar.ready.http);
    let request = client().get(&url).bearer_auth("sk-in-authorization").header("x-api-key", "sk-in-a-header");
    request.header("cookie", "sk-in-a-cookie").send().await.unwrap();
    let mut request = Request::new(report("vm", [1]));
    request.metadata_mut().insert("authorization", MetadataValue::from_static("Bearer sk-in-metadata"));
    sidecar.grpc().await.report(request).await.unwrap_err();
    assert_eq!(sidecar.terminate().await, Some(0));
    let logged = std::fs::read_to_string(log).unwrap();
    assert!(logged.contains("Stopped."), "the log is there");
    assert!(!logged.contains("sk-in") && !logged.contains(TOKEN.1));
    assert!(!logged.contains('\u{1b}'), "escape sequences are for terminals");
}

#[tokio::test]
async fn a_unix_socket_serves_and_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("http.sock");
    let address = format!("unix:{}", socket.display());
    let _sidecar = Sidecar::start_with(dir.path(), &["--http", &address], &[]).await;
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let client = client_builder().unix_socket(socket).build().unwrap();
    let answer = client.get("http://localhost/debug/warmup").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
}
