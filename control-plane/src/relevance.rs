//! Which stretch of an original answers a question: by words, by meaning, or by both, as upstream blends them.
//!
//! By words alone the engine answers, in one pass, as it does in the filter. By meaning the text is cut into at most
//! [`MOST_CHUNKS`] stretches, which are embedded with the embedder that memory has.

use std::collections::HashMap;
use std::sync::Arc;

use headroom_compress::excerpt::{Excerpt, PAGE_BYTES, Part, Unit, excerpt};
use headroom_compress::rounds::PageRange;

use crate::memory::{EmbedError, Embedder, cosine};

/// How stretches are ranked. The names are upstream's.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Scorer {
    /// By words.
    #[default]
    Bm25,
    /// By meaning.
    Embedding,
    /// By both.
    Hybrid,
}

impl Scorer {
    /// The scorer of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "bm25" => Some(Self::Bm25),
            "embedding" => Some(Self::Embedding),
            "hybrid" => Some(Self::Hybrid),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bm25 => "bm25",
            Self::Embedding => "embedding",
            Self::Hybrid => "hybrid",
        }
    }
}

/// Why there is no ranking by meaning.
#[derive(Debug, thiserror::Error)]
pub enum RankError {
    /// Nobody embeds.
    #[error(
        "scorer embedding: there is no embedder: put a model's folder where docs/memory.md says, or ask with hybrid or bm25"
    )]
    NoEmbedder,
    /// The text is too long to be embedded while somebody waits.
    #[error("scorer embedding: the text has {0} bytes, and at most 4194304 are embedded: ask with bm25")]
    TooLong(usize),
    /// The embedder failed.
    #[error("scorer embedding: {0}")]
    Embedder(#[from] EmbedError),
}

/// Stretches of one text. One costs about ten milliseconds.
const MOST_CHUNKS: usize = 64;
/// Lines, and rows, of a stretch at least.
const LEAST_LINES: usize = 20;
const LEAST_ROWS: usize = 4;
/// Of each stretch so many bytes are embedded: models read 256 tokens.
const EMBEDDED_BYTES: usize = 2_000;
const MOST_BYTES: usize = 4 << 20;

const K1: f64 = 1.5;
const B: f64 = 0.75;

/// The best stretch and who has found it.
#[derive(Debug, Default)]
pub struct Ranked {
    /// Where it stands; `None`: the engine's own pass is to decide.
    pub range: Option<PageRange>,
    /// Who ranked.
    pub scorer: Scorer,
    /// Why it is not the one that was asked for.
    pub note: Option<String>,
}

impl Ranked {
    fn by_words(note: Option<String>) -> Self {
        Self { range: None, scorer: Scorer::Bm25, note }
    }
}

/// Finds the stretch of a text that answers a question. `hybrid` falls back to words and says so.
pub async fn rank(
    scorer: Scorer,
    embedder: Option<Arc<Embedder>>,
    text: &str,
    query: &str,
) -> Result<Ranked, RankError> {
    if scorer == Scorer::Bm25 {
        return Ok(Ranked::by_words(None));
    }
    let ranked = by_meaning(scorer, embedder, text, query).await;
    match ranked {
        Err(error) if scorer == Scorer::Hybrid => {
            Ok(Ranked::by_words(Some(format!("hybrid: only words decide ({error})"))))
        }
        ranked => ranked,
    }
}

async fn by_meaning(
    scorer: Scorer,
    embedder: Option<Arc<Embedder>>,
    text: &str,
    query: &str,
) -> Result<Ranked, RankError> {
    let embedder = embedder.ok_or(RankError::NoEmbedder)?;
    if text.len() > MOST_BYTES {
        return Err(RankError::TooLong(text.len()));
    }
    let chunks = chunks(text);
    let start =
        |text: &str| text.get(..text.floor_char_boundary(EMBEDDED_BYTES)).unwrap_or_default().to_owned();
    let texts: Vec<String> =
        std::iter::once(start(query)).chain(chunks.iter().map(|chunk| start(&chunk.text))).collect();
    let vectors = embedder.embed(texts).await?;
    let Some((question, vectors)) = vectors.split_first() else {
        return Ok(Ranked::by_words(None));
    };
    let meaning = vectors.iter().map(|vector| f64::from(cosine(question, vector)).clamp(0.0, 1.0));
    let scores: Vec<f64> = if scorer == Scorer::Hybrid {
        let texts: Vec<&str> = chunks.iter().map(|chunk| &*chunk.text).collect();
        let alpha = alpha(query);
        bm25(&texts, query)
            .into_iter()
            .zip(meaning)
            .map(|(words, meaning)| alpha * words + (1.0 - alpha) * meaning)
            .collect()
    } else {
        meaning.collect()
    };
    let best = scores.iter().enumerate().max_by(|(at, a), (other, b)| a.total_cmp(b).then(other.cmp(at)));
    let range = best.and_then(|(at, _)| chunks.get(at)).and_then(|chunk| {
        let number = |value: usize| u32::try_from(value).ok();
        Some(PageRange { unit: chunk.unit, from: number(chunk.from)?, to: number(chunk.to)? })
    });
    Ok(Ranked { range, scorer, note: None })
}

/// The text in stretches, each at most a page.
fn chunks(text: &str) -> Vec<Excerpt<'_>> {
    let whole = excerpt(text, None, Part::Rows(0, 0), PAGE_BYTES);
    let (unit, total) = (whole.unit, whole.total);
    let least = if unit == Unit::Rows { LEAST_ROWS } else { LEAST_LINES };
    let size = total.div_ceil(MOST_CHUNKS).max(least);
    let first = unit.first();
    (0..total.div_ceil(size))
        .map(|at| (first + at * size, first + (at + 1) * size - 1))
        .map(|(from, to)| if unit == Unit::Rows { Part::Rows(from, to) } else { Part::Lines(from, to) })
        .map(|part| excerpt(text, None, part, PAGE_BYTES))
        .filter(|chunk| !chunk.text.is_empty())
        .collect()
}

/// Upstream's words: a UUID, or a run of letters, digits and underscores. A number of four digits and more is such a run.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for piece in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')) {
        if is_uuid(piece) {
            words.push(piece.to_ascii_lowercase());
        } else {
            words.extend(piece.split('-').filter(|word| !word.is_empty()).map(str::to_ascii_lowercase));
        }
    }
    words
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The scores of texts by words, from 0 to 1: a tenth of BM25's, and 0.3 more where a word of eight letters is found.
fn bm25(texts: &[&str], query: &str) -> Vec<f64> {
    let mut asked = words(query);
    asked.sort_unstable();
    asked.dedup();
    let documents: Vec<HashMap<String, u32>> = texts
        .iter()
        .map(|text| {
            let mut counts = HashMap::new();
            words(text).into_iter().for_each(|word| *counts.entry(word).or_default() += 1);
            counts
        })
        .collect();
    let lengths: Vec<f64> =
        documents.iter().map(|counts| counts.values().map(|n| f64::from(*n)).sum()).collect();
    let number = documents.len().max(1) as f64;
    let average = (lengths.iter().sum::<f64>() / number).max(1.0);
    let rarities: Vec<(&String, f64)> = asked
        .iter()
        .map(|word| {
            let holding = documents.iter().filter(|counts| counts.contains_key(word)).count() as f64;
            (word, (1.0 + (number - holding + 0.5) / (holding + 0.5)).ln())
        })
        .collect();
    documents
        .iter()
        .zip(&lengths)
        .map(|(counts, length)| {
            let mut score = 0.0;
            let mut long = false;
            for (word, rarity) in &rarities {
                let Some(count) = counts.get(*word).map(|count| f64::from(*count)) else { continue };
                score += rarity * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length / average));
                long |= word.len() >= 8;
            }
            ((score / 10.0).min(1.0) + if long { 0.3 } else { 0.0 }).min(1.0)
        })
        .collect()
}

/// How much words count beside meaning: more where the question has names that have no meaning.
fn alpha(query: &str) -> f64 {
    let pieces: Vec<&str> = query.split(|c: char| c.is_whitespace() || c == ',' || c == '"').collect();
    let ids = pieces.iter().filter(|piece| {
        let piece = piece.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        piece.len() >= 4 && piece.bytes().all(|byte| byte.is_ascii_digit())
    });
    let is_host = |piece: &&str| {
        let piece = piece.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        piece.contains('@') || piece.split('.').count() >= 3 && piece.split('.').all(|part| !part.is_empty())
    };
    if pieces.iter().any(|piece| is_uuid(piece)) {
        return 0.85;
    }
    match ids.count() {
        2.. => 0.75,
        1 => 0.65,
        0 if pieces.iter().any(is_host) => 0.6,
        0 => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_count_more_where_a_question_has_names() {
        assert_eq!(alpha("why does it fail"), 0.5);
        assert_eq!(alpha("order 4711"), 0.65);
        assert_eq!(alpha("orders 4711, 4712"), 0.75);
        assert_eq!(alpha("who is ann@example.com"), 0.6);
        assert_eq!(alpha("10.0.0.7"), 0.6);
        assert_eq!(alpha("123e4567-e89b-12d3-a456-426614174000"), 0.85);
        assert_eq!(alpha(""), 0.5);
    }

    #[test]
    fn the_text_with_the_rare_words_is_best() {
        let texts = ["the server started", "the server stopped: certificate expired", "the end"];
        let scores = bm25(&texts, "certificate of the server");
        assert!(scores[1] > scores[0] && scores[0] > scores[2], "{scores:?}");
        assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
        assert_eq!(bm25(&[], "x"), Vec::<f64>::new());
        assert_eq!(bm25(&["", "\u{0}"], ""), [0.0, 0.0]);
    }

    #[test]
    fn a_text_is_cut_into_few_stretches_that_are_all_of_it() {
        let text: String = (1..=5_000).map(|line| format!("line {line}\n")).collect();
        let chunks = chunks(&text);
        assert!(chunks.len() <= MOST_CHUNKS);
        assert_eq!((chunks[0].from, chunks.last().unwrap().to), (1, 5_000));
        let rows = serde_json::to_string(&(0..100).collect::<Vec<_>>()).unwrap();
        assert!(!super::chunks(&rows).is_empty());
        assert!(super::chunks("").len() <= 1);
    }

    #[tokio::test]
    async fn without_an_embedder_meaning_is_an_error_and_both_fall_back_to_words() {
        let error = rank(Scorer::Embedding, None, "text", "query").await.unwrap_err();
        assert!(error.to_string().contains("no embedder"), "{error}");
        let ranked = rank(Scorer::Hybrid, None, "text", "query").await.unwrap();
        assert_eq!((ranked.scorer, ranked.range), (Scorer::Bm25, None));
        assert!(ranked.note.unwrap().contains("no embedder"));
        assert_eq!(rank(Scorer::Bm25, None, "text", "query").await.unwrap().note, None);
    }
}
