//! Tables: aligned columns, columns between pipes, CSV and TSV.
//!
//! A table is read into cells, the values that all cells of a column share are stated once, and the rows are
//! written again with one separator and no padding:
//!
//! ```text
//! [headroom: a table, columns set apart by blanks; left out, the same in every row: NAMESPACE=default; NODE a=node-1.internal b=node-2.internal]
//! NAME READY NODE
//! web-0 1/1 a
//! web-1 0/1 b
//! ```

use super::signal::{self, Signal};
use super::text;
use crate::block::Context;

mod cells;
mod columns;
#[deny(clippy::string_slice)]
mod digest;
mod pipes;

pub(crate) use digest::lossy;

/// The table without padding, and with what a column shares stated once. Cells can be restored exactly, for
/// CSV and TSV the whole text.
pub(crate) fn lossless(text: &str, cx: &Context<'_>) -> Option<String> {
    let table = pipes::trimmed(text).or_else(|| columns::redrawn(text));
    let table = table.filter(|table| table.len() < text.len());
    // If there are no columns, rows may still share their wording.
    table.or_else(|| text::lossless(text, cx))
}
