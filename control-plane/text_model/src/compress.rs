//! LLMLingua-2 as the Python package `llmlingua` 0.2.2 has it: which words of a text stay.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use headroom_compress::Encoding;
use regex::Regex;

use crate::chunks::{Chunks, ReplacedText, Token};
use crate::config::{Family, SEQUENCE};
use crate::encoder::{Place, RunError};
use crate::folder::{Folder, MAX_FORCE_TOKENS};
use crate::percentile::percentile;

/// Bytes of a text at most: at a chunk in two seconds it takes hours.
pub const MAX_TEXT: usize = 4 << 20;
/// What a piece of a text ends behind.
const ENDS: [&str; 2] = [".", "\n"];
/// What the package puts before and behind a piece, and what it takes for padding. They are BERT's for each model: XLM-R has no
/// such tokens, so that its pieces stand between two unknown ones.
const AROUND: [&str; 3] = ["[CLS]", "[SEP]", "[PAD]"];
/// As Python's `string.punctuation` has it. XLM-R's words begin where a token is a part of it.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

static DIGIT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\d").ok());

/// How a word's likeliness follows from its tokens'.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WordScore {
    /// Their mean.
    #[default]
    Mean,
    /// The first one's.
    First,
}

/// What is asked for, under the package's names.
#[derive(Clone, Debug)]
pub struct Options {
    /// The part of the tokens that is to stay, above 0; of 1 everything stays.
    pub rate: f64,
    /// So many of OpenAI's tokens are to stay, whatever `rate` says.
    pub target_token: Option<usize>,
    /// How a word's likeliness follows from its tokens'.
    pub token_to_word: WordScore,
    /// What always stays: single tokens, or texts.
    pub force_tokens: Vec<String>,
    /// Words with a digit count as certain.
    pub force_reserve_digit: bool,
    /// A forced token that follows itself, with nothing kept in between, goes.
    pub drop_consecutive: bool,
}

impl Options {
    /// Nothing but a rate.
    pub fn of_rate(rate: f64) -> Self {
        Self {
            rate,
            target_token: None,
            token_to_word: WordScore::default(),
            force_tokens: Vec::new(),
            force_reserve_digit: false,
            drop_consecutive: false,
        }
    }
}

/// Why a text was not compressed.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// Not a valid rate.
    #[error("rate: expected a number above 0 and at most 1, found {0}")]
    Rate(f64),
    /// Too many forced tokens, or an empty one.
    #[error("force_tokens: expected at most {MAX_FORCE_TOKENS} texts, none of them empty")]
    ForceTokens,
    /// The text is too long.
    #[error("expected a text of at most {MAX_TEXT} bytes, found {0}")]
    TooLong(usize),
    /// The caller does not wait any longer.
    #[error("the model was stopped before it was done")]
    Stopped,
    /// The tokenizer or the model failed.
    #[error("the text model does not run: {0}")]
    Run(String),
}

impl From<RunError> for CompressError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Stopped => Self::Stopped,
            other => Self::Run(other.to_string()),
        }
    }
}

impl From<tokenizers::Error> for CompressError {
    fn from(error: tokenizers::Error) -> Self {
        Self::Run(error.to_string())
    }
}

/// A word that the model was asked about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Word {
    /// As the model's tokens spell it.
    pub text: String,
    /// Whether it stays.
    pub kept: bool,
    /// The bytes of the caller's text that it stands for, in order.
    pub spans: Vec<Range<usize>>,
}

/// The result for a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CompressedText {
    /// What stays of it: parts of the text, byte for byte, in their order.
    pub text: String,
    /// All that the model was asked about. Empty where everything was to stay.
    pub words: Vec<Word>,
    /// Times that the model ran.
    pub chunks: usize,
}

/// A word with how likely it is to stay.
struct ScoredWord {
    word: Word,
    tokens: Vec<f64>,
}

/// What is the same for all pieces of a text.
struct Run<'a> {
    folder: &'a Folder,
    options: &'a Options,
    /// What replaced each forced text that is not a token.
    stands_in: Vec<(&'a str, &'a str)>,
    /// 1 less the rate.
    reduce: f64,
    /// OpenAI's tokens of words seen before.
    weights: HashMap<String, usize>,
}

/// Compresses a text. `goes_on` is asked before each layer of each piece.
pub(crate) fn compress(
    folder: &Folder,
    text: &str,
    options: &Options,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<CompressedText, CompressError> {
    if !(options.rate > 0.0 && options.rate <= 1.0) {
        return Err(CompressError::Rate(options.rate));
    }
    if options.force_tokens.len() > MAX_FORCE_TOKENS || options.force_tokens.iter().any(String::is_empty) {
        return Err(CompressError::ForceTokens);
    }
    if text.len() > MAX_TEXT {
        return Err(CompressError::TooLong(text.len()));
    }
    let rate = match options.target_token {
        Some(target) => target as f64 / Encoding::Cl100kBase.count(text).max(1) as f64,
        None => options.rate,
    };
    if rate <= 0.0 {
        return Err(CompressError::Rate(rate));
    }
    if rate >= 1.0 {
        return Ok(CompressedText { text: text.to_owned(), words: Vec::new(), chunks: 0 });
    }
    let mut stands_in = Vec::new();
    for (force, stand_in) in options.force_tokens.iter().zip(&folder.stands_in) {
        if folder.tokenizer.encode(force.as_str(), false)?.len() != 1 {
            stands_in.push((force.as_str(), stand_in.as_str()));
        }
    }
    let mut replaced = ReplacedText::new(text);
    for (force, stand_in) in &stands_in {
        replaced.replace(force, stand_in);
    }
    let ends = stands_in.iter().filter(|(force, _)| ENDS.contains(force)).map(|(_, stand_in)| *stand_in);
    let ends: Vec<&str> = ENDS.into_iter().chain(ends).collect();
    let [.., unknown, _, _] = folder.config.family().specials();
    let chunks = Chunks {
        tokenizer: &folder.tokenizer,
        family: folder.config.family(),
        unknown: folder.tokenizer.token_to_id(unknown).unwrap_or_default(),
    };
    let pieces = chunks.split(&replaced, &ends)?;
    let mut run = Run { folder, options, stands_in, reduce: 1.0 - rate, weights: HashMap::new() };
    let mut words = Vec::new();
    for piece in &pieces {
        words.extend(run.piece(&chunks, piece, goes_on)?);
    }
    Ok(CompressedText { text: joined(text, &words), words, chunks: pieces.len() })
}

impl Run<'_> {
    fn piece(
        &mut self,
        chunks: &Chunks<'_>,
        piece: &[Token],
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<Word>, CompressError> {
        let [begin, end, padding] = AROUND;
        let special = |text: &str| Token {
            id: chunks.tokenizer.token_to_id(text).unwrap_or(chunks.unknown),
            text: text.to_owned(),
            span: 0..0,
        };
        let mut tokens = vec![special(begin)];
        tokens.extend(chunks.again(piece)?);
        tokens.push(special(end));
        tokens.truncate(SEQUENCE);
        let rows = u32::try_from(self.folder.config.vocab_size).unwrap_or(u32::MAX);
        let mut positions = self.folder.config.positions();
        let mut places = Vec::with_capacity(tokens.len());
        for token in &tokens {
            // the package gives tokens that the model has no rows for random ones
            let id = if token.id < rows { token.id } else { chunks.unknown };
            let position = positions.next(id);
            // a text that spells padding is padded there: nothing is known of such a place, and it counts for no other
            if token.text != padding {
                places.push(Place { id, position });
            }
        }
        let likely = self.folder.encoder.keep(&places, goes_on)?;
        let known = tokens.iter().filter(|token| token.text != padding);
        let scored = self.words(known.zip(likely), chunks);
        Ok(self.kept(scored))
    }

    /// Tokens to words.
    fn words<'t>(
        &self,
        tokens: impl Iterator<Item = (&'t Token, f32)>,
        chunks: &Chunks<'_>,
    ) -> Vec<ScoredWord> {
        let family = chunks.family;
        let specials = family.specials();
        let mut words: Vec<ScoredWord> = Vec::new();
        for (token, likely) in tokens {
            // one that the vocabulary lacks was given to the model as the unknown one
            let known = token.id != chunks.unknown;
            if !known || specials.contains(&token.text.as_str()) {
                continue;
            }
            let pure = pure(family, &token.text);
            let forced = self.is_forced(pure);
            let certain = |text: &str| {
                self.options.force_reserve_digit && DIGIT.as_ref().is_some_and(|digit| digit.is_match(text))
            };
            let begins = match family {
                Family::Bert => forced || !token.text.starts_with("##"),
                Family::XlmRoberta => {
                    PUNCTUATION.contains(token.text.as_str())
                        || self.is_forced(&token.text)
                        || token.text.starts_with('▁')
                }
            };
            let score = |likely: f64, text: &str| if certain(text) { 1.0 } else { likely };
            match words.last_mut() {
                Some(last) if !begins => {
                    last.tokens.push(score(likely.into(), &token.text));
                    last.word.text.push_str(pure);
                    extend(&mut last.word.spans, token.span.clone());
                }
                _ => {
                    let mut text = token.text.clone();
                    for (force, stand_in) in &self.stands_in {
                        text = text.replace(stand_in, force);
                    }
                    let likely = if forced { 1.0 } else { likely.into() };
                    let tokens = vec![score(likely, &text)];
                    let mut spans = Vec::new();
                    extend(&mut spans, token.span.clone());
                    words.push(ScoredWord { word: Word { text, kept: false, spans }, tokens });
                }
            }
        }
        words
    }

    fn is_forced(&self, token: &str) -> bool {
        self.options.force_tokens.iter().any(|force| force == token)
            || self.stands_in.iter().any(|(_, stand_in)| *stand_in == token)
    }

    /// Words to those that stay: the likelier ones, counted by OpenAI's tokens.
    fn kept(&mut self, scored: Vec<ScoredWord>) -> Vec<Word> {
        let score = |scored: &ScoredWord| match self.options.token_to_word {
            WordScore::Mean => scored.tokens.iter().sum::<f64>() / scored.tokens.len() as f64,
            WordScore::First => scored.tokens.first().copied().unwrap_or_default(),
        };
        let mut scores: Vec<f64> = scored.iter().map(score).collect();
        let mut words: Vec<Word> = scored.into_iter().map(|scored| scored.word).collect();
        let forced = |word: &Word| self.options.force_tokens.contains(&word.text);
        if self.options.drop_consecutive {
            let threshold = percentile(&mut scores.clone(), percent(100.0 * self.reduce)).unwrap_or_default();
            let (mut between, mut previous) = (false, None);
            for (word, score) in words.iter().zip(&mut scores) {
                if forced(word) {
                    if !between && previous == Some(&word.text) {
                        *score = 0.0;
                    }
                    between = false;
                    previous = Some(&word.text);
                } else {
                    between |= *score > threshold;
                }
            }
        }
        let mut weighted = Vec::new();
        for (word, score) in words.iter().zip(&scores) {
            let weight = match self.weights.get(&word.text) {
                Some(weight) => *weight,
                None => {
                    let weight = Encoding::Cl100kBase.count(&word.text);
                    self.weights.insert(word.text.clone(), weight);
                    weight
                }
            };
            weighted.extend(std::iter::repeat_n(*score, weight));
        }
        let threshold = percentile(&mut weighted, percent(100.0 * self.reduce + 1.0)).unwrap_or_default();
        let mut last: Option<String> = None;
        for (word, score) in words.iter_mut().zip(scores) {
            let likely = score > threshold || (threshold == 1.0 && score == threshold);
            let again = self.options.drop_consecutive && forced(word) && last.as_ref() == Some(&word.text);
            word.kept = likely && !again;
            if word.kept && self.options.drop_consecutive {
                last = Some(word.text.clone());
            }
        }
        words
    }
}

/// Python's `int` of a percentage, which is 0 to 100 here: a rate is above 0.
fn percent(number: f64) -> u32 {
    (number as u32).min(100)
}

/// A token without the mark of its place in a word.
fn pure(family: Family, token: &str) -> &str {
    match family {
        // Python's lstrip takes any number of the characters
        Family::Bert => token.trim_start_matches('#'),
        Family::XlmRoberta => token.trim_start_matches('▁'),
    }
}

/// Adds a span to a word's, which are in order.
fn extend(spans: &mut Vec<Range<usize>>, span: Range<usize>) {
    match spans.last_mut() {
        _ if span.is_empty() => {}
        Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
        _ => spans.push(span),
    }
}

/// The bytes of the words that stay. Between two of them stands what stood there; where words are left out in between, one
/// of the gaps beside those: one with a line's end if there is one. A single blank of ours stands only where two words
/// would run together.
fn joined(text: &str, words: &[Word]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut written = 0;
    for span in words.iter().filter(|word| word.kept).flat_map(|word| &word.spans) {
        // two words may stand for one token of the caller's text, which stays once
        let start = span.start.max(written);
        let Some(part) = text.get(start..span.end).filter(|part| !part.is_empty()) else { continue };
        if !out.is_empty() {
            let skipped = text.get(written..start).unwrap_or_default();
            out.push_str(match gap(skipped) {
                "" if !skipped.is_empty() => between(&out, part),
                gap => gap,
            });
        }
        out.push_str(part);
        written = span.end;
    }
    out
}

/// Of the gaps in what is left out the first with a line's end, else the last.
fn gap(skipped: &str) -> &str {
    let gaps = || skipped.split(|char: char| !char.is_whitespace()).filter(|gap| !gap.is_empty());
    gaps().find(|gap| gap.contains('\n')).or_else(|| gaps().next_back()).unwrap_or_default()
}

/// A blank, where two words would read as one. Scripts without blanks need none.
fn between(before: &str, after: &str) -> &'static str {
    let joins = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() && char < '\u{2e80}');
    if joins(before.chars().next_back()) && joins(after.chars().next()) { " " } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stays of a text of which each word stands in angle brackets that is to stay.
    fn kept(marked: &str) -> String {
        let (mut text, mut words, mut kept) = (String::new(), Vec::<Word>::new(), false);
        for char in marked.chars() {
            match char {
                '<' | '>' => {
                    kept = char == '<';
                    if kept {
                        words.push(Word { text: String::new(), kept, spans: Vec::new() });
                    }
                }
                char => {
                    let span = text.len()..text.len() + char.len_utf8();
                    text.push(char);
                    match words.last_mut() {
                        _ if char.is_whitespace() => {}
                        Some(word) if kept => extend(&mut word.spans, span),
                        _ => words.push(Word { text: String::new(), kept: false, spans: vec![span] }),
                    }
                }
            }
        }
        joined(&text, &words)
    }

    #[test]
    fn gaps_are_the_original_s_and_words_do_not_run_together() {
        for (marked, expected) in [
            ("<the> quick <fox>", "the fox"),
            ("<the>  <fox>", "the  fox"),
            ("<one>, two\n\nthree <four>", "one\n\nfour"),
            ("<one>\n  two <three>", "one\n  three"),
            ("<foo>-<bar>", "foo bar"),
            ("<foo>bar<.>", "foo."),
            ("<f>oo bar<.>", "f ."),
            ("<你>好<世>", "你世"),
            ("the <fox>\n", "fox"),
            ("nothing stays", ""),
            ("", ""),
        ] {
            assert_eq!(kept(marked), expected, "{marked:?}");
        }
    }

    #[test]
    fn two_words_of_one_token_stay_once() {
        let word = |kept, span: Range<usize>| Word { text: String::new(), kept, spans: vec![span] };
        assert_eq!(joined("ab cd", &[word(false, 0..2), word(true, 0..2), word(true, 3..5)]), "ab cd");
        assert_eq!(joined("ab cd", &[word(true, 0..2), word(true, 0..2), word(false, 3..5)]), "ab");
        let strange = [word(true, 0..9), word(true, 2..3), word(true, 1..3)];
        assert_eq!(joined("aéb", &strange), "é", "invalid spans are left out");
    }
}
