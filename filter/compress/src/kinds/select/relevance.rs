//! Items that match the question: BM25 in a single pass over the items.
//!
//! A query reads a block only once, so an index is not worth it: the crate `bm25` took 9 to 34 ms to index
//! and score 1,000 short items for one query; counting only the query's own terms takes 0.65 ms and finds the
//! same ten best.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use headroom_providers::sort;

use super::Survey;
use crate::kinds::signal::floor_char_boundary;
use crate::work;

/// BM25's usual constants: how soon repetition stops counting, and how much length counts against an item.
const K1: f64 = 1.5;
const B: f64 = 0.75;

/// The most terms of the query, from its start: the rest of a very long message is context.
const MAX_TERMS: usize = 96;

/// Shorter terms are articles and punctuation.
const MIN_TERM: usize = 3;

/// A term that more than this share of the items contains (per thousand) does not distinguish them.
const COMMON: usize = 200;

/// Items that score below this share of the best one do not match.
const MIN_SHARE: f64 = 0.4;

/// How many bytes of each text of the query are read: a text of few words says no more.
const READ: usize = 16 << 10;

/// The terms of a query, with a number for each.
pub(crate) struct Terms(HashMap<Vec<u8>, usize, FixedState>);

impl Terms {
    /// The terms of the texts that the query consists of.
    pub(crate) fn of<const N: usize>(query: [&str; N]) -> Self {
        let mut terms = HashMap::with_hasher(FixedState::default());
        for text in query {
            let text = text.get(..floor_char_boundary(text, READ)).unwrap_or_default();
            work::spend(text.len());
            for word in words(text) {
                if terms.len() == MAX_TERMS {
                    break;
                }
                if word.len() >= MIN_TERM && word.len() <= MAX_TERM {
                    let next = terms.len();
                    terms.entry(word.to_ascii_lowercase()).or_insert(next);
                }
            }
        }
        Self(terms)
    }
}

/// Items that match the query, the best first.
pub(crate) fn matches(survey: &Survey<'_>, query: &Terms) -> Vec<usize> {
    relevant(&survey.texts, query)
}

/// The positions of the texts that match the query, the best first. Terms that a fifth of the texts share,
/// and terms of one or two letters, find nothing.
fn relevant(texts: &[&str], Terms(terms): &Terms) -> Vec<usize> {
    if terms.is_empty() {
        return Vec::new();
    }
    let items = texts.len();
    let mut found: Vec<(u32, u32, u32)> = Vec::new();
    let mut containing = vec![0usize; terms.len()];
    let mut lengths = Vec::with_capacity(items);
    let mut lower = [0u8; MAX_TERM];
    let mut counts = vec![0u32; terms.len()];
    for (item, text) in texts.iter().enumerate() {
        work::spend(text.len());
        let mut length = 0usize;
        for word in words(text) {
            length += 1;
            let Some(lower) = lower.get_mut(..word.len()) else { continue };
            lower.copy_from_slice(word);
            lower.make_ascii_lowercase();
            if let Some(&term) = terms.get(&*lower) {
                counts[term] += 1;
            }
        }
        for (term, count) in counts.iter_mut().enumerate() {
            if *count > 0 {
                containing[term] += 1;
                found.push((item as u32, term as u32, *count));
                *count = 0;
            }
        }
        lengths.push(length);
    }
    let mean = (lengths.iter().sum::<usize>() as f64 / items.max(1) as f64).max(1.0);
    let mut scores = vec![0.0f64; items];
    for (item, term, count) in found {
        let (item, n) = (item as usize, containing[term as usize]);
        if n * 1000 > (items * COMMON).max(1000) {
            continue;
        }
        let rarity = (1.0 + (items as f64 - n as f64 + 0.5) / (n as f64 + 0.5)).ln();
        let count = f64::from(count);
        scores[item] +=
            rarity * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * lengths[item] as f64 / mean));
    }
    let best = scores.iter().copied().fold(0.0, f64::max);
    let mut matching: Vec<usize> =
        (0..items).filter(|&item| scores[item] > 0.0 && scores[item] >= best * MIN_SHARE).collect();
    sort::by(&mut matching, |&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    matching
}

/// Longer words are blobs.
const MAX_TERM: usize = 64;

/// Runs of letters, digits and bytes beyond ASCII.
fn words(text: &str) -> impl Iterator<Item = &[u8]> {
    text.as_bytes()
        .split(|&b| !(b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80))
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::tests::survey;
    use super::*;

    #[test]
    fn rare_terms_of_the_query_find_their_items_and_common_ones_none() {
        let texts: Vec<String> = (0..200).map(|n| format!("{{\"id\":{n},\"name\":\"Item {n}\"}}")).collect();
        let mut survey = survey(&vec![(1.0, "x"); 200]);
        survey.texts = texts.iter().map(String::as_str).collect();
        let matches = |query| matches(&survey, &Terms::of([query]));
        assert_eq!(matches("Show item 137, please")[0], 137);
        assert!(matches("show every item with its name").is_empty());
        assert!(matches("").is_empty());
    }
}
