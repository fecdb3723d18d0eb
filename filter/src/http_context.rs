//! The callbacks of the host for a stream.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::sent::HttpAnswer;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::vm::{self, SharedStream};

/// The HTTP context of the filter: a handle to the stream, because a root's tick also works for its streams.
pub(crate) struct HttpFilter {
    id: u32,
    stream: SharedStream,
}

impl HttpFilter {
    pub(crate) fn new(id: u32, settings: Rc<Settings>) -> Self {
        let stream = Rc::new(RefCell::new(Stream::new(id, settings)));
        vm::add_stream(id, Rc::clone(&stream));
        Self { id, stream }
    }

    /// Runs a callback. A callback that comes during another one of the same stream lets the bytes pass.
    fn run(&self, run: impl FnOnce(&mut Stream) -> Action) -> Action {
        self.stream.try_borrow_mut().map_or(Action::Continue, |mut stream| run(&mut stream))
    }
}

impl Context for HttpFilter {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _trailers: usize) {
        if let Ok(mut stream) = self.stream.try_borrow_mut() {
            let answer = HttpAnswer::told(&stream.settings, headers, body_size);
            stream.on_http_answer(token, answer);
        }
    }

    fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
        if let Ok(mut stream) = self.stream.try_borrow_mut() {
            let answer = stream.settings.grpc_message(status, size);
            stream.on_grpc_answer(token, answer.as_deref());
        }
    }

    /// Always true: there is nothing that Envoy has to wait for.
    fn on_done(&mut self) -> bool {
        if let Ok(mut stream) = self.stream.try_borrow_mut() {
            stream.end();
        }
        true
    }
}

impl HttpContext for HttpFilter {
    fn on_http_request_headers(&mut self, _headers: usize, end_of_stream: bool) -> Action {
        self.run(|stream| stream.on_request_headers(end_of_stream))
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.run(|stream| stream.on_request_body(size, end_of_stream))
    }

    fn on_http_request_trailers(&mut self, _trailers: usize) -> Action {
        self.run(Stream::on_request_trailers)
    }

    fn on_http_response_headers(&mut self, _headers: usize, end_of_stream: bool) -> Action {
        self.run(|stream| stream.on_response_headers(end_of_stream))
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.run(|stream| stream.on_response_body(size, end_of_stream))
    }

    fn on_http_response_trailers(&mut self, _trailers: usize) -> Action {
        self.run(Stream::on_response_trailers)
    }
}

impl Drop for HttpFilter {
    fn drop(&mut self) {
        vm::remove(self.id);
    }
}
