//! `--simulate` and `--diff`: how each tool output would change.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::ops::Range;
use std::time::Duration;

use headroom_compress::Outcome;
use serde::Serialize;
use serde_json::value::RawValue;
use similar::TextDiff;

use super::record::{BlockRecord, Record};

/// The number of unchanged lines that are shown around changed ones.
const CONTEXT: usize = 3;
/// Time limit of the search for the shortest diff; after it a longer one is used.
const PATIENCE: Duration = Duration::from_secs(2);
/// The fields that hold a conversation, in the supported formats.
const CONVERSATIONS: [&str; 3] = ["messages", "input", "contents"];

/// One tool output that becomes another text.
pub(super) struct Change {
    before: String,
    pub(super) after: String,
}

impl Change {
    pub(super) fn new(before: &str, after: &str) -> Self {
        Self { before: before.to_owned(), after: after.to_owned() }
    }
}

/// What a request would become, in the words of `/v1/compress`.
#[derive(Debug, Serialize)]
struct Plan<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'r str>,
    line: u64,
    outcome: &'static str,
    tokens_before: u64,
    tokens_after: u64,
    tokens_saved: u64,
    compression_ratio: f64,
    transforms_applied: Vec<String>,
    transforms_summary: BTreeMap<String, u32>,
    simulated: bool,
    plan: Blocks<'r>,
}

#[derive(Debug, Serialize)]
struct Blocks<'r> {
    blocks: Vec<PlannedOutput<'r>>,
}

#[derive(Debug, Serialize)]
struct PlannedOutput<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<usize>,
    tool: &'r str,
    kind: &'static str,
    outcome: &'r str,
    lossy: bool,
    tokens_before: u32,
    tokens_after: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

/// The texts of each block that changes, before and after.
pub(super) fn changes(body: &str, outcome: &Outcome<'_>) -> Vec<Option<Change>> {
    let text = |body: &[u8], span: &Range<usize>| serde_json::from_slice(body.get(span.clone())?).ok();
    let change = |block: &headroom_compress::Block| {
        let after = text(&outcome.body, block.replaced.as_ref()?)?;
        Some(Change { before: text(body.as_bytes(), &block.span)?, after })
    };
    outcome.blocks.iter().map(change).collect()
}

/// The index of each block's message; `None` if the conversation is not an array.
pub(super) fn messages(body: &str, outcome: &Outcome<'_>) -> Vec<Option<usize>> {
    let spans = conversation(body).unwrap_or_default();
    let message = |at: usize| {
        let message = spans.partition_point(|span| span.start <= at).checked_sub(1)?;
        spans.get(message).filter(|span| span.contains(&at)).map(|_| message)
    };
    outcome.blocks.iter().map(|block| message(block.span.start)).collect()
}

/// The positions of the messages in the body.
fn conversation(body: &str) -> Option<Vec<Range<usize>>> {
    let fields: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(body).ok()?;
    let array = CONVERSATIONS.iter().find_map(|name| fields.get(*name))?;
    let messages: Vec<&RawValue> = serde_json::from_str(array.get()).ok()?;
    // Each borrows from the body, so the distance between the two is its position.
    let start = |message: &RawValue| message.get().as_ptr().addr() - body.as_ptr().addr();
    Some(messages.into_iter().map(|message| start(message)..start(message) + message.get().len()).collect())
}

/// The plan of one request, as a line of JSON.
pub(super) fn simulated(
    out: &mut impl Write,
    record: &Record,
    changes: &[Option<Change>],
    messages: &[Option<usize>],
) -> io::Result<()> {
    let (before, after) = (record.tokens.before, record.tokens.after);
    let transforms: Vec<String> = record.blocks.iter().filter_map(transform).collect();
    let mut summary = BTreeMap::new();
    for transform in &transforms {
        *summary.entry(transform.clone()).or_default() += 1;
    }
    let blocks = record.blocks.iter().enumerate().map(|(place, block)| PlannedOutput {
        message: messages.get(place).copied().flatten(),
        tool: &block.tool,
        kind: block.kind,
        outcome: &block.outcome,
        lossy: block.lossy,
        tokens_before: block.tokens_before,
        tokens_after: block.tokens_after,
        left_out: block.left_out.as_deref(),
        diff: changes.get(place).and_then(Option::as_ref).map(|change| diff(change, "before", "after")),
    });
    let plan = Plan {
        file: record.file.as_deref(),
        line: record.line,
        outcome: record.outcome,
        tokens_before: before,
        tokens_after: after,
        tokens_saved: before.saturating_sub(after),
        compression_ratio: if before == 0 { 1.0 } else { after as f64 / before as f64 },
        transforms_applied: transforms,
        transforms_summary: summary,
        simulated: true,
        plan: Blocks { blocks: blocks.collect() },
    };
    serde_json::to_writer(&mut *out, &plan)?;
    out.write_all(b"\n")
}

/// The tool outputs of one request that change, as a unified diff.
pub(super) fn differences(
    out: &mut impl Write,
    record: &Record,
    changes: &[Option<Change>],
    messages: &[Option<usize>],
) -> io::Result<()> {
    for (place, (block, change)) in record.blocks.iter().zip(changes).enumerate() {
        let Some(change) = change else { continue };
        let file = record.file.as_deref().unwrap_or("-");
        let message = messages.get(place).copied().flatten();
        let message = message.map(|message| format!(" message {message}")).unwrap_or_default();
        let tool = if block.tool.is_empty() { "(unknown tool)" } else { &block.tool };
        let lossy = if block.lossy { ", lossy" } else { "" };
        let place = shown(&format!("{file}:{}{message} {tool}", record.line));
        let before = format!("{place} ({} tokens)", block.tokens_before);
        let after = format!("{place} ({}{lossy}, {} tokens)", block.outcome, block.tokens_after);
        out.write_all(diff(change, &before, &after).as_bytes())?;
    }
    out.flush()
}

fn diff(change: &Change, before: &str, after: &str) -> String {
    let mut differ = TextDiff::configure();
    differ.timeout(PATIENCE);
    let diff = differ.diff_lines(&change.before, &change.after);
    diff.unified_diff().context_radius(CONTEXT).header(before, after).to_string()
}

/// Names come from the request. A line break in one would start a new line of the diff.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// A form by the name of its compressor, as in `/v1/compress`; `None` if the output is unchanged.
fn transform(block: &BlockRecord) -> Option<String> {
    let lossy = if block.lossy { ":lossy" } else { "" };
    (!block.outcome.starts_with("skipped:")).then(|| format!("headroom:{}{lossy}", block.outcome))
}
