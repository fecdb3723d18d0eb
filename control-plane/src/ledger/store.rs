//! Where the ledger is kept: what is handed to its store and read from it.

use async_trait::async_trait;
pub use headroom_api::pages::Probe;
use headroom_api::v1::{MissReason, RequestRecord, Retrieval};

use super::bucket::Unit;
use super::contribution::{Accounting, CountedRequest};
use super::history::Checkpoint;
use super::import::ImportedSavings;
use super::labels::Dimension;
use super::session::DisplaySession;
use super::sums::{BlockSums, CacheSums, Sums, Timing};
use crate::budget::{Account, Spending};
use crate::clock::UnixMs;
use crate::purge::{PurgedLedger, Scope};
use crate::trouble::StoreError;

/// What one VM hands over at once, or what headroomd itself has to add.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// One life of one VM; empty: no VM has sent it, and it has no records.
    pub vm_id: String,
    /// The filter's version.
    pub filter_version: String,
    /// The records.
    pub records: Vec<RequestRecord>,
    /// What headroomd was asked for outside of any request.
    pub retrievals: Vec<Retrieval>,
    /// Records that the VM's queue has dropped since it started.
    pub dropped_records: u64,
    /// Configuration values that the VM replaced by their default.
    pub config_errors: u64,
    /// Copies of originals that the VM's queue has dropped since it started.
    pub dropped_originals: u64,
    /// Requests that have a record or will have one, since the VM started; 0 where it does not say.
    pub begun_records: u64,
    /// The longest time between two reports while requests begin.
    pub report_interval_ms: u32,
}

/// The outcome of batches that were appended together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppendOutcome {
    /// Per batch, in the order given, the highest durable sequence of its VM.
    pub acknowledged: Vec<u64>,
    /// The records that were new.
    pub landed: Vec<CountedRequest>,
    /// Records that had been counted before.
    pub duplicates: u64,
}

/// The VMs that have reported.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Vms {
    /// VMs known.
    pub count: i64,
    /// Records that their queues have dropped.
    pub dropped_records: i64,
    /// Values of its configuration that one of them cannot use; all are configured alike, and the highest counts.
    pub config_errors: i64,
    /// Copies of originals that their queues have dropped.
    pub dropped_originals: i64,
    /// Requests that have begun in VMs that are not silent, and whose records have not come.
    pub open_records: i64,
    /// Records that VMs have announced which have gone silent since, and that have not come.
    pub lost_records: i64,
    /// The longest time between two reports of a VM, in milliseconds: what begins in the last of them before a VM is
    /// killed is announced nowhere.
    pub report_interval_ms: i64,
    /// The filter's version in the VM that reported last.
    pub filter_version: Option<String>,
}

/// The sums of one bucket.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bucket {
    /// Where it starts.
    pub start_ms: UnixMs,
    /// What was added in it.
    pub sums: Sums,
}

/// A part of a roll-up.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a> {
    /// The length of the buckets: a minute (of everything alone), an hour or a day, the lengths that are
    /// stored.
    pub unit: Unit,
    /// What the sums are broken down by.
    pub dimension: Dimension,
    /// The value of the dimension; `None` for all.
    pub value: Option<&'a str>,
    /// The start of the first bucket, inclusive.
    pub from_ms: UnixMs,
    /// The start of the last bucket, inclusive.
    pub to_ms: UnixMs,
    /// Buckets at most.
    pub limit: u32,
}

/// A range of sums over the cache.
#[derive(Clone, Copy, Debug)]
pub struct CacheRange {
    /// The length of the buckets: an hour or a day.
    pub unit: Unit,
    /// The start of the first bucket.
    pub from_ms: UnixMs,
    /// Buckets that start then or later do not count.
    pub until_ms: UnixMs,
}

/// Sums over requests with one value of a dimension and one reason.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheReason {
    /// The value.
    pub value: String,
    /// Unspecified where nothing was missed.
    pub reason: MissReason,
    /// What was added.
    pub sums: CacheSums,
}

/// The sums over the cache of one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheTime {
    /// Where it starts.
    pub start_ms: UnixMs,
    /// What was added in it.
    pub sums: CacheSums,
}

/// A line of a system prompt that was another one than before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChangedLine {
    /// Whose requests they were, as counted.
    pub tenant: String,
    /// The stack, as counted.
    pub stack: String,
    /// Digest of the prompt's first line.
    pub prompt: String,
    /// The line, from 1.
    pub line: u32,
    /// What stands in it, as numbers of `VolatileClass`.
    pub classes: Vec<i32>,
    /// Requests.
    pub requests: i64,
    /// What that cost; `None` where no request has a price.
    pub lost_nanousd: Option<i64>,
}

/// Where the ledger is kept.
#[async_trait]
pub trait LedgerStore: Send + Sync + 'static {
    /// One life of this store: random, made with it.
    fn epoch(&self) -> String;
    /// Where it is, without credentials.
    fn location(&self) -> &str;
    /// Counts each record that was not counted before, and returns once that is durable.
    /// On an error nothing was counted.
    async fn append(
        &self,
        batches: &[Batch],
        accounting: &Accounting,
        now: UnixMs,
    ) -> Result<AppendOutcome, StoreError>;
    /// Lifetime sums per dimension and value.
    async fn tallies(&self) -> Result<Vec<(Dimension, String, Sums)>, StoreError>;
    /// Lifetime sums over blocks per dimension and value.
    async fn block_tallies(&self) -> Result<Vec<(Dimension, String, BlockSums)>, StoreError>;
    /// Lifetime timings per stage.
    async fn timings(&self) -> Result<Vec<(String, Timing)>, StoreError>;
    /// What accounts with a budget have used in one window.
    async fn spent(&self, unit: Unit, bucket_ms: UnixMs) -> Result<Vec<(Account, Spending)>, StoreError>;
    /// The session that is shown, as last written.
    async fn display_session(&self) -> Result<DisplaySession, StoreError>;
    /// The newest requests, newest first.
    async fn recent(&self, limit: u32) -> Result<Vec<CountedRequest>, StoreError> {
        self.recent_before(i64::MAX, limit).await
    }
    /// The newest requests with a lower ordinal than this, newest first.
    async fn recent_before(&self, ordinal: i64, limit: u32) -> Result<Vec<CountedRequest>, StoreError>;
    /// Overheads in microseconds of the newest requests that were read, in no order.
    async fn recent_overheads_us(&self, limit: u32) -> Result<Vec<i64>, StoreError>;
    /// The newest checkpoints of what was counted here, oldest first.
    async fn checkpoints(&self, limit: u32) -> Result<Vec<Checkpoint>, StoreError>;
    /// The times of all checkpoints of what was counted here, ascending.
    async fn checkpoint_times(&self) -> Result<Vec<UnixMs>, StoreError>;
    /// The checkpoints of what was counted here at these times, oldest first.
    async fn checkpoints_at(&self, times: &[UnixMs]) -> Result<Vec<Checkpoint>, StoreError>;
    /// The checkpoints of what was imported, per source, oldest first.
    async fn imported_checkpoints(&self) -> Result<Vec<Vec<Checkpoint>>, StoreError>;
    /// The newest buckets of a roll-up, oldest first; over all values of the dimension when `value` is `None`.
    async fn rollup(&self, slice: &Slice<'_>) -> Result<Vec<Bucket>, StoreError>;
    /// What was added per value of a dimension, in the buckets of a length that start in a range.
    async fn rollup_by_value(
        &self,
        unit: Unit,
        dimension: Dimension,
        from_ms: UnixMs,
        to_ms: UnixMs,
    ) -> Result<Vec<(String, Sums)>, StoreError>;
    /// Sums over the cache per value of a dimension and reason; of one value where one is named.
    async fn cache_by_reason(
        &self,
        range: CacheRange,
        dimension: Dimension,
        value: Option<&str>,
    ) -> Result<Vec<CacheReason>, StoreError>;
    /// Sums over the cache per bucket, ascending.
    async fn cache_by_time(
        &self,
        range: CacheRange,
        dimension: Dimension,
        value: &str,
    ) -> Result<Vec<CacheTime>, StoreError>;
    /// Lines of system prompts that changed, the most expensive first.
    async fn cache_lines(&self, range: CacheRange, limit: u32) -> Result<Vec<ChangedLine>, StoreError>;
    /// The tenants that sums over the cache are kept of.
    async fn cache_tenants(&self) -> Result<Vec<String>, StoreError>;
    /// Puts what a savings file holds in the place of what was imported from it before; false when
    /// that was the same or more.
    async fn import(&self, source: &str, imported: &ImportedSavings) -> Result<bool, StoreError>;
    /// Drops what is older or more than is kept.
    async fn maintain(&self, now: UnixMs) -> Result<(), StoreError>;
    /// Deletes what is in the scope, and returns how much that is; a dry run deletes nothing.
    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<PurgedLedger, StoreError>;
    /// The time by which retention counts, as it was last kept: see [`retention`](crate::retention).
    async fn retention_time(&self) -> Result<Option<UnixMs>, StoreError>;
    /// Keeps that time.
    async fn keep_retention_time(&self, at: UnixMs) -> Result<(), StoreError>;
    /// The VMs that have reported, as seen at this time.
    async fn vms(&self, now: UnixMs) -> Result<Vms, StoreError>;
    /// The newest request of `headroomctl doctor`.
    async fn probe(&self) -> Result<Option<Probe>, StoreError>;
    /// Whether the store answers and can be written.
    async fn check(&self) -> Result<(), StoreError>;
    /// Gives everything up in order.
    async fn close(&self);
}
