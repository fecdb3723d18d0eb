//! The script for the provider's answer to one request.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The request header that carries a [`Script`] as JSON.
pub const SCRIPT_HEADER: &str = "x-script";

/// The request header that names a request: only named requests are recorded.
pub const NAME_HEADER: &str = "x-test-name";

/// What to answer. The default is a short text, as JSON or as a stream depending on the request.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// The text to answer with.
    pub text: Option<String>,
    /// Say it so many times more.
    pub repeat: usize,
    /// A tool call to answer with.
    pub tool_call: Option<ToolCall>,
    /// More of them.
    pub more_calls: Vec<ToolCall>,
    /// Answer with this status and the API's own error body.
    pub status: Option<u16>,
    /// With a status: after how many seconds to retry, in `Retry-After`.
    pub retry_after: Option<u32>,
    /// Answer this many first requests of this name with status 503.
    pub fail_first: usize,
    /// Before each event of a stream except the first, wait for
    /// [`Provider::release`](super::Provider::release).
    pub gate: bool,
    /// Never answer.
    pub silent: bool,
    /// Break the connection instead of an answer.
    pub reset: bool,
    /// Compress the answer as `accept-encoding` asks for: the first that it names of gzip and brotli.
    pub encode: bool,
    /// Break the connection after this many events of a stream.
    pub break_after: Option<usize>,
    /// Cut the answer into pieces of this many bytes, through the middle of events and characters.
    pub piece_bytes: Option<usize>,
    /// Tokens read from the prompt cache, in the usage.
    pub cache_read_tokens: u64,
    /// Answer with the usage of a prompt cache that is kept for the name, by the API's own rules.
    pub prompt_cache: bool,
    /// The prompt cache has forgotten everything before this request, as a provider's may at any time.
    pub forget_cache: bool,
    /// What to do with the second request of this name, the third, and so on; the last of them also with
    /// those that follow. Empty: as with the first.
    pub then: Vec<Script>,
    /// Count by the tool outputs in a request, not by the requests before it: the first entry of `then`
    /// answers a request with one output. Agents send requests outside of their loop, for a title or a
    /// summary; those have no tools, and get a short text.
    pub by_outputs: bool,
}

/// A call of one of the client's tools.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// Its arguments, a JSON object.
    pub arguments: Value,
}

impl Script {
    /// The script for a request after this many earlier ones of its name.
    pub(super) fn turn(&self, earlier: usize) -> &Self {
        match earlier {
            0 => self,
            later => self.then.get(later - 1).or(self.then.last()).unwrap_or(self),
        }
    }

    /// The value of the header [`SCRIPT_HEADER`].
    pub fn header(&self) -> String {
        serde_json::to_string(self).expect("a script is plain data")
    }
}
