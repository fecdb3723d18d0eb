//! Leaves out parts of JSON: items of long lists, entries of long objects, and blobs.
//!
//! Items that stay are whole, in their order, and numbered. Short lists stay as they are: an agent picks from
//! them, and it cannot pick a value that is missing.

#![allow(clippy::indexing_slicing, reason = "items are numbered by the lists that they stand in")]

use std::cell::LazyCell;

use hashbrown::HashMap;

use super::describe;
use super::names;
use super::notation::{self, ShownItems};
use super::parse::{Shape, Tree};
use super::survey::{self, NONE, NodeSurvey};
use crate::block::{Context, Lossy};
use crate::config::Profile;
use crate::kinds::failure;
use crate::kinds::select::relevance::Terms;
use crate::kinds::select::{self, Column, Layout, Survey};
use crate::work;

/// When a list is long: it has at least this many items, and its items times the bytes in its values are at
/// least this much. Because of the product, a list of some fifty large items counts like one of hundreds of
/// small ones.
#[derive(Clone, Copy, Debug)]
struct Long {
    items: usize,
    product: usize,
}

/// Chosen on the corpus: lists from which an agent picks by name (flights, variants of a product, mails,
/// channels, the dependencies of a package) have up to some forty items; lists of monitoring and data APIs
/// have hundreds.
fn long(profile: Profile) -> Option<Long> {
    match profile {
        Profile::Lossless => None,
        Profile::Conservative => Some(Long { items: 100, product: 2_000_000 }),
        Profile::Balanced => Some(Long { items: 40, product: 300_000 }),
        Profile::Aggressive => Some(Long { items: 20, product: 60_000 }),
    }
}

/// An object counts as a list if this many per thousand of its values have one type: an object with fields of
/// its own has many types.
const ALIKE: usize = 900;

/// If more than this percentage of a list would stay, all of it stays.
const MOST_KEPT: usize = 80;

/// Names of fields that hold a line of an output.
const LINES: [&str; 7] = ["line", "log", "message", "msg", "text", "content", "output"];

/// At most this many lines on either side belong to a failure.
const MOST_BELONGING: usize = 20;

pub(crate) fn lossy(tree: &Tree<'_>, cx: &Context<'_>) -> Option<Lossy> {
    let mut crush = Crush {
        tree,
        long: long(cx.config.profile)?,
        profile: cx.config.profile,
        most: cx.config.max_items,
        terms: LazyCell::new(|| Terms::of([cx.query, cx.call.arguments])),
        kept: ShownItems::new(),
        left_out: Vec::new(),
        bytes: bytes_before(tree),
    };
    if tree.roots.len() > 1 {
        let bytes = crush.bytes.last().copied().unwrap_or(0);
        crush.list(notation::ROOTS, &tree.roots, None, bytes, "");
    }
    for (at, &root) in tree.roots.iter().enumerate() {
        if crush.kept.shows(notation::ROOTS, at) {
            crush.value(root, "");
        }
    }
    let blobs = crush.blobs();
    if crush.left_out.is_empty() && blobs == 0 {
        return None;
    }
    let left_out = describe::together(&crush.left_out, blobs);
    let text = notation::kept_documents(tree, crush.kept, cx.encoding);
    Some(Lossy { text, left_out })
}

struct Crush<'t, 'a, F> {
    tree: &'t Tree<'a>,
    long: Long,
    profile: Profile,
    most: Option<usize>,
    terms: LazyCell<Terms, F>,
    kept: ShownItems,
    left_out: Vec<String>,
    /// For each node, the bytes in the values before it, without layout and keys.
    bytes: Vec<usize>,
}

fn bytes_before(tree: &Tree<'_>) -> Vec<usize> {
    let mut sum = 0;
    let mut bytes = Vec::with_capacity(tree.size() + 1);
    for id in 0..tree.size() as u32 {
        bytes.push(sum);
        if !matches!(tree.node(id).shape, Shape::Array | Shape::Object) {
            sum += tree.span(id).len();
        }
    }
    bytes.push(sum);
    bytes
}

impl<F: FnOnce() -> Terms> Crush<'_, '_, F> {
    fn value(&mut self, id: u32, name: &str) {
        let tree = self.tree;
        let bytes = self.bytes[tree.after(id) as usize] - self.bytes[id as usize];
        match tree.node(id).shape {
            Shape::Array => {
                let items: Vec<u32> = tree.items(id).collect();
                self.list(id, &items, None, bytes, name);
                for (at, &item) in items.iter().enumerate() {
                    if self.kept.shows(id, at) {
                        self.value(item, name);
                    }
                }
            }
            Shape::Object => {
                let (keys, values): (Vec<u32>, Vec<u32>) = tree.entries(id).unzip();
                if self.is_list(&values) {
                    self.list(id, &values, Some(&keys), bytes, name);
                }
                for (at, (&key, &value)) in keys.iter().zip(&values).enumerate() {
                    if self.kept.shows(id, at) {
                        self.value(value, tree.inner(key));
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether an object's keys are data rather than the names of fields.
    fn is_list(&self, values: &[u32]) -> bool {
        let mut counts: HashMap<u8, usize, foldhash::fast::FixedState> = HashMap::default();
        for &value in values {
            *counts.entry(self.tree.node(value).shape as u8).or_insert(0) += 1;
        }
        counts.values().any(|count| count * 1000 >= values.len() * ALIKE)
    }

    fn list(&mut self, id: u32, items: &[u32], keys: Option<&[u32]>, bytes: usize, name: &str) {
        // A list in a list is read again.
        if work::is_over()
            || items.len() < self.long.items
            || items.len().saturating_mul(bytes) < self.long.product
        {
            return;
        }
        let NodeSurvey { survey, nodes } = survey::survey(self.tree, items);
        let inner = |&item: &u32| matches!(self.tree.node(item).shape, Shape::Array | Shape::Object);
        let layout = if items.iter().any(inner) { Layout::Rows } else { Layout::Stretches };
        let mut marks = vec![false; items.len()];
        for item in select::choose(&survey, &self.terms, self.profile, self.most, layout) {
            marks[item] = true;
        }
        self.keep_belongings(items, &survey, &nodes, &mut marks);
        if marks.iter().filter(|kept| **kept).count() * 100 > items.len() * MOST_KEPT {
            return;
        }
        let names = if layout == Layout::Rows {
            names::names(self.tree, &survey, &nodes, keys, &marks)
        } else {
            None
        };
        self.left_out.push(describe::list(self.tree, &survey, &nodes, keys, &marks, name));
        self.kept.keep(id, marks, names);
    }

    /// Keeps the lines that belong to a failure that stays, where items are the lines of an output or hold one
    /// each.
    fn keep_belongings(&self, items: &[u32], survey: &Survey<'_>, nodes: &[Vec<u32>], marks: &mut [bool]) {
        let is_string = |id: u32| id != NONE && self.tree.node(id).shape == Shape::String;
        let column = || {
            LINES.iter().find_map(|name| {
                let named = |column: &Column| column.name.eq_ignore_ascii_case(name);
                survey.columns.iter().position(named).and_then(|column| nodes.get(column))
            })
        };
        let lines =
            if items.iter().all(|&item| is_string(item)) { Some(items) } else { column().map(|of| &of[..]) };
        let Some(lines) = lines else { return };
        let text = |line: usize| {
            let text = lines.get(line).filter(|id| is_string(**id)).map_or("", |&id| self.tree.inner(id));
            // A tab is escaped in JSON.
            if text.starts_with("\\t") { "\t…" } else { text }
        };
        let failures: Vec<bool> =
            marks.iter().zip(&survey.errors).map(|(kept, error)| *kept && *error != 0).collect();
        let stays = failure::with_belongings(&failures, text, |_| false, MOST_BELONGING);
        for (mark, stays) in marks.iter_mut().zip(stays) {
            *mark |= stays;
        }
    }

    /// The number of blobs in the remaining values.
    fn blobs(&self) -> usize {
        // Blobs in left out items are counted too: an exact count needs a second pass, and either way the
        // blob is not shown.
        (0..self.tree.size() as u32)
            .filter(|&id| {
                self.tree.node(id).shape == Shape::String && notation::blob(self.tree.inner(id)).is_some()
            })
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::inverse::{Value, documents};
    use super::*;
    use crate::config::Config;

    fn crushed(text: &str, profile: Profile, query: &str) -> Option<Lossy> {
        let config = Config { profile, ..Config::default() };
        let cx = Context { query, ..Context::of(&config) };
        lossy(&Tree::read(text).unwrap(), &cx)
    }

    /// Whether `kept` is `whole` with items and entries left out.
    fn is_part(kept: &Value, whole: &Value) -> bool {
        match (kept, whole) {
            (Value::Array(kept), Value::Array(whole)) => {
                let mut rest = whole.iter();
                kept.iter().all(|item| rest.any(|other| is_part(item, other)))
            }
            (Value::Object(kept), Value::Object(whole)) => {
                let mut rest = whole.iter();
                kept.iter().all(|(key, value)| rest.any(|(k, v)| k == key && is_part(value, v)))
            }
            (kept, whole) => kept == whole,
        }
    }

    fn assert_part(text: &str, kept: &Lossy) {
        let tree = Tree::read(text).unwrap();
        let whole: Vec<Value> = tree.roots.iter().map(|&root| Value::of(&tree, root)).collect();
        let kept = documents(&kept.text);
        assert!(is_part(&Value::Array(kept), &Value::Array(whole)));
    }

    fn pods(count: usize) -> String {
        let rows: Vec<String> = (0..count)
            .map(|n| {
                let status = if n == 211 { "CrashLoopBackOff" } else { "Running" };
                let message = if n == 97 { "\"failed to pull image\"" } else { "null" };
                format!(
                    r#"{{"id":{n},"name":"pod-{:05}","status":"{status}","restarts":{},"error":{message}}}"#,
                    n * 7919 % 99_991,
                    if n == 150 { 9000 } else { n % 3 }
                )
            })
            .collect();
        format!(r#"{{"kind":"List","items":[{}]}}"#, rows.join(","))
    }

    #[test]
    fn what_stands_out_stays_and_the_rest_is_described() {
        let text = pods(400);
        let kept = crushed(&text, Profile::Balanced, "and what about pod-55433?").unwrap();
        assert_part(&text, &kept);
        for row in ["\n0,0,", "\n399,399,", "\n211,211,", "\n97,97,", "\n150,150,", "pod-55433"] {
            assert!(kept.text.contains(row), "{row:?} is not in\n{}", kept.text);
        }
        assert!(kept.text.contains("[400 rows, "), "{}", kept.text);
        assert!(kept.left_out.contains(" of 400 rows of items left out: "), "{}", kept.left_out);
        assert!(kept.left_out.contains(" status=Running; id "), "{}", kept.left_out);
        assert!(kept.text.len() * 4 < text.len());
    }

    #[test]
    fn items_that_go_leave_their_names_where_these_are_short() {
        let rows: Vec<String> = (0..150)
            .map(|n| {
                format!(
                    r#"{{"name":"svc-{}","image":"registry.example/{n}/{}","node":"n{}"}}"#,
                    n * 37,
                    "x".repeat(60),
                    n % 4
                )
            })
            .collect();
        let text = format!("[{}]", rows.join(","));
        let kept = crushed(&text, Profile::Balanced, "").unwrap();
        assert_part(&text, &kept);
        assert!(kept.text.contains(" more by name: svc-"), "{}", kept.text);
        assert!((0..150).all(|n| kept.text.contains(&format!("svc-{}", n * 37))));
    }

    #[test]
    fn lists_in_lists_use_up_the_limit() {
        let levels = 110;
        let text = format!(
            "{}\"{}\"{}",
            "[".repeat(levels),
            "x".repeat(20_000),
            format!("{}]", ",1".repeat(20)).repeat(levels)
        );
        let config = Config { profile: Profile::Aggressive, ..Config::default() };
        let (tree, cx) = (Tree::read(&text).unwrap(), Context { query: "4711", ..Context::of(&config) });
        work::start(0);
        let _ = lossy(&tree, &cx);
        assert!(work::is_over());
        work::unlimited();
    }

    #[test]
    fn short_lists_stay_whole() {
        assert!(crushed(&pods(39), Profile::Balanced, "").is_none());
        assert!(crushed(&pods(400), Profile::Lossless, "").is_none());
        let fields: Vec<String> = (0..100).map(|n| format!(r#""field{n}":[{n},"x{n}",null]"#)).collect();
        assert!(crushed(&format!("{{{}}}", fields[..30].join(",")), Profile::Aggressive, "").is_none());
    }

    #[test]
    fn lists_of_every_form_keep_a_part_of_themselves() {
        let numbers: Vec<String> = (0..3000).map(|n| (n * n % 101).to_string()).collect();
        let strings: Vec<String> = (0..900).map(|n| format!("\"release {n}, of {}\"", n / 7)).collect();
        let entries: Vec<String> =
            (0..900).map(|n| format!("\"1.{n}\":\"2024-01-{:02}\"", n % 28 + 1)).collect();
        let keyed: Vec<String> =
            (0..300).map(|n| format!("\"k{n}\":{{\"a\":{n},\"b\":[{{\"c\":1}},{{\"c\":{n}}}]}}")).collect();
        let mixed: Vec<String> =
            (0..300).map(|n| [format!("[{n}]"), format!("\"s{n}\"")][n % 2].clone()).collect();
        let lines: Vec<String> = (0..300).map(|n| format!("{{\"t\":{n},\"m\":\"message {n}\"}}")).collect();
        for text in [
            format!("{{\"vector\":[{}],\"a\":[{{\"b\":1}}]}}", numbers.join(",")),
            format!("[{}]", strings.join(",")),
            format!("{{\"time\":{{{}}}}}", entries.join(",")),
            format!("{{{}}}", keyed.join(",")),
            format!("[{}]", mixed.join(",")),
            lines.join("\n"),
            format!("[{{\"embedding\":[{0}]}},{{\"embedding\":[{0}]}}]", numbers.join(",")),
        ] {
            let kept = crushed(&text, Profile::Balanced, "").unwrap();
            assert_part(&text, &kept);
            assert!(kept.text.len() * 2 < text.len(), "{}", kept.text);
        }
    }

    #[test]
    fn what_belongs_to_a_failure_stays_in_lists_of_lines() {
        let line = |n: usize| match n {
            200 => "Traceback (most recent call last):".to_owned(),
            201..=211 if n % 2 == 1 => format!("  File \\\"/srv/app.py\\\", line {n}, in step_{n}"),
            201..=211 => format!("    step_{n}()"),
            212 => "ValueError: no such step".to_owned(),
            301 => "java.io.IOException: reset".to_owned(),
            302..=305 => format!("\\tat com.example.Pool.get(Pool.java:{n})"),
            _ => format!("2026-10-01T12:00:{:02}Z INFO web: GET /v1/items/{n} 200 {}ms", n % 60, n * 37 % 90),
        };
        let lines: Vec<String> = (0..600).map(|n| format!("\"{}\"", line(n))).collect();
        let objects: Vec<String> = (0..600)
            .map(|n| format!(r#"{{"log":"{}\n","stream":"stderr","attrs":{{"tag":"web-{n}"}}}}"#, line(n)))
            .collect();
        for text in [format!("{{\"lines\":[{}]}}", lines.join(",")), objects.join("\n")] {
            let kept = crushed(&text, Profile::Balanced, "").unwrap();
            assert_part(&text, &kept);
            for n in (200..=212).chain(301..=305) {
                let told = line(n).replace("\\t", "").replace("\\\"", "");
                let told = told.trim().rsplit(' ').next().unwrap();
                assert!(kept.text.contains(told), "{told} is not in\n{}", kept.text);
            }
            assert!(kept.text.len() * 3 < text.len(), "{}", kept.text);
        }
    }

    #[test]
    fn rows_that_failed_stay_up_to_a_bound() {
        for (field, good, bad) in [
            ("passed", "true", "false"),
            ("healthy", "true", "false"),
            ("exit", "0", "1"),
            ("http_code", "200", "500"),
            ("conclusion", "\"success\"", "\"action_required\""),
            ("level", "30", "50"),
            ("grade", "\"correct\"", "\"incorrect\""),
        ] {
            let rows = |every: usize| -> Vec<String> {
                (0..600)
                    .map(|n| {
                        let value = if n % every == 7 { bad } else { good };
                        format!(
                            r#"{{"id":"case-{n}","suite":"{}","ms":{},"{field}":{value}}}"#,
                            n * 7 % 3,
                            n * 37 % 900
                        )
                    })
                    .collect()
            };
            let kept = crushed(&format!("[{}]", rows(20).join(",")), Profile::Balanced, "").unwrap();
            for n in (7..600).step_by(20) {
                assert!(kept.text.contains(&format!("\n{n},case-{n},")), "{field} of {n}: {}", kept.text);
            }
            let good = good.trim_matches('"');
            assert!(kept.left_out.contains(&format!(" {field}={good}; id case-")), "{}", kept.left_out);
            let kept = crushed(&format!("[{}]", rows(8).join(",")), Profile::Balanced, "").unwrap();
            assert!(kept.text.lines().count() < 100 + 100, "{}", kept.text);
            let failed = (0..75).filter(|n| kept.text.contains(&format!(",case-{},", n * 8 + 7))).count();
            assert_eq!(failed, 75, "{field}");
        }
    }

    #[test]
    fn blobs_are_shortened_and_prose_is_not() {
        let blob = "QUJD".repeat(500);
        let text = format!(r#"{{"name":"a.png","data":"{blob}","note":"{}"}}"#, "some words ".repeat(100));
        let kept = crushed(&text, Profile::Balanced, "").unwrap();
        assert!(kept.text.contains("…1952 more characters…"), "{}", kept.text);
        assert!(kept.text.contains(&"some words ".repeat(99)));
        assert_eq!(kept.left_out, "1 encoded blob shortened");
    }
}
