//! One request: walk, compress each block, splice.

use std::borrow::Cow;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use memchr::memmem;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::block::{Call, Context};
use crate::config::Config;
use crate::earlier::{Coded, Earlier, Printed};
use crate::kinds::numbered;
use crate::lines::Line;
use crate::memo::{Entry, Memo};
use crate::outcome::{Block, BlockOutcome, Kind, Original, Outcome, Skip, Tokens, Unread};
use crate::pipeline::{self, Verdict};
use crate::rounds::{Asked, PLACEHOLDER, answer};
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
    /// The model can get back what is left out: lossy replacements are allowed where the configuration allows them,
    /// `retrieve_tool` is satisfied, and later requests carry the originals again. The same for all requests
    /// of a conversation (I3).
    pub reversible: bool,
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
    /// A request in the given wire format, of which nothing is left out.
    pub fn new(api: Api) -> Self {
        Self { api, model: None, reversible: false, retrieve_tool: RetrieveTool::default() }
    }
}

/// Compresses the tool outputs of a request body.
pub fn compress<'b>(body: &'b [u8], request: &Request<'_>, config: &Config, memo: &mut Memo) -> Outcome<'b> {
    Read::new(body, request.api, config).compress(request, config, memo)
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
            Ok(walk) => compress_walk(self.body, &walk, request, config, memo),
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
) -> Outcome<'b> {
    let model = walk.model.as_deref().or(request.model);
    let counting = Counting::of(model.unwrap_or_default());
    let read_tokens = count_readings(walk, counting.encoding, memo);
    let (askable, definition) = retrieval(walk, request);
    let run = Run {
        walk,
        config,
        lossy_blocks: lossy_blocks(walk, request, askable),
        edits_by_line: edits_by_line(walk, memo),
    };
    let keyed = run.entries(memo);

    let mut edits = Vec::new();
    let mut blocks = Vec::with_capacity(keyed.len());
    let mut originals = Vec::new();
    let mut sums = Sums::default();
    let mut number = 0;
    for (output, (entry, from_memo)) in walk.outputs.iter().zip(&keyed) {
        let new = blocks.len() >= walk.answered;
        sums.add(run.figures(output, entry, counting.encoding, memo), new);
        if let Some(replacement) = &entry.replacement {
            edits.push((output.span.range(), &**replacement));
        }
        if let Some((_, address)) = &entry.left_out {
            originals.push(Original {
                block: blocks.len(),
                number,
                hash: Arc::clone(address),
                span: output.span,
                body: walk.body,
                tool: Arc::clone(&entry.tool),
                kind: entry.kind,
                tokens_before: entry.tokens_before,
                tokens_after: entry.tokens_after,
            });
        }
        number += u32::from(!output.is_retrieved(walk.body));
        blocks.push(Block {
            span: output.span.range(),
            tool: Arc::clone(&entry.tool),
            kind: entry.kind,
            outcome: entry.outcome,
            tokens_before: entry.tokens_before,
            tokens_after: entry.tokens_after,
            memo: *from_memo,
            new,
            left_out: entry.left_out.as_ref().map(|(left_out, _)| Arc::clone(left_out)),
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
            before: counting.scaled(read_tokens + sums.before),
            after: counting.scaled(read_tokens + added_tokens + sums.after),
            tool_outputs_before: counting.scaled(sums.before),
            tool_outputs_after: counting.scaled(sums.after),
            tool_outputs_new_before: counting.scaled(sums.new_before),
            tool_outputs_new_after: counting.scaled(sums.new_after),
        },
        model: model.map(str::to_owned),
        stream: walk.stream,
        has_tools: walk.has_tools,
        added_retrieve_tool: definition.is_some(),
        lists_retrieve_tool: walk.retrieve == Listing::Listed,
        carries_thinking: walk.carries_thinking,
        conversation_id: conversation_id(walk),
        originals,
        unread: None,
    }
}

/// Of the blocks, in the body's order, only the first so many may be lossy.
fn lossy_blocks(walk: &Walk<'_>, request: &Request<'_>, askable: bool) -> usize {
    // What the provider keeps cannot be read back from later requests (I5).
    if !request.reversible || walk.kept_by_provider || !(askable || request.api.takes_retrieve_tool()) {
        0
    } else if askable {
        usize::MAX
    } else if request.retrieve_tool == RetrieveTool::Add {
        // A request without tools at the end of a conversation that had some: what the model was sent before it
        // called one stays as it was (I3), and nothing more is left out.
        walk.called
    } else {
        0
    }
}

/// Whether the model can ask for what is left out, and the definition to add for that.
fn retrieval(walk: &Walk<'_>, request: &Request<'_>) -> (bool, Option<(usize, &'static str)>) {
    if walk.kept_by_provider {
        // Nothing is left out, and an answer of several rounds would not be the one that the provider keeps.
        return (false, None);
    }
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
        lists_retrieve_tool: false,
        carries_thinking: false,
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

/// Forms are chosen by these tokens for every model: clients switch models in the middle of a conversation,
/// and what was sent before has to stay the same (I3).
const FORMS: Encoding = Encoding::O200kBase;

/// The tokens of tool outputs.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    before: u64,
    after: u64,
    new_before: u64,
    new_after: u64,
}

impl Sums {
    fn add(&mut self, (before, after): (u32, u32), new: bool) {
        let (before, after) = (u64::from(before), u64::from(after));
        self.before += before;
        self.after += after;
        if new {
            self.new_before += before;
            self.new_after += after;
        }
    }
}

/// What stays the same over the blocks of one request.
struct Run<'w, 'b> {
    walk: &'w Walk<'b>,
    config: &'w Config,
    lossy_blocks: usize,
    edits_by_line: bool,
}

impl Run<'_, '_> {
    /// What becomes of each block, and whether the memo knew.
    fn entries(&self, memo: &mut Memo) -> Vec<(Arc<Entry>, bool)> {
        let keys = self.keys();
        let mut shown = Shown::default();
        let mut entries: Vec<(Arc<Entry>, bool)> = Vec::with_capacity(keys.len());
        let mut given = Given::default();
        for (block, (output, key)) in self.walk.outputs.iter().zip(&keys).enumerate() {
            if let Some(entry) = memo.block(*key) {
                given.add(block, &entry);
                entries.push((entry, true));
                continue;
            }
            self.catch_up(&mut shown, &keys, &entries, memo);
            shown.forget_before(output.since);
            let [name, arguments] = self.call_texts(output);
            let call = Call { name: &name, arguments: &arguments };
            self.add_call(&mut shown, output, block, call);
            let (entry, forwarded, lines) = match self.requested(output, block, &given) {
                Some((entry, text)) => (entry, Some(text), None),
                None => self.entry(output, call, block < self.lossy_blocks, &shown.earlier, memo),
            };
            let entry = Arc::new(entry);
            self.add(&mut shown, output, &entry, forwarded.as_deref(), lines, call);
            given.add(block, &entry);
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
    /// configuration, and of this block and every one before it the bytes, the call, whether that had an
    /// output already, and the last user text before it.
    fn keys(&self) -> Vec<u128> {
        let mut hash = Xxh3::new();
        self.config.hash(&mut hash);
        self.edits_by_line.hash(&mut hash);
        self.walk.clears_outputs.hash(&mut hash);
        let mut chain = hash.digest128();
        let of = |span: Option<Span>| span.map_or(0, |span| fingerprint(span.raw(self.walk.body)));
        let mut last_query = (None, 0);
        let mut since = 0;
        self.walk
            .outputs
            .iter()
            .enumerate()
            .map(|(block, output)| {
                if last_query.0 != output.query {
                    last_query = (output.query, of(output.query));
                }
                let call = output.call;
                let behind_compaction = output.since != since;
                since = output.since;
                let steering = [
                    chain,
                    of(Some(output.span)),
                    of(call.and_then(|call| call.name)),
                    of(call.and_then(|call| call.arguments)),
                    last_query.1,
                    u128::from(call.is_some_and(|call| call.by_program))
                        | u128::from(block < self.lossy_blocks) << 1
                        | u128::from(behind_compaction) << 2
                        | u128::from(call_is_gone(output)) << 3
                        | u128::from(self.is_further_part(output, block)) << 4,
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

    /// The tokens of a block before and after, by the request's own tokenizer.
    fn figures(&self, output: &Output, entry: &Entry, encoding: Encoding, memo: &mut Memo) -> (u32, u32) {
        if encoding == FORMS {
            return (entry.tokens_before, entry.tokens_after);
        }
        let before = count_span(output.span, self.walk.body, encoding, memo);
        let after = entry.replacement.as_deref().and_then(string::text);
        (before, after.map_or(before, |text| count_text(&text, encoding, memo)))
    }

    /// Whether a call has had an output before this one.
    fn is_further_part(&self, output: &Output, block: usize) -> bool {
        let Some(start) = arguments_start(output) else { return false };
        let before = self.walk.outputs.get(block.saturating_sub(MAX_PARTS)..block).unwrap_or_default();
        before.iter().any(|other| arguments_start(other) == Some(start))
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
                let since = self.walk.outputs.get(at).map_or(0, |output| output.since);
                let blocks = at + 1;
                *shown = Shown { earlier, blocks, calls: blocks, last_call, bytes: bytes.sum(), since };
            }
            let rest = self.walk.outputs.iter().skip(shown.blocks);
            shown.earlier.reserve(rest.map(|output| output.span.range().len()).sum());
        }
        for (block, (entry, _)) in entries.iter().enumerate().skip(shown.blocks) {
            let Some(output) = self.walk.outputs.get(block) else { return };
            shown.forget_before(output.since);
            let [name, arguments] = self.call_texts(output);
            let call = Call { name: &name, arguments: &arguments };
            self.add_call(shown, output, block, call);
            let text = match &entry.replacement {
                Some(replacement) => string::text(replacement),
                None => output.span.text(self.walk.body),
            };
            self.add(shown, output, entry, text.as_deref(), None, call);
        }
    }

    /// Takes in the next block: `text` is what is forwarded, where it is a text, with its lines where they have been
    /// read.
    fn add(
        &self,
        shown: &mut Shown,
        output: &Output,
        entry: &Entry,
        text: Option<&str>,
        lines: Option<Vec<Line>>,
        call: Call<'_>,
    ) {
        shown.blocks += 1;
        let Some(text) = text else { return };
        shown.bytes += text.len() + call.name.len() + call.arguments.len();
        // What the provider may take out is nothing that could be referred to.
        if self.walk.clears_outputs {
            return;
        }
        // Of a result that the filter has filled in, what is shown is what it says.
        let compressed = matches!(entry.outcome, BlockOutcome::Compressed { .. });
        let original = if compressed { output.span.text(self.walk.body) } else { None };
        let printed =
            Printed { original: original.as_deref().unwrap_or(text), shown: text, coded: entry.coded };
        shown.earlier.add(printed, lines, call);
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
        if new && !self.walk.clears_outputs && !call_is_gone(output) {
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

    /// The result of a call that the client's own tool could not answer: the filter puts the text there, from the
    /// request itself, once for each call.
    fn requested(&self, output: &Output, block: usize, given: &Given) -> Option<(Entry, Cow<'_, str>)> {
        let body = self.walk.body;
        if !output.is_retrieved(body) {
            return None;
        }
        let text = output.span.text(body)?;
        let at = memmem::find(text.as_bytes(), PLACEHOLDER.as_bytes())?;
        let (before, after) = (text.get(..at)?, text.get(at + PLACEHOLDER.len()..)?);
        if self.is_further_part(output, block) {
            return None;
        }
        let [name, arguments] = self.call_texts(output);
        let asked = Asked::read(&arguments);
        let original = self.walk.outputs.get(*given.blocks.get(&*asked.hash)?)?.span;
        if !given.has_room(original.range().len()) {
            return None;
        }
        let original = original.text(body)?;
        let page = answer(&original, &asked).text;
        // Some clients wrap what an MCP server gives into JSON of their own; there it is the whole of a string.
        let page = if before.ends_with('"') && after.starts_with('"') {
            let mut quoted = String::new();
            string::encode_into(&page, &mut quoted);
            quoted.get(1..quoted.len().checked_sub(1)?)?.to_owned()
        } else {
            page
        };
        let forwarded = [before, &page, after].concat();
        let mut escaped = String::new();
        string::encode_into(&forwarded, &mut escaped);
        let count = |text: &str| u32::try_from(FORMS.count(text)).unwrap_or(u32::MAX);
        let entry = Entry {
            tool: Arc::from(&*name),
            kind: Kind::Text,
            outcome: BlockOutcome::Skipped(Skip::Retrieved),
            tokens_before: count(&text),
            tokens_after: count(&forwarded),
            replacement: Some(escaped.into_boxed_str()),
            left_out: None,
            coded: Coded::No,
        };
        Some((entry, Cow::Owned(forwarded)))
    }

    /// Computes the outcome of a block. With it come the text that is forwarded, where it is one, and its
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
            let tokens = count_span(output.span, body, FORMS, memo);
            Entry {
                tool: Arc::from(call.name),
                kind,
                outcome: BlockOutcome::Skipped(skip),
                tokens_before: tokens,
                tokens_after: tokens,
                replacement: None,
                left_out: None,
                coded: Coded::No,
            }
        };
        let text = output.span.text(body);
        if output.call.is_some_and(|call| call.by_program) {
            return (skipped(Kind::Text, Skip::Program, memo), text, None);
        }
        if !output.span.is_string() {
            return (skipped(Kind::Json, Skip::NotText, memo), None, None);
        }
        let Some(text) = text else {
            return (skipped(Kind::Text, Skip::NotText, memo), None, None);
        };
        let query = output.query.and_then(|span| span.text(body)).unwrap_or_default();
        let cx = Context {
            call,
            query: &query,
            config: self.config,
            encoding: FORMS,
            reversible,
            edits_by_line: self.edits_by_line,
        };
        let verdict = checked(pipeline::compress_block(&text, &cx, earlier), reversible);
        let (forwarded, replacement, left_out) = match verdict.replacement {
            None => (text, None, None),
            Some(replacement) => {
                let mut escaped = String::new();
                string::encode_into(&replacement.text, &mut escaped);
                (Cow::Owned(replacement.text), Some(escaped.into_boxed_str()), replacement.left_out)
            }
        };
        let entry = Entry {
            tool: Arc::from(call.name),
            kind: verdict.kind,
            outcome: verdict.outcome,
            tokens_before: verdict.tokens_before,
            tokens_after: verdict.tokens_after,
            replacement,
            coded: verdict.coded,
            left_out: left_out.map(|(left_out, address)| (Arc::from(left_out), Arc::from(address))),
        };
        (entry, Some(forwarded), verdict.lines)
    }
}

/// What a request's lossy forms leave out, and what of it is put back in the place of placeholders. It follows from
/// the blocks so far, whoever worked them out.
#[derive(Default)]
struct Given {
    /// The first block with each address.
    blocks: HashMap<Arc<str>, usize, FixedState>,
    pages: usize,
    /// Of these pages.
    bytes: usize,
}

/// Pages that are put back in one request: they would fill the windows of two million tokens.
const MAX_GIVEN_BYTES: usize = 8 << 20;

/// The length of an original times the number of pages so far. Each page costs a look at its original, and a request
/// may ask for as many as it has room for.
const MAX_LOOKED_AT: usize = 512 << 20;

impl Given {
    fn add(&mut self, block: usize, entry: &Entry) {
        if let Some((_, address)) = &entry.left_out {
            self.blocks.entry(Arc::clone(address)).or_insert(block);
        }
        if entry.outcome == BlockOutcome::Skipped(Skip::Retrieved)
            && let Some(replacement) = &entry.replacement
        {
            self.pages += 1;
            self.bytes = self.bytes.saturating_add(replacement.len());
        }
    }

    fn has_room(&self, original: usize) -> bool {
        self.bytes < MAX_GIVEN_BYTES && original.saturating_mul(self.pages) < MAX_LOOKED_AT
    }
}

/// Where the arguments of the call that made an output begin, which tells calls apart.
fn arguments_start(output: &Output) -> Option<usize> {
    Some(output.call?.arguments?.range().start)
}

/// Whether a compaction stands between an output and its call.
fn call_is_gone(output: &Output) -> bool {
    arguments_start(output).is_some_and(|start| start < output.since)
}

/// What the request has shown so far, and the provider still gives to the model.
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
    /// Where the last compaction ends.
    since: usize,
}

impl Shown {
    /// Drops what stands before a compaction that ends here.
    fn forget_before(&mut self, since: usize) {
        if self.since != since {
            self.since = since;
            self.earlier = Earlier::default();
        }
    }
}

/// The last gate, whatever the compressors do: a replacement has fewer tokens (I4), leaves nothing
/// out that the model could not get back (I5), and is not blank, which providers refuse.
fn checked(verdict: Verdict, reversible: bool) -> Verdict {
    let fits = match &verdict.replacement {
        None => true,
        Some(replacement) => {
            verdict.tokens_after < verdict.tokens_before
                && (reversible || replacement.left_out.is_none())
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
