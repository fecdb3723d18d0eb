//! What calls do with files: which reads are no longer useful, and how often a file is named again.

use std::borrow::Cow;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use crate::call::Call;
use crate::hint::{self, FileUse};
use crate::kinds::signal::floor_char_boundary;
use crate::memo::Entry;
use crate::surroundings::{file_names, key};

/// Why a read is of no use any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Obsolescence {
    /// The file was edited later.
    Stale,
    /// The same lines were read later.
    Superseded,
}

/// Names of files that are noted of one call.
const MOST_NAMES: usize = 8;
/// Reads of one file that are compared with an earlier one.
const MOST_READS: usize = 16;
/// Of the tokens of a read a later one has to have so many to supersede it, in percent: agents answer a read of what they have
/// shown before with a line that says so, and may add a reminder to either.
const LEAST_SHOWN_PERCENT: u64 = 90;
/// What begins the result of an edit that was not made says one of these. In doubt nothing was edited.
const REFUSALS: [&str; 18] = [
    "error",
    "fail",
    "not found",
    "no replacement",
    "did not",
    "didn't",
    "doesn't",
    "does not",
    "cannot",
    "can't",
    "could not",
    "rejected",
    "denied",
    "has not been read",
    "modified since",
    "no match",
    "no changes",
    "multiple",
];
/// Bytes of an edit's result in which that is looked for: what follows shows the file.
const REFUSAL_BYTES: usize = 256;

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
    /// The model's turn: of calls that were made at once it is not known which was answered first.
    turn: u32,
    /// The file's path.
    path: u64,
    used: FileUse,
    /// The call's arguments.
    arguments: u64,
    tokens: u64,
}

impl Files {
    /// Takes in an output with its call. What fails has read or written nothing.
    pub(super) fn add(
        &mut self,
        (block, turn): (usize, u32),
        [name, arguments]: [Cow<'_, str>; 2],
        entry: &Entry,
        is_refused: impl FnOnce() -> bool,
    ) {
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
        let Some((path, used)) = hint::file_use(call).filter(|_| !entry.fails) else { return };
        if used != FileUse::Edit || !is_refused() {
            let [path, arguments] = [path.as_bytes(), arguments.as_bytes()].map(xxh3_64);
            self.uses.push(Use { block, turn, path, used, arguments, tokens: entry.tokens_before.into() });
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
    pub(super) fn fates(&self) -> Vec<(usize, Obsolescence)> {
        let mut later: HashMap<u64, LaterUses<'_>, FixedState> = HashMap::default();
        let mut fates = Vec::new();
        for it in self.uses.iter().rev() {
            let later = later.entry(it.path).or_default();
            if it.used == FileUse::Edit {
                later.edited = later.edited.max(Some(it.turn));
            } else if later.edited > Some(it.turn) {
                fates.push((it.block, Obsolescence::Stale));
            } else if later.reads.iter().any(|read| read.supersedes(it)) {
                fates.push((it.block, Obsolescence::Superseded));
            } else if later.reads.len() < MOST_READS {
                later.reads.push(it);
            }
        }
        fates
    }
}

impl Use {
    /// Whether this, which comes later, shows all that an earlier one of the same file has shown.
    fn supersedes(&self, earlier: &Self) -> bool {
        let same = match (self.used, earlier.used) {
            (FileUse::Read(from, to), FileUse::Read(first, last)) => from <= first && last <= to,
            (FileUse::ReadPart, FileUse::ReadPart) => self.arguments == earlier.arguments,
            _ => false,
        };
        same && self.tokens * 100 >= earlier.tokens * LEAST_SHOWN_PERCENT
    }
}

/// What comes later for a file.
#[derive(Default)]
struct LaterUses<'u> {
    /// The turn of the last edit.
    edited: Option<u32>,
    reads: Vec<&'u Use>,
}

/// Whether the result of an edit says that it was not made.
pub(super) fn is_refusal(answer: &str) -> bool {
    let start = answer.get(..floor_char_boundary(answer, REFUSAL_BYTES)).unwrap_or_default().to_lowercase();
    REFUSALS.iter().any(|refusal| start.contains(refusal))
}
