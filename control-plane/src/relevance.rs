//! Which stretch of an original answers a question: by words, by meaning, or by both, as upstream blends them.
//!
//! By words alone the engine answers, in one pass, as it does in the filter. By meaning the text is cut into at most
//! [`MOST_CHUNKS`] stretches, which are embedded with the embedder that memory has.

use std::collections::HashSet;
use std::sync::Arc;

use bm25::{EmbedderBuilder, Embedding, Tokenizer};
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

/// Stretches of one text, and lines of one stretch. One costs about ten milliseconds.
const MOST_CHUNKS: usize = 64;
/// Lines, and rows, of a stretch at least.
const LEAST_LINES: usize = 20;
const LEAST_ROWS: usize = 4;
/// Lines that are close enough are told, at most so many and of each so many bytes: together as much as the engine reads of
/// a question.
const MOST_CLOSE: usize = 4;
const CLOSE_BYTES: usize = 400;
/// Upstream's: what scores less is about something else.
const CLOSE: f64 = 0.25;
/// Of each stretch so many bytes are embedded: models read 256 tokens.
const EMBEDDED_BYTES: usize = 2_000;
const MOST_BYTES: usize = 4 << 20;

/// Words of a question that count, from its start: each is looked for in each stretch.
const MOST_WORDS: usize = 96;
/// Upstream's constants of BM25: how soon repetition stops counting, and how much length counts against a text.
const K1: f32 = 1.5;
const B: f32 = 0.75;

/// The best stretch and who has found it.
#[derive(Debug, Default)]
pub struct RankedRange {
    /// Where it stands; `None`: the engine's own pass is to decide.
    pub range: Option<PageRange>,
    /// Who ranked.
    pub scorer: Scorer,
    /// Why it is not the one that was asked for.
    pub note: Option<String>,
}

impl RankedRange {
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
) -> Result<RankedRange, RankError> {
    if scorer == Scorer::Bm25 {
        return Ok(RankedRange::by_words(None));
    }
    let ranked = by_meaning(scorer, embedder, text, query).await;
    match ranked {
        Err(error) if scorer == Scorer::Hybrid => {
            Ok(RankedRange::by_words(Some(format!("hybrid: only words decide ({error})"))))
        }
        ranked => ranked,
    }
}

async fn by_meaning(
    scorer: Scorer,
    embedder: Option<Arc<Embedder>>,
    text: &str,
    query: &str,
) -> Result<RankedRange, RankError> {
    let embedder = embedder.ok_or(RankError::NoEmbedder)?;
    if text.len() > MOST_BYTES {
        return Err(RankError::TooLong(text.len()));
    }
    let stretches = scored(scorer, &embedder, &Arc::from(text), query, None).await?;
    Ok(RankedRange { range: best(&stretches).map(|best| best.range), scorer, note: None })
}

/// The lines, or rows, of a text that are closest to a question, as they are spelled, the best first: those of the best
/// stretch.
pub(crate) async fn closest(
    scorer: Scorer,
    embedder: &Arc<Embedder>,
    text: &Arc<str>,
    query: &str,
) -> Result<Vec<String>, RankError> {
    if text.len() > MOST_BYTES {
        return Err(RankError::TooLong(text.len()));
    }
    let stretches = scored(scorer, embedder, text, query, None).await?;
    let Some(best) = best(&stretches) else { return Ok(Vec::new()) };
    let mut lines = scored(scorer, embedder, text, query, Some(best.range)).await?;
    lines.retain(|line| line.score >= CLOSE);
    lines.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok(lines.iter().take(MOST_CLOSE).map(|line| start(line.text.trim(), CLOSE_BYTES).to_owned()).collect())
}

/// The best stretch, of equally good ones the first.
fn best(stretches: &[Stretch]) -> Option<&Stretch> {
    let best = stretches.iter().enumerate();
    best.max_by(|(at, a), (other, b)| a.score.total_cmp(&b.score).then(other.cmp(at))).map(|(_, best)| best)
}

/// The first bytes of a text.
fn start(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

/// A part of a text, and how well it answers.
#[derive(Clone, Debug)]
struct Stretch {
    range: PageRange,
    text: String,
    /// From 0 to 1.
    score: f64,
}

/// The stretches of a text, or of a part of it, in their order, with their scores.
async fn scored(
    scorer: Scorer,
    embedder: &Arc<Embedder>,
    text: &Arc<str>,
    query: &str,
    within: Option<PageRange>,
) -> Result<Vec<Stretch>, RankError> {
    let (whole, asked) = (Arc::clone(text), query.to_owned());
    // looking through a long text takes milliseconds in which others are to be served
    let cut = tokio::task::spawn_blocking(move || {
        let mut stretches = stretches(&whole, within);
        if scorer == Scorer::Hybrid {
            score_words(&mut stretches, &asked);
        }
        stretches
    });
    let failed = |error| EmbedError::Run(format!("the text could not be cut: {error}"));
    let mut stretches = cut.await.map_err(failed)?;
    let texts = std::iter::once(query).chain(stretches.iter().map(|stretch| &*stretch.text));
    let vectors = embedder.embed(texts.map(|text| start(text, EMBEDDED_BYTES).to_owned()).collect()).await?;
    let alpha = if scorer == Scorer::Hybrid { alpha(query) } else { 0.0 };
    if let Some((question, vectors)) = vectors.split_first() {
        for (stretch, vector) in stretches.iter_mut().zip(vectors) {
            let meaning = f64::from(cosine(question, vector)).clamp(0.0, 1.0);
            stretch.score = alpha * stretch.score + (1.0 - alpha) * meaning;
        }
    }
    Ok(stretches)
}

/// The text in stretches, each at most a page, or a part of it in lines.
fn stretches(text: &str, within: Option<PageRange>) -> Vec<Stretch> {
    let (unit, first, total, least) = match within {
        Some(PageRange { unit, from, to }) => (unit, from as usize, (to - from.min(to)) as usize + 1, 1),
        None => {
            let whole = excerpt(text, None, Part::Rows(0, 0), PAGE_BYTES);
            let least = if whole.unit == Unit::Rows { LEAST_ROWS } else { LEAST_LINES };
            (whole.unit, whole.unit.first(), whole.total, least)
        }
    };
    let size = total.div_ceil(MOST_CHUNKS).max(least);
    let last = first + total;
    let ranges =
        (0..total.div_ceil(size)).map(|at| (first + at * size, (first + (at + 1) * size).min(last) - 1));
    let found = ranges.map(|(from, to)| {
        let part = if unit == Unit::Rows { Part::Rows(from, to) } else { Part::Lines(from, to) };
        excerpt(text, None, part, PAGE_BYTES)
    });
    found.filter(|found| !found.text.is_empty()).filter_map(Stretch::new).collect()
}

impl Stretch {
    fn new(found: Excerpt<'_>) -> Option<Self> {
        let number = |value: usize| u32::try_from(value).ok();
        let range = PageRange { unit: found.unit, from: number(found.from)?, to: number(found.to)? };
        Some(Self { range, text: found.text.into_owned(), score: 0.0 })
    }
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

/// [`words`], for the crate.
struct Words;

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        words(text)
    }
}

/// Scores stretches by words, from 0 to 1: a tenth of BM25's, and 0.3 more where a word of eight letters is found.
fn score_words(stretches: &mut [Stretch], query: &str) {
    let texts: Vec<&str> = stretches.iter().map(|stretch| &*stretch.text).collect();
    let embedder = EmbedderBuilder::<u64, Words>::with_tokenizer_and_fit_to_corpus(Words, &texts);
    let embedder = embedder.k1(K1).b(B).build();
    let mut scorer = bm25::Scorer::<usize, u64>::new();
    for (at, text) in texts.iter().enumerate() {
        scorer.upsert(&at, once_each(embedder.embed(text)));
    }
    let mut asked = words(query);
    let mut seen = HashSet::new();
    asked.retain(|word| seen.insert(word.clone()));
    asked.truncate(MOST_WORDS);
    let long: Vec<&str> = asked.iter().map(String::as_str).filter(|word| word.len() >= 8).collect();
    let long = once_each(embedder.embed(&long.join(" ")));
    let asked = once_each(embedder.embed(&asked.join(" ")));
    for (at, stretch) in stretches.iter_mut().enumerate() {
        let of = |words| f64::from(scorer.score(&at, words).unwrap_or_default());
        stretch.score = ((of(&asked) / 10.0).min(1.0) + if of(&long) > 0.0 { 0.3 } else { 0.0 }).min(1.0);
    }
}

/// An embedding has an entry for each time that a word stands in its text, all with the same value. One is enough.
fn once_each(mut embedding: Embedding<u64>) -> Embedding<u64> {
    embedding.0.sort_unstable_by_key(|word| word.index);
    embedding.0.dedup_by_key(|word| word.index);
    embedding
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

    fn scores(texts: &[&str], query: &str) -> Vec<f64> {
        let range = PageRange { unit: Unit::Lines, from: 1, to: 1 };
        let mut stretches: Vec<Stretch> =
            texts.iter().map(|text| Stretch { range, text: (*text).to_owned(), score: 0.0 }).collect();
        score_words(&mut stretches, query);
        stretches.into_iter().map(|stretch| stretch.score).collect()
    }

    #[test]
    fn the_text_with_the_rare_words_is_best() {
        let texts = ["the server started", "the server stopped: certificate expired", "the end"];
        let found = scores(&texts, "certificate of the server");
        assert!(found[1] > found[0] && found[0] > found[2], "{found:?}");
        assert!(found.iter().all(|score| (0.0..=1.0).contains(score)));
        // "certificate" has eight letters, "server" has not
        assert!(found[1] > 0.3 && found[0] < 0.3, "{found:?}");
        assert_eq!(scores(&texts, "server server server"), scores(&texts, "server"), "a word counts once");
        assert_eq!(scores(&[], "x"), Vec::<f64>::new());
        assert_eq!(scores(&["", "\u{0}"], ""), [0.0, 0.0]);
        let pasted: String = (0..200_000).map(|n| format!("word{n} ")).collect();
        assert_eq!(scores(&[&pasted], &pasted), [1.0], "of a long question the start counts");
    }

    #[test]
    fn a_text_is_cut_into_few_stretches_that_are_all_of_it() {
        let text: String = (1..=5_000).map(|line| format!("line {line}\n")).collect();
        let found = stretches(&text, None);
        assert!(found.len() <= MOST_CHUNKS);
        assert_eq!((found[0].range.from, found.last().unwrap().range.to), (1, 5_000));
        let rows = serde_json::to_string(&(0..100).collect::<Vec<_>>()).unwrap();
        let found = stretches(&rows, None);
        assert_eq!(found[0].range, PageRange { unit: Unit::Rows, from: 0, to: 3 });
        let each: Vec<String> =
            stretches(&rows, Some(found[2].range)).into_iter().map(|row| row.text).collect();
        assert_eq!(each, ["8", "9", "10", "11"]);
        assert!(stretches("", None).len() <= 1);
        let nowhere = PageRange { unit: Unit::Lines, from: 7, to: 3 };
        assert!(stretches("one\ntwo\n", Some(nowhere)).is_empty());
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
