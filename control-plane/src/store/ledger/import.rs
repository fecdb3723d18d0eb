//! Stores imported sums separately from the sums that were counted here.

use super::statement::{ADD_ROLLUP, ADD_TALLY, GET_IMPORTED, SET_CHECKPOINT, statement, sums};
use crate::ledger::import::ImportedSavings;
use crate::ledger::labels::Dimension;
use crate::store::database::{Pool, query};
use crate::trouble::StoreError;

/// Replaces an earlier import from the same source, unless it was at least as large.
pub(super) async fn import(
    pool: &Pool,
    source: &str,
    imported: &ImportedSavings,
) -> Result<bool, StoreError> {
    let mut tx = pool.begin().await?;
    // every import takes this lock first, so that two replicas cannot both find nothing
    query("UPDATE meta SET value = value WHERE name = 'epoch'").execute(&mut tx).await?;
    let before = statement(&GET_IMPORTED).bind(source.to_owned()).fetch_optional(&mut tx).await?;
    if let Some(before) = before {
        let before = sums(&before, 1)?;
        let grown = before.requests < imported.lifetime.requests
            || before.tokens_saved < imported.lifetime.tokens_saved;
        if !grown {
            tx.rollback().await?;
            return Ok(false);
        }
    }
    for text in [
        "DELETE FROM tally WHERE dimension = 'import' AND value = $1",
        "DELETE FROM rollup WHERE dimension = 'import' AND value = $1",
        "DELETE FROM checkpoint WHERE source = $1",
    ] {
        query(text).bind(source.to_owned()).execute(&mut tx).await?;
    }
    let import = Dimension::Import.name();
    let query = statement(&ADD_TALLY).bind(import).bind(source.to_owned());
    query.bind_all(imported.lifetime.values()).execute(&mut tx).await?;
    for ((unit, bucket), sums) in &imported.rollups {
        let query =
            statement(&ADD_ROLLUP).bind(unit.name()).bind(import).bind(source.to_owned()).bind(*bucket);
        query.bind_all(sums.values()).execute(&mut tx).await?;
    }
    for point in &imported.points {
        let query = statement(&SET_CHECKPOINT).bind(source.to_owned()).bind(point.at_ms);
        query.bind_all(point.sums.values()).execute(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(true)
}
