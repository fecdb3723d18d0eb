//! The stream of a WebSocket session: requests in the client's messages are compressed one by one, and each
//! has a record. Everything else passes, and is counted.
//!
//! Only lossless replacements are made: what a request left out could not be fetched here, because the filter
//! cannot answer a call in the middle of a session. A request that continues a response carries only what is
//! new, and each replacement depends on that request alone (I3), so it fits what the provider has kept of the
//! earlier ones.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use headroom_api::names::session_end_name;
use headroom_api::v1::{RequestOutcome, RequestRecord, WebSocketSession};
use headroom_providers::openai_responses::session::{ends_answer, is_request, request_in};
use headroom_providers::route::Route;
use proxy_wasm::types::{Action, BufferType, MapType};
use serde::Deserialize;

use crate::answer::Answer;
use crate::config::Config;
use crate::deferred::Turn;
use crate::exchange::{Clock, Exchange};
use crate::host::{self, NANOS_PER_MS, RefusedCall};
use crate::mode::Mode;
use crate::name::name;
use crate::outgoing::Message;
use crate::response;
use crate::rewrite::rewrite_message;
use crate::rules::Treatment;
use crate::session::{SWITCHING_PROTOCOLS, ServerPiece, Session, SessionRequests, Side};
use crate::settings::Settings;
use crate::upstream;

/// The most bytes of messages that the sessions of a VM hold together: four of the longest, with default
/// limits. Further messages pass.
const MAX_HELD_BYTES: usize = 64 << 20;
/// How often the sidecar gets news of an active session.
const NOTE_EVERY_MS: i64 = 5_000;
/// How often silent sessions are searched for, if nothing else needs ticks. Milliseconds.
const TICK_MS: u32 = 1_000;
const OK: u32 = 200;

/// The field of a request that matters here.
#[derive(Deserialize)]
struct Continues<'e> {
    #[serde(borrow)]
    previous_response_id: Option<Cow<'e, str>>,
}

/// The stream of a session.
pub(crate) struct WebSocket {
    settings: Rc<Settings>,
    session: Session,
    requests: Requests,
}

/// The requests of a session that have not been reported.
struct Requests {
    settings: Rc<Settings>,
    /// The one that is being answered: at first the request that opens the session.
    current: Option<Exchange>,
}

impl WebSocket {
    /// Begins a session, whose request goes on at once.
    pub(crate) fn begin(
        mut exchange: Exchange,
        route: Route,
        treatment: Treatment,
        upstream: String,
    ) -> Self {
        let settings = Rc::clone(&exchange.settings);
        let handshake = &exchange.record;
        let config = &settings.config;
        if treatment.mode != Mode::Off {
            // A compressed message cannot be read; a client that may not compress sends plain messages.
            if let Err(refused) =
                host::remove_header(MapType::HttpRequestHeaders, b"sec-websocket-extensions")
            {
                settings.refused(refused);
            }
        }
        if config.first_frame_timeout_ms > 0 {
            settings.tick_every(TICK_MS);
        }
        let max_bytes = if treatment.mode == Mode::Off { 0 } else { config.engine.max_body_bytes };
        let client = host::property("source\0address").unwrap_or_default();
        let record = WebSocketSession {
            session_id: handshake.request_id.clone(),
            started_unix_ms: handshake.started_unix_ms,
            active_unix_ms: handshake.started_unix_ms,
            provider: handshake.provider.clone(),
            stack: handshake.stack.clone(),
            tenant: handshake.tenant.clone(),
            project: handshake.project.clone(),
            upstream,
            client: name(&String::from_utf8_lossy(&client)),
            ..WebSocketSession::default()
        };
        let template = RequestRecord { session_id: handshake.request_id.clone(), ..handshake.clone() };
        let session = Session::new(record, template, route, treatment, max_bytes);
        settings.note_session(session.snapshot());
        // The record if this stays the only request: the provider refuses the session, or the client leaves
        // before it answers.
        let off = treatment.mode == Mode::Off;
        exchange.settle(if off { RequestOutcome::Bypassed } else { RequestOutcome::Empty });
        let requests = Requests { settings: Rc::clone(&settings), current: Some(exchange) };
        Self { settings, session, requests }
    }

    /// How many open requests will have a record. In an accepted session, the request that opened it has
    /// none.
    pub(crate) fn open_records(&self) -> usize {
        self.session.talk.waiting() + usize::from(self.requests.current.is_some() && self.session.is_open())
    }

    /// The answer to the request for the session. `Err`: the session was refused, and this is its ordinary
    /// request.
    pub(crate) fn on_answer(mut self) -> Result<Self, Option<Box<Exchange>>> {
        let status = match &mut self.requests.current {
            Some(handshake) => {
                response::read_headers(handshake);
                self.session.talk.rate_limits = handshake.answer.rate_limits().to_vec();
                handshake.answer.status
            }
            None => 0,
        };
        let upstream = upstream_url(&self.settings.config, self.session.upstream());
        self.session.answered(status, upstream, self.now_ms());
        if status != SWITCHING_PROTOCOLS {
            let handshake = self.requests.current.take().map(Box::new);
            self.end();
            return Err(handshake);
        }
        self.settings.metrics.session_opened();
        self.settings.note_session(self.session.snapshot());
        self.requests.current = None;
        Ok(self)
    }

    /// Takes what the client sends. Never pauses the stream: messages are held in the VM.
    pub(crate) fn on_client_bytes(&mut self, size: usize, end_of_stream: bool) -> Action {
        if let Err(refused) = self.client_bytes(size, end_of_stream) {
            self.settings.refused(refused);
        }
        self.note_activity();
        Action::Continue
    }

    fn client_bytes(&mut self, size: usize, end_of_stream: bool) -> host::Result<()> {
        let Self { settings, session, requests } = self;
        let hold = |before: usize, now: usize| settings.requests.memory.exchange(before, now);
        let held_before = session.client.held_bytes();
        let mut out = Vec::new();
        let bytes = match read(BufferType::HttpRequestBody, size) {
            Ok(bytes) => bytes,
            Err(refused) => {
                // Bytes are missing, so nothing after them can be read. What is held goes first.
                session.client.give_up(&mut out);
                hold(held_before, 0);
                if !out.is_empty() && session.treatment.mode != Mode::Off {
                    host::replace_buffer(BufferType::HttpRequestBody, 0, &out)?;
                }
                return Err(refused);
            }
        };
        if !session.client.is_in_message() {
            session.message_began = settings.now();
        }
        let (begun, saved) = (session.talk.begun(), session.talk.saved_bytes);
        requests.feed(session, &bytes, &mut out);
        hold(held_before, session.client.held_bytes());
        if end_of_stream || settings.requests.memory.used() > MAX_HELD_BYTES {
            let held = session.client.held_bytes();
            session.client.release(&mut out);
            hold(held, 0);
        }
        if end_of_stream {
            session.client.flush(&mut out);
            session.ends(Side::Client);
        }
        // If the mode is `off`, even an incomplete header passes at once.
        if out == bytes || session.treatment.mode == Mode::Off {
            return Ok(());
        }
        let Err(refused) = host::replace_buffer(BufferType::HttpRequestBody, size, &out) else {
            return Ok(());
        };
        // These bytes pass as they came, and nothing after them is read.
        hold(session.client.held_bytes(), 0);
        session.client.give_up(&mut Vec::new());
        session.talk.saved_bytes = saved;
        if session.talk.begun() > begun
            && let Some(current) = &mut requests.current
        {
            current.settle_refused(refused);
        }
        if held_before > 0 {
            // The bytes that were held before them cannot be sent any more.
            host::close_stream()?;
        }
        Err(refused)
    }

    /// Takes what the provider sends. It passes as it comes.
    pub(crate) fn on_provider_bytes(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Self { settings, session, requests } = self;
        match read(BufferType::HttpResponseBody, size) {
            Ok(bytes) => {
                let Session { provider, talk, .. } = session;
                provider.feed(&bytes, |said| match said {
                    ServerPiece::Text { from, to } => requests.hear(bytes.get(from..to).unwrap_or_default()),
                    ServerPiece::End => requests.heard(talk),
                });
            }
            Err(refused) => {
                session.provider.give_up();
                settings.refused(refused);
            }
        }
        if end_of_stream {
            session.ends(Side::Provider);
        }
        self.note_activity();
        Action::Continue
    }

    fn note_activity(&mut self) {
        self.session.notice_close();
        let now = self.now_ms();
        let overdue = now.saturating_sub(self.session.noted_ms) >= NOTE_EVERY_MS;
        self.session.record.active_unix_ms = now;
        if overdue {
            self.session.noted_ms = now;
            self.settings.note_session(self.session.snapshot());
        }
    }

    fn now_ms(&self) -> i64 {
        unix_ms(self.settings.now())
    }

    /// Whether the client has opened the session and not used it.
    pub(crate) fn is_silent(&self, now: u64) -> bool {
        self.session.is_silent(unix_ms(now), self.settings.config.first_frame_timeout_ms)
    }

    /// Notes that the session ends because of that. Both sides see their connection end without a close
    /// frame: Envoy gives no buffer for one while nothing is being sent, and drops the body of a local answer
    /// after a 101.
    pub(crate) fn time_out(&mut self) {
        self.session.time_out();
    }

    /// The end of the session, however it came.
    pub(crate) fn end(mut self) {
        let Self { settings, session, requests } = &mut self;
        settings.requests.memory.exchange(session.client.held_bytes(), 0);
        if session.is_open() {
            requests.end(session);
        }
        let end = session.why(broken_side());
        let mut snapshot = session.snapshot();
        snapshot.ended_unix_ms = unix_ms(settings.now());
        snapshot.set_end(end);
        if session.is_open() {
            let milliseconds = snapshot.ended_unix_ms.saturating_sub(snapshot.started_unix_ms);
            settings.metrics.session_ended(end, u32::try_from(milliseconds).unwrap_or(u32::MAX));
        }
        log::info!(
            "headroom: websocket session {}: {}, {} requests, frames {} from the client and {} to it, bytes \
                 {} and {}",
            snapshot.session_id,
            session_end_name(end),
            snapshot.requests,
            snapshot.client_frames,
            snapshot.server_frames,
            snapshot.client_bytes,
            snapshot.server_bytes,
        );
        settings.note_session(snapshot);
        requests.finish_current();
    }
}

impl Requests {
    /// Reads what the client sends, and appends what is sent instead.
    fn feed(&mut self, session: &mut Session, bytes: &[u8], out: &mut Vec<u8>) {
        let Session { client, talk, route, treatment, template, message_began, .. } = session;
        let (template, treatment) = ((&*template, *message_began), *treatment);
        client.feed(bytes, out, |message| match &message {
            Message::Whole(text) => {
                let request = request_in(text)?;
                self.begin(&message, template, talk, |exchange, talk| {
                    shorter(exchange, text, request, (route, treatment), talk)
                })
            }
            Message::Passed(passing) if is_request(passing.scanner()) => {
                let off = treatment.mode == Mode::Off;
                let outcome = if off { RequestOutcome::Bypassed } else { RequestOutcome::TooLarge };
                self.begin(&message, template, talk, |exchange, _| {
                    exchange.settle(outcome);
                    None
                })
            }
            Message::Passed(_) => None,
        });
    }

    /// Begins the exchange of a request, which is answered after those before it. `run` returns the
    /// replacement of the message and its outcome.
    fn begin(
        &mut self,
        message: &Message<'_>,
        (template, began): (&RequestRecord, u64),
        talk: &mut SessionRequests,
        run: impl FnOnce(&mut Exchange, &mut SessionRequests) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        let settings = Rc::clone(&self.settings);
        let now = settings.now();
        let (bytes, model) = match message {
            Message::Whole(text) => (text.len() as u64, String::new()),
            Message::Passed(passing) => (passing.bytes(), name(passing.scanner().found().model())),
        };
        let record = RequestRecord {
            request_id: settings.next_request_id(),
            started_unix_ms: unix_ms(began),
            body_bytes_before: bytes,
            body_bytes_after: bytes,
            model,
            ..template.clone()
        };
        let clock = Clock { headers: began, body_complete: now, forwarded: now, ..Clock::default() };
        talk.request_begun();
        let mut exchange =
            Exchange::new(settings, record, clock, Answer::of_session(std::mem::take(&mut talk.rate_limits)));
        let replacement = run(&mut exchange, talk);
        exchange.clock.forwarded = self.settings.now();
        if self.current.is_none() {
            self.current = Some(exchange);
        } else if talk.wait(exchange) {
            self.finish_current();
            self.answer_next(talk);
        }
        replacement
    }

    /// From now on the provider's events answer the next request.
    fn answer_next(&mut self, talk: &mut SessionRequests) {
        if let Some(next) = talk.next() {
            self.current = Some(next);
        }
    }

    fn finish_current(&mut self) {
        if let Some(exchange) = self.current.take() {
            exchange.finish();
        }
    }

    /// Reads part of an event. It is ignored if no request is open.
    fn hear(&mut self, text: &[u8]) {
        let Some(exchange) = &mut self.current else { return };
        if exchange.clock.first_byte == 0 {
            exchange.clock.first_byte = exchange.settings.now();
        }
        exchange.answer.read(text);
    }

    /// The end of an event, which may be the end of an answer.
    fn heard(&mut self, talk: &mut SessionRequests) {
        let Some(exchange) = &mut self.current else { return };
        let (ends, status) = exchange.answer.event(ends_answer);
        if ends {
            exchange.answer.complete(status.unwrap_or(OK), exchange.settings.config.read_usage);
            talk.request_answered();
            self.finish_current();
            self.answer_next(talk);
        }
    }

    /// Reports requests without an answer, and the one whose answer is incomplete.
    fn end(&mut self, session: &mut Session) {
        self.finish_current();
        while let Some(next) = session.talk.next() {
            next.finish();
        }
        let unfinished = session.client.unfinished();
        if let Some(passing) = unfinished.filter(|passing| is_request(passing.scanner())) {
            let off = session.treatment.mode == Mode::Off;
            let outcome = if off { RequestOutcome::Bypassed } else { RequestOutcome::Aborted };
            let template = (&session.template, session.message_began);
            self.begin(&Message::Passed(&passing), template, &mut session.talk, |exchange, _| {
                exchange.settle(outcome);
                None
            });
            self.finish_current();
        }
    }
}

/// The replacement of a request, if there is one.
fn shorter(
    exchange: &mut Exchange,
    text: &[u8],
    request: Range<usize>,
    (route, treatment): (&Route, Treatment),
    talk: &mut SessionRequests,
) -> Option<Vec<u8>> {
    let (before, rest) = text.split_at_checked(request.start)?;
    let (request, after) = rest.split_at_checked(request.end.checked_sub(request.start)?)?;
    let replacement = rewrite_message(exchange, request, route, treatment);
    name_conversation(exchange, request, talk);
    let replacement = [before, &replacement?, after].concat();
    exchange.record.body_bytes_after = replacement.len() as u64;
    let saved = text.len().saturating_sub(replacement.len());
    talk.saved_bytes = talk.saved_bytes.saturating_add(saved as u64);
    Some(replacement)
}

/// Names conversation and turn. A request that continues a response does not repeat how they began.
fn name_conversation(exchange: &mut Exchange, request: &[u8], talk: &mut SessionRequests) {
    let record = &mut exchange.record;
    let continues = serde_json::from_slice::<Continues<'_>>(request);
    if continues.is_ok_and(|it| it.previous_response_id.is_some()) && !talk.conversation_id.is_empty() {
        record.conversation_id.clone_from(&talk.conversation_id);
    } else {
        talk.conversation_id.clone_from(&record.conversation_id);
        talk.turn = Turn::default();
    }
    if let Some(later) = &mut exchange.later {
        later.within(&talk.turn);
    }
}

/// The side whose connection the host has seen end. For a session without a close frame this is the only
/// sign.
fn broken_side() -> Option<Side> {
    // Bits of Envoy's response flags, `CoreResponseFlag` in its stream_info.h.
    const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
    const UPSTREAM_CONNECTION_TERMINATION: u64 = 1 << 6;
    const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 1 << 14;
    let bytes = host::property("response\0flags").ok()?;
    let flags = u64::from_le_bytes(*bytes.first_chunk()?);
    if flags & DOWNSTREAM_CONNECTION_TERMINATION != 0 {
        return Some(Side::Client);
    }
    (flags & (UPSTREAM_REMOTE_RESET | UPSTREAM_CONNECTION_TERMINATION) != 0).then_some(Side::Provider)
}

/// Where a session has gone: to the host that the configuration names for its cluster, with the path after
/// the rewrite of its route, else to the other end of the connection. `asked`: host and path from the client.
fn upstream_url(config: &Config, asked: &str) -> Option<String> {
    let path = asked.get(asked.find('/')?..)?;
    let cluster = upstream::cluster().ok()?;
    let known = config.providers.iter().find(|it| {
        it.cluster.as_bytes() == cluster && it.authority.is_some() && it.rest(path.as_bytes()).is_some()
    });
    let url = match known {
        Some(provider) => {
            let rest = String::from_utf8_lossy(provider.rest(path.as_bytes())?).into_owned();
            [provider.authority.as_deref().unwrap_or_default(), &provider.path_prefix, &rest].concat()
        }
        None => upstream::address()? + path,
    };
    Some(name(&url))
}

/// Everything that has come with this call.
fn read(buffer: BufferType, size: usize) -> host::Result<Vec<u8>> {
    // Stands for a host status: the host gave fewer bytes than it had announced.
    const SHORT: u32 = u32::MAX;
    let bytes = if size == 0 { Vec::new() } else { host::buffer(buffer, size)? };
    if bytes.len() == size { Ok(bytes) } else { Err(RefusedCall { call: "get_buffer", status: SHORT }) }
}

fn unix_ms(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds / NANOS_PER_MS).unwrap_or_default()
}
