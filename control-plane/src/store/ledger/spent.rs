//! The use of accounts with a budget.

use crate::budget::{Account, BudgetSubject, Spending};
use crate::clock::UnixMs;
use crate::ledger::bucket::Unit;
use crate::store::database::{Pool, Row, Transaction, query};
use crate::trouble::StoreError;

/// Maximum number of accounts in one window: more keys than one sidecar serves.
const MOST: i64 = 100_000;

pub(super) async fn add(tx: &mut Transaction, account: &Account, spent: Spending) -> Result<(), StoreError> {
    query(
        "INSERT INTO spent (unit, bucket_ms, per, owner, tokens, nanousd) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (unit, bucket_ms, per, owner) DO UPDATE SET
            tokens = spent.tokens + excluded.tokens, nanousd = spent.nanousd + excluded.nanousd",
    )
    .bind(account.unit.name())
    .bind(account.bucket_ms)
    .bind(account.per.name())
    .bind(account.owner.clone())
    .bind(spent.tokens)
    .bind(spent.nanousd)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// The use in one window, the largest first.
pub(super) async fn get(
    pool: &Pool,
    unit: Unit,
    bucket_ms: UnixMs,
) -> Result<Vec<(Account, Spending)>, StoreError> {
    let rows = query(
        "SELECT per, owner, tokens, nanousd FROM spent WHERE unit = $1 AND bucket_ms = $2
         ORDER BY nanousd DESC, tokens DESC LIMIT $3",
    )
    .bind(unit.name())
    .bind(bucket_ms)
    .bind(MOST)
    .fetch_all(pool)
    .await?;
    let account = |row: &Row| {
        let name: String = row.try_get(0)?;
        let per = BudgetSubject::from_name(&name)
            .ok_or_else(|| StoreError::Corrupt(format!("account {name:?}")))?;
        let account = Account { unit, bucket_ms, per, owner: row.try_get(1)? };
        Ok((account, Spending { tokens: row.try_get(2)?, nanousd: row.try_get(3)? }))
    };
    rows.iter().map(account).collect()
}
