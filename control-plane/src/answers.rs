//! The answer cache. It is only in memory, because answers hold what people have asked and read; it ends with the process.
//!
//! The filter decides which answers may be kept, and makes their keys. Here they are kept, by tenant and key, up to a size
//! and a time; the least recently used one goes first. Of equal requests that come together, one fetches the answer, and the
//! others may wait for it.

pub mod counts;
mod shelf;
mod wording;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use headroom_api::v1::{Answer, Question};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::counts::{Counts, Read};
use self::shelf::{Asked, Entry, Shelf};
pub use self::shelf::{Key, PurgedAnswers};
use self::wording::wording;
use crate::clock::now_ms;
use crate::memory::{Memory, Vector};
use crate::purge::Scope;

/// Bytes of an answer at most, as many as a filter reads.
pub const MAX_ANSWER_BYTES: usize = 3 << 20;
/// A request that fetches an answer has this long. After that, another request is to fetch it.
const FETCHES_WITHIN: Duration = Duration::from_secs(120);
/// Answers under way that are known of; beyond, equal requests all go to the provider.
const MAX_UNDER_WAY: usize = 10_000;
/// The longest time for which an answer is given again, whatever a filter says.
const MAX_TTL: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The longest time for which a call waits.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct AnswerQuery {
    /// Whose, and which.
    pub key: Key,
    /// Not older.
    pub max_age: Option<Duration>,
    /// For how long the call may wait for an answer that is under way.
    pub wait: Duration,
    /// Set where the answer to a similar question may do.
    pub question: Option<Question>,
}

/// What is there.
#[derive(Clone, Debug, PartialEq)]
pub enum LookupOutcome {
    /// Nothing; the caller is to fetch it.
    Nothing,
    /// Another request fetches it.
    UnderWay,
    /// This, which is so old; `similar`: the question was another one.
    Answer {
        /// What was kept.
        answer: Arc<Answer>,
        /// Since when.
        age: Duration,
        /// Whether it is that of another question.
        similar: bool,
    },
}

/// Answers, shared by all that handle them.
#[derive(Clone)]
pub struct Answers(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    counts: Counts,
    embedder: Box<dyn QuestionEmbedder>,
}

/// What turns a question into a vector, where something does.
#[async_trait]
pub trait QuestionEmbedder: Send + Sync + 'static {
    /// The vector of a text; `None`: only equal requests find an answer.
    async fn vector(&self, text: &str) -> Option<Vector>;
}

#[async_trait]
impl QuestionEmbedder for Memory {
    async fn vector(&self, text: &str) -> Option<Vector> {
        self.embedding(text).await
    }
}

struct State {
    shelf: Shelf,
    under_way: HashMap<Key, Fetch>,
}

/// An answer that is being fetched. Dropping it wakes the requests that wait.
struct Fetch {
    until: Instant,
    done: watch::Sender<()>,
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

impl Answers {
    /// Up to so many bytes.
    pub fn new(max_bytes: usize, embedder: impl QuestionEmbedder) -> Self {
        let state = Mutex::new(State { shelf: Shelf::new(max_bytes), under_way: HashMap::new() });
        Self(Arc::new(Shared { state, counts: Counts::default(), embedder: Box::new(embedder) }))
    }

    /// What was counted here.
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Whether a filter has asked for an answer, or handed one over, since the process started: where no route has a cache,
    /// none does.
    pub fn is_asked(&self) -> bool {
        self.0.counts.read() != Read::default() || !self.state().under_way.is_empty()
    }

    /// Answers that are kept, their bytes, and how many bytes they may have.
    pub fn size(&self) -> (usize, usize, usize) {
        let state = self.state();
        (state.shelf.len(), state.shelf.bytes(), state.shelf.max_bytes())
    }

    /// Looks for an answer.
    pub async fn find(&self, wanted: AnswerQuery) -> LookupOutcome {
        if let Some(found) = self.exact(&wanted) {
            self.0.counts.found(false);
            return found;
        }
        if let Some(found) = self.similar(&wanted).await {
            self.0.counts.found(true);
            return found;
        }
        let Some(mut done) = self.fetch_or_follow(&wanted.key) else {
            self.0.counts.missed();
            return LookupOutcome::Nothing;
        };
        if wanted.wait.is_zero() {
            return LookupOutcome::UnderWay;
        }
        self.0.counts.waited();
        // an error says that the fetch is over: its sender is gone
        if timeout(wanted.wait.min(MAX_WAIT), done.changed()).await.is_err() {
            return LookupOutcome::UnderWay;
        }
        match self.exact(&wanted) {
            Some(found) => {
                self.0.counts.found(false);
                found
            }
            // there will be no answer of that kind: no request is to wait for this caller
            None => {
                self.0.counts.missed();
                LookupOutcome::Nothing
            }
        }
    }

    /// Keeps an answer; `None`: there will be none. In both cases the waiting ends. False: nothing is kept.
    pub async fn keep(
        &self,
        key: Key,
        answer: Option<Answer>,
        ttl: Duration,
        question: Option<Question>,
    ) -> bool {
        let Some(answer) = answer else {
            self.state().under_way.remove(&key);
            return false;
        };
        let question = match question {
            Some(question) => self.0.embedder.vector(&question.text).await.map(|vector| {
                let wording = wording(&question.text);
                Asked { question, vector, wording }
            }),
            None => None,
        };
        let now = Instant::now();
        let entry = Entry {
            answer: Arc::new(answer),
            kept: now,
            kept_ms: now_ms(),
            until: now + ttl.min(MAX_TTL),
            question,
        };
        let mut state = self.state();
        let kept = state.shelf.insert(key.clone(), entry, now);
        // after the insertion, so that a request that wakes up finds the answer
        state.under_way.remove(&key);
        drop(state);
        match kept {
            Some(evicted) => self.0.counts.kept(evicted),
            None => self.0.counts.refused(),
        }
        kept.is_some()
    }

    /// Deletes the answers of a scope, and returns how many; a dry run deletes nothing.
    pub fn purge(&self, scope: &Scope, dry_run: bool) -> PurgedAnswers {
        self.state().shelf.purge(scope, dry_run)
    }

    /// Removes those whose time is over. They are not given out meanwhile.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut state = self.state();
        let expired = state.shelf.sweep(now);
        state.under_way.retain(|_, fetch| fetch.until > now);
        drop(state);
        self.0.counts.expired(expired);
    }

    fn exact(&self, wanted: &AnswerQuery) -> Option<LookupOutcome> {
        let now = Instant::now();
        let (answer, kept) = self.state().shelf.get(&wanted.key, now, wanted.max_age)?;
        Some(LookupOutcome::Answer { answer, age: now - kept, similar: false })
    }

    async fn similar(&self, wanted: &AnswerQuery) -> Option<LookupOutcome> {
        let question = wanted.question.as_ref()?;
        if !self.state().shelf.has_scope(&wanted.key.tenant, &question.scope) {
            return None;
        }
        let vector = self.0.embedder.vector(&question.text).await?;
        let now = Instant::now();
        let wording = Some(wording(&question.text)).filter(|wording| !wording.is_empty())?;
        let least = f64::from(question.similarity.min(100)) / 100.0;
        let mut state = self.state();
        let (answer, kept) =
            state.shelf.nearest(&wanted.key.tenant, question, wanted.max_age, now, |other| {
                let cosine = vector.cosine(&other.vector)?;
                (f64::from(cosine) >= least && wording == other.wording).then_some(cosine)
            })?;
        Some(LookupOutcome::Answer { answer, age: now - kept, similar: true })
    }

    /// `None`: the caller is the one who fetches it. `Some`: resolves when another caller has fetched it.
    fn fetch_or_follow(&self, key: &Key) -> Option<watch::Receiver<()>> {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(fetch) = state.under_way.get(key).filter(|fetch| fetch.until > now) {
            return Some(fetch.done.subscribe());
        }
        if state.under_way.len() < MAX_UNDER_WAY || state.under_way.contains_key(key) {
            let (done, _) = watch::channel(());
            state.under_way.insert(key.clone(), Fetch { until: now + FETCHES_WITHIN, done });
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // nothing in it is half done when something panics
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
