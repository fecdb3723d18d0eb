//! `headroomctl stats`: the tables, and the program against an address that answers or does not.

use std::net::TcpListener;
use std::process::{Command, Output};

use headroom_api::pages::Stats;
use headroomctl::stats::tables;
use serde_json::{Value, json};

use crate::server::{server, server_of};

fn figures() -> Value {
    let sums = |blocks: i64, before: i64, after: i64| {
        json!({"blocks": blocks, "from_memo": 0, "tokens_before": before, "tokens_after": after,
               "tokens_saved": before - after})
    };
    json!({
        "requests": {"total": 1204, "compressed": 1100, "failed": 2,
            "by_provider": {"anthropic": 1000, "openai": 204}, "by_model": {"claude-sonnet-4-5": 1000, "": 204},
            "by_project": {"shop": 900, "other": 304},
            "by_outcome": {"compressed": 1100, "unchanged": 104}},
        "subscriptions": {"requests": 204, "tokens_saved": 70_000, "accounts": [
            {"provider": "anthropic", "tokens_saved": 70_000, "windows": [
                {"window": "5h", "minutes": 300, "used_percent": 37.25, "resets_at": "2026-07-27T20:00:00.000000Z",
                    "has_begun_anew": false, "status": "allowed"},
                {"window": "7d", "minutes": 10_080, "used_percent": 80.0, "resets_at": "2026-07-20T10:00:00.000000Z",
                    "has_begun_anew": true, "status": "allowed_warning"},
                {"window": "odd", "minutes": null, "used_percent": 1.0, "resets_at": null,
                    "has_begun_anew": false, "status": null}]}]},
        "tokens": {"input": 7_000_000, "saved": 3_000_000, "total_before_compression": 10_000_000,
            "savings_percent": 30.0,
            "tool_outputs": {"savings_percent": 42.5, "json_minification_alone_percent": 4.0}},
        "cost": {"breakdown": {"compression_savings_usd": 1.234}},
        "overhead": {"p50_ms": 0.41, "p99_ms": 3.2},
        "blocks": {"by_tool": {"Bash": sums(10, 5000, 1000), "Read": sums(30, 90_000, 60_000)}, "by_kind": {},
            "by_outcome": {"skipped:no_gain": sums(4, 100, 100)}},
        "recent_requests": [{"request_id": "hr_1", "model": "claude-sonnet-4-5", "outcome": "compressed",
            "input_tokens_original": 1000, "input_tokens_optimized": 700, "savings_percent": 30.0,
            "optimization_latency_ms": 0.5}],
    })
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroomctl"));
    command.arg("stats").args(arguments).env_remove("HEADROOM_PORT").envs(variables.iter().copied());
    command.output().unwrap()
}

#[test]
fn the_tables_start_with_the_savings_and_put_the_largest_first() {
    insta::assert_snapshot!(tables(&serde_json::from_value(figures()).unwrap()));
}

#[test]
fn figures_that_are_not_sent_are_dashes() {
    let text = tables(&serde_json::from_str::<Stats>("{}").unwrap());
    assert!(text.contains("requests") && text.contains('–'), "{text}");
    assert!(!text.contains("Recent"), "{text}");
}

#[test]
fn json_is_passed_on_as_it_came() {
    let body = figures().to_string();
    let (url, server) = server("200 OK", body.clone());
    let answer = run(&["--json", "--url", &url], &[("http_proxy", "http://127.0.0.1:9")]);
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    assert_eq!(String::from_utf8(answer.stdout).unwrap(), body + "\n");
    assert!(server.join().unwrap().starts_with("GET /stats HTTP/1.1\r\n"));
}

#[test]
fn the_port_comes_from_its_variable() {
    let (url, server) = server("200 OK", figures().to_string());
    let port = url.rsplit(':').next().unwrap();
    let answer = run(&[], &[("HEADROOM_PORT", port)]);
    assert!(String::from_utf8(answer.stdout).unwrap().contains("3,000,000, 30.0 %"));
    server.join().unwrap();
}

#[test]
fn an_address_that_makes_no_sense_ends_with_status_two() {
    let answer = run(&["--url", "ftp://127.0.0.1"], &[]);
    assert_eq!(answer.status.code(), Some(2));
    assert!(String::from_utf8(answer.stderr).unwrap().contains("http://127.0.0.1:8787"));
    assert_eq!(run(&[], &[("HEADROOM_PORT", "abc")]).status.code(), Some(2));

    let refused = json!({"error": {"message": "from: expected a time"}}).to_string();
    let (url, server) = server("400 Bad Request", refused);
    let answer = run(&["--url", url.trim_start_matches("http://")], &[]);
    assert_eq!(answer.status.code(), Some(1));
    assert_eq!(String::from_utf8(answer.stderr).unwrap(), "headroomctl: from: expected a time\n");
    server.join().unwrap();
}

#[test]
fn an_address_that_does_not_answer_with_figures_is_named() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let answer = run(&["--url", &closed], &[]);
    let message = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(1));
    assert!(message.contains(&closed) && message.contains("headroomctl up"), "{message}");

    // 503 is asked for again; 404 would not be
    let (url, server) = server_of("503 Service Unavailable", "upstream connect error".to_owned(), 3);
    let answer = run(&["--url", &url], &[]);
    let message = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(1));
    assert!(message.contains("503") && message.contains("headroomd"), "{message}");
    server.join().unwrap();
}
