//! The domains' stores, in SQLite or PostgreSQL.
//!
//! Both speak the same SQL, so there is one implementation of each store and one test suite; what differs is in
//! `database.rs` and in the folders of `migrations/`. Where no database is wanted, SQLite works in memory, and `lines.rs`
//! keeps what it holds in a file of JSON Lines. A domain defines what its store promises; nothing outside of
//! this folder knows how that is kept.

mod database;
mod error;
mod learn;
mod ledger;
mod lines;
pub mod memory;
mod open;
mod originals;
mod renewing;
mod salvage;
mod schema;

pub use self::database::Database;
pub use self::learn::SqlLearn;
pub use self::ledger::SqlLedger;
pub use self::originals::SqlOriginals;
pub use self::renewing::{Renewing, Reopen};
