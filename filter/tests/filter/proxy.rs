//! Plays Envoy: a plugin with its configuration, and streams that buffer while the filter pauses.

use headroom_api::v1::{ReportRequest, ReportResponse, RequestRecord};
use headroom_filter::exports::{self, Action};
use prost::Message;
use serde_json::json;

use crate::host::{Headers, host};

/// One configuration in one VM.
pub(crate) struct Plugin {
    root: u32,
    next: u32,
}

impl Plugin {
    /// Starts a plugin with a configuration.
    pub(crate) fn new(configuration: serde_json::Value) -> Self {
        Self::start(1, configuration.to_string().as_bytes())
    }

    /// With a sidecar to report to.
    pub(crate) fn reporting() -> Self {
        Self::new(json!({"control_plane": {"cluster": "headroom-cp"}}))
    }

    /// Starts a plugin as root context `root` with the configuration's bytes.
    pub(crate) fn start(root: u32, configuration: &[u8]) -> Self {
        exports::proxy_on_context_create(root, 0);
        assert!(exports::proxy_on_vm_start(root, 0));
        let plugin = Self { root, next: root * 1000 };
        plugin.configure(configuration);
        plugin
    }

    pub(crate) fn configure(&self, configuration: &[u8]) {
        host(|host| host.configuration = configuration.to_vec());
        let accepted = exports::proxy_on_configure(self.root, configuration.len());
        assert!(accepted, "Envoy would not start with {:?}", String::from_utf8_lossy(configuration));
    }

    /// The end of the root context.
    pub(crate) fn delete(self) {
        assert!(exports::proxy_on_done(self.root));
        exports::proxy_on_delete(self.root);
    }

    /// A stream of which nothing has come yet.
    pub(crate) fn stream(&mut self) -> Stream {
        self.next += 1;
        exports::proxy_on_context_create(self.next, self.root);
        host(|host| {
            host.request_body.clear();
            host.response_body.clear();
            host.response_headers = None;
            host.properties.clear();
        });
        Stream {
            context: self.next,
            paused: false,
            sent_headers: None,
            sent_body: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// A whole request with a known length, in one piece.
    pub(crate) fn post(&mut self, path: &str, extra: &[(&str, &str)], body: &[u8]) -> Stream {
        let mut stream = self.stream();
        let length = body.len().to_string();
        let mut headers = vec![("content-length", length.as_str())];
        headers.extend_from_slice(extra);
        stream.headers("POST", path, &headers, false);
        stream.body(body, true);
        stream
    }

    /// Time passes, and the tick comes.
    pub(crate) fn tick_after(&self, milliseconds: u64) {
        host(|host| host.now += milliseconds * 1_000_000);
        exports::proxy_on_tick(self.root);
    }

    /// The reports so far.
    pub(crate) fn reports(&self) -> Vec<ReportRequest> {
        host(|host| {
            host.grpc_calls.iter().map(|call| ReportRequest::decode(&*call.message).unwrap()).collect()
        })
    }

    /// The records of the latest report.
    pub(crate) fn records(&self) -> Vec<RequestRecord> {
        self.tick_after(60_000);
        self.reports().pop().expect("a report").records
    }

    /// The sidecar acknowledges the latest report.
    pub(crate) fn acknowledge(&self, sequence: u64) {
        self.answer(
            &ReportResponse { acknowledged_sequence: sequence, epoch: "e1".to_owned() }.encode_to_vec(),
        );
    }

    /// The sidecar answers the latest report with some bytes.
    pub(crate) fn answer(&self, bytes: &[u8]) {
        let token = host(|host| {
            host.grpc_message = bytes.to_vec();
            host.grpc_calls.last().expect("a report").token
        });
        exports::proxy_on_grpc_receive(self.root, token, bytes.len());
    }

    /// The latest report fails.
    pub(crate) fn fail(&self) {
        let token = host(|host| host.grpc_calls.last().expect("a report").token);
        exports::proxy_on_grpc_close(self.root, token, 14);
    }
}

/// One stream, with what has left for the provider.
pub(crate) struct Stream {
    pub(crate) context: u32,
    paused: bool,
    /// As they were when they left.
    pub(crate) sent_headers: Option<Headers>,
    pub(crate) sent_body: Vec<u8>,
    pub(crate) actions: Vec<Action>,
}

impl Stream {
    pub(crate) fn headers(&mut self, method: &str, path: &str, extra: &[(&str, &str)], end: bool) {
        let mut headers: Headers = vec![
            (":method".into(), method.into()),
            (":path".into(), path.into()),
            (":authority".into(), "api".into()),
        ];
        headers.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())));
        self.raw_headers(headers, end);
    }

    pub(crate) fn raw_headers(&mut self, headers: Headers, end: bool) {
        let count = headers.len();
        host(|host| host.request_headers = Some(headers));
        let action = exports::proxy_on_request_headers(self.context, count, end);
        self.act(action);
    }

    /// A piece of the body, as Envoy shows it: together with all that is kept back.
    pub(crate) fn body(&mut self, piece: &[u8], end: bool) {
        let size = host(|host| {
            host.request_body.extend_from_slice(piece);
            host.request_body.len()
        });
        let action = exports::proxy_on_request_body(self.context, size, end);
        self.act(action);
    }

    pub(crate) fn trailers(&mut self) {
        let action = exports::proxy_on_request_trailers(self.context, 1);
        self.act(action);
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
        self.paused = action == Action::Pause;
        if self.paused {
            return;
        }
        host(|host| {
            if let Some(headers) = host.request_headers.take() {
                self.sent_headers = Some(headers);
            }
            self.sent_body.append(&mut host.request_body);
        });
    }

    /// Whether anything is kept back.
    pub(crate) fn paused(&self) -> bool {
        self.paused
    }

    /// A header as it left.
    pub(crate) fn sent_header(&self, name: &str) -> Option<String> {
        let headers = self.sent_headers.as_ref().expect("the headers have left");
        headers
            .iter()
            .find(|(of, _)| of == name)
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// The answer's headers; returns them as the client gets them.
    pub(crate) fn respond(&mut self, status: &str, content_type: &str, extra: &[(&str, &str)]) -> Headers {
        let mut headers: Headers =
            vec![(":status".into(), status.into()), ("content-type".into(), content_type.into())];
        headers.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())));
        let count = headers.len();
        host(|host| host.response_headers = Some(headers));
        let action = exports::proxy_on_response_headers(self.context, count, false);
        assert_eq!(action, Action::Continue);
        host(|host| host.response_headers.take().expect("nobody took them"))
    }

    /// A piece of the answer.
    pub(crate) fn respond_body(&mut self, piece: &[u8], end: bool) {
        host(|host| host.response_body = piece.to_vec());
        let action = exports::proxy_on_response_body(self.context, piece.len(), end);
        assert_eq!(action, Action::Continue, "an answer is never held up");
        assert_eq!(host(|host| host.response_body.clone()), piece, "an answer is never changed");
    }

    /// The end of the stream, however it came.
    pub(crate) fn finish(self) {
        assert!(exports::proxy_on_done(self.context));
        exports::proxy_on_delete(self.context);
    }
}

/// A request with a file read that the engine can compress.
pub(crate) fn compressible() -> Vec<u8> {
    let file: String =
        (1..=200).map(|line| format!("{line:6}\tlet value_{line} = compute({line});\n")).collect();
    json!({
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "messages": [
            {"role": "user", "content": "Read the file."},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "t1", "name": "Read", "input": {"file_path": "/a.rs"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": file}]},
        ],
    })
    .to_string()
    .into_bytes()
}

/// What the engine alone makes of it.
pub(crate) fn compressed(body: &[u8]) -> Vec<u8> {
    let outcome = headroom_compress::compress(
        body,
        &headroom_compress::Request::new(headroom_compress::Api::AnthropicMessages),
        &headroom_compress::Config::default(),
        &mut headroom_compress::Memo::new(1 << 20),
    );
    let compressed = outcome.body.into_owned();
    assert!(compressed.len() < body.len(), "the engine found nothing to do");
    compressed
}
