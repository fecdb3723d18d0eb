//! What calls do with files: which reads are of no use any more, and how often a file is named again.

use std::borrow::Cow;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use crate::block::Call;
use crate::hint::{self, FileUse};
use crate::memo::Entry;
use crate::surroundings::{file_names, key};

/// Why a read is of no use any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// The file was edited later.
    Stale,
    /// The same lines were read later.
    Superseded,
}

/// Names of files that are noted of one call.
const MOST_NAMES: usize = 8;
/// Reads of one file that are compared with an earlier one.
const MOST_READS: usize = 16;

/// The calls so far.
#[derive(Debug, Default)]
pub(super) struct Files {
    uses: Vec<Use>,
    /// How many calls have named a file.
    named: HashMap<u64, u64, FixedState>,
    /// Of each output the names in its call, with how often each was named before and by it.
    blocks: Vec<Vec<(u64, u64)>>,
}

#[derive(Debug)]
struct Use {
    block: usize,
    path: String,
    used: FileUse,
    /// The call's arguments.
    arguments: u64,
}

impl Files {
    /// Takes in an output with its call. What fails has read or written nothing.
    pub(super) fn add(&mut self, block: usize, [name, arguments]: [Cow<'_, str>; 2], entry: &Entry) {
        let mut names: Vec<u64> = file_names(&arguments).take(MOST_NAMES).map(key).collect();
        names.sort_unstable();
        names.dedup();
        let counted = names.into_iter().map(|name| {
            let count = self.named.entry(name).or_default();
            *count += 1;
            (name, *count)
        });
        let counted = counted.collect();
        self.blocks.resize_with(block, Vec::new);
        self.blocks.push(counted);
        let call = Call { name: &name, arguments: &arguments };
        if let Some((path, used)) = hint::file_use(call).filter(|_| !entry.fails) {
            self.uses.push(Use { block, path, used, arguments: xxh3_64(arguments.as_bytes()) });
        }
    }

    /// How many calls after that of an output name a file that it names.
    pub(super) fn references(&self, block: usize) -> u64 {
        let names = self.blocks.get(block).into_iter().flatten();
        let later = names
            .map(|(name, count)| self.named.get(name).copied().unwrap_or_default().saturating_sub(*count));
        later.max().unwrap_or_default()
    }

    /// The reads that are of no use any more, the latest first.
    pub(super) fn fates(&self) -> Vec<(usize, Fate)> {
        let mut later: HashMap<&str, Later, FixedState> = HashMap::default();
        let mut fates = Vec::new();
        for it in self.uses.iter().rev() {
            let later = later.entry(&it.path).or_default();
            match it.used {
                FileUse::Edit => later.edited = true,
                FileUse::Read(from, to) => {
                    if later.edited {
                        fates.push((it.block, Fate::Stale));
                    } else if later.reads.iter().any(|read| read.0 <= from && to <= read.1) {
                        fates.push((it.block, Fate::Superseded));
                    } else if later.reads.len() < MOST_READS {
                        later.reads.push((from, to));
                    }
                }
                FileUse::ReadPart => {
                    if later.edited {
                        fates.push((it.block, Fate::Stale));
                    } else if later.parts.contains(&it.arguments) {
                        fates.push((it.block, Fate::Superseded));
                    } else if later.parts.len() < MOST_READS {
                        later.parts.push(it.arguments);
                    }
                }
            }
        }
        fates
    }
}

/// What comes later for a file.
#[derive(Default)]
struct Later {
    edited: bool,
    reads: Vec<(u64, u64)>,
    parts: Vec<u64>,
}
