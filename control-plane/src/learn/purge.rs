//! Deletes what was learned, whether a learner runs or not.

use std::sync::Arc;

use super::store::{LearnPlace, LearnStore};
use crate::purge::Scope;
use crate::trouble::StoreError;

/// The stored sightings, of this run or an earlier one.
#[derive(Clone)]
pub(crate) struct StoredSightings {
    /// The store of the running learner.
    pub(crate) store: Option<Arc<dyn LearnStore>>,
    /// The place where an earlier run stored them.
    pub(crate) place: Arc<dyn LearnPlace>,
}

impl StoredSightings {
    /// Deletes them, and returns the number of sightings.
    pub(crate) async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<u64, StoreError> {
        match &self.store {
            Some(store) => store.purge(scope, dry_run).await,
            None => self.place.purge(scope, dry_run).await,
        }
    }
}
