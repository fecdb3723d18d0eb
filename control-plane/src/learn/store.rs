//! What a store of sightings promises.

use async_trait::async_trait;
use headroom_learn::lesson::Kind;
use headroom_learn::sighting::Sighting;

use crate::clock::UnixMs;
use crate::purge::Scope;
use crate::trouble::StoreError;

/// Where sightings are kept. When a call returns, what it wrote is durable.
#[async_trait]
pub trait LearnStore: Send + Sync + 'static {
    /// Where it is, without credentials.
    fn location(&self) -> &str;
    /// Keeps what calls of a project show. A call counts once for each pattern, whoever keeps it and however often; what
    /// worked instead may become known later. Returns how many were new or became different.
    async fn record(&self, project: &str, sightings: &[Sighting]) -> Result<u64, StoreError>;
    /// Kinds and subjects of a project that count.
    async fn patterns(&self, project: &str) -> Result<Vec<(Kind, String)>, StoreError>;
    /// What was seen of patterns up to now counts no more.
    async fn refute(&self, project: &str, patterns: &[(Kind, String)], now: UnixMs)
    -> Result<(), StoreError>;
    /// What counts of a project, the oldest first.
    async fn sightings(&self, project: &str) -> Result<Vec<Sighting>, StoreError>;
    /// Deletes what somebody wants deleted, and says how many sightings that is. They belong to no tenant.
    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<u64, StoreError>;
    /// Gives everything up in order.
    async fn close(&self);
}

/// Where sightings are kept while no learner runs.
#[async_trait]
pub trait LearnPlace: Send + Sync + 'static {
    /// As [`LearnStore::purge`]. There may be nothing.
    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<u64, StoreError>;
}
