//! Where originals are kept: what a store of them promises.
//!
//! No form depends on what is kept here: each request carries its own originals, and the filter hands over copies
//! after it has left. What follows is what people, MCP clients and filters of 0.1 may rely upon.
//!
//! **What may be trusted.** An admission is answered once it is durable, with the time for which it
//! holds ([`Keep::promise_ms`]) and the epoch. Whoever remembers the answer may leave the admission out
//! for less than that time and for as long as the epoch is the same. Both together have to exclude every
//! way in which an acknowledged original can be gone:
//!
//! * *It expired.* Not within the promise: it is never longer than the TTL, which is written into the row.
//! * *It was evicted, because the store was full.* Not within the promise: what was admitted or read less
//!   than [`HOLD_MS`] ago is never evicted. When nothing older is left the new original is refused. So an eviction needs no new epoch; one
//!   at each eviction would make every VM send all that it has again, just when the store is full.
//! * *The store is another one, an older copy, or a damaged one that was set aside.* Each is opened anew, at a start of
//!   the sidecar or when damage is found: the epoch is kept in the store and replaced whenever it is opened. Replicas
//!   that share a store read it there with each answer, so that they never disagree, and one that starts makes every
//!   VM send its originals once more.
//! * *The process was killed, or the power failed.* The answer comes after the commit
//!   (`synchronous = FULL`); nothing is lost, and the start replaces the epoch all the same.
//!
//! * *The clock was set.* Times here are those of [`retention`](crate::retention), which a clock that is set does
//!   not change.
//!
//! What is left to whoever runs it: a PostgreSQL that fails over to a standby without its last commits.

use async_trait::async_trait;

use crate::clock::{HOUR_MS, UnixMs};
use crate::purge::{PurgedOriginals, Scope};
use crate::trouble::StoreError;

/// For how long an original is safe from eviction after it was admitted or read. A VM admits what a
/// conversation refers to again after each promise, so whatever is in use stays; and an hour of a busy
/// proxy's originals fits into the default cap many times over.
pub const HOLD_MS: i64 = HOUR_MS;

/// What an original takes in the store beside its content, about: the row, its key in three indexes.
pub const ROW_BYTES: i64 = 300;

/// How much is kept for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Keep {
    /// Milliseconds from the last time that an original was admitted or read.
    pub ttl_ms: i64,
    /// Bytes of all originals together at most, compressed.
    pub max_bytes: i64,
}

impl Keep {
    /// For how many milliseconds an admission may be relied upon.
    pub fn promise_ms(&self) -> i64 {
        self.ttl_ms.min(HOLD_MS)
    }
}

/// An original that was checked, on its way into the store.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Admission {
    /// Whose it is. The same text of two tenants is kept twice.
    pub tenant: String,
    /// The content address of the text.
    pub hash: String,
    /// The conversation that brought it.
    pub conversation_id: String,
    /// The tool that printed it.
    pub tool: String,
    /// What it contains.
    pub kind: String,
    /// Bytes of the text.
    pub length: i64,
    /// Tokens of the text.
    pub tokens_before: i64,
    /// Tokens of what stands in its place.
    pub tokens_after: i64,
    /// The text, compressed with zstd.
    pub content: Vec<u8>,
}

impl Admission {
    /// What it takes in the store.
    pub(crate) fn bytes(&self) -> i64 {
        i64::try_from(self.content.len()).unwrap_or(i64::MAX).saturating_add(ROW_BYTES)
    }
}

/// The outcome of one admission.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It was new.
    Stored,
    /// It was there; its time begins anew.
    Refreshed,
    /// There is no room, and nothing that may be evicted for it.
    Refused,
}

/// The outcome of admissions that were written together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Admitted {
    /// In the order given.
    pub fates: Vec<Fate>,
    /// Originals removed before their time, to make room.
    pub evicted: u64,
    /// Originals removed to make room whose time was over.
    pub expired: u64,
    /// The store's epoch when they were written.
    pub epoch: String,
}

/// An original as it is kept.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Kept {
    /// The tool that printed it.
    pub tool: String,
    /// What it contains.
    pub kind: String,
    /// Bytes of the text.
    pub length: i64,
    /// Tokens of the text.
    pub tokens_before: i64,
    /// Tokens of what stands in its place.
    pub tokens_after: i64,
    /// How often it was read before.
    pub retrievals: i64,
    /// The text, compressed with zstd.
    pub content: Vec<u8>,
}

/// Sums over what is kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OriginalSums {
    /// Originals.
    pub entries: i64,
    /// Bytes that they take.
    pub bytes: i64,
    /// Tokens of their texts.
    pub tokens_before: i64,
    /// Tokens of what stands in their places.
    pub tokens_after: i64,
    /// How often originals were read since the store began.
    pub retrievals: i64,
}

/// Where originals are kept.
#[async_trait]
pub trait OriginalsStore: Send + Sync + 'static {
    /// Where it is, without credentials.
    fn location(&self) -> &str;
    /// What the store may be trusted under: see the head of this file.
    async fn epoch(&self) -> Result<String, StoreError>;
    /// Keeps originals, and returns once that is durable. On an error none was kept.
    async fn admit(&self, admissions: &[Admission], keep: &Keep, now: UnixMs)
    -> Result<Admitted, StoreError>;
    /// An original whose time is not over.
    async fn get(&self, tenant: &str, hash: &str, now: UnixMs) -> Result<Option<Kept>, StoreError>;
    /// Notes that originals were read: their time begins anew.
    async fn touch(&self, read: &[(String, String)], keep: &Keep, now: UnixMs) -> Result<(), StoreError>;
    /// Removes some of those whose time is over, and says how many. 0: there are no more.
    async fn sweep(&self, now: UnixMs) -> Result<u64, StoreError>;
    /// Deletes what somebody wants deleted, and says how much that is; a dry run deletes nothing.
    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<PurgedOriginals, StoreError>;
    /// Sums over what is kept.
    async fn sums(&self) -> Result<OriginalSums, StoreError>;
    /// Sums over what is kept for one tenant; `retrievals` are those of what is still there.
    async fn sums_of(&self, tenant: &str) -> Result<OriginalSums, StoreError>;
    /// Whether the store answers and can be written.
    async fn check(&self) -> Result<(), StoreError>;
    /// Gives everything up in order.
    async fn close(&self);
}
