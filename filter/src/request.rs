//! The request: what its headers allow, its body, and how it is forwarded.

use std::rc::Rc;

use headroom_api::v1::{AnswerLookup, RequestOutcome, RequestRecord};
use headroom_compress::{FORMS_VERSION, RetrieveTool};
use headroom_providers::anthropic::recovery::{BETA, BETA_HEADER, body_that_drops};
use headroom_providers::route::{Purpose, Route};
use proxy_wasm::types::{Action, MapType};

use crate::answer::Answer;
use crate::answer_cache::candidate::{CacheableRequest, Candidate};
use crate::answer_cache::lookup::{Lookup, Replay, Step};
use crate::body::Body;
use crate::cache_edits;
use crate::config::{AcceptEncoding, BodyMode};
use crate::encoding::Encoding;
use crate::exchange::{Clock, Exchange};
use crate::follow::FollowedAnswer;
use crate::hold;
use crate::host::{self, RefusedCall};
use crate::in_work::Place;
use crate::limits::{BudgetScope, TOO_MANY_REQUESTS};
use crate::memory_context::{self, ContextLookup};
use crate::mode::Mode;
use crate::name::name;
use crate::originals::Originals;
use crate::own_tools::MemoryCaller;
use crate::request_headers::RequestHeaders;
use crate::response::Response;
use crate::rewrite::{self, Rewrite};
use crate::rules::Treatment;
use crate::sent::{Head, SentRequest, lists};
use crate::settings::Settings;
use crate::text_model::{self, TextLookup};
use crate::work::{EngineOutput, Slice, Work};

/// A request on its way through the filter.
pub(crate) struct Request {
    /// The host's number of its stream.
    id: u32,
    phase: Phase,
    /// Its headers until it leaves, if it may have to be sent once more.
    head: Option<Head>,
    /// Whether it leaves with the header that a recovery needs.
    has_beta: bool,
    /// Who asks memory.
    caller: MemoryCaller,
    /// Whether its answer may come from the cache, or go into it.
    cache: Cache,
}

/// How the answer cache takes part in a request.
#[derive(Debug, Default)]
enum Cache {
    #[default]
    None,
    /// Its headers allow it.
    Candidate(Box<Candidate>),
    Wanted(Box<CacheableRequest>),
}

/// The state of the request.
#[derive(Debug, Default)]
enum Phase {
    /// It passes. There is nothing to do, now or later.
    #[default]
    Passing,
    /// Waiting for the end of the body.
    Collecting(PartialBody),
    /// The body is complete, and waits until fewer bodies are in work.
    Waiting(Body),
    /// The body is in work, and has paused.
    Working(Box<Work>),
    /// The engine is done, and the sidecar is asked what of its prose stays.
    Deciding(Box<TextLookup>),
    /// It is done, and the sidecar is asked what its conversation begins with.
    Recalling(Box<ContextLookup>),
    /// It could leave, and the sidecar is asked for an answer.
    Asking(Box<Lookup>),
}

/// A body that is not complete yet.
#[derive(Debug)]
struct PartialBody {
    route: Route,
    /// What is done to it; the mode is `Off` only if its ids may carry traces.
    treatment: Treatment,
    /// Whether the headers are held too.
    held: bool,
    /// The encoding in which the client has sent it.
    encoding: Option<Encoding>,
    /// Bytes that have come.
    size: usize,
}

/// The exchange that a request with a route begins.
pub(crate) fn begin(
    settings: Rc<Settings>,
    headers: &mut RequestHeaders,
    route: &Route,
    now: u64,
) -> Exchange {
    let take = std::mem::take::<String>;
    let record = RequestRecord {
        request_id: settings.next_request_id(),
        started_unix_ms: i64::try_from(now / 1_000_000).unwrap_or_default(),
        provider: name(headers.provider.as_deref().unwrap_or(route.provider)),
        api: route.api.name().to_owned(),
        model: name(route.model.as_deref().unwrap_or_default()),
        stack: take(&mut headers.stack),
        tenant: take(&mut headers.tenant),
        key: headers.keys.first().cloned().unwrap_or_default(),
        team: take(&mut headers.team),
        project: take(&mut headers.project),
        subscription: headers.is_subscription,
        account: take(&mut headers.account),
        body_bytes_before: headers.content_length.unwrap_or_default(),
        body_bytes_after: headers.content_length.unwrap_or_default(),
        forms_version: FORMS_VERSION,
        ..RequestRecord::default()
    };
    let clock = Clock { headers: now, forwarded: now, ..Clock::default() };
    Exchange::new(settings, record, clock, Answer::default())
}

/// Answers 429 if a budget is used up, even if the request asks to be passed. False: the request goes on.
pub(crate) fn refuse(exchange: &mut Exchange, route: &Route, keys: &[String]) -> bool {
    let payer = BudgetScope { keys, team: &exchange.record.team, is_providers: true };
    let refusal = exchange.settings.limits.borrow().refusal(payer, route.api, exchange.clock.headers);
    let Some(refusal) = refusal else { return false };
    // Settled first: the host runs the answer's callbacks before the call returns.
    exchange.settle(RequestOutcome::OverBudget);
    exchange.answer.status = TOO_MANY_REQUESTS;
    let refused = refusal.send().map_err(|refused| exchange.settings.refused(refused)).is_ok();
    if !refused {
        exchange.answer.status = 0;
    }
    refused
}

impl Request {
    /// A request that passes.
    pub(crate) fn passing(id: u32) -> Self {
        Self {
            id,
            phase: Phase::Passing,
            head: None,
            has_beta: false,
            caller: MemoryCaller::default(),
            cache: Cache::None,
        }
    }

    /// Decides whether the filter has to wait for the body. `all` are the headers as they came.
    pub(crate) fn on_headers(
        &mut self,
        exchange: &mut Exchange,
        route: Route,
        headers: &RequestHeaders,
        all: Option<&host::Headers>,
        end_of_stream: bool,
    ) -> Action {
        let settings = Rc::clone(&exchange.settings);
        let config = &settings.config;
        let Treatment { mode, profile, .. } = headers.treatment;
        exchange.is_reported = route.purpose != Purpose::Count;
        // Ids that carry traces must never reach a provider, whatever else is done to a request.
        let has_traces = route.api.carries_traces() && config.gives_traces();
        if mode == Mode::Off && !has_traces {
            exchange.settle(RequestOutcome::Bypassed);
            return Action::Continue;
        }
        let adds_retrieve = config.is_reversible(profile) && config.retrieve_tool == RetrieveTool::Add;
        let adds_tool = mode == Mode::Optimize
            && route.answer_can_be_followed
            && route.purpose == Purpose::Answer
            && (adds_retrieve || config.memory_tools.any());
        let keeps_head = adds_tool || (mode == Mode::Optimize && route.is_recoverable());
        let is_read = mode != Mode::Off && exchange.is_reported;
        if is_read && (config.accept_encoding == AcceptEncoding::Identity || adds_tool) {
            // Does not affect the request itself, so a refusal costs only the usage figures.
            if let Err(refused) =
                host::set_header(MapType::HttpRequestHeaders, "accept-encoding", b"identity")
            {
                settings.refused(refused);
            }
        }
        if let Some(outcome) = reason_to_pass(&settings, headers, end_of_stream) {
            exchange.settle(outcome);
            return Action::Continue;
        }

        // An audited body keeps its length unless rounds are put back, so its headers can leave.
        let changes = mode == Mode::Optimize || has_traces;
        let held = config.body_mode == BodyMode::Hold && changes && settings.hold.usable();
        if !held
            && changes
            && headers.content_length.is_some()
            && let Err(refused) = host::remove_header(MapType::HttpRequestHeaders, b"content-length")
        {
            exchange.settle_refused(refused);
            return Action::Continue;
        }
        if config.memory_context || (adds_tool && config.memory_tools.any()) {
            self.caller = memory_caller(exchange, headers);
        }
        if keeps_head {
            self.head = all.map(Head::of);
        }
        let candidate = all.and_then(|all| {
            Candidate::new(&settings, &route, headers.treatment, all, &exchange.record.tenant)
        });
        if let Some(candidate) = candidate {
            self.cache = Cache::Candidate(Box::new(candidate));
        }
        if route.is_recoverable() && settings.requests.recoveries.borrow().has_any() {
            // A recovery needs this header, and the headers may have left when the body is complete.
            self.allow_recovery(&settings, all);
        }
        let (treatment, encoding) = (headers.treatment, headers.encoding);
        self.phase = Phase::Collecting(PartialBody { route, treatment, held, encoding, size: 0 });
        if held { Action::Pause } else { Action::Continue }
    }

    /// Adds the header that a recovery needs, before it is known whether there will be one.
    fn allow_recovery(&mut self, settings: &Settings, headers: Option<&host::Headers>) {
        let Some(headers) = headers else { return };
        let listed = headers.iter().find(|(name, _)| *name == BETA_HEADER.as_bytes()).map(|(_, value)| value);
        let value = match listed {
            Some(list) if lists(list, BETA) => return,
            Some(list) => [list, b",", BETA].concat(),
            None => BETA.to_vec(),
        };
        match host::set_header(MapType::HttpRequestHeaders, BETA_HEADER, &value) {
            Ok(()) => self.has_beta = true,
            Err(refused) => settings.refused(refused),
        }
    }

    /// Collects the body: only its size is read until it is complete. While the request is paused, `size`
    /// counts everything that has come.
    pub(crate) fn on_body(
        &mut self,
        exchange: &mut Exchange,
        response: &mut Response,
        size: usize,
        end_of_stream: bool,
    ) -> Action {
        let collecting = match &mut self.phase {
            Phase::Collecting(collecting) => collecting,
            Phase::Passing => return Action::Continue,
            Phase::Waiting(_)
            | Phase::Working(_)
            | Phase::Deciding(_)
            | Phase::Recalling(_)
            | Phase::Asking(_) => return Action::Pause,
        };
        collecting.size = size;
        if collecting.held {
            exchange.settings.hold.proven();
        }
        if size > exchange.settings.config.engine.max_body_bytes {
            self.pass();
            exchange.note_size(size);
            exchange.settle(RequestOutcome::TooLarge);
            return Action::Continue;
        }
        if end_of_stream { self.on_end(exchange, response) } else { Action::Pause }
    }

    /// The body is complete. If trailers follow, this call is the only sign of it.
    pub(crate) fn on_end(&mut self, exchange: &mut Exchange, response: &mut Response) -> Action {
        let PartialBody { route, treatment, held, encoding, size } = match std::mem::take(&mut self.phase) {
            Phase::Collecting(collecting) => collecting,
            Phase::Passing => return Action::Continue,
            in_work => {
                self.phase = in_work;
                return Action::Pause;
            }
        };
        exchange.clock.body_complete = exchange.settings.now();
        exchange.note_size(size);
        if size == 0 {
            exchange.settle(RequestOutcome::Empty);
            return self.leave(exchange);
        }
        self.enter_work(exchange, response, Body { route, treatment, held, encoding, size })
    }

    /// Works on a complete body, or makes it wait for a place.
    fn enter_work(&mut self, exchange: &mut Exchange, response: &mut Response, body: Body) -> Action {
        let settings = Rc::clone(&exchange.settings);
        let in_work = &settings.requests.in_work;
        // If ticks are not available, the body has to be done now, however many are in work.
        if let Some(place) = in_work.enter(settings.config.bodies_in_work, false) {
            return self.begin_work(exchange, response, body, place);
        }
        if !settings.hurry() {
            return self.begin_work(exchange, response, body, in_work.enter_now());
        }
        settings.metrics.work_waited();
        in_work.wait(self.id, false);
        self.phase = Phase::Waiting(body);
        Action::Pause
    }

    fn begin_work(
        &mut self,
        exchange: &mut Exchange,
        response: &mut Response,
        body: Body,
        place: Place,
    ) -> Action {
        match body.prepare(exchange) {
            Ok(None) => self.leave(exchange),
            Ok(Some((bytes, is_restored))) => {
                let work = Work::begin(exchange, body, bytes, is_restored, place);
                self.go_on(exchange, response, work)
            }
            Err(refused) => self.give_up(exchange, response, refused),
        }
    }

    /// Works on a body for one slice.
    fn go_on(&mut self, exchange: &mut Exchange, response: &mut Response, mut work: Work) -> Action {
        if let Slice::Paused = work.slice(exchange) {
            exchange.settings.requests.in_work.put_back(self.id);
            self.phase = Phase::Working(Box::new(work));
            return Action::Pause;
        }
        match text_model::begin(exchange, work) {
            text_model::Step::Wait(lookup) => {
                self.phase = Phase::Deciding(Box::new(lookup));
                Action::Pause
            }
            text_model::Step::Done(work) => self.finish_work(exchange, response, work),
        }
    }

    /// Takes what the engine, and the text model, have made of the body.
    fn finish_work(&mut self, exchange: &mut Exchange, response: &mut Response, work: Work) -> Action {
        let output = work.finish(exchange);
        if let Some(rewrite) = &output.rewrite {
            // Before anything else is changed, which moves what the blocks point to.
            rewrite::log_messages(exchange, &output.bytes, rewrite.replacement.as_deref(), &rewrite.blocks);
        }
        let step = memory_context::begin(exchange, output, &self.caller);
        self.recall(exchange, response, step)
    }

    fn recall(
        &mut self,
        exchange: &mut Exchange,
        response: &mut Response,
        step: memory_context::Step,
    ) -> Action {
        match step {
            memory_context::Step::Wait(lookup) => {
                self.phase = Phase::Recalling(Box::new(lookup));
                Action::Pause
            }
            memory_context::Step::Forward(output) => self.forward_or_give_up(exchange, response, output),
        }
    }

    fn forward_or_give_up(
        &mut self,
        exchange: &mut Exchange,
        response: &mut Response,
        output: EngineOutput,
    ) -> Action {
        let EngineOutput { body, bytes, is_restored, rewrite } = output;
        let Some(rewrite) = rewrite else { return self.leave(exchange) };
        match self.forward(exchange, response, &body, bytes, is_restored, rewrite) {
            Ok(()) => self.ask_or_leave(exchange, response),
            Err(refused) => self.give_up(exchange, response, refused),
        }
    }

    /// Forwards what the engine, and memory, have made of the body.
    fn forward(
        &mut self,
        exchange: &mut Exchange,
        response: &mut Response,
        body: &Body,
        bytes: Rc<Vec<u8>>,
        is_restored: bool,
        rewrite: Rewrite,
    ) -> host::Result<()> {
        let Rewrite { mut replacement, outcome, added_tools, carries_thinking, blocks, originals, .. } =
            rewrite;
        let added_tool = added_tools.any();
        let mut cache_edited = cache_edits::edited(
            exchange,
            &body.route,
            body.treatment,
            outcome,
            replacement.as_deref().unwrap_or(&bytes),
        );
        if let Some(edited) = &mut cache_edited {
            replacement = Some(std::mem::take(&mut edited.body));
        }
        let outcome = match outcome {
            RequestOutcome::Unchanged if replacement.is_some() || is_restored => RequestOutcome::Extended,
            outcome => outcome,
        };
        if replacement.is_some() || is_restored {
            let recoverable = carries_thinking && body.route.is_recoverable();
            if recoverable
                && let Some(allowed) =
                    self.recovered_before(exchange, replacement.as_deref().unwrap_or(&bytes))
            {
                replacement = Some(allowed);
            }
            let forwarded = replacement.as_deref().unwrap_or(&bytes);
            body.put(exchange, forwarded)?;
            if let Some(edited) = &cache_edited {
                cache_edits::note(exchange, edited);
            }
            response.is_recoverable = recoverable;
            if let Some(head) = self.head.take().filter(|_| added_tool || recoverable) {
                response.sent = SentRequest::new(&exchange.settings, head, forwarded.to_vec());
            }
            // Also if there was no room to keep the request: a call that cannot be answered must not reach
            // the client.
            if added_tool && body.route.purpose == Purpose::Answer {
                let originals = Originals::new(&exchange.settings, &bytes, originals);
                let mut caller = std::mem::take(&mut self.caller);
                caller.folder = rewrite.working_directory.unwrap_or_default();
                let following =
                    FollowedAnswer::new(&exchange.settings, body.route.api, added_tools, originals, caller);
                response.following = Some(Box::new(following));
            }
        }
        if let Cache::Candidate(candidate) = std::mem::take(&mut self.cache)
            // An answer after rounds of our own tools fits only this conversation.
            && !is_restored
            && response.following.is_none()
            && let Some(wanted) = candidate.with_body(
                &exchange.settings,
                &body.route,
                replacement.as_deref().unwrap_or(&bytes),
            )
        {
            self.cache = Cache::Wanted(Box::new(wanted));
        }
        exchange.settle(outcome);
        if rewrite::is_worked_out_later(exchange) {
            let forwarded = replacement.map_or_else(|| Rc::clone(&bytes), Rc::new);
            rewrite::work_out_later(exchange, &body.route, bytes, Some(forwarded), blocks);
        }
        Ok(())
    }

    /// The changed body of a request whose conversation has needed a recovery before.
    fn recovered_before(&self, exchange: &Exchange, body: &[u8]) -> Option<Vec<u8>> {
        let recoveries = exchange.settings.requests.recoveries.borrow();
        let is_known = self.has_beta && recoveries.has(&exchange.record.conversation_id);
        is_known.then(|| body_that_drops(body)).flatten()
    }

    /// Asks the cache for an answer, or lets the request leave.
    fn ask_or_leave(&mut self, exchange: &mut Exchange, response: &mut Response) -> Action {
        match std::mem::take(&mut self.cache) {
            Cache::Wanted(wanted) => {
                let step = Lookup::begin(exchange, *wanted);
                self.take_step(exchange, response, step)
            }
            _ => self.leave(exchange),
        }
    }

    fn take_step(&mut self, exchange: &mut Exchange, response: &mut Response, step: Step) -> Action {
        match step {
            Step::Wait(lookup) => {
                self.phase = Phase::Asking(Box::new(lookup));
                Action::Pause
            }
            Step::Forward(keeping) => {
                response.keeping = keeping;
                self.leave(exchange)
            }
            Step::Replay(replay) => self.replay(exchange, response, &replay),
        }
    }

    /// Answers from the cache. If the host refuses that, the provider is asked.
    fn replay(&mut self, exchange: &mut Exchange, response: &mut Response, replay: &Replay) -> Action {
        let outcome = exchange.record.outcome();
        // Settled first: the host may run the answer's callbacks before the call returns.
        exchange.settle(RequestOutcome::Cached);
        (response.sent, response.is_recoverable) = (None, false);
        self.leave(exchange);
        if let Err(refused) = replay.send() {
            exchange.settings.refused(refused);
            exchange.record.set_answer_lookup(AnswerLookup::Failed);
            exchange.settle(outcome);
            return Action::Continue;
        }
        Action::Pause
    }

    /// Whether the question with this token is its own.
    pub(crate) fn waits_for_grpc(&self, token: u32) -> bool {
        match &self.phase {
            Phase::Deciding(lookup) => lookup.awaits(token),
            Phase::Recalling(lookup) => lookup.awaits(token),
            Phase::Asking(lookup) => lookup.awaits(token),
            _ => false,
        }
    }

    /// Whether it waits for the sidecar's answer.
    pub(crate) fn waits_for_sidecar(&self) -> bool {
        matches!(self.phase, Phase::Deciding(_) | Phase::Recalling(_) | Phase::Asking(_))
    }

    /// The provider has answered before it has seen the body, so no one else can answer any more.
    pub(crate) fn stop_asking(&mut self, exchange: &mut Exchange, response: &mut Response) {
        match std::mem::take(&mut self.phase) {
            Phase::Deciding(lookup) => {
                let output = lookup.give_up(exchange).finish(exchange);
                self.forward_or_give_up(exchange, response, output);
            }
            Phase::Recalling(lookup) => {
                let output = lookup.give_up(exchange);
                self.forward_or_give_up(exchange, response, output);
            }
            Phase::Asking(lookup) => {
                lookup.abandon(exchange);
                self.leave(exchange);
            }
            other => {
                self.phase = other;
                return;
            }
        }
        self.phase = Phase::Passing;
        if let Err(refused) = host::continue_request() {
            exchange.settings.refused(refused);
        }
    }

    /// The sidecar's answer to what it was asked; `None`: there is none.
    pub(crate) fn on_grpc_answer(
        &mut self,
        exchange: &mut Exchange,
        response: &mut Response,
        answer: Option<&[u8]>,
    ) {
        let action = match std::mem::take(&mut self.phase) {
            Phase::Deciding(lookup) => {
                let work = lookup.answered(exchange, answer);
                self.finish_work(exchange, response, work)
            }
            Phase::Recalling(lookup) => {
                let step = lookup.answered(exchange, answer);
                self.recall(exchange, response, step)
            }
            Phase::Asking(lookup) => {
                let step = lookup.answered(exchange, answer);
                self.take_step(exchange, response, step)
            }
            other => {
                self.phase = other;
                return;
            }
        };
        if action == Action::Continue
            && let Err(refused) = host::continue_request()
        {
            exchange.settings.refused(refused);
        }
    }

    /// Lets the body go.
    fn leave(&mut self, exchange: &mut Exchange) -> Action {
        self.head = None;
        exchange.clock.forwarded = exchange.settings.now();
        Action::Continue
    }

    /// Lets the body go as it came: the host refused a change.
    fn give_up(&mut self, exchange: &mut Exchange, response: &mut Response, refused: RefusedCall) -> Action {
        response.sent = None;
        response.following = None;
        self.cache = Cache::None;
        memory_context::drop_added(exchange);
        exchange.settle_refused(refused);
        self.leave(exchange)
    }

    fn pass(&mut self) {
        self.phase = Phase::Passing;
        self.head = None;
    }

    /// Gives a waiting request its turn. False: it does not wait.
    pub(crate) fn take_turn(&mut self, exchange: &mut Exchange, response: &mut Response) -> bool {
        let action = match std::mem::take(&mut self.phase) {
            Phase::Working(work) => self.go_on(exchange, response, *work),
            Phase::Waiting(body) => {
                let settings = Rc::clone(&exchange.settings);
                let in_work = &settings.requests.in_work;
                match in_work.enter(settings.config.bodies_in_work, true) {
                    Some(place) => self.begin_work(exchange, response, body, place),
                    None => {
                        in_work.wait(self.id, true);
                        self.phase = Phase::Waiting(body);
                        return true;
                    }
                }
            }
            other => {
                self.phase = other;
                return false;
            }
        };
        if action == Action::Continue
            && let Err(refused) = host::continue_request()
        {
            exchange.settings.refused(refused);
        }
        true
    }

    /// Whether its headers are held for a body that will never come.
    pub(crate) fn is_overdue(&self, exchange: &Exchange, now: u64) -> bool {
        match &self.phase {
            Phase::Deciding(lookup) => return lookup.is_lost(now),
            Phase::Recalling(lookup) => return lookup.is_lost(now),
            Phase::Asking(lookup) => return lookup.is_lost(now),
            _ => {}
        }
        matches!(&self.phase, Phase::Collecting(PartialBody { held: true, size: 0, .. }))
            && !exchange.settings.hold.is_proven()
            && now.saturating_sub(exchange.clock.headers) >= hold::GRACE_NS
    }

    /// Ends such a wait: the host cannot hold headers, and the request goes on as it came.
    pub(crate) fn release(&mut self, exchange: &mut Exchange, response: &mut Response) {
        if self.waits_for_sidecar() {
            // So late that it is not asked again.
            return self.on_grpc_answer(exchange, response, None);
        }
        if !matches!(self.phase, Phase::Collecting(_)) {
            return;
        }
        if exchange.settings.hold.usable() {
            exchange.settings.hold.unsupported();
            log::error!("{UNSUPPORTED}");
        }
        self.pass();
        exchange.settle(RequestOutcome::HostError);
        if let Err(refused) = host::continue_request() {
            exchange.settings.refused(refused);
        }
    }

    /// Notes that Envoy answers 413 itself, because a body that the filter waits for is larger than its
    /// buffer. The request fails only because of that wait, so the operator has to know.
    pub(crate) fn notice_overflow(&mut self, exchange: &mut Exchange) {
        const CONTENT_TOO_LARGE: u32 = 413;
        if exchange.answer.status == CONTENT_TOO_LARGE && matches!(self.phase, Phase::Collecting(_)) {
            self.phase = Phase::Passing;
            exchange.settle(RequestOutcome::TooLarge);
            log::error!("{OVERFLOW}");
        }
    }

    /// The end of the stream.
    pub(crate) fn end(self, exchange: &mut Exchange) {
        if matches!(self.phase, Phase::Working(_) | Phase::Waiting(_)) {
            exchange.settings.requests.in_work.forget(self.id);
        }
        if !matches!(self.phase, Phase::Passing) {
            exchange.settle(RequestOutcome::Aborted);
        }
        if let Phase::Asking(lookup) = self.phase {
            lookup.abandon(exchange);
        }
    }
}

/// Who makes the request, as far as headers and configuration show it.
fn memory_caller(exchange: &Exchange, headers: &RequestHeaders) -> MemoryCaller {
    let record = &exchange.record;
    let agent = if record.stack.is_empty() { &headers.program } else { &record.stack };
    MemoryCaller {
        project: if headers.names_project { record.project.clone() } else { String::new() },
        default_project: exchange.settings.config.project.clone(),
        folder: String::new(),
        agent: agent.clone(),
    }
}

/// Why a request is not waited for.
fn reason_to_pass(
    settings: &Settings,
    headers: &RequestHeaders,
    end_of_stream: bool,
) -> Option<RequestOutcome> {
    let cap = settings.config.engine.max_body_bytes as u64;
    if end_of_stream {
        Some(RequestOutcome::Empty)
    } else if headers.is_encoded && headers.encoding.is_none() {
        Some(RequestOutcome::Encoded)
    } else if headers.content_length.is_some_and(|length| length > cap) {
        Some(RequestOutcome::TooLarge)
    } else {
        None
    }
}

const UNSUPPORTED: &str = "headroom: body_mode is hold, but the host holds the body with the headers: \
    allow_on_headers_stop_iteration is not set. From now on lengths are stripped, as with body_mode strip";

const OVERFLOW: &str = "headroom: a request was answered 413 while its body was waited for: the listener's \
    per_connection_buffer_limit_bytes, or the route's request_body_buffer_limit, has to be larger than max_body_bytes";
