//! A WebSocket session: what both sides send, and why it ended.

use std::collections::VecDeque;

use headroom_api::v1::{RateLimit, RequestRecord, SessionEnd, WebSocketSession};
use headroom_providers::route::Route;

use crate::deferred::Turn;
use crate::exchange::Exchange;
use crate::frames::{CONTINUATION, Frames, Header, Part, TEXT};
use crate::outgoing::Outgoing;
use crate::rules::Treatment;
use crate::traffic::Traffic;

/// The status of an accepted handshake.
pub(crate) const SWITCHING_PROTOCOLS: u32 = 101;

/// The most requests that wait for their answer at the same time. The provider answers one after another, and
/// Codex sends the next request after the answer to the last. If there are more, the oldest is reported as it
/// is.
const MAX_WAITING: usize = 32;

/// A session and what is known about it.
pub(crate) struct Session {
    pub(crate) record: WebSocketSession,
    pub(crate) route: Route,
    pub(crate) treatment: Treatment,
    /// The common part of its requests' records.
    pub(crate) template: RequestRecord,
    pub(crate) client: Outgoing,
    pub(crate) provider: Events,
    pub(crate) talk: SessionRequests,
    /// When the provider accepted the session. Milliseconds.
    accepted_ms: i64,
    /// When the client's current message began. Nanoseconds.
    pub(crate) message_began: u64,
    /// When the session was last noted for a report. Milliseconds.
    pub(crate) noted_ms: i64,
    /// The side that ended first.
    first_end: Option<Side>,
    timed_out: bool,
}

/// The requests of a session.
#[derive(Default)]
pub(crate) struct SessionRequests {
    /// The conversation of the last request that began one. Requests that continue a response do not repeat
    /// how their conversation began.
    pub(crate) conversation_id: String,
    /// The turn of that request.
    pub(crate) turn: Turn,
    begun: u64,
    answered: u64,
    /// Requests that wait until the current one is answered.
    waiting: VecDeque<Exchange>,
    pub(crate) saved_bytes: u64,
    /// The allowance from the answer to the handshake, until it is in the record of a request.
    pub(crate) rate_limits: Vec<RateLimit>,
}

impl SessionRequests {
    pub(crate) fn request_begun(&mut self) {
        self.begun = self.begun.saturating_add(1);
    }

    pub(crate) fn request_answered(&mut self) {
        self.answered = self.answered.saturating_add(1);
    }

    /// How many requests have begun.
    pub(crate) fn begun(&self) -> u64 {
        self.begun
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a request that waits for the answers before it. Returns whether there are too many.
    pub(crate) fn wait(&mut self, exchange: Exchange) -> bool {
        self.waiting.push_back(exchange);
        self.waiting.len() > MAX_WAITING
    }

    /// The next request to be answered.
    pub(crate) fn next(&mut self) -> Option<Exchange> {
        self.waiting.pop_front()
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Client,
    Provider,
}

/// A piece of what the provider sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ServerPiece {
    /// Part of a text message.
    Text { from: usize, to: usize },
    /// A text message is complete.
    End,
}

/// Reads what the provider sends.
#[derive(Debug)]
pub(crate) struct Events {
    frames: Frames,
    header: Option<Header>,
    /// Whether the current message is readable text.
    text: bool,
    pub(crate) traffic: Traffic,
}

impl Session {
    /// `record` and `template` say where the session comes from. Messages longer than `max_bytes` pass.
    pub(crate) fn new(
        record: WebSocketSession,
        template: RequestRecord,
        route: Route,
        treatment: Treatment,
        max_bytes: usize,
    ) -> Self {
        Self {
            noted_ms: record.started_unix_ms,
            record,
            template,
            route,
            treatment,
            client: Outgoing::new(max_bytes),
            provider: Events::new(),
            talk: SessionRequests::default(),
            accepted_ms: 0,
            message_began: 0,
            first_end: None,
            timed_out: false,
        }
    }

    /// Takes the provider's answer to the handshake. `upstream`: its address, if it is known.
    pub(crate) fn answered(&mut self, status: u32, upstream: Option<String>, now_ms: i64) {
        self.record.status = status;
        if let Some(upstream) = upstream {
            self.record.upstream = upstream;
        }
        self.accepted_ms = now_ms;
    }

    /// Host and path, as far as they are known.
    pub(crate) fn upstream(&self) -> &str {
        &self.record.upstream
    }

    pub(crate) fn is_open(&self) -> bool {
        self.record.status == SWITCHING_PROTOCOLS
    }

    /// Whether the client has sent nothing for longer than the deadline since the session began.
    /// Milliseconds.
    pub(crate) fn is_silent(&self, now_ms: i64, deadline_ms: u32) -> bool {
        let waited = now_ms.saturating_sub(self.accepted_ms);
        deadline_ms > 0
            && self.is_open()
            && !self.timed_out
            && self.client.traffic.bytes == 0
            && waited >= i64::from(deadline_ms)
    }

    pub(crate) fn time_out(&mut self) {
        self.timed_out = true;
    }

    /// Notes that a side has ended its stream, or has announced it.
    pub(crate) fn ends(&mut self, side: Side) {
        self.first_end.get_or_insert(side);
    }

    /// Notes which side has closed first.
    pub(crate) fn notice_close(&mut self) {
        if self.client.traffic.close.is_some() {
            self.ends(Side::Client);
        }
        if self.provider.traffic.close.is_some() {
            self.ends(Side::Provider);
        }
    }

    /// The current state of the session.
    pub(crate) fn snapshot(&self) -> WebSocketSession {
        let (client, provider) = (self.client.traffic, self.provider.traffic);
        WebSocketSession {
            client_frames: client.frames,
            client_bytes: client.bytes,
            server_frames: provider.frames,
            server_bytes: provider.bytes,
            requests: self.talk.begun,
            saved_bytes: self.talk.saved_bytes,
            ..self.record.clone()
        }
    }

    /// Why it has ended; `broken`: the side whose connection the host has seen end, if any.
    pub(crate) fn why(&self, broken: Option<Side>) -> SessionEnd {
        let (client, provider) = (self.client.traffic, self.provider.traffic);
        let first = self.first_end.or(broken);
        if self.timed_out {
            return SessionEnd::ClientTimeout;
        }
        if !self.is_open() && self.record.status != 0 {
            return SessionEnd::UpstreamError;
        }
        match first {
            Some(Side::Client) if client.close.is_some_and(is_error) => return SessionEnd::ClientError,
            Some(Side::Provider) if provider.close.is_some_and(is_error) => return SessionEnd::UpstreamError,
            _ => {}
        }
        if client.broken {
            return SessionEnd::ClientError;
        }
        if provider.broken {
            return SessionEnd::UpstreamError;
        }
        match first {
            None => SessionEnd::Unknown,
            Some(_) if self.talk.begun > 0 && self.talk.begun == self.talk.answered => {
                SessionEnd::ResponseCompleted
            }
            Some(Side::Client) => SessionEnd::ClientDisconnect,
            Some(Side::Provider) => SessionEnd::UpstreamDisconnect,
        }
    }
}

/// Close codes that report an error, by RFC 6455, section 7.4.1, and its registry: 1002, 1003, and some from
/// 1007 on. 1012 and 1013 mean that a server restarts or is busy. Codes from 3000 on belong to the
/// application.
fn is_error(code: u16) -> bool {
    matches!(code, 1002 | 1003 | 1007..=1011 | 1014 | 1015)
}

impl Events {
    fn new() -> Self {
        Self { frames: Frames::of_server(), header: None, text: false, traffic: Traffic::default() }
    }

    /// Bytes are missing, so what follows can no longer be read.
    pub(crate) fn give_up(&mut self) {
        self.traffic.broken = true;
        self.frames.give_up();
    }

    /// Reads `bytes` and passes the texts and ends of messages to `tell`.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut tell: impl FnMut(ServerPiece)) {
        self.traffic.came(bytes);
        let mut rest = bytes;
        loop {
            match self.frames.next(&mut rest) {
                Ok(Some(Part::Header { header, .. })) => self.begin(header),
                Ok(Some(Part::Payload(payload))) => {
                    let to = bytes.len().saturating_sub(rest.len());
                    let from = to.saturating_sub(payload.len());
                    self.payload(payload, (from, to), &mut tell);
                }
                Ok(Some(Part::End)) => self.end(&mut tell),
                Ok(None) => return,
                Err(_) => {
                    self.traffic.broken = true;
                    return;
                }
            }
        }
    }

    fn begin(&mut self, header: Header) {
        self.traffic.begin();
        self.header = Some(header);
        if !header.is_control() {
            if header.opcode != CONTINUATION {
                self.text = header.opcode == TEXT;
            }
            self.text &= !header.extended;
        }
    }

    fn payload(&mut self, payload: &[u8], (from, to): (usize, usize), tell: &mut impl FnMut(ServerPiece)) {
        let Some(header) = self.header else { return };
        self.traffic.payload(&header, payload);
        if self.text && !header.is_control() {
            tell(ServerPiece::Text { from, to });
        }
    }

    fn end(&mut self, tell: &mut impl FnMut(ServerPiece)) {
        let Some(header) = self.header.take() else { return };
        self.traffic.end(&header);
        if self.text && header.last && !header.is_control() {
            tell(ServerPiece::End);
        }
    }
}

#[cfg(test)]
mod tests {
    use headroom_providers::Api;

    use super::*;
    use crate::frames::CLOSE;
    use headroom_providers::path::Path;
    use headroom_providers::route::Target;
    use headroom_providers::routing;

    fn session() -> Session {
        let path = Path::new(b"/v1/responses");
        let target = Target { host: b"", path: &path, is_copilot: false };
        let route = routing::find(b"POST", target, &[]).unwrap();
        assert_eq!(route.api, Api::OpenAiResponses);
        let record = WebSocketSession { status: SWITCHING_PROTOCOLS, ..WebSocketSession::default() };
        Session::new(record, RequestRecord::default(), route, Treatment::default(), 1 << 20)
    }

    fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let length = payload.len() as u64;
        Header { last: true, extended: false, opcode, mask: None, length }.write(&mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let length = payload.len() as u64;
        Header { last: true, extended: false, opcode, mask: Some([0; 4]), length }.write(&mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn client_says(session: &mut Session, bytes: &[u8]) {
        session.client.feed(bytes, &mut Vec::new(), |_| None);
        session.notice_close();
    }

    fn provider_says(session: &mut Session, bytes: &[u8]) {
        session.provider.feed(bytes, |_| {});
        session.notice_close();
    }

    #[test]
    fn the_text_of_events_is_found_wherever_they_are_cut() {
        let event = br#"{"type":"response.completed","response":{}}"#;
        let (first, second) = event.split_at(9);
        let fragment = |last, opcode, payload: &[u8]| {
            let length = payload.len() as u64;
            let mut bytes = Vec::new();
            Header { last, extended: false, opcode, mask: None, length }.write(&mut bytes);
            [&bytes, payload].concat()
        };
        let fragments =
            [fragment(false, TEXT, first), server_frame(9, b"?"), fragment(true, CONTINUATION, second)];
        for bytes in [server_frame(TEXT, event), fragments.concat()] {
            for at in 0..bytes.len() {
                let mut events = Events::new();
                let mut read = Vec::new();
                let mut ends = 0;
                for piece in [&bytes[..at], &bytes[at..]] {
                    events.feed(piece, |said| match said {
                        ServerPiece::Text { from, to } => read.extend_from_slice(&piece[from..to]),
                        ServerPiece::End => ends += 1,
                    });
                }
                assert_eq!((read.as_slice(), ends), (&event[..], 1));
            }
        }
    }

    #[test]
    fn who_leaves_first_and_how_decides_why_a_session_ended() {
        let went_away = [0x03, 0xe9];
        let protocol_error = [0x03, 0xea];

        let mut left = session();
        client_says(&mut left, &client_frame(TEXT, b"x"));
        left.talk.request_begun();
        client_says(&mut left, &client_frame(CLOSE, &went_away));
        provider_says(&mut left, &server_frame(CLOSE, &protocol_error));
        assert_eq!(left.why(None), SessionEnd::ClientDisconnect);
        left.talk.request_answered();
        assert_eq!(left.why(None), SessionEnd::ResponseCompleted);

        let mut closed = session();
        provider_says(&mut closed, &server_frame(CLOSE, &went_away));
        client_says(&mut closed, &client_frame(CLOSE, &went_away));
        assert_eq!(closed.why(None), SessionEnd::UpstreamDisconnect);

        let mut refused = session();
        provider_says(&mut refused, &server_frame(CLOSE, &protocol_error));
        assert_eq!(refused.why(None), SessionEnd::UpstreamError);

        let mut nonsense = session();
        client_says(&mut nonsense, b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(nonsense.why(Some(Side::Provider)), SessionEnd::ClientError);

        let mut complained = session();
        client_says(&mut complained, &client_frame(CLOSE, &protocol_error));
        assert_eq!(complained.why(None), SessionEnd::ClientError);

        let mut handshake = session();
        handshake.answered(403, None, 0);
        assert_eq!(handshake.why(Some(Side::Client)), SessionEnd::UpstreamError);

        assert_eq!(session().why(Some(Side::Client)), SessionEnd::ClientDisconnect);
        assert_eq!(session().why(Some(Side::Provider)), SessionEnd::UpstreamDisconnect);
        assert_eq!(session().why(None), SessionEnd::Unknown);

        let mut silent = session();
        silent.time_out();
        assert_eq!(silent.why(Some(Side::Client)), SessionEnd::ClientTimeout);
    }

    #[test]
    fn only_a_session_without_a_first_frame_is_silent() {
        let mut session = session();
        assert!(!session.is_silent(i64::MAX, 0), "no deadline");
        session.answered(SWITCHING_PROTOCOLS, None, 1_000);
        assert!(!session.is_silent(1_099, 100));
        assert!(session.is_silent(1_100, 100));
        client_says(&mut session, b"\x81");
        assert!(!session.is_silent(2_000, 100));
    }
}
