//! Digests of tables.

use super::*;
use crate::config::Config;

fn digest(text: &str, query: &str) -> Option<Lossy> {
    let config = Config::default();
    let cx = Context { query, ..Context::of(&config) };
    lossy(text, &cx)
}

/// 300 pods, one of which crashes and one of which restarts all the time.
fn pods() -> String {
    let mut text = String::from("NAME       READY   STATUS              RESTARTS   AGE\n");
    for i in 0..300 {
        let (ready, status, restarts) = match i {
            120 => ("0/1", "CrashLoopBackOff", 12),
            200 => ("1/1", "Running", 977),
            250 => ("0/1", "Pending", 0),
            _ => ("1/1", "Running", i % 3),
        };
        text += &format!("pod-{i:<6} {ready}     {status:<19} {restarts:<10} 3d\n");
    }
    text
}

#[test]
fn remarkable_rows_are_shown_and_the_rest_is_counted() {
    let kept = digest(&pods(), "is pod-177 fine?").expect("a digest");
    assert!(kept.text.contains("NAME pod-6, pod-7, pod-8, "), "{}", kept.text);
    for row in ["pod-0", "pod-120", "pod-177", "pod-200", "pod-250", "pod-299"] {
        assert!(
            kept.text.lines().any(|line| line.split([' ', ',']).next() == Some(row)),
            "{row} is missing in\n{}",
            kept.text
        );
    }
    assert!(kept.text.lines().count() < 80, "{}", kept.text);
    assert!(kept.left_out.contains("of 300 rows left out"), "{}", kept.left_out);
    assert!(kept.left_out.contains("STATUS Running 2"), "{}", kept.left_out);
}

#[test]
fn a_gap_says_what_its_rows_hold_and_is_no_row() {
    let text = pods();
    let kept = digest(&text, "").expect("a digest");
    let gaps: Vec<&str> = kept.text.lines().filter(|line| line.starts_with("… ")).collect();
    let told = |gap: &&str| gap.contains("): NAME pod-") && gap.ends_with("; RESTARTS between 0 and 2");
    assert!(gaps.iter().any(told), "{}", kept.text);
    assert!(gaps.iter().all(|gap| !gap.ends_with(',')), "{gaps:?}");
    // the rows between the gaps are as they were printed
    let mut rest = text.lines();
    for line in kept.text.lines().filter(|line| !line.starts_with("… ")) {
        assert!(rest.any(|original| original == line), "{line}");
    }
    let said: usize = gaps.iter().filter_map(|gap| gap.split(' ').nth(1)?.parse::<usize>().ok()).sum();
    assert!(kept.left_out.starts_with(&format!("{said} of 300 rows left out: ")), "{}", kept.left_out);
}

#[test]
fn a_series_shows_its_extremes_and_where_its_level_changes() {
    let mut text = String::from("time,load,mode\n");
    for i in 0..600 {
        let load = if i == 77 { 99.5 } else { f64::from(i % 7) / 10.0 + if i < 400 { 1.0 } else { 4.0 } };
        let mode = if i < 250 { "day" } else { "night" };
        text += &format!("2026-03-01T{:02}:{:02},{load},{mode}\n", i / 60, i % 60);
    }
    let kept = digest(&text, "").expect("a digest");
    for row in ["2026-03-01T01:17,99.5,day", "2026-03-01T04:10,1.5,night", "2026-03-01T06:40,4.1,night"] {
        assert!(kept.text.contains(row), "{row} is missing in\n{}", kept.text);
    }
    assert!(kept.text.contains("load between 1 and 1.6"), "{}", kept.text);
    assert!(kept.text.contains("load between 4 and 4.6"), "{}", kept.text);
    assert!(kept.text.lines().count() < 40, "{}", kept.text);
}

#[test]
fn rows_whose_state_is_bad_stay_up_to_a_bound_and_the_others_are_named() {
    let mut text = String::from("id,state,amount\n");
    for i in 0..2000 {
        text += &format!("p-{i},{},{}\n", if i % 17 == 3 { "DECLINED" } else { "paid" }, i * 7 % 1000);
    }
    let kept = digest(&text, "").expect("a digest");
    assert!(kept.text.matches("DECLINED").count() >= 100, "{}", kept.text);
    assert!(
        kept.left_out.contains("18 rows of them report errors like those shown: id p-1703, "),
        "{}",
        kept.left_out
    );
}

#[test]
fn a_table_without_a_header_has_numbered_columns() {
    let text: String = (0..400).map(|i| format!("{i},Toronto,{},open\n", i % 90)).collect();
    let kept = digest(&text, "").expect("a digest");
    assert!(kept.text.contains("): column 1 from 7 to "), "{}", kept.text);
    assert!(kept.text.contains("; column 3 between 7 and "), "{}", kept.text);
    assert!(kept.left_out.contains(" of 400 rows left out"), "{}", kept.left_out);
    assert!(kept.text.lines().count() < 60, "{}", kept.text);
}

#[test]
fn a_small_table_has_no_digest() {
    assert!(digest("a,b\n1,2\n3,4\n5,6\n7,8\n9,10\n", "").is_none());
}

/// Whether a row stands in a digest as it was printed.
fn shows(kept: &Lossy, row: &str) -> bool {
    kept.text.lines().any(|line| line == row)
}

#[test]
fn rows_that_failed_stay_whatever_their_column_is_called() {
    for (title, good, bad) in [
        ("passed", ["true", "true", "true"], "false"),
        ("ok", ["yes", "yes", "n/a"], "no"),
        ("result", ["OK", "SKIP", "N/A"], "KO"),
        ("status", ["CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"], "UPDATE_ROLLBACK_COMPLETE"),
        ("status", ["RUNNING", "PENDING", "COMPLETED"], "OUT_OF_MEMORY"),
        ("status", ["Up 3 days", "Up 13 days", "Up 2 hours"], "Exited (137) 10 hours ago"),
        ("status", ["Up 3 days", "Up 13 days", "Up 2 hours"], "Up 5 days (unhealthy)"),
        ("exit code", ["0", "0", "0"], "137"),
        ("http_code", ["200", "201", "304"], "503"),
        ("ready", ["1/1", "2/2", "3/3"], "1/2"),
    ] {
        let row = |n: usize| {
            let value = if n % 10 == 7 { bad } else { good[n % 3] };
            format!("case-{n},{},{value},{}", ["a", "b", "c"][n * 7 % 3], 100 + n * 37 % 900)
        };
        let rows: Vec<String> = (0..300).map(row).collect();
        let kept = digest(&format!("id,suite,{title},ms\n{}\n", rows.join("\n")), "").expect("a digest");
        for row in rows.iter().skip(7).step_by(10) {
            assert!(shows(&kept, row), "{row} is missing in\n{}", kept.text);
        }
        assert!(kept.text.lines().count() < 120, "{title}: {}", kept.text);
    }
}

#[test]
fn what_most_rows_say_is_no_failure() {
    for (title, usual, other) in
        [("valid", "false", "true"), ("ready", "0/1", "1/1"), ("expired", "true", "false"), ("rc", "1", "0")]
    {
        let rows: String = (0..300)
            .map(|n| {
                let value = if n % 2 == 0 { usual } else { other };
                format!("case-{n},{value},{}\n", 100 + n * 37 % 900)
            })
            .collect();
        let kept = digest(&format!("id,{title},ms\n{rows}"), "").expect("a digest");
        assert!(kept.text.lines().count() < 40, "{title}: {}", kept.text);
        assert!(!kept.left_out.contains("report errors"), "{}", kept.left_out);
    }
}

#[test]
fn pods_that_ended_need_not_be_ready() {
    let mut text = String::from("NAME       READY   STATUS      RESTARTS        AGE\n");
    for i in 0..200 {
        let (ready, status) = match i {
            90 => ("1/2", "Running"),
            _ if i % 5 == 0 => ("0/1", "Completed"),
            _ => ("2/2", "Running"),
        };
        let restarts = if i == 120 { "147 (2m ago)".to_owned() } else { format!("{} (3d ago)", i % 3) };
        text += &format!("pod-{i:<6} {ready}     {status:<11} {restarts:<15} 3d\n");
    }
    let kept = digest(&text, "").expect("a digest");
    for row in ["pod-90 ", "pod-120 "] {
        assert!(kept.text.lines().any(|line| line.starts_with(row)), "{row} is missing in\n{}", kept.text);
    }
    assert!(kept.text.contains("RESTARTS between 0 (3d ago) and 2 (3d ago)"), "{}", kept.text);
    assert!(!kept.text.contains("no such number"), "{}", kept.text);
    assert!(kept.text.lines().count() < 40, "{}", kept.text);
}

#[test]
fn the_first_rows_of_a_rare_sort_stay() {
    let rows: String = (0..300)
        .map(|n| {
            let state = if [40, 80, 120, 160, 200].contains(&n) { "lagging" } else { ["a", "b", "c"][n % 3] };
            format!("n{n},{state}\n")
        })
        .collect();
    let kept = digest(&format!("node,mode\n{rows}"), "").expect("a digest");
    for row in ["n40,lagging", "n80,lagging", "n120,lagging"] {
        assert!(shows(&kept, row), "{}", kept.text);
    }
    assert!(kept.left_out.contains("lagging 2"), "{}", kept.left_out);
}

#[test]
fn numbers_with_decimal_commas_and_dates_have_limits() {
    let rows: String = (0..300)
        .map(|n| {
            format!(
                "{:02}.{:02}.2026;{},{:02};DE0{}\n",
                n % 28 + 1,
                n % 12 + 1,
                n * 37 % 9000,
                n % 100,
                n % 2
            )
        })
        .collect();
    let kept = digest(&format!("date;betrag;konto\n{rows}"), "").expect("a digest");
    assert!(kept.text.contains(": date between 0"), "{}", kept.text);
    assert!(kept.text.contains("; betrag between "), "{}", kept.text);
    // A comma between thousands is none before a fraction.
    let rows: String =
        (0..300).map(|n| format!("{n}\t{},{:03}\tx{}\n", n % 9 + 1, n % 1000, n % 3)).collect();
    let kept = digest(&format!("id\tamount\tsort\n{rows}"), "").expect("a digest");
    assert!(!kept.text.contains("amount between"), "{}", kept.text);
}

#[test]
fn a_table_without_a_column_that_tells_rows_apart_has_no_digest() {
    let rows: String = (0..40)
        .map(|n| {
            let queue = [128, 511, 4096][n % 3];
            format!(
                "LISTEN 0      {queue:<6} 127.0.0.{}:80{n:02}     0.0.0.0:*  users:((\"x\",pid=1{n:03}))\n",
                n % 7
            )
        })
        .collect();
    let head = "State  Recv-Q Send-Q Local Address:Port  Peer Address:PortProcess\n";
    assert!(digest(&format!("{head}{rows}"), "").is_none());
}
