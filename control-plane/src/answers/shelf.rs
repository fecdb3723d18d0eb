//! Answers by key, up to a size: the one that was asked for longest ago goes first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hashlink::LruCache;
use headroom_api::v1::{Answer, Question};
use tokio::time::Instant;

use crate::clock::UnixMs;
use crate::memory::Vector;
use crate::purge::Scope;

/// What an answer takes beside its bytes, about: the entry, its key twice.
const ENTRY_BYTES: usize = 400;
/// Questions with the same rest of the request that are compared; older ones are found by an equal request alone.
const MAX_COMPARED: usize = 1_000;

/// Whose answer, and which.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Key {
    /// The tenant.
    pub tenant: String,
    /// What the filter has made of the request.
    pub digest: [u8; 32],
}

/// How many answers were forgotten, or would have been.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PurgedAnswers {
    /// Answers.
    pub answers: u64,
    /// Bytes that they took.
    pub bytes: u64,
}

/// An answer that is kept.
pub(super) struct Entry {
    pub(super) answer: Arc<Answer>,
    pub(super) kept: Instant,
    /// The same in the time of people.
    pub(super) kept_ms: UnixMs,
    pub(super) until: Instant,
    /// Where it may be that of a similar question.
    pub(super) question: Option<Asked>,
}

/// A question that others are compared with.
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) vector: Vector,
    /// The words that it depends on.
    pub(super) wording: String,
}

pub(super) struct Shelf {
    entries: LruCache<Key, Entry>,
    /// The digests of questions that are compared with each other, oldest first.
    scopes: HashMap<(String, Vec<u8>), Vec<[u8; 32]>>,
    bytes: usize,
    max_bytes: usize,
}

impl Entry {
    fn bytes(&self, key: &Key) -> usize {
        let question = self.question.as_ref().map_or(0, |Asked { question, vector, wording }| {
            question.text.len()
                + question.scope.len()
                + wording.len()
                + vector.values.len() * size_of::<f32>()
        });
        self.answer.body.len()
            + self.answer.content_type.len()
            + 2 * key.tenant.len()
            + question
            + ENTRY_BYTES
    }

    fn is_fresh(&self, now: Instant, max_age: Option<Duration>) -> bool {
        self.until > now && max_age.is_none_or(|max_age| now - self.kept <= max_age)
    }
}

impl Shelf {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { entries: LruCache::new_unbounded(), scopes: HashMap::new(), bytes: 0, max_bytes }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Keeps an answer, in the place of the one with its key, and says how many others had to go. `None`: it is larger
    /// than all of them together may be.
    pub(super) fn insert(&mut self, key: Key, entry: Entry, now: Instant) -> Option<usize> {
        self.remove(&key);
        let bytes = entry.bytes(&key);
        if bytes > self.max_bytes {
            return None;
        }
        let mut evicted = 0;
        while self.bytes + bytes > self.max_bytes {
            let Some((oldest, entry)) = self.entries.remove_lru() else { break };
            self.forget(&oldest, &entry);
            evicted += usize::from(entry.until > now);
        }
        if let Some(Asked { question, .. }) = &entry.question {
            let compared = self.scopes.entry((key.tenant.clone(), question.scope.clone())).or_default();
            if compared.len() >= MAX_COMPARED {
                compared.remove(0);
            }
            compared.push(key.digest);
        }
        self.bytes += bytes;
        self.entries.insert(key, entry);
        Some(evicted)
    }

    /// An answer and since when it is kept; it goes last from now on.
    pub(super) fn get(
        &mut self,
        key: &Key,
        now: Instant,
        max_age: Option<Duration>,
    ) -> Option<(Arc<Answer>, Instant)> {
        let entry = self.entries.get(key).filter(|entry| entry.is_fresh(now, max_age))?;
        Some((Arc::clone(&entry.answer), entry.kept))
    }

    /// Whether there are questions to compare one with.
    pub(super) fn has_scope(&self, tenant: &str, scope: &[u8]) -> bool {
        self.scopes.contains_key(&(tenant.to_owned(), scope.to_vec()))
    }

    /// The answer to the question that is nearest of those that are near at all.
    pub(super) fn nearest(
        &mut self,
        tenant: &str,
        question: &Question,
        max_age: Option<Duration>,
        now: Instant,
        near: impl Fn(&Asked) -> Option<f32>,
    ) -> Option<(Arc<Answer>, Instant)> {
        let compared = self.scopes.get(&(tenant.to_owned(), question.scope.clone()))?;
        let key = |digest: &[u8; 32]| Key { tenant: tenant.to_owned(), digest: *digest };
        let nearest = compared
            .iter()
            .filter_map(|digest| {
                let entry = self.entries.peek(&key(digest)).filter(|entry| entry.is_fresh(now, max_age))?;
                Some((near(entry.question.as_ref()?)?, *digest))
            })
            .max_by(|(one, _), (other, _)| one.total_cmp(other))?;
        self.get(&key(&nearest.1), now, max_age)
    }

    pub(super) fn purge(&mut self, scope: &Scope, dry_run: bool) -> PurgedAnswers {
        let is_meant = |key: &Key, entry: &Entry| match scope {
            Scope::All => true,
            Scope::Tenant(tenant) => key.tenant == *tenant,
            Scope::Before(time) => entry.kept_ms < *time,
        };
        let meant: Vec<Key> = self
            .entries
            .iter()
            .filter(|(key, entry)| is_meant(key, entry))
            .map(|(key, _)| key.clone())
            .collect();
        let mut purged = PurgedAnswers::default();
        for key in meant {
            purged.answers += 1;
            let bytes = self.entries.peek(&key).map_or(0, |entry| entry.bytes(&key));
            purged.bytes += bytes as u64;
            if !dry_run {
                self.remove(&key);
            }
        }
        purged
    }

    /// Removes those whose time is over, and says how many these were.
    pub(super) fn sweep(&mut self, now: Instant) -> usize {
        let over: Vec<Key> =
            self.entries.iter().filter(|(_, entry)| entry.until <= now).map(|(key, _)| key.clone()).collect();
        for key in &over {
            self.remove(key);
        }
        over.len()
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.forget(key, &entry);
        }
    }

    /// Takes one that is gone out of the sums.
    fn forget(&mut self, key: &Key, entry: &Entry) {
        self.bytes -= entry.bytes(key);
        let Some(Asked { question, .. }) = &entry.question else { return };
        let scope = (key.tenant.clone(), question.scope.clone());
        if let Some(compared) = self.scopes.get_mut(&scope) {
            compared.retain(|digest| *digest != key.digest);
            if compared.is_empty() {
                self.scopes.remove(&scope);
            }
        }
    }
}
