//! Facts by words and by meaning, in one order.

use std::collections::HashSet;

use super::fact::StoredFact;

/// Words of a query that are looked for. The rest of a long text adds nothing but time.
const MAX_WORDS: usize = 32;
/// What a fact that fits the words best is worth beside the cosine, where there is an embedder. Measured on 24 questions:
/// from 0.1 to 0.5 the sentence transformer finds the same ones first.
const WORDS_SHARE: f64 = 0.3;
/// Words that stand in every other fact and question. To look for them costs time, and finds everything.
const COMMON: &[&str] = &["a", "an", "and", "are", "in", "is", "of", "on", "or", "the", "to"];

/// A fact that was found, and how well it fits, from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchedFact {
    /// The fact.
    pub stored: StoredFact,
    /// The cosine where there is an embedder, else the share of the best match.
    pub relevance: f64,
    /// What decides the order.
    pub(super) score: f64,
    /// Whether it has a word of the query.
    pub(super) by_words: bool,
}

/// The words of a query, as the text index knows them: letters and digits, in lower case.
pub fn query_words(query: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    let all = query.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    // some letters become two in lower case, of which one is a mark
    let folded = |word: &str| word.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let words: Vec<String> =
        all.map(folded).filter(|word| !word.is_empty() && seen.insert(word.clone())).collect();
    let rare = || words.iter().filter(|word| !COMMON.contains(&word.as_str()));
    let words: Vec<String> = if rare().next().is_some() { rare().cloned().collect() } else { words };
    words.into_iter().take(MAX_WORDS).collect()
}

/// Both kinds of matches in one order, the best first. `near` is `None` where there is no embedder.
pub(super) fn fuse(
    by_words: Vec<(StoredFact, f64)>,
    near: Option<Vec<(StoredFact, f32)>>,
) -> Vec<MatchedFact> {
    let best = by_words.iter().map(|(_, fit)| *fit).fold(f64::MIN_POSITIVE, f64::max);
    let shares = by_words.into_iter().map(|(stored, fit)| (stored, (fit / best).clamp(0.0, 1.0)));
    let mut found: Vec<MatchedFact> = match near {
        None => shares
            .map(|(stored, share)| MatchedFact { stored, relevance: share, score: share, by_words: true })
            .collect(),
        Some(near) => {
            let mut found: Vec<MatchedFact> = near
                .into_iter()
                .map(|(stored, cosine)| {
                    let cosine = f64::from(cosine).clamp(0.0, 1.0);
                    MatchedFact { stored, relevance: cosine, score: cosine, by_words: false }
                })
                .collect();
            for (stored, share) in shares {
                match found.iter_mut().find(|found| found.stored.ordinal == stored.ordinal) {
                    Some(found) => {
                        found.score += WORDS_SHARE * share;
                        found.by_words = true;
                    }
                    // it has no vector yet, or is far from the nearest
                    None => {
                        let score = WORDS_SHARE * share;
                        found.push(MatchedFact { stored, relevance: 0.0, score, by_words: true });
                    }
                }
            }
            found
        }
    };
    let order = |one: &MatchedFact, other: &MatchedFact| {
        let newer = other.stored.ordinal.cmp(&one.stored.ordinal);
        other.score.total_cmp(&one.score).then(newer)
    };
    found.sort_unstable_by(order);
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn common_words_are_looked_for_only_where_there_are_no_others() {
        assert_eq!(query_words("Which port is THE server's?"), ["which", "port", "server", "s"]);
        assert_eq!(query_words("to be or the"), ["be"]);
        assert_eq!(query_words("the"), ["the"]);
        assert!(query_words(" -- \"*\" ").is_empty());
    }

    proptest! {
        #[test]
        fn no_query_holds_anything_but_letters_and_digits(query in ".{0,200}") {
            for word in query_words(&query) {
                prop_assert!(!word.is_empty() && word.chars().all(char::is_alphanumeric), "{word:?}");
            }
        }
    }
}
