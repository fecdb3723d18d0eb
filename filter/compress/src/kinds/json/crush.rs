//! What may be left out of JSON: items of long lists, entries of long objects, and blobs.
//!
//! Items that stay are whole, in their place, and say which they were. Small lists stay as they are: an
//! agent picks from them, and a value that is not there cannot be picked.

use hashbrown::HashMap;

use super::describe;
use super::notation::{self, Kept};
use super::parse::{Shape, Tree};
use super::survey::{self, Surveyed};
use crate::block::{Context, Lossy};
use crate::config::Profile;
use crate::kinds::select;

/// From where on a list is long.
#[derive(Clone, Copy, Debug)]
struct Long {
    items: usize,
    bytes: usize,
}

/// Chosen on the corpus: lists from which an agent picks by name (flights, variants of a product, mails,
/// channels) have up to some thirty items, the lists of monitoring and data APIs hundreds.
fn long(profile: Profile) -> Option<Long> {
    match profile {
        Profile::Lossless => None,
        Profile::Conservative => Some(Long { items: 100, bytes: 6000 }),
        Profile::Balanced => Some(Long { items: 40, bytes: 2400 }),
        Profile::Aggressive => Some(Long { items: 20, bytes: 1200 }),
    }
}

/// An object is a list when this many per thousand of its values are of one type: one with fields of
/// its own has all sorts.
const ALIKE: usize = 900;

/// What stays of a list is at most this share of it, in percent, or all of it stays.
const MOST_KEPT: usize = 80;

pub(crate) fn lossy(tree: &Tree<'_>, cx: &Context<'_>) -> Option<Lossy> {
    let mut crush = Crush {
        tree,
        long: long(cx.config.profile)?,
        profile: cx.config.profile,
        query: format!("{} {}", cx.query, cx.call.arguments),
        kept: Kept::new(),
        left_out: Vec::new(),
    };
    if tree.roots.len() > 1 {
        let bytes = tree.end - tree.start;
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

struct Crush<'t, 'a> {
    tree: &'t Tree<'a>,
    long: Long,
    profile: Profile,
    query: String,
    kept: Kept,
    left_out: Vec<String>,
}

impl Crush<'_, '_> {
    fn value(&mut self, id: u32, name: &str) {
        let tree = self.tree;
        let bytes = tree.span(id).len();
        if bytes < self.long.bytes {
            return;
        }
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
        if items.len() < self.long.items || bytes < self.long.bytes {
            return;
        }
        let Surveyed { survey, nodes } = survey::survey(self.tree, items);
        let chosen = select::choose(&survey, &self.query, self.profile);
        if chosen.len() * 100 > items.len() * MOST_KEPT {
            return;
        }
        let mut marks = vec![false; items.len()];
        for &item in &chosen {
            marks[item] = true;
        }
        self.left_out.push(describe::list(self.tree, &survey, &nodes, keys, &marks, name));
        self.kept.keep(id, marks);
    }

    /// The number of blobs in what stays.
    fn blobs(&self) -> usize {
        // a blob in an item that goes is counted too: exact would need a second walk, and it is gone either way
        (0..self.tree.size() as u32)
            .filter(|&id| {
                self.tree.node(id).shape == Shape::String && notation::blob(self.tree.inner(id)).is_some()
            })
            .count()
    }
}
