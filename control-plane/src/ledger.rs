//! The ledger: what was saved, counted once and kept.
//!
//! Reports come in over a bounded queue ([`writer`]); one task appends them to the store in groups.
//! What a record adds is computed by a pure function ([`contribution`]); whether it was counted
//! before is decided inside the store's transaction ([`seen`]).

pub(crate) mod asked_back;
pub mod attribution;
pub mod bucket;
pub mod cache;
pub mod contribution;
pub mod export;
pub mod history;
pub mod import;
pub mod labels;
pub mod seen;
pub mod series;
pub mod session;
pub mod store;
pub mod sums;
pub mod writer;
