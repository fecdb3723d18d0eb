//! The engine's result for a body, and what the record says about it.

use std::borrow::Cow;
use std::rc::Rc;

use headroom_api::v1::{BlockRecord, HistoryRecord, RequestOutcome, Tokens};
use headroom_compress::{
    Api, Block, BlockOutcome, MemoryTools, Opening, Outcome, OwnTools, ParsedBody, Profile, RetrieveTool,
    RewriteHistory, UnreadReason, rounds,
};
use headroom_providers::route::{Purpose, Route};

use crate::body::Body;
use crate::cache_edits;
use crate::config::Config;
use crate::deferred::Original;
use crate::exchange::{Exchange, micros};
use crate::messages::Transcript;
use crate::mode::Mode;
use crate::name::name;
use crate::originals::KnownOriginal;
use crate::rules::Treatment;

/// The most characters of a form's statement about what it leaves out. In the corpus they have 20 to 150.
const MAX_LEFT_OUT: usize = 512;

/// The engine's result for a body.
#[derive(Debug)]
pub(crate) struct Rewrite {
    /// `None`: the body leaves as it came, with its hidden rounds put back.
    pub(crate) replacement: Option<Vec<u8>>,
    pub(crate) outcome: RequestOutcome,
    /// The tools that were added: the filter has to answer their calls.
    pub(crate) added_tools: OwnTools,
    /// The folder in which the agent says it works, if memory tools need it.
    pub(crate) working_directory: Option<String>,
    /// How the conversation begins, where memory may add to that.
    pub(crate) opening: Option<Opening>,
    /// The provider may have bound thinking in it to what stands before.
    pub(crate) carries_thinking: bool,
    pub(crate) blocks: Vec<Block>,
    pub(crate) originals: Vec<KnownOriginal>,
}

impl Rewrite {
    /// Turns the engine's outcome into a rewrite, and writes it into the record.
    pub(crate) fn new(exchange: &mut Exchange, mut outcome: Outcome<'_>, mode: Mode) -> Self {
        describe(exchange, &outcome, mode);
        let replacement = match std::mem::take(&mut outcome.body) {
            Cow::Owned(replacement) if mode == Mode::Optimize => Some(replacement),
            _ => None,
        };
        if replacement.is_some() && exchange.is_reported {
            copy_originals(exchange, &outcome);
        }
        let replaced = outcome.blocks.iter().any(|it| matches!(it.outcome, BlockOutcome::Compressed { .. }));
        let request_outcome = match outcome.unread {
            Some(UnreadReason::TooLarge) => RequestOutcome::TooLarge,
            Some(UnreadReason::NotUnderstood) => RequestOutcome::NotUnderstood,
            None if mode == Mode::Simulate => RequestOutcome::Simulated,
            None if mode != Mode::Optimize => RequestOutcome::Audited,
            None if replaced => RequestOutcome::Compressed,
            None if replacement.is_some() => RequestOutcome::Extended,
            None => RequestOutcome::Unchanged,
        };
        Self {
            replacement,
            outcome: request_outcome,
            added_tools: outcome.added_tools,
            working_directory: outcome.working_directory.take(),
            opening: outcome.opening.take(),
            carries_thinking: outcome.carries_thinking,
            originals: KnownOriginal::of(&outcome),
            blocks: std::mem::take(&mut outcome.blocks),
        }
    }
}

/// The replacement of a request in a session; `None`: it leaves as it came. Nothing is left out.
pub(crate) fn rewrite_message(
    exchange: &mut Exchange,
    bytes: &[u8],
    route: &Route,
    treatment: Treatment,
) -> Option<Vec<u8>> {
    let restored = rounds::restore(bytes, route.api);
    let is_restored = restored.is_some();
    let bytes = Rc::new(restored.map_or_else(|| bytes.to_vec(), |restored| restored.body));
    let body = Body { route: route.clone(), treatment, held: false, encoding: None, size: bytes.len() };
    // The provider keeps the conversation, or the client may send it to another one later.
    let treatment = Treatment { profile: Profile::Lossless, ..treatment };
    let Rewrite { mut replacement, outcome, blocks, .. } = compress(exchange, &bytes, &body, treatment);
    let forwarded = replacement.as_deref().unwrap_or(&bytes);
    if let Some(mut edited) = cache_edits::edited(exchange, route, treatment, outcome, forwarded) {
        replacement = Some(std::mem::take(&mut edited.body));
        cache_edits::note(exchange, &edited);
    }
    exchange.settle(outcome);
    log_messages(exchange, &bytes, replacement.as_deref(), &blocks);
    if is_worked_out_later(exchange) {
        let forwarded = replacement.clone().map(Rc::new);
        work_out_later(exchange, route, Rc::clone(&bytes), forwarded, blocks);
    }
    replacement.or_else(|| is_restored.then(|| bytes.to_vec()))
}

/// The engine's view of a request.
pub(crate) fn engine_request<'r>(
    config: &Config,
    body: &'r Body,
    treatment: Treatment,
) -> headroom_compress::Request<'r> {
    let reversible = config.is_reversible(treatment.profile);
    headroom_compress::Request {
        model: body.route.model.as_deref(),
        reversible,
        retrieve_tool: match config.retrieve_tool {
            _ if !reversible => RetrieveTool::Assume,
            // The filter may add the tool only if it can answer its calls.
            RetrieveTool::Add if !body.route.answer_can_be_followed => RetrieveTool::Require,
            configured => configured,
        },
        memory_tools: memory_tools(config, &body.route),
        wants_opening: config.memory_context
            && treatment.mode == Mode::Optimize
            && body.route.purpose == Purpose::Answer
            && body.route.api.takes_own_tools(),
        ..headroom_compress::Request::new(body.route.api)
    }
}

/// The memory tools that are added on this route. Other providers of Anthropic's format may not know
/// Anthropic's own tools.
fn memory_tools(config: &Config, route: &Route) -> MemoryTools {
    if !route.answer_can_be_followed {
        return MemoryTools::NONE;
    }
    let is_anthropics = route.provider == Api::AnthropicMessages.provider();
    MemoryTools { files: config.memory_tools.files && is_anthropics, ..config.memory_tools }
}

fn compress(exchange: &mut Exchange, bytes: &[u8], body: &Body, treatment: Treatment) -> Rewrite {
    let settings = Rc::clone(&exchange.settings);
    // In a session no calls are answered, and the provider keeps its beginning.
    let request = headroom_compress::Request {
        memory_tools: MemoryTools::NONE,
        wants_opening: false,
        ..engine_request(&settings.config, body, treatment)
    };
    let started = settings.now();
    let engine = settings.config.engine(treatment);
    let read = ParsedBody::new(bytes, body.route.api, &engine);
    let parsed = micros(started, settings.now());
    let outcome = {
        let mut memo = settings.memo.borrow_mut();
        read.compress(&request, &engine, &mut memo)
    };
    drop(engine);
    let spent = micros(started, settings.now());
    exchange.clock.parse_us = exchange.clock.parse_us.saturating_add(parsed);
    exchange.clock.compress_us = exchange.clock.compress_us.saturating_add(spent);
    Rewrite::new(exchange, outcome, treatment.mode)
}

/// Queues copies for the store, if the configuration or the client's tools ask for them.
fn copy_originals(exchange: &Exchange, outcome: &Outcome<'_>) {
    let wanted = exchange.settings.config.store_originals.unwrap_or(outcome.lists_retrieve_tool);
    if wanted && !outcome.originals.is_empty() {
        let record = &exchange.record;
        exchange.settings.copy_originals(&record.tenant, &record.conversation_id, outcome);
    }
}

/// Collects the messages of a request, if the configuration asks for them. `forwarded` is the engine's
/// result.
pub(crate) fn log_messages(exchange: &mut Exchange, body: &[u8], forwarded: Option<&[u8]>, blocks: &[Block]) {
    let Some(mut transcript) = exchange.settings.log_bytes().and_then(|room| Transcript::of(body, room))
    else {
        exchange.answer.transcript = None;
        return;
    };
    transcript.tell_blocks(body, forwarded, blocks, exchange.record.blocks_left_out as usize);
    exchange.answer.transcript = Some(Box::new(transcript));
}

/// Whether the record needs values that the request does not.
pub(crate) fn is_worked_out_later(exchange: &Exchange) -> bool {
    exchange.settings.reports() && exchange.record.tokens.is_some()
}

/// Keeps a body from which the record's values are worked out later.
pub(crate) fn work_out_later(
    exchange: &mut Exchange,
    route: &Route,
    body: Rc<Vec<u8>>,
    forwarded: Option<Rc<Vec<u8>>>,
    blocks: Vec<Block>,
) {
    let original = Original { body, forwarded, api: route.api, model: route.model.clone(), blocks };
    exchange.later = exchange.settings.requests.deferred.add(original);
}

/// Writes the engine's outcome into the record.
fn describe(exchange: &mut Exchange, outcome: &Outcome<'_>, mode: Mode) {
    let record = &mut exchange.record;
    if let Some(model) = &outcome.model {
        record.model = name(model);
    }
    record.conversation_id =
        outcome.conversation_id.as_ref().map(|id| conversation(&record.tenant, id)).unwrap_or_default();
    if outcome.unread.is_some() {
        return;
    }
    record.history = outcome.rewritten.as_ref().map(history);
    if let Some(rewritten) = outcome.rewritten.as_ref().filter(|it| it.now && mode == Mode::Optimize) {
        exchange.settings.metrics.history_rewritten(rewritten.strategy);
    }
    let tokens = &outcome.tokens;
    record.tokens = Some(Tokens {
        encoding: tokens.encoding.name().to_owned(),
        before: tokens.before,
        after: tokens.after,
        tool_outputs_before: tokens.tool_outputs_before,
        tool_outputs_after: tokens.tool_outputs_after,
        estimate: tokens.estimate,
        tool_outputs_new_before: tokens.tool_outputs_new_before,
        tool_outputs_new_after: tokens.tool_outputs_new_after,
        ..Tokens::default()
    });
    exchange.compressors = outcome
        .blocks
        .iter()
        .filter_map(|block| match block.outcome {
            BlockOutcome::Compressed { compressor, .. } => Some(compressor.name()),
            BlockOutcome::Skipped(_) => None,
        })
        .collect();
    exchange.compressors.sort_unstable();
    exchange.compressors.dedup();

    let cap = exchange.settings.blocks_per_record();
    // The newest blocks matter most: the others were in earlier records of the conversation.
    let left_out = outcome.blocks.len().saturating_sub(cap);
    record.blocks_left_out = u32::try_from(left_out).unwrap_or(u32::MAX);
    record.blocks = outcome
        .blocks
        .iter()
        .skip(left_out)
        .map(|block| BlockRecord {
            tool: name(&block.tool),
            kind: block.kind.name().to_owned(),
            outcome: block.outcome.name(),
            tokens_before: block.tokens_before,
            tokens_after: block.tokens_after,
            memo: block.memo,
            new: block.new,
            pressure: block.pressure.into(),
            lossy: matches!(block.outcome, BlockOutcome::Compressed { lossy: true, .. }),
            // It may name values of the block, so it stays here unless the plan was asked for.
            left_out: block
                .left_out
                .as_deref()
                .filter(|_| mode == Mode::Simulate)
                .map(|left_out| left_out.chars().take(MAX_LEFT_OUT).collect())
                .unwrap_or_default(),
        })
        .collect();
}

fn history(rewritten: &RewriteHistory) -> HistoryRecord {
    HistoryRecord {
        epochs: rewritten.epochs,
        boundaries: rewritten.boundaries,
        strategy: rewritten.strategy.name().to_owned(),
        unpaid: rewritten.unpaid.name().to_owned(),
        now: rewritten.now,
        stale: rewritten.stale,
        superseded: rewritten.superseded,
        shortened: rewritten.shortened,
        dropped: rewritten.dropped,
        tokens_saved: rewritten.saved,
    }
}

/// Two tenants may begin a conversation with the same words; each has its own.
fn conversation(tenant: &str, id: &str) -> String {
    if tenant.is_empty() {
        return id.to_owned();
    }
    headroom_compress::address(&format!("{tenant}\0{id}")).chars().take(16).collect()
}
