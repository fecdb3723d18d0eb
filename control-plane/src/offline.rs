//! `headroomd purge`: deletes what is stored while no headroomd runs on the store.

use anyhow::Context as _;
use headroom_api::pages::{PurgeRequest, Purged};

use crate::clock::now_ms;
use crate::learn::LearnPlace as _;
use crate::ledger::store::LedgerStore as _;
use crate::originals::store::OriginalsStore as _;
use crate::purge::{purged, scope};
use crate::settings::Settings;
use crate::store::{SqlLedger, SqlOriginals};

/// Opens the stores, deletes, and closes them. This cannot delete data in the memory of a running headroomd.
pub async fn purge(settings: &Settings, wanted: &PurgeRequest) -> anyhow::Result<Purged> {
    let scope =
        scope(wanted, now_ms()).context("expected one of --all, --tenant and --older-than-seconds")?;
    let ledger = SqlLedger::open(&settings.database, now_ms()).await?;
    let originals = SqlOriginals::open(&settings.originals, now_ms()).await?;
    let memory = crate::store::memory::open(&settings.memory).await?;
    let of_originals = originals.purge(&scope, wanted.dry_run).await?;
    let of_ledger = ledger.purge(&scope, wanted.dry_run).await?;
    let facts = memory.purge(&scope, wanted.dry_run).await?;
    let sightings = settings.learned.purge(&scope, wanted.dry_run).await?;
    memory.close().await;
    originals.close().await;
    ledger.close().await;
    Ok(Purged { sightings, ..purged(of_ledger, of_originals, facts, wanted.dry_run) })
}
