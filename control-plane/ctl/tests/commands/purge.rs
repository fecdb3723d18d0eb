//! `headroomctl purge` against a headroomd with various answers.

use std::process::{Command, Output};

use serde_json::json;

use crate::server::{server, server_of};

fn run(workspace: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroomctl"));
    command.arg("purge").args(arguments).env_clear().env("HEADROOM_WORKSPACE_DIR", workspace);
    command.stdin(std::process::Stdio::null()).output().unwrap()
}

fn answer() -> String {
    json!({"dry_run": true, "requests": 1200, "sums": 7, "originals": 3, "bytes": 900, "messages": 0, "sessions": 0})
        .to_string()
}

#[test]
fn a_dry_run_names_what_would_go_and_removes_nothing() {
    let workspace = tempfile::tempdir().unwrap();
    let logs = workspace.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let files =
        [workspace.path().join("headroom.db.damaged-1"), logs.join("access.log"), logs.join("envoy.log.1")];
    for file in &files {
        std::fs::write(file, "kept").unwrap();
    }
    std::fs::write(workspace.path().join("token"), "kept").unwrap();
    for (scope, removed) in [(&["--all"][..], 3), (&["--tenant", "red"], 1), (&["--older-than", "30d"], 1)] {
        let (url, server) = server("200 OK", answer());
        let here = workspace.path().to_str().unwrap();
        let named = ["--dry-run", "--url", &url, "--workspace-dir", here];
        let done = run(workspace.path(), &[scope, &named].concat());
        let shown = String::from_utf8(done.stdout).unwrap();
        assert!(
            done.status.success() && shown.contains("3 originals") && shown.contains("1,200 requests"),
            "{shown}"
        );
        assert!(shown.contains(&format!("{removed} files")), "{shown}");
        assert!(server.join().unwrap().starts_with("POST /v1/purge HTTP/1.1\r\n"));
        assert!(files.iter().all(|file| file.exists()));
    }
}

#[test]
fn files_of_this_machine_stay_where_headroomd_may_be_on_another() {
    let workspace = tempfile::tempdir().unwrap();
    let file = workspace.path().join("headroom.db.damaged-1");
    std::fs::write(&file, "kept").unwrap();
    let here = workspace.path().to_str().unwrap();
    for (folder, stays) in [(&[][..], true), (&["--workspace-dir", here], false)] {
        let (url, server) = server("200 OK", answer());
        let dry = run(workspace.path(), &[&["--all", "--dry-run", "--url", &url], folder].concat());
        server.join().unwrap();
        assert_eq!(String::from_utf8(dry.stderr).unwrap().contains("--workspace-dir"), stays);
        let (url, server) = server_of("200 OK", answer(), 2);
        let done = run(workspace.path(), &[&["--all", "--yes", "--url", &url], folder].concat());
        server.join().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success(), "{said}");
        assert_eq!((file.exists(), said.contains("--workspace-dir")), (stays, stays), "{said}");
    }
}

#[test]
fn what_is_not_headroomd_is_said() {
    let workspace = tempfile::tempdir().unwrap();
    let error = json!({"error": "x"}).to_string();
    for (status, body, is_elsewhere) in [
        ("404 Not Found", error.clone(), true),
        ("400 Bad Request", "what is this?".to_owned(), true),
        ("403 Forbidden", error, false),
    ] {
        let (url, server) = server(status, body);
        let done = run(workspace.path(), &["--all", "--yes", "--url", &url]);
        server.join().unwrap();
        assert_eq!(done.status.code(), Some(1));
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(said.contains("not Envoy's"), is_elsewhere, "{said}");
    }
}

#[test]
fn who_cannot_be_asked_has_to_say_yes() {
    let workspace = tempfile::tempdir().unwrap();
    let (url, server) = server("200 OK", answer());
    let done = run(workspace.path(), &["--all", "--url", &url]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8(done.stderr).unwrap().contains("--yes"));
    server.join().unwrap();
    for misuse in [&[][..], &["--all", "--tenant", "red"], &["--older-than", "soon"]] {
        assert_eq!(run(workspace.path(), misuse).status.code(), Some(2), "{misuse:?}");
    }
}
