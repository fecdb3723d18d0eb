//! Digests of tables, diffs and JSON say the truth: each of these once said something wrong.

use headroom_compress::{Api, Config, Memo, Profile, Request, RetrieveTool, compress};
use serde_json::{Value, json};

use crate::bash;

/// What the model reads instead of a command's output.
fn digest(output: &str) -> String {
    let body = bash::request("x", output);
    let config = Config { profile: Profile::Balanced, ..Config::default() };
    let request = Request {
        reversible: true,
        retrieve_tool: RetrieveTool::Add,
        ..Request::new(Api::AnthropicMessages)
    };
    let outcome = compress(body.as_bytes(), &request, &config, &mut Memo::new(0));
    let sent: Value = serde_json::from_slice(&outcome.body).unwrap();
    sent["messages"][2]["content"][0]["content"].as_str().unwrap().to_owned()
}

#[test]
fn versions_have_no_order_of_decimals() {
    let rows = (0..300).map(|n| format!("pkg-{},1.{},{}\n", n % 7, n % 25, 37 * n % 1000));
    let text = digest(&format!("pkg,version,downloads\n{}", rows.collect::<String>()));
    assert!(text.contains("rows left out"), "{text}");
    assert!(text.contains("downloads between "), "{text}");
    assert!(!text.contains("version between") && !text.contains("version from"), "{text}");
}

#[test]
fn cells_of_a_column_of_numbers_that_are_none_are_told() {
    let cell = |n: usize| match n {
        100..140 => String::new(),
        200 => "inf".to_owned(),
        n => format!("{}.{}", n % 50, n % 10),
    };
    let rows = (0..300).map(|n| format!("{n},s{},{}\n", n % 3, cell(n)));
    let text = digest(&format!("t,sensor,hum\n{}", rows.collect::<String>()));
    let empty: usize = text
        .split("empty in ")
        .skip(1)
        .filter_map(|rest| rest.split([' ', '\n']).next()?.parse::<usize>().ok())
        .sum();
    let shown = text.lines().filter(|line| line.starts_with('1') && line.ends_with(',')).count();
    assert_eq!(empty + shown, 40, "{text}");
    assert!(text.contains("inf"), "{text}");
}

#[test]
fn a_debt_in_dollars_is_the_least_amount() {
    let rows = (0..300).map(|n| match n {
        199 => "199,-$99999.00\n".to_owned(),
        n => format!("{n},${}.{:02}\n", 37 * n % 1000, n % 100),
    });
    let text = digest(&format!("id,amount\n{}", rows.collect::<String>()));
    assert!(text.contains("-$99999.00"), "{text}");
}

#[test]
fn the_marker_of_a_diff_counts_all_lines_that_are_missing() {
    let context =
        |n: usize| (0..19).map(|i| format!(" context {n} {i} of some code here()\n")).collect::<String>();
    let diff: String = (0..20)
        .map(|n| {
            format!(
                "diff --git a/src/f{n}.py b/src/f{n}.py\nindex 1..2 100644\n--- a/src/f{n}.py\n+++ b/src/f{n}.py\n\
                 @@ -1,40 +1,40 @@ def f{n}():\n{}-    old = {n}\n+    new = {n}\n{}",
                context(n),
                context(n + 100)
            )
        })
        .collect();
    let text = digest(&diff);
    let (shown, marker) = text.rsplit_once("[headroom: ").expect("a marker");
    let gone = diff.lines().filter(|line| !shown.lines().any(|other| other == *line)).count();
    assert!(
        marker.starts_with(&format!("{gone} of {} lines left out: ", diff.lines().count())),
        "{gone}: {marker}"
    );
}

#[test]
fn a_spike_in_a_series_of_points_is_shown_and_equal_lists_are_told_once() {
    let values = |series: usize| -> Value {
        (0..120)
            .map(|n| {
                json!([
                    1_764_400_000 + 15 * n,
                    if series == 2 && n == 77 { "98.5".into() } else { format!("0.2{}", n % 5) }
                ])
            })
            .collect()
    };
    let result: Value =
        (0..4).map(|n| json!({"metric": {"pod": format!("p{n}")}, "values": values(n)})).collect();
    let text =
        digest(&json!({"status": "success", "data": {"resultType": "matrix", "result": result}}).to_string());
    assert!(text.contains("98.5"), "{text}");
}

#[test]
fn a_marker_names_the_state_of_rows_that_are_all_alike() {
    let rows: Value = (0..200)
        .map(|n| json!({"id": format!("CVE-2026-{n}"), "package": format!("p{n}"), "severity": "LOW", "title": format!("thing {n}")}))
        .collect();
    let text = digest(&json!({"vulnerabilities": rows}).to_string());
    let marker = text.rsplit_once("[headroom: ").expect("a marker").1;
    assert!(marker.contains(" severity=LOW"), "{marker}");
}
