//! What the reader of an output looks for, by the scorer that a caller names. The engine keeps lines that share rare words
//! with it, as it does with what the user has said: so of an output it keeps those that come closest in meaning.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hashlink::LruCache;
use tokio::time::{Instant, timeout_at};

use super::answer::ScorerAnswer;
use super::row::Question;
use crate::memory::Embedder;
use crate::relevance::{RankError, Scorer, closest};

/// Finds the embedder, which may not be there yet.
pub(crate) type FindEmbedder = Arc<dyn Fn() -> Option<Arc<Embedder>> + Send + Sync>;

/// Texts of one call that are looked through for what they mean, the newest first. One takes up to a second.
const MOST_TEXTS: usize = 8;
/// Texts whose focus is remembered, so that a caller without a session gets the same again. One has at most four kilobytes.
const REMEMBERED: usize = 4_096;

/// Finds and remembers what is looked for.
pub(super) struct Focuses {
    embedder: FindEmbedder,
    known: Mutex<LruCache<blake3::Hash, Arc<str>>>,
}

/// What was found.
#[derive(Debug)]
pub(super) struct RowFocuses {
    /// What is looked for in each row; rows without anything are not in it.
    pub(super) by_row: HashMap<usize, String>,
    pub(super) answer: ScorerAnswer,
}

impl Focuses {
    pub(super) fn new(embedder: FindEmbedder) -> Self {
        Self { embedder, known: Mutex::new(LruCache::new(REMEMBERED)) }
    }

    /// What is looked for in rows with these questions. What is not found within a time, or fails, is the words of the
    /// question.
    pub(super) async fn find(
        &self,
        scorer: Scorer,
        questions: &[(usize, Question)],
        within: Duration,
    ) -> RowFocuses {
        let until = Instant::now() + within;
        let by_words = |row: &(usize, Question)| (row.0, row.1.said.clone());
        if scorer == Scorer::Bm25 {
            let answer = ScorerAnswer { scorer: scorer.name(), scorer_note: None };
            return RowFocuses { by_row: questions.iter().map(by_words).collect(), answer };
        }
        let note =
            |why: &dyn std::fmt::Display| Some(format!("{}: only words decide ({why})", scorer.name()));
        let Some(embedder) = (self.embedder)() else {
            let answer =
                ScorerAnswer { scorer: Scorer::Bm25.name(), scorer_note: note(&RankError::NoEmbedder) };
            return RowFocuses { by_row: questions.iter().map(by_words).collect(), answer };
        };
        let mut answer = ScorerAnswer { scorer: scorer.name(), scorer_note: None };
        let mut by_row = HashMap::new();
        let mut left = MOST_TEXTS;
        for (row, question) in questions.iter().rev() {
            let mut focus: Vec<Arc<str>> = Vec::new();
            for text in &question.texts {
                let key = key(scorer, embedder.name(), &question.said, text);
                let known = self.lock().get(&key).cloned();
                let found = match known {
                    Some(found) => found,
                    None => {
                        let found = if left == 0 {
                            Err(format!("{MOST_TEXTS} outputs of a call are looked through"))
                        } else {
                            left -= 1;
                            match timeout_at(until, closest(scorer, &embedder, text, &question.said)).await {
                                Ok(Ok(lines)) => Ok(lines),
                                Ok(Err(error)) => Err(error.to_string()),
                                Err(_) => Err("there is no time left".to_owned()),
                            }
                        };
                        let found: Arc<str> = match found {
                            Ok(mut lines) => {
                                if scorer == Scorer::Hybrid {
                                    lines.push(question.said.clone());
                                }
                                lines.join("\n").into()
                            }
                            Err(why) => {
                                answer.scorer_note = answer.scorer_note.take().or(note(&why));
                                question.said.as_str().into()
                            }
                        };
                        self.lock().insert(key, Arc::clone(&found));
                        found
                    }
                };
                if !found.is_empty() && !focus.contains(&found) {
                    focus.push(found);
                }
            }
            if !focus.is_empty() {
                by_row.insert(*row, focus.join("\n"));
            }
        }
        RowFocuses { by_row, answer }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<blake3::Hash, Arc<str>>> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn key(scorer: Scorer, embedder: &str, said: &str, text: &str) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in [scorer.name(), embedder, said, text] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.finalize()
}

#[cfg(all(test, feature = "embedder"))]
mod tests {
    use super::*;
    use crate::memory::of_words;

    fn questions(text: &str) -> Vec<(usize, Question)> {
        let question = |row: usize| {
            (
                row,
                Question {
                    said: "why is the tls broken".to_owned(),
                    texts: vec![format!("{text}{row}\n").into()],
                },
            )
        };
        (0..MOST_TEXTS + 2).map(question).collect()
    }

    fn text() -> String {
        let line = |n: usize| match n {
            120 => "certificate expired\n".to_owned(),
            _ => format!("job {n} fine\n"),
        };
        (0..300).map(line).collect()
    }

    #[tokio::test]
    async fn what_is_close_in_meaning_is_looked_for_and_remembered_whatever_comes() {
        let dir = tempfile::tempdir().unwrap();
        // "tls" and "certificate" point one way, all other words another
        let embedder = Arc::new(of_words(dir.path(), &["tls", "certificate"], &["job", "fine"]));
        let focuses = Focuses::new(Arc::new(move || Some(Arc::clone(&embedder))));
        let asked = questions(&text());
        let within = Duration::from_secs(60);
        let found = focuses.find(Scorer::Embedding, &asked, within).await;
        let last = MOST_TEXTS + 1;
        assert_eq!(found.by_row[&last], "certificate expired", "{found:?}");
        // the oldest have no turn: their words decide, and the answer says so
        assert_eq!((&found.by_row[&0], &found.by_row[&1]), (&asked[0].1.said, &asked[1].1.said));
        assert_eq!(found.answer.scorer, "embedding");
        assert!(found.answer.scorer_note.unwrap().contains("8 outputs"));
        // and it stays so, with time and without
        let again = focuses.find(Scorer::Embedding, &asked, Duration::ZERO).await;
        assert_eq!((again.by_row, again.answer.scorer_note), (found.by_row, None));
        let both = focuses.find(Scorer::Hybrid, &asked[last..], within).await;
        assert_eq!(both.by_row[&last], format!("certificate expired\n{}", asked[last].1.said));
    }

    #[tokio::test]
    async fn without_time_or_an_embedder_words_decide_and_the_answer_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let embedder = Arc::new(of_words(dir.path(), &["tls"], &["job"]));
        let late = Focuses::new(Arc::new(move || Some(Arc::clone(&embedder))));
        let asked = questions(&text());
        let found = late.find(Scorer::Hybrid, &asked[..1], Duration::ZERO).await;
        assert_eq!(found.by_row[&0], asked[0].1.said);
        assert!(found.answer.scorer_note.unwrap().contains("no time left"));
        let none = Focuses::new(Arc::new(|| None));
        let found = none.find(Scorer::Embedding, &asked[..1], Duration::from_secs(9)).await;
        assert_eq!((&found.by_row[&0], found.answer.scorer), (&asked[0].1.said, "bm25"));
        assert!(found.answer.scorer_note.unwrap().contains("no embedder"));
        let words = none.find(Scorer::Bm25, &asked[..1], Duration::ZERO).await;
        assert_eq!((words.by_row.len(), words.answer.scorer_note), (1, None));
    }

    #[tokio::test]
    async fn what_is_about_something_else_is_not_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let embedder = Arc::new(of_words(dir.path(), &["tls"], &["job", "fine"]));
        let focuses = Focuses::new(Arc::new(move || Some(Arc::clone(&embedder))));
        let asked = questions(&"job fine\n".repeat(200));
        let found = focuses.find(Scorer::Embedding, &asked[..1], Duration::from_secs(60)).await;
        assert_eq!((found.by_row.len(), found.answer.scorer_note), (0, None));
        let huge = vec![(0, Question { said: "tls".to_owned(), texts: vec!["x\n".repeat(3 << 20).into()] })];
        let found = focuses.find(Scorer::Embedding, &huge, Duration::from_secs(60)).await;
        assert_eq!(found.by_row[&0], "tls");
        assert!(
            found.answer.scorer_note.unwrap().contains("at most 4194304"),
            "too long to be looked through"
        );
    }
}
