//! How the filter writes a round of its own tool: the model's call and the result.
//!
//! Everything is derived from the request and from the [trace](super::trace), so the round is the same when
//! it is first sent and whenever it is put back.

use xxhash_rust::xxh3::xxh3_64;

use crate::arguments::Range;
use crate::rounds::trace::IdRules;
use crate::splice::splice;
use crate::string;
use crate::tape::Tape;

/// A call of our tool with its result.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Retrieval {
    /// The id of the call.
    pub id: String,
    /// The address of the text.
    pub hash: String,
    /// The page; `None`: the whole text.
    pub range: Option<Range>,
    /// What the model reads.
    pub result: String,
}

/// The id of a call of ours, unique in the conversation. `calls` is the number of calls of the client's tools
/// before this turn, `ordinal` the number of the retrieval in it.
pub(crate) fn call_id(
    rules: IdRules,
    calls: usize,
    ordinal: usize,
    hash: &str,
    range: Option<Range>,
) -> String {
    let range = range.map(Range::argument).unwrap_or_default();
    let digest = xxh3_64(format!("{calls} {ordinal} {hash} {range}").as_bytes());
    format!("{}{digest:016x}", rules.prefix)
}

/// A text as a JSON string.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    string::encode_into(text, &mut out);
    out
}

impl Retrieval {
    /// The call's arguments as JSON.
    pub(crate) fn arguments(&self) -> String {
        match self.range {
            None => format!("{{\"hash\":{}}}", quote(&self.hash)),
            Some(range) => {
                format!("{{\"hash\":{},\"lines\":{}}}", quote(&self.hash), quote(&range.argument()))
            }
        }
    }
}

/// The body with one more member in the object under `member`. `None`: there is no such object, or it already
/// has that member.
pub fn object_with_member(body: &[u8], member: &str, name: &str, value: &str) -> Option<Vec<u8>> {
    let tape = Tape::of(body).ok()?;
    let [object] = tape.root().pick([member]).ok()?;
    let object = object.filter(|object| object.is_object())?;
    if object.pick([name]).ok()?[0].is_some() {
        return None;
    }
    let end = object.span().range().end.checked_sub(1)?;
    let comma = if object.members().next().is_some() { "," } else { "" };
    let added = format!("{comma}{}:{value}", quote(name));
    splice(tape.body(), &[(end..end, &added)]).map(String::into_bytes)
}
