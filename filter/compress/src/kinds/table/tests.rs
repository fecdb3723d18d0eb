//! Digests of tables.

use super::*;
use crate::block::Call;
use crate::config::Config;
use crate::tokens::Encoding;

fn digest(text: &str, query: &str) -> Option<Lossy> {
    let config = Config::default();
    let cx = Context {
        call: Call::default(),
        query,
        config: &config,
        encoding: Encoding::default(),
        reversible: true,
        edits_by_line: false,
    };
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
fn a_small_table_has_no_digest() {
    assert!(digest("a,b\n1,2\n3,4\n5,6\n7,8\n9,10\n", "").is_none());
}
