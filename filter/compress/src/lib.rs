//! The compression engine: bytes in, bytes and a report out.
//!
//! [`compress`] reads the body of a request to an LLM provider, finds the tool outputs in it,
//! replaces each by a form with fewer tokens where there is one, and leaves every other byte alone.
//! It has no clock, no randomness, no file and no host: the same bytes and the same configuration
//! give the same answer everywhere, which is what keeps the provider's prompt cache warm (I3).
//!
//! ```
//! use headroom_compress::{compress, Api, Config, Memo, Request};
//!
//! let body = br#"{"model":"gpt-4o","messages":[
//!     {"role":"user","content":"List the pets."},
//!     {"role":"assistant","tool_calls":[{"id":"c1","type":"function",
//!         "function":{"name":"list_pets","arguments":"{}"}}]},
//!     {"role":"tool","tool_call_id":"c1","content":"[\n  {\n    \"id\": 1,\n    \"name\": \"Rex\"\n  }\n]"}]}"#;
//!
//! let mut memo = Memo::new(16 << 20);
//! let outcome = compress(body, &Request::new(Api::OpenAiChat), &Config::default(), &mut memo);
//! assert!(outcome.body.len() <= body.len());
//! ```
//!
//! A request goes through the crate in this order: [`headroom_providers`] finds the blocks, `pipeline` takes
//! one block from detection to its replacement with one compressor per kind of content (`kinds`), `earlier`
//! knows what the conversation has shown before, `tokens` counts, `memo` remembers, and the blocks are
//! spliced into the body. `appendix` adds what only a report needs, once the request has left.
//!
//! *Upstream* in this crate is the Python product Headroom.

// Input is never indexed directly, but read with `get`. Where an index comes from a table's own length, or
// from an enumeration of its elements, the module says so.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

#[cfg(all(test, target_family = "wasm", target_os = "unknown"))]
#[macro_use]
extern crate headroom_wasm_test;

mod appendix;
mod block;
mod call;
mod ccr;
mod clean;
mod config;
mod detect;
mod earlier;
mod engine;
mod envelope;
mod epochs;
#[deny(clippy::string_slice)]
pub mod excerpt;
mod explain;
mod forms;
mod hint;
mod kinds;
mod lines;
mod memo;
mod mixed;
mod outcome;
mod pipeline;
#[cfg(all(test, not(target_family = "wasm")))]
mod recorded;
mod rewritten;
pub mod rounds;
mod seeded;
mod surroundings;
mod tokens;
mod tool;
mod turn;
mod work;
mod working_directory;

pub use appendix::{Appendix, appendix};
pub use ccr::{address, append_marker};
pub use config::{
    AskedBack, CachePrice, Config, Epochs, PRESSURE_TOKENS, Policy, Profile, ToolRule, Weights,
};
pub use engine::{Compression, ParsedBody, Prose, Request, RetrieveTool, compress, compress_explained};
pub use explain::{Attempt, Choice, Explanation};
pub use forms::FORMS_VERSION;
pub use headroom_providers::{Api, MemoryTools, OwnTools};
pub use memo::Memo;
pub use outcome::{
    Block, BlockOutcome, Compressor, Kind, Opening, Original, Outcome, Skip, Tokens, UnreadReason,
};
pub use rewritten::{RewriteHistory, Strategy};
pub use tokens::{Encoding, provider_tokens};
pub use tool::glob_matches;
