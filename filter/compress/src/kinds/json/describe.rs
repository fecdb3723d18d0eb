//! The marker's description of left out items: how many, of what kind, and their range.

#![allow(clippy::indexing_slicing, reason = "items and columns are numbered by the lists that they stand in")]

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use headroom_providers::sort;

use super::parse::Tree;
use super::survey::NONE;
use crate::kinds::order::{self, Limits};
use crate::kinds::select::{Column, Survey};
use crate::kinds::verdict::Field;

/// A column with more different values is not used for counting.
const MAX_VALUES: usize = 6;

/// The same for the column in which items that failed differ from the others.
const MAX_OUTCOMES: usize = 12;

/// A column tells the items that failed from the others if at least this percentage of them have a value
/// that no other item has.
const TOLD_APART: usize = 90;

/// Columns that are most useful for counting, the best first.
const CATEGORIES: [&str; 14] = [
    "status",
    "state",
    "conclusion",
    "level",
    "severity",
    "type",
    "kind",
    "category",
    "phase",
    "result",
    "outcome",
    "verdict",
    "action",
    "event",
];

/// Names of columns that identify items, the best first.
const LANDMARKS: [&str; 10] =
    ["id", "name", "key", "number", "timestamp", "time", "date", "created_at", "title", "path"];

/// Longer values are not put into a description.
const MAX_VALUE: usize = 40;

/// The most items with errors that are named.
const MAX_NAMED: usize = 40;

/// The most lists that are described one by one.
const MAX_LISTS: usize = 4;

/// `412 of 430 rows of items left out: 409 status=ok, 3 status=queued; id 17..430`.
pub(crate) fn list(
    tree: &Tree<'_>,
    survey: &Survey<'_>,
    nodes: &[Vec<u32>],
    keys: Option<&[u32]>,
    kept: &[bool],
    name: &str,
) -> String {
    let gone: Vec<usize> = (0..kept.len()).filter(|&item| !kept[item]).collect();
    let mut text =
        format!("{} of {} {}", gone.len(), kept.len(), if keys.is_some() { "entries" } else { "rows" });
    if let Some(name) = short(name) {
        text.push_str(" of ");
        text.push_str(name);
    }
    text.push_str(" left out");
    let mut facts = Vec::new();
    if let Some(column) = category(survey) {
        facts.push(counts(tree, &survey.columns[column], &nodes[column], &gone));
    }
    match keys {
        Some(keys) => facts.extend(range("", gone.iter().map(|&item| short(tree.inner(keys[item]))))),
        None => facts.extend(landmark(survey).and_then(|column| {
            let values = gone.iter().map(|&item| match nodes[column][item] {
                NONE => None,
                node => short(tree.raw(node).trim_matches('"')),
            });
            range(&survey.columns[column].name, values)
        })),
    }
    facts.extend(errors(tree, survey, nodes, keys, &gone));
    if !facts.is_empty() {
        text.push_str(": ");
        text.push_str(&facts.join("; "));
    }
    text
}

/// The descriptions of all lists in one line.
pub(crate) fn together(lists: &[String], blobs: usize) -> String {
    let mut parts = Vec::new();
    let mut rest = lists;
    while let Some(first) = rest.first().filter(|_| parts.len() < MAX_LISTS) {
        let same = rest.iter().take_while(|list| *list == first).count();
        parts.push(if same > 1 { format!("in each of {same} lists {first}") } else { first.clone() });
        rest = rest.get(same..).unwrap_or_default();
    }
    if !rest.is_empty() {
        parts.push(format!("items of {} more lists left out", rest.len()));
    }
    match blobs {
        0 => {}
        1 => parts.push("1 encoded blob shortened".to_owned()),
        _ => parts.push(format!("{blobs} encoded blobs shortened")),
    }
    parts.join("; ")
}

/// `37 of them report errors like those shown: id 501, 507`.
fn errors(
    tree: &Tree<'_>,
    survey: &Survey<'_>,
    nodes: &[Vec<u32>],
    keys: Option<&[u32]>,
    gone: &[usize],
) -> Option<String> {
    let errors: Vec<usize> =
        gone.iter().copied().filter(|item| survey.errors.get(*item).is_some_and(|kind| *kind != 0)).collect();
    if errors.is_empty() {
        return None;
    }
    let said = format!("{} of them report errors like those shown", errors.len());
    let column = landmark(survey);
    let name = |item: &usize| match (keys, column) {
        (Some(keys), _) => short(tree.inner(*keys.get(*item)?)),
        (None, Some(column)) => match *nodes.get(column)?.get(*item)? {
            NONE => None,
            node => short(tree.raw(node).trim_matches('"')),
        },
        (None, None) => None,
    };
    let names: Option<Vec<&str>> = errors.iter().map(name).collect();
    let title = column.and_then(|column| survey.columns.get(column)).map_or("", |column| &column.name);
    Some(match names.filter(|names| names.len() <= MAX_NAMED) {
        Some(names) if keys.is_some() => format!("{said}: {}", names.join(", ")),
        Some(names) => format!("{said}: {title} {}", names.join(", ")),
        None => said,
    })
}

/// The column that is counted: the one in which items that failed differ from the others, else one with a
/// suitable name.
fn category(survey: &Survey<'_>) -> Option<usize> {
    let is = |column: &Column, least: usize| {
        (least..=MAX_VALUES).contains(&column.distinct) && short(&column.name).is_some()
    };
    let outcome = |column: &Column| Field::of(&column.name).is_some();
    let position = |fits: &dyn Fn(&Column) -> bool| survey.columns.iter().position(fits);
    let apart = |column: &Column| short(&column.name).is_some() && tells_failures(column, &survey.errors);
    position(&|column| outcome(column) && apart(column))
        .or_else(|| position(&apart))
        // It is useful to know that all are LOW, too.
        .or_else(|| {
            CATEGORIES
                .iter()
                .find_map(|name| position(&|column| is(column, 1) && column.name.eq_ignore_ascii_case(name)))
        })
        .or_else(|| position(&|column| is(column, 2) && outcome(column)))
        .or_else(|| position(&|column| is(column, 2) && column.numeric == 0 && !column.values.contains(&0)))
}

/// Whether a column of few values has values of their own for the items that failed.
fn tells_failures(column: &Column, errors: &[u64]) -> bool {
    if !(2..=MAX_OUTCOMES).contains(&column.distinct) {
        return false;
    }
    let rows = || column.values.iter().zip(errors);
    let failed = rows().filter(|(_, error)| **error != 0).count();
    let others: HashSet<u64, FixedState> =
        rows().filter(|(_, error)| **error == 0).map(|(value, _)| *value).collect();
    let alone = rows().filter(|(value, error)| **error != 0 && !others.contains(*value)).count();
    failed > 0 && !others.is_empty() && alone * 100 >= failed * TOLD_APART
}

/// The column that identifies items: one with a suitable name, else the first one of different strings, else
/// a number that only rises or falls, else the first one of strings.
fn landmark(survey: &Survey<'_>) -> Option<usize> {
    let items = survey.texts.len();
    let different = |c: &Column| c.distinct == Column::MANY || c.distinct * 10 >= items * 9;
    let position =
        |fits: &dyn Fn(&Column) -> bool| survey.columns.iter().position(|c| different(c) && fits(c));
    let ordered =
        |c: &Column| c.numbers.windows(2).all(|w| w[1] >= w[0]) || c.numbers.windows(2).all(|w| w[1] <= w[0]);
    LANDMARKS
        .iter()
        .find_map(|name| position(&|c| c.name.eq_ignore_ascii_case(name)))
        .or_else(|| position(&|c| c.numeric == 0))
        .or_else(|| position(&ordered))
        .or_else(|| survey.columns.iter().position(|c| c.numeric == 0 && c.distinct > MAX_VALUES))
}

/// `409 status=ok, 3 status=queued`.
fn counts(tree: &Tree<'_>, column: &Column, nodes: &[u32], gone: &[usize]) -> String {
    let mut counts: HashMap<u64, (usize, usize), FixedState> = HashMap::with_hasher(FixedState::default());
    for &item in gone {
        counts.entry(column.values[item]).or_insert((0, item)).0 += 1;
    }
    let mut counts: Vec<(usize, usize)> = counts.into_values().collect();
    sort::by(&mut counts, |a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let facts: Vec<String> = counts
        .iter()
        .map(|&(count, item)| {
            let value = match nodes[item] {
                NONE => "(absent)",
                node => short(tree.raw(node).trim_matches('"')).unwrap_or("(long)"),
            };
            format!("{count} {}={value}", column.name)
        })
        .collect();
    facts.join(", ")
}

/// `id 17..430` for values that go up or down, `id between 5 and 399` for others.
fn range<'s>(name: &str, values: impl Iterator<Item = Option<&'s str>>) -> Option<String> {
    let values: Option<Vec<&str>> = values.collect();
    let space = if name.is_empty() { "" } else { " " };
    Some(match order::limits(&values?)? {
        Limits::Sorted(first, last) => format!("{name}{space}{first}..{last}"),
        Limits::Within(least, most) => format!("{name}{space}between {least} and {most}"),
    })
}

/// The text, if it is short and plain enough for a marker's line.
fn short(text: &str) -> Option<&str> {
    let plain = text.chars().all(|c| !c.is_control() && c != ']' && c != '[');
    (!text.is_empty() && text.len() <= MAX_VALUE && plain).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::survey::{NodeSurvey, survey};
    use super::*;

    /// The description of a list of which one item in five stays.
    fn described(items: &[String]) -> String {
        let text = format!("[{}]", items.join(","));
        let tree = Tree::read(&text).unwrap();
        let items: Vec<u32> = tree.items(0).collect();
        let NodeSurvey { survey, nodes } = survey(&tree, &items);
        let kept: Vec<bool> =
            (0..items.len()).map(|item| item % 5 == 0 || survey.errors[item] != 0).collect();
        list(&tree, &survey, &nodes, None, &kept, "")
    }

    #[test]
    fn the_column_that_tells_failures_is_counted() {
        for (field, good, bad) in [
            ("passed", "true", "false"),
            ("conclusion", "\"success\"", "\"action_required\""),
            ("rc", "0", "2"),
            ("sign", "\"a\"", "\"connection refused\""),
        ] {
            let items: Vec<String> = (0..50)
                .map(|n| {
                    let value = if n % 10 == 3 { bad } else { good };
                    format!(r#"{{"id":"case-{n}","type":"{}","{field}":{value}}}"#, ["u", "v"][n % 2])
                })
                .collect();
            let good = good.trim_matches('"');
            assert_eq!(
                described(&items),
                format!("35 of 50 rows left out: 35 {field}={good}; id case-1..case-49")
            );
        }
    }

    #[test]
    fn values_in_no_order_are_no_range() {
        let items = |name: &dyn Fn(usize) -> String| -> Vec<String> {
            (0..50).map(|n| format!(r#"{{"id":{}}}"#, name(n))).collect()
        };
        let mixed = |n: usize| n * 37 % 101;
        let told = described(&items(&|n| mixed(n).to_string()));
        assert_eq!(told, "40 of 50 rows left out: id between 2 and 97");
        assert_eq!(described(&items(&|n| format!("\"k{}\"", mixed(n)))), "40 of 50 rows left out");
        assert_eq!(described(&items(&|n| n.to_string())), "40 of 50 rows left out: id 1..49");
    }
}
