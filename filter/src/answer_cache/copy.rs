//! The copy of an answer, taken while it passes, and handed over once it is complete.

use headroom_api::v1::{Answer, KeepAnswerRequest};
use headroom_providers::reader::Form;
use headroom_providers::replay;
use prost::Message as _;
use proxy_wasm::types::BufferType;

use super::candidate::CacheableRequest;
use crate::exchange::Exchange;
use crate::host;
use crate::memory::Room;
use crate::rpc;

const OK: u32 = 200;
/// No format has a longer content type.
pub(super) const MAX_CONTENT_TYPE_BYTES: usize = 256;

/// A request of whose answer a copy may be kept.
#[derive(Debug)]
pub(crate) struct AnswerCopy {
    wanted: CacheableRequest,
    /// `None`: the answer has not begun.
    copy: Option<Copy>,
}

#[derive(Debug)]
struct Copy {
    content_type: String,
    bytes: Vec<u8>,
    room: Room,
}

impl AnswerCopy {
    pub(crate) fn new(wanted: CacheableRequest) -> Self {
        Self { wanted, copy: None }
    }

    /// The answer begins. `None`: it is not one to keep.
    pub(crate) fn begin(mut self, exchange: &Exchange, form: Form) -> Option<Self> {
        let expected = if self.wanted.is_stream { Form::Events } else { Form::Json };
        let is_named = exchange.answer.content_type().len() <= MAX_CONTENT_TYPE_BYTES;
        if exchange.answer.status != OK || form != expected || !is_named {
            self.abandon(exchange);
            return None;
        }
        let room = exchange.settings.requests.memory.no_room();
        let content_type = exchange.answer.content_type().to_owned();
        self.copy = Some(Copy { content_type, bytes: Vec::new(), room });
        Some(self)
    }

    /// A piece of it. `None`: it is too long to be kept, or there is no room.
    pub(crate) fn take(mut self, exchange: &Exchange, size: usize) -> Option<Self> {
        if size == 0 {
            return Some(self);
        }
        let max = exchange.settings.config.cache.max_body_bytes;
        let taken = self.copy.as_mut().is_some_and(|copy| {
            let bytes = host::buffer(BufferType::HttpResponseBody, size);
            let bytes = bytes.map_err(|refused| exchange.settings.refused(refused)).unwrap_or_default();
            let fits = copy.bytes.len().saturating_add(size) <= max;
            if bytes.len() != size || !fits {
                return false;
            }
            if !copy.room.grow(size) {
                exchange.settings.metrics.no_room();
                return false;
            }
            copy.bytes.extend(bytes);
            true
        });
        if taken {
            return Some(self);
        }
        self.abandon(exchange);
        None
    }

    /// The answer has ended: it is handed over if it is whole.
    pub(crate) fn finish(mut self, exchange: &mut Exchange) {
        let copy = self.copy.take().filter(|copy| {
            !exchange.record.recovered
                && replay::is_whole(self.wanted.api, self.wanted.is_stream, &copy.bytes)
        });
        let Some(Copy { content_type, bytes, room }) = copy else { return self.abandon(exchange) };
        exchange.record.answer_kept = self.tell(exchange, Some(Answer { content_type, body: bytes }));
        drop(room);
    }

    /// There will be no copy: a request that waits for it has to go on.
    pub(crate) fn abandon(self, exchange: &Exchange) {
        self.tell(exchange, None);
    }

    fn tell(&self, exchange: &Exchange, answer: Option<Answer>) -> bool {
        let settings = &exchange.settings;
        let Some(control_plane) = &settings.config.control_plane else { return false };
        let request = KeepAnswerRequest {
            tenant: exchange.record.tenant.clone(),
            key: self.wanted.key.to_vec(),
            answer,
            ttl_seconds: settings.config.cache.ttl_seconds.into(),
            question: self.wanted.question.clone(),
        };
        // Its answer is not waited for.
        let told = rpc::keep_answer(control_plane, &request.encode_to_vec());
        told.map_err(|refused| settings.refused(refused)).is_ok()
    }
}
