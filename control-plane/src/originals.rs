//! Originals: what a lossy replacement left out, and the way back to it (compress, cache, retrieve).
//!
//! `verify` checks what a filter hands over, `keeper` writes it in groups and reads it back. Pages, ranges and what
//! a query finds are the engine's, so that a model reads the same whoever answers it. Where originals are kept, and
//! what may be relied upon, is in [`store`].

pub mod keeper;
pub mod store;
mod verify;

pub use self::verify::{MAX_LENGTH, MAX_ORIGINALS, Reject};
