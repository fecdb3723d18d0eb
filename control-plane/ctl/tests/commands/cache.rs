//! `headroomctl cache`: the tables, and the program against pages, older sidecars and none.

use std::process::{Command, Output};

use headroom_api::pages::Cache;
use headroomctl::cache::{CacheBreakdown, text};
use serde_json::{Value, json};

use crate::server::server;

fn figures() -> Value {
    let totals = json!({"requests": 400, "missed_requests": 40, "readable_tokens": 10_000_000, "read_tokens": 9_000_000,
        "written_tokens": 1_500_000, "rewritten_tokens": 900_000, "uncached_tokens": 20_000, "output_tokens": 80_000});
    let group = |by: &str, value: &str, total: Value| {
        json!({"by": by, "value": value, "totals": totals, "total_usd": total, "lost_usd": total,
               "worst_reason": "system_changed"})
    };
    json!({
        "since": "2026-11-22T00:00:00.000000Z", "until": "2026-11-29T14:00:00.000000Z", "totals": totals,
        "bill": {"read_usd": 4.5, "write_usd": 9.375, "input_usd": 0.1, "output_usd": 2.0, "total_usd": 15.975,
            "without_headroom_usd": 21.5, "perfect_cache_usd": 11.2, "saved_usd": 5.525, "unpriced_requests": 3,
            "subscription_requests": 12},
        "losses": [
            {"reason": "system_changed", "requests": 30, "tokens": 800_000, "lost_usd": 4.1},
            {"reason": "lifetime_lapsed", "requests": 8, "tokens": 150_000, "lost_usd": 0.675},
            {"reason": "of_a_later_version", "requests": 2, "tokens": 50_000, "lost_usd": null}],
        "causes": [{"reason": "system_changed", "stack": "claude_code", "requests": 30, "lost_usd": 4.1,
            "what": "Line 14 of the system prompt of claude_code holds a date and changed in 30 requests: $4.10.",
            "advice": "Put it into the first user message."}],
        "what_if": [{"name": "one_hour_lifetime", "about": "Written for an hour instead of five minutes.", "saved_usd": -0.4, "requests": 8}],
        "hours": [
            {"start": "2026-11-29T12:00:00.000000Z", "totals": totals, "total_usd": 1.0, "lost_usd": 0.5},
            {"start": "2026-11-29T13:00:00.000000Z", "totals": totals, "total_usd": 2.0, "lost_usd": 0.25}],
        "groups": [group("stack", "claude_code", json!(12.5)), group("model", "claude-opus-5-5", json!(15.0)),
            group("tenant", "research", Value::Null)],
        "volatile_lines": [{"stack": "claude_code", "prompt": "0123456789abcdef", "line": 14, "classes": ["date", "time"],
            "requests": 30, "lost_usd": 4.1}],
    })
}

fn page() -> Cache {
    serde_json::from_value(figures()).unwrap()
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroomctl"));
    command.args(arguments).env_remove("HEADROOM_PORT").output().unwrap()
}

#[test]
fn the_bill_comes_before_the_losses_the_causes_and_what_could_be_done() {
    insta::assert_snapshot!(text(&page(), None, 20));
}

#[test]
fn each_breakdown_has_its_rows_and_no_price_is_not_zero() {
    for (by, shown) in [
        (CacheBreakdown::Stack, "claude_code"),
        (CacheBreakdown::Model, "claude-opus-5-5"),
        (CacheBreakdown::Tenant, "no price"),
        (CacheBreakdown::Hour, "2026-11-29 13:00"),
        (CacheBreakdown::Line, "date, time"),
    ] {
        let text = text(&page(), Some(by), 20);
        assert!(text.contains(shown), "{by:?}: {text}");
    }
    assert!(text(&page(), Some(CacheBreakdown::Project), 20).starts_with("No request has a project"));
    let hours = text(&page(), Some(CacheBreakdown::Hour), 1);
    assert!(hours.contains("13:00") && !hours.contains("12:00") && hours.contains("and 1 more"), "{hours}");
    assert!(text(&Cache::default(), None, 20).starts_with("No answer that reports usage"));
}

#[test]
fn names_and_sentences_of_requests_cannot_move_the_cursor() {
    let mut figures = figures();
    figures["causes"][0]["what"] = "\u{1b}[2Jgone".into();
    figures["groups"][0]["value"] = "\u{1b}[2Jgone".into();
    let page: Cache = serde_json::from_value(figures).unwrap();
    for by in [None, Some(CacheBreakdown::Stack)] {
        assert!(!text(&page, by, 20).contains('\u{1b}'), "{by:?}");
    }
}

#[test]
fn json_is_passed_on_and_the_range_is_asked_for() {
    let (url, server) = server("200 OK", figures().to_string());
    let answer = run(&["cache", "--since", "7d", "--json", "--url", &url]);
    assert_eq!(serde_json::from_slice::<Value>(&answer.stdout).unwrap(), figures());
    let asked = server.join().unwrap();
    assert!(asked.starts_with("GET /stats-cache?since=1"), "{asked}");
}

#[test]
fn a_headroomd_without_the_page_is_said_to_be_older() {
    for command in ["cache", "stats --by tenant"] {
        let (url, server) = server("404 Not Found", String::new());
        let arguments: Vec<&str> = command.split(' ').chain(["--url", &url]).collect();
        let answer = run(&arguments);
        let said = String::from_utf8(answer.stderr).unwrap();
        assert_eq!(answer.status.code(), Some(1));
        assert!(said.contains("older than this program") && said.contains(&url), "{said}");
        server.join().unwrap();
    }
}

#[test]
fn what_is_no_page_is_said() {
    for body in ["<html>", "{\"totals\": 5}"] {
        let (url, server) = server("200 OK", body.to_owned());
        let answer = run(&["cache", "--url", &url]);
        assert_eq!(answer.status.code(), Some(1), "{body}");
        assert!(
            String::from_utf8(answer.stderr).unwrap().contains("something other than its page"),
            "{body}"
        );
        server.join().unwrap();
    }
}
