//! The response: its bytes pass as they come, except where the tool loop reads them first, or a refusal waits
//! for the answer to a second request.

use headroom_providers::reader::Form;
use proxy_wasm::types::{Action, BufferType, MapType};

use crate::answer;
use crate::answer_cache::copy::AnswerCopy;
use crate::exchange::Exchange;
use crate::follow::FollowedAnswer;
use crate::host;
use crate::recovery::{AtTrailers, Recovery, WHOLE};
use crate::sent::{HttpAnswer, SentRequest};

const OK: u32 = 200;
const BAD_REQUEST: u32 = 400;

/// Everything that the answer to a request may need.
#[derive(Default)]
pub(crate) struct Response {
    /// The request as it left, if it may have to be sent once more.
    pub(crate) sent: Option<SentRequest>,
    /// Whether a refusal can be recovered: the filter has changed the request, and it carries thinking.
    pub(crate) is_recoverable: bool,
    /// Follows the answer, if the request has tools of ours that the model may call.
    pub(crate) following: Option<Box<FollowedAnswer>>,
    /// A copy of the answer for the cache.
    pub(crate) keeping: Option<AnswerCopy>,
    /// The second attempt after a refusal.
    recovery: Option<Recovery>,
}

/// Reads an answer's headers.
pub(crate) fn read_headers(exchange: &mut Exchange) -> Form {
    exchange.clock.first_byte = exchange.settings.now();
    match host::headers(MapType::HttpResponseHeaders) {
        Ok(headers) => take_answer(exchange, &headers),
        Err(refused) => {
            exchange.settings.refused(refused);
            Form::Other
        }
    }
}

/// Reads the headers of the answer that replaces the one that has come.
fn take_answer(exchange: &mut Exchange, headers: &host::Headers) -> Form {
    let transcript = exchange.answer.transcript.take();
    let (mut answer, form) = answer::read(headers, exchange.settings.config.read_usage);
    answer.take_rate_limits(&mut exchange.answer);
    exchange.answer = answer;
    exchange.answer.transcript = transcript;
    exchange.answer.renew_rate_limits(headers, exchange.settings.now());
    form
}

/// Reads a piece of a passing answer.
pub(crate) fn read_body(exchange: &mut Exchange, size: usize) {
    if size == 0 || !exchange.answer.is_read() {
        return;
    }
    match host::buffer(BufferType::HttpResponseBody, size) {
        Ok(bytes) => exchange.answer.read(&bytes),
        Err(refused) => {
            exchange.answer.give_up();
            exchange.settings.refused(refused);
        }
    }
}

impl Response {
    /// Reads the answer's headers and decides how its body is treated.
    pub(crate) fn on_headers(&mut self, exchange: &mut Exchange, end_of_stream: bool) -> Action {
        let form = read_headers(exchange);
        if self.recover(exchange, end_of_stream) {
            return Action::Pause;
        }
        if end_of_stream || !self.begin_following(exchange, form) {
            self.following = None;
        }
        self.keeping = self.keeping.take().and_then(|keeping| keeping.begin(exchange, form));
        Action::Continue
    }

    /// Sends a refused request once more. False: the refusal goes to the client.
    fn recover(&mut self, exchange: &Exchange, end_of_stream: bool) -> bool {
        if exchange.answer.status != BAD_REQUEST || end_of_stream || self.recovery.is_some() {
            return false;
        }
        let sent = self.sent.as_mut().filter(|_| self.is_recoverable);
        self.recovery = sent.and_then(|sent| Recovery::begin(exchange, sent));
        self.recovery.is_some()
    }

    /// Starts to follow the answer if the model may have called a tool of ours in it. Its length will differ
    /// from the provider's.
    fn begin_following(&mut self, exchange: &Exchange, form: Form) -> bool {
        let Some(following) = self.following.as_mut().filter(|following| following.is_armed()) else {
            return false;
        };
        if exchange.answer.status != OK || !matches!(form, Form::Json | Form::Events) {
            return false;
        }
        if let Err(refused) = host::remove_header(MapType::HttpResponseHeaders, b"content-length") {
            exchange.settings.refused(refused);
            return false;
        }
        following.begin(form == Form::Events);
        if let Some(sent) = &mut self.sent {
            sent.note_cluster(&exchange.settings);
        }
        true
    }

    /// Reads usage. Pauses only for the tool loop: an event that the model has written must reach the client
    /// at once.
    pub(crate) fn on_body(&mut self, exchange: &mut Exchange, size: usize, end_of_stream: bool) -> Action {
        if let Some(recovery) = &mut self.recovery {
            return recovery.on_body(exchange, size);
        }
        if let Some(following) = &mut self.following {
            return following.on_body(exchange, self.sent.as_mut(), size, end_of_stream);
        }
        read_body(exchange, size);
        self.keeping = self.keeping.take().and_then(|keeping| keeping.take(exchange, size));
        if end_of_stream {
            self.keep(exchange);
        }
        Action::Continue
    }

    /// Gives the complete answer to the cache.
    fn keep(&mut self, exchange: &mut Exchange) {
        if let Some(keeping) = self.keeping.take() {
            keeping.finish(exchange);
        }
    }

    /// The trailers: without this call the end of the answer would not be seen.
    pub(crate) fn on_trailers(&mut self, exchange: &mut Exchange) -> Action {
        if let Some(recovery) = &mut self.recovery {
            return match recovery.on_trailers(exchange) {
                AtTrailers::As(action) => action,
                AtTrailers::GivesUp => {
                    exchange.settings.metrics.recovered(false);
                    (self.recovery, self.following) = (None, None);
                    exchange.answer.status = BAD_REQUEST;
                    exchange.record.recovered = false;
                    exchange.tell_client();
                    Action::Continue
                }
            };
        }
        match &mut self.following {
            Some(following) => following.on_body(exchange, self.sent.as_mut(), 0, true),
            None => {
                self.keep(exchange);
                Action::Continue
            }
        }
    }

    /// Whether the gRPC call with this token was made for it and is still open.
    pub(crate) fn waits_for_grpc(&self, token: u32) -> bool {
        self.following.as_ref().is_some_and(|following| following.waits_for_grpc(token))
    }

    /// As [`Response::waits_for_grpc`] for an HTTP call.
    pub(crate) fn waits_for_http(&self, token: u32) -> bool {
        self.following.as_ref().is_some_and(|following| following.waits_for_http(token))
            || self.recovery.as_ref().is_some_and(|recovery| recovery.waits_for(token))
    }

    /// Takes the sidecar's answer to a call; `None`: the call failed.
    pub(crate) fn on_grpc_answer(&mut self, exchange: &mut Exchange, token: u32, answer: Option<&[u8]>) {
        let Some(following) = &mut self.following else { return };
        let last = following.on_sidecar_answer(&exchange.settings, self.sent.as_mut(), token, answer);
        if let Some(last) = last {
            self.end_followed(exchange, &last);
        }
    }

    /// Takes the provider's answer to a call; `None`: there is none.
    pub(crate) fn on_http_answer(&mut self, exchange: &mut Exchange, token: u32, answer: Option<HttpAnswer>) {
        if self.recovery.as_ref().is_some_and(|recovery| recovery.waits_for(token)) {
            return self.on_recovered(exchange, answer);
        }
        let Some(following) = &mut self.following else { return };
        if let Some(last) = following.on_continued(exchange, self.sent.as_mut(), token, answer) {
            self.end_followed(exchange, &last);
        }
    }

    /// Takes the answer to the second request.
    fn on_recovered(&mut self, exchange: &mut Exchange, answer: Option<HttpAnswer>) {
        let Some(recovery) = &mut self.recovery else { return };
        let stream = answer.as_ref().is_some_and(|answer| answer.is_answer(true));
        let answer = answer.filter(|answer| stream || answer.is_answer(false));
        let Some(answer) = recovery.keep(exchange, answer) else {
            exchange.settings.metrics.recovered(false);
            self.following = None;
            if self.recovery.take().is_some_and(|recovery| recovery.body_waits()) {
                // No other callback brings this body.
                match host::buffer(BufferType::HttpResponseBody, WHOLE) {
                    Ok(refusal) => exchange.answer.read(&refusal),
                    Err(refused) => exchange.settings.refused(refused),
                }
            }
            exchange.tell_client();
            exchange.continue_answer();
            return;
        };
        recovery.succeed(exchange);
        take_answer(exchange, answer.headers());
        let whole = match &mut self.following {
            Some(following) => following.on_whole(exchange, self.sent.as_mut(), stream, answer.body),
            None => Some(answer.body),
        };
        if let Some(whole) = whole {
            self.end_followed(exchange, &whole);
        }
    }

    /// Lets a paused answer go on with its last bytes.
    fn end_followed(&mut self, exchange: &mut Exchange, last: &[u8]) {
        if let Some(following) = self.following.take() {
            following.note_hidden(exchange);
        }
        if let Some(recovery) = &mut self.recovery {
            return recovery.deliver(exchange, last);
        }
        exchange.answer.read(last);
        exchange.put_answer(0, last);
        exchange.continue_answer();
    }

    /// The end of the stream.
    pub(crate) fn end(self, exchange: &mut Exchange) {
        if let Some(following) = self.following {
            following.note_hidden(exchange);
        }
        // The answer is not complete.
        if let Some(keeping) = self.keeping {
            keeping.abandon(exchange);
        }
    }
}
