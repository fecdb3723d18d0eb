//! Items of a JSON list in the form that the selection rules need.

use core::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::parse::{Shape, Tree};
use super::report;
use crate::kinds::select::{Column, Survey};

/// The most places in an item that become columns. They distinguish larger items well enough, too.
const MAX_COLUMNS: usize = 48;

/// The most places of all columns together. Where items have half of their columns, a text has fewer: a place that is
/// filled takes a key and a value, and a text has [limited](super::parse) numbers of these.
const MAX_PLACES: usize = 1 << 21;

/// How deep an item is searched for places.
const MAX_DEPTH: usize = 4;

/// Arrays of at most this many values have a column for each.
const MOST_PLACES: u32 = 4;

/// A survey, and for each of its columns the node of each item; [`NONE`] if there is none.
pub(crate) struct NodeSurvey<'a> {
    pub(crate) survey: Survey<'a>,
    pub(crate) nodes: Vec<Vec<u32>>,
}

pub(crate) const NONE: u32 = u32::MAX;

pub(crate) fn survey<'a>(tree: &Tree<'a>, items: &[u32]) -> NodeSurvey<'a> {
    let mut survey = Survey::default();
    let most = MAX_COLUMNS.min(MAX_PLACES / items.len().max(1));
    let mut places =
        Places { tree, most, columns: Vec::new(), nodes: Vec::new(), by_path: HashMap::default() };
    for (row, &item) in items.iter().enumerate() {
        survey.texts.push(tree.raw(item));
        let mut shape = FixedState::default().build_hasher();
        places.visit(item, 0, "", row, 0, &mut shape);
        survey.shapes.push(shape.finish() | 1);
    }
    survey.errors = report::reports(tree, items);
    for (column, nodes) in places.columns.iter_mut().zip(&mut places.nodes) {
        column.numbers.resize(items.len(), f64::NAN);
        column.values.resize(items.len(), 0);
        nodes.resize(items.len(), NONE);
        let mut distinct: HashSet<u64, FixedState> = HashSet::with_hasher(FixedState::default());
        for &value in &column.values {
            if distinct.insert(value) && distinct.len() == Column::MANY {
                break;
            }
        }
        column.distinct = distinct.len();
    }
    survey.columns = places.columns;
    NodeSurvey { survey, nodes: places.nodes }
}

struct Places<'t, 'a> {
    tree: &'t Tree<'a>,
    /// How many columns there may be.
    most: usize,
    columns: Vec<Column>,
    nodes: Vec<Vec<u32>>,
    by_path: HashMap<u64, usize, FixedState>,
}

impl Places<'_, '_> {
    fn visit(&mut self, id: u32, path: u64, name: &str, row: usize, depth: usize, shape: &mut impl Hasher) {
        let node = self.tree.node(id);
        if node.shape == Shape::Object && depth < MAX_DEPTH {
            for (key, value) in self.tree.entries(id) {
                let key = self.tree.inner(key);
                shape.write(key.as_bytes());
                self.visit(value, hash(path, key), key, row, depth + 1, shape);
            }
            shape.write_u8(1);
            return;
        }
        // A pair of a time and a value, a point: each place in it is a column.
        if node.shape == Shape::Array && depth == 0 && (1..=MOST_PLACES).contains(&node.len) {
            for (place, value) in self.tree.items(id).enumerate() {
                let name = format!("{name}[{place}]");
                self.visit(value, hash(path, &name), &name, row, depth + 1, shape);
            }
            shape.write_u8(4);
            return;
        }
        shape.write_u8(if node.shape == Shape::Array { 2 } else { 3 });
        let Some(column) = self.column(path, name) else { return };
        let Some((column, nodes)) = self.columns.get_mut(column).zip(self.nodes.get_mut(column)) else {
            return;
        };
        if column.values.len() > row {
            return;
        }
        column.values.resize(row, 0);
        column.numbers.resize(row, f64::NAN);
        nodes.resize(row, NONE);
        let raw = self.tree.raw(id);
        let number = match node.shape {
            Shape::Number => raw.parse().unwrap_or(f64::NAN),
            // Prometheus and many databases write numbers as strings.
            Shape::String => decimal(self.tree.inner(id)).unwrap_or(f64::NAN),
            _ => f64::NAN,
        };
        column.numeric += usize::from(!number.is_nan());
        column.numbers.push(number);
        column.values.push(if node.shape == Shape::Array {
            u64::from(node.len) + 1
        } else {
            hash(0, raw) | 1
        });
        nodes.push(id);
    }

    fn column(&mut self, path: u64, name: &str) -> Option<usize> {
        if let Some(&column) = self.by_path.get(&path) {
            return Some(column);
        }
        if self.columns.len() == self.most {
            return None;
        }
        self.columns.push(Column { name: name.to_owned(), ..Column::default() });
        self.nodes.push(Vec::new());
        self.by_path.insert(path, self.columns.len() - 1);
        Some(self.columns.len() - 1)
    }
}

/// The number in a string, if it has a fraction: without one it may be a name.
fn decimal(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    (is_plain && text.len() <= 32 && text.bytes().filter(|b| *b == b'.').count() == 1)
        .then(|| text.parse().ok())?
}

fn hash(seed: u64, text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_columns_with_numbers_and_values() {
        let tree =
            Tree::read(r#"[{"a":{"x":1},"b":"p"},{"b":"q"},{"a":{"x":3},"b":"p","c":[1,2]}]"#).unwrap();
        let items: Vec<u32> = tree.items(0).collect();
        let survey = survey(&tree, &items).survey;
        let names: Vec<&str> = survey.columns.iter().map(|c| &c.name[..]).collect();
        assert_eq!(names, ["x", "b", "c"]);
        assert_eq!(survey.columns[0].numeric, 2);
        assert!(survey.columns[0].numbers[1].is_nan());
        assert_eq!(survey.columns[1].distinct, 2);
        assert_eq!(survey.columns[2].values[..2], [0, 0]);
    }

    #[test]
    fn columns_of_one_item_take_no_room_in_all_others() {
        for (others, columns) in [(9, MAX_COLUMNS), (200_000, 10)] {
            let keys: Vec<String> = (0..MAX_COLUMNS).map(|at| format!("\"a{at}\":1")).collect();
            let text = format!("[{{{}}}{}]", keys.join(","), ",1".repeat(others));
            let tree = Tree::read(&text).unwrap();
            let items: Vec<u32> = tree.items(0).collect();
            assert_eq!(survey(&tree, &items).survey.columns.len(), columns);
        }
    }
}
