//! Asks for an answer before its request is forwarded.

use headroom_api::v1::{AnswerLookup, AnswerState, FindAnswerRequest, FindAnswerResponse};
use headroom_providers::reader::Form;
use headroom_providers::replay;
use prost::Message as _;

use super::candidate::CacheableRequest;
use super::copy::{AnswerCopy, MAX_CONTENT_TYPE_BYTES};
use crate::exchange::{Exchange, micros};
use crate::host::{self, NANOS_PER_MS};
use crate::rpc;

/// A question is given up after this time: the root context that asked may be gone, and then no answer is delivered.
const LOST_AFTER_MS: u64 = 2_000;

/// A question that the sidecar has not answered.
#[derive(Debug)]
pub(crate) struct Lookup {
    wanted: CacheableRequest,
    token: u32,
    /// It is asked to wait for another request that fetches the answer.
    waits: bool,
    begun: u64,
    lost_at: u64,
}

/// What to do with a request.
#[derive(Debug)]
pub(crate) enum Step {
    /// It waits.
    Wait(Lookup),
    /// It goes to the provider; of the answer a copy may be kept.
    Forward(Option<AnswerCopy>),
    /// It is answered with this.
    Replay(Replay),
}

/// An answer that is given again.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
    pub(crate) age_ms: u64,
    pub(crate) is_similar: bool,
}

impl Lookup {
    /// Asks, where the sidecar is to be asked.
    pub(crate) fn begin(exchange: &mut Exchange, wanted: CacheableRequest) -> Step {
        if wanted.refresh {
            exchange.record.set_answer_lookup(AnswerLookup::Refresh);
            return Step::Forward(Some(AnswerCopy::new(wanted)));
        }
        let now = exchange.settings.now();
        if !exchange.settings.answers.is_asked(now) {
            exchange.record.set_answer_lookup(AnswerLookup::Failed);
            return Step::Forward(None);
        }
        Self::ask(exchange, wanted, false, now)
    }

    fn ask(exchange: &mut Exchange, wanted: CacheableRequest, waits: bool, begun: u64) -> Step {
        let settings = &exchange.settings;
        let cache = &settings.config.cache;
        let request = FindAnswerRequest {
            tenant: exchange.record.tenant.clone(),
            key: wanted.key.to_vec(),
            max_age_ms: wanted.max_age_ms,
            wait_ms: if waits { cache.wait_ms } else { 0 },
            question: wanted.question.clone(),
        };
        let wait_ms = if waits { cache.wait_ms } else { 0 };
        let timeout_ms = cache.timeout_ms.saturating_add(wait_ms);
        let control_plane = settings.config.control_plane.as_ref();
        let asked = control_plane.map(|it| rpc::find_answer(it, &request.encode_to_vec(), timeout_ms));
        match asked {
            Some(Ok(token)) => {
                let patience = u64::from(timeout_ms).saturating_add(LOST_AFTER_MS) * NANOS_PER_MS;
                let lost_at = settings.now().saturating_add(patience);
                Step::Wait(Self { wanted, token, waits, begun, lost_at })
            }
            refused => {
                if let Some(Err(refused)) = refused {
                    settings.refused(refused);
                }
                exchange.record.set_answer_lookup(AnswerLookup::Failed);
                Step::Forward(None)
            }
        }
    }

    /// Whether it is the question that was asked with this token.
    pub(crate) fn awaits(&self, token: u32) -> bool {
        self.token == token
    }

    /// Whether it should have been answered long ago.
    pub(crate) fn is_lost(&self, now: u64) -> bool {
        now >= self.lost_at
    }

    /// The sidecar's answer; `None`: there is no answer.
    pub(crate) fn answered(self, exchange: &mut Exchange, answer: Option<&[u8]>) -> Step {
        let now = exchange.settings.now();
        exchange.clock.asked_us = micros(self.begun, now);
        let Some(answer) = answer.and_then(|bytes| FindAnswerResponse::decode(bytes).ok()) else {
            return self.unanswered(exchange, now);
        };
        match answer.state() {
            AnswerState::UnderWay if !self.waits && exchange.settings.config.cache.wait_ms > 0 => {
                Self::ask(exchange, self.wanted, true, self.begun)
            }
            AnswerState::None | AnswerState::UnderWay => {
                exchange.record.set_answer_lookup(AnswerLookup::Miss);
                Step::Forward(Some(AnswerCopy::new(self.wanted)))
            }
            AnswerState::Found => self.found(exchange, answer, false, now),
            AnswerState::Similar => self.found(exchange, answer, true, now),
            AnswerState::Unspecified => self.unanswered(exchange, now),
        }
    }

    /// What a client gets is checked here as well, no matter who has kept it.
    fn found(self, exchange: &mut Exchange, answer: FindAnswerResponse, is_similar: bool, now: u64) -> Step {
        let age_ms = answer.age_ms;
        let is_wanted = !is_similar || self.wanted.question.is_some();
        let answer = answer.answer.filter(|answer| {
            let form = Form::from_content_type(answer.content_type.as_bytes());
            let expected = if self.wanted.is_stream { Form::Events } else { Form::Json };
            is_wanted
                && form == expected
                && answer.content_type.len() <= MAX_CONTENT_TYPE_BYTES
                && answer.content_type.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
                && answer.body.len() <= exchange.settings.config.cache.max_body_bytes
                && replay::is_whole(self.wanted.api, self.wanted.is_stream, &answer.body)
        });
        let Some(answer) = answer else { return self.unanswered(exchange, now) };
        let lookup = if is_similar { AnswerLookup::Similar } else { AnswerLookup::Hit };
        exchange.record.set_answer_lookup(lookup);
        exchange.record.answer_age_ms = age_ms;
        Step::Replay(Replay { content_type: answer.content_type, body: answer.body, age_ms, is_similar })
    }

    /// The sidecar has no answer that can be used: the request goes to its provider. It may be the one that fetches the
    /// answer, and equal requests wait for that.
    fn unanswered(self, exchange: &mut Exchange, now: u64) -> Step {
        exchange.record.set_answer_lookup(AnswerLookup::Failed);
        if !self.waits {
            exchange.settings.answers.failed(now);
        }
        Step::Forward(Some(AnswerCopy::new(self.wanted)))
    }

    /// The request is over before the sidecar has answered.
    pub(crate) fn abandon(self, exchange: &Exchange) {
        AnswerCopy::new(self.wanted).abandon(exchange);
    }
}

impl Replay {
    /// Answers the request at hand with it.
    pub(crate) fn send(&self) -> host::Result<()> {
        let age = (self.age_ms / 1_000).to_string();
        let headers = [
            (&b"content-type"[..], self.content_type.as_bytes()),
            (b"age", age.as_bytes()),
            (b"x-headroom-cached", if self.is_similar { &b"semantic"[..] } else { &b"hit"[..] }),
        ];
        host::answer(200, "headroom_cached_answer", &headers, &self.body)
    }
}
