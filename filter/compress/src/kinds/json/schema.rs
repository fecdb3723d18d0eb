//! What the items of an array have in common: columns, constants, templates.
//!
//! Inference goes down the document with all values that stand at one place of the schema at a time,
//! so each node is looked at once per level and the time is linear in the document. An object *fits* a
//! record when its keys are a subsequence of the record's columns: then the columns and the blanks give
//! back its keys and their order.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::parse::{Shape, Tree};
use super::template::{self, Template};

/// More columns than this are not a table that a model could read, and inserting a column would no
/// longer take constant time.
const MAX_COLUMNS: usize = 256;

/// Rows with more different key sequences than this are looked at no further; the rest count as misfits.
const MAX_SHAPES: usize = 64;

/// Filled cells per thousand below which a table costs more than it saves: a blank is about one token, a
/// key that is spelled out two or three.
const MIN_FILLED: usize = 350;

/// How often inference may look at a node on average. Places nest, so a document could otherwise be made to
/// take time in proportion to its size times its depth; real ones take two or three looks.
const MAX_LOOKS: usize = 16;

/// Rows per thousand that have to fit. Misfits are written as objects.
const MIN_FITTING: usize = 750;

/// What is known of all values at one place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Schema {
    /// Nothing: each value is written out.
    Any,
    Record(Record),
    List(Box<Schema>),
    /// Objects whose keys are data, with values of one schema.
    Map(Box<Schema>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    /// The node of the key where it was first seen.
    pub(crate) key: u32,
    pub(crate) content: Content,
    /// Rows without this key.
    pub(crate) absent: usize,
    /// Rows with null.
    pub(crate) null: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// The same value in every row; the node of the first.
    Constant(u32),
    /// Objects in every row: their columns are this table's columns.
    Inline(Record),
    /// Strings that differ only in one part.
    Strings(Template),
    Values(Schema),
}

/// What inference has found out about nodes, and how much more it may look at.
#[derive(Debug)]
pub(crate) struct Inference {
    fitting: Vec<bool>,
    budget: usize,
}

impl Inference {
    pub(crate) fn new(tree: &Tree<'_>) -> Self {
        Self { fitting: vec![false; tree.size()], budget: tree.size().saturating_mul(MAX_LOOKS) }
    }

    /// Whether the object fits the record that was inferred for its place.
    pub(crate) fn fits(&self, node: u32) -> bool {
        self.fitting[node as usize]
    }
}

/// A place where a row has no value.
pub(crate) const ABSENT: u32 = u32::MAX;

/// The schema of the values `nodes`, some of which may be [`ABSENT`].
pub(crate) fn infer(tree: &Tree<'_>, nodes: &[u32], inference: &mut Inference) -> Schema {
    let Some(budget) = inference.budget.checked_sub(nodes.len()) else { return Schema::Any };
    inference.budget = budget;
    let (mut objects, mut arrays, mut others) = (Vec::new(), Vec::new(), 0usize);
    for &node in nodes.iter().filter(|&&node| node != ABSENT) {
        match tree.node(node).shape {
            Shape::Object => objects.push(node),
            Shape::Array => arrays.push(node),
            Shape::Null => {}
            _ => others += 1,
        }
    }
    if objects.len() >= 2 && objects.len() > 2 * (arrays.len() + others) {
        if let Some(record) = record(tree, &objects, inference) {
            return Schema::Record(record);
        }
        let values: Vec<u32> =
            objects.iter().flat_map(|&object| tree.entries(object).map(|(_, value)| value)).collect();
        return match infer_containers(tree, &values, inference) {
            Schema::Any => Schema::Any,
            schema => Schema::Map(Box::new(schema)),
        };
    }
    if !arrays.is_empty() && arrays.len() > 2 * (objects.len() + others) {
        let items: Vec<u32> = arrays.iter().flat_map(|&array| tree.items(array)).collect();
        return match infer_containers(tree, &items, inference) {
            Schema::Any => Schema::Any,
            schema => Schema::List(Box::new(schema)),
        };
    }
    Schema::Any
}

/// The schema of values of which most are objects or arrays; anything else has none worth naming.
fn infer_containers(tree: &Tree<'_>, nodes: &[u32], inference: &mut Inference) -> Schema {
    let containers =
        nodes.iter().filter(|&&n| matches!(tree.node(n).shape, Shape::Object | Shape::Array)).count();
    if containers < 2 || containers * 2 < nodes.len() { Schema::Any } else { infer(tree, nodes, inference) }
}

/// The schema of an object's values where its keys are data: most of the values have to be objects of
/// one form.
pub(crate) fn infer_keyed(tree: &Tree<'_>, object: u32, inference: &mut Inference) -> Schema {
    let (keys, values): (Vec<u32>, Vec<u32>) = tree.entries(object).unzip();
    let objects = values.iter().filter(|&&n| tree.node(n).shape == Shape::Object).count();
    if objects * 1000 < values.len() * MIN_FITTING {
        return Schema::Any;
    }
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
    /// An object that has it.
    sample: u32,
    /// Its columns; `None` when it does not fit.
    columns: Option<Vec<usize>>,
    count: usize,
}

fn record(tree: &Tree<'_>, objects: &[u32], inference: &mut Inference) -> Option<Record> {
    let mut union = Union::default();
    let mut sequences: Vec<KeySequence> = Vec::new();
    let mut by_hash: HashMap<u64, usize, FixedState> = HashMap::with_hasher(FixedState::default());
    let mut sequence_of = Vec::with_capacity(objects.len());
    for &object in objects {
        let hash = key_hash(tree, object);
        let known = by_hash.get(&hash).copied().filter(|&s| same_keys(tree, sequences[s].sample, object));
        let sequence = match known {
            Some(sequence) => sequence,
            None if sequences.len() == MAX_SHAPES => usize::MAX,
            None => {
                let fits = union.add(tree, object);
                by_hash.insert(hash, sequences.len());
                sequences.push(KeySequence { sample: object, columns: fits.then(Vec::new), count: 0 });
                sequences.len() - 1
            }
        };
        if let Some(sequence) = sequences.get_mut(sequence) {
            sequence.count += 1;
        }
        sequence_of.push(sequence);
    }
    // the positions are final only now
    for sequence in &mut sequences {
        if sequence.columns.is_some() {
            sequence.columns = union.positions(tree, sequence.sample);
        }
    }
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
    let mut values: Vec<Vec<u32>> = vec![Vec::with_capacity(rows); width];
    for (&object, &sequence) in objects.iter().zip(&sequence_of) {
        let Some(columns) = sequences.get(sequence).and_then(|s| s.columns.as_ref()) else { continue };
        inference.fitting[object as usize] = true;
        filled += 1;
        for ((_, value), &column) in tree.entries(object).zip(columns) {
            values[column].push(value);
        }
        for column in &mut values {
            column.resize(filled, ABSENT);
        }
    }
    let mut columns: Vec<Column> =
        union.keys.iter().zip(&values).map(|(&key, values)| column(tree, key, values, inference)).collect();
    template::derive(tree, &mut columns, &values);
    Some(Record { columns })
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
    use core::hash::{BuildHasher, Hasher};
    let mut hasher = FixedState::default().build_hasher();
    for (key, _) in tree.entries(object) {
        hasher.write(tree.inner(key).as_bytes());
        hasher.write_u8(0);
    }
    hasher.finish()
}

fn same_keys(tree: &Tree<'_>, a: u32, b: u32) -> bool {
    tree.node(a).len == tree.node(b).len
        && tree.entries(a).zip(tree.entries(b)).all(|((a, _), (b, _))| tree.inner(a) == tree.inner(b))
}

/// The columns so far, in an order that all fitting key sequences keep.
#[derive(Default)]
struct Union<'a> {
    keys: Vec<u32>,
    known: HashMap<&'a str, (), FixedState>,
}

impl<'a> Union<'a> {
    /// Adds the keys of an object where they fit; false, and nothing added, when they do not.
    fn add(&mut self, tree: &Tree<'a>, object: u32) -> bool {
        if tree.node(object).len as usize > MAX_COLUMNS {
            return false;
        }
        let mut seen: HashMap<&str, (), FixedState> = HashMap::with_hasher(FixedState::default());
        let mut fresh = 0;
        let mut from = 0;
        for (key, _) in tree.entries(object) {
            let name = tree.inner(key);
            if seen.insert(name, ()).is_some() {
                return false;
            }
            if self.known.contains_key(name) {
                // must come after everything matched so far
                let Some(at) = self.keys[from..].iter().position(|&k| tree.inner(k) == name) else {
                    return false;
                };
                from += at + 1;
            } else {
                fresh += 1;
            }
        }
        if self.keys.len() + fresh > MAX_COLUMNS {
            return false;
        }
        let mut at = 0;
        for (key, _) in tree.entries(object) {
            let name = tree.inner(key);
            if self.known.insert(name, ()).is_some() {
                at += self.keys[at..].iter().position(|&k| tree.inner(k) == name).unwrap_or(0) + 1;
            } else {
                self.keys.insert(at, key);
                at += 1;
            }
        }
        true
    }

    /// The columns of an object's keys.
    fn positions(&self, tree: &Tree<'a>, object: u32) -> Option<Vec<usize>> {
        let mut from = 0;
        tree.entries(object)
            .map(|(key, _)| {
                let name = tree.inner(key);
                let at = from + self.keys[from..].iter().position(|&k| tree.inner(k) == name)?;
                from = at + 1;
                Some(at)
            })
            .collect()
    }
}
