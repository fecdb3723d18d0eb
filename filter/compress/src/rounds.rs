//! The results of our own tool in rounds that the client has never seen, put back into its conversation.
//!
//! The formats find the places of the rounds ([`headroom_providers::rounds`]); the texts come from the tool
//! outputs in the same request, page by page.

mod page;

use std::borrow::Cow;
use std::ops::Range;

use headroom_providers::rounds::Pages;
pub use headroom_providers::rounds::{
    HiddenCall, MAX_ID_BYTES, RestoredBody, Retrieval, TraceInput, id_with_trace, object_with_member, quote,
};
use headroom_providers::{Api, string};

use crate::{ccr, envelope};
pub use page::{PLACEHOLDER, Page, Range as PageRange, RetrieveArguments, answer, page};

/// The source of the texts of rounds that are put back.
struct Originals;

impl Pages for Originals {
    fn address(&self, text: &str) -> String {
        ccr::address(text)
    }

    fn page(&self, text: &str, range: Option<PageRange>) -> Option<String> {
        page(text, range)
    }
}

/// Removes traces from the ids in a body and puts back the rounds in them. `None`: there is no trace, or the
/// body is not understood.
pub fn restore(body: &[u8], api: Api) -> Option<RestoredBody> {
    api.restore(body, &Originals)
}

/// A text in a body that the model can ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RetrievableText {
    /// The text.
    pub text: String,
    /// Whether it is a whole tool output, and not a text in a value of one.
    pub whole: bool,
}

/// The text with this hash in a tool output of a body. `span`: a JSON string with its quotes, or a JSON
/// value.
pub fn find(body: &[u8], span: Range<usize>, hash: &str) -> Option<RetrievableText> {
    let raw = std::str::from_utf8(body.get(span)?).ok()?;
    let block = if raw.starts_with('"') { string::text(raw)? } else { Cow::Borrowed(raw) };
    let whole = ccr::address(&block) == hash;
    let text = if whole { block.into_owned() } else { envelope::inner_text(&block, hash)? };
    Some(RetrievableText { text, whole })
}

/// The number of calls of the client's tools in a request.
pub fn calls(body: &[u8], api: Api) -> usize {
    api.walk(body).map_or(0, |walk| walk.clients_calls)
}

#[cfg(test)]
mod tests;
