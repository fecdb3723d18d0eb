//! Deleting what was learned, whether a learner runs or not.

use std::sync::Arc;

use super::store::{LearnPlace, LearnStore};
use crate::purge::Scope;
use crate::trouble::StoreError;

/// What was learned, now or by an earlier run.
#[derive(Clone)]
pub(crate) struct Learned {
    /// Of the learner that runs.
    pub(crate) store: Option<Arc<dyn LearnStore>>,
    /// Where an earlier run kept it.
    pub(crate) place: Arc<dyn LearnPlace>,
}

impl Learned {
    /// Deletes it, and says how many sightings that is.
    pub(crate) async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<u64, StoreError> {
        match &self.store {
            Some(store) => store.purge(scope, dry_run).await,
            None => self.place.purge(scope, dry_run).await,
        }
    }
}
