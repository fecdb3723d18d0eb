//! Recovery: a request that the provider refuses because of a changed prefix is sent once more, and asks the
//! provider to drop the thinking that does not fit.
//!
//! Starting to use Headroom in running conversations, new forms, another configuration: each changes prefixes
//! once, and Anthropic may have bound thinking to them. The answer's headers are held while the request goes
//! out again with `thinking.block_binding.prefix_mismatch_behavior: "drop_block"`. An answer with status 200
//! replaces the refusal; after any other the refusal goes to the client. Only requests that carry thinking
//! and that the filter has changed are sent again: if the client itself has changed its prefix, it has to see
//! the refusal. A client's own `block_binding` stays.

use headroom_providers::anthropic::recovery::{BETA, BETA_HEADER, body_that_drops};
use proxy_wasm::types::{Action, MapType};

use crate::exchange::Exchange;
use crate::host;
use crate::memory::Room;
use crate::sent::{HttpAnswer, SentRequest};

/// A refused request that has been sent once more.
pub(crate) struct Recovery {
    state: State,
    /// Whether the refusal's body has begun to come. If so, it waits.
    body_waits: bool,
    /// Memory for the second answer.
    room: Room,
}

enum State {
    Asking {
        token: u32,
    },
    /// The second answer is followed by the tool loop.
    Following,
    /// The refusal's body has not begun; these bytes replace it.
    Ready(Vec<u8>),
    /// The rest of the refusal's body is dropped.
    Delivered,
}

/// What happens to a refusal that ends with trailers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AtTrailers {
    /// Its trailers are treated as its body: they wait or go on.
    As(Action),
    /// It has no body that could be replaced, so it goes to the client.
    GivesUp,
}

impl Recovery {
    /// Sends a refused request once more. `None`: the refusal goes to the client.
    pub(crate) fn begin(exchange: &Exchange, sent: &mut SentRequest) -> Option<Self> {
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

    /// Whether the refusal's body has begun to come. If so, it waits.
    pub(crate) fn body_waits(&self) -> bool {
        self.body_waits
    }

    /// Takes a piece of the refusal's body.
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
                    // It is replaced by nothing: the answer has been delivered.
                    exchange.put_answer(size, b"");
                }
                Action::Continue
            }
        }
    }

    /// The refusal ends with trailers. If it has no body, it cannot be replaced: the host has no buffer for
    /// that. Then it goes to the client. If its headers have already been changed and have left, the
    /// connection is ended instead; when the client asks again, the provider drops the thinking.
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

    /// Takes the answer to the second request, if there is one and room for it. It may have to wait for the
    /// refusal's body.
    pub(crate) fn keep(&mut self, exchange: &Exchange, answer: Option<HttpAnswer>) -> Option<HttpAnswer> {
        let answer = answer?;
        if !self.room.grow(answer.body.len()) {
            exchange.settings.metrics.no_room();
            return None;
        }
        Some(answer)
    }

    /// Notes that the second answer replaces the refusal.
    pub(crate) fn succeed(&mut self, exchange: &mut Exchange) {
        exchange.settings.metrics.recovered(true);
        log::warn!("{RECOVERED}");
        exchange.record.recovered = true;
        exchange.settings.requests.recoveries.borrow_mut().add(&exchange.record.conversation_id);
        self.state = State::Following;
    }

    /// Delivers the second answer instead of the refusal.
    pub(crate) fn deliver(&mut self, exchange: &mut Exchange, whole: &[u8]) {
        exchange.answer.read(whole);
        let kind = exchange.answer.content_type().to_owned();
        for (name, value) in [(":status", &b"200"[..]), ("content-type", kind.as_bytes())] {
            if let Err(refused) = host::set_header(MapType::HttpResponseHeaders, name, value) {
                exchange.settings.refused(refused);
            }
        }
        // The second answer has its own length, and it is not encoded, while the refusal may have been.
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

/// More than any buffer holds: everything in it is replaced.
pub(crate) const WHOLE: usize = u32::MAX as usize;

const RECOVERED: &str = "headroom: a provider refused a request because something before the model's thinking had \
    changed; it was sent once more so that the provider drops that thinking. This happens once for each conversation \
    that was running when Headroom, its forms or its configuration changed";
