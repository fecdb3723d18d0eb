//! Errors of the databases in the stores' own terms.

use sqlx::sqlite::SqliteError;

use crate::trouble::{StoreError, Trouble};

/// SQLite's primary result codes.
mod sqlite {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const IO_ERROR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANNOT_OPEN: i32 = 14;
    pub(super) const NOT_A_DATABASE: i32 = 26;
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database { trouble: trouble(&error), error: Box::new(error) }
    }
}

/// The kind of trouble of a database's error.
fn trouble(error: &sqlx::Error) -> Trouble {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            match error.try_downcast_ref::<SqliteError>() {
                Some(_) => of_sqlite(&code),
                None => of_postgres(&code),
            }
        }
        sqlx::Error::PoolTimedOut => Trouble::Busy,
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolClosed => Trouble::Unreachable,
        _ => Trouble::Other,
    }
}

/// The kind of an extended result code, whose lowest byte is the primary one.
fn of_sqlite(code: &str) -> Trouble {
    match code.parse::<i32>().map(|code| code & 0xff) {
        Ok(sqlite::FULL) => Trouble::Full,
        Ok(sqlite::CORRUPT | sqlite::NOT_A_DATABASE) => Trouble::Damaged,
        Ok(sqlite::BUSY | sqlite::LOCKED) => Trouble::Busy,
        Ok(sqlite::CANNOT_OPEN | sqlite::IO_ERROR) => Trouble::Unreachable,
        _ => Trouble::Other,
    }
}

/// The kind of an SQLSTATE.
fn of_postgres(state: &str) -> Trouble {
    match state {
        // disk_full
        "53100" => Trouble::Full,
        // lock_not_available and query_canceled: what `lock_timeout` and `statement_timeout` end
        "55P03" | "57014" => Trouble::Busy,
        _ => Trouble::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_codes_are_of_the_kind_of_their_primary_one() {
        // SQLITE_IOERR_SHORT_READ, SQLITE_CORRUPT_INDEX, SQLITE_BUSY_SNAPSHOT, SQLITE_CONSTRAINT_UNIQUE
        let kinds = ["522", "779", "517", "2067", ""].map(of_sqlite);
        let expected =
            [Trouble::Unreachable, Trouble::Damaged, Trouble::Busy, Trouble::Other, Trouble::Other];
        assert_eq!(kinds, expected);
    }
}
