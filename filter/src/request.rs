//! The request: headers, body, rewrite.

mod admission;

use std::borrow::Cow;

pub(crate) use admission::Admitting;
use admission::{Admission, needs};
use headroom_api::v1::{BlockRecord, RequestOutcome, RequestRecord, Tokens};
use headroom_compress::{Api, Block, BlockOutcome, Outcome, Read, RetrieveTool, Unread};

use crate::asked::{MAX_NAME_BYTES, RequestHeaders};
use crate::config::{AcceptEncoding, BodyMode, Mode};
use crate::deferred::Original;
use crate::follow::{Following, Head};
use crate::hold;
use crate::host::{self, Action, Buffer, Level, Map, NANOS_PER_MS, Refused};
use crate::limits::{Payer, Refusal};
use crate::messages::Transcript;
use crate::route::Route;
use crate::rules::Treatment;
use crate::stream::{Phase, Stream, micros};

/// A complete body in the host's buffer.
#[derive(Debug)]
struct Body {
    route: Route,
    treatment: Treatment,
    /// Its headers wait with it.
    held: bool,
    /// Bytes.
    size: usize,
}

/// What the engine has made of a body.
#[derive(Debug)]
struct Rewrite {
    /// `None`: it leaves as it came.
    replacement: Option<Vec<u8>>,
    outcome: RequestOutcome,
    /// It has the retrieve tool, and the filter has to answer its calls.
    added_tool: bool,
    blocks: Vec<Block>,
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
        for name in &headers.ours {
            if let Err(refused) = host::remove_header(Map::Request, name) {
                self.settings.refused(refused);
            }
        }
        let Some(route) = headers.route else { return Action::Continue };
        let Treatment { mode, profile } = headers.treatment;

        self.record = Some(RequestRecord {
            request_id: self.settings.next_request_id(),
            started_unix_ms: i64::try_from(self.clock.headers / 1_000_000).unwrap_or_default(),
            provider: name(headers.provider.as_deref().unwrap_or(route.provider)),
            api: route.api.name().to_owned(),
            model: name(route.model.as_deref().unwrap_or_default()),
            stack: headers.stack,
            tenant: headers.tenant,
            key: headers.key,
            team: headers.team,
            project: self.settings.config.project.clone(),
            body_bytes_before: headers.content_length.unwrap_or_default(),
            body_bytes_after: headers.content_length.unwrap_or_default(),
            ..RequestRecord::default()
        });
        self.clock.forwarded = self.clock.headers;

        if self.refuse(route.api) {
            return Action::Pause;
        }
        if headers.websocket {
            self.begin_session(route, headers.treatment, headers.target);
            return Action::Continue;
        }
        if mode == Mode::Off {
            self.settle(RequestOutcome::Bypassed);
            return Action::Continue;
        }
        let adds_tool = mode == Mode::Optimize
            && route.answer_can_be_followed
            && self.settings.config.is_reversible(profile)
            && self.settings.config.retrieve_tool == RetrieveTool::Add;
        if self.settings.config.accept_encoding == AcceptEncoding::Identity || adds_tool {
            // Without effect on the request itself, so a refusal only costs the usage figures.
            if let Err(refused) = host::set_header(Map::Request, "accept-encoding", b"identity") {
                self.settings.refused(refused);
            }
        }
        let cap = self.settings.config.engine.max_body_bytes as u64;
        let passed = if end_of_stream {
            Some(RequestOutcome::Empty)
        } else if headers.encoded {
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

        // An audited body keeps its length, so its headers can go.
        let held = self.settings.config.body_mode == BodyMode::Hold
            && mode == Mode::Optimize
            && self.settings.hold.usable();
        if !held
            && mode == Mode::Optimize
            && headers.content_length.is_some()
            && let Err(refused) = host::remove_header(Map::Request, b"content-length")
        {
            self.settle_refused(refused);
            return Action::Continue;
        }
        if adds_tool {
            self.head = all.as_ref().map(Head::of);
        }
        self.phase = Phase::Collecting { route, treatment: headers.treatment, held, size: 0 };
        if held { Action::Pause } else { Action::Continue }
    }

    /// Answers 429 where a budget is used up, also for requests that ask to be passed. False: the request
    /// goes on.
    fn refuse(&mut self, api: Api) -> bool {
        const TOO_MANY_REQUESTS: u32 = 429;
        let Some(record) = &self.record else { return false };
        let payer = Payer { key: &record.key, team: &record.team };
        let refusal = self.settings.limits.borrow().refusal(payer, api, self.clock.headers);
        let Some(Refusal { headers, body }) = refusal else { return false };
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        // Settled first: the host runs the answer's callbacks before it returns.
        self.settle(RequestOutcome::OverBudget);
        self.answer.status = TOO_MANY_REQUESTS;
        match host::answer(TOO_MANY_REQUESTS, "headroom_over_budget", &headers, &body) {
            Ok(()) => true,
            Err(refused) => {
                self.settings.refused(refused);
                self.answer.status = 0;
                false
            }
        }
    }

    /// Collects the body: looks only at its size until it is complete. While we pause, `size` is the
    /// size of all that has come.
    pub(crate) fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.session.is_some() {
            return self.on_client_bytes(size, end_of_stream);
        }
        let Phase::Collecting { size: collected, held, .. } = &mut self.phase else {
            return Action::Continue;
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
            Phase::Admitting(admitting) => {
                let control_plane = self.settings.config.control_plane.as_ref();
                let deadline = control_plane.map_or(0, |it| u64::from(it.admit_timeout_ms) * NANOS_PER_MS);
                now.saturating_sub(admitting.asked_at) >= deadline.saturating_add(ADMIT_GRACE_NS)
            }
            _ => self.is_session_silent(now),
        }
    }

    /// Ends such a wait: a hold that the host does not support, whose request goes on as it came, an
    /// admission whose answer the host has lost, or a session that nobody uses.
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
                self.resume();
            }
            Phase::Admitting(admitting) => {
                let token = admitting.token;
                self.on_admitted(token, None);
            }
            Phase::Passing => self.end_silent_session(),
        }
    }

    fn resume(&self) {
        if let Err(refused) = host::continue_request() {
            self.settings.refused(refused);
        }
    }

    fn body_complete(&mut self) -> Action {
        let Phase::Collecting { route, treatment, held, size } =
            std::mem::replace(&mut self.phase, Phase::Passing)
        else {
            return Action::Continue;
        };
        self.clock.body_complete = self.settings.now();
        self.forwarded(size);
        let body = Body { route, treatment, held, size };
        if size == 0 {
            self.settle(RequestOutcome::Empty);
        } else if let Err(refused) = self.rewrite(body) {
            self.settle_refused(refused);
        }
        if matches!(self.phase, Phase::Admitting(_)) {
            return Action::Pause;
        }
        self.head = None;
        self.clock.forwarded = self.settings.now();
        Action::Continue
    }

    /// Forwards what the engine makes of the body, or begins to wait for its originals to be stored.
    fn rewrite(&mut self, body: Body) -> host::Result<()> {
        let bytes = body.read()?;
        let (outcome, rewrite) = self.compress(&bytes, &body, usize::MAX);
        if body.treatment.mode != Mode::Optimize {
            drop(outcome);
            return self.forward(&body, rewrite, bytes);
        }
        let admission = self.admission(&outcome);
        let needs = needs(&outcome);
        drop(outcome);
        match admission {
            Admission::Given(outcome) => {
                self.note_admission(outcome);
                self.forward(&body, rewrite, bytes)
            }
            Admission::Missing { lossy_blocks, outcome } => {
                self.note_admission(outcome);
                self.fall_back(bytes, &body, lossy_blocks)
            }
            Admission::Asked { token, sent } => {
                let asked_at = self.settings.now();
                let admitting = Admitting { token, asked_at, sent, needs, body, rewrite, bytes };
                self.phase = Phase::Admitting(Box::new(admitting));
                Ok(())
            }
        }
    }

    /// Forwards a form for which no more originals are needed.
    fn fall_back(&mut self, bytes: Vec<u8>, body: &Body, lossy_blocks: usize) -> host::Result<()> {
        self.settings.metrics.fell_back();
        let (_, rewrite) = self.compress(&bytes, body, lossy_blocks);
        self.forward(body, rewrite, bytes)
    }

    /// What a request in a session leaves as; `None`: as it came. Nothing is left out.
    pub(crate) fn rewrite_message(
        &mut self,
        bytes: &[u8],
        route: &Route,
        treatment: Treatment,
    ) -> Option<Vec<u8>> {
        let body = Body { route: route.clone(), treatment, held: false, size: bytes.len() };
        let (_, rewrite) = self.compress(bytes, &body, 0);
        self.settle(rewrite.outcome);
        self.log_messages(bytes);
        if self.is_worked_out_later() {
            self.work_out_later(route, bytes.to_vec(), rewrite.blocks);
        }
        rewrite.replacement
    }

    fn compress<'b>(&mut self, bytes: &'b [u8], body: &Body, lossy_blocks: usize) -> (Outcome<'b>, Rewrite) {
        let config = &self.settings.config;
        let Treatment { mode, profile } = body.treatment;
        let reversible = config.is_reversible(profile);
        let request = headroom_compress::Request {
            model: body.route.model.as_deref(),
            reversible,
            lossy_blocks,
            retrieve_tool: match config.retrieve_tool {
                _ if !reversible => RetrieveTool::Assume,
                // Whoever adds the tool has to answer its calls.
                RetrieveTool::Add if !body.route.answer_can_be_followed => RetrieveTool::Require,
                configured => configured,
            },
            ..headroom_compress::Request::new(body.route.api)
        };
        let started = self.settings.now();
        let engine = config.engine(profile);
        let read = Read::new(bytes, body.route.api, &engine);
        let parsed = micros(started, self.settings.now());
        let mut outcome = {
            let mut memo = self.settings.memo.borrow_mut();
            read.compress(&request, &engine, &mut memo)
        };
        let spent = micros(started, self.settings.now());
        self.clock.parse_us = self.clock.parse_us.saturating_add(parsed);
        self.clock.compress_us = self.clock.compress_us.saturating_add(spent);
        self.describe(&outcome);
        let replacement = match std::mem::take(&mut outcome.body) {
            Cow::Owned(replacement) if mode == Mode::Optimize => Some(replacement),
            _ => None,
        };
        let replaced = outcome.blocks.iter().any(|it| matches!(it.outcome, BlockOutcome::Compressed { .. }));
        let request_outcome = match outcome.unread {
            Some(Unread::TooLarge) => RequestOutcome::TooLarge,
            Some(Unread::NotUnderstood) => RequestOutcome::NotUnderstood,
            None if mode != Mode::Optimize => RequestOutcome::Audited,
            None if replaced => RequestOutcome::Compressed,
            None => RequestOutcome::Unchanged,
        };
        let added_tool = outcome.added_retrieve_tool;
        let blocks = std::mem::take(&mut outcome.blocks);
        (outcome, Rewrite { replacement, outcome: request_outcome, added_tool, blocks })
    }

    /// Puts a rewrite where the body is. With headers held, their length goes first: while it can still
    /// be undone. `original` is the body as it came.
    fn forward(&mut self, body: &Body, rewrite: Rewrite, original: Vec<u8>) -> host::Result<()> {
        if let Some(replacement) = rewrite.replacement {
            if body.held {
                set_length(replacement.len())?;
            }
            let replaced = host::replace_buffer(Buffer::RequestBody, body.size, &replacement);
            if body.held && replaced.is_err() {
                set_length(body.size)?;
            }
            replaced?;
            if let Some(record) = &mut self.record {
                record.body_bytes_after = replacement.len() as u64;
            }
            if let Some(head) = self.head.take().filter(|_| rewrite.added_tool) {
                let following = Following::new(&self.settings, body.route.api, head, replacement);
                self.following = Some(Box::new(following));
            }
        }
        self.settle(rewrite.outcome);
        self.log_messages(&original);
        if self.is_worked_out_later() {
            self.work_out_later(&body.route, original, rewrite.blocks);
        }
        Ok(())
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

    fn work_out_later(&mut self, route: &Route, body: Vec<u8>, blocks: Vec<Block>) {
        let original = Original { body, api: route.api, model: route.model.clone(), blocks };
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
        record.conversation_id = outcome.conversation_id.clone().unwrap_or_default();
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
            })
            .collect();
    }
}

/// In the place of a host's status: it gave fewer bytes than it had announced.
const SHORT: u32 = u32::MAX;

/// For how much longer than the deadline the host's news of it is waited for.
const ADMIT_GRACE_NS: u64 = 1_000_000_000;

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

/// A name out of a body, cut to a length that a table can show.
pub(crate) fn name(text: &str) -> String {
    text.chars().take(MAX_NAME_BYTES).filter(|c| !c.is_control()).collect()
}
