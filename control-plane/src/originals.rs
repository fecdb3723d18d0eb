//! Originals: what a lossy replacement left out, and the way back to it (compress, cache, retrieve).
//!
//! `verify` checks what a filter hands over, `writer` writes it in groups, `keeper` hands it
//! over and reads it back. Pages, ranges and what
//! a query finds are the engine's, so that a model reads the same whoever answers it. Where originals are kept, and
//! what may be relied upon, is in [`store`].

pub mod counts;
pub mod keeper;
pub mod store;
mod verify;
pub mod writer;

pub use self::verify::{MAX_LENGTH, MAX_ORIGINALS, Reject};
