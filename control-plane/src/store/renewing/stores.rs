//! Each store, renewed: its operations are those of the store that is open at the moment.

use async_trait::async_trait;
use headroom_learn::lesson::Kind;
use headroom_learn::sighting::Sighting;

use super::{Renewing, Reopen};
use crate::budget::{Account, Spending};
use crate::clock::UnixMs;
use crate::learn::LearnStore;
use crate::ledger::bucket::Unit;
use crate::ledger::contribution::{Accounting, CountedRequest};
use crate::ledger::history::Checkpoint;
use crate::ledger::import::ImportedSavings;
use crate::ledger::labels::Dimension;
use crate::ledger::session::DisplaySession;
use crate::ledger::store::{
    AppendOutcome, Batch, Bucket, CacheRange, CacheReason, CacheTime, ChangedLine, LedgerStore, Probe, Slice,
    Vms,
};
use crate::ledger::sums::{BlockSums, Sums, Timing};
use crate::memory::{
    ConversationContext, Draft, Ending, FactScope, Holder, MemoryStore, MemorySums, Origin, SaveOutcome,
    StoredFact, UpdateOutcome, Vector,
};
use crate::originals::store::{
    Admission, AdmitOutcome, OriginalSums, OriginalsStore, RetentionLimits, StoredOriginal, TextDecision,
};
use crate::purge::{PurgedLedger, PurgedOriginals, Scope};
use crate::store::learn::SqlLearn;
use crate::store::ledger::SqlLedger;
use crate::store::originals::SqlOriginals;
use crate::trouble::{StoreError, Trouble};

/// Calls the store, and calls it again if the error led to a renewal.
macro_rules! ask {
    ($self:ident, $store:ident => $call:expr) => {{
        let $store = $self.current();
        match $call.await {
            Err(error) if $self.has_renewed(&$store, &error).await => {
                let $store = $self.current();
                let answer = $call.await;
                if let Err(error) = &answer {
                    $self.0.watch.count(Trouble::of(error));
                }
                answer
            }
            answer => answer,
        }
    }};
}

#[async_trait]
impl LedgerStore for Renewing<SqlLedger> {
    fn epoch(&self) -> String {
        self.current().epoch()
    }

    fn location(&self) -> &str {
        &self.0.location
    }

    async fn append(
        &self,
        batches: &[Batch],
        accounting: &Accounting,
        now: UnixMs,
    ) -> Result<AppendOutcome, StoreError> {
        let appended = ask!(self, store => store.append(batches, accounting, now));
        self.0.watch.note_write(&appended);
        appended
    }

    async fn tallies(&self) -> Result<Vec<(Dimension, String, Sums)>, StoreError> {
        ask!(self, store => store.tallies())
    }

    async fn block_tallies(&self) -> Result<Vec<(Dimension, String, BlockSums)>, StoreError> {
        ask!(self, store => store.block_tallies())
    }

    async fn timings(&self) -> Result<Vec<(String, Timing)>, StoreError> {
        ask!(self, store => store.timings())
    }

    async fn spent(&self, unit: Unit, bucket_ms: UnixMs) -> Result<Vec<(Account, Spending)>, StoreError> {
        ask!(self, store => store.spent(unit, bucket_ms))
    }

    async fn display_session(&self) -> Result<DisplaySession, StoreError> {
        ask!(self, store => store.display_session())
    }

    async fn recent_before(&self, ordinal: i64, limit: u32) -> Result<Vec<CountedRequest>, StoreError> {
        ask!(self, store => store.recent_before(ordinal, limit))
    }

    async fn recent_overheads_us(&self, limit: u32) -> Result<Vec<i64>, StoreError> {
        ask!(self, store => store.recent_overheads_us(limit))
    }

    async fn checkpoints(&self, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        ask!(self, store => store.checkpoints(limit))
    }

    async fn checkpoint_times(&self) -> Result<Vec<UnixMs>, StoreError> {
        ask!(self, store => store.checkpoint_times())
    }

    async fn checkpoints_at(&self, times: &[UnixMs]) -> Result<Vec<Checkpoint>, StoreError> {
        ask!(self, store => store.checkpoints_at(times))
    }

    async fn imported_checkpoints(&self) -> Result<Vec<Vec<Checkpoint>>, StoreError> {
        ask!(self, store => store.imported_checkpoints())
    }

    async fn rollup(&self, slice: &Slice<'_>) -> Result<Vec<Bucket>, StoreError> {
        ask!(self, store => store.rollup(slice))
    }

    async fn rollup_by_value(
        &self,
        unit: Unit,
        dimension: Dimension,
        from_ms: UnixMs,
        to_ms: UnixMs,
    ) -> Result<Vec<(String, Sums)>, StoreError> {
        ask!(self, store => store.rollup_by_value(unit, dimension, from_ms, to_ms))
    }

    async fn cache_by_reason(
        &self,
        range: CacheRange,
        dimension: Dimension,
        value: Option<&str>,
    ) -> Result<Vec<CacheReason>, StoreError> {
        ask!(self, store => store.cache_by_reason(range, dimension, value))
    }

    async fn cache_by_time(
        &self,
        range: CacheRange,
        dimension: Dimension,
        value: &str,
    ) -> Result<Vec<CacheTime>, StoreError> {
        ask!(self, store => store.cache_by_time(range, dimension, value))
    }

    async fn cache_lines(&self, range: CacheRange, limit: u32) -> Result<Vec<ChangedLine>, StoreError> {
        ask!(self, store => store.cache_lines(range, limit))
    }

    async fn cache_tenants(&self) -> Result<Vec<String>, StoreError> {
        ask!(self, store => store.cache_tenants())
    }

    async fn import(&self, source: &str, imported: &ImportedSavings) -> Result<bool, StoreError> {
        ask!(self, store => store.import(source, imported))
    }

    async fn maintain(&self, now: UnixMs) -> Result<(), StoreError> {
        ask!(self, store => store.maintain(now))
    }

    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<PurgedLedger, StoreError> {
        ask!(self, store => store.purge(scope, dry_run))
    }

    async fn retention_time(&self) -> Result<Option<UnixMs>, StoreError> {
        ask!(self, store => store.retention_time())
    }

    async fn keep_retention_time(&self, at: UnixMs) -> Result<(), StoreError> {
        ask!(self, store => store.keep_retention_time(at))
    }

    async fn vms(&self, now: UnixMs) -> Result<Vms, StoreError> {
        ask!(self, store => store.vms(now))
    }

    async fn probe(&self) -> Result<Option<Probe>, StoreError> {
        ask!(self, store => store.probe())
    }

    async fn check(&self) -> Result<(), StoreError> {
        ask!(self, store => store.check())
    }

    async fn close(&self) {
        self.end().await;
    }
}

#[async_trait]
impl OriginalsStore for Renewing<SqlOriginals> {
    fn location(&self) -> &str {
        &self.0.location
    }

    async fn epoch(&self) -> Result<String, StoreError> {
        ask!(self, store => store.epoch())
    }

    async fn admit(
        &self,
        admissions: &[Admission],
        keep: &RetentionLimits,
        now: UnixMs,
    ) -> Result<AdmitOutcome, StoreError> {
        let admitted = ask!(self, store => store.admit(admissions, keep, now));
        self.0.watch.note_write(&admitted);
        admitted
    }

    async fn get(&self, tenant: &str, hash: &str, now: UnixMs) -> Result<Option<StoredOriginal>, StoreError> {
        ask!(self, store => store.get(tenant, hash, now))
    }

    async fn length(&self, tenant: &str, hash: &str, now: UnixMs) -> Result<Option<i64>, StoreError> {
        ask!(self, store => store.length(tenant, hash, now))
    }

    async fn touch(
        &self,
        read: &[(String, String)],
        keep: &RetentionLimits,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        ask!(self, store => store.touch(read, keep, now))
    }

    async fn sweep(&self, now: UnixMs) -> Result<u64, StoreError> {
        ask!(self, store => store.sweep(now))
    }

    async fn decisions(&self, tenant: &str, hashes: &[String]) -> Result<Vec<TextDecision>, StoreError> {
        ask!(self, store => store.decisions(tenant, hashes))
    }

    async fn decide(
        &self,
        tenant: &str,
        request: &str,
        decisions: &[TextDecision],
        now: UnixMs,
    ) -> Result<Vec<TextDecision>, StoreError> {
        ask!(self, store => store.decide(tenant, request, decisions, now))
    }

    async fn withdraw(
        &self,
        tenant: &str,
        request: &str,
        hashes: &[String],
        now: UnixMs,
    ) -> Result<(), StoreError> {
        ask!(self, store => store.withdraw(tenant, request, hashes, now))
    }

    async fn forget_decisions(&self, before: UnixMs, most: i64) -> Result<u64, StoreError> {
        ask!(self, store => store.forget_decisions(before, most))
    }

    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<PurgedOriginals, StoreError> {
        ask!(self, store => store.purge(scope, dry_run))
    }

    async fn sums(&self) -> Result<OriginalSums, StoreError> {
        ask!(self, store => store.sums())
    }

    async fn sums_of(&self, tenant: &str) -> Result<OriginalSums, StoreError> {
        ask!(self, store => store.sums_of(tenant))
    }

    async fn check(&self) -> Result<(), StoreError> {
        ask!(self, store => store.check())
    }

    async fn close(&self) {
        self.end().await;
    }
}

#[async_trait]
impl LearnStore for Renewing<SqlLearn> {
    fn location(&self) -> &str {
        &self.0.location
    }

    async fn record(&self, project: &str, sightings: &[Sighting]) -> Result<u64, StoreError> {
        ask!(self, store => store.record(project, sightings))
    }

    async fn patterns(&self, project: &str) -> Result<Vec<(Kind, String)>, StoreError> {
        ask!(self, store => store.patterns(project))
    }

    async fn refute(
        &self,
        project: &str,
        patterns: &[(Kind, String)],
        now: UnixMs,
    ) -> Result<(), StoreError> {
        ask!(self, store => store.refute(project, patterns, now))
    }

    async fn sightings(&self, project: &str) -> Result<Vec<Sighting>, StoreError> {
        ask!(self, store => store.sightings(project))
    }

    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<u64, StoreError> {
        ask!(self, store => store.purge(scope, dry_run))
    }

    async fn close(&self) {
        self.end().await;
    }
}

#[async_trait]
impl<S: Reopen + MemoryStore> MemoryStore for Renewing<S> {
    fn location(&self) -> &str {
        &self.0.location
    }

    async fn save(
        &self,
        holder: &Holder,
        drafts: &[Draft],
        now: UnixMs,
    ) -> Result<Vec<SaveOutcome>, StoreError> {
        ask!(self, store => store.save(holder, drafts, now))
    }

    async fn update(
        &self,
        reach: &FactScope,
        id: &str,
        draft: &Draft,
        now: UnixMs,
    ) -> Result<UpdateOutcome, StoreError> {
        ask!(self, store => store.update(reach, id, draft, now))
    }

    async fn end(
        &self,
        reach: &FactScope,
        id: &str,
        ending: Ending,
        origin: &Origin,
        now: UnixMs,
    ) -> Result<Option<StoredFact>, StoreError> {
        ask!(self, store => MemoryStore::end(&*store, reach, id, ending, origin, now))
    }

    async fn restore(
        &self,
        reach: &FactScope,
        id: &str,
        origin: &Origin,
        now: UnixMs,
    ) -> Result<UpdateOutcome, StoreError> {
        ask!(self, store => store.restore(reach, id, origin, now))
    }

    async fn history(&self, reach: &FactScope, id: &str) -> Result<Vec<StoredFact>, StoreError> {
        ask!(self, store => store.history(reach, id))
    }

    async fn list(
        &self,
        reach: &FactScope,
        scope: Option<headroom_api::memory::Scope>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredFact>, StoreError> {
        ask!(self, store => store.list(reach, scope, before, limit))
    }

    async fn about_below(
        &self,
        reach: &FactScope,
        folder: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredFact>, StoreError> {
        ask!(self, store => store.about_below(reach, folder, before, limit))
    }

    async fn matching(
        &self,
        reach: &FactScope,
        words: &[String],
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(StoredFact, f64)>, StoreError> {
        ask!(self, store => store.matching(reach, words, now, limit))
    }

    async fn nearest(
        &self,
        reach: &FactScope,
        vector: &Vector,
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(StoredFact, f32)>, StoreError> {
        ask!(self, store => store.nearest(reach, vector, now, limit))
    }

    async fn about(
        &self,
        reach: &FactScope,
        entities: &[String],
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<StoredFact>, StoreError> {
        ask!(self, store => store.about(reach, entities, now, limit))
    }

    async fn newest(&self) -> Result<i64, StoreError> {
        ask!(self, store => store.newest())
    }

    async fn unembedded(
        &self,
        embedder: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredFact>, StoreError> {
        ask!(self, store => store.unembedded(embedder, after, limit))
    }

    async fn embed(&self, embedder: &str, vectors: &[(i64, Vec<f32>)]) -> Result<(), StoreError> {
        ask!(self, store => store.embed(embedder, vectors))
    }

    async fn duplicates(&self, after: i64, limit: u32) -> Result<Vec<(StoredFact, StoredFact)>, StoreError> {
        ask!(self, store => store.duplicates(after, limit))
    }

    async fn merge(
        &self,
        older: &StoredFact,
        newer: &StoredFact,
        origin: &Origin,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        ask!(self, store => store.merge(older, newer, origin, now))
    }

    async fn context(&self, tenant: &str, conversation: &str) -> Result<Option<String>, StoreError> {
        ask!(self, store => store.context(tenant, conversation))
    }

    async fn decide_context(&self, context: &ConversationContext, now: UnixMs) -> Result<String, StoreError> {
        ask!(self, store => store.decide_context(context, now))
    }

    async fn withdraw_context(
        &self,
        tenant: &str,
        conversation: &str,
        request: &str,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        ask!(self, store => store.withdraw_context(tenant, conversation, request, now))
    }

    async fn forget_contexts(&self, before: UnixMs) -> Result<u64, StoreError> {
        ask!(self, store => store.forget_contexts(before))
    }

    async fn forget(&self, reach: &FactScope, id: &str) -> Result<bool, StoreError> {
        ask!(self, store => store.forget(reach, id))
    }

    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<u64, StoreError> {
        ask!(self, store => store.purge(scope, dry_run))
    }

    async fn sums(&self, reach: &FactScope, embedder: Option<&str>) -> Result<MemorySums, StoreError> {
        ask!(self, store => store.sums(reach, embedder))
    }

    async fn check(&self) -> Result<(), StoreError> {
        ask!(self, store => store.check())
    }

    async fn close(&self) {
        Renewing::end(self).await;
    }
}
