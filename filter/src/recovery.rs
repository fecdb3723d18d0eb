//! Recovery: a request that the provider refuses because of a changed prefix is sent once more, so that the
//! provider drops the thinking that does not fit instead.
//!
//! Putting Headroom in front of running conversations, new forms, another configuration: each changes prefixes once,
//! and Anthropic may have bound thinking to them. The answer's headers are held while the request goes out again with
//! `thinking.block_binding.prefix_mismatch_behavior: "drop_block"`; a 200 takes the place of the refusal, anything
//! else lets it go. Only where the filter has changed a request that carries thinking: what a client breaks itself is
//! for it to know. What the client says of `block_binding` stays.

use std::collections::{HashSet, VecDeque};

use headroom_providers::anthropic::recovery::{BETA, BETA_HEADER, body_that_drops};

use crate::host::{self, Action, Buffer, Level, Map};
use crate::memory::Room;
use crate::sent::{HttpAnswer, lists};
use crate::stream::Stream;

/// Conversations that are remembered to need it.
const MAX_CONVERSATIONS: usize = 4_096;

/// A refused request that has been sent once more.
pub(crate) struct Recovery {
    state: State,
    /// The refusal's body has begun to come, and waits.
    body_waits: bool,
    /// For the second answer.
    room: Room,
}

enum State {
    Asking {
        token: u32,
    },
    /// The second answer is followed by the tool loop.
    Following,
    /// The refusal's body has not begun; this goes in its place.
    Ready(Vec<u8>),
    /// What still comes of the refusal's body is dropped.
    Delivered,
}

/// Conversations that have needed it, per VM. To forget one costs one more refusal.
#[derive(Debug, Default)]
pub(crate) struct Recoveries {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Recoveries {
    pub(crate) fn has_any(&self) -> bool {
        !self.known.is_empty()
    }

    fn has(&self, conversation: &str) -> bool {
        self.known.contains(conversation)
    }

    fn add(&mut self, conversation: &str) {
        if conversation.is_empty() || !self.known.insert(conversation.to_owned()) {
            return;
        }
        self.order.push_back(conversation.to_owned());
        if self.order.len() > MAX_CONVERSATIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl Recovery {
    pub(crate) fn waits_for(&self, token: u32) -> bool {
        matches!(self.state, State::Asking { token: of } if of == token)
    }
}

impl Stream {
    /// Adds the header that what the body may ask for needs, before it is known whether it will.
    pub(crate) fn allow_recovery(&mut self, headers: Option<&host::Headers>) {
        let Some(headers) = headers else { return };
        let listed = headers.iter().find(|(name, _)| *name == BETA_HEADER.as_bytes()).map(|(_, value)| value);
        let value = match listed {
            Some(list) if lists(list, BETA) => return,
            Some(list) => [list, b",", BETA].concat(),
            None => BETA.to_vec(),
        };
        match host::set_header(Map::Request, BETA_HEADER, &value) {
            Ok(()) => self.has_beta = true,
            Err(refused) => self.settings.refused(refused),
        }
    }

    /// The body of a request whose conversation has needed a recovery before.
    pub(crate) fn recovered_before(&self, body: &[u8]) -> Option<Vec<u8>> {
        let conversation = &self.record.as_ref()?.conversation_id;
        let known = self.has_beta && self.settings.requests.recoveries.borrow().has(conversation);
        known.then(|| body_that_drops(body)).flatten()
    }

    /// Sends a refused request once more. False: the refusal goes to the client.
    pub(crate) fn recover(&mut self, end_of_stream: bool) -> bool {
        if self.answer.status != BAD_REQUEST || end_of_stream || self.recovery.is_some() {
            return false;
        }
        let Some(sent) = self.sent.as_mut() else { return false };
        if !self.is_recoverable {
            return false;
        }
        let Some(body) = body_that_drops(&sent.body) else { return false };
        sent.note_cluster(&self.settings);
        sent.head().add(BETA_HEADER.as_bytes(), BETA);
        let Some(token) = sent.send(&self.settings, body) else { return false };
        self.recovery = Some(Recovery {
            state: State::Asking { token },
            body_waits: false,
            room: self.settings.requests.memory.no_room(),
        });
        true
    }

    /// A piece of the refusal's body.
    pub(crate) fn on_refusal_body(&mut self, size: usize) -> Action {
        let Some(recovery) = &mut self.recovery else { return Action::Continue };
        match std::mem::replace(&mut recovery.state, State::Delivered) {
            state @ (State::Asking { .. } | State::Following) => {
                recovery.state = state;
                recovery.body_waits = true;
                Action::Pause
            }
            State::Ready(body) => {
                recovery.room.hold(0);
                self.put(size, &body);
                Action::Continue
            }
            State::Delivered => {
                if size > 0 {
                    // Nothing in its place: the answer has been delivered.
                    self.put(size, b"");
                }
                Action::Continue
            }
        }
    }

    /// The refusal ends with trailers. Without a body of its own nothing can be put in its place: the host has no buffer
    /// for that. So it goes to the client, or, where its headers have been changed and have left, the client is told
    /// by the end of the connection that there is no answer; asked again, the provider drops the thinking.
    pub(crate) fn on_refusal_trailers(&mut self) -> Action {
        match self.recovery.as_ref().map(|recovery| (&recovery.state, recovery.body_waits)) {
            Some((State::Asking { .. } | State::Following, false)) => {
                self.settings.metrics.recovered(false);
                (self.recovery, self.following) = (None, None);
                self.answer.status = BAD_REQUEST;
                if let Some(record) = &mut self.record {
                    record.recovered = false;
                }
                self.tell_client();
                Action::Continue
            }
            Some((State::Ready(_), _)) => {
                if let Err(refused) = host::close_stream() {
                    self.settings.refused(refused);
                }
                Action::Pause
            }
            _ => self.on_refusal_body(0),
        }
    }

    /// The answer to the second request.
    pub(crate) fn on_recovered(&mut self, answer: Option<HttpAnswer>) {
        let stream = answer.as_ref().is_some_and(|answer| answer.is_answer(true));
        let answer = answer.filter(|answer| stream || answer.is_answer(false));
        let Some(answer) = answer.filter(|answer| self.keeps_second(answer)) else {
            self.settings.metrics.recovered(false);
            self.following = None;
            if self.recovery.take().is_some_and(|recovery| recovery.body_waits) {
                // It does not come by again.
                match host::buffer(Buffer::ResponseBody, WHOLE) {
                    Ok(refusal) => self.answer.read(&refusal),
                    Err(refused) => self.settings.refused(refused),
                }
            }
            self.continue_answer();
            return;
        };
        self.settings.metrics.recovered(true);
        host::log(Level::Warn, RECOVERED);
        if let Some(record) = &mut self.record {
            record.recovered = true;
            self.settings.requests.recoveries.borrow_mut().add(&record.conversation_id);
        }
        self.take_answer(answer.headers());
        if let Some(recovery) = &mut self.recovery {
            recovery.state = State::Following;
        }
        if let Some(whole) = self.follow_whole(stream, answer.body) {
            self.note_hidden();
            self.following = None;
            self.end_recovery(&whole);
        }
    }

    /// Whether there is room for the second answer, which may have to wait for the refusal's body.
    fn keeps_second(&mut self, answer: &HttpAnswer) -> bool {
        let keeps = self.recovery.as_mut().is_some_and(|recovery| recovery.room.grow(answer.body.len()));
        if !keeps {
            self.settings.metrics.no_room();
        }
        keeps
    }

    /// Delivers the second answer in the place of the refusal.
    pub(crate) fn end_recovery(&mut self, whole: &[u8]) {
        self.answer.read(whole);
        let kind = self.answer.content_type();
        for (name, value) in [(":status", &b"200"[..]), ("content-type", kind.as_bytes())] {
            if let Err(refused) = host::set_header(Map::Response, name, value) {
                self.settings.refused(refused);
            }
        }
        // Its length is another one, and it is not encoded, as the refusal may have been.
        for name in [&b"content-length"[..], b"content-encoding"] {
            if let Err(refused) = host::remove_header(Map::Response, name) {
                self.settings.refused(refused);
            }
        }
        let Some(recovery) = &mut self.recovery else { return };
        if recovery.body_waits {
            recovery.state = State::Delivered;
            self.put(WHOLE, whole);
        } else {
            recovery.room.hold(whole.len());
            recovery.state = State::Ready(whole.to_vec());
        }
        self.continue_answer();
    }

    fn continue_answer(&self) {
        self.tell_client();
        if let Err(refused) = host::continue_response() {
            self.settings.refused(refused);
        }
    }
}

const BAD_REQUEST: u32 = 400;

/// More than any buffer holds: all of it is replaced.
const WHOLE: usize = u32::MAX as usize;

const RECOVERED: &str = "headroom: a provider refused a request because something before the model's thinking had \
    changed; it was sent once more so that the provider drops that thinking. This happens once for each conversation \
    that was running when Headroom, its forms or its configuration changed";
