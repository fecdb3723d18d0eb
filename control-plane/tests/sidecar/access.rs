//! Access control of the pages.

use std::process::Command;

use headroom_api::v1::control_plane_client::ControlPlaneClient;
use headroom_api::v1::{AdmitRequest, MemoryCallRequest, RetrieveRequest};
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Code, Request};

use crate::child::{Sidecar, client, client_builder};
use crate::health::answer_when;
use crate::records::report;

const TOKEN: (&str, &str) = ("HEADROOM_TOKEN", "s3cret-t0ken");

#[tokio::test]
async fn with_a_token_only_health_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &[], &[TOKEN]).await;
    for open in ["/livez", "/readyz", "/health"] {
        answer_when(&sidecar, open, |page| *page == serde_json::json!({"status": "healthy"})).await;
        let url = format!("http://{}{open}", sidecar.ready.http);
        let shown = client().get(&url).bearer_auth(TOKEN.1).send().await.unwrap().text().await.unwrap();
        assert!(shown.contains(env!("CARGO_PKG_VERSION")), "{open}: {shown}");
        assert_eq!(client().post(&url).send().await.unwrap().status().as_u16(), 401, "{open}");
    }
    for closed in [
        "/stats",
        "/metrics",
        "/events",
        "/stats-cache",
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
    let refused = sidecar.memory().await.call(MemoryCallRequest::default()).await.unwrap_err();
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
async fn metrics_may_have_a_listener_of_their_own_that_has_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &["--metrics-addr", "127.0.0.1:0"], &[TOKEN]).await;
    let address = sidecar.ready.metrics.clone().expect("the ready file names it");
    let get = async |path: &str, host: &str| {
        let answer =
            client().get(format!("http://{address}{path}")).header("host", host).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, metrics) = get("/metrics", "127.0.0.1").await;
    assert!(status == 200 && metrics.contains("headroom_requests_total"), "{metrics}");
    for path in ["/stats", "/livez", "/dashboard", "/events", "/debug/tasks", "/", "/metrics/"] {
        assert_eq!(get(path, "127.0.0.1").await.0, 404, "{path}");
    }
    assert_eq!(get("/metrics", "evil.example").await.0, 403);
    let posted = client().post(format!("http://{address}/metrics")).send().await.unwrap();
    assert_eq!(posted.status().as_u16(), 405);
    assert_eq!(sidecar.get("/metrics").await.0, 401, "elsewhere the token is asked for");
}

#[tokio::test]
async fn without_a_token_what_comes_from_beyond_this_machine_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    for (path, status) in [("/stats", 403), ("/dashboard", 403), ("/metrics", 403), ("/livez", 200)] {
        let url = format!("http://{}{path}", sidecar.ready.http);
        let answer = client().get(url).header("x-headroom-remote", "true").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let body = answer.text().await.unwrap();
        assert!(body.contains("HEADROOM_TOKEN") || body == r#"{"status":"healthy"}"#, "{path}: {body}");
    }
}

#[tokio::test]
async fn state_is_its_owners_alone_whatever_the_umask_and_whatever_was_there() {
    use std::os::unix::fs::PermissionsExt;
    let outer = tempfile::tempdir().unwrap();
    let workspace = outer.path().join("state");
    for round in ["new", "left open by an older version"] {
        let sidecar = Sidecar::start_with_umask(&workspace, "000").await;
        sidecar.grpc().await.report(report("vm", [1])).await.unwrap();
        let mut seen = Vec::new();
        for entry in std::fs::read_dir(&workspace).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let name = entry.file_name().into_string().unwrap();
            assert_eq!(mode & 0o077, 0, "{round}: {name} has {mode:o}");
            seen.push(name);
        }
        for name in ["headroom.db", "headroom.db-wal", "headroom.db-shm", "originals.db", "originals.db-wal"]
        {
            assert!(seen.iter().any(|seen| seen == name), "{name} is among {seen:?}");
        }
        let mode = std::fs::metadata(&workspace).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{round}");
        // -wal and -shm stay behind, as after a crash
        sidecar.kill_now();
        drop(sidecar);
        for entry in std::fs::read_dir(&workspace).unwrap() {
            let path = entry.unwrap().path();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        std::fs::set_permissions(&workspace, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[tokio::test]
async fn readiness_says_what_filters_cannot_read_of_their_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let check = async || sidecar.json("/readyz").await["checks"]["filter_configuration"].clone();
    assert_eq!(check().await["status"], "healthy");
    let mut grpc = sidecar.grpc().await;
    let mut told = report("vm", []);
    told.config_errors = 2;
    grpc.report(told.clone()).await.unwrap();
    let degraded = check().await;
    assert_eq!((&degraded["status"], &degraded["ready"]), (&"degraded".into(), &true.into()));
    let sentence = degraded["error"].as_str().unwrap();
    assert!(sentence.contains("2 values") && sentence.contains("pass untouched"), "{sentence}");
    told.config_errors = 0;
    grpc.report(told).await.unwrap();
    assert_eq!(check().await["status"], "healthy");
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
