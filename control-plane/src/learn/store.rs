//! The guarantees of a store of sightings.

use async_trait::async_trait;
use headroom_learn::lesson::Kind;
use headroom_learn::sighting::Sighting;

use crate::clock::UnixMs;
use crate::purge::Scope;
use crate::trouble::StoreError;

/// A store of sightings. When a call returns, its changes are durable.
#[async_trait]
pub trait LearnStore: Send + Sync + 'static {
    /// Where it is, without credentials.
    fn location(&self) -> &str;
    /// Stores what calls of a project show. A call counts once for each pattern, even if it is recorded several times;
    /// its solution may become known later. Returns how many were new or changed.
    async fn record(&self, project: &str, sightings: &[Sighting]) -> Result<u64, StoreError>;
    /// The valid kinds and subjects of a project.
    async fn patterns(&self, project: &str) -> Result<Vec<(Kind, String)>, StoreError>;
    /// Invalidates the sightings of these patterns up to now.
    async fn refute(&self, project: &str, patterns: &[(Kind, String)], now: UnixMs)
    -> Result<(), StoreError>;
    /// The valid sightings of a project, oldest first.
    async fn sightings(&self, project: &str) -> Result<Vec<Sighting>, StoreError>;
    /// Deletes the sightings in a scope, and returns their number. Sightings have no tenant.
    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<u64, StoreError>;
    /// Closes the store.
    async fn close(&self);
}

/// The place of stored sightings while no learner runs.
#[async_trait]
pub trait LearnPlace: Send + Sync + 'static {
    /// As [`LearnStore::purge`]. The store may not exist.
    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<u64, StoreError>;
}
