//! Which items of a JSON list report that something failed.

use core::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::parse::{Shape, Tree};
use crate::kinds::signal::{self, Signal};
use crate::kinds::verdict::{Ballot, Field, Verdict};
use crate::seeded::Seeded;

/// Keys with longer names mean nothing.
const LONGEST_NAME: usize = 64;

/// How deep an item is searched for reports.
const MAX_DEPTH: usize = 12;

/// Shorter strings cannot report anything.
const MIN_REPORT: usize = 4;

/// Bytes of a report that decide about its kind: details follow after them.
const KIND_BYTES: usize = 120;

/// For each item a hash of the kind of failure that it reports; 0 for the others.
pub(super) fn reports(tree: &Tree<'_>, items: &[u32]) -> Vec<u64> {
    let mut reader = Reader { tree, fields: HashMap::default(), ballot: Ballot::default() };
    let mut kinds: Vec<u64> =
        items.iter().enumerate().map(|(row, &item)| reader.report(item, "", row, 0).unwrap_or(0)).collect();
    for (row, kind) in reader.ballot.failed(items.len()) {
        if let Some(slot) = kinds.get_mut(row).filter(|slot| **slot == 0) {
            *slot = kind;
        }
    }
    kinds
}

struct Reader<'t, 'a> {
    tree: &'t Tree<'a>,
    /// What the keys mean, and their numbers in the ballot.
    fields: HashMap<&'a str, (usize, Option<Field>), Seeded>,
    ballot: Ballot,
}

impl<'a> Reader<'_, 'a> {
    /// The kind of failure that the value reports by itself. A field that could only report one, such as
    /// `"error": null` or `"timeout_ms": 5`, does not count. Fields that fail only if few do are counted.
    fn report(&mut self, id: u32, key: &'a str, row: usize, depth: usize) -> Option<u64> {
        let tree = self.tree;
        let shape = tree.node(id).shape;
        match shape {
            Shape::Object | Shape::Array if depth == MAX_DEPTH => None,
            Shape::Object => {
                tree.entries(id).find_map(|(key, value)| self.report(value, tree.inner(key), row, depth + 1))
            }
            Shape::Array => tree.items(id).find_map(|item| self.report(item, key, row, depth + 1)),
            Shape::Null => None,
            Shape::String | Shape::Bool | Shape::Number => {
                let text = if shape == Shape::String { tree.inner(id) } else { tree.raw(id) };
                if shape == Shape::String && text.len() >= MIN_REPORT {
                    let said = names_error(key)
                        && !["none", "null", "false", "n/a"].iter().any(|n| text.eq_ignore_ascii_case(n));
                    if said || signal::classify(text) == Signal::Error {
                        return Some(kind(key, text));
                    }
                }
                // Each value would read the name again.
                if key.len() > LONGEST_NAME {
                    return None;
                }
                let next = self.fields.len();
                let (number, field) = *self.fields.entry(key).or_insert_with(|| (next, Field::of(key)));
                let verdict = field?.verdict(text);
                if verdict == Verdict::Failed {
                    return Some(kind(key, text));
                }
                self.ballot.count(row, number, verdict, || kind(key, text));
                None
            }
        }
    }
}

fn names_error(key: &str) -> bool {
    key.len() <= LONGEST_NAME
        && ["error", "exception", "reason", "fail"].iter().any(|name| {
            key.as_bytes().windows(name.len()).any(|part| part.eq_ignore_ascii_case(name.as_bytes()))
        })
}

/// The kind of a report: reports of one kind differ only in their digits.
fn kind(key: &str, text: &str) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(key.as_bytes());
    let mut digits = false;
    for &byte in text.as_bytes().iter().take(KIND_BYTES) {
        let digit = byte.is_ascii_digit();
        if !(digit && digits) {
            hasher.write_u8(if digit { b'0' } else { byte });
        }
        digits = digit;
    }
    hasher.finish() | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether an item among others that do not fail reports a failure.
    fn fails(item: &str, others: &str) -> bool {
        let items = [others; 9].join(",");
        let text = format!("[{item},{items}]");
        let tree = Tree::read(&text).unwrap();
        let items: Vec<u32> = tree.items(0).collect();
        let reports = reports(&tree, &items);
        assert!(reports[1..].iter().all(|kind| *kind == 0), "{text}");
        reports[0] != 0
    }

    #[test]
    fn fields_that_report_an_error_are_told_from_fields_that_could() {
        for text in [
            r#"{"error":"disk full"}"#,
            r#"{"message":"connection refused by peer"}"#,
            r#"{"failureReason":"Evicted"}"#,
            r#"{"status":503}"#,
            r#"{"exit_code":1}"#,
            r#"{"success":false}"#,
            r#"{"conclusion":"timed_out"}"#,
            r#"{"buildState":"FAIL"}"#,
            r#"{"last_status":"err"}"#,
            r#"{"a":[{"b":{"last_error":"boom"}}]}"#,
            r#"{"a":{"healthy":false}}"#,
            r#"{"state":"Exited(1)"}"#,
        ] {
            assert!(fails(text, "{}"), "{text}");
        }
        for text in [
            r#"{"error":null,"errors":[],"failed":0}"#,
            r#"{"timeout_ms":5,"max_errors":10}"#,
            r#"{"error":"","last_error":"none"}"#,
            r#"{"status":200,"exit_code":0,"success":true,"error":false}"#,
            r#"{"message":"0 errors"}"#,
            r#"{"name":"down","status":"up","state":"0 failed"}"#,
        ] {
            assert!(!fails(text, text), "{text}");
        }
    }

    #[test]
    fn a_field_that_is_not_clear_by_itself_reports_where_few_rows_fail() {
        for (bad, good) in [
            (r#"{"valid":false}"#, r#"{"valid":true}"#),
            (r#"{"missing":true}"#, r#"{"missing":false}"#),
            (r#"{"rc":2}"#, r#"{"rc":0}"#),
            (r#"{"level":50}"#, r#"{"level":30}"#),
            (r#"{"responseStatus":503}"#, r#"{"responseStatus":200}"#),
            (r#"{"ready":"1/2"}"#, r#"{"ready":"2/2"}"#),
            (r#"{"status":"cancelled"}"#, r#"{"status":"done"}"#),
        ] {
            assert!(fails(bad, good), "{bad}");
            assert!(!fails(good, good), "{good}");
        }
        for text in [r#"{"valid":false}"#, r#"{"expired":true}"#, r#"{"status":"cancelled"}"#] {
            assert!(!fails(text, text), "{text}");
        }
    }

    #[test]
    fn huge_names_and_values_and_deep_items_are_read_like_others() {
        let long = "x".repeat(100_000);
        let deep = format!("{}{{\"ok\":false}}{}", "[".repeat(40), "]".repeat(40));
        assert!(!fails(&format!(r#"{{"{long}_passed":false,"status":"down {long}"}}"#), "{}"));
        assert!(!fails(&deep, "{}"));
    }
}
