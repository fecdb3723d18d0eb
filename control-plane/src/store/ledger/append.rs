//! Appending reports: one transaction from "was it counted before?" to the last sum.

use std::borrow::Cow;
use std::collections::BTreeMap;

use headroom_api::forwarded_tokens;
use headroom_api::names::outcome_name;
use headroom_api::v1::{PrefixChange, RequestRecord};
use prost::Message;

use super::statement::{
    ADD_BLOCK_TALLY, ADD_ROLLUP, ADD_TALLY, ADD_TOTAL, GET_SESSION, INSERT_REQUEST, SET_CHECKPOINT,
    SET_SESSION, session_from, statement, sums,
};
use super::{cache, spent};
use crate::clock::{MINUTE_MS, UnixMs};
use crate::ledger::attribution::{LOOKED_AT, attribute};
use crate::ledger::contribution::{Accounting, Contribution};
use crate::ledger::labels::{Dimension, tidy};
use crate::ledger::seen::SeenSequences;
use crate::ledger::session;
use crate::ledger::store::{AppendOutcome, Batch, Probe};
use crate::ledger::sums::{Sums, Timing};
use crate::store::database::{Pool, Transaction, query};
use crate::trouble::StoreError;

/// The name of the newest probe in `meta`.
pub(super) const PROBE: &str = "probe";
/// The maximum of a VM's own counts, so that the sum over all VMs cannot overflow.
const MOST_COUNTED: i64 = 1 << 40;
/// Number of individually stored requests, as in upstream.
const KEPT_REQUESTS: i64 = 10_000;

/// Counts records that were not counted before.
pub(super) async fn append(
    pool: &Pool,
    batches: &[Batch],
    accounting: &Accounting,
    now: UnixMs,
) -> Result<AppendOutcome, StoreError> {
    let mut tx = pool.begin().await?;
    let mut vms = lock_vms(&mut tx, batches, now).await?;
    let mut new = Vec::new();
    let mut duplicates = 0;
    for batch in batches.iter().filter(|batch| !batch.records.is_empty()) {
        let seen = vms.entry(batch.vm_id.as_str()).or_default();
        for record in &batch.records {
            if seen.insert(record.sequence) {
                new.push((batch.vm_id.as_str(), Cow::Borrowed(record)));
            } else {
                duplicates += 1;
            }
        }
    }
    attribute_mismatches(&mut tx, &mut new).await?;
    let records = new.iter().map(|(vm_id, record)| (*vm_id, record.as_ref()));
    let mut contribution = Contribution::of(records, accounting, now);
    for retrieval in batches.iter().flat_map(|batch| &batch.retrievals) {
        contribution.add_retrieval(retrieval, &accounting.labels);
    }
    if !contribution.requests.is_empty() {
        add(&mut tx, &mut contribution, accounting, now).await?;
    }
    add_blocks(&mut tx, &contribution).await?;
    if let Some(record) = &contribution.probe {
        set_probe(&mut tx, record, now).await?;
    }
    for batch in batches {
        if let Some(seen) = vms.get(batch.vm_id.as_str()) {
            update_vm(&mut tx, batch, seen).await?;
        }
    }
    tx.commit().await?;
    let highest = |batch: &Batch| vms.get(batch.vm_id.as_str()).map_or(0, SeenSequences::highest);
    let acknowledged = batches.iter().map(highest).collect();
    Ok(AppendOutcome { acknowledged, landed: contribution.requests, duplicates })
}

/// The earlier state of each VM, with its row locked. In the order of the ids, so that two
/// replicas that lock the same VMs cannot deadlock.
async fn lock_vms<'b>(
    tx: &mut Transaction,
    batches: &'b [Batch],
    now: UnixMs,
) -> Result<BTreeMap<&'b str, SeenSequences>, StoreError> {
    let ids = batches.iter().map(|batch| batch.vm_id.as_str()).filter(|id| !id.is_empty());
    let mut vms: BTreeMap<&str, SeenSequences> = ids.map(|id| (id, SeenSequences::default())).collect();
    for (vm_id, seen) in &mut vms {
        let row = query(
            "INSERT INTO vm (vm_id, filter_version, seen, dropped_records, config_errors, last_report_ms)
             VALUES ($1, '', '', 0, 0, $2)
             ON CONFLICT (vm_id) DO UPDATE SET last_report_ms = excluded.last_report_ms
             RETURNING seen",
        )
        .bind((*vm_id).to_owned())
        .bind(now)
        .fetch_one(&mut *tx)
        .await?;
        let text: String = row.try_get(0)?;
        *seen = text.parse().map_err(|error| StoreError::Corrupt(format!("vm {vm_id}: {error}")))?;
    }
    Ok(vms)
}

/// Fills in who made the change behind each mismatch. A sound installation has no mismatches, so this lookup
/// usually costs nothing.
async fn attribute_mismatches(
    tx: &mut Transaction,
    records: &mut [(&str, Cow<'_, RequestRecord>)],
) -> Result<(), StoreError> {
    for at in 0..records.len() {
        let (before, rest) = records.split_at_mut(at);
        let Some((_, record)) = rest.first_mut() else { break };
        let change = if record.prefix_mismatches == 0 {
            PrefixChange::Unspecified
        } else {
            let conversation = conversation(record);
            let stored = earlier_of(tx, &conversation).await?;
            let reported = before.iter().rev().map(|(_, record)| record.as_ref());
            let reported = reported.filter(|earlier| self::conversation(earlier) == conversation);
            attribute(record, reported.chain(&stored))
        };
        if record.prefix_change() != change {
            record.to_mut().set_prefix_change(change);
        }
    }
    Ok(())
}

/// The newest stored requests of a conversation, newest first.
async fn earlier_of(tx: &mut Transaction, conversation: &str) -> Result<Vec<RequestRecord>, StoreError> {
    // the index leaves out requests without digests, and is used only if the query does too
    let rows = query(
        "SELECT record FROM request WHERE conversation = $1 AND conversation <> ''
         ORDER BY ordinal DESC LIMIT $2",
    )
    .bind(conversation.to_owned())
    .bind(LOOKED_AT as i64)
    .fetch_all(&mut *tx)
    .await?;
    rows.iter()
        .map(|row| {
            let bytes: Vec<u8> = row.try_get(0)?;
            RequestRecord::decode(bytes.as_slice())
                .map_err(|error| StoreError::Corrupt(format!("a request record: {error}")))
        })
        .collect()
}

/// The conversation to find a request by; empty if nothing in the request can be compared.
fn conversation(record: &RequestRecord) -> String {
    if record.client_prefix.is_some() { tidy(&record.conversation_id) } else { String::new() }
}

async fn set_probe(tx: &mut Transaction, record: &RequestRecord, now: UnixMs) -> Result<(), StoreError> {
    let tokens = record.tokens.clone().unwrap_or_default();
    let probe = Probe {
        request_id: record.request_id.clone(),
        at_ms: now,
        outcome: outcome_name(record.outcome()).to_owned(),
        status: record.status,
        tokens_before: tokens.before,
        tokens_after: forwarded_tokens(record.outcome(), &tokens),
    };
    let text = serde_json::to_string(&probe).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    query(
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(PROBE)
    .bind(text)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn update_vm(tx: &mut Transaction, batch: &Batch, seen: &SeenSequences) -> Result<(), StoreError> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX).min(MOST_COUNTED);
    // counters of a VM only grow; a late report must not reduce them
    query(
        "UPDATE vm SET filter_version = $2, seen = $3,
            dropped_records = CASE WHEN dropped_records > $4 THEN dropped_records ELSE $4 END,
            config_errors = CASE WHEN config_errors > $5 THEN config_errors ELSE $5 END,
            dropped_originals = CASE WHEN dropped_originals > $6 THEN dropped_originals ELSE $6 END,
            begun = $7, received = $8, report_interval_ms = $9
         WHERE vm_id = $1",
    )
    .bind(batch.vm_id.clone())
    .bind(tidy(&batch.filter_version))
    .bind(seen.to_string())
    .bind(count(batch.dropped_records))
    .bind(count(batch.config_errors))
    .bind(count(batch.dropped_originals))
    .bind(count(batch.begun_records))
    .bind(count(seen.count()))
    .bind(i64::from(batch.report_interval_ms))
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn add(
    tx: &mut Transaction,
    contribution: &mut Contribution,
    accounting: &Accounting,
    now: UnixMs,
) -> Result<(), StoreError> {
    // first, because it serializes replicas and assigns the ordinals
    let total = add_total(tx, contribution.total()).await?;
    let first = total.requests - contribution.total().requests + 1;
    for (request, ordinal) in contribution.requests.iter_mut().zip(first..) {
        request.ordinal = ordinal;
    }
    // after it, so that replicas see each other's writes
    cache::add(tx, contribution, accounting).await?;
    for ((dimension, value), sums) in &contribution.tallies {
        if *dimension != Dimension::All {
            let query = statement(&ADD_TALLY).bind(dimension.name()).bind(value.clone());
            query.bind_all(sums.values()).execute(&mut *tx).await?;
        }
    }
    for ((unit, bucket, dimension, value), sums) in &contribution.rollups {
        let query = statement(&ADD_ROLLUP);
        let query = query.bind(unit.name()).bind(dimension.name()).bind(value.clone()).bind(*bucket);
        query.bind_all(sums.values()).execute(&mut *tx).await?;
    }
    for (stage, timing) in &contribution.timings {
        add_timing(tx, stage, timing).await?;
    }
    for (account, spent) in &contribution.spent {
        spent::add(tx, account, *spent).await?;
    }
    for request in &contribution.requests {
        let overhead = request.record.timings.map_or(0, |timings| i64::from(timings.overhead_us));
        let query = statement(&INSERT_REQUEST)
            .bind(request.ordinal)
            .bind(request.vm_id.clone())
            .bind(overhead)
            .bind(conversation(&request.record))
            .bind(request.record.encode_to_vec());
        query.bind_all(request.sums.values()).execute(&mut *tx).await?;
    }
    query("DELETE FROM request WHERE ordinal <= $1")
        .bind(total.requests - KEPT_REQUESTS)
        .execute(&mut *tx)
        .await?;
    add_to_session(tx, contribution.total(), now).await?;
    if contribution.total().tokens_saved > 0 {
        let minute = now - now.rem_euclid(MINUTE_MS);
        let query = statement(&SET_CHECKPOINT).bind("").bind(minute);
        query.bind_all(total.values()).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Adds the sums of blocks, in the order of their names, so that two replicas cannot deadlock.
async fn add_blocks(tx: &mut Transaction, contribution: &Contribution) -> Result<(), StoreError> {
    for ((dimension, value), sums) in &contribution.blocks {
        let query = statement(&ADD_BLOCK_TALLY);
        query.bind(dimension.name()).bind(value.clone()).bind_all(sums.values()).execute(&mut *tx).await?;
    }
    Ok(())
}

async fn add_total(tx: &mut Transaction, added: Sums) -> Result<Sums, StoreError> {
    let query = statement(&ADD_TOTAL);
    let row = query.bind_all(added.values()).fetch_one(&mut *tx).await?;
    sums(&row, 0)
}

async fn add_timing(tx: &mut Transaction, stage: &str, timing: &Timing) -> Result<(), StoreError> {
    query(
        "INSERT INTO timing (stage, count, sum_us, min_us, max_us) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (stage) DO UPDATE SET
            count = timing.count + excluded.count,
            sum_us = timing.sum_us + excluded.sum_us,
            min_us = CASE WHEN timing.min_us < excluded.min_us THEN timing.min_us ELSE excluded.min_us END,
            max_us = CASE WHEN timing.max_us > excluded.max_us THEN timing.max_us ELSE excluded.max_us END",
    )
    .bind(stage.to_owned())
    .bind(timing.count)
    .bind(timing.sum_us)
    .bind(timing.min_us)
    .bind(timing.max_us)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

async fn add_to_session(tx: &mut Transaction, added: Sums, now: UnixMs) -> Result<(), StoreError> {
    let row = statement(&GET_SESSION).fetch_one(&mut *tx).await?;
    let session = session::extended(session_from(&row)?, added, now);
    let query = statement(&SET_SESSION).bind(session.started_ms).bind(session.last_activity_ms);
    query.bind_all(session.sums.values()).execute(&mut *tx).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use headroom_api::v1::{BlockRecord, RequestOutcome, Retrieval, Tokens};
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::ledger::store::LedgerStore as _;
    use crate::store::{Database, SqlLedger};
    use crate::trouble::Trouble;

    const RECORDS: u64 = 10;
    const NOW: UnixMs = 1_790_000_000_000;

    /// Records of some kilobytes each.
    fn batch(first: u64) -> Batch {
        let block = BlockRecord { tool: "Bash".to_owned(), kind: "log".repeat(10), ..BlockRecord::default() };
        let record = |sequence| RequestRecord {
            sequence,
            outcome: RequestOutcome::Compressed.into(),
            status: 200,
            tokens: Some(Tokens { before: 1_000, after: 900, ..Tokens::default() }),
            blocks: vec![block.clone(); 100],
            ..RequestRecord::default()
        };
        let records = (first..first + RECORDS).map(record).collect();
        Batch { vm_id: "vm".to_owned(), records, ..Batch::default() }
    }

    #[tokio::test]
    async fn what_headroomd_itself_is_asked_for_is_counted_without_a_request_or_a_vm() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqlLedger::open(&Database::File(dir.path().join("db")), NOW).await.unwrap();
        let retrieval =
            Retrieval { tool: "Bash".to_owned(), part: "whole".to_owned(), ..Retrieval::default() };
        let asked = Batch { retrievals: vec![retrieval; 3], ..Batch::default() };
        let batches = [asked.clone(), batch(1), asked];
        let outcome = store.append(&batches, &Accounting::default(), NOW).await.unwrap();
        assert_eq!((outcome.acknowledged, outcome.landed.len()), (vec![0, RECORDS, 0], RECORDS as usize));
        let alone = store.append(&batches[..1], &Accounting::default(), NOW).await.unwrap();
        assert_eq!((alone.acknowledged, alone.landed.len()), (vec![0], 0));
        let tallies = store.block_tallies().await.unwrap();
        let asked: Vec<_> =
            tallies.iter().filter(|(dimension, ..)| *dimension == Dimension::AskedBack).collect();
        assert_eq!(
            (asked.len(), asked[0].1.as_str(), asked[0].2.blocks),
            (1, "unknown/unknown/whole/Bash", 9)
        );
        assert_eq!((counted(&store).await, store.vms(NOW).await.unwrap().count), (RECORDS as i64, 1));
    }

    /// Limits the room to this many pages of 4 KiB, on every current connection.
    async fn limit(store: &SqlLedger, pages: i64) {
        let Pool::Sqlite(pool) = &store.pool else { unreachable!("it is a file") };
        let mut connections = Vec::new();
        for _ in 0..pool.options().get_max_connections() {
            connections.push(pool.acquire().await.unwrap());
        }
        for conn in &mut connections {
            let pragma = format!("PRAGMA max_page_count = {pages}");
            sqlx::query(AssertSqlSafe(pragma)).fetch_one(&mut **conn).await.unwrap();
        }
    }

    async fn counted(store: &SqlLedger) -> i64 {
        let tallies = store.tallies().await.unwrap();
        tallies.iter().find(|(dimension, ..)| *dimension == Dimension::All).unwrap().2.requests
    }

    #[tokio::test]
    async fn a_full_disk_refuses_reports_whole_and_takes_them_once_there_is_room_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqlLedger::open(&Database::File(dir.path().join("db")), NOW).await.unwrap();
        let pages = query("PRAGMA page_count").fetch_one(&store.pool).await.unwrap();
        let pages: i64 = pages.try_get(0).unwrap();
        let (mut durable, mut refused) = (0, 0);
        for _ in 0..30 {
            // a connection with an error is closed, and the next one has no limit
            limit(&store, pages + 40).await;
            match store.append(&[batch(durable + 1)], &Accounting::default(), NOW).await {
                Ok(appended) => durable = appended.acknowledged[0],
                Err(error) => {
                    assert_eq!(Trouble::of(&error), Trouble::Full, "{error}");
                    refused += 1;
                }
            }
            assert_eq!(counted(&store).await, durable as i64, "what was refused left nothing behind");
        }
        assert!(refused > 0 && durable > 0, "{refused} refused, {durable} durable");

        limit(&store, 1 << 20).await;
        for _ in 0..5 {
            let appended = store.append(&[batch(durable + 1)], &Accounting::default(), NOW).await.unwrap();
            assert_eq!((appended.acknowledged[0], appended.duplicates), (durable + RECORDS, 0));
            durable += RECORDS;
        }
        assert_eq!(counted(&store).await, durable as i64);
    }
}
