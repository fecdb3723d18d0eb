//! Epochs: old tool outputs that are rewritten at boundaries of a conversation.
//!
//! A conversation is read from its start, value by value. Each time its tokens, counted as if no output had been
//! rewritten, pass a multiple of `step_tokens`, there is a boundary: reads of files that were edited or read again are
//! replaced by markers, and if the conversation is longer than its window, the least important outputs go too. What
//! happens at a boundary depends only on what stands before it, so every later request gives the same result, and between
//! two boundaries each request begins with the previous one (I3). After a boundary no form refers to what stands before it.
//!
//! A call keeps its result. Only the result's text goes, and a marker with the address of all of it takes its place (I5).
//! An output stays if another one that stays refers to it (I8). Nothing happens if the saving is smaller than the price
//! of writing the provider's cache again.

mod reads;
pub(crate) mod unit;

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use headroom_providers::sort;
use headroom_providers::string;
use headroom_providers::tape::Span;
use headroom_providers::walk::{Output, Reading, Role, Walk};
use xxhash_rust::xxh3::Xxh3;

use crate::ccr;
use crate::config::{Epochs, Weights};
use crate::memo::{Entry, Memo};
use crate::outcome::{BlockOutcome, Compressor};
use crate::rewritten::{RewriteHistory, Strategy};
use crate::tool::glob_matches;
use crate::working_directory::is_accounting;
use reads::{Files, Obsolescence};
use unit::{Unit, Utterances, ends, semantic};

/// An output that is replaced.
#[derive(Clone, Debug)]
pub(crate) struct FoldedOutput {
    pub(crate) compressor: Compressor,
    /// The replacement as a JSON string.
    pub(crate) replacement: Box<str>,
    /// What its marker says.
    pub(crate) description: Arc<str>,
    pub(crate) address: Arc<str>,
    pub(crate) tokens: u32,
}

impl FoldedOutput {
    pub(crate) fn outcome(&self) -> BlockOutcome {
        BlockOutcome::Compressed { compressor: self.compressor, lossy: true }
    }
}

/// An output so far.
#[derive(Debug)]
struct SeenOutput {
    /// Tokens before it.
    before: u64,
    /// The model's turn in which it was asked for.
    turn: u32,
    call: Option<usize>,
    span: Span,
}

/// How the conversation is read.
#[derive(Debug)]
pub(crate) struct Fold {
    config: Epochs,
    read_percent: u64,
    write_percent: u64,
    /// Tokens so far, without what was saved.
    total: u64,
    /// Those of readings and outputs before are counted.
    readings: usize,
    blocks: Vec<SeenOutput>,
    taken: Vec<Option<Arc<FoldedOutput>>>,
    turn: u32,
    is_models_turn: bool,
    /// Where the model's last turn begins.
    turn_start: usize,
    /// Where the last compaction ends, and the first output behind it.
    since: usize,
    floor: usize,
    /// Where the last rewrite happened in the body.
    from: usize,
    /// Where the last value so far ends.
    end: usize,
    digest: u64,
    files: Files,
    /// The calls that have had an output.
    answered: HashSet<usize, FixedState>,
    said: Utterances,
    rewritten: RewriteHistory,
}

/// What a fold looks at.
pub(crate) struct Scene<'s, 'b> {
    pub(crate) walk: &'s Walk<'b>,
    /// Of the outputs only so many may be lossy.
    pub(crate) lossy_blocks: usize,
    pub(crate) entries: &'s [(Arc<Entry>, bool)],
    /// Counts the tokens of a value, and of a text.
    pub(crate) count_span: fn(Span, &str, &mut Memo) -> u32,
    pub(crate) count_text: fn(&str, &mut Memo) -> u32,
}

/// Boundaries in one request. A conversation of the default step has a hundred at 2.5 million tokens.
const MAX_BOUNDARIES: u32 = 256;
/// Outputs that are weighed at one boundary, the oldest first.
const MAX_WEIGHED: usize = 4_096;
/// A conversation is expected to go on for one turn for each of so many that it has had. By the recorded runs (example
/// `epochs`): expecting as many as it has had, the bill grew by up to 10 % at a read price of 10 %.
const TURNS_HAD: u64 = 5;
/// Turns that a conversation is expected to go on for, at most.
const MAX_TURNS: u64 = 50;
/// How often outputs of a tool are asked back about which nothing is known. Percent.
const UNKNOWN_RATE: u64 = 50;
/// A replacement has to save so many tokens: a marker is one more thing to read.
const LEAST_SAVED: u32 = 48;
/// Lines that stay at either end of an output that is shortened.
const END_LINES: usize = 8;
/// Behind this share of the window outputs are dropped, in percent.
const COMPRESS_PERCENT: u64 = 10;

impl Fold {
    /// Begins with a model's prices; `None` where nothing may be rewritten.
    pub(crate) fn new(config: &Epochs, walk: &Walk<'_>, model: &str, lossy_blocks: usize) -> Option<Self> {
        if walk.may_reason || walk.clears_outputs || lossy_blocks == 0 || config.step_tokens == 0 {
            return None;
        }
        let price = config.prices.iter().find(|price| glob_matches(&price.model, model));
        let (read, write) = price.map_or((10, 125), |price| (price.read_percent, price.write_percent));
        Some(Self {
            config: config.clone(),
            read_percent: read.into(),
            write_percent: write.into(),
            total: 0,
            readings: 0,
            blocks: Vec::new(),
            taken: Vec::new(),
            turn: 0,
            is_models_turn: false,
            turn_start: 0,
            since: 0,
            floor: 0,
            from: 0,
            end: 0,
            digest: 0,
            files: Files::default(),
            answered: HashSet::default(),
            said: Utterances::default(),
            rewritten: RewriteHistory::default(),
        })
    }

    /// Where the last rewrite happened, so far: references do not go beyond it.
    pub(crate) fn from(&self) -> usize {
        self.from
    }

    /// All that was decided so far, as one number.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// What stands for each output.
    pub(crate) fn taken(&self) -> &[Option<Arc<FoldedOutput>>] {
        &self.taken
    }

    /// How old outputs were rewritten.
    pub(crate) fn rewritten(&self) -> RewriteHistory {
        let count = |compressor| {
            let taken = self.taken.iter().flatten().filter(|taken| taken.compressor == compressor);
            u32::try_from(taken.count()).unwrap_or(u32::MAX)
        };
        RewriteHistory {
            stale: count(Compressor::StaleRead),
            superseded: count(Compressor::SupersededRead),
            shortened: count(Compressor::Shortened),
            dropped: count(Compressor::Dropped),
            now: self.from > self.turn_start,
            ..self.rewritten.clone()
        }
    }

    /// Takes in what stands before the next output.
    pub(crate) fn before(&mut self, scene: &Scene<'_, '_>, output: &Output, memo: &mut Memo) {
        if self.since != output.since {
            self.since = output.since;
            self.total = 0;
            self.floor = self.blocks.len();
        }
        self.read(scene, output.readings, memo);
    }

    /// Takes in what stands behind the last output.
    pub(crate) fn finish(&mut self, scene: &Scene<'_, '_>, memo: &mut Memo) {
        self.read(scene, scene.walk.readings.len(), memo);
    }

    fn read(&mut self, scene: &Scene<'_, '_>, until: usize, memo: &mut Memo) {
        let new = scene.walk.readings.iter().enumerate().take(until).skip(self.readings);
        self.readings = self.readings.max(until);
        for (at, reading) in new.filter(|(_, reading)| reading.role != Role::Tools) {
            let body = scene.walk.body;
            // Agents write these again for each request: a text that comes and goes moves no boundary.
            let passes = is_accounting(reading, body)
                || reading.role == Role::User && at >= scene.walk.opening && reading.is_reminder(body);
            if reading.span.range().start >= self.since && !passes {
                self.add_reading(scene, reading, memo);
            }
        }
    }

    fn add_reading(&mut self, scene: &Scene<'_, '_>, reading: &Reading, memo: &mut Memo) {
        let is_models = reading.role == Role::Assistant;
        if is_models && !self.is_models_turn {
            self.turn += 1;
            self.turn_start = reading.span.range().start;
        }
        self.is_models_turn = is_models;
        if reading.steers(scene.walk.body) {
            self.said.add(reading.span, self.turn);
        }
        self.pass((scene.count_span)(reading.span, scene.walk.body, memo), reading.span, scene, memo);
    }

    /// Takes in an output, the last of the scene's entries.
    pub(crate) fn add(&mut self, scene: &Scene<'_, '_>, output: &Output, memo: &mut Memo) {
        let Some((entry, _)) = scene.entries.last() else { return };
        self.is_models_turn = false;
        let call = output.call.filter(|call| !call.by_program);
        let number = call.and_then(|call| call.number);
        // Of a result with several texts the first stands for all.
        let is_further = number.is_some_and(|number| !self.answered.insert(number));
        if let Some(call) = call.filter(|_| !is_further) {
            let refused =
                || output.span.text(scene.walk.body).is_some_and(|answer| reads::is_refusal(&answer));
            self.files.add((self.blocks.len(), self.turn), call.texts(scene.walk.body), entry, refused);
        }
        self.blocks.push(SeenOutput { before: self.total, turn: self.turn, call: number, span: output.span });
        self.taken.push(None);
        self.pass(entry.tokens_after, output.span, scene, memo);
    }

    /// Counts a value, behind which there may be a boundary.
    fn pass(&mut self, tokens: u32, span: Span, scene: &Scene<'_, '_>, memo: &mut Memo) {
        let step = u64::from(self.config.step_tokens);
        let passed = self.total / step;
        self.total += u64::from(tokens);
        self.end = span.range().end;
        if self.total / step == passed
            || self.rewritten.boundaries >= MAX_BOUNDARIES
            // The model may have been sent what follows when it had no tools.
            || self.blocks.len() > scene.lossy_blocks
        {
            return;
        }
        self.rewritten.boundaries += 1;
        self.rewrite(scene, memo);
    }

    /// What is done at a boundary.
    fn rewrite(&mut self, scene: &Scene<'_, '_>, memo: &mut Memo) {
        self.rewritten.strategy = Strategy::None;
        self.rewritten.unpaid = Strategy::None;
        let mut plan = Plan::new(self, scene);
        if self.config.read_lifecycle {
            plan.replace_reads(memo);
        }
        let mut plans = vec![(Strategy::ReadLifecycle, plan.clone())];
        if self.config.intelligent_context {
            let strategy = plan.make_room(memo);
            if strategy != Strategy::None {
                plans.insert(0, (strategy, plan));
            }
        }
        let wanted = plans.iter().find(|(_, plan)| plan.saves() > 0).map(|(strategy, _)| *strategy);
        let chosen =
            plans.into_iter().find(|(_, plan)| plan.pays()).map(|(strategy, plan)| (strategy, plan.taken));
        let Some((strategy, taken)) = chosen else {
            self.rewritten.unpaid = wanted.unwrap_or_default();
            return;
        };
        self.taken = taken;
        self.rewritten.strategy = strategy;
        self.rewritten.epochs += 1;
        self.rewritten.saved = saved(&self.taken, scene.entries, 0..self.taken.len());
        self.from = self.end;
        let mut digest = Xxh3::with_seed(self.digest);
        for (block, taken) in self.taken.iter().enumerate() {
            if let Some(taken) = taken {
                digest.update(&block.to_le_bytes());
                digest.update(taken.replacement.as_bytes());
            }
        }
        self.digest = digest.digest();
    }
}

/// What the replacements of some outputs save.
fn saved(
    taken: &[Option<Arc<FoldedOutput>>],
    entries: &[(Arc<Entry>, bool)],
    blocks: std::ops::Range<usize>,
) -> u64 {
    let pairs = taken.iter().zip(entries).skip(blocks.start).take(blocks.len());
    let each = pairs.filter_map(|(taken, (entry, _))| {
        Some(u64::from(entry.tokens_after.saturating_sub(taken.as_ref()?.tokens)))
    });
    each.sum()
}

/// What might be done at a boundary.
#[derive(Clone)]
struct Plan<'p, 's, 'b> {
    fold: &'p Fold,
    scene: &'p Scene<'s, 'b>,
    taken: Vec<Option<Arc<FoldedOutput>>>,
    /// The first output that has changed.
    first: usize,
}

impl<'p, 's, 'b> Plan<'p, 's, 'b> {
    fn new(fold: &'p Fold, scene: &'p Scene<'s, 'b>) -> Self {
        Self { fold, scene, taken: fold.taken.clone(), first: usize::MAX }
    }

    fn entry(&self, block: usize) -> Option<&'p Entry> {
        self.scene.entries.get(block).map(|(entry, _)| &**entry)
    }

    /// Tokens that it saves more than what was done before.
    fn saves(&self) -> u64 {
        let all = 0..self.taken.len();
        let before = saved(&self.fold.taken, self.scene.entries, all.clone());
        saved(&self.taken, self.scene.entries, all).saturating_sub(before)
    }

    /// Whether what it saves, in this request and in those that are expected to follow, is more than what it costs that
    /// the provider has to write the rest into its cache again.
    fn pays(&self) -> bool {
        let Some(first) = self.fold.blocks.get(self.first) else { return false };
        let behind = saved(&self.taken, self.scene.entries, self.first..self.taken.len());
        let rest = self.fold.total.saturating_sub(first.before).saturating_sub(behind);
        pays(self.saves(), rest, self.fold.turn, (self.fold.read_percent, self.fold.write_percent))
    }

    /// Whether an output may go: it is behind the last compaction and before the last turns.
    fn is_old(&self, block: usize) -> bool {
        let seen = self.fold.blocks.get(block);
        block >= self.fold.floor
            && seen
                .is_some_and(|seen| seen.turn.saturating_add(self.fold.config.keep_turns) <= self.fold.turn)
    }

    /// The calls to whose outputs those refer that stay.
    fn pinned(&self) -> Vec<usize> {
        let staying = self.scene.entries.iter().zip(&self.taken).filter(|(_, taken)| taken.is_none());
        let mut pinned: Vec<usize> =
            staying.flat_map(|((entry, _), _)| entry.refers.iter().copied()).collect();
        pinned.sort_unstable();
        pinned.dedup();
        pinned
    }

    /// Replaces reads of files that are of no use any more.
    fn replace_reads(&mut self, memo: &mut Memo) {
        let pinned = self.pinned();
        for (block, fate) in self.fold.files.fates() {
            let call = self.fold.blocks.get(block).and_then(|seen| seen.call);
            let is_pinned = call.is_none_or(|call| pinned.binary_search(&call).is_ok());
            // Of a result with several texts the others would stay.
            let is_part = self.fold.blocks.get(block + 1).is_some_and(|next| next.call == call);
            if is_pinned
                || is_part
                || !self.is_old(block)
                || self.taken.get(block).is_none_or(Option::is_some)
            {
                continue;
            }
            let (compressor, why) = match fate {
                Obsolescence::Stale => (Compressor::StaleRead, "read of a file that was edited later"),
                Obsolescence::Superseded => {
                    (Compressor::SupersededRead, "read of a file that was read again later")
                }
            };
            self.replace(block, compressor, why, None, memo);
        }
    }

    /// Shortens or drops outputs until the conversation has room for one step more.
    fn make_room(&mut self, memo: &mut Memo) -> Strategy {
        let config = &self.fold.config;
        let room = u64::from(config.window_tokens.saturating_sub(config.step_tokens)).max(1);
        let all = 0..self.taken.len();
        let length = |plan: &Self| {
            plan.fold.total.saturating_sub(saved(&plan.taken, plan.scene.entries, plan.fold.floor..all.end))
        };
        let mut over = length(self).saturating_sub(room);
        if over == 0 {
            return Strategy::None;
        }
        let order = self.by_score();
        let mut strategy = Strategy::DropByScore;
        if over.saturating_mul(100) < room.saturating_mul(COMPRESS_PERCENT) {
            strategy = Strategy::CompressFirst;
            let pinned = self.pinned();
            for (block, call) in &order {
                if over == 0 {
                    return strategy;
                }
                if pinned.binary_search(call).is_err() {
                    over = over.saturating_sub(self.shorten(*block, memo).into());
                }
            }
        }
        if over == 0 {
            return strategy;
        }
        // One that goes may free those that it refers to.
        for _ in 0..4 {
            let pinned = self.pinned();
            let before = over;
            for (block, call) in &order {
                if over == 0 {
                    return Strategy::DropByScore;
                }
                if pinned.binary_search(call).is_err() {
                    let why = "old output";
                    let saved = self.replace(*block, Compressor::Dropped, why, None, memo);
                    over = over.saturating_sub(saved.into());
                }
            }
            if over == before {
                break;
            }
        }
        if self.taken.iter().flatten().any(|taken| taken.compressor == Compressor::Dropped) {
            Strategy::DropByScore
        } else {
            strategy
        }
    }

    /// Old outputs with the number of their call, the least important first; the older first of those that are alike.
    fn by_score(&self) -> Vec<(usize, usize)> {
        let recent = self.fold.said.words(self.scene.walk.body, self.fold.turn, self.fold.config.keep_turns);
        let old =
            (self.fold.floor..self.taken.len()).filter(|block| self.is_old(*block)).filter_map(|block| {
                let unit = self.entry(block)?.unit.as_deref()?;
                Some((block, self.fold.blocks.get(block)?.call?, unit))
            });
        let mut scored: Vec<(u64, usize, usize)> = old
            .take(MAX_WEIGHED)
            .map(|(block, call, unit)| (self.score(block, unit, &recent), block, call))
            .collect();
        sort::ascending(&mut scored);
        scored.into_iter().map(|(_, block, call)| (block, call)).collect()
    }

    /// How important an output is, in thousandths of the sum of the weights.
    fn score(&self, block: usize, unit: &Unit, recent: &[u32]) -> u64 {
        let Weights {
            recency,
            semantic_similarity,
            retrieval_rate,
            error_indicators,
            forward_references,
            token_density,
        } = self.fold.config.weights;
        let turn = self.fold.blocks.get(block).map_or(0, |seen| seen.turn);
        let tool = self.entry(block).map_or("", |entry| &*entry.tool);
        let asked = self.fold.config.asked_back.iter().find(|it| glob_matches(&it.tool, tool));
        let rate = asked.map_or(UNKNOWN_RATE, |it| u64::from(it.percent).min(100)) * 10;
        let parts = [
            (recency, decayed(self.fold.turn.saturating_sub(turn))),
            (semantic_similarity, semantic(unit, recent)),
            (retrieval_rate, rate),
            (error_indicators, if unit.fails { 1_000 } else { 0 }),
            (forward_references, self.fold.files.references(block).min(3) * 1_000 / 3),
            (token_density, u64::from(unit.density)),
        ];
        parts
            .iter()
            .map(|(weight, part)| u64::from(*weight).saturating_mul(*part))
            .fold(0, u64::saturating_add)
    }

    /// Leaves the middle of an output out. The tokens that this saves.
    fn shorten(&mut self, block: usize, memo: &mut Memo) -> u32 {
        let unit = self.entry(block).and_then(|entry| entry.unit.as_deref());
        if unit.is_none_or(|unit| unit.fails || unit.lines < 4 * END_LINES as u32)
            || self.taken.get(block).is_none_or(Option::is_some)
        {
            return 0;
        }
        let text = self.fold.blocks.get(block).and_then(|seen| seen.span.text(self.scene.walk.body));
        let Some((head, tail)) = text.as_deref().and_then(|text| ends(text, END_LINES)) else { return 0 };
        self.replace(block, Compressor::Shortened, "old output", Some((head, tail)), memo)
    }

    /// Replaces an output. The tokens that this saves.
    fn replace(
        &mut self,
        block: usize,
        compressor: Compressor,
        what: &str,
        kept: Option<(&str, &str)>,
        memo: &mut Memo,
    ) -> u32 {
        let Some(entry) = self.entry(block) else { return 0 };
        let Some(unit) = entry.unit.as_deref() else { return 0 };
        let now = match self.taken.get(block) {
            Some(None) => entry.tokens_after,
            // What is shortened may be dropped later. What is dropped is.
            Some(Some(taken)) if taken.compressor == Compressor::Shortened => taken.tokens,
            _ => return 0,
        };
        let lines = match (unit.lines, kept) {
            (1, _) => "its line is left out".to_owned(),
            (lines, None) => format!("its {lines} lines are left out"),
            (lines, Some(_)) => {
                format!("of its {lines} lines all but the first and the last {END_LINES} are left out")
            }
        };
        let description = format!("{what}: {lines}");
        let mut text = kept.map(|(head, tail)| format!("{head}\n[…]\n{tail}")).unwrap_or_default();
        ccr::append_marker(&mut text, &description, &unit.address);
        let tokens = (self.scene.count_text)(&text, memo);
        let saved = now.saturating_sub(tokens);
        if saved < LEAST_SAVED {
            return 0;
        }
        let mut replacement = String::new();
        string::encode_into(&text, &mut replacement);
        let taken = FoldedOutput {
            compressor,
            replacement: replacement.into_boxed_str(),
            description: description.into(),
            address: Arc::clone(&unit.address),
            tokens,
        };
        if let Some(place) = self.taken.get_mut(block) {
            *place = Some(Arc::new(taken));
            self.first = self.first.min(block);
        }
        saved
    }
}

/// Whether tokens that are never read again pay for `rest`, which is written again. The prices are of reading and writing.
fn pays(saves: u64, rest: u64, turns: u32, (read, write): (u64, u64)) -> bool {
    let turns = (u64::from(turns) / TURNS_HAD).min(MAX_TURNS) + 1;
    saves.saturating_mul(read).saturating_mul(turns) > rest.saturating_mul(write.saturating_sub(read))
}

/// `e^(-turns/10)` in thousandths, as upstream weighs age, in whole numbers: the same on every machine.
fn decayed(turns: u32) -> u64 {
    // e^-0.1 is 0.904837.
    (0..turns.min(100)).fold(1_000_000_u64, |value, _| value * 904_837 / 1_000_000) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_has_to_pay_within_a_fifth_of_the_turns_that_were() {
        let (claude, gpt, uncached) = ((10, 125), (10, 100), (100, 100));
        // half goes: eleven turns have to follow at the first prices, nine at the second
        assert!(!pays(1_000, 1_000, 54, claude) && pays(1_000, 1_000, 55, claude));
        assert!(!pays(1_000, 1_000, 44, gpt) && pays(1_000, 1_000, 45, gpt));
        // of a conversation without end fifty are expected
        assert!(pays(1_000, 4_434, 250, claude) && !pays(1_000, 4_435, u32::MAX, claude));
        assert!(pays(1, u64::MAX, 0, uncached) && !pays(0, 0, u32::MAX, uncached));
        assert!(!pays(u64::MAX, u64::MAX, u32::MAX, (0, u64::MAX)));
    }
}
