//! Where SQLite and PostgreSQL differ.

/// Which of the two is at the other end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// Begins a transaction that will write. SQLite takes the write lock at once: taking it later
    /// would fail where another process wrote in between.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// Makes processes that start together on one database take turns at its schema: in PostgreSQL
    /// even `CREATE TABLE IF NOT EXISTS` fails when two do it at once. The number is arbitrary.
    pub(super) fn lock_schema(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock(7283946150)"),
        }
    }

    /// What ends a `SELECT` of rows that the transaction will write. In SQLite the transaction has the
    /// write lock from its beginning.
    pub(super) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// Whether a connection may have died while nobody used it, so that it is asked before each use.
    pub(super) fn may_disconnect(self) -> bool {
        self == Self::Postgres
    }

    /// The type for bytes.
    pub(super) fn bytes(self) -> &'static str {
        match self {
            Self::Sqlite => "BLOB",
            Self::Postgres => "BYTEA",
        }
    }

    /// Keeps rows in the order of their primary key, where that has to be asked for.
    pub(super) fn clustered(self) -> &'static str {
        match self {
            Self::Sqlite => "WITHOUT ROWID",
            Self::Postgres => "",
        }
    }

    /// The settings of every connection.
    ///
    /// `synchronous = FULL`: in WAL mode NORMAL survives the death of the process but may lose the
    /// last commits with the power, and an acknowledged record is one that the filter has
    /// forgotten. Reports are committed in groups off the request path, so that the sync per
    /// commit costs nobody anything.
    pub(super) fn on_connect(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[
                "PRAGMA busy_timeout = 5000",
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA temp_store = MEMORY",
                // what is deleted is gone from the file, too
                "PRAGMA secure_delete = ON",
                "PRAGMA journal_size_limit = 67108864",
            ],
            Self::Postgres => &["SET statement_timeout = '10s'", "SET lock_timeout = '5s'"],
        }
    }
}
