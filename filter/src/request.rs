//! The request: headers, body, rewrite.

use std::borrow::Cow;
use std::rc::Rc;

use headroom_api::v1::{BlockRecord, RequestOutcome, RequestRecord, Tokens};
use headroom_compress::rounds::{self, Restored};
use headroom_compress::{
    Api, Block, BlockOutcome, FORMS_VERSION, Outcome, Profile, Read, RetrieveTool, Unread,
};
use headroom_providers::route::{Purpose, Route};

use crate::asked::{MAX_NAME_BYTES, RequestHeaders};
use crate::config::{AcceptEncoding, BodyMode};
use crate::deferred::Original;
use crate::encoding::{self, Encoding};
use crate::follow::Following;
use crate::hold;
use crate::host::{self, Action, Buffer, Level, Map, Refused};
use crate::limits::{Payer, TOO_MANY_REQUESTS};
use crate::messages::Transcript;
use crate::mode::Mode;
use crate::originals::{Known, Originals};
use crate::rules::Treatment;
use crate::sent::{Head, Sent};
use crate::stream::{Phase, Stream, micros};

/// A complete body in the host's buffer.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) route: Route,
    pub(crate) treatment: Treatment,
    /// Its headers wait with it.
    held: bool,
    encoding: Option<Encoding>,
    /// Bytes.
    size: usize,
}

/// What the engine has made of a body.
#[derive(Debug)]
pub(crate) struct Rewrite {
    /// `None`: it leaves as it came, with its hidden rounds.
    replacement: Option<Vec<u8>>,
    outcome: RequestOutcome,
    /// It has the retrieve tool, and the filter has to answer its calls.
    added_tool: bool,
    /// The provider may have bound thinking in it to what stands before.
    carries_thinking: bool,
    blocks: Vec<Block>,
    originals: Vec<Known>,
}

impl Stream {
    /// Matches the request and decides whether its body has to be waited for.
    pub(crate) fn on_request_headers(&mut self, end_of_stream: bool) -> Action {
        self.clock.headers = self.settings.now();
        let all = host::headers(Map::Request).map_err(|refused| self.settings.refused(refused)).ok();
        let headers = match &all {
            Some(all) => RequestHeaders::read(all, &self.settings.config),
            None => RequestHeaders::unseen(),
        };
        if headers.route.is_none() && self.is_for_sidecar() {
            self.name_tenant(&headers.tenant);
            return Action::Continue;
        }
        for name in &headers.ours {
            if let Err(refused) = host::remove_header(Map::Request, name) {
                self.settings.refused(refused);
            }
        }
        let Some(route) = headers.route else { return self.on_unrecognized(&headers) };
        let Treatment { mode, profile } = headers.treatment;

        self.record = Some(RequestRecord {
            request_id: self.settings.next_request_id(),
            started_unix_ms: i64::try_from(self.clock.headers / 1_000_000).unwrap_or_default(),
            provider: name(headers.provider.as_deref().unwrap_or(route.provider)),
            api: route.api.name().to_owned(),
            model: name(route.model.as_deref().unwrap_or_default()),
            stack: headers.stack,
            tenant: headers.tenant,
            key: headers.keys.first().cloned().unwrap_or_default(),
            team: headers.team,
            project: headers.project,
            subscription: headers.is_subscription,
            account: headers.account,
            body_bytes_before: headers.content_length.unwrap_or_default(),
            body_bytes_after: headers.content_length.unwrap_or_default(),
            forms_version: FORMS_VERSION,
            ..RequestRecord::default()
        });
        self.clock.forwarded = self.clock.headers;

        if self.refuse(route.api, &headers.keys) {
            return Action::Pause;
        }
        if headers.websocket {
            self.begin_session(route, headers.treatment, headers.target);
            return Action::Continue;
        }
        self.is_reported = route.purpose != Purpose::Count;
        // Ids that carry traces never reach a provider, whatever is done to the rest of a request.
        let has_traces = route.api.carries_traces() && self.settings.config.gives_traces();
        if mode == Mode::Off && !has_traces {
            self.settle(RequestOutcome::Bypassed);
            return Action::Continue;
        }
        let adds_tool = mode == Mode::Optimize
            && route.answer_can_be_followed
            && route.purpose == Purpose::Answer
            && self.settings.config.is_reversible(profile)
            && self.settings.config.retrieve_tool == RetrieveTool::Add;
        let keeps_head = adds_tool || (mode == Mode::Optimize && route.is_recoverable());
        let is_read = mode != Mode::Off && self.is_reported;
        if is_read && (self.settings.config.accept_encoding == AcceptEncoding::Identity || adds_tool) {
            // Without effect on the request itself, so a refusal only costs the usage figures.
            if let Err(refused) = host::set_header(Map::Request, "accept-encoding", b"identity") {
                self.settings.refused(refused);
            }
        }
        let cap = self.settings.config.engine.max_body_bytes as u64;
        let passed = if end_of_stream {
            Some(RequestOutcome::Empty)
        } else if headers.is_encoded && headers.encoding.is_none() {
            Some(RequestOutcome::Encoded)
        } else if headers.content_length.is_some_and(|length| length > cap) {
            Some(RequestOutcome::TooLarge)
        } else {
            None
        };
        if let Some(outcome) = passed {
            self.settle(outcome);
            return Action::Continue;
        }

        // An audited body keeps its length unless rounds are put back, so its headers can go.
        let changes = mode == Mode::Optimize || has_traces;
        let held = self.settings.config.body_mode == BodyMode::Hold && changes && self.settings.hold.usable();
        if !held
            && changes
            && headers.content_length.is_some()
            && let Err(refused) = host::remove_header(Map::Request, b"content-length")
        {
            self.settle_refused(refused);
            return Action::Continue;
        }
        if keeps_head {
            self.head = all.as_ref().map(Head::of);
        }
        if route.is_recoverable() && self.settings.requests.recoveries.borrow().has_any() {
            // What the body asks for needs this header, which may be gone when the body is here.
            self.allow_recovery(all.as_ref());
        }
        self.phase = Phase::Collecting {
            route,
            treatment: headers.treatment,
            held,
            encoding: headers.encoding,
            size: 0,
        };
        if held { Action::Pause } else { Action::Continue }
    }

    /// Answers 429 where a budget is used up, also for requests that ask to be passed. False: the request
    /// goes on.
    fn refuse(&mut self, api: Api, keys: &[String]) -> bool {
        let Some(record) = &self.record else { return false };
        let payer = Payer { keys, team: &record.team, is_providers: true };
        let refusal = self.settings.limits.borrow().refusal(payer, api, self.clock.headers);
        let Some(refusal) = refusal else { return false };
        // Settled first: the host runs the answer's callbacks before it returns.
        self.settle(RequestOutcome::OverBudget);
        self.answer.status = TOO_MANY_REQUESTS;
        let refused = refusal.send().map_err(|refused| self.settings.refused(refused)).is_ok();
        if !refused {
            self.answer.status = 0;
        }
        refused
    }

    /// Collects the body: looks only at its size until it is complete. While we pause, `size` is the
    /// size of all that has come.
    pub(crate) fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.session.is_some() {
            return self.on_client_bytes(size, end_of_stream);
        }
        let (collected, held) = match &mut self.phase {
            Phase::Collecting { size, held, .. } => (size, held),
            Phase::Passing => return Action::Continue,
            Phase::Waiting(_) | Phase::Working(_) => return Action::Pause,
        };
        *collected = size;
        if *held {
            self.settings.hold.proven();
        }
        if size > self.settings.config.engine.max_body_bytes {
            self.phase = Phase::Passing;
            self.head = None;
            self.forwarded(size);
            self.settle(RequestOutcome::TooLarge);
            return Action::Continue;
        }
        if !end_of_stream {
            return Action::Pause;
        }
        self.body_complete()
    }

    /// With trailers the body's own end is never announced.
    pub(crate) fn on_request_trailers(&mut self) -> Action {
        self.body_complete()
    }

    /// Whether the request has waited for something that will not come any more.
    pub(crate) fn is_overdue(&self, now: u64) -> bool {
        match &self.phase {
            Phase::Collecting { held: true, size: 0, .. } => {
                !self.settings.hold.is_proven() && now.saturating_sub(self.clock.headers) >= hold::GRACE_NS
            }
            _ => self.is_session_silent(now),
        }
    }

    /// Ends such a wait: a hold that the host does not support, whose request goes on as it came, or a session
    /// that nobody uses.
    pub(crate) fn release(&mut self) {
        match &self.phase {
            Phase::Collecting { .. } => {
                if self.settings.hold.usable() {
                    self.settings.hold.unsupported();
                    host::log(Level::Error, UNSUPPORTED);
                }
                self.phase = Phase::Passing;
                self.head = None;
                self.settle(RequestOutcome::HostError);
                if let Err(refused) = host::continue_request() {
                    self.settings.refused(refused);
                }
            }
            Phase::Passing => self.end_silent_session(),
            Phase::Waiting(_) | Phase::Working(_) => {}
        }
    }

    fn body_complete(&mut self) -> Action {
        let (route, treatment, held, encoding, size) =
            match std::mem::replace(&mut self.phase, Phase::Passing) {
                Phase::Collecting { route, treatment, held, encoding, size } => {
                    (route, treatment, held, encoding, size)
                }
                Phase::Passing => return Action::Continue,
                in_work => {
                    self.phase = in_work;
                    return Action::Pause;
                }
            };
        self.clock.body_complete = self.settings.now();
        self.forwarded(size);
        if size == 0 {
            self.settle(RequestOutcome::Empty);
            return self.forwarded_body();
        }
        self.enter_work(Body { route, treatment, held, encoding, size })
    }

    /// The body can go.
    pub(crate) fn forwarded_body(&mut self) -> Action {
        self.head = None;
        self.clock.forwarded = self.settings.now();
        Action::Continue
    }

    /// The body goes as it came: the host has not let it be changed.
    pub(crate) fn give_up_body(&mut self, refused: Refused) -> Action {
        self.sent = None;
        self.following = None;
        self.settle_refused(refused);
        self.forwarded_body()
    }

    /// The bytes that the engine is to read, and whether rounds were put back into them. `None`: it has nothing to
    /// read, and the body is settled.
    pub(crate) fn prepare(&mut self, body: &Body) -> host::Result<Option<(Rc<Vec<u8>>, bool)>> {
        let mut bytes = body.read()?;
        if let Some(encoding) = body.encoding {
            let cap = self.settings.config.engine.max_body_bytes;
            match encoding::decode(encoding, &bytes, cap, MAX_RATIO) {
                Ok(content) => bytes = content,
                Err(error) => {
                    self.settings.undecoded(&error);
                    self.settle(RequestOutcome::Encoded);
                    return Ok(None);
                }
            }
        }
        let restored = rounds::restore(&bytes, body.route.api);
        let is_restored = restored.is_some();
        if let Some(Restored { body, retrievals }) = restored {
            bytes = body;
            self.note_restored(retrievals);
        }
        if body.treatment.mode == Mode::Off {
            if is_restored {
                self.put_request(body, &bytes)?;
            }
            self.settle(RequestOutcome::Bypassed);
            return Ok(None);
        }
        Ok(Some((Rc::new(bytes), is_restored)))
    }

    /// Forwards what the engine has made of the body.
    pub(crate) fn forward(
        &mut self,
        body: &Body,
        bytes: Rc<Vec<u8>>,
        is_restored: bool,
        rewrite: Rewrite,
    ) -> host::Result<()> {
        let Rewrite { replacement, outcome, added_tool, carries_thinking, blocks, originals } = rewrite;
        let is_changed = replacement.is_some() || is_restored;
        let mut replacement = replacement;
        if is_changed && carries_thinking && body.route.is_recoverable() {
            let forwarded = replacement.as_deref().unwrap_or(&bytes);
            if let Some(allowed) = self.recovered_before(forwarded) {
                replacement = Some(allowed);
            }
        }
        if is_changed {
            let forwarded = replacement.as_deref().unwrap_or(&bytes);
            self.put_request(body, forwarded)?;
            let recoverable = carries_thinking && body.route.is_recoverable();
            self.is_recoverable = recoverable;
            if let Some(head) = self.head.take().filter(|_| added_tool || recoverable) {
                self.sent = Sent::new(&self.settings, head, forwarded.to_vec());
            }
            // Also where the request could not be kept: a call that cannot be answered is not for the client either.
            if added_tool && body.route.purpose == Purpose::Answer {
                let originals = Originals::new(&self.settings, &bytes, originals);
                let following = Following::new(&self.settings, body.route.api, originals);
                self.following = Some(Box::new(following));
            }
        }
        self.settle(outcome);
        self.log_messages(&bytes);
        if self.is_worked_out_later() {
            let forwarded = replacement.map_or_else(|| Rc::clone(&bytes), Rc::new);
            self.work_out_later(&body.route, bytes, Some(forwarded), blocks);
        }
        Ok(())
    }

    /// Puts bytes where the body is. With headers held, what they say of it goes first: while it can still be
    /// undone. Where they have gone, or keep to it, the body stays in its encoding.
    fn put_request(&mut self, body: &Body, bytes: &[u8]) -> host::Result<()> {
        let mut encoding = body.encoding;
        if body.held && encoding.is_some() {
            match host::remove_header(Map::Request, CONTENT_ENCODING.as_bytes()) {
                Ok(()) => encoding = None,
                Err(refused) => self.settings.refused(refused),
            }
        }
        let encoded = encoding.map(|it| encoding::store(it, bytes));
        let bytes = encoded.as_deref().unwrap_or(bytes);
        let put = self.put_with_length(body, bytes);
        if let (Err(_), Some(was), None) = (&put, body.encoding, encoding) {
            host::set_header(Map::Request, CONTENT_ENCODING, was.name().as_bytes())?;
        }
        put?;
        if let Some(record) = &mut self.record {
            record.body_bytes_after = bytes.len() as u64;
        }
        Ok(())
    }

    fn put_with_length(&self, body: &Body, bytes: &[u8]) -> host::Result<()> {
        if !body.held {
            return host::replace_buffer(Buffer::RequestBody, body.size, bytes);
        }
        set_length(bytes.len())?;
        let put = host::replace_buffer(Buffer::RequestBody, body.size, bytes);
        if put.is_err() {
            set_length(body.size)?;
        }
        put
    }

    fn note_restored(&mut self, retrievals: u32) {
        self.settings.metrics.restored(retrievals);
        if let Some(record) = &mut self.record {
            record.restored_rounds = retrievals;
        }
    }

    /// What a request in a session leaves as; `None`: as it came. Nothing is left out.
    pub(crate) fn rewrite_message(
        &mut self,
        bytes: &[u8],
        route: &Route,
        treatment: Treatment,
    ) -> Option<Vec<u8>> {
        let restored = rounds::restore(bytes, route.api);
        let is_restored = restored.is_some();
        let bytes = Rc::new(restored.map_or_else(|| bytes.to_vec(), |restored| restored.body));
        let body = Body { route: route.clone(), treatment, held: false, encoding: None, size: bytes.len() };
        // The provider keeps the conversation, or the client sends it anew to whom it likes.
        let treatment = Treatment { profile: Profile::Lossless, ..treatment };
        let Rewrite { replacement, outcome, blocks, .. } = self.compress(&bytes, &body, treatment);
        self.settle(outcome);
        self.log_messages(&bytes);
        if self.is_worked_out_later() {
            let forwarded = replacement.clone().map(Rc::new);
            self.work_out_later(route, Rc::clone(&bytes), forwarded, blocks);
        }
        replacement.or_else(|| is_restored.then(|| bytes.to_vec()))
    }

    /// What the engine is told of a request.
    pub(crate) fn engine_request<'r>(
        &self,
        body: &'r Body,
        treatment: Treatment,
    ) -> headroom_compress::Request<'r> {
        let config = &self.settings.config;
        let reversible = config.is_reversible(treatment.profile);
        headroom_compress::Request {
            model: body.route.model.as_deref(),
            reversible,
            retrieve_tool: match config.retrieve_tool {
                _ if !reversible => RetrieveTool::Assume,
                // Whoever adds the tool has to answer its calls.
                RetrieveTool::Add if !body.route.answer_can_be_followed => RetrieveTool::Require,
                configured => configured,
            },
            ..headroom_compress::Request::new(body.route.api)
        }
    }

    fn compress(&mut self, bytes: &[u8], body: &Body, treatment: Treatment) -> Rewrite {
        let request = self.engine_request(body, treatment);
        let started = self.settings.now();
        let engine = self.settings.config.engine(treatment.profile);
        let read = Read::new(bytes, body.route.api, &engine);
        let parsed = micros(started, self.settings.now());
        let outcome = {
            let mut memo = self.settings.memo.borrow_mut();
            read.compress(&request, &engine, &mut memo)
        };
        drop(engine);
        let spent = micros(started, self.settings.now());
        self.clock.parse_us = self.clock.parse_us.saturating_add(parsed);
        self.clock.compress_us = self.clock.compress_us.saturating_add(spent);
        self.rewritten(outcome, treatment.mode)
    }

    /// What an outcome comes to, which is noted.
    pub(crate) fn rewritten(&mut self, mut outcome: Outcome<'_>, mode: Mode) -> Rewrite {
        self.describe(&outcome);
        let replacement = match std::mem::take(&mut outcome.body) {
            Cow::Owned(replacement) if mode == Mode::Optimize => Some(replacement),
            _ => None,
        };
        if replacement.is_some() && self.is_reported {
            self.copy_originals(&outcome);
        }
        let replaced = outcome.blocks.iter().any(|it| matches!(it.outcome, BlockOutcome::Compressed { .. }));
        let request_outcome = match outcome.unread {
            Some(Unread::TooLarge) => RequestOutcome::TooLarge,
            Some(Unread::NotUnderstood) => RequestOutcome::NotUnderstood,
            None if mode != Mode::Optimize => RequestOutcome::Audited,
            None if replaced => RequestOutcome::Compressed,
            None => RequestOutcome::Unchanged,
        };
        Rewrite {
            replacement,
            outcome: request_outcome,
            added_tool: outcome.added_retrieve_tool,
            carries_thinking: outcome.carries_thinking,
            originals: Known::of(&outcome),
            blocks: std::mem::take(&mut outcome.blocks),
        }
    }

    /// Queues copies for the store, where somebody may ask it for them.
    fn copy_originals(&self, outcome: &Outcome<'_>) {
        let wanted = self.settings.config.store_originals.unwrap_or(outcome.lists_retrieve_tool);
        if let Some(record) = self.record.as_ref().filter(|_| wanted && !outcome.originals.is_empty()) {
            self.settings.copy_originals(&record.tenant, &record.conversation_id, outcome);
        }
    }

    /// Takes the messages of a request along, where the configuration asks for it.
    fn log_messages(&mut self, body: &[u8]) {
        self.answer.transcript =
            self.settings.log_bytes().and_then(|room| Transcript::of(body, room)).map(Box::new);
    }

    /// Whether the record needs what its request does not.
    fn is_worked_out_later(&self) -> bool {
        self.settings.reports() && self.record.as_ref().is_some_and(|record| record.tokens.is_some())
    }

    fn work_out_later(
        &mut self,
        route: &Route,
        body: Rc<Vec<u8>>,
        forwarded: Option<Rc<Vec<u8>>>,
        blocks: Vec<Block>,
    ) {
        let original = Original { body, forwarded, api: route.api, model: route.model.clone(), blocks };
        self.later = self.settings.requests.deferred.add(original);
    }

    /// Notes the size of a body that leaves as it came.
    fn forwarded(&mut self, size: usize) {
        if let Some(record) = &mut self.record {
            record.body_bytes_before = record.body_bytes_before.max(size as u64);
            record.body_bytes_after = record.body_bytes_before;
        }
    }

    /// Writes what the engine says into the record.
    fn describe(&mut self, outcome: &Outcome<'_>) {
        let Some(record) = &mut self.record else { return };
        if let Some(model) = &outcome.model {
            record.model = name(model);
        }
        record.conversation_id =
            outcome.conversation_id.as_ref().map(|id| conversation(&record.tenant, id)).unwrap_or_default();
        if outcome.unread.is_some() {
            return;
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
        self.compressors = outcome
            .blocks
            .iter()
            .filter_map(|block| match block.outcome {
                BlockOutcome::Compressed { compressor, .. } => Some(compressor.name()),
                BlockOutcome::Skipped(_) => None,
            })
            .collect();
        self.compressors.sort_unstable();
        self.compressors.dedup();

        let cap = self.settings.blocks_per_record();
        // The newest blocks say most: the others were in earlier records of the conversation.
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
            })
            .collect();
    }
}

/// In the place of a host's status: it gave fewer bytes than it had announced.
const SHORT: u32 = u32::MAX;

const CONTENT_ENCODING: &str = "content-encoding";

/// How many times its own length an encoded body may be. Recorded conversations are 3 to 12 times as long.
const MAX_RATIO: usize = 100;

const UNSUPPORTED: &str = "headroom: body_mode is hold, but the host holds the body with the headers: \
    allow_on_headers_stop_iteration is not set. From now on lengths are stripped, as with body_mode strip";

impl Body {
    fn read(&self) -> host::Result<Vec<u8>> {
        let bytes = host::buffer(Buffer::RequestBody, self.size)?;
        if bytes.len() != self.size {
            // Part of a body must never be taken for the whole.
            return Err(Refused { call: "get_buffer", status: SHORT });
        }
        Ok(bytes)
    }
}

fn set_length(bytes: usize) -> host::Result<()> {
    host::set_header(Map::Request, "content-length", bytes.to_string().as_bytes())
}

/// Two tenants may begin a conversation with the same words; each has its own.
fn conversation(tenant: &str, id: &str) -> String {
    if tenant.is_empty() {
        return id.to_owned();
    }
    headroom_compress::address(&format!("{tenant}\0{id}")).chars().take(16).collect()
}

/// A name out of a body, cut to a length that a table can show.
pub(crate) fn name(text: &str) -> String {
    text.chars().take(MAX_NAME_BYTES).filter(|c| !c.is_control()).collect()
}
