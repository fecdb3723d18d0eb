//! Blocks of lines that come again with other values: the resources of a plan, the entries of a list.
//!
//! ```text
//! [headroom: nothing left out. A line "A x y" stands for the lines of block A, with x for <1> and y for <2>]
//! A, 4 lines:
//!   # disk.web[<1>] will be created
//!   + resource "disk" "web" {
//!       + name = "<2>"
//!     }
//! [the output:]
//! A 0 web-0
//! A 1 web-1
//! ```
//!
//! Every line of the output stands there as it was printed, or in a block. A block whose values differ where those of
//! nearly all others agree stays as printed, and so does one with a line that reports a failure: a reader looks for
//! what is different. The inverse in the tests gives back every byte.

#![allow(clippy::indexing_slicing, reason = "lines are numbered by the list that they stand in")]

use hashbrown::HashMap;
use headroom_providers::sort;

use crate::kinds::failure;
use crate::kinds::shorten::free_tags;
use crate::kinds::wording::{self, mark_holes};
use crate::kinds::words::words;
use crate::seeded::Seeded;
use crate::work;

/// Shorter texts cannot pay for the explanation.
const FEWEST_LINES: usize = 12;

/// The signs of resources in a plan that reach to the left of others, and the column of the others.
const SIGNS: &[&str] = &["-/+ ", "+/- ", " <= "];
const SIGN_DEPTH: usize = 2;

/// A block stands in so many places at least.
const FEWEST_USES: usize = 3;

/// Lines of a block.
const FEWEST_BLOCK_LINES: usize = 2;
const MOST_BLOCK_LINES: usize = 64;

/// Blocks that a reader keeps in mind, and how many are tried.
const MOST_BLOCKS: usize = 6;
const MOST_TRIES: usize = 8;

/// Values of a block that a reader places, and words that may differ, some of them in the same way.
const MOST_VALUES: usize = 6;
const MOST_HOLES: usize = 24;

/// Bytes that a block has to save.
const LEAST_GAIN: usize = 60;

/// Sequences of lines of which the best are looked at.
const CANDIDATES: usize = 64;

/// Lines in the middle of a text of more than twice as many. Where these save less than half of what is asked for, the
/// text is not read: what consists of blocks does so everywhere.
const SAMPLE: usize = 200;

/// Where so many percent of the blocks agree in a word, the others stay as printed: at most so many percent of all.
const AGREEING: usize = 90;
const FEWEST_AGREEING: usize = 80;

/// Lines on either side of one that reports a failure that may belong to it.
const MOST_BELONGING: usize = 64;

/// What a value's number stands between; the first that no number of the text stands in is used.
const MARKS: &[(&str, &str)] = &[("<", ">"), ("‹", "›"), ("{", "}"), ("«", "»")];

/// The line behind the blocks.
const OUTPUT: &str = "[the output:]";

/// A text in which lines stand for blocks.
pub(super) struct Form {
    /// What the lines stand for.
    pub(super) sentence: String,
    /// The blocks, then the text.
    pub(super) body: String,
}

/// The text with its blocks stated once, where that may save `least_saved` percent.
pub(super) fn form(
    text: &str,
    around: &str,
    fails: impl Fn(&str) -> bool,
    least_saved: usize,
) -> Option<Form> {
    let (bare, end) = text.strip_suffix('\n').map_or((text, ""), |bare| (bare, "\n"));
    let lines = split(bare);
    if lines.len() < FEWEST_LINES || lines.contains(&OUTPUT) {
        return None;
    }
    let middle = (lines.len() / 2).saturating_sub(SAMPLE / 2);
    if lines.len() > 2 * SAMPLE
        && let Some(sample) = lines.get(middle..middle + SAMPLE)
    {
        repeated(sample, least_saved / 2, true)?;
    }
    let (sequences, candidates) = repeated(&lines, least_saved, false)?;
    let (open, close) = *MARKS.iter().find(|(open, _)| !has_numbered(text, open))?;
    let mut taken = whole_lines(&lines, fails);
    let blocks = choose(&lines, &sequences, &candidates, &mut taken, false);
    if blocks.is_empty() {
        return None;
    }
    let tags = free_tags(&lines, around, blocks.len());
    let named = || blocks.iter().zip(&tags);
    let mut body = String::with_capacity(text.len());
    for (block, tag) in named() {
        body.push_str(&format!("{tag}, {} lines:\n", block.count));
        block.push_stated(&mut body, &lines, open, close);
    }
    body.push_str(OUTPUT);
    let mut starts: Vec<(usize, &Block, &str)> = Vec::new();
    for (block, tag) in named() {
        starts.extend(block.starts.iter().map(|start| (*start, block, tag.as_str())));
    }
    sort::by_key(&mut starts, |(start, ..)| *start);
    let mut at = 0;
    for (start, block, tag) in starts {
        for line in lines.get(at..start).unwrap_or_default() {
            push_line(&mut body, line);
        }
        push_line(&mut body, tag);
        for value in block.values(&lines, start) {
            body.push(' ');
            body.push_str(value);
        }
        at = start + block.count;
    }
    for line in lines.get(at..).unwrap_or_default() {
        push_line(&mut body, line);
    }
    body.push_str(end);
    Some(Form { sentence: sentence(&blocks, &tags, open, close), body })
}

/// What is repeated in these lines, where blocks of it may save so many percent of them. Which lines report a failure
/// is not asked: it takes longer than the rest, and most texts save too little as it is. `torn`: the lines are cut out of a
/// text, so the first and the last block may be, too.
fn repeated(lines: &[&str], least_saved: usize, torn: bool) -> Option<(Sequences, Vec<Candidate>)> {
    let sequences = Sequences::of(lines);
    let candidates = sequences.candidates();
    if candidates.is_empty() {
        return None;
    }
    let blocks = choose(lines, &sequences, &candidates, &mut vec![false; lines.len()], torn);
    let gain: usize = blocks.iter().map(|block| block.gain).sum();
    let bytes = sequences.bytes.last().copied().unwrap_or_default();
    (gain * 100 >= bytes.saturating_sub(1) * least_saved).then_some((sequences, candidates))
}

/// ` A line "A x y" stands for the lines of block A, with x for <1> and y for <2>; so do B and C.`
fn sentence(blocks: &[Block], tags: &[String], open: &str, close: &str) -> String {
    const NAMES: [&str; MOST_VALUES] = ["x", "y", "z", "u", "v", "w"];
    let most = blocks.iter().map(Block::value_count).max().unwrap_or_default();
    let named = || blocks.iter().zip(tags);
    let Some(shown) = named().position(|(block, _)| block.value_count() == most) else {
        return String::new();
    };
    let tag = tags.get(shown).map_or("", String::as_str);
    let names = NAMES.get(..most).unwrap_or_default();
    let mut out = format!(" A line \"{tag}");
    for name in names {
        out.push(' ');
        out.push_str(name);
    }
    out.push_str(&format!("\" stands for the lines of block {tag}"));
    let values = names.iter().enumerate().map(|(at, name)| format!("{name} for {open}{}{close}", at + 1));
    if most > 0 {
        out.push_str(", with ");
        out.push_str(&listed(&values.collect::<Vec<_>>()));
    }
    let others: Vec<&str> = named().map(|(_, tag)| tag.as_str()).filter(|other| *other != tag).collect();
    match others.len() {
        0 => {}
        1 => out.push_str("; so does "),
        _ => out.push_str("; so do "),
    }
    out.push_str(&listed(&others));
    out
}

/// `a, b and c`.
fn listed(parts: &[impl AsRef<str>]) -> String {
    let mut out = String::new();
    for (at, part) in parts.iter().enumerate() {
        out.push_str(match at {
            0 => "",
            _ if at + 1 == parts.len() => " and ",
            _ => ", ",
        });
        out.push_str(part.as_ref());
    }
    out
}

/// The lines of a text.
fn split(text: &str) -> Vec<&str> {
    let mut from = 0;
    let ends = memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]);
    let lines = ends.map(|end| {
        let line = text.get(from..end).unwrap_or_default();
        from = end + 1;
        line
    });
    lines.collect()
}

fn push_line(out: &mut String, line: &str) {
    out.push('\n');
    out.push_str(line);
}

/// The lines that stay as they are: those that report a failure, with what belongs to them.
fn whole_lines(lines: &[&str], fails: impl Fn(&str) -> bool) -> Vec<bool> {
    let failures: Vec<bool> = lines.iter().map(|line| fails(line)).collect();
    let text = |line: usize| lines.get(line).copied().unwrap_or_default();
    failure::with_belongings(&failures, text, |_| false, MOST_BELONGING)
}

/// Whether a digit stands behind a mark somewhere.
fn has_numbered(text: &str, open: &str) -> bool {
    memchr::memmem::find_iter(text.as_bytes(), open)
        .any(|at| text.as_bytes().get(at + open.len()).is_some_and(u8::is_ascii_digit))
}

/// The lines of a text by what they say apart from their values, and sequences of them.
struct Sequences {
    /// Lines with one number say the same with other values, or the very same.
    ids: Vec<u32>,
    /// The next line with the same number.
    next: Vec<usize>,
    /// The end of the sequence that begins with a line: where it comes again, or a line that has no others like it.
    ends: Vec<usize>,
    /// How far each is indented; blank ones lie deepest.
    depths: Vec<usize>,
    /// Of the lines before each: a hash of the sequence, a sum that does not know their order, their bytes.
    hashes: Vec<u64>,
    sums: Vec<u64>,
    bytes: Vec<usize>,
}

/// A sequence that comes again.
#[derive(Clone, Copy)]
struct Candidate {
    first: usize,
    count: usize,
    uses: usize,
}

/// What the hash of a sequence is multiplied with for each line behind.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

impl Sequences {
    fn of(lines: &[&str]) -> Self {
        let ids = ids(lines);
        let numbers = ids.iter().max().map_or(0, |most| *most as usize + 1);
        let mut counts = vec![0usize; numbers];
        for id in &ids {
            counts[*id as usize] += 1;
        }
        let end = lines.len();
        let (mut next, mut ends) = (vec![end; end], vec![end; end]);
        let mut newest = vec![end; numbers];
        let mut rare = end;
        for at in (0..end).rev() {
            let id = ids[at] as usize;
            next[at] = std::mem::replace(&mut newest[id], at);
            if counts[id] < FEWEST_USES {
                rare = at;
            }
            ends[at] = next[at].min(rare);
        }
        let depth = |line: &&str| match line.len() - line.trim_start().len() {
            depth if depth == line.len() => usize::MAX,
            // The signs of a plan stand before the line's own column.
            _ if SIGNS.iter().any(|sign| line.starts_with(sign)) => SIGN_DEPTH,
            depth => depth,
        };
        let depths = lines.iter().map(depth).collect();
        let (mut hashes, mut sums, mut bytes) = (vec![0u64], vec![0u64], vec![0usize]);
        let (mut hash, mut sum, mut size) = (0u64, 0u64, 0usize);
        for (id, line) in ids.iter().zip(lines) {
            let own = mixed(*id);
            hash = hash.wrapping_mul(BASE).wrapping_add(own);
            sum = sum.wrapping_add(own);
            size += line.len() + 1;
            hashes.push(hash);
            sums.push(sum);
            bytes.push(size);
        }
        Self { ids, next, ends, depths, hashes, sums, bytes }
    }

    /// A hash of the lines from one on.
    fn hash(&self, first: usize, count: usize) -> Option<u64> {
        let factor = BASE.wrapping_pow(u32::try_from(count).ok()?);
        Some(self.hashes.get(first + count)?.wrapping_sub(self.hashes[first].wrapping_mul(factor)))
    }

    /// The sequences that come often enough, those that stand for most bytes first.
    fn candidates(&self) -> Vec<Candidate> {
        let mut places: HashMap<(u64, usize), usize, Seeded> = HashMap::default();
        let mut found: Vec<Candidate> = Vec::new();
        for (first, end) in self.ends.iter().enumerate() {
            let count = end.saturating_sub(first);
            if !(FEWEST_BLOCK_LINES..=MOST_BLOCK_LINES).contains(&count) {
                continue;
            }
            let Some(hash) = self.hash(first, count) else { continue };
            let place = *places.entry((hash, count)).or_insert(found.len());
            match found.get_mut(place) {
                Some(known) => known.uses += 1,
                None => found.push(Candidate { first, count, uses: 1 }),
            }
        }
        found.retain(|found| {
            found.uses >= FEWEST_USES
                && self.size(found) * (found.uses - 1) > LEAST_GAIN
                && self.is_of_one(found)
        });
        sort::by_key(&mut found, |found| (usize::MAX - self.size(found) * (found.uses - 1), found.first));
        found.truncate(CANDIDATES);
        found
    }

    fn size(&self, found: &Candidate) -> usize {
        self.bytes[found.first + found.count] - self.bytes[found.first]
    }

    /// Whether two sequences are the same lines that begin elsewhere.
    fn is_turned(&self, one: &Candidate, other: &Candidate) -> bool {
        let sum = |it: &Candidate| self.sums[it.first + it.count].wrapping_sub(self.sums[it.first]);
        one.count == other.count && one.uses <= other.uses + 1 && sum(one) == sum(other)
    }

    /// Whether a sequence begins with a line, and goes on with none that lies further out: that would belong to what
    /// comes next.
    fn is_of_one(&self, found: &Candidate) -> bool {
        let depths = self.depths.get(found.first..found.first + found.count).unwrap_or_default();
        depths.first().is_some_and(|first| *first < usize::MAX && depths.iter().all(|depth| depth >= first))
    }

    /// How little a sequence looks as if something began with it: something does between blank lines, and with a line
    /// that stands out.
    fn strangeness(&self, found: &Candidate) -> usize {
        let first = self.depths.get(found.first).copied().unwrap_or_default();
        let others = self.depths.get(found.first + 1..found.first + found.count).unwrap_or_default();
        let before = found.first.checked_sub(1).map(|before| self.depths.get(before).copied());
        match (before, others.last()) {
            (None | Some(Some(usize::MAX)), Some(&usize::MAX)) => 0,
            _ if others.iter().all(|depth| *depth > first) => 1,
            _ => 2,
        }
    }

    /// Whether what a sequence shows may be the end of one thing and the beginning of the next: lines like its own stand
    /// before its first place, but not as many, or behind its last one. Their values would be read as those of one thing.
    fn may_be_torn(&self, found: &Candidate, starts: &[usize], taken: &[bool]) -> bool {
        let strangeness = self.strangeness(found);
        let own = self.ids.get(found.first..found.first + found.count).unwrap_or_default();
        let is_own = |line: &usize| self.ids.get(*line).is_some_and(|id| own.contains(id));
        let (Some(first), Some(last)) = (starts.first(), starts.last()) else { return true };
        let before =
            (0..*first).rev().take_while(|line| is_own(line) && !taken[*line]).take(found.count).count();
        strangeness > 0 && (1..found.count).contains(&before)
            || strangeness > 1 && is_own(&(last + found.count))
    }

    /// Where a sequence stands, beside what is taken.
    fn places(&self, found: &Candidate, taken: &[bool]) -> Vec<usize> {
        let hash = self.hash(found.first, found.count);
        let (mut places, mut at, mut free) = (Vec::new(), found.first, 0);
        while at < self.ids.len() {
            let is_free =
                at >= free && taken.get(at..at + found.count).is_some_and(|taken| !taken.contains(&true));
            if is_free && self.hash(at, found.count) == hash {
                places.push(at);
                free = at + found.count;
            }
            at = self.next[at];
        }
        places
    }
}

/// A number for each line.
fn ids(lines: &[&str]) -> Vec<u32> {
    let groups = wording::group(lines.iter().map(|line| (*line, 0)), FEWEST_USES);
    let mut exact: HashMap<&str, u32, Seeded> = HashMap::default();
    let mut next = u32::try_from(groups.all().len()).unwrap_or(u32::MAX);
    let ids = lines.iter().enumerate().map(|(at, line)| {
        let group = groups.of(at).and_then(|group| u32::try_from(group).ok());
        group.unwrap_or_else(|| {
            *exact.entry(*line).or_insert_with(|| {
                next = next.saturating_add(1);
                next - 1
            })
        })
    });
    ids.collect()
}

fn mixed(id: u32) -> u64 {
    let mixed = (u64::from(id) + 1).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    mixed ^ (mixed >> 29)
}

/// Lines that stand in several places with other values.
struct Block {
    count: usize,
    starts: Vec<usize>,
    /// Of each word of each of its lines whether it differs.
    holes: Vec<Vec<bool>>,
    /// What differs, in the order of the lines: the number of its value.
    numbers: Vec<usize>,
    /// The bytes that it saves.
    gain: usize,
}

/// The blocks that are worth it. Their lines are taken then. `torn`: also those that may be torn.
fn choose(
    lines: &[&str],
    sequences: &Sequences,
    candidates: &[Candidate],
    taken: &mut [bool],
    torn: bool,
) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut done = vec![false; candidates.len()];
    let mut tries = 0;
    for at in 0..candidates.len() {
        if done[at] || tries == MOST_TRIES || blocks.len() == MOST_BLOCKS || work::is_over() {
            continue;
        }
        let turned = |other: &usize| sequences.is_turned(&candidates[at], &candidates[*other]);
        let turns: Vec<usize> = (at..candidates.len()).filter(turned).collect();
        turns.iter().for_each(|turn| done[*turn] = true);
        let best = turns.iter().map(|turn| &candidates[*turn]);
        let Some(best) = best.min_by_key(|turn| (sequences.strangeness(turn), turn.first)) else { continue };
        let starts = sequences.places(best, taken);
        if starts.len() < FEWEST_USES || !torn && sequences.may_be_torn(best, &starts, taken) {
            continue;
        }
        tries += 1;
        if let Some(block) = Block::of(lines, starts, best.count) {
            for start in &block.starts {
                taken[*start..start + block.count].fill(true);
            }
            blocks.push(block);
        }
    }
    // the reader meets them in the order of the output
    sort::by_key(&mut blocks, |block| block.starts.first().copied());
    blocks
}

impl Block {
    /// The block that stands at these places; `None` where it is not worth stating.
    fn of(lines: &[&str], starts: Vec<usize>, count: usize) -> Option<Self> {
        let mut block = Self::with_holes(lines, starts, count)?;
        let agreeing = block.agreeing(lines);
        if agreeing.len() < block.starts.len() && agreeing.len() * 100 >= block.starts.len() * FEWEST_AGREEING
        {
            block = Self::with_holes(lines, agreeing, count)?;
        }
        block.number(lines)?;
        let first = *block.starts.first()?;
        let size =
            |start: usize| lines[start..start + count].iter().map(|line| line.len() + 1).sum::<usize>();
        let used = |start: usize| 2 + block.values(lines, start).map(|value| value.len() + 1).sum::<usize>();
        let before: usize = block.starts.iter().map(|start| size(*start)).sum();
        let after: usize = block.starts.iter().map(|start| used(*start)).sum();
        block.gain = before.saturating_sub(after + size(first));
        (block.gain > LEAST_GAIN).then_some(block)
    }

    fn with_holes(lines: &[&str], mut starts: Vec<usize>, count: usize) -> Option<Self> {
        let first = *starts.first()?;
        let own = lines.get(first..first + count)?;
        let mut holes: Vec<Vec<bool>> = own.iter().map(|line| vec![false; words(line).count()]).collect();
        // lines that have one number by chance say something else
        starts.retain(|start| {
            let theirs = lines.get(*start..start + count).unwrap_or_default();
            own.iter().zip(theirs).zip(&mut holes).all(|((own, line), flags)| {
                if flags.is_empty() { own == line } else { mark_holes(own, line, flags) }
            })
        });
        let differ = holes.iter().flatten().filter(|hole| **hole).count();
        (starts.len() >= FEWEST_USES && differ <= MOST_HOLES).then(|| Self {
            count,
            starts,
            holes,
            numbers: (1..=differ).collect(),
            gain: 0,
        })
    }

    /// The words that differ in the block at a place, one for each hole.
    fn words<'t>(&self, lines: &[&'t str], start: usize) -> Vec<&'t str> {
        let of_block = lines.get(start..start + self.count).unwrap_or_default();
        let differ = of_block.iter().zip(&self.holes).flat_map(|(line, flags)| {
            let spans = words(line).zip(flags).filter(|(_, hole)| **hole);
            spans.map(|((from, to), _)| line.get(from..to).unwrap_or_default())
        });
        differ.collect()
    }

    /// The places of the blocks that agree with nearly all others, where nearly all agree.
    fn agreeing(&self, lines: &[&str]) -> Vec<usize> {
        let all: Vec<Vec<&str>> = self.starts.iter().map(|start| self.words(lines, *start)).collect();
        let usual: Vec<Option<&str>> = (0..self.numbers.len())
            .map(|hole| {
                let mut counts: HashMap<&str, usize, Seeded> = HashMap::default();
                let words = all.iter().filter_map(|words| words.get(hole).copied());
                let most = words.max_by_key(|word| {
                    let count = counts.entry(*word).or_default();
                    *count += 1;
                    *count
                })?;
                let count = counts.get(most).copied().unwrap_or_default();
                (count * 100 >= all.len() * AGREEING).then_some(most)
            })
            .collect();
        let agrees = |words: &[&str]| {
            words.iter().zip(&usual).all(|(word, usual)| usual.is_none_or(|usual| usual == *word))
        };
        let places = self.starts.iter().zip(&all).filter(|(_, words)| agrees(words));
        places.map(|(start, _)| *start).collect()
    }

    /// Gives the words that differ their numbers: those that are always the same word have the same. `None` where there
    /// are too many.
    fn number(&mut self, lines: &[&str]) -> Option<()> {
        let all: Vec<Vec<&str>> = self.starts.iter().map(|start| self.words(lines, *start)).collect();
        let mut firsts: Vec<usize> = Vec::new();
        self.numbers.clear();
        for hole in 0..all.first()?.len() {
            let same = |first: &usize| all.iter().all(|words| words.get(hole) == words.get(*first));
            let number = match firsts.iter().position(same) {
                Some(known) => known,
                None => {
                    firsts.push(hole);
                    firsts.len() - 1
                }
            };
            self.numbers.push(number + 1);
        }
        (firsts.len() <= MOST_VALUES).then_some(())
    }

    fn value_count(&self) -> usize {
        self.numbers.iter().max().copied().unwrap_or_default()
    }

    /// The values of the block at a place, in the order of their numbers.
    fn values<'t>(&self, lines: &[&'t str], start: usize) -> impl Iterator<Item = &'t str> {
        let mut last = 0;
        let words = self.words(lines, start);
        let firsts = self.numbers.iter().zip(words).filter(move |(number, _)| {
            let is_first = **number > last;
            last = last.max(**number);
            is_first
        });
        firsts.map(|(_, word)| word)
    }

    /// Appends the lines of the block, with numbers for its values.
    fn push_stated(&self, out: &mut String, lines: &[&str], open: &str, close: &str) {
        let mut numbers = self.numbers.iter();
        let first = self.starts.first().copied().unwrap_or_default();
        for (line, flags) in lines.get(first..first + self.count).unwrap_or_default().iter().zip(&self.holes)
        {
            let mut from = 0;
            for ((start, end), _) in words(line).zip(flags).filter(|(_, hole)| **hole) {
                out.push_str(line.get(from..start).unwrap_or_default());
                out.push_str(open);
                out.push_str(&numbers.next().copied().unwrap_or_default().to_string());
                out.push_str(close);
                from = end;
            }
            out.push_str(line.get(from..).unwrap_or_default());
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests;
