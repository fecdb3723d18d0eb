//! Finds the lines that answer what was asked.
//!
//! The question is the last user text and the arguments of the call. Only those of its words count that can
//! distinguish lines: identifiers, numbers, paths, and longer plain words. A word that occurs in many lines
//! says nothing about any of them.

#![allow(clippy::indexing_slicing, reason = "terms are numbered by the list that they stand in")]

use aho_corasick::{AhoCorasick, MatchKind};
use headroom_providers::sort;

use super::signal::floor_char_boundary;
use super::words::{is_value, words};
use crate::block::Context;
use crate::work;

/// How many bytes of the user's text and of the arguments are read: the current question is short, and the
/// rest is often a pasted document.
const READ: usize = 2000;

/// The most words that are searched for.
const MOST_TERMS: usize = 48;

/// Of longer words their ends are searched for: the end of a path says which file it is. Where a word is the start of
/// others, each occurrence of it costs a look at as many bytes as these have.
const LONGEST: usize = 64;

/// Shorter words are too common to mean anything.
const SHORTEST: usize = 4;

/// A word that occurs in more than one of this many lines does not count.
const COMMON: usize = 8;

/// How many plain words an identifier is worth.
const ANCHOR: usize = 3;

/// Words of questions and of shell commands that are never what is searched for.
const STOP: &[&str] = &[
    "about", "after", "again", "also", "bash", "been", "before", "being", "below", "both", "command",
    "content", "could", "does", "each", "else", "every", "find", "from", "grep", "have", "head", "here",
    "into", "just", "like", "make", "more", "most", "must", "need", "only", "other", "output", "over",
    "path", "pattern", "please", "same", "should", "show", "some", "such", "tail", "than", "that", "their",
    "them", "then", "there", "these", "they", "this", "those", "tool", "type", "under", "used", "using",
    "want", "what", "when", "where", "which", "while", "will", "with", "would", "your",
];

/// The words to search for.
pub(crate) struct Query {
    automaton: Option<AhoCorasick>,
    weights: Vec<usize>,
}

impl Query {
    pub(crate) fn new(cx: &Context<'_>) -> Self {
        let mut terms: Vec<&str> = Vec::new();
        for source in [cx.query, cx.call.arguments] {
            let source = source.get(..floor_char_boundary(source, READ)).unwrap_or_default();
            for (from, to) in words(source) {
                let from = from.max(to.saturating_sub(LONGEST));
                let from = (from..to).find(|&at| source.is_char_boundary(at)).unwrap_or(to);
                let word =
                    source.get(from..to).unwrap_or_default().trim_matches(|c: char| !c.is_alphanumeric());
                let known = |term: &&str| term.eq_ignore_ascii_case(word);
                if word.len() >= SHORTEST
                    && terms.len() < MOST_TERMS
                    && !STOP.iter().any(known)
                    && !terms.iter().any(known)
                {
                    terms.push(word);
                }
            }
        }
        let weights = terms.iter().map(|term| if is_anchor(term) { ANCHOR } else { 1 }).collect();
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(&terms)
            .ok()
            .filter(|_| !terms.is_empty());
        Self { automaton, weights }
    }

    /// The lines that answer, best first; equally good ones in their order.
    pub(crate) fn best(&self, lines: &[&str]) -> Vec<usize> {
        let Some(automaton) = &self.automaton else { return Vec::new() };
        let mut hits: Vec<(usize, u64)> = Vec::new();
        let mut frequency = vec![0usize; self.weights.len()];
        for (number, line) in lines.iter().enumerate() {
            work::spend(line.len());
            let mut terms = 0u64;
            for found in automaton.find_iter(*line) {
                terms |= 1 << found.pattern().as_usize();
            }
            if terms != 0 {
                hits.push((number, terms));
                for (term, count) in frequency.iter_mut().enumerate() {
                    *count += usize::from(terms & (1 << term) != 0);
                }
            }
        }
        let telling = |term: usize| frequency[term] * COMMON <= lines.len().max(COMMON);
        let worth = |terms: u64| -> usize {
            (0..self.weights.len())
                .filter(|&term| terms & (1 << term) != 0 && telling(term))
                .map(|term| self.weights[term])
                .sum()
        };
        let mut scored: Vec<(usize, usize)> = hits
            .into_iter()
            .map(|(number, terms)| (worth(terms), number))
            .filter(|(worth, _)| *worth >= 2)
            .collect();
        sort::by(&mut scored, |a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.into_iter().map(|(_, number)| number).collect()
    }
}

/// Whether a word names one thing: an identifier, a number, a path.
fn is_anchor(word: &str) -> bool {
    let bytes = word.as_bytes();
    is_value(bytes)
        || bytes.iter().any(|b| matches!(b, b'_' | b'/' | b'.' | b'@' | b':' | b'-'))
        || bytes.windows(2).any(|w| matches!(w, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Call;
    use crate::config::Config;

    fn best(query: &str, arguments: &str, lines: &[&str]) -> Vec<usize> {
        let config = Config::default();
        Query::new(&Context { call: Call { name: "Bash", arguments }, query, ..Context::of(&config) })
            .best(lines)
    }

    #[test]
    fn identifiers_of_the_question_find_their_lines() {
        let lines = ["a", "order ord_991 shipped", "b", "see retryCount here", "c", "d", "e", "f", "g"];
        assert_eq!(best("what about ORD_991?", "{\"x\":\"retryCount\"}", &lines), [1, 3]);
    }

    #[test]
    fn one_plain_word_is_not_enough() {
        let lines = ["the payment was late", "the payment service restarted", "x"];
        assert_eq!(best("why did the payment service restart", "", &lines), [1]);
    }

    #[test]
    fn words_in_many_lines_tell_nothing() {
        let lines: Vec<String> = (0..20).map(|i| format!("job_7 step {i}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(best("job_7", "", &lines), Vec::<usize>::new());
    }

    #[test]
    fn of_a_long_path_the_end_is_searched_for() {
        let path = format!("/{}/orders.rs", "é".repeat(99));
        let lines = ["a", "in é/orders.rs", &format!("in {}", &path[99..])];
        assert_eq!(best(&path, "", &lines), [2]);
    }

    #[test]
    fn nothing_asked_finds_nothing() {
        assert_eq!(best("", "", &["a"]), Vec::<usize>::new());
    }
}
