//! The domains' stores, in SQLite or PostgreSQL.
//!
//! Both use the same SQL, so there is one implementation of each store and one test suite; the differences are in
//! `database.rs` and in the folders of `migrations/`. Without a database, SQLite works in memory, and `lines.rs` keeps
//! its content in a file of JSON Lines. A domain defines the guarantees of its store; nothing outside of this folder
//! depends on how they are kept.

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
