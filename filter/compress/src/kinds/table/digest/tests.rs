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
