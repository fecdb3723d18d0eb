//! Chooses which results are kept if not all are: some of every file, and first those that answer the
//! question.
//!
//! Every file is named, with the number of its results that are not shown, and every result is shown with its
//! file. A match is kept or left out together with its context.

#![allow(clippy::indexing_slicing, reason = "chunks are numbered by the list that they stand in")]

use std::ops::Range;

use headroom_providers::sort;

use super::grouped::{GAP, Results};
use super::hit::Hit;
use crate::block::{Context, Lossy};
use crate::config::Profile;
use crate::kinds::keep::{counted, grouped};
use crate::kinds::query::Query;
use crate::kinds::signal::{self, Signal};

/// Fewer results stay whole.
const FEWEST_RESULTS: usize = 30;
/// Bytes of results that are kept of any text. On the corpus, what agents use later from a search is a path
/// far more often than a line, and paths are always kept.
const ROOM: usize = 4000;
/// More bytes for each 100 bytes of the text.
const ROOM_PERCENT: usize = 25;
/// The most bytes: beyond that, an agent narrows its search.
const MOST_ROOM: usize = 16_000;
/// Results kept because they answer the question.
const ANSWERS: usize = 20;
/// Results in more files than this are a listing.
const MOST_FILES: usize = 1000;

/// If this percentage of the results are reports of a linter or a compiler, all of them stay: each has to be
/// looked at, and none stands for another.
const REPORTS: usize = 60;

/// Adjacent lines of one file: a match with its context.
struct Chunk {
    /// Indexes in `Results::lines`.
    lines: Range<usize>,
    bytes: usize,
    matches: usize,
    error: bool,
    kept: bool,
}

/// Consecutive chunks of one file.
struct File<'a> {
    path: &'a str,
    chunks: Range<usize>,
}

/// What to keep of `text`, whose results these are.
pub(super) fn best(text: &str, results: &Results<'_>, cx: &Context<'_>) -> Option<Lossy> {
    let (files, mut chunks) = chunks(results);
    let total: usize = chunks.iter().map(|chunk| chunk.matches).sum();
    let others = results.lines.iter().filter(|(_, hit)| hit.is_none()).count();
    if total < FEWEST_RESULTS || files.len() > MOST_FILES || others > total {
        return None;
    }
    let hits = results.lines.iter().filter_map(|(_, hit)| hit.as_ref());
    let reports = hits.filter(|hit| hit.matched && is_report(hit.text)).count();
    if reports * 100 >= total * REPORTS {
        return None;
    }
    let mut room = (ROOM + text.len() / 100 * ROOM_PERCENT).min(MOST_ROOM);
    match cx.config.profile {
        Profile::Lossless | Profile::Conservative => room *= 2,
        Profile::Balanced => {}
        Profile::Aggressive => room /= 2,
    }
    let mut keep = |chunk: &mut Chunk| {
        if !chunk.kept && chunk.bytes <= room {
            room -= chunk.bytes;
            chunk.kept = true;
        }
    };
    for file in &files {
        keep(&mut chunks[file.chunks.start]);
    }
    let lines: Vec<&str> = results.lines.iter().map(|(line, _)| *line).collect();
    for line in Query::new(cx).best(&lines).into_iter().take(ANSWERS) {
        let at = chunks.partition_point(|chunk| chunk.lines.end <= line);
        if let Some(chunk) = chunks.get_mut(at).filter(|chunk| chunk.lines.contains(&line)) {
            keep(chunk);
        }
    }
    let mut turns: Vec<_> = files.iter().map(|file| order(&chunks, file).into_iter()).collect();
    while !turns.is_empty() {
        turns.retain_mut(|turn| {
            let next = turn.next();
            if let Some(chunk) = next {
                keep(&mut chunks[chunk]);
            }
            next.is_some()
        });
    }
    let kept: usize = chunks.iter().filter(|chunk| chunk.kept).map(|chunk| chunk.matches).sum();
    (kept < total).then(|| Lossy {
        text: write(results, &files, &chunks),
        left_out: format!("{} of {} left out", grouped(total - kept), counted(total, "search result")),
    })
}

/// Whether the text after a path and a line number is from a linter or a compiler: `5: W: too long`, ` error:
/// no such name`, ` E501 line too long`. A search prints the line itself, with its indentation.
fn is_report(text: &str) -> bool {
    let bare = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let column = if bare.len() < text.len() { bare.strip_prefix(':') } else { None };
    let Some(said) = column.unwrap_or(text).strip_prefix(' ') else { return false };
    if column.is_some() {
        return said.starts_with(|c: char| c.is_alphabetic() || c == '[');
    }
    let word = said.split([' ', ':', ',']).next().unwrap_or_default();
    let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
    let digits = word.bytes().skip(letters).take_while(u8::is_ascii_digit).count();
    let is_code = (1..=4).contains(&letters) && (2..=5).contains(&digits) && letters + digits == word.len();
    is_code || SEVERITIES.iter().any(|severity| word.eq_ignore_ascii_case(severity))
}

const SEVERITIES: &[&str] = &[
    "error",
    "warning",
    "warn",
    "note",
    "info",
    "fatal",
    "hint",
    "style",
    "convention",
    "refactor",
    "suggestion",
];

/// The results by file, and the chunks of all files in order.
fn chunks<'a>(results: &Results<'a>) -> (Vec<File<'a>>, Vec<Chunk>) {
    let mut files: Vec<File<'a>> = Vec::new();
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut before: Option<(usize, Hit<'a>)> = None;
    for (i, (line, hit)) in results.lines.iter().enumerate() {
        let Some(hit) = hit else {
            // After a gap the same file continues; after anything else it is named again.
            if *line != GAP {
                before = None;
            }
            continue;
        };
        let same_file = before.is_some_and(|(_, last)| results.short(last.path) == results.short(hit.path));
        if !same_file {
            files.push(File { path: hit.path, chunks: chunks.len()..chunks.len() });
        }
        let touches = same_file
            && results.context
            && before.is_some_and(|(at, last)| {
                at + 1 == i && last.line().is_none_or(|number| hit.line() == Some(number + 1))
            });
        if !touches {
            chunks.push(Chunk { lines: i..i, bytes: 0, matches: 0, error: false, kept: false });
        }
        if let (Some(chunk), Some(file)) = (chunks.last_mut(), files.last_mut()) {
            chunk.lines.end = i + 1;
            chunk.bytes += hit.text.len() + 1;
            chunk.matches += usize::from(hit.matched);
            chunk.error |= signal::classify(hit.text) == Signal::Error;
            file.chunks.end = chunks.len();
            if hit.path.len() > file.path.len() {
                file.path = hit.path;
            }
        }
        before = Some((i, *hit));
    }
    (files, chunks)
}

/// The order in which the chunks of a file after its first are kept: errors, the last one, then the others in
/// their order.
fn order(chunks: &[Chunk], file: &File<'_>) -> Vec<usize> {
    let mut order: Vec<usize> = file.chunks.clone().collect();
    let last = file.chunks.end - 1;
    sort::by_key(&mut order, |&chunk| (!chunks[chunk].error, chunk != last, chunk));
    order
}

/// Writes every file with its kept results and the number of the others, and the lines that are not results.
fn write(results: &Results<'_>, files: &[File<'_>], chunks: &[Chunk]) -> String {
    let mut out = String::new();
    let mut at = 0;
    for file in files {
        let of_file = chunks.get(file.chunks.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (of_file.first(), of_file.last()) else { continue };
        write_others(results, at..first.lines.start, &mut out);
        at = last.lines.end;
        out.push_str(file.path);
        out.push(':');
        let left_out: usize = of_file.iter().filter(|chunk| !chunk.kept).map(|chunk| chunk.matches).sum();
        if left_out > 0 {
            let noun = if of_file.iter().any(|chunk| chunk.kept) { "more match" } else { "match" };
            out.push_str(&format!(
                " ({} {noun}{})",
                grouped(left_out),
                if left_out == 1 { "" } else { "es" }
            ));
        }
        out.push('\n');
        for chunk in of_file.iter().filter(|chunk| chunk.kept) {
            for (_, hit) in results.lines.get(chunk.lines.clone()).unwrap_or_default() {
                if let Some(hit) = hit {
                    results.write_hit(hit, &mut out);
                    out.push('\n');
                }
            }
        }
    }
    write_others(results, at..results.lines.len(), &mut out);
    out.pop();
    out
}

fn write_others(results: &Results<'_>, lines: Range<usize>, out: &mut String) {
    for (line, _) in results
        .lines
        .get(lines)
        .unwrap_or_default()
        .iter()
        .filter(|(line, hit)| hit.is_none() && *line != GAP)
    {
        out.push_str(line);
        out.push('\n');
    }
}
