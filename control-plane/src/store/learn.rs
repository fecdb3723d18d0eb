//! Sightings of the live learner in SQLite or PostgreSQL.

use std::path::Path;

use async_trait::async_trait;
use headroom_learn::lesson::Kind;
use headroom_learn::sighting::Sighting;

use super::database::{Database, Row, query};
use super::open::OpenDatabase;
use super::schema::LEARN;
use crate::clock::{UnixMs, now_ms};
use crate::learn::{LearnPlace, LearnStore};
use crate::purge::Scope;
use crate::trouble::StoreError;

/// Maximum number of sightings of one pattern. More of them add nothing.
const OF_PATTERN: i64 = 50;
/// Maximum number of sightings of one project.
const OF_PROJECT: i64 = 20_000;

/// Sightings in a database.
#[derive(Debug)]
pub struct SqlLearn(OpenDatabase);

impl SqlLearn {
    /// Opens the store, and creates it if it does not exist. A damaged file is set aside like the ledger's.
    pub async fn open(database: &Database, now: UnixMs) -> Result<Self, StoreError> {
        Self::open_damaged(database, now, None).await
    }

    /// As [`SqlLearn::open`], with the known damage of the file.
    pub(super) async fn open_damaged(
        database: &Database,
        now: UnixMs,
        damage: Option<String>,
    ) -> Result<Self, StoreError> {
        Ok(Self(OpenDatabase::open(database, &LEARN, now, damage).await?))
    }

    /// The path of a damaged file that was set aside when this store was opened.
    pub fn set_aside(&self) -> Option<&Path> {
        self.0.set_aside.as_deref()
    }
}

/// The key of a kind and a subject: subjects may be too long for an index.
fn pattern(kind: Kind, subject: &str) -> String {
    let hash = blake3::hash(format!("{}\0{subject}", kind.name()).as_bytes());
    hash.to_hex().chars().take(32).collect()
}

fn sighting(row: &Row) -> Result<Option<Sighting>, StoreError> {
    let text = |at: usize| row.try_get::<String>(at);
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    // a newer version may know more kinds
    let Some(kind) = Kind::from_name(&text(3)?) else { return Ok(None) };
    Ok(Some(Sighting {
        agent: text(0)?,
        conversation: text(1)?,
        call: text(2)?,
        kind,
        subject: text(4)?,
        wrong: text(5)?,
        right: some(text(6)?),
        said: some(text(7)?),
        seen_ms: row.try_get(8)?,
    }))
}

#[async_trait]
impl LearnStore for SqlLearn {
    fn location(&self) -> &str {
        &self.0.location
    }

    async fn record(&self, project: &str, sightings: &[Sighting]) -> Result<u64, StoreError> {
        let mut sightings: Vec<(String, &Sighting)> =
            sightings.iter().map(|it| (pattern(it.kind, &it.subject), it)).collect();
        // sorted, because two writers with different orders could deadlock
        sightings.sort_by(|(a, one), (b, other)| {
            (a, &one.conversation, &one.call).cmp(&(b, &other.conversation, &other.call))
        });
        let mut tx = self.0.pool.begin().await?;
        let mut changed = 0;
        for (pattern, seen) in sightings {
            let (instead, said) =
                (seen.right.clone().unwrap_or_default(), seen.said.clone().unwrap_or_default());
            let update = query(
                "UPDATE learn_sighting SET wrong = $5, instead = $6, said = $7
                 WHERE project = $1 AND pattern = $2 AND conversation = $3 AND call_id = $4
                   AND $6 <> '' AND instead <> $6",
            );
            let update = update
                .bind(project)
                .bind(pattern.clone())
                .bind(seen.conversation.clone())
                .bind(seen.call.clone())
                .bind(seen.wrong.clone())
                .bind(instead.clone())
                .bind(said.clone());
            changed += update.execute(&mut tx).await?;
            let insert = query(
                "INSERT INTO learn_sighting
                     (project, pattern, conversation, call_id, agent, kind, subject, wrong, instead, said, seen_ms)
                 SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
                 WHERE (SELECT COUNT(*) FROM learn_sighting WHERE project = $1 AND pattern = $2) < $12
                   AND (SELECT COUNT(*) FROM learn_sighting WHERE project = $1) < $13
                 ON CONFLICT (project, pattern, conversation, call_id) DO NOTHING",
            );
            let insert = insert
                .bind(project)
                .bind(pattern)
                .bind(seen.conversation.clone())
                .bind(seen.call.clone())
                .bind(seen.agent.clone())
                .bind(seen.kind.name())
                .bind(seen.subject.clone())
                .bind(seen.wrong.clone())
                .bind(instead)
                .bind(said)
                .bind(seen.seen_ms)
                .bind(OF_PATTERN)
                .bind(OF_PROJECT);
            changed += insert.execute(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(changed)
    }

    async fn patterns(&self, project: &str) -> Result<Vec<(Kind, String)>, StoreError> {
        let rows = query(
            "SELECT DISTINCT s.kind, s.subject FROM learn_sighting s
             LEFT JOIN learn_refuted r ON r.project = s.project AND r.pattern = s.pattern
             WHERE s.project = $1 AND s.seen_ms > COALESCE(r.at_ms, 0)",
        );
        let mut found = Vec::new();
        for row in rows.bind(project).fetch_all(&self.0.pool).await? {
            let (kind, subject): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            found.extend(Kind::from_name(&kind).map(|kind| (kind, subject)));
        }
        Ok(found)
    }

    async fn refute(
        &self,
        project: &str,
        patterns: &[(Kind, String)],
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let mut refuted: Vec<String> =
            patterns.iter().map(|(kind, subject)| pattern(*kind, subject)).collect();
        refuted.sort_unstable();
        let mut tx = self.0.pool.begin().await?;
        for pattern in refuted {
            let refute = query(
                "INSERT INTO learn_refuted (project, pattern, at_ms) VALUES ($1, $2, $3)
                 ON CONFLICT (project, pattern) DO UPDATE SET at_ms = excluded.at_ms",
            );
            refute.bind(project).bind(pattern).bind(now).execute(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn sightings(&self, project: &str) -> Result<Vec<Sighting>, StoreError> {
        let rows = query(
            "SELECT s.agent, s.conversation, s.call_id, s.kind, s.subject, s.wrong, s.instead, s.said, s.seen_ms
             FROM learn_sighting s LEFT JOIN learn_refuted r ON r.project = s.project AND r.pattern = s.pattern
             WHERE s.project = $1 AND s.seen_ms > COALESCE(r.at_ms, 0)
             ORDER BY s.seen_ms, s.conversation, s.call_id",
        );
        let rows = rows.bind(project).fetch_all(&self.0.pool).await?;
        rows.iter().filter_map(|row| sighting(row).transpose()).collect()
    }

    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<u64, StoreError> {
        let time = match scope {
            Scope::All => i64::MAX,
            Scope::Before(time) => *time,
            Scope::Tenant(_) => return Ok(0),
        };
        let mut tx = self.0.pool.begin().await?;
        let gone = query("DELETE FROM learn_sighting WHERE seen_ms < $1").bind(time).execute(&mut tx).await?;
        query("DELETE FROM learn_refuted WHERE at_ms < $1").bind(time).execute(&mut tx).await?;
        if dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
            if gone > 0 {
                self.0.pool.empty_journal().await;
            }
        }
        Ok(gone)
    }

    async fn close(&self) {
        self.0.pool.close().await;
    }
}

#[async_trait]
impl LearnPlace for Database {
    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<u64, StoreError> {
        if matches!(self, Self::File(path) if !path.exists()) {
            return Ok(0);
        }
        let store = SqlLearn::open(self, now_ms()).await?;
        let purged = store.purge(scope, dry_run).await;
        store.close().await;
        purged
    }
}
