//! One request: walk, compress each block, splice.

mod blocks;
mod calls;
mod counts;
mod entry;
mod keys;
mod opening;
mod placeholder;
mod prose;
mod run;
mod shown;
mod tools;

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use headroom_providers::retrieve_tool::Listing;
use headroom_providers::splice::splice;
use headroom_providers::walk::Walk;
use headroom_providers::{Api, MemoryTools, OwnTools};

use self::blocks::Blocks;
use self::counts::{FORMS, count_span, count_text};
use self::opening::{conversation_id, opening};
pub use self::prose::Prose;
use self::run::{Explanations, Run};
use self::tools::{Addition, edits_by_line, lossy_blocks, retrieval};
use crate::config::Config;
use crate::epochs::{Fold, FoldedOutput};
use crate::explain::Explanation;
use crate::memo::Memo;
use crate::outcome::{Block, Original, Outcome, Tokens, UnreadReason};
use crate::surroundings::Files;
use crate::tokens::Counting;
use crate::working_directory::working_directory;

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
    walk: Result<Walk<'b>, UnreadReason>,
}

impl<'b> ParsedBody<'b> {
    /// Reads a body.
    pub fn new(body: &'b [u8], api: Api, config: &Config) -> Self {
        let walk = if body.len() > config.max_body_bytes {
            Err(UnreadReason::TooLarge)
        } else {
            api.walk(body).map_err(|_| UnreadReason::NotUnderstood)
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
    steps: Result<Box<Steps<'b>>, UnreadReason>,
}

impl<'b> Compression<'b> {
    /// Takes one step: the next tool output that is new, or as much of anything else as takes about as long. False:
    /// there is none left. The configuration has to be the same for all steps.
    pub fn step(&mut self, config: &Config, memo: &mut Memo) -> bool {
        self.steps.as_mut().is_ok_and(|steps| steps.step(config, memo))
    }

    /// The outputs about which a text model may be asked, in order. Once all steps are taken.
    pub fn prose(&self) -> Vec<Prose> {
        self.steps.as_ref().map(|steps| steps.prose()).unwrap_or_default()
    }

    /// The text of one of them.
    pub fn text(&self, block: usize) -> Option<Cow<'_, str>> {
        let walk = &self.steps.as_ref().ok()?.walk;
        walk.outputs.get(block)?.span.text(walk.body)
    }

    /// Puts a text model's form into the place of one of them. False: it is none that could stand there.
    pub fn shorten(&mut self, block: usize, form: &str, memo: &mut Memo) -> bool {
        self.steps.as_mut().is_ok_and(|steps| steps.shorten(block, form, memo))
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
    /// What stands for outputs that a text model has shortened.
    shortened: BTreeMap<usize, FoldedOutput>,
    /// The files that the calls name, once it was asked.
    files: OnceCell<Files>,
    /// Where somebody wants to know, what led to the outcome of each block so far.
    explanations: Option<Explanations>,
}

/// Bytes that are read in one step where a step is no tool output: a few milliseconds.
const STEP_BYTES: usize = 128 << 10;

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
            shortened: BTreeMap::new(),
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
            text_model: prose::least_tokens(config, &self.walk, self.lossy_blocks),
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
            walk,
            model,
            counting,
            addition,
            wants_opening,
            read_tokens,
            blocks: keyed,
            figures,
            shortened,
            ..
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
            let taken =
                taken.get(blocks.len()).and_then(Option::as_deref).or_else(|| shortened.get(&blocks.len()));
            let replacement = taken.map(|taken| &taken.replacement).or(entry.replacement.as_ref());
            if let Some(replacement) = replacement {
                edits.push((output.span.range(), &**replacement));
            }
            let left_out = entry.left_out.as_ref().map_or(no_addresses, |left_out| &left_out.addresses);
            let addresses = taken.map_or(left_out, |taken| std::slice::from_ref(&taken.address));
            let outcome = taken.map_or(entry.outcome, FoldedOutput::outcome);
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
                    form: outcome.compressor(),
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
                None => return unread(body, UnreadReason::NotUnderstood),
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

/// The body as it came.
fn unread(body: &[u8], why: UnreadReason) -> Outcome<'_> {
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
