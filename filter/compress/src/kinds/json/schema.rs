//! What the items of an array have in common: columns, constants, templates.
//!
//! Inference follows the document with all values of one place of the schema at a time. So each node is read
//! once per level, and the time is linear in the document.
//!
//! An object *fits* a record if its keys are a subsequence of the record's columns: then its keys and their
//! order follow from the columns and the blanks.

#![allow(
    clippy::indexing_slicing,
    reason = "nodes, names and columns are numbered by the lists that they stand in"
)]

use super::parse::{Shape, Tree};
use super::place::{ABSENT, Column, Content, Record, Schema};
use super::template;

/// A table with more columns is not readable for a model, and inserting a column would no longer take
/// constant time.
const MAX_COLUMNS: usize = 256;

/// Rows with more different key sequences than this are not examined; the rest count as misfits.
const MAX_SHAPES: usize = 64;

/// Filled cells per thousand below which a table costs more than it saves: a blank is about one token, a key
/// that is written out two or three.
const MIN_FILLED: usize = 350;

/// How often inference may read a node on average. Places nest, so a hostile document could take time in
/// proportion to its size times its depth; real ones need two or three reads.
const MAX_LOOKS: usize = 16;

/// Rows per thousand that have to fit. Misfits are written as objects.
const MIN_FITTING: usize = 750;

/// What inference has found out about nodes, and how many more it may read.
#[derive(Debug)]
pub(crate) struct Inference {
    fitting: Vec<Fit>,
    /// Whether the next record may have keys in two orders: only the head of a table can state that.
    two_orders: bool,
    budget: usize,
    marks: Marks,
}

/// Whether an object fits the record of its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fit {
    Not,
    /// Its keys are in the order of the columns.
    InOrder,
    /// Its keys are in the record's other order.
    InOtherOrder,
}

/// Where each name was last seen: sets of names that are cleared by taking a new number.
#[derive(Debug)]
struct Marks {
    of: Vec<Mark>,
    last: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    object: u32,
    union: u32,
}

impl Marks {
    /// A number for an object or a union that has no marks yet.
    fn fresh(&mut self) -> u32 {
        self.last += 1;
        self.last
    }
}

impl Inference {
    pub(crate) fn new(tree: &Tree<'_>) -> Self {
        let marks = Marks { of: vec![Mark::default(); tree.names], last: 0 };
        let budget = tree.size().saturating_mul(MAX_LOOKS);
        Self { fitting: vec![Fit::Not; tree.size()], two_orders: false, budget, marks }
    }

    /// Whether the object fits the record that was inferred for its place.
    pub(crate) fn fits(&self, node: u32) -> bool {
        self.fitting[node as usize] != Fit::Not
    }

    /// Whether it fits with its keys in the record's other order.
    pub(crate) fn fits_in_other_order(&self, node: u32) -> bool {
        self.fitting[node as usize] == Fit::InOtherOrder
    }
}

/// The schema of the values `nodes`, some of which may be [`ABSENT`].
pub(crate) fn infer(tree: &Tree<'_>, nodes: &[u32], inference: &mut Inference) -> Schema {
    let two_orders = std::mem::take(&mut inference.two_orders);
    let Some(budget) = inference.budget.checked_sub(nodes.len()) else { return Schema::Any };
    inference.budget = budget;
    let (mut objects, mut arrays, mut others) = (0, 0, 0);
    for &node in nodes.iter().filter(|&&node| node != ABSENT) {
        match tree.node(node).shape {
            Shape::Object => objects += 1,
            Shape::Array => arrays += 1,
            Shape::Null => {}
            _ => others += 1,
        }
    }
    let of_shape = |shape, count| {
        let mut found = Vec::with_capacity(count);
        found.extend(nodes.iter().filter(|&&node| node != ABSENT && tree.node(node).shape == shape));
        found
    };
    if objects >= 2 && objects > 2 * (arrays + others) {
        let objects = of_shape(Shape::Object, objects);
        if let Some(record) = record(tree, &objects, two_orders, inference) {
            return Schema::Record(record);
        }
        let values = objects.iter().flat_map(|&object| tree.entries(object).map(|(_, value)| value));
        return match infer_containers(tree, values, inference) {
            Schema::Any => Schema::Any,
            schema => Schema::Map(Box::new(schema)),
        };
    }
    if arrays > 0 && arrays > 2 * (objects + others) {
        let arrays = of_shape(Shape::Array, arrays);
        return match infer_containers(tree, arrays.iter().flat_map(|&array| tree.items(array)), inference) {
            Schema::Any => Schema::Any,
            schema => Schema::List(Box::new(schema)),
        };
    }
    Schema::Any
}

/// The schema of a table's rows. Its head can state that some rows have their keys in another order.
pub(crate) fn infer_rows(tree: &Tree<'_>, nodes: &[u32], inference: &mut Inference) -> Schema {
    inference.two_orders = true;
    infer(tree, nodes, inference)
}

/// The schema of values that are mostly objects or arrays; other values have no useful one.
fn infer_containers(
    tree: &Tree<'_>,
    nodes: impl Iterator<Item = u32> + Clone,
    inference: &mut Inference,
) -> Schema {
    let (mut containers, mut all) = (0, 0);
    for node in nodes.clone() {
        containers += usize::from(matches!(tree.node(node).shape, Shape::Object | Shape::Array));
        all += 1;
    }
    if containers < 2 || containers * 2 < all {
        return Schema::Any;
    }
    infer(tree, &nodes.collect::<Vec<u32>>(), inference)
}

/// The schema of an object's values if its keys are data: most of the values have to be objects of one shape.
pub(crate) fn infer_keyed(tree: &Tree<'_>, object: u32, inference: &mut Inference) -> Schema {
    let objects = tree.entries(object).filter(|&(_, value)| tree.node(value).shape == Shape::Object).count();
    if objects * 1000 < tree.node(object).len as usize * MIN_FITTING {
        return Schema::Any;
    }
    let (keys, values): (Vec<u32>, Vec<u32>) = tree.entries(object).unzip();
    let mut schema = infer(tree, &values, inference);
    if let Schema::Record(record) = &mut schema
        && values.iter().all(|&value| tree.node(value).shape == Shape::Object && inference.fits(value))
    {
        template::derive_from_keys(tree, record, &keys, &values);
    }
    schema
}

/// The key sequence of some objects.
struct KeySequence {
    /// One object with this sequence.
    sample: u32,
    hash: u64,
    /// Its columns; `None` if it does not fit.
    columns: Option<Vec<usize>>,
    /// Whether these columns are in the record's other order.
    other: bool,
    count: usize,
}

fn record(tree: &Tree<'_>, objects: &[u32], two_orders: bool, inference: &mut Inference) -> Option<Record> {
    let mut union = Union { keys: Vec::new(), mark: inference.marks.fresh() };
    let mut sequences: Vec<KeySequence> = Vec::new();
    let mut sequence_of = Vec::with_capacity(objects.len());
    let mut sequence = usize::MAX;
    for &object in objects {
        // Most objects have the same keys as the one before.
        if !sequences.get(sequence).is_some_and(|known| same_keys(tree, known.sample, object)) {
            let hash = key_hash(tree, object);
            let known = |known: &KeySequence| known.hash == hash && same_keys(tree, known.sample, object);
            sequence = match sequences.iter().position(known) {
                Some(sequence) => sequence,
                None if sequences.len() == MAX_SHAPES => usize::MAX,
                None => {
                    let columns = union.add(tree, object, &mut inference.marks).then(Vec::new);
                    sequences.push(KeySequence { sample: object, hash, columns, other: false, count: 0 });
                    sequences.len() - 1
                }
            };
        }
        if let Some(sequence) = sequences.get_mut(sequence) {
            sequence.count += 1;
        }
        sequence_of.push(sequence);
    }
    // The positions are final only now.
    for sequence in &mut sequences {
        if sequence.columns.is_some() {
            sequence.columns = union.positions(tree, sequence.sample);
        }
    }
    let other = if two_orders { other_order(tree, &union, &mut sequences) } else { Vec::new() };
    let width = union.keys.len();
    let (mut rows, mut cells) = (0, 0);
    for sequence in &sequences {
        if let Some(columns) = &sequence.columns {
            rows += sequence.count;
            cells += sequence.count * columns.len();
        }
    }
    if width == 0
        || rows < 2
        || rows * 1000 < objects.len() * MIN_FITTING
        || cells * 1000 < rows * width * MIN_FILLED
    {
        return None;
    }
    let mut filled = 0;
    let mut cells = vec![ABSENT; width * rows];
    for (&object, &sequence) in objects.iter().zip(&sequence_of) {
        let Some(sequence) = sequences.get(sequence) else { continue };
        let Some(columns) = &sequence.columns else { continue };
        inference.fitting[object as usize] = if sequence.other { Fit::InOtherOrder } else { Fit::InOrder };
        for ((_, value), &column) in tree.entries(object).zip(columns) {
            cells[column * rows + filled] = value;
        }
        filled += 1;
    }
    let values: Vec<&[u32]> = cells.chunks_exact(rows).collect();
    let mut columns: Vec<Column> =
        union.keys.iter().zip(&values).map(|(&key, values)| column(tree, key, values, inference)).collect();
    template::derive(tree, &mut columns, &values);
    Some(Record { columns, other })
}

/// The order of keys that most of the misfits have whose keys are columns. These rows, and others whose keys
/// follow that order, then fit. Empty if there is none.
fn other_order(tree: &Tree<'_>, union: &Union, sequences: &mut [KeySequence]) -> Vec<usize> {
    let most = sequences
        .iter()
        .filter(|sequence| sequence.columns.is_none())
        .filter_map(|sequence| Some((sequence.count, union.places(tree, sequence.sample)?)))
        .reduce(|most, next| if next.0 > most.0 { next } else { most });
    let Some((_, order)) = most else { return Vec::new() };
    for sequence in sequences.iter_mut().filter(|sequence| sequence.columns.is_none()) {
        let Some(places) = union.places(tree, sequence.sample) else { continue };
        let mut rest = order.iter();
        if places.iter().all(|place| rest.any(|column| column == place)) {
            (sequence.columns, sequence.other) = (Some(places), true);
        }
    }
    order
}

fn column(tree: &Tree<'_>, key: u32, values: &[u32], inference: &mut Inference) -> Column {
    let absent = values.iter().filter(|&&v| v == ABSENT).count();
    let null = values.iter().filter(|&&v| v != ABSENT && tree.node(v).shape == Shape::Null).count();
    let content = if absent == 0 && constant(tree, values) {
        Content::Constant(values[0])
    } else if let Some(template) = template::strings(tree, values) {
        Content::Strings(template)
    } else {
        match infer(tree, values, inference) {
            Schema::Record(record) if absent == 0 && values.iter().all(|&v| inference.fits(v)) => {
                Content::Inline(record)
            }
            schema => Content::Values(schema),
        }
    };
    Column { key, content, absent, null }
}

fn constant(tree: &Tree<'_>, values: &[u32]) -> bool {
    let Some((&first, rest)) = values.split_first() else { return false };
    let raw = tree.raw(first);
    rest.iter().all(|&v| tree.raw(v) == raw) && template::may_be_constant(tree, first)
}

fn key_hash(tree: &Tree<'_>, object: u32) -> u64 {
    tree.entries(object).fold(0, |hash: u64, (key, _)| {
        (hash.rotate_left(5) ^ u64::from(tree.name(key))).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

fn same_keys(tree: &Tree<'_>, a: u32, b: u32) -> bool {
    tree.node(a).len == tree.node(b).len
        && tree.entries(a).zip(tree.entries(b)).all(|((a, _), (b, _))| tree.name(a) == tree.name(b))
}

/// The columns so far, in an order that all fitting key sequences follow.
struct Union {
    keys: Vec<u32>,
    /// The number that marks the names of these keys.
    mark: u32,
}

impl Union {
    /// Adds the keys of an object if they fit; if not, adds nothing and returns false.
    fn add(&mut self, tree: &Tree<'_>, object: u32, marks: &mut Marks) -> bool {
        if tree.node(object).len as usize > MAX_COLUMNS {
            return false;
        }
        let this = marks.fresh();
        let mut fresh = 0;
        let mut from = 0;
        for (key, _) in tree.entries(object) {
            let mark = &mut marks.of[tree.name(key) as usize];
            if mark.object == this {
                return false;
            }
            mark.object = this;
            if mark.union == self.mark {
                // It must come after everything matched so far.
                let Some(at) = self.position(tree, key, from) else { return false };
                from = at + 1;
            } else {
                fresh += 1;
            }
        }
        if self.keys.len() + fresh > MAX_COLUMNS {
            return false;
        }
        let mut at = 0;
        for (key, _) in tree.entries(object) {
            let mark = &mut marks.of[tree.name(key) as usize];
            if mark.union == self.mark {
                at = self.position(tree, key, at).unwrap_or(at) + 1;
            } else {
                mark.union = self.mark;
                self.keys.insert(at, key);
                at += 1;
            }
        }
        true
    }

    /// The columns of an object's keys.
    fn positions(&self, tree: &Tree<'_>, object: u32) -> Option<Vec<usize>> {
        let mut positions = Vec::with_capacity(tree.node(object).len as usize);
        let mut from = 0;
        for (key, _) in tree.entries(object) {
            let at = self.position(tree, key, from)?;
            positions.push(at);
            from = at + 1;
        }
        Some(positions)
    }

    /// The columns of an object's keys in the order of the object; `None` if a key is not a column, or occurs
    /// twice.
    fn places(&self, tree: &Tree<'_>, object: u32) -> Option<Vec<usize>> {
        if tree.node(object).len as usize > self.keys.len() {
            return None;
        }
        let mut taken = vec![false; self.keys.len()];
        tree.entries(object)
            .map(|(key, _)| {
                let place = self.position(tree, key, 0)?;
                (!std::mem::replace(taken.get_mut(place)?, true)).then_some(place)
            })
            .collect()
    }

    /// The column of a key, if it is not before `from`.
    fn position(&self, tree: &Tree<'_>, key: u32, from: usize) -> Option<usize> {
        let name = tree.name(key);
        self.keys
            .get(from..)
            .unwrap_or_default()
            .iter()
            .position(|&other| tree.name(other) == name)
            .map(|at| from + at)
    }
}
