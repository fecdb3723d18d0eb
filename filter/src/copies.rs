//! Copies of originals on their way to the sidecar's store: a bounded queue, sent in batches after the
//! requests have left.
//!
//! No form depends on whether a copy arrives, since each request carries its originals. So nothing here can
//! hold up a request. A copy that finds no room is dropped and counted. A call without an answer is repeated,
//! since a sidecar needs about a second to restart. A copy that the answer does not name was not stored, and
//! is not sent again.
//!
//! A conversation brings its originals with every turn. The filter remembers which ones the store has, as far
//! as there is room, so that each is sent about once. A forgotten one is sent again.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::rc::Rc;

use headroom_api::v1::{self, AdmitRequest, AdmitResponse, ContentEncoding};
use headroom_compress::{Compressor, Original};
use prost::Message as _;

use crate::call::Call;
use crate::host::NANOS_PER_MS;
use crate::name::name;

/// A batch that is over this size waits for the next call; its first copy always goes.
const BATCH_BYTES: usize = 1 << 20;
/// Originals in one call, half of what the sidecar accepts.
const BATCH_COPIES: usize = 512;
/// How many copies are remembered in each of two generations; with the table some 16 bytes each.
const GENERATION: usize = 32_768;
/// The number of `originals` in `AdmitRequest`.
const ORIGINALS_FIELD: u32 = 3;

/// How long a call may take, how long to pause after a failed one, and how many bytes may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of encoded copies that wait; the oldest go first.
    pub(crate) queue_bytes: usize,
    /// Deadline of a call. Milliseconds.
    pub(crate) timeout_ms: u32,
    /// The first pause after a failed call, doubled with each further one. Milliseconds.
    pub(crate) pause_ms: u32,
    /// The longest pause. Milliseconds.
    pub(crate) max_pause_ms: u32,
}

/// The owner of a copy.
#[derive(Debug, PartialEq)]
struct Owner {
    tenant: String,
    conversation_id: String,
}

#[derive(Debug)]
struct OriginalCopy {
    owner: Rc<Owner>,
    hash: String,
    /// A hash of tenant and hash.
    key: u64,
    /// An encoded `Original`.
    encoded: Vec<u8>,
}

/// The result of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CopiesOutcome {
    /// The sidecar answered.
    Taken {
        /// Copies that are durable.
        stored: u64,
        /// Copies that were not stored; they count as dropped.
        refused: u64,
    },
    /// There was no readable answer. The copies wait for the next call.
    Failed,
    /// The answer belongs to a call that was given up.
    Stale,
}

/// The queue of one VM for one sidecar.
#[derive(Debug)]
pub(crate) struct Copies {
    limits: Limits,
    /// Oldest first; the first `sent` are in the call that is under way.
    queue: VecDeque<OriginalCopy>,
    queued_bytes: usize,
    sent: usize,
    call: Call,
    failures: u32,
    /// No call is made before this time. Nanoseconds.
    not_before: u64,
    dropped: u64,
    /// Keys of copies that wait or are stored.
    young: HashSet<u64>,
    old: HashSet<u64>,
    keys: RandomState,
}

impl Copies {
    /// An empty queue.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            queue: VecDeque::new(),
            queued_bytes: 0,
            sent: 0,
            call: Call::None,
            failures: 0,
            not_before: 0,
            dropped: 0,
            young: HashSet::new(),
            old: HashSet::new(),
            keys: RandomState::new(),
        }
    }

    /// Sets the limits of a newer configuration.
    pub(crate) fn configure(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Copies that were dropped since the queue was made.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes of copies that wait, for the VM's memory budget.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Takes the originals of a request that has left. Returns how many copies were dropped for them or found
    /// no room.
    pub(crate) fn push(&mut self, tenant: &str, conversation_id: &str, originals: &[Original<'_>]) -> u64 {
        let mut owner = None;
        let before = self.dropped;
        let key = |keys: &RandomState, original: &Original<'_>| keys.hash_one((tenant, &*original.hash));
        let mut unknown = Vec::new();
        for original in originals {
            if !self.is_known(key(&self.keys, original)) {
                unknown.push(original);
            }
        }
        let missing = Original::each_text(&unknown, |original, text| {
            let key = key(&self.keys, original);
            // Another block may have the same.
            if self.is_known(key) {
                return;
            }
            if text.len() >= self.limits.queue_bytes {
                self.dropped = self.dropped.saturating_add(1);
                return;
            }
            let owner = owner.get_or_insert_with(|| {
                Rc::new(Owner { tenant: tenant.to_owned(), conversation_id: conversation_id.to_owned() })
            });
            let encoded = v1::Original {
                hash: original.hash.to_string(),
                length: text.len() as u64,
                content: text.as_bytes().to_vec(),
                encoding: ContentEncoding::Identity.into(),
                tool: name(&original.tool),
                kind: original.kind.name().to_owned(),
                form: original.form.map(Compressor::name).unwrap_or_default().to_owned(),
                tokens_before: original.tokens_before,
                tokens_after: original.tokens_after,
            }
            .encode_to_vec();
            self.queued_bytes = self.queued_bytes.saturating_add(encoded.len());
            let copy =
                OriginalCopy { owner: Rc::clone(owner), hash: original.hash.to_string(), key, encoded };
            self.queue.push_back(copy);
            self.remember(key);
            self.make_room();
        });
        self.dropped = self.dropped.saturating_add(missing as u64);
        self.dropped.saturating_sub(before)
    }

    /// The next `AdmitRequest`, if there is something to send and it is time. The caller sends it and calls
    /// [`Copies::started`].
    pub(crate) fn next(&mut self, now: u64) -> Option<Vec<u8>> {
        if self.call != Call::None || now < self.not_before {
            return None;
        }
        let owner = Rc::clone(&self.queue.front()?.owner);
        let mut message = AdmitRequest {
            tenant: owner.tenant.clone(),
            conversation_id: owner.conversation_id.clone(),
            originals: Vec::new(),
        }
        .encode_to_vec();
        self.sent = 0;
        for copy in self.queue.iter().take(BATCH_COPIES).take_while(|copy| copy.owner == owner) {
            if self.sent > 0 && message.len().saturating_add(copy.encoded.len()) > BATCH_BYTES {
                break;
            }
            prost::encoding::encode_key(
                ORIGINALS_FIELD,
                prost::encoding::WireType::LengthDelimited,
                &mut message,
            );
            prost::encoding::encode_varint(copy.encoded.len() as u64, &mut message);
            message.extend_from_slice(&copy.encoded);
            self.sent = self.sent.saturating_add(1);
        }
        self.call = Call::starting(now, self.limits.timeout_ms);
        Some(message)
    }

    /// Notes whether the host sent what [`Copies::next`] gave; `None`: it refused.
    pub(crate) fn started(&mut self, token: Option<u32>, now: u64) {
        if !self.call.started(token) {
            self.fail(now);
        }
    }

    /// The sidecar's answer to a call; `None`: the call failed.
    pub(crate) fn answered(&mut self, token: u32, answer: Option<&[u8]>, now: u64) -> CopiesOutcome {
        if !self.call.awaits(token) {
            return CopiesOutcome::Stale;
        }
        let Some(response) = answer.and_then(|bytes| AdmitResponse::decode(bytes).ok()) else {
            self.fail(now);
            return CopiesOutcome::Failed;
        };
        self.call = Call::None;
        self.failures = 0;
        let named: HashSet<&str> = response.stored.iter().map(String::as_str).collect();
        let (mut stored, mut refused) = (0u64, 0u64);
        for _ in 0..std::mem::take(&mut self.sent) {
            let Some(copy) = self.queue.pop_front() else { break };
            self.queued_bytes = self.queued_bytes.saturating_sub(copy.encoded.len());
            if named.contains(copy.hash.as_str()) {
                stored = stored.saturating_add(1);
            } else {
                // Its key stays: sent again, the copy would be refused again.
                refused = refused.saturating_add(1);
            }
        }
        self.dropped = self.dropped.saturating_add(refused);
        CopiesOutcome::Taken { stored, refused }
    }

    /// Gives up a call that should have been answered long ago. Returns whether there was one.
    pub(crate) fn give_up(&mut self, now: u64) -> bool {
        let lost = self.call.is_lost(now);
        if lost {
            self.fail(now);
        }
        lost
    }

    /// Everything that waits, as `AdmitRequest`s for another VM: this one ends.
    pub(crate) fn hand_over(&mut self) -> Vec<Vec<u8>> {
        self.not_before = 0;
        let mut messages = Vec::new();
        loop {
            self.call = Call::None;
            let Some(message) = self.next(0) else { break };
            for copy in self.queue.drain(..self.sent.min(self.queue.len())) {
                self.queued_bytes = self.queued_bytes.saturating_sub(copy.encoded.len());
            }
            messages.push(message);
        }
        messages
    }

    fn fail(&mut self, now: u64) {
        self.call = Call::None;
        self.sent = 0;
        self.failures = self.failures.saturating_add(1);
        let doubled = u64::from(self.limits.pause_ms).saturating_mul(1 << self.failures.min(20));
        let pause = doubled.min(self.limits.max_pause_ms.into());
        self.not_before = now.saturating_add(pause.saturating_mul(NANOS_PER_MS));
        self.make_room();
    }

    /// Drops the oldest copies beyond the limit, but none that is being sent.
    fn make_room(&mut self) {
        while self.queued_bytes > self.limits.queue_bytes
            && let Some(oldest) = self.queue.remove(self.sent)
        {
            self.queued_bytes = self.queued_bytes.saturating_sub(oldest.encoded.len());
            self.young.remove(&oldest.key);
            self.old.remove(&oldest.key);
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    fn is_known(&mut self, key: u64) -> bool {
        if self.young.contains(&key) {
            return true;
        }
        let known = self.old.remove(&key);
        if known {
            self.remember(key);
        }
        known
    }

    fn remember(&mut self, key: u64) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key);
    }
}

#[cfg(test)]
mod tests;
