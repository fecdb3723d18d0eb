//! The answer: status, time to the first byte, and what it says of itself. Its bytes pass as they come,
//! unless the tool loop has to see them first.

use headroom_api::forwarded_tokens;
use headroom_api::names::outcome_name;
use headroom_api::v1::{PrefixMismatchSource, RateLimit, RequestOutcome, RequestRecord, Usage};
use headroom_providers::reader::{Form, Reader};
use headroom_providers::usage::{self, Findings, PrefixMismatch};
use headroom_providers::{bedrock, rate_limits};

use crate::host::{self, Action, Buffer, Level, Map};
use crate::messages::Transcript;
use crate::request;
use crate::stream::{Phase, Stream};

/// From here on a status says that nothing was answered.
const BAD_REQUEST: u32 = 400;

/// What is known about the answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// HTTP status; 0 until there is one.
    pub(crate) status: u32,
    /// What the headers say went wrong; Bedrock names the class of an error nowhere else.
    error_class: String,
    /// What the headers say of the subscription's allowance.
    rate_limits: Vec<RateLimit>,
    reader: Reader,
    content_type: String,
    /// It is JSON or events.
    is_text: bool,
    /// What the feed is to show of both sides, where messages are logged.
    pub(crate) transcript: Option<Box<Transcript>>,
}

impl Answer {
    /// To a request in a WebSocket session: a document by event.
    pub(crate) fn of_session() -> Self {
        Self { reader: Reader::new(Form::Json), is_text: true, ..Self::default() }
    }

    /// The end of an event in a session: whether its type is one that `ends` the answer, and the status that
    /// it names.
    pub(crate) fn event(&mut self, ends: impl FnOnce(&str) -> bool) -> (bool, Option<u32>) {
        if let Some(transcript) = &mut self.transcript {
            transcript.answered(b"\n");
        }
        let Some(found) = self.reader.found() else { return (false, None) };
        let event = (ends(found.kind()), found.status());
        self.reader.next_document();
        event
    }

    /// The end of an answer in a session, of which usage is told where it `is_read`.
    pub(crate) fn complete(&mut self, status: u32, is_read: bool) {
        self.status = status;
        if !is_read {
            self.reader = Reader::default();
        }
    }

    /// Of a document or of events.
    pub(crate) fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Reads on.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        if let Some(transcript) = self.transcript.as_mut().filter(|_| self.is_text) {
            transcript.answered(bytes);
        }
        self.reader.feed(bytes);
    }

    /// Writes what the answer says of itself into the record.
    pub(crate) fn describe(&self, record: &mut RequestRecord) {
        record.status = self.status;
        record.error_class.clone_from(&self.error_class);
        record.rate_limits.clone_from(&self.rate_limits);
        record.subscription |= !record.rate_limits.is_empty();
        let Some(found) = self.found() else { return };
        record.usage = found.usage().map(reported);
        found.model().clone_into(&mut record.answered_model);
        found.stop_reason().clone_into(&mut record.stop_reason);
        if record.error_class.is_empty() {
            found.error_class().clone_into(&mut record.error_class);
        }
        // Words like those of a refusal are one only in an error.
        let is_error = record.status >= BAD_REQUEST || !record.error_class.is_empty();
        let (mismatches, source) = match found.prefix_mismatch() {
            PrefixMismatch::None => (0, PrefixMismatchSource::Unspecified),
            PrefixMismatch::LeftOut(blocks) => (blocks, PrefixMismatchSource::InputTransformations),
            PrefixMismatch::Refused if is_error => (1, PrefixMismatchSource::Refusal),
            PrefixMismatch::Refused => return,
        };
        record.prefix_mismatches = mismatches;
        record.set_prefix_mismatch_source(source);
    }

    /// Whether anybody wants its body.
    fn is_read(&self) -> bool {
        self.reader.reads() || (self.is_text && self.transcript.is_some())
    }

    fn found(&self) -> Option<&Findings> {
        self.reader.found()
    }
}

impl Stream {
    /// Notes what kind of answer it is and tells the client what was done to its request.
    pub(crate) fn on_response_headers(&mut self, end_of_stream: bool) -> Action {
        if self.record.is_none() {
            return Action::Continue;
        }
        self.clock.first_byte = self.settings.now();
        let mut form = Form::Other;
        match host::headers(Map::Response) {
            Ok(headers) => {
                let transcript = self.answer.transcript.take();
                (self.answer, form) = read(&headers, self.settings.config.read_usage);
                self.answer.rate_limits =
                    rate_limits::read(headers.iter(), self.clock.first_byte).into_iter().map(limit).collect();
                self.answer.transcript = transcript;
            }
            Err(refused) => self.settings.refused(refused),
        }
        if self.recover(end_of_stream) {
            return Action::Pause;
        }
        if end_of_stream || !self.begin_following(form) {
            self.following = None;
        }
        self.session_answered();
        self.notice_overflow();
        self.tell_client();
        Action::Continue
    }

    /// Writes into the answer's headers what was done to its request.
    pub(crate) fn tell_client(&self) {
        if !self.settings.config.response_headers {
            return;
        }
        for (name, value) in self.own_headers() {
            if let Err(refused) = host::set_header(Map::Response, name, value.as_bytes()) {
                self.settings.refused(refused);
            }
        }
    }

    /// Another answer takes the place of the one that has come.
    pub(crate) fn take_answer(&mut self, headers: &host::Headers) {
        let transcript = self.answer.transcript.take();
        (self.answer, _) = read(headers, self.settings.config.read_usage);
        self.answer.transcript = transcript;
    }

    /// Whether the answer is one in which the model may have called our tool. Its length will not be what
    /// the provider says.
    fn begin_following(&mut self, form: Form) -> bool {
        const OK: u32 = 200;
        let Some(following) = self.following.as_mut().filter(|following| following.is_armed()) else {
            return false;
        };
        if self.answer.status != OK || !matches!(form, Form::Json | Form::Events) {
            return false;
        }
        if let Err(refused) = host::remove_header(Map::Response, b"content-length") {
            self.settings.refused(refused);
            return false;
        }
        following.begin(form == Form::Events);
        if let Some(sent) = &mut self.sent {
            sent.note_cluster(&self.settings);
        }
        true
    }

    /// Reads usage. Never pauses but for the tool loop: an event that the model has written must reach the
    /// client now.
    pub(crate) fn on_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.session.is_some() {
            return self.on_provider_bytes(size, end_of_stream);
        }
        if self.recovery.is_some() {
            return self.on_refusal_body(size);
        }
        if self.following.is_some() {
            return self.follow(size, end_of_stream);
        }
        if size == 0 || !self.answer.is_read() {
            return Action::Continue;
        }
        match host::buffer(Buffer::ResponseBody, size) {
            Ok(bytes) => self.answer.read(&bytes),
            Err(refused) => {
                // With a piece missing, what follows can no longer be read.
                self.answer.reader = Reader::default();
                self.answer.is_text = false;
                self.settings.refused(refused);
            }
        }
        Action::Continue
    }

    /// With trailers the answer's own end is never announced.
    pub(crate) fn on_response_trailers(&mut self) -> Action {
        if self.recovery.is_some() {
            return self.on_refusal_trailers();
        }
        self.follow(0, true)
    }

    /// Envoy answers 413 itself when a body that we wait for outgrows its buffer. The request fails only
    /// because it was waited for, so the operator has to know.
    fn notice_overflow(&mut self) {
        const CONTENT_TOO_LARGE: u32 = 413;
        if self.answer.status == CONTENT_TOO_LARGE && matches!(self.phase, Phase::Collecting { .. }) {
            self.phase = Phase::Passing;
            self.settle(RequestOutcome::TooLarge);
            host::log(Level::Error, OVERFLOW);
        }
    }

    fn own_headers(&self) -> Vec<(&'static str, String)> {
        let Some(record) = &self.record else { return Vec::new() };
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
        }
        headers
    }
}

/// What was saved; below zero where the added tool is more than that.
pub(crate) fn difference(before: u64, after: u64) -> i128 {
    i128::from(before) - i128::from(after)
}

const OVERFLOW: &str = "headroom: a request was answered 413 while its body was waited for: the listener's \
    per_connection_buffer_limit_bytes, or the route's request_body_buffer_limit, has to be larger than max_body_bytes";

fn read(headers: &host::Headers, read_usage: bool) -> (Answer, Form) {
    let mut answer = Answer::default();
    let mut encoded = false;
    let mut content_type = &b""[..];
    for (name, value) in headers.iter() {
        match name {
            b":status" => {
                answer.status =
                    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            }
            b"content-encoding" => encoded |= !value.trim_ascii().eq_ignore_ascii_case(b"identity"),
            b"content-type" => content_type = value,
            _ if name == bedrock::ERROR_HEADER.as_bytes() => {
                let class = bedrock::error_class(value);
                answer.error_class = request::name(std::str::from_utf8(class).unwrap_or_default());
            }
            _ => {}
        }
    }
    let form = if encoded { Form::Other } else { Form::from_content_type(content_type) };
    answer.content_type = String::from_utf8_lossy(content_type).into_owned();
    answer.is_text = matches!(form, Form::Json | Form::Events);
    if read_usage {
        answer.reader = Reader::new(form);
    }
    (answer, form)
}

/// Usage as records have it.
fn reported(usage: usage::Usage) -> Usage {
    Usage {
        input_tokens: usage.input,
        output_tokens: usage.output,
        cache_read_tokens: usage.cache_read,
        cache_write_tokens: usage.cache_write,
        cache_write_5m_tokens: usage.cache_write_5m,
        cache_write_1h_tokens: usage.cache_write_1h,
        reasoning_tokens: usage.reasoning,
    }
}

/// A window of an allowance as records have it.
fn limit(limit: headroom_providers::RateLimit) -> RateLimit {
    let headroom_providers::RateLimit { window, used, resets_unix_ms, minutes, status } = limit;
    RateLimit { window, used, resets_unix_ms, minutes, status }
}
