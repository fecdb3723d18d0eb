//! The outcome of a request and of each of its blocks (I8).

use std::borrow::Cow;
use std::sync::Arc;

use headroom_providers::tape::Span;
use headroom_providers::{OwnTools, string};

use crate::rewritten::RewriteHistory;
use crate::tokens::Encoding;

/// The result of [`compress`](crate::compress).
#[derive(Debug)]
pub struct Outcome<'b> {
    /// The bytes to forward: borrowed when nothing was replaced.
    pub body: Cow<'b, [u8]>,
    /// One entry per tool output, in the body's order.
    pub blocks: Vec<Block>,
    /// Counts over the whole request.
    pub tokens: Tokens,
    /// The model as the request names it.
    pub model: Option<String>,
    /// Whether the request asks for a streamed answer.
    pub stream: bool,
    /// Whether the request offers the model any tool.
    pub has_tools: bool,
    /// Tools of ours that were added to them: the caller has to answer their calls.
    pub added_tools: OwnTools,
    /// The folder in which the agent says that it works, where tools of memory were added or there is an `opening`.
    pub working_directory: Option<String>,
    /// How the conversation begins, if the caller wants to add to that and it is possible.
    pub opening: Option<Opening>,
    /// Whether the client lists a tool of this kind itself, as with Headroom's MCP server.
    pub lists_retrieve_tool: bool,
    /// Whether it carries the model's earlier thinking, which the provider may have bound to the text before
    /// it.
    pub carries_thinking: bool,
    /// The same for all requests of one conversation: a hash of everything up to the first user message.
    /// `None` without a user message.
    pub conversation_id: Option<String>,
    /// What lossy replacements left out, and the model can ask for (I5).
    pub originals: Vec<Original<'b>>,
    /// How old outputs were rewritten, if they may be.
    pub rewritten: Option<RewriteHistory>,
    /// Why the body was not read; `None` when it was.
    pub unread: Option<UnreadReason>,
}

/// The first message of the user, of a conversation whose beginning can be added to: nothing in the request asks for
/// reasoning or brings some back, which would be bound to what stands before it, and the client sends all of it again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opening {
    /// Where in [`Outcome::body`] the last text of that message ends, inside of its quotes.
    pub end: usize,
    /// What the user asks, as far as it is the user's own words; its beginning.
    pub question: String,
    /// Nothing stands behind it: neither something of the model nor another message of the user.
    pub is_all: bool,
}

impl Opening {
    /// The body with a text there, as a paragraph of its own. `None`: it is not the body in which this was found.
    pub fn extended(&self, body: &[u8], text: &str) -> Option<Vec<u8>> {
        let (before, behind) = body.split_at_checked(self.end)?;
        let mut added = String::new();
        string::encode_into(&format!("\n\n{}", text.trim_end()), &mut added);
        let inside = added.get(1..added.len().checked_sub(1)?)?;
        // The quote that ends the text.
        (behind.first() == Some(&b'"')).then(|| [before, inside.as_bytes(), behind].concat())
    }
}

/// Token counts of a request, over the text that the model reads.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tokens {
    /// The vocabulary of the counts.
    pub encoding: Encoding,
    /// Whether the provider's tokenizer is not public, so that counts are scaled by [`Encoding`]'s documented
    /// factor.
    pub estimate: bool,
    /// The whole request as the client sent it.
    pub before: u64,
    /// The whole request as it is forwarded.
    pub after: u64,
    /// Tool outputs alone, as the client sent them.
    pub tool_outputs_before: u64,
    /// Tool outputs alone, as they are forwarded.
    pub tool_outputs_after: u64,
    /// The [new](Block::new) tool outputs, as the client sent them.
    pub tool_outputs_new_before: u64,
    /// The new tool outputs, as they are forwarded.
    pub tool_outputs_new_after: u64,
}

/// One tool output and its outcome.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its place in the original body: the JSON string with its quotes.
    pub span: std::ops::Range<usize>,
    /// The place of its replacement in the outcome's body, with quotes; `None` if it was not replaced.
    pub replaced: Option<std::ops::Range<usize>>,
    /// The tool's name as the request gives it; empty if the request does not contain the call.
    pub tool: Arc<str>,
    /// What it contains.
    pub kind: Kind,
    /// Which compressor took it, or why none did.
    pub outcome: BlockOutcome,
    /// Tokens of the decoded text in o200k_base, by which forms are chosen.
    pub tokens_before: u32,
    /// Tokens of the decoded replacement, or of the text where there is none.
    pub tokens_after: u32,
    /// Whether the result came from the memo.
    pub memo: bool,
    /// Whether it comes after the model's last message: no provider has seen it in this conversation before.
    pub new: bool,
    /// How many steps harder it was compressed because of the length of the conversation before it.
    pub pressure: u8,
    /// The statement of a lossy replacement about what it left out.
    pub left_out: Option<Arc<str>>,
}

/// What a block contains.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// A JSON document.
    Json,
    /// One JSON document per line.
    JsonLines,
    /// A file read: source code or text, often with line numbers.
    Source,
    /// `path:line:text`, as grep and ripgrep print it.
    Search,
    /// Time-stamped or levelled lines.
    Log,
    /// The output of a test run or a build.
    TestBuild,
    /// A unified diff.
    Diff,
    /// Columns aligned with blanks or pipes, CSV, TSV.
    Table,
    /// File names.
    Listing,
    /// HTML.
    Html,
    /// What git prints about changes: `git log`, `git blame`.
    History,
    /// The elements of a page as a tree, in the output of browser tools.
    Snapshot,
    /// Anything else.
    Text,
    /// Several of the above, one after the other.
    Mixed,
    /// Too short to have a kind.
    Short,
}

/// Which compressor took a block, or why none did.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum BlockOutcome {
    /// Replaced.
    Compressed {
        /// The compressor. If several worked on one block, the one that saved most.
        compressor: Compressor,
        /// Whether something was left out that only the original can give back.
        lossy: bool,
    },
    /// Forwarded as it was.
    Skipped(Skip),
}

/// A compressor's name, as it appears in reports and metrics.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Compressor {
    /// Layout taken out of JSON.
    JsonMinify,
    /// Arrays of objects as tables and the like.
    JsonTable,
    /// Items of JSON arrays left out.
    JsonCrush,
    /// Line-number prefixes thinned.
    LineNumbers,
    /// Lines that the conversation has shown before.
    Seen,
    /// White space at line ends, carriage returns, escapes, redraws.
    Clean,
    /// Repeated lines folded.
    Fold,
    /// Search results.
    Search,
    /// Logs.
    Log,
    /// Test and build output.
    TestBuild,
    /// Diffs.
    Diff,
    /// Tables.
    Table,
    /// Listings.
    Listing,
    /// HTML.
    Html,
    /// `git log` and `git blame`.
    History,
    /// Trees of page elements.
    Snapshot,
    /// Prose.
    Text,
    /// Bodies of functions left out of source files.
    Code,
    /// A read of a file that was edited later, at a boundary of the conversation.
    StaleRead,
    /// A read of a file that was read again later.
    SupersededRead,
    /// An old output of which the middle is left out.
    Shortened,
    /// An old output that is left out.
    Dropped,
    /// Prose of which a text model has left some words.
    TextModel,
}

/// Why a block was forwarded as it was.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Skip {
    /// Shorter than the configured minimum.
    TooSmall,
    /// Longer than the configured maximum.
    TooLarge,
    /// The configuration excludes this tool, or this kind of content.
    PolicyOff,
    /// Output of Headroom's own retrieval.
    Retrieved,
    /// Not text that can be replaced: structured data, or a string with a lone surrogate.
    NotText,
    /// Read by a program that runs at the provider, not by the model.
    Program,
    /// No form of it has fewer tokens.
    NoGain,
    /// Finding a form would take more work than a block of its size may.
    TooCostly,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum UnreadReason {
    /// Longer than the configured maximum.
    TooLarge,
    /// Not the JSON of its wire format.
    NotUnderstood,
}

/// A text that a lossy replacement names in its marker.
#[derive(Clone, Debug)]
pub struct Original<'b> {
    /// Content address, as the marker names it.
    pub hash: Arc<str>,
    /// The index of its block in the outcome's blocks.
    pub block: usize,
    /// The number of the tool output in the conversation, without results of our own tool: the same in the
    /// client's request and in the request with hidden rounds put back.
    pub number: u32,
    pub(crate) span: Span,
    pub(crate) body: &'b str,
    /// The tool's name.
    pub tool: Arc<str>,
    /// What it contains.
    pub kind: Kind,
    /// The form that leaves it out.
    pub form: Option<Compressor>,
    /// Tokens of the text.
    pub tokens_before: u32,
    /// Tokens of the replacement.
    pub tokens_after: u32,
}

impl<'b> Original<'b> {
    /// The block's place in the body: the JSON string with its quotes, or the JSON value.
    pub fn span(&self) -> std::ops::Range<usize> {
        self.span.range()
    }
}

impl Compressor {
    /// The name in reports and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonMinify => "json_minify",
            Self::JsonTable => "json_table",
            Self::JsonCrush => "json_crush",
            Self::LineNumbers => "line_numbers",
            Self::Seen => "seen",
            Self::Clean => "clean",
            Self::Fold => "fold",
            Self::Search => "search",
            Self::Log => "log",
            Self::TestBuild => "test_build",
            Self::Diff => "diff",
            Self::Table => "table",
            Self::Listing => "listing",
            Self::Html => "html",
            Self::History => "history",
            Self::Snapshot => "snapshot",
            Self::Text => "text",
            Self::Code => "code",
            Self::StaleRead => "stale_read",
            Self::SupersededRead => "superseded_read",
            Self::Shortened => "shortened",
            Self::Dropped => "dropped",
            Self::TextModel => "llmlingua",
        }
    }
}

impl Skip {
    /// The name in reports and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooSmall => "too_small",
            Self::TooLarge => "too_large",
            Self::PolicyOff => "policy_off",
            Self::Retrieved => "retrieved",
            Self::NotText => "not_text",
            Self::Program => "program",
            Self::NoGain => "no_gain",
            Self::TooCostly => "too_costly",
        }
    }
}

impl Kind {
    /// Every kind that can be detected.
    pub const ALL: [Self; 13] = [
        Self::Json,
        Self::JsonLines,
        Self::Source,
        Self::Search,
        Self::Log,
        Self::TestBuild,
        Self::Diff,
        Self::Table,
        Self::Listing,
        Self::Html,
        Self::History,
        Self::Snapshot,
        Self::Text,
    ];

    /// The name in reports and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonLines => "json_lines",
            Self::Source => "source",
            Self::Search => "search",
            Self::Log => "log",
            Self::TestBuild => "test_build",
            Self::Diff => "diff",
            Self::Table => "table",
            Self::Listing => "listing",
            Self::Html => "html",
            Self::History => "history",
            Self::Snapshot => "snapshot",
            Self::Text => "text",
            Self::Mixed => "mixed",
            Self::Short => "short",
        }
    }
}

impl BlockOutcome {
    /// The name in reports and metrics: a compressor's, or `skipped:` and the reason.
    pub fn name(self) -> String {
        match self {
            Self::Compressed { compressor, .. } => compressor.name().to_owned(),
            Self::Skipped(skip) => format!("skipped:{}", skip.name()),
        }
    }

    /// The form, where there is one.
    pub(crate) fn compressor(self) -> Option<Compressor> {
        match self {
            Self::Compressed { compressor, .. } => Some(compressor),
            Self::Skipped(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Api, Config, Memo, Request, RetrieveTool, compress};

    fn opening(api: Api, body: &str) -> Option<(Opening, String)> {
        let request = Request {
            reversible: true,
            retrieve_tool: RetrieveTool::Add,
            wants_opening: true,
            ..Request::new(api)
        };
        let outcome = compress(body.as_bytes(), &request, &Config::default(), &mut Memo::new(1 << 20));
        let opening = outcome.opening?;
        let extended = opening.extended(&outcome.body, "- \"a\"\n").unwrap();
        Some((opening, String::from_utf8(extended).unwrap()))
    }

    #[test]
    fn a_text_goes_to_the_end_of_the_first_message_behind_whatever_was_changed_before() {
        let tool = r#"{"name":"list","input_schema":{}}"#;
        let output = "all is well\\n".repeat(400);
        let body = format!(
            r#"{{"tools":[{tool}],"messages":[{{"role":"user","content":[{{"type":"text","text":"<system-reminder>x"}},
            {{"type":"text","text":"Say \"go\""}}]}},{{"role":"assistant","content":[{{"type":"tool_use","id":"a","name":"list","input":{{}}}}]}},
            {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"a","content":"{output}"}}]}}]}}"#
        );
        let (opening, extended) = opening(Api::AnthropicMessages, &body).unwrap();
        assert!(
            extended.starts_with(r#"{"tools":[{"name":"headroom_retrieve""#) && extended.len() < body.len()
        );
        assert!(
            extended.contains(r#"{"type":"text","text":"Say \"go\"\n\n- \"a\""}]},{"role":"assistant""#),
            "{extended}"
        );
        assert_eq!((opening.question.as_str(), opening.is_all), (r#"Say "go""#, false));
    }

    #[test]
    fn the_question_is_the_users_own_and_bounded() {
        let body = |content: &str| format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
        let question = |content: &str| opening(Api::OpenAiChat, &body(content)).unwrap().0;
        let own =
            question(r#"[{"type":"text","text":"Which?"},{"type":"text","text":"<system-reminder>x"}]"#);
        assert_eq!((own.question.as_str(), own.is_all), ("Which?", true));
        let long = question(&format!("\"{}\"", "\u{e9}".repeat(400)));
        assert_eq!(long.question, "\u{e9}".repeat(256));
        assert_eq!(question(r#""<system-reminder>x""#).question, "");
        for none in [r#"{"messages":[]}"#, r#"{"messages":[{"role":"user","content":[]}]}"#, "{}", "["] {
            assert_eq!(opening(Api::OpenAiChat, none), None, "{none}");
        }
    }

    #[test]
    fn nothing_is_added_to_another_body() {
        let opening = |end| Opening { end, question: String::new(), is_all: true };
        let body = br#"{"content":"Hello"}"#;
        let with = opening(17).extended(body, "x ").unwrap();
        assert_eq!(String::from_utf8(with).unwrap(), r#"{"content":"Hello\n\nx"}"#);
        for end in [0, 16, 18, 19, 20, usize::MAX] {
            assert_eq!(opening(end).extended(body, "x"), None, "{end}");
        }
    }
}
