//! WebSocket sessions of OpenAI Responses, as Codex has them: what passes is counted in both directions, and
//! each request in a session is compressed like a body.
//!
//! A message of the client waits until it is complete, within `max_body_bytes`; what comes from the provider
//! never waits. Nothing is left out of a request, since nobody could answer for it in the middle of the events
//! that come back.

use headroom_api::v1::{RequestOutcome, Tokens, WebSocketSession};

use crate::config::Mode;
use crate::host::{self, Action, Buffer, Level, Map};
use crate::route::Route;
use crate::rules::Treatment;
use crate::stream::{Stream, micros};
use crate::websocket::{Frames, Look, Message, Outgoing};

/// A session, from its request to its end.
#[derive(Debug)]
pub(crate) struct Session {
    route: Route,
    treatment: Treatment,
    /// When the provider agreed; 0 before that.
    opened: u64,
    client: Frames,
    provider: Frames,
    outgoing: Outgoing,
    /// Fewer bytes of the client are of no use.
    wanted: usize,
    /// Messages that were requests.
    requests: u32,
    outcome: RequestOutcome,
    tokens: Option<Tokens>,
    /// Who has ended the session first.
    ended: Option<Side>,
    /// It was ended for its silence.
    timed_out: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    Client,
    Provider,
}

/// What a request is called in a session.
const REQUEST: &[u8] = b"\"response.create\"";

/// How often silence is looked for where there is no other reason for a tick. Milliseconds.
const TICK_MS: u32 = 1_000;

const SWITCHING_PROTOCOLS: u32 = 101;
const NANOS_PER_MS: u64 = 1_000_000;

impl Session {
    fn is_open(&self) -> bool {
        self.opened != 0
    }

    /// Whether the client has said nothing for so long since the session is open.
    fn is_silent(&self, now: u64, milliseconds: u32) -> bool {
        let waited = now.saturating_sub(self.opened);
        milliseconds > 0
            && self.is_open()
            && self.client.bytes == 0
            && self.wanted == 0
            && waited >= u64::from(milliseconds) * NANOS_PER_MS
    }

    fn note_end(&mut self, side: Side) {
        self.ended.get_or_insert(side);
    }

    /// Why it is over, in the original's words.
    fn cause(&self, status: u32) -> &'static str {
        if self.timed_out {
            return "client_timeout";
        }
        if !self.is_open() {
            // Refused, or not answered at all.
            return if status == 0 { "unknown" } else { "upstream_error" };
        }
        if self.client.broken {
            return "client_error";
        }
        let ended = self.ended.or_else(|| {
            // No close frame and no end: a connection was cut, and the host may know which.
            let details = host::property("response\0code_details").ok()?;
            let details = String::from_utf8_lossy(&details).into_owned();
            let of = |name| details.contains(name);
            of("downstream").then_some(Side::Client).or_else(|| of("upstream").then_some(Side::Provider))
        });
        match ended {
            Some(Side::Client) if !self.client.closed_well() => "client_error",
            Some(Side::Provider) if !self.provider.closed_well() || self.provider.failed => "upstream_error",
            Some(_) if self.provider.completed => "response_completed",
            Some(Side::Client) => "client_disconnect",
            Some(Side::Provider) => "upstream_disconnect",
            None if self.provider.completed => "response_completed",
            None => "unknown",
        }
    }
}

impl Stream {
    /// Begins a session, whose request goes on at once.
    pub(crate) fn begin_session(&mut self, route: Route, treatment: Treatment) {
        let config = &self.settings.config;
        if treatment.mode != Mode::Off {
            // Compressed messages could not be read. Without the offer the provider does not compress.
            if let Err(refused) = host::remove_header(Map::Request, b"sec-websocket-extensions") {
                self.settings.refused(refused);
            }
        }
        if config.first_frame_timeout_ms > 0
            && !self.settings.ticks()
            && let Err(refused) = host::set_tick_period(TICK_MS)
        {
            self.settings.refused(refused);
        }
        let outcome =
            if treatment.mode == Mode::Off { RequestOutcome::Bypassed } else { RequestOutcome::Empty };
        self.session = Some(Box::new(Session {
            route,
            treatment,
            opened: 0,
            client: Frames::default(),
            provider: Frames::default(),
            outgoing: Outgoing::default(),
            wanted: 0,
            requests: 0,
            outcome,
            tokens: None,
            ended: None,
            timed_out: false,
        }));
    }

    /// The provider has agreed to a session, or not.
    pub(crate) fn session_answered(&mut self) {
        let (status, now) = (self.answer.status, self.settings.now());
        let Some(session) = &mut self.session else { return };
        if status == SWITCHING_PROTOCOLS {
            session.opened = now;
            self.settings.metrics.session_opened();
        }
    }

    /// Bytes of the client.
    pub(crate) fn on_session_request(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(mut session) = self.session.take() else { return Action::Continue };
        let action = self.client_sent(&mut session, size, end_of_stream);
        if end_of_stream || session.client.closed.is_some() {
            session.note_end(Side::Client);
        }
        self.session = Some(session);
        action
    }

    fn client_sent(&mut self, session: &mut Session, size: usize, end_of_stream: bool) -> Action {
        if size == 0 {
            return Action::Continue;
        }
        if size < session.wanted && !end_of_stream {
            return Action::Pause;
        }
        session.wanted = 0;
        let bytes = match host::buffer(Buffer::RequestBody, size) {
            Ok(bytes) if bytes.len() == size => bytes,
            Ok(_) => {
                session.outgoing.lose();
                return Action::Continue;
            }
            Err(refused) => {
                self.settings.refused(refused);
                session.outgoing.lose();
                return Action::Continue;
            }
        };
        if session.treatment.mode != Mode::Off {
            let most = self.settings.config.engine.max_body_bytes;
            match session.outgoing.look(&bytes, most) {
                Look::Wait(wanted) if !end_of_stream => {
                    session.wanted = wanted;
                    return Action::Pause;
                }
                Look::Wait(_) => session.outgoing.lose(),
                Look::Go(messages) => self.replace_messages(session, &bytes, &messages),
            }
        }
        session.client.pass(&bytes);
        Action::Continue
    }

    /// Puts shorter forms of the requests among these messages where they stand.
    fn replace_messages(&mut self, session: &mut Session, bytes: &[u8], messages: &[Message]) {
        let mut new = Vec::new();
        let mut from = 0;
        for message in messages {
            let Some(shorter) = self.shorter(session, &message.payload) else { continue };
            new.extend_from_slice(bytes.get(from..message.range.start).unwrap_or_default());
            new.extend(message.frame(&shorter));
            from = message.range.end;
        }
        if from == 0 {
            return;
        }
        new.extend_from_slice(bytes.get(from..).unwrap_or_default());
        if let Err(refused) = host::replace_buffer(Buffer::RequestBody, bytes.len(), &new) {
            self.settings.refused(refused);
            session.outcome = RequestOutcome::HostError;
        }
    }

    /// What a request leaves as; `None`: as it came.
    fn shorter(&mut self, session: &mut Session, payload: &[u8]) -> Option<Vec<u8>> {
        if !payload.windows(REQUEST.len()).any(|window| window == REQUEST) {
            return None;
        }
        session.requests = session.requests.saturating_add(1);
        let (shorter, outcome) = self.rewrite_message(payload, &session.route, session.treatment);
        // One that is compressed says what the session was worth; until then the last one speaks.
        if session.outcome != RequestOutcome::Compressed {
            session.outcome = outcome;
        }
        let record = self.record.as_mut()?;
        record.body_bytes_before = record.body_bytes_before.saturating_add(payload.len() as u64);
        let left = shorter.as_ref().map_or(payload.len(), Vec::len);
        record.body_bytes_after = record.body_bytes_after.saturating_add(left as u64);
        if let Some(tokens) = record.tokens.take() {
            session.tokens = Some(match session.tokens.take() {
                Some(sum) => sum_of(sum, tokens),
                None => tokens,
            });
        }
        shorter
    }

    /// Bytes of the provider. They never wait.
    pub(crate) fn on_session_response(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(session) = &mut self.session else { return Action::Continue };
        if size > 0 && session.is_open() {
            match host::buffer(Buffer::ResponseBody, size) {
                Ok(bytes) => session.provider.pass(&bytes),
                Err(refused) => self.settings.refused(refused),
            }
        }
        if end_of_stream || session.provider.closed.is_some() {
            session.note_end(Side::Provider);
        }
        Action::Continue
    }

    /// Whether the client has opened a session and not used it.
    pub(crate) fn is_session_silent(&self, now: u64) -> bool {
        let limit = self.settings.config.first_frame_timeout_ms;
        self.session.as_ref().is_some_and(|session| session.is_silent(now, limit))
    }

    /// Ends such a session. A close frame cannot be sent from here, so both sides see their connection end.
    pub(crate) fn end_silent_session(&mut self) {
        if let Some(session) = &mut self.session {
            session.timed_out = true;
        }
        // The host ends the stream inside of the call, and what is known of it has to be told before.
        self.finish();
        if let Err(refused) = host::close_stream() {
            self.settings.refused(refused);
        }
    }

    /// Writes what is known of a session into its record.
    pub(crate) fn finish_session(&mut self) {
        let Some(session) = self.session.take() else { return };
        let cause = session.cause(self.answer.status);
        let now = self.settings.now();
        if session.is_open() {
            self.settings.metrics.session_ended(cause, micros(session.opened, now) / 1_000);
        }
        if let Some(record) = &mut self.record {
            record.tokens = session.tokens;
            host::log(
                Level::Info,
                &format!(
                    "headroom: websocket session {}: {cause}, {} requests, frames {} from the client and {} to \
                     it, bytes {} and {}",
                    record.request_id,
                    session.requests,
                    session.client.frames,
                    session.provider.frames,
                    session.client.bytes,
                    session.provider.bytes,
                ),
            );
            record.websocket = Some(WebSocketSession {
                opened: session.opened != 0,
                client_frames: session.client.frames,
                server_frames: session.provider.frames,
                client_bytes: session.client.bytes,
                server_bytes: session.provider.bytes,
                requests: session.requests,
                termination_cause: cause.to_owned(),
            });
        }
        let unread = session.outcome == RequestOutcome::Empty && session.outgoing.is_lost();
        self.settle(if unread { RequestOutcome::NotUnderstood } else { session.outcome });
    }
}

fn sum_of(sum: Tokens, with: Tokens) -> Tokens {
    Tokens {
        before: sum.before.saturating_add(with.before),
        after: sum.after.saturating_add(with.after),
        tool_outputs_before: sum.tool_outputs_before.saturating_add(with.tool_outputs_before),
        tool_outputs_after: sum.tool_outputs_after.saturating_add(with.tool_outputs_after),
        tool_outputs_new_before: sum.tool_outputs_new_before.saturating_add(with.tool_outputs_new_before),
        tool_outputs_new_after: sum.tool_outputs_new_after.saturating_add(with.tool_outputs_new_after),
        ..with
    }
}
