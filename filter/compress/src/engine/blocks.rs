//! The blocks of a request, one after the other.

use std::sync::Arc;

use headroom_providers::walk::Output;

use super::calls::Said;
use super::keys::{Keys, Prefix};
use super::placeholder::RetrievableBlocks;
use super::run::Run;
use super::shown::ShownContent;
use crate::ccr::address;
use crate::epochs::{Fold, FoldedOutput};
use crate::memo::{Entry, Memo};

/// Bytes of outputs that the memo knows, in one step.
const KNOWN_BYTES: usize = 4 << 20;

/// The results for the blocks, as far as they are known.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) edits_by_line: bool,
    /// `None` before the first step.
    next_key: Option<Keys>,
    prefix: Prefix,
    /// Of the blocks that have an entry, and perhaps of the next.
    keys: Vec<u128>,
    /// How many steps harder each is pressed.
    pub(super) steps: Vec<u8>,
    said: Said,
    shown: ShownContent,
    /// With each whether the memo knew.
    pub(super) entries: Vec<(Arc<Entry>, bool)>,
    given: RetrievableBlocks,
    /// The outputs about which a text model may be asked, with their addresses.
    pub(super) prose: Vec<(usize, Arc<str>)>,
    /// How old outputs are rewritten, where they may be.
    pub(super) fold: Option<Fold>,
    /// Where in the body references of each block end: the last compaction, or the last boundary at which something was
    /// rewritten.
    sinces: Vec<usize>,
}

impl Blocks {
    pub(super) fn new(edits_by_line: bool, fold: Option<Fold>) -> Self {
        Self {
            edits_by_line,
            next_key: None,
            prefix: Prefix::default(),
            keys: Vec::new(),
            steps: Vec::new(),
            said: Said::default(),
            shown: ShownContent::default(),
            entries: Vec::new(),
            given: RetrievableBlocks::default(),
            prose: Vec::new(),
            fold,
            sinces: Vec::new(),
        }
    }

    /// What stands for an output that was rewritten.
    pub(super) fn taken(&self, block: usize) -> Option<&FoldedOutput> {
        self.fold.as_ref()?.taken().get(block)?.as_deref()
    }

    /// Takes the next step. False: all blocks have their entry.
    pub(super) fn step(&mut self, run: &Run<'_, '_>, memo: &mut Memo) -> bool {
        let mut bytes = 0;
        while let Some(output) = run.walk.outputs.get(self.entries.len()) {
            if bytes >= KNOWN_BYTES {
                return true;
            }
            bytes += output.span.range().len();
            let (key, steps) = self.key(run, output, memo);
            // Where the memo knows a block, it takes no time.
            match memo.block(key) {
                Some(entry) => {
                    run.begin_explanation();
                    self.add(run, output, (entry, true), memo);
                }
                None => {
                    self.work(run, output, (key, steps), memo);
                    return true;
                }
            }
        }
        if let Some(fold) = &mut self.fold {
            fold.finish(&run.scene(&self.entries), memo);
        }
        if self.shown.blocks == 0 {
            return false;
        }
        if run.catch_up(&mut self.shown, (&self.keys, &self.sinces), &self.entries, memo) {
            return true;
        }
        let ShownContent { earlier, .. } = std::mem::take(&mut self.shown);
        if let Some(key) = self.keys.last() {
            memo.remember_earlier(*key, earlier);
        }
        false
    }

    /// The key of the next block, and how many steps harder it is pressed.
    fn key(&mut self, run: &Run<'_, '_>, output: &Output, memo: &mut Memo) -> (u128, u8) {
        let block = self.entries.len();
        if let (Some(key), Some(steps)) = (self.keys.get(block), self.steps.get(block)) {
            return (*key, *steps);
        }
        let (since, rewritten) = match &mut self.fold {
            Some(fold) => {
                let before = fold.digest();
                fold.before(&run.scene(&self.entries), output, memo);
                if fold.digest() != before {
                    self.given.add_taken(fold.taken());
                }
                (fold.from().max(output.since), fold.digest())
            }
            None => (output.since, 0),
        };
        self.sinces.push(since);
        let before = if run.config.pressure { self.prefix.before(run, output, memo) } else { 0 };
        let steps = run.config.steps(before);
        let next_key = self.next_key.get_or_insert_with(|| Keys::new(run, memo));
        let key = next_key.next(run, block, output, (steps, rewritten), memo);
        self.keys.push(key);
        self.steps.push(steps);
        (key, steps)
    }

    /// Compresses the next block, or as much of what has to be known before as takes about as long.
    fn work(&mut self, run: &Run<'_, '_>, output: &Output, (key, steps): (u128, u8), memo: &mut Memo) {
        let Self { keys, sinces, said, shown, entries, given, .. } = self;
        if run.catch_up(shown, (keys, sinces), entries, memo) {
            return;
        }
        let block = entries.len();
        run.begin_explanation();
        shown.forget_before(output.since, sinces.get(block).copied().unwrap_or_default());
        let said = said.before(output, run.walk.body);
        run.add_calls(shown, output);
        let source = run.source(output, block);
        shown.earlier.look_at(source);
        let (entry, forwarded, lines) = match run.requested(output, block, given, said.0) {
            Some((entry, text)) => (entry, Some(text), None),
            None => {
                run.entry((output, source), said, (block < run.lossy_blocks, steps), &shown.earlier, memo)
            }
        };
        let entry = Arc::new(entry);
        run.add(shown, (output, source), &entry, forwarded.as_deref(), lines);
        memo.remember_block(key, Arc::clone(&entry));
        self.add(run, output, (entry, false), memo);
    }

    fn add(&mut self, run: &Run<'_, '_>, output: &Output, entry: (Arc<Entry>, bool), memo: &mut Memo) {
        self.prefix.add(entry.0.tokens_after);
        let block = self.entries.len();
        self.given.add(block, &entry.0);
        if run.is_prose(block, output, &entry.0)
            && let Some(text) = output.span.text(run.walk.body)
        {
            let address: Arc<str> = address(&text).into();
            self.given.add_address(block, Arc::clone(&address));
            self.prose.push((block, address));
        }
        self.entries.push(entry);
        if let Some(fold) = &mut self.fold {
            let before = fold.digest();
            fold.add(&run.scene(&self.entries), output, memo);
            if fold.digest() != before {
                self.given.add_taken(fold.taken());
            }
        }
    }
}
