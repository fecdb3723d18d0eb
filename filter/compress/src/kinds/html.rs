//! HTML pages, as the text that a reader sees.
//!
//! Headings, lists, tables, links and code keep their structure in the manner of markdown; scripts,
//! styles and attributes go. What goes cannot be derived, so this is never lossless.

use super::keep::grouped;
use crate::block::{Context, Lossy};

mod entity;
mod render;

/// The page as text.
pub(crate) fn lossy(text: &str, _cx: &Context<'_>) -> Option<Lossy> {
    let page = render::text_of(text);
    let kept = page.trim();
    if kept.is_empty() || kept.len() >= text.len() {
        return None;
    }
    let percent = 100 - kept.len() * 100 / text.len().max(1);
    let left_out = format!(
        "markup, scripts and styles of an HTML page of {} bytes left out ({percent} %)",
        grouped(text.len())
    );
    Some(Lossy { text: kept.to_owned(), left_out })
}

#[cfg(test)]
mod tests;
