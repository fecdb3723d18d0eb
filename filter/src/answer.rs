//! The answer: its status, and what it reports about itself.

use headroom_api::v1::{PrefixMismatchSource, RateLimit, RequestRecord, Usage};
use headroom_providers::reader::{Form, Reader};
use headroom_providers::usage::{self, Findings, PrefixMismatch};
use headroom_providers::{bedrock, rate_limits};

use crate::host;
use crate::messages::Transcript;
use crate::name::name;

/// From this status on the answer is an error.
const BAD_REQUEST: u32 = 400;

/// What is known about the answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// HTTP status; 0 until there is one.
    pub(crate) status: u32,
    /// What the headers say went wrong; Bedrock names the class of an error nowhere else.
    error_class: String,
    /// The headers' values about the subscription's allowance.
    rate_limits: Vec<RateLimit>,
    reader: Reader,
    content_type: String,
    /// Whether the body is JSON or events.
    is_text: bool,
    /// What the feed shows of the request and the answer, where messages are logged.
    pub(crate) transcript: Option<Box<Transcript>>,
}

impl Answer {
    /// The answer to a request in a WebSocket session: one document per event. `rate_limits` come from the
    /// handshake and are reported once.
    pub(crate) fn of_session(rate_limits: Vec<RateLimit>) -> Self {
        Self { reader: Reader::new(Form::Json), is_text: true, rate_limits, ..Self::default() }
    }

    /// Keeps what an earlier answer to the same request said about the allowance.
    pub(crate) fn take_rate_limits(&mut self, earlier: &mut Self) {
        self.rate_limits = std::mem::take(&mut earlier.rate_limits);
    }

    /// The headers' values about the subscription's allowance.
    pub(crate) fn rate_limits(&self) -> &[RateLimit] {
        &self.rate_limits
    }

    /// Reads the headers of an answer, or of a later one to the same request, whose allowance is newer.
    pub(crate) fn renew_rate_limits(&mut self, headers: &host::Headers, now: u64) {
        let newer = rate_limits::read(headers.iter(), now);
        if !newer.is_empty() {
            self.rate_limits = newer.into_iter().map(limit).collect();
        }
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

    /// The end of an answer in a session. Its usage is reported where it `is_read`.
    pub(crate) fn complete(&mut self, status: u32, is_read: bool) {
        self.status = status;
        if !is_read {
            self.reader = Reader::default();
        }
    }

    /// The content type: a document or events.
    pub(crate) fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Reads the next bytes.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        if let Some(transcript) = self.transcript.as_mut().filter(|_| self.is_text) {
            transcript.answered(bytes);
        }
        self.reader.feed(bytes);
    }

    /// Writes what the answer reports about itself into the record.
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
        // The same words outside of an error are not a refusal.
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

    /// With a piece missing, what follows can no longer be read.
    pub(crate) fn give_up(&mut self) {
        self.reader = Reader::default();
        self.is_text = false;
    }

    /// Whether its body has to be read.
    pub(crate) fn is_read(&self) -> bool {
        self.reader.reads() || (self.is_text && self.transcript.is_some())
    }

    fn found(&self) -> Option<&Findings> {
        self.reader.found()
    }
}

/// Reads the headers of an answer, and how its body is encoded.
pub(crate) fn read(headers: &host::Headers, read_usage: bool) -> (Answer, Form) {
    let mut answer = Answer::default();
    let mut encoded = false;
    let mut content_type = &b""[..];
    for (header, value) in headers.iter() {
        match header {
            b":status" => {
                answer.status =
                    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            }
            b"content-encoding" => encoded |= !value.trim_ascii().eq_ignore_ascii_case(b"identity"),
            b"content-type" => content_type = value,
            _ if header == bedrock::ERROR_HEADER.as_bytes() => {
                let class = bedrock::error_class(value);
                answer.error_class = name(std::str::from_utf8(class).unwrap_or_default());
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
