//! One stream of Envoy: passes each callback to the phase that handles it.

use std::rc::Rc;

use proxy_wasm::types::{Action, MapType};

use crate::exchange::Exchange;
use crate::host;
use crate::request::{self, Request};
use crate::request_headers::RequestHeaders;
use crate::response::Response;
use crate::sent::HttpAnswer;
use crate::settings::Settings;
use crate::unrecognized;
use crate::websocket::WebSocket;

/// The HTTP context of the filter.
pub(crate) struct Stream {
    /// The host's number of the context.
    id: u32,
    pub(crate) settings: Rc<Settings>,
    transport: Transport,
}

/// What a stream carries.
#[derive(Default)]
enum Transport {
    /// The filter does not handle it, or has finished: everything passes.
    #[default]
    Foreign,
    /// One request and its response.
    Http(Box<Http>),
    /// A session in which requests come one after another.
    WebSocket(Box<WebSocket>),
}

struct Http {
    exchange: Exchange,
    request: Request,
    response: Response,
}

impl Stream {
    pub(crate) fn new(id: u32, settings: Rc<Settings>) -> Self {
        Self { id, settings, transport: Transport::Foreign }
    }

    /// Matches the request and decides whether the filter has to wait for its body.
    pub(crate) fn on_request_headers(&mut self, end_of_stream: bool) -> Action {
        let settings = Rc::clone(&self.settings);
        let now = settings.now();
        let all =
            host::headers(MapType::HttpRequestHeaders).map_err(|refused| settings.refused(refused)).ok();
        let mut headers = match &all {
            Some(all) => RequestHeaders::read(all, &settings.config),
            None => RequestHeaders::unseen(),
        };
        if headers.route.is_none() && unrecognized::is_for_sidecar(&settings.config) {
            unrecognized::name_tenant(&settings, &headers.tenant);
            return Action::Continue;
        }
        for name in &headers.ours {
            if let Err(refused) = host::remove_header(MapType::HttpRequestHeaders, name) {
                settings.refused(refused);
            }
        }
        let Some(route) = headers.route.take() else {
            return unrecognized::pass_or_refuse(&settings, &headers, now);
        };
        let mut exchange = request::begin(settings, &mut headers, &route, now);
        let mut request = Request::passing(self.id);
        let action = if request::refuse(&mut exchange, &route, &headers.keys) {
            Action::Pause
        } else if headers.websocket {
            let session = WebSocket::begin(exchange, route, headers.treatment, headers.target);
            self.transport = Transport::WebSocket(Box::new(session));
            return Action::Continue;
        } else {
            request.on_headers(&mut exchange, route, &headers, all.as_ref(), end_of_stream)
        };
        self.carry(exchange, request);
        action
    }

    fn carry(&mut self, exchange: Exchange, request: Request) {
        let http = Http { exchange, request, response: Response::default() };
        self.transport = Transport::Http(Box::new(http));
    }

    pub(crate) fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        match &mut self.transport {
            Transport::Foreign => Action::Continue,
            Transport::Http(http) => {
                let Http { exchange, request, response } = &mut **http;
                request.on_body(exchange, response, size, end_of_stream)
            }
            Transport::WebSocket(session) => session.on_client_bytes(size, end_of_stream),
        }
    }

    pub(crate) fn on_request_trailers(&mut self) -> Action {
        match &mut self.transport {
            Transport::Http(http) => {
                let Http { exchange, request, response } = &mut **http;
                request.on_end(exchange, response)
            }
            Transport::Foreign | Transport::WebSocket(_) => Action::Continue,
        }
    }

    /// Reads the answer's headers and tells the client what was done to its request.
    pub(crate) fn on_response_headers(&mut self, end_of_stream: bool) -> Action {
        if let Transport::WebSocket(_) = &self.transport {
            return self.on_session_answer();
        }
        let Transport::Http(http) = &mut self.transport else { return Action::Continue };
        let Http { exchange, request, response } = &mut **http;
        request.stop_asking(exchange, response);
        if response.on_headers(exchange, end_of_stream) == Action::Pause {
            return Action::Pause;
        }
        request.notice_overflow(exchange);
        exchange.tell_client();
        Action::Continue
    }

    /// The answer to the request for a session: from now on the records are those of the session's requests,
    /// or, if it was refused, that of this request.
    fn on_session_answer(&mut self) -> Action {
        let Transport::WebSocket(session) = std::mem::take(&mut self.transport) else {
            return Action::Continue;
        };
        match session.on_answer() {
            Ok(session) => self.transport = Transport::WebSocket(Box::new(session)),
            Err(handshake) => {
                if let Some(exchange) = handshake {
                    exchange.tell_client();
                    self.carry(*exchange, Request::passing(self.id));
                }
            }
        }
        Action::Continue
    }

    pub(crate) fn on_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        match &mut self.transport {
            Transport::Foreign => Action::Continue,
            Transport::Http(http) => http.response.on_body(&mut http.exchange, size, end_of_stream),
            Transport::WebSocket(session) => session.on_provider_bytes(size, end_of_stream),
        }
    }

    pub(crate) fn on_response_trailers(&mut self) -> Action {
        match &mut self.transport {
            Transport::Http(http) => http.response.on_trailers(&mut http.exchange),
            Transport::Foreign | Transport::WebSocket(_) => Action::Continue,
        }
    }

    /// How many open requests will have a record. In a session, the request that has opened it has none.
    pub(crate) fn open_records(&self) -> usize {
        match &self.transport {
            Transport::Foreign => 0,
            Transport::Http(http) => usize::from(http.exchange.is_reported),
            Transport::WebSocket(session) => session.open_records(),
        }
    }

    /// Whether this stream has made the gRPC call with this token and waits for its answer.
    pub(crate) fn waits_for_grpc(&self, token: u32) -> bool {
        matches!(&self.transport, Transport::Http(http)
            if http.response.waits_for_grpc(token) || http.request.waits_for_grpc(token))
    }

    /// As [`Stream::waits_for_grpc`] for an HTTP call.
    pub(crate) fn waits_for_http(&self, token: u32) -> bool {
        matches!(&self.transport, Transport::Http(http) if http.response.waits_for_http(token))
    }

    /// Takes the provider's answer to a call of this stream; `None`: there is none.
    pub(crate) fn on_http_answer(&mut self, token: u32, answer: Option<HttpAnswer>) {
        if let Transport::Http(http) = &mut self.transport {
            http.response.on_http_answer(&mut http.exchange, token, answer);
        }
    }

    /// Takes the sidecar's answer to a call of this stream; `None`: the call failed.
    pub(crate) fn on_grpc_answer(&mut self, token: u32, answer: Option<&[u8]>) {
        if let Transport::Http(http) = &mut self.transport {
            let Http { exchange, request, response } = &mut **http;
            if request.waits_for_grpc(token) {
                request.on_grpc_answer(exchange, response, answer);
            } else {
                response.on_grpc_answer(exchange, token, answer);
            }
        }
    }

    /// Gives a waiting request its turn. False: it does not wait.
    pub(crate) fn take_turn(&mut self) -> bool {
        let Transport::Http(http) = &mut self.transport else { return false };
        let Http { exchange, request, response } = &mut **http;
        request.take_turn(exchange, response)
    }

    /// Whether a request waits for the sidecar, even if the root that asked is gone.
    pub(crate) fn waits_for_sidecar(&self) -> bool {
        matches!(&self.transport, Transport::Http(http) if http.request.waits_for_sidecar())
    }

    /// Whether it waits for something that will never come.
    pub(crate) fn is_overdue(&self, now: u64) -> bool {
        match &self.transport {
            Transport::Foreign => false,
            Transport::Http(http) => http.request.is_overdue(&http.exchange, now),
            Transport::WebSocket(session) => session.is_silent(now),
        }
    }

    /// Ends such a wait.
    pub(crate) fn release(&mut self) {
        match &mut self.transport {
            Transport::Foreign => {}
            Transport::Http(http) => {
                let Http { exchange, request, response } = &mut **http;
                request.release(exchange, response);
            }
            Transport::WebSocket(session) => {
                session.time_out();
                // The host ends the stream during this call, so the record has to be written before.
                self.end();
                if let Err(refused) = host::close_stream() {
                    self.settings.refused(refused);
                }
            }
        }
    }

    /// The end of the stream, however it came. Safe to repeat.
    pub(crate) fn end(&mut self) {
        match std::mem::take(&mut self.transport) {
            Transport::Foreign => {}
            Transport::Http(http) => {
                let Http { mut exchange, request, response } = *http;
                response.end(&mut exchange);
                request.end(&mut exchange);
                exchange.finish();
            }
            Transport::WebSocket(session) => session.end(),
        }
    }
}
