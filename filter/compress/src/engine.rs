//! One request: walk, compress each block, splice.

use std::borrow::Cow;
use std::cell::RefCell;
use std::hash::Hash;
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::block::{Call, Context};
use crate::config::Config;
use crate::earlier::Earlier;
use crate::explain::{Attempts, Explanation};
use crate::hint;
use crate::kinds::numbered;
use crate::lines::Line;
use crate::memo::{Entry, LeftOut, Memo};
use crate::outcome::{Block, BlockOutcome, Kind, Original, Outcome, Skip, Tokens, Unread};
use crate::pipeline::{self, Form, Replacement, Verdict};
use crate::tokens::{Counting, Encoding};
use crate::wire::retrieve_tool::{self, Listing};
use crate::wire::splice::splice;
use crate::wire::tape::Span;
use crate::wire::{self, Api, Output, Role, Walk, string};

/// What the caller knows about a request beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The wire format.
    pub api: Api,
    /// The model where the path names it and the body does not (Gemini, Bedrock).
    pub model: Option<&'a str>,
    /// Originals can be stored: lossy replacements are allowed where the configuration allows them and
    /// `retrieve_tool` is satisfied.
    pub reversible: bool,
    /// Of the blocks, in the body's order, only the first so many may be lossy: those whose originals are
    /// known to be stored. What stands before the first block that may not is the same either way, so a
    /// store that fails in the middle of a conversation costs the cached prefix nothing before that block.
    pub lossy_blocks: usize,
    /// How the model is to get originals back. The same for all requests of a conversation: the tool
    /// list is at the front of the cached prefix.
    pub retrieve_tool: RetrieveTool,
}

/// How the model gets originals back. Whichever it is, a request without tools is never lossy: the
/// model could not ask.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum RetrieveTool {
    /// Some way that the request does not show.
    #[default]
    Assume,
    /// Through the tool `headroom_retrieve` where the client lists it, as with Headroom's MCP server.
    Require,
    /// Through the tool `headroom_retrieve`, which is added to the tools unless the client lists it. As
    /// `Require` for a format that [does not take it](Api::takes_retrieve_tool).
    Add,
}

impl Request<'_> {
    /// A request in the given wire format, without a store.
    pub fn new(api: Api) -> Self {
        Self {
            api,
            model: None,
            reversible: false,
            lossy_blocks: usize::MAX,
            retrieve_tool: RetrieveTool::default(),
        }
    }
}

/// Compresses the tool outputs of a request body.
pub fn compress<'b>(body: &'b [u8], request: &Request<'_>, config: &Config, memo: &mut Memo) -> Outcome<'b> {
    Read::new(body, request.api, config).compress(request, config, memo)
}

/// The same, and what led to the outcome of each block; `None` for blocks that the memo knew.
pub fn compress_explained<'b>(
    body: &'b [u8],
    request: &Request<'_>,
    config: &Config,
    memo: &mut Memo,
) -> (Outcome<'b>, Vec<Option<Explanation>>) {
    let explanations = RefCell::default();
    let outcome = match Read::new(body, request.api, config).walk {
        Ok(walk) => compress_walk(body, &walk, request, config, memo, Some(&explanations)),
        Err(why) => unread(body, why),
    };
    (outcome, explanations.into_inner())
}

/// A body whose tool outputs are found: the first half of [`compress`], for who wants to know how long it
/// takes.
#[derive(Debug)]
pub struct Read<'b> {
    body: &'b [u8],
    walk: Result<Walk<'b>, Unread>,
}

impl<'b> Read<'b> {
    /// Reads a body.
    pub fn new(body: &'b [u8], api: Api, config: &Config) -> Self {
        let walk = if body.len() > config.max_body_bytes {
            Err(Unread::TooLarge)
        } else {
            wire::walk(api, body).map_err(|_| Unread::NotUnderstood)
        };
        Self { body, walk }
    }

    /// Compresses what was found. `request` names the format that it was read as.
    pub fn compress(self, request: &Request<'_>, config: &Config, memo: &mut Memo) -> Outcome<'b> {
        match self.walk {
            Ok(walk) => compress_walk(self.body, &walk, request, config, memo, None),
            Err(why) => unread(self.body, why),
        }
    }
}

fn compress_walk<'b>(
    body: &'b [u8],
    walk: &Walk<'b>,
    request: &Request<'_>,
    config: &Config,
    memo: &mut Memo,
    explanations: Option<&Explanations>,
) -> Outcome<'b> {
    let model = walk.model.as_deref().or(request.model);
    let counting = Counting::of(model.unwrap_or_default());
    let read_tokens = count_readings(walk, counting.encoding, memo);
    let (askable, definition) = retrieval(walk, request);
    let run = Run {
        walk,
        config,
        counting,
        lossy_blocks: if request.reversible && askable { request.lossy_blocks } else { 0 },
        edits_by_line: edits_by_line(walk, memo),
        explanations,
    };
    let keyed = run.entries(memo);

    let mut edits = Vec::new();
    let mut blocks = Vec::with_capacity(keyed.len());
    let mut originals = Vec::new();
    let (mut before, mut after) = (0u64, 0u64);
    let (mut new_before, mut new_after) = (0u64, 0u64);
    for (output, (entry, from_memo)) in walk.outputs.iter().zip(&keyed) {
        before += u64::from(entry.tokens_before);
        after += u64::from(entry.tokens_after);
        let new = blocks.len() >= walk.answered;
        if new {
            new_before += u64::from(entry.tokens_before);
            new_after += u64::from(entry.tokens_after);
        }
        if let Some(replacement) = &entry.replacement {
            edits.push((output.span.range(), &**replacement));
        }
        for address in entry.left_out.iter().flat_map(|left_out| &left_out.addresses) {
            originals.push(Original {
                block: blocks.len(),
                hash: Arc::clone(address),
                span: output.span,
                body: walk.body,
                tool: Arc::clone(&entry.tool),
                kind: entry.kind,
                tokens_before: entry.tokens_before,
                tokens_after: entry.tokens_after,
            });
        }
        blocks.push(Block {
            span: output.span.range(),
            tool: Arc::clone(&entry.tool),
            kind: entry.kind,
            outcome: entry.outcome,
            tokens_before: entry.tokens_before,
            tokens_after: entry.tokens_after,
            memo: *from_memo,
            new,
            left_out: entry.left_out.as_ref().map(|left_out| Arc::clone(&left_out.description)),
        });
    }
    let mut added_tokens = 0;
    if let Some((at, definition)) = definition {
        added_tokens = u64::from(count_text(definition, counting.encoding, memo));
        let place = edits.partition_point(|(span, _)| span.start < at);
        edits.insert(place, (at..at, definition));
    }
    let body = if edits.is_empty() {
        Cow::Borrowed(body)
    } else {
        match splice(walk.body, &edits) {
            Some(spliced) => Cow::Owned(spliced.into_bytes()),
            None => return unread(body, Unread::NotUnderstood),
        }
    };
    Outcome {
        body,
        blocks,
        tokens: Tokens {
            encoding: counting.encoding,
            estimate: counting.estimate_percent.is_some(),
            before: counting.scaled(read_tokens + before),
            after: counting.scaled(read_tokens + added_tokens + after),
            tool_outputs_before: counting.scaled(before),
            tool_outputs_after: counting.scaled(after),
            tool_outputs_new_before: counting.scaled(new_before),
            tool_outputs_new_after: counting.scaled(new_after),
        },
        model: model.map(str::to_owned),
        stream: walk.stream,
        has_tools: walk.has_tools,
        added_retrieve_tool: definition.is_some(),
        conversation_id: conversation_id(walk),
        originals,
        unread: None,
    }
}

/// Whether the model can ask for what is left out, and the definition to add for that.
fn retrieval(walk: &Walk<'_>, request: &Request<'_>) -> (bool, Option<(usize, &'static str)>) {
    match (request.retrieve_tool, walk.retrieve) {
        (RetrieveTool::Assume, _) => (walk.has_tools, None),
        (RetrieveTool::Add, Listing::Absent(at)) => match retrieve_tool::definition(request.api) {
            Some(definition) => (true, Some((at, definition))),
            None => (false, None),
        },
        (_, Listing::Listed) => (true, None),
        (_, Listing::NoTools | Listing::Absent(_)) => (false, None),
    }
}

/// The body as it came.
fn unread(body: &[u8], why: Unread) -> Outcome<'_> {
    Outcome {
        body: Cow::Borrowed(body),
        blocks: Vec::new(),
        tokens: Tokens::default(),
        model: None,
        stream: false,
        has_tools: false,
        added_retrieve_tool: false,
        conversation_id: None,
        originals: Vec::new(),
        unread: Some(why),
    }
}

/// Clients put a line of accounting that changes with every request before the system prompt (Claude
/// Code): it says nothing about the conversation.
const ACCOUNTING: &str = "\"x-anthropic-billing-header:";

fn conversation_id(walk: &Walk<'_>) -> Option<String> {
    let opening = walk.readings.get(..walk.opening).filter(|opening| !opening.is_empty())?;
    let mut hash = Xxh3::new();
    for reading in opening.iter().filter(|reading| matches!(reading.role, Role::System | Role::User)) {
        let raw = reading.span.raw(walk.body);
        if !raw.starts_with(ACCOUNTING) {
            hash.update(raw.as_bytes());
        }
    }
    Some(format!("{:016x}", hash.digest()))
}

/// The tokens of everything that the model reads beside tool outputs.
fn count_readings(walk: &Walk<'_>, encoding: Encoding, memo: &mut Memo) -> u64 {
    walk.readings.iter().map(|reading| u64::from(count_span(reading.span, walk.body, encoding, memo))).sum()
}

/// The tokens of what a model reads of a value.
fn count_span(span: Span, body: &str, encoding: Encoding, memo: &mut Memo) -> u32 {
    let raw = span.raw(body);
    let key = fingerprint(raw).wrapping_add(encoding as u128);
    memo.count(key, || {
        let text = span.reading(body).unwrap_or(Cow::Borrowed(raw));
        u32::try_from(encoding.count(&text)).unwrap_or(u32::MAX)
    })
}

/// Keeps what is remembered of one text apart from its count in each encoding.
const EDITS_BY_LINE: u128 = 0x65_6469_7473;

/// Whether the tools that stand at the head of the request change files by line number.
fn edits_by_line(walk: &Walk<'_>, memo: &mut Memo) -> bool {
    let head = walk.readings.iter().take_while(|reading| matches!(reading.role, Role::Tools | Role::System));
    head.map(|reading| reading.span).any(|span| {
        let key = fingerprint(span.raw(walk.body)).wrapping_add(EDITS_BY_LINE);
        // What the model reads, so that the client's choice of escapes decides nothing.
        let answer = || span.reading(walk.body).is_some_and(|text| numbered::edits_by_line(text.as_bytes()));
        memo.count(key, || u32::from(answer())) != 0
    })
}

/// The tokens of a text that the body does not hold.
fn count_text(text: &str, encoding: Encoding, memo: &mut Memo) -> u32 {
    memo.count(fingerprint(text).wrapping_add(encoding as u128), || {
        u32::try_from(encoding.count(text)).unwrap_or(u32::MAX)
    })
}

pub(crate) fn fingerprint(text: &str) -> u128 {
    xxh3_128(text.as_bytes())
}

/// Outputs of one call that are known to belong together.
const MAX_PARTS: usize = 64;

/// What stays the same over the blocks of one request.
struct Run<'w, 'b> {
    walk: &'w Walk<'b>,
    config: &'w Config,
    counting: Counting,
    lossy_blocks: usize,
    edits_by_line: bool,
    /// Where somebody wants to know, what led to the outcome of each block so far.
    explanations: Option<&'w Explanations>,
}

type Explanations = RefCell<Vec<Option<Explanation>>>;

impl Run<'_, '_> {
    /// What becomes of each block, and whether the memo knew.
    fn entries(&self, memo: &mut Memo) -> Vec<(Arc<Entry>, bool)> {
        let keys = self.keys();
        let mut shown = Shown::default();
        let mut entries: Vec<(Arc<Entry>, bool)> = Vec::with_capacity(keys.len());
        for (block, (output, key)) in self.walk.outputs.iter().zip(&keys).enumerate() {
            if let Some(explanations) = self.explanations {
                explanations.borrow_mut().push(None);
            }
            if let Some(entry) = memo.block(*key) {
                entries.push((entry, true));
                continue;
            }
            self.catch_up(&mut shown, &keys, &entries, memo);
            let [name, arguments] = self.call_texts(output);
            let call = Call { name: &name, arguments: &arguments };
            self.add_call(&mut shown, output, block, call);
            let (entry, forwarded, lines) =
                self.entry(output, call, block < self.lossy_blocks, &shown.earlier, memo);
            shown.add(forwarded.as_deref(), lines, call);
            let entry = Arc::new(entry);
            memo.remember_block(*key, Arc::clone(&entry));
            entries.push((entry, false));
        }
        if shown.blocks > 0 {
            self.catch_up(&mut shown, &keys, &entries, memo);
            if let Some(key) = keys.last() {
                memo.remember_earlier(*key, shown.earlier, shown.bytes);
            }
        }
        entries
    }

    /// One key per block. It covers everything that may steer the block's replacement: the
    /// configuration, and of this block and every one before it the bytes, the call, and the last user
    /// text before it.
    fn keys(&self) -> Vec<u128> {
        let mut hash = Xxh3::new();
        self.config.hash(&mut hash);
        self.edits_by_line.hash(&mut hash);
        self.counting.encoding.hash(&mut hash);
        let mut chain = hash.digest128();
        let of = |span: Option<Span>| span.map_or(0, |span| fingerprint(span.raw(self.walk.body)));
        let mut last_query = (None, 0);
        self.walk
            .outputs
            .iter()
            .enumerate()
            .map(|(block, output)| {
                if last_query.0 != output.query {
                    last_query = (output.query, of(output.query));
                }
                let call = output.call;
                let steering = [
                    chain,
                    of(Some(output.span)),
                    of(call.and_then(|call| call.name)),
                    of(call.and_then(|call| call.arguments)),
                    last_query.1,
                    u128::from(call.is_some_and(|call| call.by_program))
                        | u128::from(block < self.lossy_blocks) << 1,
                ];
                let mut bytes = [0; 96];
                for (to, from) in bytes.chunks_exact_mut(16).zip(steering) {
                    to.copy_from_slice(&from.to_le_bytes());
                }
                chain = xxh3_128(&bytes);
                chain
            })
            .collect()
    }

    /// Brings `shown` up to the blocks that have an entry.
    fn catch_up(&self, shown: &mut Shown, keys: &[u128], entries: &[(Arc<Entry>, bool)], memo: &mut Memo) {
        if shown.blocks == 0 {
            // The last request of this conversation left what it had shown under its last block.
            let known = keys.iter().take(entries.len()).enumerate().rev();
            if let Some((at, earlier)) =
                known.filter_map(|(at, key)| Some((at, memo.take_earlier(*key)?))).next()
            {
                let bytes = self.walk.outputs.iter().take(at + 1).map(|output| output.span.range().len());
                let calls = self.walk.outputs.iter().take(at + 1).filter_map(arguments_start);
                let last_call = calls.max().unwrap_or_default();
                *shown = Shown { earlier, blocks: at + 1, calls: at + 1, last_call, bytes: bytes.sum() };
            }
            let rest = self.walk.outputs.iter().skip(shown.blocks);
            shown.earlier.reserve(rest.map(|output| output.span.range().len()).sum());
        }
        for (block, (entry, _)) in entries.iter().enumerate().skip(shown.blocks) {
            let Some(output) = self.walk.outputs.get(block) else { return };
            let [name, arguments] = self.call_texts(output);
            let call = Call { name: &name, arguments: &arguments };
            self.add_call(shown, output, block, call);
            let text = match &entry.replacement {
                Some(value) if !output.span.is_string() => Some(Cow::Borrowed(&**value)),
                Some(replacement) => string::text(replacement),
                None => shown_text(output, self.walk.body),
            };
            shown.add(text.as_deref(), None, call);
        }
    }

    /// Takes in the call of a block, where the block is the first of its outputs.
    fn add_call(&self, shown: &mut Shown, output: &Output, block: usize, call: Call<'_>) {
        if shown.calls > block {
            return;
        }
        shown.calls = block + 1;
        let Some(start) = arguments_start(output) else { return };
        let same = |other: &Output| arguments_start(other) == Some(start);
        // A call has one output, or several parts of one: what lies further back belongs to others.
        let before = &self.walk.outputs[block.saturating_sub(MAX_PARTS)..block];
        // A call behind all others needs no look at them.
        let new = start > shown.last_call || !before.iter().any(same);
        shown.last_call = shown.last_call.max(start);
        if new {
            shown.bytes += call.arguments.len();
            shown.earlier.add_call(call);
        }
    }

    /// Name and arguments of the call that made an output; empty where they are not known.
    fn call_texts(&self, output: &Output) -> [Cow<'_, str>; 2] {
        let body = self.walk.body;
        let name = output.call.and_then(|call| call.name?.text(body));
        let arguments = output.call.and_then(|call| call.arguments).map(|span| match span.text(body) {
            Some(text) => text,
            None => Cow::Borrowed(span.raw(body)),
        });
        [name.unwrap_or_default(), arguments.unwrap_or_default()]
    }

    /// Computes what becomes of a block. With it come the text that is forwarded, where it is one, and its
    /// lines, where they have been read.
    fn entry(
        &self,
        output: &Output,
        call: Call<'_>,
        reversible: bool,
        earlier: &Earlier,
        memo: &mut Memo,
    ) -> (Entry, Option<Cow<'_, str>>, Option<Vec<Line>>) {
        let body = self.walk.body;
        let skipped = |kind, skip, memo: &mut Memo| {
            let tokens = count_span(output.span, body, self.counting.encoding, memo);
            Entry {
                tool: Arc::from(call.name),
                kind,
                outcome: BlockOutcome::Skipped(skip),
                tokens_before: tokens,
                tokens_after: tokens,
                replacement: None,
                left_out: None,
            }
        };
        let text = shown_text(output, body);
        if output.call.is_some_and(|call| call.by_program) {
            return (skipped(Kind::Text, Skip::Program, memo), text, None);
        }
        let Some(text) = text else {
            let kind = if output.span.is_string() { Kind::Text } else { Kind::Json };
            return (skipped(kind, Skip::NotText, memo), None, None);
        };
        let query = output.query.and_then(|span| span.text(body)).unwrap_or_default();
        let cx = Context {
            call,
            query: &query,
            config: self.config,
            encoding: self.counting.encoding,
            reversible,
            edits_by_line: self.edits_by_line,
        };
        let is_string = output.span.is_string();
        let form = if is_string { Form::Text } else { Form::Value };
        let attempts = self.explanations.map(|_| Attempts::new(self.counting.encoding));
        let verdict = checked(pipeline::compress(&text, form, &cx, earlier, attempts.as_ref()), reversible);
        if let (Some(explanations), Some(attempts)) = (self.explanations, attempts)
            && let Some(last) = explanations.borrow_mut().last_mut()
        {
            *last = Some(Explanation { hint: hint::of_call(call), attempts: attempts.into_list() });
        }
        let (forwarded, replacement, left_out) = match verdict.replacement {
            None => (text, None, Vec::new()),
            Some(Replacement { text, left_out }) => {
                let mut spliced = String::new();
                if is_string {
                    string::encode_into(&text, &mut spliced);
                } else {
                    spliced.push_str(&text);
                }
                (Cow::Owned(text), Some(spliced.into_boxed_str()), left_out)
            }
        };
        let left_out = (!left_out.is_empty()).then(|| {
            let said: Vec<&str> = left_out.iter().map(|it| it.description.as_str()).collect();
            let addresses = left_out.iter().map(|it| Arc::from(it.address.as_str())).collect();
            LeftOut { description: Arc::from(said.join("; ")), addresses }
        });
        let entry = Entry {
            tool: Arc::from(call.name),
            kind: verdict.kind,
            outcome: verdict.outcome,
            tokens_before: verdict.tokens_before,
            tokens_after: verdict.tokens_after,
            replacement,
            left_out,
        };
        (entry, Some(forwarded), verdict.lines)
    }
}

/// What a block is compressed as: the text of a string, structured data as it is written. `None` for what stays
/// as it is: other values, and strings that are no text.
fn shown_text<'b>(output: &Output, body: &'b str) -> Option<Cow<'b, str>> {
    if output.structured { Some(Cow::Borrowed(output.span.raw(body))) } else { output.span.text(body) }
}

/// Where the arguments of the call that made an output begin, which tells calls apart.
fn arguments_start(output: &Output) -> Option<usize> {
    Some(output.call?.arguments?.range().start)
}

/// What the request has shown so far.
#[derive(Default)]
struct Shown {
    earlier: Earlier,
    /// How many blocks are in it.
    blocks: usize,
    /// Of how many blocks the calls are in it.
    calls: usize,
    /// Where the arguments of the last of these calls begin in the body.
    last_call: usize,
    bytes: usize,
}

impl Shown {
    /// Takes in the next block as it is forwarded: its text, where it is one.
    fn add(&mut self, text: Option<&str>, lines: Option<Vec<Line>>, call: Call<'_>) {
        self.blocks += 1;
        if let Some(text) = text {
            self.bytes += text.len() + call.name.len() + call.arguments.len();
            self.earlier.add(text, lines, call);
        }
    }
}

/// The last gate, whatever the compressors do: a replacement has fewer tokens (I4), leaves nothing
/// out that could not be had back (I5), and is not blank, which providers refuse.
fn checked(verdict: Verdict, reversible: bool) -> Verdict {
    let fits = match &verdict.replacement {
        None => true,
        Some(replacement) => {
            verdict.tokens_after < verdict.tokens_before
                && (reversible || replacement.left_out.is_empty())
                && !replacement.text.trim().is_empty()
        }
    };
    if fits {
        return verdict;
    }
    Verdict {
        outcome: BlockOutcome::Skipped(Skip::NoGain),
        replacement: None,
        tokens_after: verdict.tokens_before,
        lines: None,
        ..verdict
    }
}
