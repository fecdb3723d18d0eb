//! The cache's part of the ledger in SQL: shelves with the writes of earlier requests, and sums by reason.

use std::collections::{BTreeMap, BTreeSet};

use headroom_api::v1::{CacheLayout, MissReason};
use prost::Message as _;

use super::statement::{
    ADD_CACHE, GET_CACHE_BY_REASON, GET_CACHE_BY_TIME, GET_CACHE_OF_VALUE, cache_sums, statement,
};
use crate::clock::{DAY_MS, HOUR_MS, UnixMs};
use crate::ledger::bucket::Unit;
use crate::ledger::cache::money;
use crate::ledger::cache::verdict::{EarlierRequests, find_line, prompt_before, verdict};
use crate::ledger::cache::written::{Place, Shelf, WrittenPrefix};
use crate::ledger::contribution::{Accounting, Contribution, CountedRequest};
use crate::ledger::history::HOURS_BROKEN_DOWN_DAYS;
use crate::ledger::labels::{Dimension, OTHER, UNKNOWN, is_stack};
use crate::ledger::store::{CacheRange, CacheReason, CacheTime, ChangedLine};
use crate::ledger::sums::CacheSums;
use crate::purge::Scope;
use crate::store::database::{Pool, Transaction, query};
use crate::trouble::StoreError;

/// Number of shelves that are kept: twice the number of individually stored requests.
const MAX_SHELVES: i64 = 20_000;
/// How long a shelf is kept: a conversation that continues after a week has an expired cache, later it counts as
/// new.
const SHELF_DAYS: i64 = 7;
/// Maximum number of different lines in an hour; changes beyond that are stored without a line.
const MAX_LINES: i64 = 64;

/// Finds out for each record why it read less than it could have, and adds up what that cost.
pub(super) async fn add(
    tx: &mut Transaction,
    contribution: &mut Contribution,
    accounting: &Accounting,
) -> Result<(), StoreError> {
    let mut shelves = Shelves::default();
    let mut sums = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for landed in &mut contribution.requests {
        attribute(tx, landed, &mut shelves, accounting, &mut sums, &mut lines).await?;
    }
    shelves.store(tx).await?;
    for ((unit, dimension, value, reason, bucket), sums) in sums {
        let query = statement(&ADD_CACHE).bind(unit.name()).bind(dimension.name()).bind(value);
        query.bind(reason).bind(bucket).bind_all(sums.values()).execute(&mut *tx).await?;
    }
    add_lines(tx, lines).await
}

type SumsByKey = BTreeMap<(Unit, Dimension, String, i64, UnixMs), CacheSums>;
type LinesByKey = BTreeMap<(UnixMs, String, String, String, i64, String), (i64, i64, i64)>;

async fn attribute(
    tx: &mut Transaction,
    landed: &mut CountedRequest,
    shelves: &mut Shelves,
    accounting: &Accounting,
    sums: &mut SumsByKey,
    lines: &mut LinesByKey,
) -> Result<(), StoreError> {
    let record = &mut landed.record;
    let names = Place::ALL.map(|place| place.name(record).map(|name| (record.tenant.clone(), name)));
    for name in names.iter().flatten() {
        shelves.load(tx, name).await?;
    }
    let [conversation, prompt, family, system] = names.each_ref().map(|name| shelves.get(name.as_ref()));
    let known = EarlierRequests { conversation, prompt, family, system };
    if let Some(mut found) = verdict(record, known) {
        if let Some(layout) = record.cache_layout.as_ref()
            && found.told.reason() == MissReason::SystemChanged
            && let Some(before) = prompt_before(record, known)
        {
            find_line(&mut found.told, layout, before);
        }
        let added = money::sums(record, &found, &landed.sums, &accounting.models);
        found.told.lost_nanousd = added.lost_nanousd;
        let reason = i64::from(found.told.reason);
        let labels = &accounting.labels;
        let stack = if is_stack(&record.stack) { record.stack.as_str() } else { "" };
        let values = [
            (Dimension::All, String::new()),
            (Dimension::Model, labels.value(Dimension::Model, &record.model)),
            (Dimension::Project, labels.value(Dimension::Project, &record.project)),
            (Dimension::Stack, labels.value(Dimension::Stack, stack)),
            (Dimension::Tenant, labels.value(Dimension::Tenant, &record.tenant)),
        ];
        if found.told.line > 0 && found.told.lost_tokens > 0 {
            let stack = values[3].1.clone();
            let first_line = record.cache_layout.as_ref().map_or(0, |layout| layout.first_line);
            let classes: Vec<String> = found.told.classes.iter().map(i32::to_string).collect();
            let hour = Unit::Hour.start(record.started_unix_ms);
            let key = (
                hour,
                values[4].1.clone(),
                stack,
                format!("{first_line:016x}"),
                i64::from(found.told.line),
                classes.join(","),
            );
            let line = lines.entry(key).or_insert((0, 0, 0));
            line.0 += 1;
            line.1 += i64::from(added.is_priced());
            line.2 += added.lost_nanousd;
        }
        for (dimension, value) in values {
            for unit in [Unit::Hour, Unit::Day] {
                let bucket = unit.start(record.started_unix_ms);
                *sums.entry((unit, dimension, value.clone(), reason, bucket)).or_default() += added;
            }
        }
        record.cache_verdict = Some(found.told);
        if let Some(written) = WrittenPrefix::of(record) {
            for (place, name) in Place::ALL.into_iter().zip(&names) {
                if let Some(name) = name {
                    shelves.put(name, place, written.clone());
                }
            }
        }
    }
    if let Some(layout) = &mut record.cache_layout {
        strip(layout);
    }
    Ok(())
}

/// Removes the data that only the comparison needs, before the request is stored.
fn strip(layout: &mut CacheLayout) {
    layout.system_lines = Vec::new();
    layout.volatile_tokens = Vec::new();
    layout.prefix_bytes = Vec::new();
}

/// The shelves of a group of records, read once and written once.
#[derive(Default)]
struct Shelves {
    read: BTreeMap<(String, String), Shelf>,
    changed: BTreeSet<(String, String)>,
}

impl Shelves {
    async fn load(&mut self, tx: &mut Transaction, name: &(String, String)) -> Result<(), StoreError> {
        if self.read.contains_key(name) {
            return Ok(());
        }
        let row = query("SELECT shelf FROM cache_shelf WHERE tenant = $1 AND name = $2")
            .bind(name.0.clone())
            .bind(name.1.clone())
            .fetch_optional(&mut *tx)
            .await?;
        let shelf = match row {
            None => Shelf::default(),
            Some(row) => {
                let bytes: Vec<u8> = row.try_get(0)?;
                // An unreadable shelf starts empty: it is only a cache.
                Shelf::decode(bytes.as_slice()).unwrap_or_default()
            }
        };
        self.read.insert(name.clone(), shelf);
        Ok(())
    }

    fn get(&self, name: Option<&(String, String)>) -> &[WrittenPrefix] {
        name.and_then(|name| self.read.get(name)).map_or(&[], |shelf| shelf.written.as_slice())
    }

    fn put(&mut self, name: &(String, String), place: Place, written: WrittenPrefix) {
        self.read.entry(name.clone()).or_default().put(place, written);
        self.changed.insert(name.clone());
    }

    async fn store(&self, tx: &mut Transaction) -> Result<(), StoreError> {
        for name in &self.changed {
            let Some(shelf) = self.read.get(name) else { continue };
            query(
                "INSERT INTO cache_shelf (tenant, name, at_ms, shelf) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (tenant, name) DO UPDATE SET at_ms = excluded.at_ms, shelf = excluded.shelf",
            )
            .bind(name.0.clone())
            .bind(name.1.clone())
            .bind(shelf.newest_ms())
            .bind(shelf.encode_to_vec())
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }
}

async fn add_lines(tx: &mut Transaction, lines: LinesByKey) -> Result<(), StoreError> {
    for ((bucket, tenant, stack, prompt, line, classes), (requests, priced, lost)) in lines {
        let known = query(
            "SELECT COUNT(*), CAST(COALESCE(MAX(CASE WHEN tenant = $2 AND stack = $3 AND prompt = $4 AND line = $5
                AND classes = $6 THEN 1 ELSE 0 END), 0) AS BIGINT) FROM cache_line WHERE bucket_ms = $1",
        )
        .bind(bucket)
        .bind(tenant.clone())
        .bind(stack.clone())
        .bind(prompt.clone())
        .bind(line)
        .bind(classes.clone());
        let row = known.fetch_one(&mut *tx).await?;
        let (count, is_known): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if count >= MAX_LINES && is_known == 0 {
            continue;
        }
        query(
            "INSERT INTO cache_line (bucket_ms, tenant, stack, prompt, line, classes, requests, priced, lost_nanousd)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (bucket_ms, tenant, stack, prompt, line, classes) DO UPDATE SET
                requests = cache_line.requests + excluded.requests,
                priced = cache_line.priced + excluded.priced,
                lost_nanousd = cache_line.lost_nanousd + excluded.lost_nanousd",
        )
        .bind(bucket)
        .bind(tenant)
        .bind(stack)
        .bind(prompt)
        .bind(line)
        .bind(classes)
        .bind(requests)
        .bind(priced)
        .bind(lost)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Sums over a range per value of a dimension and reason; for one value if one is named.
pub(super) async fn by_reason(
    pool: &Pool,
    range: CacheRange,
    dimension: Dimension,
    value: Option<&str>,
) -> Result<Vec<CacheReason>, StoreError> {
    let text = if value.is_some() { &GET_CACHE_OF_VALUE } else { &GET_CACHE_BY_REASON };
    let mut query = statement(text)
        .bind(range.unit.name())
        .bind(dimension.name())
        .bind(range.from_ms)
        .bind(range.until_ms);
    if let Some(value) = value {
        query = query.bind(value.to_owned());
    }
    let rows = query.fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            let reason: i64 = row.try_get(1)?;
            let reason = i32::try_from(reason).ok().and_then(|reason| MissReason::try_from(reason).ok());
            Ok(CacheReason {
                value: row.try_get(0)?,
                reason: reason.unwrap_or(MissReason::Unknown),
                sums: cache_sums(row, 2)?,
            })
        })
        .collect()
}

/// Sums per bucket of a range, ascending.
pub(super) async fn by_time(
    pool: &Pool,
    range: CacheRange,
    dimension: Dimension,
    value: &str,
) -> Result<Vec<CacheTime>, StoreError> {
    let query = statement(&GET_CACHE_BY_TIME).bind(range.unit.name()).bind(dimension.name());
    let query = query.bind(range.from_ms).bind(range.until_ms).bind(value.to_owned());
    let rows = query.fetch_all(pool).await?;
    rows.iter().map(|row| Ok(CacheTime { start_ms: row.try_get(0)?, sums: cache_sums(row, 1)? })).collect()
}

/// Lines of system prompts that changed in a range, the most expensive first.
pub(super) async fn lines(
    pool: &Pool,
    range: CacheRange,
    limit: u32,
) -> Result<Vec<ChangedLine>, StoreError> {
    let rows = query(
        "SELECT tenant, stack, prompt, line, classes, CAST(SUM(requests) AS BIGINT),
            CAST(SUM(priced) AS BIGINT), CAST(SUM(lost_nanousd) AS BIGINT) AS lost
         FROM cache_line WHERE bucket_ms >= $1 AND bucket_ms < $2
         GROUP BY tenant, stack, prompt, line, classes
         ORDER BY lost DESC, tenant, stack, prompt, line, classes LIMIT $3",
    )
    .bind(range.from_ms)
    .bind(range.until_ms)
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let (line, classes): (i64, String) = (row.try_get(3)?, row.try_get(4)?);
            let priced: i64 = row.try_get(6)?;
            let lost: i64 = row.try_get(7)?;
            Ok(ChangedLine {
                tenant: row.try_get(0)?,
                stack: row.try_get(1)?,
                prompt: row.try_get(2)?,
                line: u32::try_from(line).unwrap_or(0),
                classes: classes.split(',').filter_map(|class| class.parse().ok()).collect(),
                requests: row.try_get(5)?,
                lost_nanousd: (priced > 0).then_some(lost),
            })
        })
        .collect()
}

/// The tenants that sums are kept of.
pub(super) async fn tenants(pool: &Pool) -> Result<Vec<String>, StoreError> {
    let rows = query(
        "SELECT DISTINCT value FROM cache_rollup WHERE unit = 'day' AND dimension = 'tenant' ORDER BY value",
    )
    .fetch_all(pool)
    .await?;
    let tenants: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(tenants.into_iter().filter(|tenant| tenant != OTHER && tenant != UNKNOWN).collect())
}

/// Drops data beyond the limits of age and number; `kept_days` is for buckets of a day.
pub(super) async fn maintain(tx: &mut Transaction, now: UnixMs, kept_days: i64) -> Result<(), StoreError> {
    let days_ago = |days: i64| now - days * DAY_MS;
    for (text, before) in [
        ("DELETE FROM cache_shelf WHERE at_ms < $1", days_ago(SHELF_DAYS)),
        (
            "DELETE FROM cache_rollup WHERE unit = 'hour' AND bucket_ms < $1",
            Unit::Hour.start(days_ago(HOURS_BROKEN_DOWN_DAYS)),
        ),
        (
            "DELETE FROM cache_rollup WHERE unit = 'day' AND bucket_ms < $1",
            Unit::Day.start(days_ago(kept_days)),
        ),
        ("DELETE FROM cache_line WHERE bucket_ms < $1", Unit::Hour.start(days_ago(HOURS_BROKEN_DOWN_DAYS))),
    ] {
        query(text).bind(before).execute(&mut *tx).await?;
    }
    query(
        "DELETE FROM cache_shelf WHERE at_ms < COALESCE(
            (SELECT at_ms FROM cache_shelf ORDER BY at_ms DESC LIMIT 1 OFFSET $1), 0)",
    )
    .bind(MAX_SHELVES)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Deletes the sums in a scope, and returns their number.
pub(super) async fn purge(tx: &mut Transaction, scope: &Scope) -> Result<u64, StoreError> {
    let mut sums = 0;
    match scope {
        Scope::All => {
            query("DELETE FROM cache_shelf").execute(&mut *tx).await?;
            sums += query("DELETE FROM cache_rollup").execute(&mut *tx).await?;
            sums += query("DELETE FROM cache_line").execute(&mut *tx).await?;
        }
        Scope::Tenant(tenant) => {
            query("DELETE FROM cache_shelf WHERE tenant = $1").bind(tenant.clone()).execute(&mut *tx).await?;
            for text in [
                "DELETE FROM cache_rollup WHERE dimension = 'tenant' AND value = $1",
                "DELETE FROM cache_line WHERE tenant = $1",
            ] {
                sums += query(text).bind(tenant.clone()).execute(&mut *tx).await?;
            }
        }
        Scope::Before(time) => {
            query("DELETE FROM cache_shelf WHERE at_ms < $1").bind(*time).execute(&mut *tx).await?;
            for (text, before) in [
                (
                    "DELETE FROM cache_rollup WHERE unit = 'hour' AND bucket_ms < $1",
                    *time - time.rem_euclid(HOUR_MS),
                ),
                ("DELETE FROM cache_rollup WHERE unit = 'day' AND bucket_ms < $1", Unit::Day.start(*time)),
                ("DELETE FROM cache_line WHERE bucket_ms < $1", *time - time.rem_euclid(HOUR_MS)),
            ] {
                sums += query(text).bind(before).execute(&mut *tx).await?;
            }
        }
    }
    Ok(sums)
}
