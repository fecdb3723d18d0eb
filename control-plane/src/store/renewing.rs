//! Stores that recover while the sidecar runs: each error is counted, and a damaged file is set aside as soon as it
//! is found. The readable rows go into a new file, and the operation that found the damage continues there.

mod stores;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::database::Database;
use super::learn::SqlLearn;
use super::ledger::SqlLedger;
use super::memory::{PostgresMemory, SqliteMemory};
use super::open::damage_of;
use super::originals::SqlOriginals;
use crate::clock::{Clock, UnixMs};
use crate::learn::LearnStore as _;
use crate::ledger::store::LedgerStore as _;
use crate::memory::MemoryStore as _;
use crate::originals::store::OriginalsStore as _;
use crate::trouble::{StoreError, StoreWatch, Trouble};

/// Time between two renewals at least: a broken disk would otherwise be filled with
/// damaged files.
const PAUSE: Duration = Duration::from_secs(60);

/// A store that can be opened again.
#[async_trait]
pub trait Reopen: Sized + Send + Sync + 'static {
    /// Opens it. With `damage`, its file is set aside without another check.
    async fn open_again(database: &Database, now: UnixMs, damage: Option<String>)
    -> Result<Self, StoreError>;
    /// Its location, without credentials.
    fn place(&self) -> &str;
    /// The path of a damaged file that was set aside when it was opened.
    fn aside(&self) -> Option<&Path>;
    /// Closes the store.
    async fn end(&self);
}

/// A store whose file is replaced if it is damaged.
#[derive(Debug)]
pub struct Renewing<S>(Arc<Inner<S>>);

struct Inner<S> {
    current: RwLock<Arc<S>>,
    /// Locked during a renewal; the time of the last one.
    turn: tokio::sync::Mutex<Option<Instant>>,
    database: Database,
    clock: Clock,
    location: String,
    watch: Arc<StoreWatch>,
    ended: AtomicBool,
}

impl<S> std::fmt::Debug for Inner<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("location", &self.location).finish_non_exhaustive()
    }
}

impl<S: Reopen> Renewing<S> {
    /// Opens the store.
    pub async fn open(database: &Database, clock: Clock) -> Result<Self, StoreError> {
        Self::open_watched(database, clock, Arc::default()).await
    }

    /// The same, with observations recorded in the caller's watch.
    pub async fn open_watched(
        database: &Database,
        clock: Clock,
        watch: Arc<StoreWatch>,
    ) -> Result<Self, StoreError> {
        let opened = S::open_again(database, clock(), None).await;
        let store = opened.inspect_err(|error| watch.count(Trouble::of(error)))?;
        if let Some(path) = store.aside() {
            watch.note_set_aside(path);
        }
        Ok(Self(Arc::new(Inner {
            location: store.place().to_owned(),
            current: RwLock::new(Arc::new(store)),
            turn: tokio::sync::Mutex::new(None),
            database: database.clone(),
            clock,
            watch,
            ended: AtomicBool::new(false),
        })))
    }

    /// The observations of it.
    pub fn watch(&self) -> Arc<StoreWatch> {
        Arc::clone(&self.0.watch)
    }

    fn current(&self) -> Arc<S> {
        self.0.current()
    }

    /// Counts an error; true if a new store has replaced the failed one.
    async fn has_renewed(&self, failed: &Arc<S>, error: &StoreError) -> bool {
        let trouble = Trouble::of(error);
        self.0.watch.count(trouble);
        if !matches!(self.0.database, Database::File(_)) {
            return false;
        }
        let StoreError::Database { error: cause, .. } = error else { return false };
        let damage = match cause.downcast_ref() {
            _ if trouble == Trouble::Damaged => Some(error.to_string()),
            // an earlier renewal has failed
            Some(sqlx::Error::PoolClosed) => None,
            // a pool does not report why it gets no connection
            Some(sqlx::Error::PoolTimedOut) => match damage_of(&self.0.database).await {
                Ok(Some(damage)) => {
                    self.0.watch.count(Trouble::Damaged);
                    Some(damage)
                }
                _ => return false,
            },
            _ => return false,
        };
        let (inner, failed) = (Arc::clone(&self.0), Arc::clone(failed));
        // the renewal is completed even if the caller is gone
        tokio::spawn(async move { inner.renew(&failed, damage).await }).await.unwrap_or(false)
    }

    async fn end(&self) {
        self.0.ended.store(true, Ordering::SeqCst);
        let _turn = self.0.turn.lock().await;
        self.current().end().await;
    }
}

impl<S: Reopen> Inner<S> {
    fn current(&self) -> Arc<S> {
        Arc::clone(&self.current.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    async fn renew(&self, failed: &Arc<S>, damage: Option<String>) -> bool {
        let mut last = self.turn.lock().await;
        if self.ended.load(Ordering::SeqCst) {
            return false;
        }
        if !Arc::ptr_eq(failed, &self.current()) {
            return true;
        }
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            return false;
        }
        *last = Some(Instant::now());
        // SQLite's last connection writes its journal into the file that it has opened
        failed.end().await;
        match S::open_again(&self.database, (self.clock)(), damage).await {
            Ok(renewed) => {
                if let Some(path) = renewed.aside() {
                    self.watch.note_set_aside(path);
                }
                *self.current.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(renewed);
                true
            }
            Err(error) => {
                tracing::error!(message = "A damaged store could not be replaced; it is tried again.", %error);
                false
            }
        }
    }
}

macro_rules! reopen {
    ($($store:ty),*) => {$(
        #[async_trait]
        impl Reopen for $store {
            async fn open_again(
                database: &Database,
                now: UnixMs,
                damage: Option<String>,
            ) -> Result<Self, StoreError> {
                Self::open_damaged(database, now, damage).await
            }

            fn place(&self) -> &str {
                self.location()
            }

            fn aside(&self) -> Option<&Path> {
                self.set_aside()
            }

            async fn end(&self) {
                self.close().await;
            }
        }
    )*};
}

reopen!(SqlLedger, SqlOriginals, SqlLearn, SqliteMemory, PostgresMemory);
