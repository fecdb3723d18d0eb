//! One request: walk, compress each block, splice.

mod keys;

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use headroom_providers::retrieve_tool::Listing;
use headroom_providers::splice::splice;
use headroom_providers::tape::Span;
use headroom_providers::walk::{self, Output, Reading, Role, Walk};
use headroom_providers::{Api, MemoryTools, OwnTools, string};
use memchr::memmem;
use xxhash_rust::xxh3::Xxh3;

use self::keys::{Keys, Prefix};
use crate::block::{Call, Context};
use crate::config::{Config, Policy};
use crate::earlier::{Coded, Earlier, Printed, Source, Values, stays};
use crate::envelope;
use crate::epochs::unit::Unit;
use crate::epochs::{Fold, Scene, Taken};
use crate::explain::{Attempts, Explanation};
use crate::hint;
use crate::kinds::code::Language;
use crate::kinds::numbered;
use crate::lines::Line;
use crate::memo::{Entry, LeftOut, Memo};
use crate::outcome::{Block, BlockOutcome, Kind, Opening, Original, Outcome, Skip, Tokens, Unread};
use crate::pipeline::{self, Form, Replacement, Verdict};
use crate::rounds::{Asked, PLACEHOLDER, answer};
use crate::surroundings::{self, Files};
use crate::tokens::{Counting, Encoding};
use crate::tool;
use crate::working_directory::{is_agents_own, working_directory};

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
    /// Tools of memory to add, where the client brings none of the kind. As `retrieve_tool` the same for all requests of
    /// a conversation.
    pub memory_tools: MemoryTools,
    /// Somebody may want to add to the beginning of the conversation.
    pub wants_opening: bool,
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
    /// `Require` for a format that [does not take it](Api::takes_own_tools).
    Add,
}

impl Request<'_> {
    /// A request in the given wire format, of which nothing is left out.
    pub fn new(api: Api) -> Self {
        Self {
            api,
            model: None,
            reversible: false,
            retrieve_tool: RetrieveTool::default(),
            memory_tools: MemoryTools::NONE,
            wants_opening: false,
        }
    }
}

/// Compresses the tool outputs of a request body.
pub fn compress<'b>(body: &'b [u8], request: &Request<'_>, config: &Config, memo: &mut Memo) -> Outcome<'b> {
    ParsedBody::new(body, request.api, config).compress(request, config, memo)
}

/// The same, and what led to the outcome of each block; `None` for blocks that the memo knew.
pub fn compress_explained<'b>(
    body: &'b [u8],
    request: &Request<'_>,
    config: &Config,
    memo: &mut Memo,
) -> (Outcome<'b>, Vec<Option<Explanation>>) {
    let mut compression = ParsedBody::new(body, request.api, config).begin(request);
    if let Ok(steps) = &mut compression.steps {
        steps.explanations = Some(RefCell::default());
    }
    while compression.step(config, memo) {}
    let explanations = match &mut compression.steps {
        Ok(steps) => steps.explanations.take().map(RefCell::into_inner),
        Err(_) => None,
    };
    (compression.finish(memo), explanations.unwrap_or_default())
}

/// A body whose tool outputs are found: the first half of [`compress`], for who wants to know how long it
/// takes.
#[derive(Debug)]
pub struct ParsedBody<'b> {
    body: &'b [u8],
    walk: Result<Walk<'b>, Unread>,
}

impl<'b> ParsedBody<'b> {
    /// Reads a body.
    pub fn new(body: &'b [u8], api: Api, config: &Config) -> Self {
        let walk = if body.len() > config.max_body_bytes {
            Err(Unread::TooLarge)
        } else {
            api.walk(body).map_err(|_| Unread::NotUnderstood)
        };
        Self { body, walk }
    }

    /// Compresses what was found. `request` names the format that it was read as.
    pub fn compress(self, request: &Request<'_>, config: &Config, memo: &mut Memo) -> Outcome<'b> {
        let mut compression = self.begin(request);
        while compression.step(config, memo) {}
        compression.finish(memo)
    }

    /// Begins to compress what was found, for who has other things to do meanwhile.
    pub fn begin(self, request: &Request<'_>) -> Compression<'b> {
        let steps = self.walk.map(|walk| Box::new(Steps::new(walk, request)));
        Compression { body: self.body, steps }
    }
}

/// A compression that is done step by step. What becomes of a body does not depend on what happens to the memo
/// between two steps (I3).
#[derive(Debug)]
pub struct Compression<'b> {
    body: &'b [u8],
    steps: Result<Box<Steps<'b>>, Unread>,
}

impl<'b> Compression<'b> {
    /// Takes one step: the next tool output that is new, or as much of anything else as takes about as long. False:
    /// there is none left. The configuration has to be the same for all steps.
    pub fn step(&mut self, config: &Config, memo: &mut Memo) -> bool {
        self.steps.as_mut().is_ok_and(|steps| steps.step(config, memo))
    }

    /// What has become of the body. Steps that were not taken leave their outputs as they came.
    pub fn finish(self, memo: &mut Memo) -> Outcome<'b> {
        match self.steps {
            Ok(steps) => steps.finish(self.body, memo),
            Err(why) => unread(self.body, why),
        }
    }
}

/// What a compression has got to.
#[derive(Debug)]
struct Steps<'b> {
    walk: Walk<'b>,
    model: Option<String>,
    counting: Counting,
    lossy_blocks: usize,
    addition: Option<Addition>,
    wants_opening: bool,
    readings: usize,
    read_tokens: u64,
    blocks: Option<Blocks>,
    figures: Vec<(u32, u32)>,
    /// The files that the calls name, once it was asked.
    files: OnceCell<Files>,
    /// Where somebody wants to know, what led to the outcome of each block so far.
    explanations: Option<Explanations>,
}

/// Bytes that are read in one step where a step is no tool output: a few milliseconds.
const STEP_BYTES: usize = 128 << 10;
/// Bytes of outputs that the memo knows, in one step.
const KNOWN_BYTES: usize = 4 << 20;

impl<'b> Steps<'b> {
    fn new(walk: Walk<'b>, request: &Request<'_>) -> Self {
        let model = walk.model.as_deref().or(request.model).map(str::to_owned);
        let (askable, definition) = retrieval(&walk, request);
        let addition = Addition::new(&walk, request, definition);
        Self {
            counting: Counting::of(model.as_deref().unwrap_or_default()),
            model,
            lossy_blocks: lossy_blocks(&walk, request, askable),
            addition,
            wants_opening: request.wants_opening,
            walk,
            readings: 0,
            read_tokens: 0,
            blocks: None,
            figures: Vec::new(),
            files: OnceCell::new(),
            explanations: None,
        }
    }

    fn step(&mut self, config: &Config, memo: &mut Memo) -> bool {
        let encoding = self.counting.encoding;
        let mut bytes = 0;
        while let Some(reading) = self.walk.readings.get(self.readings).filter(|_| bytes < STEP_BYTES) {
            bytes += reading.span.range().len();
            self.readings += 1;
            self.read_tokens += u64::from(count_span(reading.span, self.walk.body, encoding, memo));
        }
        if bytes > 0 {
            return true;
        }
        let blocks = self.blocks.get_or_insert_with(|| {
            let model = self.model.as_deref().unwrap_or_default();
            let epochs = config.epochs.as_deref();
            let fold = epochs.and_then(|epochs| Fold::new(epochs, &self.walk, model, self.lossy_blocks));
            Blocks::new(edits_by_line(&self.walk, memo), fold)
        });
        let run = Run {
            walk: &self.walk,
            config,
            lossy_blocks: self.lossy_blocks,
            edits_by_line: blocks.edits_by_line,
            files: config.code_aware.then_some(&self.files),
            explanations: self.explanations.as_ref(),
        };
        if blocks.step(&run, memo) {
            return true;
        }
        while let Some(((entry, _), output)) =
            blocks.entries.get(self.figures.len()).zip(self.walk.outputs.get(self.figures.len()))
        {
            let taken = blocks.taken(self.figures.len());
            self.figures.push(run.figures(output, entry, taken, encoding, memo));
            bytes += output.span.range().len();
            if bytes >= STEP_BYTES && encoding != FORMS {
                return true;
            }
        }
        false
    }

    fn finish(self: Box<Self>, body: &'b [u8], memo: &mut Memo) -> Outcome<'b> {
        let Self {
            walk, model, counting, addition, wants_opening, read_tokens, blocks: keyed, figures, ..
        } = *self;
        let (keyed, steps, fold) =
            keyed.map(|blocks| (blocks.entries, blocks.steps, blocks.fold)).unwrap_or_default();
        let taken = fold.as_ref().map_or(&[][..], Fold::taken);
        let no_addresses = &[][..];
        let mut edits = Vec::new();
        let mut blocks = Vec::with_capacity(keyed.len());
        let mut originals = Vec::new();
        let mut sums = Sums::default();
        let mut number = 0;
        for ((output, (entry, from_memo)), figures) in walk.outputs.iter().zip(&keyed).zip(figures) {
            let new = blocks.len() >= walk.answered;
            sums.add(figures, new);
            let taken = taken.get(blocks.len()).and_then(Option::as_deref);
            let replacement = taken.map(|taken| &taken.replacement).or(entry.replacement.as_ref());
            if let Some(replacement) = replacement {
                edits.push((output.span.range(), &**replacement));
            }
            let left_out = entry.left_out.as_ref().map_or(no_addresses, |left_out| &left_out.addresses);
            let addresses = taken.map_or(left_out, |taken| std::slice::from_ref(&taken.address));
            let outcome = taken.map_or(entry.outcome, Taken::outcome);
            let tokens_after = taken.map_or(entry.tokens_after, |taken| taken.tokens);
            for address in addresses {
                originals.push(Original {
                    block: blocks.len(),
                    number,
                    hash: Arc::clone(address),
                    span: output.span,
                    body: walk.body,
                    tool: Arc::clone(&entry.tool),
                    kind: entry.kind,
                    tokens_before: entry.tokens_before,
                    tokens_after,
                });
            }
            number += u32::from(!output.is_retrieved(walk.body));
            blocks.push(Block {
                span: output.span.range(),
                replaced: None,
                tool: Arc::clone(&entry.tool),
                kind: entry.kind,
                outcome,
                tokens_before: entry.tokens_before,
                tokens_after,
                memo: *from_memo,
                new,
                pressure: steps.get(blocks.len()).copied().unwrap_or_default(),
                left_out: match (taken, &entry.left_out) {
                    (Some(taken), _) => Some(Arc::clone(&taken.description)),
                    (None, left_out) => left_out.as_ref().map(|it| Arc::clone(&it.description)),
                },
            });
        }
        let mut added_tokens = 0;
        if let Some(Addition { at, definitions, .. }) = &addition {
            added_tokens = u64::from(count_text(definitions, counting.encoding, memo));
            let place = edits.partition_point(|(span, _)| span.start < *at);
            edits.insert(place, (*at..*at, definitions));
        }
        locate(&mut blocks, &edits);
        let opening = if wants_opening { opening(&walk, &edits) } else { None };
        let body = if edits.is_empty() {
            Cow::Borrowed(body)
        } else {
            match splice(walk.body, &edits) {
                Some(spliced) => Cow::Owned(spliced.into_bytes()),
                None => return unread(body, Unread::NotUnderstood),
            }
        };
        let added_tools = addition.map(|addition| addition.tools).unwrap_or_default();
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
            conversation_id: conversation_id(&walk),
            model,
            stream: walk.stream,
            has_tools: walk.has_tools,
            working_directory: (added_tools.memory.any() || opening.is_some())
                .then(|| working_directory(&walk))
                .flatten(),
            opening,
            added_tools,
            lists_retrieve_tool: walk.own_tools.retrieve == Listing::Listed,
            carries_thinking: walk.carries_thinking,
            originals,
            rewritten: fold.as_ref().map(Fold::rewritten),
            unread: None,
        }
    }
}

/// Notes where in the spliced body the replacement of each block stands.
fn locate(blocks: &mut [Block], edits: &[(Range<usize>, &str)]) {
    let (mut from, mut at) = (0, 0_usize);
    let mut blocks = blocks.iter_mut();
    for (span, text) in edits {
        at = at.saturating_add(span.start.saturating_sub(from));
        // An insertion has no block.
        if !span.is_empty()
            && let Some(block) = blocks.find(|block| block.span == *span)
        {
            block.replaced = Some(at..at.saturating_add(text.len()));
        }
        at = at.saturating_add(text.len());
        from = span.end;
    }
}

/// Bytes of a question that are looked at.
const QUESTION_BYTES: usize = 512;

/// How the conversation begins, and where that stands behind the edits.
fn opening(walk: &Walk<'_>, edits: &[(Range<usize>, &str)]) -> Option<Opening> {
    if walk.may_reason || walk.kept_by_provider {
        return None;
    }
    let (opening, rest) = walk.readings.split_at_checked(walk.opening)?;
    let last = opening.last().filter(|last| last.role == Role::User && last.span.is_string())?;
    let at = last.span.range().end.checked_sub(1)?;
    let before = edits.iter().take_while(|(span, _)| span.end <= at);
    let end = before.fold(at, |at, (span, text)| at.saturating_sub(span.len()).saturating_add(text.len()));
    let question = opening.iter().rev().filter(|reading| reading.role == Role::User);
    let question = question
        .filter_map(|reading| reading.span.text(walk.body))
        .find(|text| !is_agents_own(text))
        .unwrap_or_default();
    let question = question.get(..question.floor_char_boundary(QUESTION_BYTES)).unwrap_or_default();
    let is_all = !walk.is_answered && walk.outputs.is_empty() && rest.iter().all(|it| it.role != Role::User);
    Some(Opening { end, question: question.to_owned(), is_all })
}

/// Of the blocks, in the body's order, only the first so many may be lossy.
fn lossy_blocks(walk: &Walk<'_>, request: &Request<'_>, askable: bool) -> usize {
    // What the provider keeps cannot be read back from later requests (I5).
    if !request.reversible || walk.kept_by_provider || !(askable || request.api.takes_own_tools()) {
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
    match (request.retrieve_tool, walk.own_tools.retrieve) {
        (RetrieveTool::Assume, _) => (walk.has_tools, None),
        (RetrieveTool::Add, Listing::Absent(at)) => match request.api.definition() {
            Some(definition) => (true, Some((at, definition))),
            None => (false, None),
        },
        (_, Listing::Listed) => (true, None),
        (_, Listing::NoTools | Listing::Absent(_)) => (false, None),
    }
}

/// What goes to the head of the tool list.
#[derive(Debug)]
struct Addition {
    /// Where in the body.
    at: usize,
    definitions: Cow<'static, str>,
    tools: OwnTools,
}

impl Addition {
    /// With the definition of the retrieve tool, where that is added. `None`: the list stays as it is.
    fn new(walk: &Walk<'_>, request: &Request<'_>, retrieve: Option<(usize, &'static str)>) -> Option<Self> {
        let mut added = retrieve.map(|(at, definition)| Self {
            at,
            definitions: Cow::Borrowed(definition),
            tools: OwnTools::RETRIEVE,
        });
        // An answer of several rounds would not be the one that the provider keeps.
        let wanted = if walk.kept_by_provider { MemoryTools::NONE } else { request.memory_tools };
        let (api, listed) = (request.api, walk.own_tools);
        let facts = (wanted.facts, listed.memory, api.memory_definitions());
        let files = (wanted.files, listed.memory_files, api.memory_files_definition());
        for (is_files, (wanted, listing, definition)) in [(false, facts), (true, files)] {
            let (true, Listing::Absent(at), Some(definition)) = (wanted, listing, definition) else {
                continue;
            };
            let added =
                added.get_or_insert(Self { at, definitions: Cow::Borrowed(""), tools: OwnTools::default() });
            added.definitions += definition;
            let tool = if is_files { &mut added.tools.memory.files } else { &mut added.tools.memory.facts };
            *tool = true;
        }
        added
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
        added_tools: OwnTools::default(),
        working_directory: None,
        opening: None,
        lists_retrieve_tool: false,
        carries_thinking: false,
        conversation_id: None,
        originals: Vec::new(),
        rewritten: None,
        unread: Some(why),
    }
}

/// Clients put a line of accounting that changes with every request before the system prompt (Claude
/// Code): it says nothing about the conversation.
const ACCOUNTING: &str = "\"x-anthropic-billing-header:";

/// Whether a reading is such a line.
pub(crate) fn is_accounting(reading: &Reading, body: &str) -> bool {
    reading.role == Role::System && reading.span.raw(body).starts_with(ACCOUNTING)
}

fn conversation_id(walk: &Walk<'_>) -> Option<String> {
    let opening = walk.readings.get(..walk.opening).filter(|opening| !opening.is_empty())?;
    let mut hash = Xxh3::new();
    for reading in opening.iter().filter(|reading| matches!(reading.role, Role::System | Role::User)) {
        if !is_accounting(reading, walk.body) {
            hash.update(reading.span.raw(walk.body).as_bytes());
        }
    }
    Some(format!("{:016x}", hash.digest()))
}

/// The tokens of what a model reads of a value.
fn count_span(span: Span, body: &str, encoding: Encoding, memo: &mut Memo) -> u32 {
    let raw = span.raw(body);
    let key = memo.fingerprint(raw).wrapping_add(encoding as u128);
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
        let key = memo.fingerprint(span.raw(walk.body)).wrapping_add(EDITS_BY_LINE);
        // What the model reads, so that the client's choice of escapes decides nothing.
        let answer = || span.reading(walk.body).is_some_and(|text| numbered::edits_by_line(text.as_bytes()));
        memo.count(key, || u32::from(answer())) != 0
    })
}

/// The tokens of a text that the body does not hold.
fn count_text(text: &str, encoding: Encoding, memo: &mut Memo) -> u32 {
    memo.count(memo.fingerprint(text).wrapping_add(encoding as u128), || {
        u32::try_from(encoding.count(text)).unwrap_or(u32::MAX)
    })
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
    /// The files that the calls name, once it was asked; `None` where nobody may ask.
    files: Option<&'w OnceCell<Files>>,
    /// Where somebody wants to know, what led to the outcome of each block so far.
    explanations: Option<&'w Explanations>,
}

type Explanations = RefCell<Vec<Option<Explanation>>>;

/// What becomes of the blocks, as far as it is known.
#[derive(Debug)]
struct Blocks {
    edits_by_line: bool,
    /// `None` before the first step.
    next_key: Option<Keys>,
    prefix: Prefix,
    /// Of the blocks that have an entry, and perhaps of the next.
    keys: Vec<u128>,
    /// How many steps harder each is pressed.
    steps: Vec<u8>,
    shown: Shown,
    /// With each whether the memo knew.
    entries: Vec<(Arc<Entry>, bool)>,
    given: Given,
    /// How old outputs are rewritten, where they may be.
    fold: Option<Fold>,
    /// Where in the body references of each block end: the last compaction, or the last boundary at which something was
    /// rewritten.
    sinces: Vec<usize>,
}

impl Blocks {
    fn new(edits_by_line: bool, fold: Option<Fold>) -> Self {
        Self {
            edits_by_line,
            next_key: None,
            prefix: Prefix::default(),
            keys: Vec::new(),
            steps: Vec::new(),
            shown: Shown::default(),
            entries: Vec::new(),
            given: Given::default(),
            fold,
            sinces: Vec::new(),
        }
    }

    /// What stands for an output that was rewritten.
    fn taken(&self, block: usize) -> Option<&Taken> {
        self.fold.as_ref()?.taken().get(block)?.as_deref()
    }

    /// Takes the next step. False: all blocks have their entry.
    fn step(&mut self, run: &Run<'_, '_>, memo: &mut Memo) -> bool {
        let mut bytes = 0;
        while let Some(output) = run.walk.outputs.get(self.entries.len()) {
            if bytes >= KNOWN_BYTES {
                return true;
            }
            bytes += output.span.range().len();
            let (key, steps) = self.key(run, output, memo);
            // Where the memo knows a block, it takes no time.
            match memo.block(key) {
                Some(entry) => {
                    run.begin_explanation();
                    self.add(run, output, (entry, true), memo);
                }
                None => {
                    self.work(run, output, (key, steps), memo);
                    return true;
                }
            }
        }
        if let Some(fold) = &mut self.fold {
            fold.finish(&run.scene(&self.entries), memo);
        }
        if self.shown.blocks == 0 {
            return false;
        }
        if run.catch_up(&mut self.shown, (&self.keys, &self.sinces), &self.entries, memo) {
            return true;
        }
        let Shown { earlier, bytes, .. } = std::mem::take(&mut self.shown);
        if let Some(key) = self.keys.last() {
            memo.remember_earlier(*key, earlier, bytes);
        }
        false
    }

    /// The key of the next block, and how many steps harder it is pressed.
    fn key(&mut self, run: &Run<'_, '_>, output: &Output, memo: &mut Memo) -> (u128, u8) {
        let block = self.entries.len();
        if let (Some(key), Some(steps)) = (self.keys.get(block), self.steps.get(block)) {
            return (*key, *steps);
        }
        let (since, rewritten) = match &mut self.fold {
            Some(fold) => {
                let before = fold.digest();
                fold.before(&run.scene(&self.entries), output, memo);
                if fold.digest() != before {
                    self.given.add_taken(fold.taken());
                }
                (fold.from().max(output.since), fold.digest())
            }
            None => (output.since, 0),
        };
        self.sinces.push(since);
        let before = if run.config.pressure { self.prefix.before(run, output, memo) } else { 0 };
        let steps = run.config.steps(before);
        let next_key = self.next_key.get_or_insert_with(|| Keys::new(run, memo));
        let key = next_key.next(run, block, output, (steps, rewritten), memo);
        self.keys.push(key);
        self.steps.push(steps);
        (key, steps)
    }

    /// Compresses the next block, or as much of what has to be known before as takes about as long.
    fn work(&mut self, run: &Run<'_, '_>, output: &Output, (key, steps): (u128, u8), memo: &mut Memo) {
        let Self { keys, sinces, shown, entries, given, .. } = self;
        if run.catch_up(shown, (keys, sinces), entries, memo) {
            return;
        }
        let block = entries.len();
        run.begin_explanation();
        shown.forget_before(output.since, sinces.get(block).copied().unwrap_or_default());
        let [name, arguments] = run.call_texts(output);
        let call = Call { name: &name, arguments: &arguments };
        run.add_calls(shown, output);
        let source = run.source(output, block);
        shown.earlier.look_at(source);
        let (entry, forwarded, lines) = match run.requested(output, block, given) {
            Some((entry, text)) => (entry, Some(text), None),
            None => {
                run.entry((output, source), call, (block < run.lossy_blocks, steps), &shown.earlier, memo)
            }
        };
        let entry = Arc::new(entry);
        run.add(shown, (output, source), &entry, forwarded.as_deref(), lines);
        memo.remember_block(key, Arc::clone(&entry));
        self.add(run, output, (entry, false), memo);
    }

    fn add(&mut self, run: &Run<'_, '_>, output: &Output, entry: (Arc<Entry>, bool), memo: &mut Memo) {
        self.prefix.add(entry.0.tokens_after);
        self.given.add(self.entries.len(), &entry.0);
        self.entries.push(entry);
        if let Some(fold) = &mut self.fold {
            let before = fold.digest();
            fold.add(&run.scene(&self.entries), output, memo);
            if fold.digest() != before {
                self.given.add_taken(fold.taken());
            }
        }
    }
}

impl<'b> Run<'_, 'b> {
    /// What is read for old outputs.
    fn scene<'s>(&'s self, entries: &'s [(Arc<Entry>, bool)]) -> Scene<'s, 'b> {
        Scene {
            walk: self.walk,
            lossy_blocks: self.lossy_blocks,
            entries,
            count_span: |span, body, memo| count_span(span, body, FORMS, memo),
            count_text: |text, memo| count_text(text, FORMS, memo),
        }
    }

    /// Begins the explanation of the next block. One that the memo knows gets no more.
    fn begin_explanation(&self) {
        if let Some(explanations) = self.explanations {
            explanations.borrow_mut().push(None);
        }
    }

    /// The tokens of a block before and after, by the request's own tokenizer.
    fn figures(
        &self,
        output: &Output,
        entry: &Entry,
        taken: Option<&Taken>,
        encoding: Encoding,
        memo: &mut Memo,
    ) -> (u32, u32) {
        if encoding == FORMS {
            return (entry.tokens_before, taken.map_or(entry.tokens_after, |taken| taken.tokens));
        }
        let before = count_span(output.span, self.walk.body, encoding, memo);
        let replacement = taken.map(|taken| &*taken.replacement).or(entry.replacement.as_deref());
        let after = replacement.and_then(|spliced| match output.span.is_string() {
            true => string::text(spliced),
            false => Some(string::without_layout(spliced)),
        });
        (before, after.map_or(before, |text| count_text(&text, encoding, memo)))
    }

    /// Whether a call has had an output before this one.
    fn is_further_part(&self, output: &Output, block: usize) -> bool {
        let Some(call) = output.call else { return false };
        let before = self.walk.outputs.get(block.saturating_sub(MAX_PARTS)..block).unwrap_or_default();
        before.iter().any(|other| {
            other.call.is_some_and(|other| other.number.is_some() && other.number == call.number)
        })
    }

    /// Brings `shown` nearer to the blocks that have an entry. False: it is there.
    fn catch_up(
        &self,
        shown: &mut Shown,
        (keys, sinces): (&[u128], &[usize]),
        entries: &[(Arc<Entry>, bool)],
        memo: &mut Memo,
    ) -> bool {
        if shown.blocks == 0 {
            // The last request of this conversation left what it had shown under its last block.
            let known = keys.iter().take(entries.len()).enumerate().rev();
            if let Some((at, earlier)) =
                known.filter_map(|(at, key)| Some((at, memo.take_earlier(*key)?))).next()
            {
                let bytes = self.walk.outputs.iter().take(at + 1).map(|output| output.span.range().len());
                let made = self.walk.outputs.get(at).map_or(0, |output| output.made);
                let from = sinces.get(at).copied().unwrap_or_default();
                let since = self.walk.outputs.get(at).map_or(0, |output| output.since);
                *shown = Shown { earlier, blocks: at + 1, made, bytes: bytes.sum(), since, from };
            }
            let rest = self.walk.outputs.iter().skip(shown.blocks);
            shown.earlier.reserve(rest.map(|output| output.span.range().len()).sum());
        }
        let enough = shown.bytes.saturating_add(STEP_BYTES);
        for (block, (entry, _)) in entries.iter().enumerate().skip(shown.blocks) {
            let Some((output, since)) = self.walk.outputs.get(block).zip(sinces.get(block)) else {
                return false;
            };
            if shown.bytes >= enough {
                return true;
            }
            shown.forget_before(output.since, *since);
            self.add_calls(shown, output);
            let text = match &entry.replacement {
                Some(value) if !output.span.is_string() => Some(Cow::Borrowed(&**value)),
                Some(replacement) => string::text(replacement),
                None => shown_text(output, self.walk.body),
            };
            self.add(shown, (output, self.source(output, block)), entry, text.as_deref(), None);
        }
        false
    }

    /// Takes in the next block: `text` is what is forwarded, where it is a text, with its lines where they have been
    /// read.
    fn add(
        &self,
        shown: &mut Shown,
        (output, source): (&Output, Source),
        entry: &Entry,
        text: Option<&str>,
        lines: Option<Vec<Line>>,
    ) {
        shown.blocks += 1;
        let Some(text) = text else { return };
        shown.bytes += text.len();
        // What the provider may take out is nothing that could be referred to, and neither is what it gives to a
        // program instead of the model.
        if self.walk.clears_outputs || output.call.is_some_and(|call| call.by_program) {
            return;
        }
        // Of a result that the filter has filled in, what is shown is what it says.
        let compressed = matches!(entry.outcome, BlockOutcome::Compressed { .. });
        let original = if compressed { shown_text(output, self.walk.body) } else { None };
        let printed = Printed {
            original: original.as_deref().unwrap_or(text),
            shown: text,
            coded: entry.coded,
            values: entry.values,
            structured: output.structured,
        };
        shown.earlier.add(printed, lines, source);
    }

    /// Takes in the calls before an output that are new and that the model is given.
    fn add_calls(&self, shown: &mut Shown, output: &Output) {
        let new = self.walk.made.get(shown.made..output.made).unwrap_or_default();
        shown.made = shown.made.max(output.made);
        for call in new.iter().filter(|call| !self.walk.clears_outputs && is_seen(call, output)) {
            let [name, arguments] = call.texts(self.walk.body);
            shown.bytes += name.len() + arguments.len();
            if let Some(number) = call.number {
                shown.earlier.add_call(number, Call { name: &name, arguments: &arguments });
            }
        }
    }

    /// Where a block comes from. Texts of one result stand behind one another.
    fn source(&self, output: &Output, block: usize) -> Source {
        let number = |output: &Output| output.call.and_then(|call| call.number);
        let call = number(output);
        let is_next = self.walk.outputs.get(block + 1).is_some_and(|next| number(next) == call);
        Source { call, several: call.is_some() && is_next }
    }

    /// Name and arguments of the call that made an output; empty where they are not known.
    fn call_texts(&self, output: &Output) -> [Cow<'_, str>; 2] {
        output.call.map(|call| call.texts(self.walk.body)).unwrap_or_default()
    }

    /// The language of the source file that an output is all of, where bodies of functions may be left out of it.
    fn language(&self, output: &Output, call: Call<'_>, reversible: bool) -> Option<Language> {
        let files = self.files.filter(|_| reversible && output.span.is_string())?;
        files.get_or_init(|| Files::of(self.walk)).language(output, call)
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
        let left_out = self.walk.outputs.get(*given.blocks.get(&*asked.hash)?)?;
        if !given.has_room(left_out.span.range().len()) {
            return None;
        }
        let original = envelope::text_with_address(shown_text(left_out, body)?, &asked.hash)?;
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
            values: Values::default(),
            refers: Box::default(),
            fails: false,
            unit: None,
        };
        Some((entry, Cow::Owned(forwarded)))
    }

    /// Whether an output reports a failure, and what decides about it when it is old.
    fn unit(
        &self,
        text: &str,
        output: &Output,
        call: Call<'_>,
        verdict: &Verdict,
    ) -> (bool, Option<Box<Unit>>) {
        if self.config.epochs.is_none() {
            return (false, None);
        }
        let kind = verdict.kind;
        // In what was written by people, words are content.
        let is_content = matches!(kind, Kind::Source | Kind::Diff | Kind::Html);
        let fails = !is_content && text.lines().any(|line| stays(line, kind));
        let may_go = output.span.is_string()
            && verdict.tokens_after >= LEAST_UNIT
            && tool::may_go(self.config, call.name, tool::Class::of(call.name))
            && self.config.kind_policy(kind) == Policy::Lossy;
        (fails, may_go.then(|| Box::new(Unit::new(text, fails))))
    }

    /// Computes the outcome of a block. With it come the text that is forwarded, where it is one, and its
    /// lines, where they have been read.
    fn entry(
        &self,
        (output, source): (&Output, Source),
        call: Call<'_>,
        (reversible, steps): (bool, u8),
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
                values: Values::default(),
                refers: Box::default(),
                fails: false,
                unit: None,
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
        let code = self.language(output, call, reversible);
        let near = if code.is_some() { surroundings::near(self.walk, output) } else { Vec::new() };
        let config = self.config.pressed(steps);
        let cx = Context {
            call,
            query: &query,
            config: &config,
            encoding: FORMS,
            reversible,
            edits_by_line: self.edits_by_line,
            near: &near,
            code,
            pressure: self.config.profile.pressed(steps).1,
            lines_before: 0,
            name: &earlier.next_name(source),
        };
        let is_string = output.span.is_string();
        let form = if is_string { Form::Text } else { Form::Value };
        let attempts = self.explanations.map(|_| Attempts::new(FORMS));
        let verdict = checked(pipeline::compress(&text, form, &cx, earlier, attempts.as_ref()), reversible);
        if let (Some(explanations), Some(attempts)) = (self.explanations, attempts)
            && let Some(last) = explanations.borrow_mut().last_mut()
        {
            *last = Some(Explanation {
                hint: hint::of_call(call),
                pressure: steps,
                attempts: attempts.into_list(),
            });
        }
        let (fails, unit) = self.unit(&text, output, call, &verdict);
        let refers = if self.config.epochs.is_some() && verdict.replacement.is_some() {
            earlier.referred().into_boxed_slice()
        } else {
            Box::default()
        };
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
            coded: verdict.coded,
            values: verdict.values,
            left_out,
            refers,
            fails,
            unit,
        };
        (entry, Some(forwarded), verdict.lines)
    }
}

/// Outputs of fewer tokens stay: a marker has about forty.
const LEAST_UNIT: u32 = 96;

/// What a block is compressed as: the text of a string, structured data as it is written. `None` for what stays
/// as it is: other values, and strings that are no text.
fn shown_text<'b>(output: &Output, body: &'b str) -> Option<Cow<'b, str>> {
    if output.structured { Some(Cow::Borrowed(output.span.raw(body))) } else { output.span.text(body) }
}

/// What a request's lossy forms leave out, and what of it is put back in the place of placeholders. It follows from
/// the blocks so far, whoever worked them out.
#[derive(Debug, Default)]
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
        for address in entry.left_out.iter().flat_map(|it| &it.addresses) {
            self.blocks.entry(Arc::clone(address)).or_insert(block);
        }
        if entry.outcome == BlockOutcome::Skipped(Skip::Retrieved)
            && let Some(replacement) = &entry.replacement
        {
            self.pages += 1;
            self.bytes = self.bytes.saturating_add(replacement.len());
        }
    }

    fn add_taken(&mut self, taken: &[Option<Arc<Taken>>]) {
        for (block, taken) in taken.iter().enumerate() {
            if let Some(taken) = taken {
                self.blocks.entry(Arc::clone(&taken.address)).or_insert(block);
            }
        }
    }

    fn has_room(&self, original: usize) -> bool {
        self.bytes < MAX_GIVEN_BYTES && original.saturating_mul(self.pages) < MAX_LOOKED_AT
    }
}

/// Whether the model is given a call that stands before an output: no compaction stands between them, and it is not a
/// program's.
fn is_seen(call: &walk::Call, output: &Output) -> bool {
    !call.by_program && call.start().is_some_and(|start| start >= output.since)
}

/// What the request has shown so far, and the provider still gives to the model.
#[derive(Debug, Default)]
struct Shown {
    earlier: Earlier,
    /// How many blocks are in it.
    blocks: usize,
    /// How many of the request's calls have been looked at.
    made: usize,
    bytes: usize,
    /// Where the last compaction ends.
    since: usize,
    /// Where it ends, or behind it the last boundary at which something was rewritten.
    from: usize,
}

impl Shown {
    /// Drops what stands before a compaction that ends here, and texts before such a boundary.
    fn forget_before(&mut self, since: usize, from: usize) {
        if self.since != since {
            self.earlier = Earlier::default();
        } else if self.from != from {
            self.earlier.forget_texts();
        }
        (self.since, self.from) = (since, from);
    }
}

/// The last gate, whatever the compressors do: a replacement has fewer tokens (I4), leaves nothing
/// out that the model could not get back (I5), and is not blank, which providers refuse.
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
