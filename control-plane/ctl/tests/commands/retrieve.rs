//! `headroomctl retrieve` against an address with various answers.

use std::process::{Command, Output};

use serde_json::json;

use crate::server::server;

const HASH: &str = "9f86d081884c7d659a2feaa0";

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroomctl"));
    command.arg("retrieve").args(arguments).env_clear().envs(variables.iter().copied());
    command.output().unwrap()
}

#[test]
fn an_original_is_printed_byte_for_byte() {
    let text = "größe\r\n\tlast line without an end \u{1F600}";
    let (url, server) = server("200 OK", json!({"original_content": text}).to_string());
    let marker = format!("[headroom: 4 rows left out. Full text: headroom_retrieve hash={HASH}]");
    let answer = run(&[&marker, "--url", &url, "--tenant", "me"], &[("HEADROOM_TOKEN", "s3cret")]);
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), text);
    let request = server.join().unwrap();
    assert!(request.starts_with(&format!("GET /v1/retrieve/{HASH} HTTP/1.1\r\n")), "{request}");
    assert!(request.contains("authorization: Bearer s3cret\r\n"), "{request}");
    assert!(request.contains("x-headroom-user-id: me\r\n"), "{request}");
}

#[test]
fn what_matches_is_printed_as_it_is_spelled() {
    let text = "{\"b\":1.0,\"a\":[ ]}\na \"line\"\n";
    let (url, server) = server("200 OK", json!({"results": [], "content": text}).to_string());
    let answer = run(&[HASH, "--url", &url, "--query", "a b"], &[]);
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), text);
    assert!(server.join().unwrap().contains("?query=a+b "));
}

#[test]
fn a_range_may_begin_with_a_hyphen() {
    let (url, server) = server("200 OK", json!({"content": "one\ntwo\n"}).to_string());
    let answer = run(&[HASH, "--url", &url, "--lines", "-2"], &[]);
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), "one\ntwo\n");
    assert!(server.join().unwrap().contains("?lines=-2 "));
}

#[test]
fn what_is_not_there_is_said_and_fails() {
    let gone = json!({"error": {"message": "Entry not found or expired (TTL: 24 hours)"}}).to_string();
    for (status, body, query, said) in [
        ("404 Not Found", gone, None, "has expired"),
        ("404 Not Found", String::new(), None, "404"),
        ("200 OK", r#"{"content":""}"#.to_owned(), Some("x"), "nothing in"),
        ("200 OK", "{}".to_owned(), None, "something other"),
    ] {
        let (url, server) = server(status, body);
        let mut arguments = vec![HASH, "--url", url.as_str()];
        arguments.extend(query.into_iter().flat_map(|query| ["--query", query]));
        let answer = run(&arguments, &[]);
        let message = String::from_utf8(answer.stderr).unwrap();
        assert_eq!(answer.status.code(), Some(1), "{message}");
        assert!(message.contains(said) && answer.stdout.is_empty(), "{message}");
        server.join().unwrap();
    }
    for misuse in [&["zz"][..], &[HASH, "--tenant", "r\u{e9}d"], &[HASH, "--url", "ftp://x"]] {
        assert_eq!(run(misuse, &[]).status.code(), Some(2), "{misuse:?}");
    }
    let answer = run(&["not a hash"], &[]);
    assert!(String::from_utf8(answer.stderr).unwrap().contains("24 hexadecimal digits"));
}

#[test]
fn an_address_that_does_not_answer_is_named_once() {
    let url = "http://127.0.0.1:1";
    let answer = run(&[HASH, "--url", url], &[]);
    let message = String::from_utf8(answer.stderr).unwrap();
    assert_eq!((answer.status.code(), message.matches(url).count()), (Some(1), 1), "{message}");
}

#[test]
fn a_tenant_is_asked_for_at_headroomd_itself() {
    let workspace = tempfile::tempdir().unwrap();
    let (url, server) = server("200 OK", json!({"original_content": "text"}).to_string());
    std::fs::create_dir(workspace.path().join("run")).unwrap();
    let address = url.strip_prefix("http://").unwrap();
    let ready = json!({"pid": 1, "http": address, "grpc": "127.0.0.1:1"}).to_string();
    std::fs::write(workspace.path().join("run/headroomd.json"), ready).unwrap();
    let folder = workspace.path().display().to_string();
    let answer = run(&[HASH, "--tenant", "red"], &[("HEADROOM_WORKSPACE_DIR", &folder)]);
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), "text");
    assert!(server.join().unwrap().contains("x-headroom-user-id: red\r\n"));
}

#[test]
fn mcp_beyond_loopback_is_misuse() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroomctl"));
    let answer = command.args(["mcp", "--http", "0.0.0.0:1"]).env_clear().output().unwrap();
    assert_eq!(answer.status.code(), Some(2));
    assert!(String::from_utf8(answer.stderr).unwrap().contains("expected a loopback address"));
}
