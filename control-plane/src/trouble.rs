//! Errors of a store: their kinds and counts.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Why an operation of a store failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or is out of reach.
    #[error("the store did not answer: {error}")]
    Database {
        /// The kind of trouble.
        trouble: Trouble,
        /// The database driver's error.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder for the database cannot be made or written.
    #[error("{path}: the store cannot be put there: {error}")]
    Folder {
        /// The folder or file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Written by a version that is newer than this one.
    #[error("the store has schema {found}, this version knows up to {known}: run the newer headroomd")]
    Newer {
        /// The store's version.
        found: i64,
        /// The highest version known here.
        known: i64,
    },
    /// A row has a value that this program never writes.
    #[error("the store holds a value that cannot be read: {0}")]
    Corrupt(String),
}

/// The kind of a store's error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// There is no room left on the disk.
    Full,
    /// The database's file is damaged.
    Damaged,
    /// A row has a value that this program never writes.
    Malformed,
    /// Other users keep it busy for too long.
    Busy,
    /// It cannot be reached or opened.
    Unreachable,
    /// Everything else.
    Other,
}

impl Trouble {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Full, Self::Damaged, Self::Malformed, Self::Busy, Self::Unreachable, Self::Other];

    /// The kind of an error.
    pub fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Database { trouble, .. } => *trouble,
            StoreError::Folder { error, .. } if error.kind() == std::io::ErrorKind::StorageFull => Self::Full,
            StoreError::Folder { .. } => Self::Unreachable,
            StoreError::Corrupt(_) => Self::Malformed,
            StoreError::Newer { .. } => Self::Other,
        }
    }

    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Damaged => "damaged",
            Self::Malformed => "malformed",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
            Self::Other => "other",
        }
    }

    /// What it is, for people. It contains no host and no user, unlike the database's own message.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Full => "the disk is full",
            Self::Damaged => "its file is damaged",
            Self::Malformed => "it holds a value that cannot be read",
            Self::Busy => "it is busy",
            Self::Unreachable => "it cannot be reached",
            Self::Other => "see the log",
        }
    }
}

/// Observations of one store since the process started.
#[derive(Debug, Default)]
pub struct StoreWatch {
    errors: [AtomicU64; Trouble::ALL.len()],
    set_aside: Mutex<Option<PathBuf>>,
    /// Why the last awaited write was refused, and when.
    refused: Mutex<Option<(Trouble, Instant)>>,
}

/// How long a refused write is reported if no other write follows. Filters retry within seconds.
const TOLD_FOR: Duration = Duration::from_secs(60);

impl StoreWatch {
    /// Why the last write was refused.
    pub fn refused(&self) -> Option<Trouble> {
        let refused = *self.refused.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        refused.filter(|(_, at)| at.elapsed() < TOLD_FOR).map(|(trouble, _)| trouble)
    }

    pub(crate) fn note_write<T>(&self, outcome: &Result<T, StoreError>) {
        let refused = outcome.as_ref().err().map(|error| (Trouble::of(error), Instant::now()));
        *self.refused.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = refused;
    }

    /// Errors per kind.
    pub fn errors(&self) -> impl Iterator<Item = (Trouble, u64)> {
        let counted = Trouble::ALL.iter().zip(&self.errors);
        counted.map(|(trouble, count)| (*trouble, count.load(Ordering::Relaxed)))
    }

    /// The damaged file that was most recently set aside.
    pub fn set_aside(&self) -> Option<PathBuf> {
        self.set_aside.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    pub(crate) fn count(&self, trouble: Trouble) {
        if let Some((_, count)) = Trouble::ALL.iter().zip(&self.errors).find(|(it, _)| **it == trouble) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_set_aside(&self, path: &Path) {
        *self.set_aside.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(path.to_owned());
    }
}
