//! What became of a request and of each of its blocks (I8).

use std::borrow::Cow;
use std::sync::Arc;

use headroom_providers::OwnTools;
use headroom_providers::tape::Span;

use crate::epochs::Rewritten;
use crate::tokens::Encoding;

/// The answer of [`compress`](crate::compress).
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
    /// Tools of ours that were added to them: their calls are for whoever added them to answer.
    pub added_tools: OwnTools,
    /// The folder in which the agent says that it works, where tools of memory were added.
    pub working_directory: Option<String>,
    /// Whether the client lists a tool of this kind itself, as with Headroom's MCP server.
    pub lists_retrieve_tool: bool,
    /// Whether thinking of the model comes back in it, which its provider may have bound to what stands before.
    pub carries_thinking: bool,
    /// Stays the same over the requests of one conversation: a hash of what its first user message
    /// and everything before it say. `None` without a user message.
    pub conversation_id: Option<String>,
    /// What lossy replacements left out, and what the model can ask for (I5).
    pub originals: Vec<Original<'b>>,
    /// What became of old outputs, where they may be rewritten.
    pub rewritten: Option<Rewritten>,
    /// Why the body was not read; `None` when it was.
    pub unread: Option<Unread>,
}

/// Token counts of a request, over the text that the model reads.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tokens {
    /// The vocabulary that the counts are in.
    pub encoding: Encoding,
    /// True where the provider's tokenizer is not public and counts are scaled by
    /// [`Encoding`]'s documented factor.
    pub estimate: bool,
    /// The whole request as the client sent it.
    pub before: u64,
    /// The whole request as it is forwarded.
    pub after: u64,
    /// Tool outputs alone, as the client sent them.
    pub tool_outputs_before: u64,
    /// Tool outputs alone, as they are forwarded.
    pub tool_outputs_after: u64,
    /// Of the tool outputs the [new](Block::new) ones, as the client sent them.
    pub tool_outputs_new_before: u64,
    /// Of the tool outputs the new ones, as they are forwarded.
    pub tool_outputs_new_after: u64,
}

/// One tool output and its one outcome.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where it stands in the original body: the JSON string with its quotes.
    pub span: std::ops::Range<usize>,
    /// Where its replacement stands in the outcome's body, quotes included; `None` where it was not replaced.
    pub replaced: Option<std::ops::Range<usize>>,
    /// The tool's name as the request gives it; empty when the call that made it is not there.
    pub tool: Arc<str>,
    /// What it contains.
    pub kind: Kind,
    /// Which compressor took it, or why none did.
    pub outcome: BlockOutcome,
    /// Tokens of the decoded text in o200k_base, by which forms are chosen.
    pub tokens_before: u32,
    /// Tokens of the decoded replacement, or of the text where there is none.
    pub tokens_after: u32,
    /// Answered from the memo.
    pub memo: bool,
    /// It stands after the model's last message: no provider has seen it in this conversation before.
    pub new: bool,
    /// How many steps harder it was pressed because of what stands before it.
    pub pressure: u8,
    /// What a lossy replacement says it left out.
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
    /// What git says of changes: `git log`, `git blame`.
    History,
    /// The elements of a page as a tree, as browser tools show them.
    Snapshot,
    /// Anything else.
    Text,
    /// Several of the above behind one another.
    Mixed,
    /// Too short to have a kind.
    Short,
}

/// Which compressor took a block, or why none did.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum BlockOutcome {
    /// Replaced.
    Compressed {
        /// By which compressor. Where several worked on one block, the one that saved most.
        compressor: Compressor,
        /// Whether something was left out that only the store can give back.
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
}

/// Why a block was forwarded as it was.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Skip {
    /// Shorter than the configured minimum.
    TooSmall,
    /// Longer than the configured maximum.
    TooLarge,
    /// The configuration says so for this tool, or for what the block contains.
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
pub enum Unread {
    /// Longer than the configured maximum.
    TooLarge,
    /// Not the JSON that the wire format promises.
    NotUnderstood,
}

/// A text that a lossy replacement points to.
#[derive(Clone, Debug)]
pub struct Original<'b> {
    /// Content address, as the marker names it.
    pub hash: Arc<str>,
    /// Which of the outcome's blocks it is of.
    pub block: usize,
    /// The number of the tool output in the conversation, without results of our own tool: the same in the
    /// request as the client sent it and with hidden rounds put back.
    pub number: u32,
    pub(crate) span: Span,
    pub(crate) body: &'b str,
    /// The tool's name.
    pub tool: Arc<str>,
    /// What it contains.
    pub kind: Kind,
    /// Tokens of the text.
    pub tokens_before: u32,
    /// Tokens of the replacement.
    pub tokens_after: u32,
}

impl<'b> Original<'b> {
    /// Where the block stands in the body: the JSON string with its quotes, or the JSON value.
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
    /// Every kind that a text can be found to have.
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
}
