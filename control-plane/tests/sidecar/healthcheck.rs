//! The health check of an image that contains only `headroomd`.

use std::process::{Command, Output};

use crate::child::Sidecar;

fn healthcheck(args: &[&str], http: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroomd"));
    command.env_clear().env("HEADROOM_HTTP", http).args(args).arg("healthcheck").output().unwrap()
}

#[tokio::test]
async fn the_health_check_succeeds_while_the_sidecar_is_ready_and_fails_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let http = sidecar.ready.http.clone();
    let good = healthcheck(&[], &http);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    assert!(good.stdout.is_empty() && good.stderr.is_empty());
    assert_eq!(sidecar.terminate().await, Some(0));
    let bad = healthcheck(&[], &http);
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("nothing answers"));
}

#[tokio::test]
async fn the_health_check_needs_no_token_and_finds_a_sidecar_that_listens_on_every_address() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--http", "0.0.0.0:0"];
    let sidecar = Sidecar::start_with(dir.path(), &args, &[("HEADROOM_TOKEN", "s3cret-t0ken")]).await;
    let good = healthcheck(&["--http", &sidecar.ready.http], "");
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
}

#[tokio::test]
async fn the_health_check_reaches_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", dir.path().join("http.sock").display());
    let _sidecar = Sidecar::start_with(dir.path(), &["--http", &socket], &[]).await;
    let good = healthcheck(&[], &socket);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
}
