//! HTML pages, as the text that a reader sees.
//!
//! Headings, lists, tables, links and code keep their structure in the manner of markdown. Content of
//! attributes (titles, values and states of fields, addresses) is written in brackets. Scripts, styles and
//! the rest of the markup are removed. They cannot be derived, so this is never lossless.
//!
//! XML that is not HTML has its content in its elements and attributes, and stays whole.

use super::keep::counted;
use crate::block::{Context, Lossy};
use crate::work;

mod entity;
mod grid;
mod list;
mod render;
mod tag;

/// How many tags decide what a document is.
const LOOKED_AT: usize = 64;

/// The page as text.
pub(crate) fn lossy(text: &str, _cx: &Context<'_>) -> Option<Lossy> {
    if !is_html(text) {
        return None;
    }
    let page = render::text_of(text);
    let kept = page.trim();
    if kept.is_empty() || kept.len() >= text.len() {
        return None;
    }
    work::spend(4 * text.len());
    let count = |tag: &str| memchr::memmem::find_iter(text.as_bytes(), tag.as_bytes()).count();
    let mut left_out = format!(
        "markup of an HTML page left out: {} with their classes and styles",
        counted(memchr::memchr_iter(b'<', text.as_bytes()).count(), "tag")
    );
    for (tag, noun) in [("<script", "script"), ("<style", "style sheet")] {
        match count(tag) {
            0 => {}
            n => left_out.push_str(&format!(", {}", counted(n, noun))),
        }
    }
    left_out.push_str("; its text, links, titles and fields are shown");
    Some(Lossy { text: kept.to_owned(), left_out })
}

/// Whether most of the first tags are those of HTML.
fn is_html(text: &str) -> bool {
    let (mut tags, mut known) = (0usize, 0usize);
    let mut rest = text;
    while tags < LOOKED_AT
        && let Some(at) = memchr::memchr(b'<', rest.as_bytes())
    {
        rest = rest.get(at + 1..).unwrap_or_default();
        let name = rest.trim_start_matches('/');
        let name = name.get(
            ..name.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b':')).count(),
        );
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            tags += 1;
            known += usize::from(render::is_known(name));
        }
    }
    known * 100 >= tags * 60 && tags > 0
}

#[cfg(test)]
mod tests;
