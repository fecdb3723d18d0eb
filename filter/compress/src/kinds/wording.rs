//! Groups lines that differ only in their values, in the manner of Drain.
//!
//! Two lines belong together if they differ only in words that contain digits, or, if neither is frequent, if
//! most of their words are equal. The common part of a group is its wording; the words in which its lines
//! differ are its holes.
//!
//! Each line is read a limited number of times, so grouping is linear in the text.

#![allow(clippy::indexing_slicing, reason = "groups and lines are numbered by the lists that they stand in")]

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::words::words;
use crate::seeded::Seeded;
use crate::work;

/// Longer lines belong to no group: they are payload, and comparing their words is not worth it.
const LONGEST_LINE: usize = 4000;

/// Groups with at least this many lines keep their wording: another hole would cost a word on each of their
/// lines.
const SETTLED: usize = 6;

/// How many groups of the same shape a small group is compared with.
const CANDIDATES: usize = 8;

/// The percentage of words that have to be equal for two small groups to be merged.
const ALIKE_PERCENT: usize = 60;

/// Lines with one wording.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) first: usize,
    pub(crate) last: usize,
    pub(crate) count: usize,
    /// The start of its holes in the shared vector, and the number of words of its lines.
    holes: usize,
    words: usize,
}

/// All groups of a text.
pub(crate) struct Groups {
    groups: Vec<Group>,
    /// The group of each line.
    of_line: Vec<Option<u32>>,
    /// One flag per word of each group: whether its lines differ in it.
    holes: Vec<bool>,
}

/// A map from hashes, which a client may have chosen. Used for lookups only, never iterated.
type ByHash<V> = HashMap<u64, V, Seeded>;

/// Groups `lines`. Lines with different `class`es never share a group. The caller does not use groups with
/// fewer than `fewest` lines, so their holes are not worked out.
pub(crate) fn group<'a>(lines: impl Iterator<Item = (&'a str, u8)> + Clone, fewest: usize) -> Groups {
    let mut groups: Vec<Group> = Vec::new();
    let mut shapes: Vec<u64> = Vec::new();
    let mut of_line: Vec<Option<u32>> = Vec::new();
    let mut firsts: Vec<&str> = Vec::new();
    let mut known: ByHash<u32> = ByHash::default();
    let mut key = Key::default();
    for (number, (line, class)) in lines.clone().enumerate() {
        let Some((masked, count)) = key.masked(line, class) else {
            of_line.push(None);
            continue;
        };
        let next = index(groups.len());
        let id = *known.entry(masked).or_insert(next);
        if id == next {
            groups.push(Group { first: number, last: number, count: 0, holes: 0, words: count });
            shapes.push(key.shape(line, class));
            firsts.push(line);
        }
        if let Some(group) = groups.get_mut(id as usize) {
            group.last = number;
            group.count += 1;
        }
        of_line.push(Some(id));
    }
    let target = merge(&mut groups, &shapes, &firsts);
    let mut total = 0;
    for group in &mut groups {
        group.holes = total;
        total += group.words;
    }
    let mut holes = vec![false; total];
    for ((line, _), id) in lines.zip(&mut of_line) {
        if work::is_over() {
            break;
        }
        let Some(before) = *id else { continue };
        let to = target[before as usize];
        let group = groups[to as usize];
        let flags = &mut holes[group.holes..group.holes + group.words];
        if group.count > 1 && group.count >= fewest && !mark_holes(firsts[to as usize], line, flags) {
            // Two texts with the same hash: the line gets no group.
            *id = None;
        } else {
            *id = Some(to);
        }
    }
    Groups { groups, of_line, holes }
}

fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Groups {
    /// The group of the line with this number.
    pub(crate) fn of(&self, line: usize) -> Option<usize> {
        self.of_line.get(line).copied().flatten().map(|id| id as usize)
    }

    pub(crate) fn all(&self) -> &[Group] {
        &self.groups
    }

    /// The words of `line`, which is one of the group's, that fill its holes.
    pub(crate) fn values<'a>(&self, group: usize, line: &'a str) -> impl Iterator<Item = &'a str> {
        self.spans(group, line).map(|(from, to)| line.get(from..to).unwrap_or_default())
    }

    /// The positions of these words.
    pub(crate) fn spans(&self, group: usize, line: &str) -> impl Iterator<Item = (usize, usize)> {
        words(line).zip(self.flags(group)).filter(|(_, hole)| **hole).map(|(span, _)| span)
    }

    /// The group's wording, taken from one of its lines, with `mark` for each hole.
    pub(crate) fn wording(&self, group: usize, line: &str, mark: &str) -> String {
        self.wording_with(group, line, |out, _| out.push_str(mark))
    }

    /// The same, where `write` appends the text for each hole.
    pub(crate) fn wording_with(
        &self,
        group: usize,
        line: &str,
        mut write: impl FnMut(&mut String, usize),
    ) -> String {
        let mut out = String::with_capacity(line.len());
        let mut from = 0;
        for (hole, (start, end)) in self.spans(group, line).enumerate() {
            out.push_str(line.get(from..start).unwrap_or_default());
            write(&mut out, hole);
            from = end;
        }
        out.push_str(line.get(from..).unwrap_or_default());
        out
    }

    /// The number of holes of the wording.
    pub(crate) fn holes(&self, group: usize) -> usize {
        self.flags(group).iter().filter(|hole| **hole).count()
    }

    fn flags(&self, group: usize) -> &[bool] {
        self.groups.get(group).map_or(&[], |g| self.holes.get(g.holes..g.holes + g.words).unwrap_or_default())
    }
}

/// Hashes of lines by what stands between words, with the words of the last line.
#[derive(Default)]
struct Key(Vec<(usize, usize)>);

impl Key {
    /// The hash of the line with its values masked, and the number of its words. `None` if the line cannot be
    /// in a group.
    fn masked(&mut self, line: &str, class: u8) -> Option<(u64, usize)> {
        if line.len() > LONGEST_LINE {
            return None;
        }
        let bytes = line.as_bytes();
        work::spend(bytes.len());
        self.0.clear();
        let (mut hash, mut from) = (start(class), 0);
        let mut words = words(line);
        while let Some((start, end, is_value)) = words.next_with_value() {
            self.0.push((start, end));
            if is_value {
                hash = add(hash, bytes.get(from..start).unwrap_or_default());
                from = end;
            }
        }
        let count = self.0.len();
        (count > 0).then_some((add(hash, bytes.get(from..).unwrap_or_default()), count))
    }

    /// The hash of the line that was read last, with all its words masked.
    fn shape(&self, line: &str, class: u8) -> u64 {
        let bytes = line.as_bytes();
        work::spend(bytes.len());
        let (mut hash, mut from) = (start(class), 0);
        for (start, end) in &self.0 {
            hash = add(hash, bytes.get(from..*start).unwrap_or_default());
            from = *end;
        }
        add(hash, bytes.get(from..).unwrap_or_default())
    }
}

/// The hash of no text.
fn start(class: u8) -> u64 {
    u64::from(class) + 1
}

/// The hash with a piece of text after it, between two masked words. Other texts may have the same: words are compared
/// before a hash is relied on.
#[inline]
fn add(mut hash: u64, piece: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut chunks = piece.chunks_exact(8);
    for chunk in &mut chunks {
        let bytes = chunk.first_chunk().copied().unwrap_or_default();
        hash = (hash ^ u64::from_le_bytes(bytes)).wrapping_mul(FACTOR);
        hash ^= hash >> 32;
    }
    let rest = chunks.remainder().iter().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
    // a remainder has at most seven bytes, so its length fits above them
    hash = (hash ^ rest ^ (chunks.remainder().len() as u64 + 1) << 56).wrapping_mul(FACTOR);
    hash ^ hash >> 32
}

/// Merges small groups of the same shape whose words are mostly equal. Returns for each group the one that it
/// became part of.
fn merge(groups: &mut [Group], shapes: &[u64], firsts: &[&str]) -> Vec<u32> {
    let mut target: Vec<u32> = (0..index(groups.len())).collect();
    let mut open: ByHash<Vec<u32>> = ByHash::default();
    for id in 0..groups.len() {
        if work::is_over() {
            break;
        }
        let group = groups[id];
        if group.count >= SETTLED || group.words < 3 {
            continue;
        }
        let candidates = open.entry(shapes[id]).or_default();
        let found = candidates.iter().copied().find(|&c| alike(firsts[c as usize], firsts[id], group.words));
        match found {
            Some(to) => {
                target[id] = to;
                groups[id].count = 0;
                let into = &mut groups[to as usize];
                into.count += group.count;
                into.first = into.first.min(group.first);
                into.last = into.last.max(group.last);
            }
            None if candidates.len() < CANDIDATES => candidates.push(index(id)),
            None => {}
        }
    }
    target
}

/// Whether most words of two lines, each with so many, are equal.
fn alike(a: &str, b: &str, count: usize) -> bool {
    let (mut same, mut all) = (0, 0);
    let (mut a_words, mut b_words) = (words(a), words(b));
    while let (Some((a0, a1, a_value)), Some((b0, b1, b_value))) =
        (a_words.next_with_value(), b_words.next_with_value())
    {
        work::spend(a1 - a0 + b1 - b0);
        if a_value && b_value {
            continue;
        }
        let (x, y) =
            (a.as_bytes().get(a0..a1).unwrap_or_default(), b.as_bytes().get(b0..b1).unwrap_or_default());
        all += 1;
        same += usize::from(x == y);
        // not even if all others are equal
        if (all - same) * 100 > count * (100 - ALIKE_PERCENT) {
            return false;
        }
    }
    same >= 2 && same * 100 >= all * ALIKE_PERCENT
}

/// Flags the words in which `line` differs from `first`. False when they differ in anything else.
pub(crate) fn mark_holes(first: &str, line: &str, flags: &mut [bool]) -> bool {
    work::spend(line.len());
    if first == line {
        return true;
    }
    work::spend(first.len());
    let (a, b) = (first.as_bytes(), line.as_bytes());
    let (mut theirs, mut ours) = (words(first), words(line));
    let (mut a_from, mut b_from) = (0, 0);
    for flag in flags {
        let (Some((a0, a1)), Some((b0, b1))) = (theirs.next(), ours.next()) else { return false };
        if a.get(a_from..a0).unwrap_or_default() != b.get(b_from..b0).unwrap_or_default() {
            return false;
        }
        *flag |= a.get(a0..a1).unwrap_or_default() != b.get(b0..b1).unwrap_or_default();
        (a_from, b_from) = (a1, b1);
    }
    theirs.next().is_none()
        && ours.next().is_none()
        && a.get(a_from..).unwrap_or_default() == b.get(b_from..).unwrap_or_default()
}

/// A hash of a line in which numbers and hexadecimal ids are masked and blanks are folded. Two lines with the
/// same key report the same about different things.
pub(crate) fn report_key(line: &str) -> u64 {
    let bytes = line.as_bytes();
    work::spend(bytes.len().min(REPORT_KEY_BYTES));
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len().min(REPORT_KEY_BYTES + 8));
    let mut at = 0;
    while let Some(&b) = bytes.get(at).filter(|_| out.len() < REPORT_KEY_BYTES) {
        if b.is_ascii_whitespace() {
            at += 1;
            if out.last().is_some_and(|&last| last != b' ') {
                out.push(b' ');
            }
        } else if b.is_ascii_alphanumeric() {
            let run = bytes
                .get(at..)
                .unwrap_or_default()
                .iter()
                .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
                .count();
            mask_run(bytes.get(at..at + run).unwrap_or_default(), &mut out);
            at += run;
        } else {
            out.push(b);
            at += 1;
        }
    }
    out.truncate(REPORT_KEY_BYTES);
    xxh3_64(out.trim_ascii_end())
}

/// How much of a masked line is hashed.
const REPORT_KEY_BYTES: usize = 400;

/// A hexadecimal id has at least this many digits.
const HEX_ID: usize = 8;

fn mask_run(run: &[u8], out: &mut Vec<u8>) {
    let hex = run.strip_prefix(b"0x").or_else(|| run.strip_prefix(b"0X"));
    if hex.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit))
        || run.len() >= HEX_ID && run.iter().all(u8::is_ascii_hexdigit)
    {
        out.push(b'#');
        return;
    }
    for &b in run {
        if !b.is_ascii_digit() {
            out.push(b);
        } else if out.last() != Some(&b'#') {
            out.push(b'#');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(text: &str) -> Groups {
        group(text.lines().map(|line| (line, 0)), 1)
    }

    #[test]
    fn lines_that_differ_in_numbers_share_a_wording() {
        let text = "got 12 from 10.0.0.1:80\ngot 13 from 10.0.0.1:80\nlost 1";
        let groups = grouped(text);
        assert_eq!(groups.of(0), groups.of(1));
        assert_ne!(groups.of(0), groups.of(2));
        let line = "got 13 from 10.0.0.1:80";
        assert_eq!(groups.wording(0, line, "*"), "got * from 10.0.0.1:80");
        assert_eq!(groups.values(0, line).collect::<Vec<_>>(), ["13"]);
    }

    #[test]
    fn rare_lines_that_differ_in_one_name_share_a_wording() {
        let text =
            "invalid user anna from 1.1.1.1\ninvalid user bob from 1.1.1.2\nshut down now or else never";
        let groups = grouped(text);
        assert_eq!(groups.of(0), groups.of(1));
        assert_eq!(groups.wording(0, "invalid user bob from 1.1.1.2", "*"), "invalid user * from *");
        assert_eq!(groups.all()[0].count, 2);
    }

    #[test]
    fn frequent_wordings_are_not_widened() {
        let text = "user anna is in\n".repeat(9) + "user bob is in\n";
        let groups = grouped(&text);
        assert_ne!(groups.of(0), groups.of(9));
        assert_eq!(groups.holes(0), 0);
    }

    #[test]
    fn blank_and_very_long_lines_have_no_group() {
        let text = format!("\n{}\n", "x 1 ".repeat(2000));
        let groups = grouped(&text);
        assert_eq!(groups.of(0), None);
        assert_eq!(groups.of(1), None);
    }

    #[test]
    fn the_first_line_of_a_group_counts_each_time_that_it_is_read() {
        let word = |at: usize| -> String {
            at.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
        };
        let alike: String =
            (0..CANDIDATES).map(|at| format!("{} q{} z{}\n", "1".repeat(3900), word(at), word(at))).collect();
        let alike =
            alike + &(0..20_000).map(|at| format!("1 x{} y{}\n", word(at), word(at))).collect::<String>();
        let one = format!("x{}\n", "1".repeat(3900))
            + &(0..20_000).map(|at| format!("x{at}\n")).collect::<String>();
        for text in [alike, one] {
            work::start(text.len());
            grouped(&text);
            assert!(work::is_over());
        }
        work::unlimited();
    }

    #[test]
    fn classes_are_kept_apart() {
        let groups = group([("a 1", 0), ("a 2", 1)].into_iter(), 1);
        assert_ne!(groups.of(0), groups.of(1));
    }

    #[test]
    fn reports_are_told_apart_by_words_only() {
        assert_eq!(report_key("error 12 at 0xff in a1b2c3d4e5"), report_key("error 7  at 0x12 in 99887766"));
        assert_ne!(report_key("error in anna"), report_key("error in bob"));
    }
}
