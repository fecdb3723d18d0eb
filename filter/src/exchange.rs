//! One request and its answer: what is known about them, and the record at their end.

use std::rc::Rc;

use headroom_api::forwarded_tokens;
use headroom_api::names::{is_probe, outcome_name};
use headroom_api::v1::{RequestOutcome, RequestRecord, Timings};
use proxy_wasm::types::{BufferType, MapType};

use crate::answer::Answer;
use crate::deferred::DeferredWork;
use crate::host::{self, RefusedCall};
use crate::report::PendingRecord;
use crate::settings::Settings;

/// A request and its answer. A WebSocket session has many of them.
pub(crate) struct Exchange {
    pub(crate) settings: Rc<Settings>,
    pub(crate) record: RequestRecord,
    /// Names of the compressors that took at least one block, in order, each once.
    pub(crate) compressors: Vec<&'static str>,
    pub(crate) clock: Clock,
    pub(crate) answer: Answer,
    /// Work that the record still waits for.
    pub(crate) later: Option<DeferredWork>,
    /// False for requests that only ask about another request, such as counting tokens.
    pub(crate) is_reported: bool,
}

/// Points in time, in nanoseconds of the host's clock; 0 if the host gave none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    pub(crate) headers: u64,
    pub(crate) body_complete: u64,
    pub(crate) forwarded: u64,
    pub(crate) first_byte: u64,
    pub(crate) parse_us: u32,
    pub(crate) compress_us: u32,
    /// The wait for the sidecar's answer in the answer cache.
    pub(crate) asked_us: u32,
    /// Waiting for it to say what the conversation begins with.
    pub(crate) memory_context_us: u32,
    /// Waiting for the text model.
    pub(crate) text_model_us: u32,
}

impl Exchange {
    pub(crate) fn new(settings: Rc<Settings>, record: RequestRecord, clock: Clock, answer: Answer) -> Self {
        Self { settings, record, compressors: Vec::new(), clock, answer, later: None, is_reported: true }
    }

    /// Notes the size of a body that leaves as it came.
    pub(crate) fn note_size(&mut self, size: usize) {
        self.record.body_bytes_before = self.record.body_bytes_before.max(size as u64);
        self.record.body_bytes_after = self.record.body_bytes_before;
    }

    /// Writes the request's outcome to the record and the access log, where the operator sees it.
    pub(crate) fn settle(&mut self, outcome: RequestOutcome) {
        self.record.set_outcome(outcome);
        let mut properties = vec![("headroom.outcome", outcome_name(outcome).to_owned())];
        if let Some(tokens) = &self.record.tokens {
            let forwarded = forwarded_tokens(outcome, tokens);
            properties.push(("headroom.tokens_before", tokens.before.to_string()));
            properties.push(("headroom.tokens_after", forwarded.to_string()));
            properties.push(("headroom.tokens_saved", difference(tokens.before, forwarded).to_string()));
        }
        for (name, value) in properties {
            if let Err(refused) = host::set_property(name, value.as_bytes()) {
                self.settings.refused(refused);
            }
        }
    }

    /// The same for a request that the host did not let us rewrite: it leaves as it came.
    pub(crate) fn settle_refused(&mut self, refused: RefusedCall) {
        self.settings.refused(refused);
        let record = &mut self.record;
        record.blocks.clear();
        record.blocks_left_out = 0;
        record.body_bytes_after = record.body_bytes_before;
        if let Some(tokens) = &mut record.tokens {
            tokens.after = tokens.before;
            tokens.tool_outputs_after = tokens.tool_outputs_before;
            tokens.tool_outputs_new_after = tokens.tool_outputs_new_before;
        }
        self.settle(RequestOutcome::HostError);
    }

    /// Writes what was done to the request into the headers of its answer.
    pub(crate) fn tell_client(&self) {
        if !self.settings.config.response_headers {
            return;
        }
        for (name, value) in self.own_headers() {
            if let Err(refused) = host::set_header(MapType::HttpResponseHeaders, name, value.as_bytes()) {
                self.settings.refused(refused);
            }
        }
    }

    fn own_headers(&self) -> Vec<(&'static str, String)> {
        let record = &self.record;
        let outcome = record.outcome();
        if outcome == RequestOutcome::Unspecified {
            return Vec::new();
        }
        let mut headers = vec![
            ("x-headroom-request-id", record.request_id.clone()),
            ("x-headroom-outcome", outcome_name(outcome).to_owned()),
        ];
        if let Some(tokens) = &record.tokens {
            let after = forwarded_tokens(outcome, tokens);
            headers.push(("x-headroom-tokens-before", tokens.before.to_string()));
            headers.push(("x-headroom-tokens-after", after.to_string()));
            headers.push(("x-headroom-tokens-saved", difference(tokens.before, after).to_string()));
            if record.model.bytes().all(|byte| byte.is_ascii_graphic()) && !record.model.is_empty() {
                headers.push(("x-headroom-model", record.model.clone()));
            }
            if outcome == RequestOutcome::Compressed {
                headers.push(("x-headroom-transforms", self.compressors.join(",")));
            }
            if outcome == RequestOutcome::Simulated {
                headers.push(("x-headroom-plan-tokens-after", tokens.after.to_string()));
                headers.push(("x-headroom-plan-transforms", self.compressors.join(",")));
            }
        }
        headers
    }

    /// Replaces the first `size` bytes of the answer's buffer. Returns whether it worked.
    pub(crate) fn put_answer(&self, size: usize, bytes: &[u8]) -> bool {
        if size == 0 && bytes.is_empty() {
            return true;
        }
        let put = host::replace_buffer(BufferType::HttpResponseBody, size, bytes);
        put.map_err(|refused| self.settings.refused(refused)).is_ok()
    }

    /// Lets the answer's headers, and the part of its body that has come, go on to the client.
    pub(crate) fn continue_answer(&self) {
        if let Err(refused) = host::continue_response() {
            self.settings.refused(refused);
        }
    }

    /// Ends the exchange: its record is sent or waits for its work.
    pub(crate) fn finish(self) {
        let Self { settings, mut record, clock, mut answer, later, is_reported, .. } = self;
        if !is_reported {
            return;
        }
        answer.describe(&mut record);
        let Clock {
            headers,
            body_complete,
            forwarded,
            first_byte,
            parse_us,
            compress_us,
            asked_us,
            memory_context_us,
            text_model_us,
        } = clock;
        record.timings = Some(Timings {
            body_wait_us: micros(headers, body_complete),
            compress_us,
            overhead_us: micros(body_complete, forwarded),
            first_byte_us: micros(forwarded, first_byte),
            total_us: micros(headers, settings.now()),
            parse_us,
            admit_us: asked_us,
            memory_context_us,
            text_model_us,
        });
        if !is_probe(&record) {
            settings.metrics.request(&record);
        }
        let logged = answer.transcript.take().map(|it| it.logged(&record.request_id));
        let told = PendingRecord { record, logged };
        let outlet = Rc::clone(&settings);
        if let Some(told) = settings.requests.deferred.end(told, later, outlet) {
            settings.report(told);
        }
    }
}

/// What was saved; negative if the added tool costs more.
pub(crate) fn difference(before: u64, after: u64) -> i128 {
    i128::from(before) - i128::from(after)
}

/// Microseconds between two points in time; 0 where one is missing.
pub(crate) fn micros(from: u64, to: u64) -> u32 {
    if from == 0 {
        return 0;
    }
    u32::try_from(to.saturating_sub(from) / 1_000).unwrap_or(u32::MAX)
}
