//! Originals: the texts behind markers, which a lossy form left out, and their retrieval (compress, cache,
//! retrieve).
//!
//! `verify` checks what a filter sends, `writer` writes it in groups, `keeper` passes it to the writer and reads it
//! back. Pages, ranges and the results of a query come from the engine, so that a model gets the same text from
//! every component. The places of originals, and their guarantees, are in [`store`].

pub mod counts;
pub mod keeper;
pub mod reading;
pub mod store;
mod verify;
pub mod writer;

pub use self::verify::{MAX_LENGTH, MAX_ORIGINALS, OriginalError};
