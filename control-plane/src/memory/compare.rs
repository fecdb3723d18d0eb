//! How two facts relate to each other, as far as their words show.
//!
//! No score of similarity distinguishes a duplicate from a contradiction: "User prefers pnpm over npm" and "User prefers
//! npm over pnpm" have a cosine of 0.99. So two facts are merged only if they have the same words in the same order, apart
//! from articles, the spelling of the first word, quotes, and "is listening" for "listens" ([`likeness`]). The answer to a
//! save names facts that are only close ([`relation`]), and nothing else is done about them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use headroom_api::memory::Relation;
use rust_stemmers::{Algorithm, Stemmer};

/// The share of the shorter fact's words from which on two facts are about the same thing.
const CLOSE: f64 = 0.5;
/// The share from which on two facts without a difference that matters say the same.
const SAME: f64 = 0.75;
/// The cosine from which on they are about the same thing, or say the same.
const CLOSE_COSINE: f32 = 0.6;
const SAME_COSINE: f32 = 0.8;
/// The number of words by which two facts of the same structure may differ, and then contradict each other.
const REPLACED: usize = 2;
/// Bytes at the beginning of a fact whose words are compared.
const COMPARED: usize = 1 << 10;
/// What the first word of a sentence may come after.
const ARTICLES: &[&str] = &["The", "A", "An"];

/// Words that carry no meaning of their own in a fact.
const FILLERS: &[&str] = &[
    "a",
    "an",
    "the",
    "is",
    "are",
    "be",
    "been",
    "being",
    "was",
    "were",
    "do",
    "does",
    "it",
    "its",
    "this",
    "that",
    "these",
    "those",
    "to",
    "of",
    "in",
    "on",
    "at",
    "by",
    "for",
    "with",
    "via",
    "as",
    "and",
    "or",
    "would",
    "should",
    "will",
    "can",
    "may",
    "must",
    "use",
    "uses",
    "used",
    "using",
    "done",
    "we",
    "you",
    "they",
    "our",
    "your",
    "rather",
    "prefer",
    "prefers",
    "preferred",
    "instead",
    "from",
    "into",
    "please",
];
/// Words behind which stands what is not so, or not wanted.
const REJECTING: &[&str] =
    &["not", "never", "no", "without", "over", "than", "don't", "doesn't", "cannot", "can't"];
/// Numbers as words.
const NUMBERS: &[&str] = &[
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "twenty", "thirty", "hundred", "thousand", "once", "twice",
];

/// A key that two facts share only where they say the same. 128 bits in hexadecimal.
pub fn likeness(text: &str) -> String {
    let mut key = blake3::Hasher::new();
    for word in wording(text) {
        key.update(word.as_bytes());
        key.update(b"\n");
    }
    hex(&key)
}

/// The words that make two facts one, in order.
fn wording(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut rest = words(text).peekable();
    let mut begins = true;
    std::iter::from_fn(move || {
        let word = loop {
            let word = rest.next()?;
            let is_capital = ARTICLES.contains(&word);
            if !is_capital && !["a", "an", "the"].contains(&word) {
                break word;
            }
            begins &= is_capital;
        };
        let verb = rest.peek().and_then(|next| progressive(word, next));
        if verb.is_some() {
            rest.next();
        }
        let word = verb.map_or(Cow::Borrowed(word), Cow::Owned);
        Some(if std::mem::take(&mut begins) { Cow::Owned(beginning(&word)) } else { word })
    })
}

/// A key that two facts share only where they are spelled alike, white space aside.
pub fn fingerprint(text: &str) -> String {
    let mut key = blake3::Hasher::new();
    for word in text.split_whitespace() {
        key.update(word.as_bytes());
        key.update(b" ");
    }
    hex(&key)
}

fn hex(key: &blake3::Hasher) -> String {
    key.finalize().to_hex().chars().take(32).collect()
}

/// "is listening" as "listens", "are listening" as "listen".
fn progressive(copula: &str, verb: &str) -> Option<String> {
    let stem = verb
        .strip_suffix("ing")
        .filter(|stem| stem.len() > 2 && stem.bytes().all(|b| b.is_ascii_lowercase()))?;
    match copula {
        "is" => Some(format!("{stem}s")),
        "are" => Some(stem.to_owned()),
        _ => None,
    }
}

/// The first word without its capital, where that is all that a sentence gives it.
fn beginning(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next();
    let plain = letters.clone().all(char::is_lowercase);
    first
        .filter(|_| plain)
        .map_or_else(|| word.to_owned(), |first| first.to_lowercase().chain(letters).collect())
}

/// The words of a text, without the marks of sentences and quotation around them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let marks = |c: char| ",;:!?\"'`()[]{}“”‘’".contains(c);
    let word = move |word| str::trim_end_matches(str::trim_matches(word, marks), '.').trim_end_matches(marks);
    text.split_whitespace().map(word).filter(|word| !word.is_empty())
}

/// A text taken apart for comparisons.
pub(super) struct ComparedText<'a> {
    text: &'a str,
    /// Whether all its words are in the following ones.
    is_whole: bool,
    /// Stems of words with a meaning, in order; anything but a plain word stays as it is.
    stems: Vec<String>,
    /// The same, each once.
    known: BTreeSet<String>,
    /// Numbers, versions, times.
    numbers: BTreeSet<String>,
    /// Paths, identifiers, names within the text.
    names: BTreeSet<String>,
    /// What is not so, or not wanted.
    rejected: BTreeSet<String>,
}

impl<'a> ComparedText<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let stemmer = Stemmer::create(Algorithm::English);
        let (mut stems, mut numbers, mut names, mut rejected) =
            (Vec::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut rejecting = false;
        let mut begin = text.get(..text.floor_char_boundary(COMPARED)).unwrap_or_default();
        if begin.len() < text.len() {
            // no half of a word or a number
            begin = begin.get(..begin.rfind(char::is_whitespace).unwrap_or_default()).unwrap_or_default();
        }
        let mut words = words(begin).enumerate().peekable();
        while let Some((at, word)) = words.next() {
            let word = word.strip_suffix("'s").unwrap_or(word);
            let folded = word.to_lowercase();
            let after = words.peek().map(|(_, word)| word.to_lowercase());
            if REJECTING.contains(&folded.as_str()) || (folded == "instead" && after.as_deref() == Some("of"))
            {
                rejecting = true;
                continue;
            }
            if FILLERS.contains(&folded.as_str()) {
                continue;
            }
            let plain = word.chars().all(char::is_alphabetic);
            let stem = if plain { stemmer.stem(&folded).into_owned() } else { word.to_owned() };
            if word.bytes().any(|byte| byte.is_ascii_digit()) || NUMBERS.contains(&folded.as_str()) {
                numbers.insert(folded);
            } else if !plain && word.chars().any(char::is_alphabetic)
                || at > 0 && word.starts_with(char::is_uppercase)
            {
                names.insert(stem.clone());
            }
            if std::mem::take(&mut rejecting) {
                rejected.insert(stem.clone());
            }
            if stem.chars().any(char::is_alphanumeric) {
                stems.push(stem);
            }
        }
        let known = stems.iter().cloned().collect();
        let is_whole = begin.len() == text.len();
        Self { text, is_whole, stems, known, numbers, names, rejected }
    }

    /// Whether the texts have the same build, and a word or two of one stand where others stand in the other.
    fn replaces(&self, other: &Self) -> bool {
        if self.stems.len() != other.stems.len() {
            return false;
        }
        let pairs = || self.stems.iter().zip(&other.stems).filter(|(mine, theirs)| mine != theirs);
        let foreign =
            pairs().all(|(mine, theirs)| !other.known.contains(mine) && !self.known.contains(theirs));
        foreign && (1..=REPLACED).contains(&pairs().count())
    }
}

/// How one fact stands to another; `None`: they have nothing to do with each other. `cosine` is that of their
/// embeddings, where there is an embedder.
pub(super) fn relation(
    one: &ComparedText<'_>,
    other: &ComparedText<'_>,
    cosine: Option<f32>,
) -> Option<Relation> {
    if wording(one.text).eq(wording(other.text)) {
        return Some(Relation::Same);
    }
    let shorter = one.known.len().min(other.known.len()).max(1);
    let shared = one.known.intersection(&other.known).count() as f64 / shorter as f64;
    let cosine = cosine.unwrap_or_default();
    if shared < CLOSE && cosine < CLOSE_COSINE {
        return None;
    }
    let is_whole = one.is_whole && other.is_whole;
    // What the beginning of one has and that of the other has not may stand behind it.
    let differ = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        one != other && (is_whole || !(one.is_subset(other) || other.is_subset(one)))
    };
    let other_numbers =
        !one.numbers.is_empty() && !other.numbers.is_empty() && differ(&one.numbers, &other.numbers);
    if shared >= CLOSE && (other_numbers || differ(&one.rejected, &other.rejected) || one.replaces(other)) {
        return Some(Relation::Contradicts);
    }
    // a name at the beginning of a text cannot be distinguished from another word, so each is looked for among all words
    let alike = is_whole
        && one.numbers == other.numbers
        && one.rejected == other.rejected
        && one.names.is_subset(&other.known)
        && other.names.is_subset(&one.known);
    let same = alike && (shared >= SAME || cosine >= SAME_COSINE);
    Some(if same { Relation::Same } else { Relation::Related })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_same_words_in_the_same_order_are_one_fact() {
        for (one, other) in [
            ("The API server listens on port 8787", "API server is listening on port 8787."),
            ("Use `make check`", "use make check"),
            ("The user prefers tabs", "User prefers tabs"),
        ] {
            assert_eq!(likeness(one), likeness(other), "{one} / {other}");
        }
        for (one, other) in [
            ("User prefers pnpm over npm", "User prefers npm over pnpm"),
            ("Dark mode is the default theme", "Light mode is the default theme"),
            ("Copy from a/ to b/", "Copy to a/ from b/"),
            ("The server was on port 80", "The server is on port 80"),
            ("The team uses Go", "The team uses go"),
            ("The tests must be run", "The tests must not be run"),
            ("Retry 3 times", "Retry 3.5 times"),
            ("The university builds it", "The universe builds it"),
        ] {
            assert_ne!(likeness(one), likeness(other), "{one} / {other}");
        }
    }

    #[test]
    fn facts_that_have_nothing_in_common_are_not_related() {
        assert_eq!(between("Dark mode is the default theme", "The team lead is Priya", None), None);
    }

    #[test]
    fn of_a_long_fact_the_first_words_are_compared_and_the_others_are_not_taken_for_the_same() {
        let long = "Port 1234 ".repeat(1 << 14);
        let text = ComparedText::new(&long);
        assert!((1..=COMPARED).contains(&text.stems.len()), "{}", text.stems.len());
        let other = format!("{long} Not");
        assert_ne!(likeness(&long), likeness(&other));
        assert_eq!(between(&long, &other, None), Some(Relation::Related), "the rest may say anything");
        assert_eq!(between(&long, &long, None), Some(Relation::Same));
    }

    /// With a look at all words before each one, this takes minutes.
    #[test]
    fn a_text_that_begins_with_many_articles_is_read_once() {
        let articles = "The ".repeat(1 << 18);
        assert_eq!(wording(&format!("{articles}Words {}", "of it ".repeat(1 << 18))).count(), (1 << 19) + 1);
        assert_eq!(likeness(&format!("{articles}User")), likeness("user"));
        assert_ne!(
            likeness(&format!("{articles}the User")),
            likeness("user"),
            "a small one begins no sentence"
        );
    }

    fn between(one: &str, other: &str, cosine: Option<f32>) -> Option<Relation> {
        relation(&ComparedText::new(one), &ComparedText::new(other), cosine)
    }

    proptest! {
        #[test]
        fn any_text_can_be_compared(one in ".{0,80}", other in ".{0,80}") {
            prop_assert_eq!(between(&one, &one, None), Some(Relation::Same));
            let _ = between(&one, &other, Some(0.7));
            prop_assert_eq!(fingerprint(&one), fingerprint(&format!(" {one}\n")));
        }
    }
}
