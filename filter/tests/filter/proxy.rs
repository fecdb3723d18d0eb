//! Plays Envoy: a plugin with its configuration, and streams that buffer while the filter pauses.

use crate::exports::{self, Action};
use headroom_api::v1::{ReportRequest, ReportResponse, RequestRecord};
use prost::Message;
use serde_json::json;

use crate::host::{GrpcCall, Headers, host};

/// The calls of one method of the sidecar so far.
pub(crate) fn calls(method: &str) -> Vec<GrpcCall> {
    let all = host(|host| host.grpc_calls.clone());
    all.into_iter().filter(|call| call.method.ends_with(&format!("/{method}"))).collect()
}

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

    /// A plugin with a sidecar to report to.
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

    /// Ends the root context.
    pub(crate) fn end(self) {
        assert!(exports::proxy_on_done(self.root));
        exports::proxy_on_delete(self.root);
    }

    /// As [`Plugin::end`], and deletes the data that all VMs share.
    pub(crate) fn delete(self) {
        self.end();
        host(|host| host.shared.clear());
    }

    /// A stream that has received nothing so far.
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
            client: Vec::new(),
            answer_paused: false,
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

    /// Lets time pass, then runs a tick.
    pub(crate) fn tick_after(&self, milliseconds: u64) {
        host(|host| {
            host.effective_context = 0;
            host.now += milliseconds * 1_000_000;
        });
        exports::proxy_on_tick(self.root);
    }

    /// The reports so far.
    pub(crate) fn reports(&self) -> Vec<ReportRequest> {
        let calls = calls("Report").into_iter();
        calls.map(|call| ReportRequest::decode(&*call.message).unwrap()).collect()
    }

    /// The records of the latest report.
    pub(crate) fn records(&self) -> Vec<RequestRecord> {
        self.tick_after(60_000);
        self.reports().pop().expect("a report").records
    }

    /// Lets the sidecar acknowledge the latest report.
    pub(crate) fn acknowledge(&self, sequence: u64) {
        self.answer(
            &ReportResponse {
                acknowledged_sequence: sequence,
                epoch: "e1".to_owned(),
                ..ReportResponse::default()
            }
            .encode_to_vec(),
        );
    }

    /// Lets the sidecar answer the latest report with these bytes.
    pub(crate) fn answer(&self, bytes: &[u8]) {
        host(|host| {
            host.effective_context = 0;
            host.grpc_message = bytes.to_vec();
        });
        let token = calls("Report").last().expect("a report").token;
        exports::proxy_on_grpc_receive(self.root, token, bytes.len());
    }

    /// Lets the latest report fail.
    pub(crate) fn fail(&self) {
        let token = calls("Report").last().expect("a report").token;
        exports::proxy_on_grpc_close(self.root, token, 14);
    }
}

/// One stream, and what has left for the provider.
pub(crate) struct Stream {
    pub(crate) context: u32,
    paused: bool,
    /// The request's headers when they left.
    pub(crate) sent_headers: Option<Headers>,
    pub(crate) sent_body: Vec<u8>,
    pub(crate) actions: Vec<Action>,
    /// The bytes of the answer that the client has received.
    pub(crate) client: Vec<u8>,
    pub(crate) answer_paused: bool,
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
        self.enter();
        let action = exports::proxy_on_request_headers(self.context, count, end);
        self.act(action);
    }

    /// Makes the following calls apply to this stream.
    fn enter(&self) {
        host(|host| host.effective_context = self.context);
    }

    /// Sends a piece of the body, as Envoy shows it: together with everything that is held.
    pub(crate) fn body(&mut self, piece: &[u8], end: bool) {
        let size = host(|host| {
            host.request_body.extend_from_slice(piece);
            host.request_body.len()
        });
        self.enter();
        let action = exports::proxy_on_request_body(self.context, size, end);
        self.act(action);
    }

    pub(crate) fn trailers(&mut self) {
        self.enter();
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

    /// Lets the sidecar answer a call of this stream; `None`: the call fails.
    pub(crate) fn sidecar_answers(&mut self, token: u32, message: Option<&[u8]>) {
        host(|host| {
            host.effective_context = 0;
            host.grpc_message = message.unwrap_or_default().to_vec();
        });
        // As in Envoy: the root receives the answer, whichever context made the call.
        match message {
            Some(message) => exports::proxy_on_grpc_receive(self.root(), token, message.len()),
            None => exports::proxy_on_grpc_close(self.root(), token, 14),
        }
        self.look();
        self.look_at_answer();
    }

    /// The root context, from whose number a plugin numbers its streams.
    fn root(&self) -> u32 {
        self.context / 1000
    }

    /// Lets the provider answer the filter's own request; `None`: it fails.
    pub(crate) fn provider_goes_on(&mut self, answer: Option<(&str, &str, &[u8])>) {
        self.provider_goes_on_with(answer, &[]);
    }

    /// The same, with headers in addition to the status and the type.
    pub(crate) fn provider_goes_on_with(
        &mut self,
        answer: Option<(&str, &str, &[u8])>,
        more: &[(&str, &str)],
    ) {
        let token = host(|host| {
            host.effective_context = 0;
            host.http_answer = answer.map(|(status, kind, body)| {
                let headers = [(":status", status), ("content-type", kind)];
                let headers = headers.iter().chain(more);
                let headers = headers.map(|(name, value)| ((*name).into(), (*value).into()));
                (headers.collect(), body.to_vec())
            });
            host.http_calls.last().expect("a call").token
        });
        let (headers, size) = answer.map_or((0, 0), |(_, _, body)| (2 + more.len(), body.len()));
        exports::proxy_on_http_call_response(self.root(), token, headers, size, 0);
        host(|host| host.http_answer = None);
        self.look_at_answer();
    }

    /// Sends a piece of an answer, which the filter may change or hold.
    pub(crate) fn provider_sends(&mut self, piece: &[u8], end: bool) {
        let size = host(|host| {
            host.response_body.extend_from_slice(piece);
            host.response_body.len()
        });
        self.enter();
        let action = exports::proxy_on_response_body(self.context, size, end);
        self.act_on_answer(action);
    }

    /// Ends an answer with trailers.
    pub(crate) fn provider_sends_trailers(&mut self) {
        self.enter();
        let action = exports::proxy_on_response_trailers(self.context, 1);
        self.act_on_answer(action);
    }

    fn act_on_answer(&mut self, action: Action) {
        self.answer_paused = action == Action::Pause;
        if !self.answer_paused {
            self.client.extend(host(|host| std::mem::take(&mut host.response_body)));
        }
    }

    fn look_at_answer(&mut self) {
        let continued = host(|host| {
            let count = host.continued_answers.len();
            host.continued_answers.retain(|context| *context != self.context);
            count > host.continued_answers.len()
        });
        if continued {
            self.act_on_answer(Action::Continue);
        }
    }

    /// Notes what the filter has released by itself.
    pub(crate) fn look(&mut self) {
        let continued = host(|host| {
            let count = host.continued.len();
            host.continued.retain(|context| *context != self.context);
            count > host.continued.len()
        });
        if continued {
            self.act(Action::Continue);
        }
    }

    /// Whether anything is held.
    pub(crate) fn paused(&self) -> bool {
        self.paused
    }

    /// A header of the request when it left.
    pub(crate) fn sent_header(&self, name: &str) -> Option<String> {
        let headers = self.sent_headers.as_ref().expect("the headers have left");
        headers
            .iter()
            .find(|(of, _)| of == name)
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// Sends the answer's headers; returns them as the client receives them.
    pub(crate) fn respond(&mut self, status: &str, content_type: &str, extra: &[(&str, &str)]) -> Headers {
        let mut headers: Headers =
            vec![(":status".into(), status.into()), ("content-type".into(), content_type.into())];
        headers.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())));
        let count = headers.len();
        host(|host| host.response_headers = Some(headers));
        self.enter();
        let action = exports::proxy_on_response_headers(self.context, count, false);
        assert_eq!(action, Action::Continue);
        host(|host| host.response_headers.take().expect("nobody took them"))
    }

    /// Sends the headers of an answer that the filter holds.
    pub(crate) fn refused_headers(&mut self, status: &str, content_type: &str) {
        let headers: Headers =
            vec![(":status".into(), status.into()), ("content-type".into(), content_type.into())];
        host(|host| host.response_headers = Some(headers));
        self.enter();
        let action = exports::proxy_on_response_headers(self.context, 2, false);
        assert_eq!(action, Action::Pause);
        self.answer_paused = true;
    }

    /// The current headers of the answer.
    pub(crate) fn answer_headers(&self) -> Headers {
        host(|host| host.response_headers.clone()).expect("headers that were held")
    }

    /// Sends a piece of the answer.
    pub(crate) fn respond_body(&mut self, piece: &[u8], end: bool) {
        host(|host| host.response_body = piece.to_vec());
        self.enter();
        let action = exports::proxy_on_response_body(self.context, piece.len(), end);
        assert_eq!(action, Action::Continue, "an answer is never held up");
        assert_eq!(host(|host| host.response_body.clone()), piece, "an answer is never changed");
    }

    /// Ends the stream, in whatever way.
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

/// The engine's result for it.
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

/// A request with tools and one long output per element of `rows`, most of which the engine leaves out.
pub(crate) fn lossy(rows: &[usize]) -> Vec<u8> {
    let turns = rows.iter().enumerate().flat_map(|(turn, rows)| {
        let items: Vec<_> = (0..*rows)
            .map(|n| json!({"id": 7919 * (n + 1), "turn": turn, "status": if n == 40 { "failed" } else { "ok" },
                "name": format!("deployment-{n}"), "region": "eu-central-1"}))
            .collect();
        let id = format!("t{turn}");
        [
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "list", "input": {}}]}),
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id,
                "content": serde_json::to_string(&items).unwrap()}]}),
        ]
    });
    let user = json!({"role": "user", "content": "Which deployments failed?"});
    let messages: Vec<_> = [user].into_iter().chain(turns).collect();
    json!({
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "tools": [{"name": "list", "input_schema": {"type": "object"}}],
        "messages": messages,
    })
    .to_string()
    .into_bytes()
}

/// The engine's result for it if something may be left out.
pub(crate) fn reversible(body: &[u8]) -> Vec<u8> {
    let request = headroom_compress::Request {
        reversible: true,
        retrieve_tool: headroom_compress::RetrieveTool::Add,
        ..headroom_compress::Request::new(headroom_compress::Api::AnthropicMessages)
    };
    let mut memo = headroom_compress::Memo::new(1 << 20);
    headroom_compress::compress(body, &request, &headroom_compress::Config::default(), &mut memo)
        .body
        .into_owned()
}
