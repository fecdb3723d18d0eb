//! `headroomctl stats`: the tables, and the program against an address that answers or does not.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Output};

use headroom_api::pages::Stats;
use headroomctl::stats::{screen, tables};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
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
fn the_short_form_is_one_screen_and_says_what_has_no_price() {
    let mut figures = figures();
    figures["cost"] = json!({"with_headroom_usd": 8.0, "unpriced_requests": 7, "subscription_requests": 204,
        "breakdown": {"compression_savings_usd": 1.234}});
    figures["prefix_cache"] = json!({"totals": {"requests": 5, "hit_rate": 80.0}});
    let text = screen(&serde_json::from_value(figures).unwrap(), "http://127.0.0.1:8787", 3);
    insta::assert_snapshot!(text);
    assert!(text.lines().count() < 24, "{text}");
}

#[test]
fn the_short_form_stays_short_however_many_tools_and_requests_there_are_and_names_cannot_widen_it() {
    let name = |n: usize| format!("{n}{}", "x".repeat(200));
    let sums = |saved: usize| json!({"blocks": 1, "tokens_before": 1000, "tokens_after": 1000 - saved, "tokens_saved": saved});
    let tools: serde_json::Map<String, Value> = (0..500).map(|n| (name(n), sums(n))).collect();
    let requests: Vec<Value> = (0..100).map(|n| json!({"model": name(n), "outcome": "compressed"})).collect();
    let figures = json!({"blocks": {"by_tool": tools}, "recent_requests": requests});
    let text = screen(&serde_json::from_value(figures).unwrap(), "http://127.0.0.1:8787", 3);
    assert!(text.lines().count() < 24 && text.lines().all(|line| line.chars().count() < 120), "{text}");
    assert!(text.contains("and 497 more: --top 500 shows them"), "{text}");
}

#[test]
fn a_breakdown_asks_for_its_dimension_and_puts_who_saved_most_first() {
    let sums = |saved: i64| json!({"requests": 2, "tokens_before": 1000, "tokens_saved": saved, "savings_percent": 1.0});
    let values = json!({"small": sums(1), "large": sums(900), "middle": sums(500)});
    let page = json!({"breakdown": {"by": "project", "values": values}}).to_string();
    let (url, server) = server("200 OK", page);
    let answer = run(&["--by", "project", "--since", "7d", "--top", "2", "--url", &url], &[]);
    let text = String::from_utf8(answer.stdout).unwrap();
    let firsts: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(firsts, ["project", "large", "middle", "and"]);
    assert!(text.contains("and 1 more: --top 3 shows them"), "{text}");
    let asked = server.join().unwrap();
    assert!(
        asked.starts_with("GET /stats-history?") && asked.contains("by=project") && asked.contains("from=1"),
        "{asked}"
    );
}

#[test]
fn tool_outputs_are_broken_down_over_all_that_was_counted_and_no_part_of_it() {
    let (url, server) = server("200 OK", figures().to_string());
    let answer = run(&["--by", "tool", "--url", &url], &[]);
    let text = String::from_utf8(answer.stdout).unwrap();
    assert!(text.contains("Read") && text.contains("30,000") && text.contains("33.3 %"), "{text}");
    server.join().unwrap();
    let answer = run(&["--by", "tool", "--since", "24h"], &[]);
    assert_eq!(answer.status.code(), Some(2));
    assert!(String::from_utf8(answer.stderr).unwrap().contains("--by tool"));
}

#[test]
fn a_range_is_the_sum_of_its_hours() {
    let hour = |hour: u32| {
        json!({"timestamp": format!("2026-03-01T{hour:02}:00:00.000000Z"), "requests": 3,
        "tokens_before": 1000, "tokens_saved": 250, "total_input_tokens_delta": 750,
        "compression_savings_cache_adjusted_usd_delta": 0.25, "total_input_cost_usd_delta": 2.0})
    };
    let (url, server) = server("200 OK", json!({"series": {"hourly": [hour(9), hour(11)]}}).to_string());
    let text = String::from_utf8(run(&["--since", "3h", "--url", &url], &[]).stdout).unwrap();
    for shown in ["2026-03-01 09:00", "2026-03-01 11:00", "500 tokens, 25.0 %", "$0.50", "$4.00"] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(server.join().unwrap().contains("series=hourly"));
}

#[test]
fn watching_without_a_terminal_prints_plain_text_again_and_again() {
    let (url, server) = server_of("200 OK", figures().to_string(), 2);
    let answer = run(&["--watch", "1", "--url", &url], &[]);
    let text = String::from_utf8(answer.stdout).unwrap();
    assert_eq!(text.matches("Headroom at").count(), 2, "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    // The server is gone by the third request.
    assert_eq!(answer.status.code(), Some(1));
    server.join().unwrap();
}

#[test]
fn watching_on_a_terminal_stays_in_place_and_gives_the_screen_back_on_ctrl_c() {
    let (url, server) = server_of("200 OK", figures().to_string(), 2);
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let side = File::options().read(true).write(true).open(name).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroomctl"));
    command.args(["stats", "--watch", "1", "--url", &url]).env_remove("HEADROOM_PORT");
    let mut child = command.stdout(side).spawn().unwrap();
    // The command has the last copy of the terminal's other side: with the child it is gone, and reading ends.
    drop(command);
    let mut terminal = File::from(terminal);
    let mut shown = Vec::new();
    let frames = |shown: &[u8]| String::from_utf8_lossy(shown).matches("Headroom at").count();
    while frames(&shown) < 2 {
        let mut some = [0; 4096];
        let read = terminal.read(&mut some).unwrap();
        shown.extend(&some[..read]);
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    // It ends with an error after the other side is closed.
    terminal.read_to_end(&mut shown).ok();
    let status = child.wait().unwrap();
    let shown = String::from_utf8_lossy(&shown);
    assert_eq!(status.code(), Some(0), "{shown:?}");
    assert!(shown.starts_with("\u{1b}[?1049h\u{1b}[?25l\u{1b}[H"), "{shown:?}");
    assert!(shown.ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{shown:?}");
    assert_eq!(shown.matches("\u{1b}[?1049h").count(), 1, "{shown:?}");
    server.join().unwrap();
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
    assert!(String::from_utf8(answer.stdout).unwrap().contains("3,000,000 tokens, 30.0 %"));
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
    let closed = "http://127.0.0.1:1";
    let answer = run(&["--url", closed], &[]);
    let message = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(1));
    assert!(message.contains(closed) && message.contains("headroomctl up"), "{message}");

    // a 503 is retried; 404 would not be
    let (url, server) = server_of("503 Service Unavailable", "upstream connect error".to_owned(), 3);
    let answer = run(&["--url", &url], &[]);
    let message = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(answer.status.code(), Some(1));
    assert!(message.contains("503") && message.contains("headroomd"), "{message}");
    server.join().unwrap();
}
