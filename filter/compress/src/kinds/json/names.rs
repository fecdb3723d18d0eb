//! The names of left out items, if they are few bytes compared to what is left out: an agent that searches
//! for one sees that it exists, and can ask for the rest by its name.

#![allow(clippy::indexing_slicing, reason = "items and columns are numbered by the lists that they stand in")]

use super::parse::{Shape, Tree};
use super::survey::NONE;
use crate::kinds::select::{Column, Survey};

/// Columns that name an item, the best first.
const NAMES: [&str; 12] = [
    "name",
    "id",
    "key",
    "title",
    "path",
    "file",
    "filename",
    "full_name",
    "username",
    "login",
    "email",
    "uuid",
];

/// A longer string is not a name.
const MAX_NAME: usize = 60;

/// More names would be a long list again.
const MAX_NAMES: usize = 200;

/// The largest share that the names may take of the left out bytes, in percent.
const MOST: usize = 20;

/// The column's name (empty for keys) and the nodes of the names, in the order of the items.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) column: String,
    pub(crate) nodes: Vec<u32>,
}

pub(crate) fn names(
    tree: &Tree<'_>,
    survey: &Survey<'_>,
    nodes: &[Vec<u32>],
    keys: Option<&[u32]>,
    kept: &[bool],
) -> Option<Names> {
    let gone = || (0..kept.len()).filter(|&item| !kept[item]);
    let (column, all) = match keys {
        Some(keys) => (String::new(), keys),
        None => {
            let column = NAMES.iter().find_map(|name| {
                let named = |at: usize| survey.columns[at].name.eq_ignore_ascii_case(name);
                (0..nodes.len()).find(|&at| named(at) && tells_apart(tree, &survey.columns[at], &nodes[at]))
            })?;
            (survey.columns[column].name.clone(), &nodes[column][..])
        }
    };
    let names: Vec<u32> = gone().map(|item| all[item]).collect();
    let fits = |&node: &u32| node != NONE && tree.span(node).len() <= MAX_NAME;
    if names.len() > MAX_NAMES || !names.iter().all(fits) {
        return None;
    }
    let bytes: usize = names.iter().map(|&node| tree.span(node).len()).sum();
    let all_bytes: usize = gone().map(|item| survey.texts[item].len()).sum();
    (bytes * 100 <= all_bytes * MOST).then_some(Names { column, nodes: names })
}

/// Whether nearly all values of a column are different strings.
fn tells_apart(tree: &Tree<'_>, column: &Column, nodes: &[u32]) -> bool {
    let strings = nodes.iter().all(|&node| node != NONE && tree.node(node).shape == Shape::String);
    strings && column.distinct * 10 >= nodes.len() * 9
}
