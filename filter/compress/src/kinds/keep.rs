//! Chooses lines to keep, and writes the gaps between them.

use crate::block::Context;
use crate::config::Profile;
use crate::work;

/// How many bytes a lossy form may keep of lines that are not required.
#[derive(Clone, Copy)]
struct Room {
    /// Bytes, whatever the size of the text: a screen of lines shows what it looks like.
    base: usize,
    /// More bytes for each 100 bytes of the text.
    percent: usize,
    /// The most bytes: a reader who needs that many lines asks for the whole.
    most: usize,
}

/// For records of the same kind, where few stand for many.
const SPARING: Room = Room { base: 1200, percent: 4, most: 6000 };

/// For texts whose lines depend on each other: on the corpus, what agents use later from a failed run is near
/// its errors.
const GENEROUS: Room = Room { base: 3000, percent: 8, most: 12_000 };

/// A gap of at most this many bytes is shown instead.
const SMALLEST_GAP: usize = 16;

/// A selection of lines, by number.
pub(crate) struct LineSelection<'t, 'a> {
    lines: &'t [&'a str],
    kept: Vec<bool>,
    left: usize,
}

impl<'t, 'a> LineSelection<'t, 'a> {
    /// Nothing kept so far, and little room: for records of the same kind.
    pub(crate) fn sparing(lines: &'t [&'a str], cx: &Context<'_>) -> Self {
        Self::with(lines, cx, SPARING)
    }

    /// Nothing kept so far, and more room: for lines that explain each other.
    pub(crate) fn generous(lines: &'t [&'a str], cx: &Context<'_>) -> Self {
        Self::with(lines, cx, GENEROUS)
    }

    fn with(lines: &'t [&'a str], cx: &Context<'_>, room: Room) -> Self {
        let size: usize = lines.iter().map(|line| line.len() + 1).sum();
        let bytes = (room.base + size / 100 * room.percent).min(room.most);
        let left = match cx.config.profile {
            Profile::Lossless | Profile::Conservative => bytes * 3,
            Profile::Balanced => bytes,
            Profile::Aggressive => bytes / 2,
        };
        Self { lines, kept: vec![false; lines.len()], left }
    }

    /// Keeps a line in any case.
    pub(crate) fn must(&mut self, line: usize) {
        if let Some(kept) = self.kept.get_mut(line) {
            *kept = true;
        }
    }

    /// Keeps a line if there is room for it. Returns whether it is kept now.
    pub(crate) fn may(&mut self, line: usize) -> bool {
        if self.has(line) {
            return true;
        }
        let Some(text) = self.lines.get(line) else { return false };
        if text.len() + 1 > self.left {
            return false;
        }
        self.left -= text.len() + 1;
        self.must(line);
        true
    }

    pub(crate) fn has(&self, line: usize) -> bool {
        self.kept.get(line).copied().unwrap_or(false)
    }

    /// Bytes that are left of the budget.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn count(&self) -> usize {
        self.kept.iter().filter(|kept| **kept).count()
    }

    /// Keeps the lines in gaps that are too small for a note.
    pub(crate) fn close_small_gaps(&mut self) {
        let mut start = 0;
        while start < self.kept.len() {
            if self.has(start) {
                start += 1;
                continue;
            }
            let length = self.kept.get(start..).unwrap_or_default().iter().take_while(|kept| !**kept).count();
            let end = start + length;
            if self.lines.get(start..end).unwrap_or_default().iter().map(|line| line.len() + 1).sum::<usize>()
                <= SMALLEST_GAP
            {
                self.kept.get_mut(start..end).unwrap_or_default().fill(true);
            }
            start = end;
        }
    }

    /// The kept lines in order, with the text that `gap` returns for each run of lines between them.
    pub(crate) fn render(&self, mut gap: impl FnMut(std::ops::Range<usize>) -> String) -> String {
        let mut out = String::new();
        let mut at = 0;
        while at < self.lines.len() {
            if at > 0 {
                out.push('\n');
            }
            if self.has(at) {
                let line = self.lines.get(at).copied().unwrap_or_default();
                work::spend(line.len());
                out.push_str(line);
                at += 1;
            } else {
                let length =
                    self.kept.get(at..).unwrap_or_default().iter().take_while(|kept| !**kept).count();
                out.push_str(&gap(at..at + length));
                at += length;
            }
        }
        out
    }
}

/// `1 line (7)`, `393 lines (4-396)`: the number of lines in a gap, and their numbers in the output.
pub(crate) fn counted_lines(gap: &std::ops::Range<usize>, cx: &Context<'_>) -> String {
    let (from, to) = (cx.lines_before + gap.start + 1, cx.lines_before + gap.end);
    let count = counted(gap.len(), "line");
    if from == to { format!("{count} ({from})") } else { format!("{count} ({from}-{to})") }
}

/// `1 line`, `2 lines`, `3 entries`.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    match (n, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{} {stem}ies", grouped(n)),
        (_, None) => format!("{} {noun}s", grouped(n)),
    }
}

/// A number with its thousands separated.
pub(crate) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn with<'t, 'a>(lines: &'t [&'a str], profile: Profile) -> LineSelection<'t, 'a> {
        let config = Config { profile, ..Config::default() };
        LineSelection::sparing(lines, &Context::of(&config))
    }

    #[test]
    fn kept_lines_stay_in_order_and_gaps_are_announced() {
        let lines = ["one", "a line of some length", "another one", "two", "and so on for a while"];
        let mut keep = with(&lines, Profile::Balanced);
        keep.must(3);
        assert!(keep.may(0));
        let text = keep.render(|gap| format!("… {}", counted(gap.len(), "line")));
        assert_eq!(text, "one\n… 2 lines\ntwo\n… 1 line");
    }

    #[test]
    fn small_gaps_are_closed() {
        let lines = ["one", "}", "", "two", "and so on for a while"];
        let mut keep = with(&lines, Profile::Balanced);
        keep.must(0);
        keep.must(3);
        keep.close_small_gaps();
        assert_eq!((keep.count(), keep.has(4)), (4, false));
    }

    #[test]
    fn profiles_differ_in_how_much_they_keep() {
        let line = "x".repeat(99);
        let lines = vec![line.as_str(); 100];
        let kept = |profile| {
            let mut keep = with(&lines, profile);
            (0..100).filter(|&i| keep.may(i)).count()
        };
        assert_eq!(kept(Profile::Balanced), 16);
        assert!(kept(Profile::Conservative) > 40);
        assert!(kept(Profile::Aggressive) < 10);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(counted(1, "line"), "1 line");
        assert_eq!(counted(1_234_567, "line"), "1,234,567 lines");
    }
}
