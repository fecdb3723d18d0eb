//! Leaves bodies of functions out of source files.
//!
//! Opt-in. A file that was read as a whole keeps its imports, types, signatures, comments outside of
//! functions, and statements that deal with failure. Whole statements are left out of long function bodies
//! that nothing near the call names:
//!
//! ```text
//! [lines 1-812, every 20th numbered]
//!      1→package cli
//! …
//! func (s *Store) Load(path string) (*State, error) {
//!     // lines 42-88 left out
//! 89→}
//! ```
//!
//! The rest is valid code if the file was, and its line numbers are the file's. The scanners follow the
//! structure of a language only as far as needed to know where statements begin and end; a text that they do
//! not understand stays whole.

mod braces;
mod cut;
pub(crate) mod language;
mod lexer;
#[cfg(all(test, not(target_family = "wasm")))]
#[allow(clippy::indexing_slicing, clippy::print_stderr)]
mod oracle;
mod outline;
mod python;
#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests;

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use super::keep::grouped;
use super::numbered::{self, FileLine};
use crate::block::{Context, Lossy};
use crate::lines;
use crate::work;
use cut::Gap;
pub(crate) use language::Language;
use outline::Outline;

/// Longer texts stay whole: the notes about a text take several times its memory. Bytes.
const MOST_BYTES: usize = 1 << 20;
/// From this many lines on, something may be left out of a body.
const LONG_BODY: usize = 8;
/// From this many lines on, the functions inside a function are treated one by one.
const LONG_FUNCTION: usize = 150;
/// A gap replaces at least this many bytes.
const FEWEST_BYTES: usize = 120;
/// The beginning and end of a gap's text, after the comment sign.
const GAP_START: &str = " lines ";
const GAP_END: &str = " left out";

/// The text without the bodies that nothing near the call names.
pub(crate) fn lossy(text: &str, language: Language, cx: &Context<'_>) -> Option<Lossy> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let lines = file_lines(text, cx)?;
    let mut source = String::with_capacity(text.len());
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            source.push('\n');
        }
        source.push_str(text.get(line.content..line.end)?);
    }
    work::spend(text.len());
    let near = NearbyNames::new(cx);
    let (gaps, functions) = gaps(&source, language, &near)?;
    let shown = render(text, &lines, &gaps, language)?;
    let gone: usize = gaps.iter().map(|gap| gap.lines.end() - gap.lines.start() + 1).sum();
    let bodies = if functions == 1 {
        "the body of 1 function"
    } else {
        &format!("the bodies of {functions} functions")
    };
    // There is nothing after the end of the last line.
    let ends = text.ends_with('\n') && lines.last().is_some_and(|last| last.content == text.len());
    let left_out = format!(
        "{} of {} lines left out, of {bodies}, where it says so",
        grouped(gone),
        grouped(lines.len() - usize::from(ends))
    );
    let text = numbered::lossless(&shown, cx).unwrap_or(shown);
    Some(Lossy { text, left_out })
}

/// Whether a line stands for lines of a file that were left out.
pub(crate) fn is_gap(line: &str) -> bool {
    let line = line.trim_ascii_start();
    let Some(rest) =
        line.strip_prefix("//").or_else(|| line.strip_prefix("...  #")).or_else(|| line.strip_prefix('['))
    else {
        return false;
    };
    let Some(range) = rest.trim_end_matches(']').strip_suffix(GAP_END) else { return false };
    let numbers = range.strip_prefix(GAP_START).or_else(|| range.strip_prefix(GAP_START.trim_ascii_start()));
    numbers.and_then(numbered::region::read_range).is_some()
}

/// Whether the lines of a form have the file's numbers.
pub(crate) fn is_numbered(form: &str) -> bool {
    form.starts_with(numbered::region::MARK)
}

/// The lines of the file in a text: the numbered ones, or all.
fn file_lines(text: &str, cx: &Context<'_>) -> Option<Vec<FileLine>> {
    if let Some(lines) = numbered::file_lines(text, cx) {
        // The start of a file, with nothing left out of it.
        let whole = lines.iter().zip(1..).all(|(line, number)| line.number == number);
        return whole.then_some(lines);
    }
    let mut at = 0;
    let lines = lines::split(text).zip(1..).map(|(line, number)| {
        let start = at;
        at += line.len() + 1;
        FileLine { number, content: start, end: start + line.len() }
    });
    Some(lines.collect())
}

/// The gaps of a source, in order, and in how many functions they are.
fn gaps(source: &str, language: Language, near: &NearbyNames<'_>) -> Option<(Vec<Gap>, usize)> {
    let outline = outline(source, language)?;
    let starts = line_starts(source);
    let mut gaps = Vec::new();
    let mut functions = 0;
    for function in chosen(&outline) {
        let Some(found) = outline.functions.get(function) else { continue };
        let body = body(source, &outline, &starts, found.block);
        if near.names(source.get(found.name.clone()).unwrap_or_default()) || near.is_in(body) {
            continue;
        }
        let before = gaps.len();
        gaps.extend(cut::gaps(&outline, found.block).into_iter().filter(|gap| {
            let (first, last) = (*gap.lines.start(), *gap.lines.end());
            let start = starts.get(first).copied().unwrap_or_default();
            let end = starts.get(last + 1).copied().unwrap_or(source.len());
            // The head of numbered lines names the last one, so that one stays.
            end - start >= FEWEST_BYTES && last + 1 < starts.len()
        }));
        functions += usize::from(gaps.len() > before);
    }
    (!gaps.is_empty()).then_some((gaps, functions))
}

fn outline(source: &str, language: Language) -> Option<Outline> {
    match language {
        Language::Python => python::outline(source),
        _ => braces::outline(source, language),
    }
    .ok()
}

fn line_starts(source: &str) -> Vec<usize> {
    std::iter::once(0).chain(memchr::memchr_iter(b'\n', source.as_bytes()).map(|at| at + 1)).collect()
}

/// The text of a block.
fn body<'s>(source: &'s str, outline: &Outline, starts: &[usize], block: usize) -> &'s str {
    let Some(block) = outline.blocks.get(block) else { return "" };
    let start = starts.get(block.open + 1).copied().unwrap_or(source.len());
    let end = block.close.and_then(|close| starts.get(close).copied()).unwrap_or(source.len());
    source.get(start..end).unwrap_or_default()
}

/// The lines of a block, without those on which it opens and closes.
fn length(outline: &Outline, block: usize) -> usize {
    let Some(block) = outline.blocks.get(block) else { return 0 };
    block.close.map_or(0, |close| close.saturating_sub(block.open + 1))
}

/// The functions whose long bodies may be cut, none inside of another. For a function without a name (such as
/// a callback that contains a whole module) and for a very long one, the functions inside are taken instead.
fn chosen(outline: &Outline) -> Vec<usize> {
    let long = |function: usize| {
        outline.functions.get(function).is_some_and(|function| length(outline, function.block) >= LONG_BODY)
    };
    let mut has_inner = vec![false; outline.functions.len()];
    for (at, function) in outline.functions.iter().enumerate() {
        if let Some(has) = function.parent.filter(|_| long(at)).and_then(|parent| has_inner.get_mut(parent)) {
            *has = true;
        }
    }
    let mut taken = vec![false; outline.functions.len()];
    let mut chosen = Vec::new();
    for (at, function) in outline.functions.iter().enumerate() {
        let inside = function.parent.and_then(|parent| taken.get(parent).copied()).unwrap_or(false);
        let gives_way = has_inner.get(at).copied().unwrap_or(false)
            && (function.name.is_empty() || length(outline, function.block) >= LONG_FUNCTION);
        let takes = !inside && long(at) && !gives_way;
        if takes {
            chosen.push(at);
        }
        if let Some(taken) = taken.get_mut(at) {
            *taken = inside || takes;
        }
    }
    chosen
}

/// The text with its gaps written.
fn render(text: &str, lines: &[FileLine], gaps: &[Gap], language: Language) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for gap in gaps {
        let (first, last) = (lines.get(*gap.lines.start())?, lines.get(*gap.lines.end())?);
        out.push_str(text.get(copied..first.content)?);
        let like = lines.get(gap.like)?;
        let content = text.get(like.content..like.end)?;
        let indent = content.len() - content.trim_ascii_start().len();
        out.push_str(content.get(..indent)?);
        let (open, close) = match language {
            _ if gap.text => ("[", "]"),
            Language::Python => ("...  #", ""),
            _ => ("//", ""),
        };
        let start = if gap.text { GAP_START.trim_ascii_start() } else { GAP_START };
        out.push_str(open);
        out.push_str(start);
        numbered::prefix::push_range(&mut out, first.number, last.number);
        out.push_str(GAP_END);
        out.push_str(close);
        copied = if text.get(first.content..last.end)?.ends_with('\r') { last.end - 1 } else { last.end };
    }
    out.push_str(text.get(copied..)?);
    Some(out)
}

/// The names that the user and the model have written near the call.
struct NearbyNames<'a> {
    words: HashSet<&'a str, FixedState>,
}

/// Shorter words name nothing.
const SHORTEST_NAME: usize = 3;

impl<'a> NearbyNames<'a> {
    fn new(cx: &Context<'a>) -> Self {
        let mut words = HashSet::default();
        for text in std::iter::once(cx.query).chain(cx.near.iter().map(AsRef::as_ref)) {
            work::spend(text.len());
            words.extend(identifiers(text));
        }
        Self { words }
    }

    /// Whether a function of this name is mentioned.
    fn names(&self, name: &str) -> bool {
        name.len() >= SHORTEST_NAME && self.words.contains(name)
    }

    /// Whether a body contains a mentioned name that only code has.
    fn is_in(&self, body: &str) -> bool {
        work::spend(body.len());
        !self.words.is_empty() && identifiers(body).any(|word| is_code(word) && self.words.contains(word))
    }
}

fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| word.len() >= SHORTEST_NAME)
}

/// Whether a word is from code: with an inner capital or an underscore.
fn is_code(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.contains(&b'_')
        || bytes
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()))
}
