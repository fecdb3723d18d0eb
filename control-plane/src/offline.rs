//! `headroomd purge`: deletes what is stored while no headroomd runs on the store.

use anyhow::Context as _;

use crate::clock::now_ms;
use crate::ledger::store::LedgerStore as _;
use crate::originals::store::OriginalsStore as _;
use crate::purge::{Purged, Wanted};
use crate::settings::Settings;
use crate::store::{SqlLedger, SqlOriginals};

/// Opens the stores, deletes, and closes them. What a running headroomd has in memory is not reached from here.
pub async fn purge(settings: &Settings, wanted: &Wanted) -> anyhow::Result<Purged> {
    let scope = wanted.scope(now_ms()).context("expected one of --all, --tenant and --older-than-seconds")?;
    let ledger = SqlLedger::open(&settings.database, now_ms()).await?;
    let originals = SqlOriginals::open(&settings.originals, now_ms()).await?;
    let purged = Purged {
        dry_run: wanted.dry_run,
        originals: originals.purge(&scope, wanted.dry_run).await?,
        ledger: ledger.purge(&scope, wanted.dry_run).await?,
        ..Purged::default()
    };
    originals.close().await;
    ledger.close().await;
    Ok(purged)
}
