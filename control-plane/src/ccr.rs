//! Originals: what a lossy replacement left out, and the way back to it (compress, cache, retrieve).
//!
//! `verify` checks what a filter hands over, `keeper` writes it in groups and reads it back, `part`
//! gives the page, the range of lines or the matches that were asked for. Where originals are kept, and
//! what may be relied upon, is in [`store::originals`](crate::store::originals).

pub mod keeper;
pub mod part;
mod verify;

pub use self::verify::{MAX_LENGTH, MAX_ORIGINALS, Reject};
