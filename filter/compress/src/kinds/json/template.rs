//! Columns of strings that differ only in one part, and columns that follow from another column.
//!
//! `url=https://api.example/issues/*` says that a cell replaces the star.
//! `labels_url=https://api.example/issues/<number>/labels` needs no cell at all. `id="*"` only says that the
//! cells are strings, which saves the quotes around digits.

#![allow(clippy::indexing_slicing, reason = "columns are numbered by the list that they stand in")]

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::parse::{Shape, Tree};
use super::place::{ABSENT, Column, Content, Record, Schema, Source, Template};
use super::spell;

/// The shortest shared part for a star column. Shorter ones, such as the month of a date, save little and
/// hide values that an agent will want to quote.
const MIN_SHARED: usize = 24;

/// The fewest bytes in all rows of a column together for which it is derived from another one.
const MIN_DERIVED: usize = 24;

/// The longest name of a column that others follow from: each of them states it.
const LONGEST_SOURCE: usize = 64;

impl Template {
    fn part<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.prefix.len()..text.len() - self.suffix.len()).unwrap_or_default()
    }
}

/// The part of a string that is written in the cell.
pub(crate) fn cell<'a>(template: &Template, text: &'a str) -> &'a str {
    template.part(text)
}

/// The template of the strings `values` (some may be absent or null); `None` if it saves nothing.
pub(crate) fn strings(tree: &Tree<'_>, values: &[u32]) -> Option<Template> {
    let texts = plain_strings(tree, values)?;
    let mut rest = texts.clone();
    let first = rest.next()?;
    let (mut prefix, mut suffix) = (first.len(), first.len());
    let mut alone = true;
    for text in rest {
        alone = false;
        prefix = common_prefix(first.get(..prefix).unwrap_or_default(), text);
        suffix = common_prefix_rev(first.get(first.len() - suffix..).unwrap_or_default(), text);
        if prefix + suffix < MIN_SHARED {
            break;
        }
    }
    if alone {
        return None;
    }
    let prefix = cut_prefix(first.get(..prefix).unwrap_or_default());
    let suffix = cut_suffix(first.get(first.len() - suffix..).unwrap_or_default());
    let shared = prefix.len() + suffix.len();
    if shared >= MIN_SHARED
        && texts.clone().all(|text| text.len() >= shared)
        && spell::template_parts(prefix, suffix)
    {
        return Some(Template { prefix: prefix.into(), suffix: suffix.into(), source: Source::Cell });
    }
    let (mut all, mut quoted) = (0, 0);
    for text in texts {
        all += 1;
        quoted += usize::from(spell::looks_like_value(text));
    }
    (quoted * 2 > all).then(Template::default)
}

/// The texts of the present values; `None` unless they are all null or strings without escapes.
fn plain_strings<'t>(tree: &'t Tree<'_>, values: &'t [u32]) -> Option<impl Iterator<Item = &'t str> + Clone> {
    let there = values.iter().filter(|&&value| value != ABSENT).map(|&value| (value, tree.node(value)));
    let plain = there.clone().all(|(_, node)| match node.shape {
        Shape::String => !node.escaped,
        shape => shape == Shape::Null,
    });
    let strings = there.filter(|(_, node)| node.shape == Shape::String);
    plain.then(|| strings.map(|(value, _)| tree.inner(value)))
}

/// Finds the columns that follow from another column.
pub(crate) fn derive(tree: &Tree<'_>, columns: &mut [Column], values: &[&[u32]]) {
    let rows = values.first().map_or(0, |values| values.len());
    if rows < 3 {
        return;
    }
    let mut by_value: HashMap<u64, usize, FixedState> = HashMap::with_hasher(FixedState::default());
    let mut texts: Vec<Option<Vec<&str>>> = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        let own = matches!(column.content, Content::Strings(_) | Content::Values(Schema::Any));
        let text = if own && column.absent == 0 { scalars(tree, values[at]) } else { None };
        texts.push(text);
    }
    for at in 0..columns.len() {
        let Some(text) = &texts[at] else { continue };
        let whole = hash(text.iter().copied());
        if text.iter().map(|t| t.len()).sum::<usize>() >= MIN_DERIVED {
            let equal = |other: usize| {
                values[other].iter().zip(values[at]).all(|(&a, &b)| tree.raw(a) == tree.raw(b))
            };
            if let Some(&other) = by_value.get(&whole).filter(|&&other| equal(other)) {
                columns[at].content =
                    Content::Strings(Template { source: Source::Copy(other), ..Template::default() });
                texts[at] = None;
                continue;
            }
        }
        // A header can name the source only by a key that needs no quotes.
        let name = tree.inner(columns[at].key);
        if name.len() <= LONGEST_SOURCE && !tree.node(columns[at].key).escaped && spell::bare_key(name) {
            by_value.entry(whole).or_insert(at);
        }
    }
    for at in 0..columns.len() {
        let Some(text) = &texts[at] else { continue };
        let strings = values[at].iter().all(|&v| tree.node(v).shape == Shape::String);
        if !strings || text.iter().map(|t| t.len()).sum::<usize>() < MIN_DERIVED {
            continue;
        }
        let template = match &columns[at].content {
            Content::Strings(template) if template.prefix.len() + template.suffix.len() > 0 => {
                template.clone()
            }
            _ => middle(text),
        };
        let Some(&other) = by_value.get(&hash(text.iter().map(|t| template.part(t)))) else { continue };
        let gives =
            texts[other].as_ref().is_some_and(|s| s.iter().zip(text).all(|(s, t)| template.part(t) == *s));
        if other != at && gives {
            columns[at].content = Content::Strings(Template { source: Source::Text(other), ..template });
            texts[at] = None;
        }
    }
}

/// Finds the columns that follow from the keys of a keyed table: `rows` are the objects under the keys, all
/// of which have to fit.
pub(crate) fn derive_from_keys(tree: &Tree<'_>, record: &mut Record, keys: &[u32], rows: &[u32]) {
    if keys.iter().any(|&key| tree.node(key).escaped)
        || record.columns.iter().any(|c| tree.inner(c.key) == "key")
    {
        return;
    }
    for column in &mut record.columns {
        let cell = match &column.content {
            Content::Strings(template) => template.source == Source::Cell,
            Content::Values(Schema::Any) => true,
            _ => false,
        };
        let name = tree.name(column.key);
        let derived = cell
            && column.absent == 0
            && keys.iter().zip(rows).all(|(&key, &row)| {
                let value = tree.entries(row).find(|&(k, _)| tree.name(k) == name).map(|(_, value)| value);
                value.is_some_and(|v| {
                    let node = tree.node(v);
                    node.shape == Shape::String && !node.escaped && tree.inner(v) == tree.inner(key)
                })
            });
        if derived {
            column.content = Content::Strings(Template { source: Source::Key, ..Template::default() });
        }
    }
}

/// A template with everything that the texts share, possibly nothing.
fn middle(texts: &[&str]) -> Template {
    let empty = Template::default();
    let Some((&first, rest)) = texts.split_first() else { return empty };
    let (mut prefix, mut suffix) = (first.len(), first.len());
    for text in rest {
        prefix = common_prefix(first.get(..prefix).unwrap_or_default(), text);
        suffix = common_prefix_rev(first.get(first.len() - suffix..).unwrap_or_default(), text);
    }
    let shortest = texts.iter().map(|t| t.len()).min().unwrap_or(0);
    let prefix = cut_prefix(first.get(..prefix).unwrap_or_default());
    let suffix = cut_suffix(first.get(first.len() - suffix..).unwrap_or_default());
    let fits = prefix.len() + suffix.len() <= shortest && spell::template_parts(prefix, suffix);
    if fits { Template { prefix: prefix.into(), suffix: suffix.into(), source: Source::Cell } } else { empty }
}

/// The texts of numbers and strings without escapes; `None` if there is any other value.
fn scalars<'a>(tree: &Tree<'a>, values: &[u32]) -> Option<Vec<&'a str>> {
    values
        .iter()
        .map(|&value| {
            let node = tree.node(value);
            match node.shape {
                Shape::String if !node.escaped => Some(tree.inner(value)),
                Shape::Number => Some(tree.raw(value)),
                _ => None,
            }
        })
        .collect()
}

/// Whether the header may state this value as a constant: not if it would read like a template.
pub(crate) fn may_be_constant(tree: &Tree<'_>, node: u32) -> bool {
    tree.node(node).shape != Shape::String || !(tree.inner(node) == "*" || tree.inner(node).starts_with('<'))
}

fn hash<'s>(texts: impl Iterator<Item = &'s str>) -> u64 {
    use core::hash::{BuildHasher, Hasher};
    let mut hasher = FixedState::default().build_hasher();
    for text in texts {
        hasher.write(text.as_bytes());
        hasher.write_u8(0xff);
    }
    hasher.finish()
}

fn common_prefix(a: &str, b: &str) -> usize {
    let mut at = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    while !a.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn common_prefix_rev(a: &str, b: &str) -> usize {
    let mut length = a.bytes().rev().zip(b.bytes().rev()).take_while(|(a, b)| a == b).count();
    while !a.is_char_boundary(a.len() - length) {
        length -= 1;
    }
    length
}

fn separator(byte: u8) -> bool {
    matches!(byte, b'/' | b':' | b'=' | b'?' | b'#' | b'&' | b'@' | b' ' | b'{')
}

fn cut_prefix(text: &str) -> &str {
    text.get(..text.bytes().rposition(separator).map_or(0, |at| at + 1)).unwrap_or_default()
}

fn cut_suffix(text: &str) -> &str {
    text.get(text.bytes().position(separator).unwrap_or(text.len())..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the columns of three rows come from that have the same texts under all of these names.
    fn sources(names: &[&str]) -> Vec<Option<Source>> {
        let row = |at: usize| {
            let entries: Vec<String> =
                names.iter().map(|name| format!("\"{name}\":\"value {at}\"")).collect();
            format!("{{{}}}", entries.join(","))
        };
        let text = format!("[{},{},{}]", row(100), row(200), row(300));
        let tree = Tree::read(&text).unwrap();
        let rows: Vec<Vec<(u32, u32)>> = tree.items(0).map(|row| tree.entries(row).collect()).collect();
        let values: Vec<Vec<u32>> =
            (0..names.len()).map(|at| rows.iter().map(|row| row[at].1).collect()).collect();
        let values: Vec<&[u32]> = values.iter().map(Vec::as_slice).collect();
        let column = |&(key, _): &(u32, u32)| Column {
            key,
            content: Content::Values(Schema::Any),
            absent: 0,
            null: 0,
        };
        let mut columns: Vec<Column> = rows[0].iter().map(column).collect();
        derive(&tree, &mut columns, &values);
        let source = |column: &Column| match &column.content {
            Content::Strings(template) => Some(template.source),
            _ => None,
        };
        columns.iter().map(source).collect()
    }

    #[test]
    fn no_column_states_the_long_name_of_another() {
        assert_eq!(sources(&["a", "b", "c"]), [None, Some(Source::Copy(0)), Some(Source::Copy(0))]);
        let long = "a".repeat(LONGEST_SOURCE + 1);
        let sources = sources(&[&long, "b", "c"]);
        assert_eq!(sources[1..], [None, Some(Source::Copy(1))]);
    }
}
