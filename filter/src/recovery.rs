//! Recovery: a request that the provider refuses because of a changed prefix is sent once more, so that the
//! provider drops the thinking that does not fit instead.
//!
//! Putting Headroom in front of running conversations, new forms, another configuration: each changes prefixes once,
//! and Anthropic may have bound thinking to them. The answer's headers are held while the request goes out again with
//! `thinking.block_binding.prefix_mismatch_behavior: "drop_block"`; a 200 takes the place of the refusal, anything
//! else lets it go. Only where the filter has changed a request that carries thinking: what a client breaks itself is
//! for it to know. What the client says of `block_binding` stays.

use headroom_providers::anthropic::recovery::{BETA, BETA_HEADER, body_that_drops};
use proxy_wasm::types::{Action, MapType};

use crate::exchange::Exchange;
use crate::host;
use crate::memory::Room;
use crate::sent::{HttpAnswer, Sent};

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

/// What becomes of a refusal that ends with trailers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AtTrailers {
    /// Its trailers wait, or go on, as its body does.
    As(Action),
    /// It has no body, so nothing can be put in its place: it goes to the client.
    GivesUp,
}

impl Recovery {
    /// Sends a refused request once more. `None`: the refusal goes to the client.
    pub(crate) fn begin(exchange: &Exchange, sent: &mut Sent) -> Option<Self> {
        let body = body_that_drops(&sent.body)?;
        sent.note_cluster(&exchange.settings);
        sent.head().add(BETA_HEADER.as_bytes(), BETA);
        let token = sent.send(&exchange.settings, body)?;
        let room = exchange.settings.requests.memory.no_room();
        Some(Self { state: State::Asking { token }, body_waits: false, room })
    }

    pub(crate) fn waits_for(&self, token: u32) -> bool {
        matches!(self.state, State::Asking { token: of } if of == token)
    }

    /// Whether the refusal's body has begun to come, and waits.
    pub(crate) fn body_waits(&self) -> bool {
        self.body_waits
    }

    /// A piece of the refusal's body.
    pub(crate) fn on_body(&mut self, exchange: &Exchange, size: usize) -> Action {
        match std::mem::replace(&mut self.state, State::Delivered) {
            state @ (State::Asking { .. } | State::Following) => {
                self.state = state;
                self.body_waits = true;
                Action::Pause
            }
            State::Ready(body) => {
                self.room.hold(0);
                exchange.put_answer(size, &body);
                Action::Continue
            }
            State::Delivered => {
                if size > 0 {
                    // Nothing in its place: the answer has been delivered.
                    exchange.put_answer(size, b"");
                }
                Action::Continue
            }
        }
    }

    /// The refusal ends with trailers. Without a body of its own nothing can be put in its place: the host has no buffer
    /// for that. So it goes to the client, or, where its headers have been changed and have left, the client is told
    /// by the end of the connection that there is no answer; asked again, the provider drops the thinking.
    pub(crate) fn on_trailers(&mut self, exchange: &Exchange) -> AtTrailers {
        match (&self.state, self.body_waits) {
            (State::Asking { .. } | State::Following, false) => AtTrailers::GivesUp,
            (State::Ready(_), _) => {
                if let Err(refused) = host::close_stream() {
                    exchange.settings.refused(refused);
                }
                AtTrailers::As(Action::Pause)
            }
            _ => AtTrailers::As(self.on_body(exchange, 0)),
        }
    }

    /// The answer to the second request, where there is one and room for it: it may have to wait for the refusal's body.
    pub(crate) fn keep(&mut self, exchange: &Exchange, answer: Option<HttpAnswer>) -> Option<HttpAnswer> {
        let answer = answer?;
        if !self.room.grow(answer.body.len()) {
            exchange.settings.metrics.no_room();
            return None;
        }
        Some(answer)
    }

    /// The second answer takes the place of the refusal.
    pub(crate) fn succeed(&mut self, exchange: &mut Exchange) {
        exchange.settings.metrics.recovered(true);
        log::warn!("{RECOVERED}");
        exchange.record.recovered = true;
        exchange.settings.requests.recoveries.borrow_mut().add(&exchange.record.conversation_id);
        self.state = State::Following;
    }

    /// Delivers the second answer in the place of the refusal.
    pub(crate) fn deliver(&mut self, exchange: &mut Exchange, whole: &[u8]) {
        exchange.answer.read(whole);
        let kind = exchange.answer.content_type().to_owned();
        for (name, value) in [(":status", &b"200"[..]), ("content-type", kind.as_bytes())] {
            if let Err(refused) = host::set_header(MapType::HttpResponseHeaders, name, value) {
                exchange.settings.refused(refused);
            }
        }
        // Its length is another one, and it is not encoded, as the refusal may have been.
        for name in [&b"content-length"[..], b"content-encoding"] {
            if let Err(refused) = host::remove_header(MapType::HttpResponseHeaders, name) {
                exchange.settings.refused(refused);
            }
        }
        if self.body_waits {
            self.state = State::Delivered;
            exchange.put_answer(WHOLE, whole);
        } else {
            self.room.hold(whole.len());
            self.state = State::Ready(whole.to_vec());
        }
        exchange.tell_client();
        exchange.continue_answer();
    }
}

/// More than any buffer holds: all of it is replaced.
pub(crate) const WHOLE: usize = u32::MAX as usize;

const RECOVERED: &str = "headroom: a provider refused a request because something before the model's thinking had \
    changed; it was sent once more so that the provider drops that thinking. This happens once for each conversation \
    that was running when Headroom, its forms or its configuration changed";
