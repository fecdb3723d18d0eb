//! The guarantees of a store of originals.
//!
//! No form depends on this store: each request carries its own originals, and the filter sends copies after it
//! was forwarded. People, MCP clients and filters of 0.1 may rely on the following.
//!
//! **What may be trusted.** An admission is answered when it is durable, with the time for which it holds
//! ([`RetentionLimits::promise_ms`]) and the epoch. A caller that remembers the answer may skip the admission for less
//! than that time, while the epoch stays the same. Together they have to exclude every way in which an
//! acknowledged original can be gone:
//!
//! * *It expired.* Not within the promise, which is never longer than the TTL in the row.
//! * *It was evicted, because the store was full.* Not within the promise: an original that was admitted or
//!   read less than [`HOLD_MS`] ago is never evicted. If nothing older is left, the new original is refused.
//!   So an eviction needs no new epoch. A new epoch at each eviction would make every VM send everything
//!   again, just when the store is full.
//! * *The store is a different one, an older copy, or a replacement for a damaged one.* Each of these is opened
//!   again, at a start of the sidecar or when damage is found: the epoch is in the store and is replaced whenever
//!   the store is opened. Replicas that share a store read the epoch with each answer, so that they always agree,
//!   and one that starts makes every VM send its originals again.
//! * *The process was killed, or the power failed.* The answer comes after the commit
//!   (`synchronous = FULL`); nothing is lost, and the start replaces the epoch anyway.
//!
//! * *The clock was set.* Times come from [`retention`](crate::retention), which a change of the clock does
//!   not affect.
//!
//! The operator has to prevent one more case: a PostgreSQL that fails over to a standby without its last commits.

use async_trait::async_trait;

use crate::clock::{DAY_MS, HOUR_MS, UnixMs};
use crate::purge::{PurgedOriginals, Scope};
use crate::trouble::StoreError;

/// How long an original is safe from eviction after it was admitted or read. A VM admits the originals of a
/// conversation again after each promise, so everything in use stays. The default limit has room for many
/// hours of a busy proxy's originals.
pub const HOLD_MS: i64 = HOUR_MS;

/// Approximate size of an original in the store in addition to its content: the row, and its key in three indexes.
pub const ROW_BYTES: i64 = 300;

/// The limits on size and time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RetentionLimits {
    /// Milliseconds from the last time that an original was admitted or read.
    pub ttl_ms: i64,
    /// Bytes of all originals together at most, compressed.
    pub max_bytes: i64,
}

impl RetentionLimits {
    /// The milliseconds for which an admission is guaranteed.
    pub fn promise_ms(&self) -> i64 {
        self.ttl_ms.min(HOLD_MS)
    }
}

/// A checked original, to be stored.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Admission {
    /// The tenant. The same text of two tenants is stored twice.
    pub tenant: String,
    /// The content address of the text.
    pub hash: String,
    /// The conversation that brought it.
    pub conversation_id: String,
    /// The tool that printed it.
    pub tool: String,
    /// What it contains.
    pub kind: String,
    /// The form that left it out; empty where that is not known.
    pub form: String,
    /// Bytes of the text.
    pub length: i64,
    /// Tokens of the text.
    pub tokens_before: i64,
    /// Tokens of its replacement.
    pub tokens_after: i64,
    /// The text, compressed with zstd.
    pub content: Vec<u8>,
}

impl Admission {
    /// Its size in the store.
    pub(crate) fn bytes(&self) -> i64 {
        i64::try_from(self.content.len()).unwrap_or(i64::MAX).saturating_add(ROW_BYTES)
    }
}

/// The outcome of one admission.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AdmissionOutcome {
    /// It was new.
    Stored,
    /// It was already stored; its expiry is renewed.
    Refreshed,
    /// There is no room, and nothing may be evicted for it.
    Refused,
}

/// The outcome of admissions of one group.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AdmitOutcome {
    /// In the order given.
    pub fates: Vec<AdmissionOutcome>,
    /// Originals removed early, to make room.
    pub evicted: u64,
    /// Expired originals removed to make room.
    pub expired: u64,
    /// The store's epoch when they were written.
    pub epoch: String,
}

/// A stored original.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StoredOriginal {
    /// The tool that printed it.
    pub tool: String,
    /// What it contains.
    pub kind: String,
    /// The form that left it out; empty where that is not known.
    pub form: String,
    /// Bytes of the text.
    pub length: i64,
    /// Tokens of the text.
    pub tokens_before: i64,
    /// Tokens of its replacement.
    pub tokens_after: i64,
    /// How often it was read before.
    pub retrievals: i64,
    /// The text, compressed with zstd.
    pub content: Vec<u8>,
}

/// Sums over the stored originals.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OriginalSums {
    /// Originals.
    pub entries: i64,
    /// Bytes that they take.
    pub bytes: i64,
    /// Tokens of their texts.
    pub tokens_before: i64,
    /// Tokens of their replacements.
    pub tokens_after: i64,
    /// How often originals were read since the store began.
    pub retrievals: i64,
}

/// How long a decision on a text holds, and how many are kept at most: the newest.
pub const DECISIONS_KEPT: (i64, i64) = (7 * DAY_MS, 1_000_000);

/// What was decided on a text in requests.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TextDecision {
    /// The content address of the text.
    pub hash: String,
    /// What stands for it; `None`: the text itself.
    pub form: Option<String>,
}

/// A store of originals.
#[async_trait]
pub trait OriginalsStore: Send + Sync + 'static {
    /// Its location, without credentials.
    fn location(&self) -> &str;
    /// The epoch: see the head of this file.
    async fn epoch(&self) -> Result<String, StoreError>;
    /// Stores originals, and returns when they are durable. After an error none of them is stored.
    async fn admit(
        &self,
        admissions: &[Admission],
        keep: &RetentionLimits,
        now: UnixMs,
    ) -> Result<AdmitOutcome, StoreError>;
    /// An original that has not expired.
    async fn get(&self, tenant: &str, hash: &str, now: UnixMs) -> Result<Option<StoredOriginal>, StoreError>;
    /// The bytes of its text. The text itself is not read.
    async fn length(&self, tenant: &str, hash: &str, now: UnixMs) -> Result<Option<i64>, StoreError>;
    /// Records that originals were read, which renews their expiry.
    async fn touch(
        &self,
        read: &[(String, String)],
        keep: &RetentionLimits,
        now: UnixMs,
    ) -> Result<(), StoreError>;
    /// Removes some of the expired ones, and returns their number. 0: there are no more.
    async fn sweep(&self, now: UnixMs) -> Result<u64, StoreError>;
    /// What was decided on texts, without those on which nothing was.
    async fn decisions(&self, tenant: &str, hashes: &[String]) -> Result<Vec<TextDecision>, StoreError>;
    /// Decides on texts on which nothing was decided, for a request, and returns what stands for each, once that is durable.
    async fn decide(
        &self,
        tenant: &str,
        request: &str,
        decisions: &[TextDecision],
        now: UnixMs,
    ) -> Result<Vec<TextDecision>, StoreError>;
    /// Lets texts stay as they are on which this request has decided, or nobody.
    async fn withdraw(
        &self,
        tenant: &str,
        request: &str,
        hashes: &[String],
        now: UnixMs,
    ) -> Result<(), StoreError>;
    /// Forgets decisions before a time, and the oldest of more than so many; returns their number.
    async fn forget_decisions(&self, before: UnixMs, most: i64) -> Result<u64, StoreError>;
    /// Deletes the originals, and the decisions on texts, in a scope, and returns the amount; a dry run deletes nothing.
    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<PurgedOriginals, StoreError>;
    /// Sums over the stored originals.
    async fn sums(&self) -> Result<OriginalSums, StoreError>;
    /// Sums over the stored originals of one tenant; `retrievals` counts only those of existing originals.
    async fn sums_of(&self, tenant: &str) -> Result<OriginalSums, StoreError>;
    /// Whether the store answers and can be written.
    async fn check(&self) -> Result<(), StoreError>;
    /// Closes the store.
    async fn close(&self);
}
