//! A provider that answers by a script and records its requests.

mod answer;
mod binding;
mod boundaries;
mod conversations;
mod encoding;
mod plan;
mod progress;
mod prompt_cache;
mod report;
mod retrieval;
mod script;
mod transcript;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use answer::{Answer, Api};
pub use boundaries::Boundaries;
use conversations::{Followed, Reply};
pub use encoding::Encoding;
pub use plan::{Plan, Way};
use progress::Progress;
use prompt_cache::{PromptCache, Rules};
pub use report::{Report, Retrieval};
pub use script::{NAME_HEADER, SCRIPT_HEADER, Script, ToolCall};

/// A running provider, speaking HTTP/1.1 and HTTP/2 without TLS.
///
/// A request is answered by the [`Script`] in its header; or, if its name has a [`Plan`], by a model that
/// thinks, and by a provider that checks what the conversation's thinking is bound to.
///
/// For clients that are not in this process: `GET /__requests/{name}` gives the recorded requests of a name as
/// JSON, `PUT /__plans/{name}` sets its plan, `GET /__reports/{name}` gives its report.
#[derive(Clone, Debug)]
pub struct Provider {
    address: SocketAddr,
    state: Arc<State>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// GET, POST, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// In the order of arrival, names in lower case.
    pub headers: HeaderMap,
    /// The body; only the received part if `complete` is false.
    pub body: Bytes,
    /// False if the sender left in the middle of the body.
    pub complete: bool,
    /// The trailers.
    pub trailers: Option<HeaderMap>,
    /// When it was complete.
    pub at: Instant,
}

#[derive(Debug, Default)]
struct State {
    recorded: Mutex<HashMap<String, Vec<RecordedRequest>>>,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    followed: Mutex<HashMap<String, Followed>>,
    caches: Mutex<HashMap<String, PromptCache>>,
}

/// The fields that an answer depends on. The rest of a body is skipped, because latencies are measured here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    model: Option<String>,
    stream: bool,
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: bool,
}

type Body = BoxBody<Bytes, io::Error>;

/// The events of OpenAI's answer to a request after this many tool outputs, as JSON.
pub(crate) fn response_events(
    model: &str,
    script: &Script,
    outputs: usize,
    body_bytes: usize,
) -> Vec<String> {
    let progress = Progress::Outputs(outputs);
    let script = progress.script(script);
    let api = Api::OpenAiResponses;
    let answer = Answer {
        api,
        model,
        parts: answer::scripted(api, &script, outputs).into(),
        calls_before: outputs,
        response_id: None,
        body_bytes,
        cache_read_tokens: script.cache_read_tokens,
        cached: None,
        stream_usage: true,
        transformations: Vec::new(),
        is_nested: false,
    };
    let data = |event: &String| event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
    answer.events().iter().filter_map(data).collect()
}

/// Servers run on a separate runtime: each test has its own runtime, which ends with the test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime starts"));

/// Runs `work` on the servers' runtime.
pub(crate) async fn on_server_runtime<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    RUNTIME.spawn(work).await?
}

impl Provider {
    /// Starts on a loopback port; 0 picks a free one.
    pub async fn start(port: u16) -> Result<Self> {
        on_server_runtime(async move {
            let listener = TcpListener::bind(("127.0.0.1", port)).await?;
            let provider = Self { address: listener.local_addr()?, state: Arc::default() };
            let state = Arc::clone(&provider.state);
            tokio::spawn(async move {
                // Accepting fails when file descriptors run out; the clients then see a closed port.
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&state)));
                }
            });
            Ok(provider)
        })
        .await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests of a name, in order.
    pub fn requests(&self, name: &str) -> Vec<RecordedRequest> {
        self.state.recorded.lock().expect("no panic while locked").get(name).cloned().unwrap_or_default()
    }

    /// The requests of a name, in order; they are removed here.
    pub fn take(&self, name: &str) -> Vec<RecordedRequest> {
        self.state.recorded.lock().expect("no panic while locked").remove(name).unwrap_or_default()
    }

    /// From now on a model answers the requests of this name by a plan; earlier data of the name is removed.
    /// The plan also applies to requests whose name continues with a slash and a number.
    pub fn follow(&self, name: &str, plan: Plan) {
        self.state.follow(name, plan);
    }

    /// From now on old turns of a name with a plan may be rewritten at these boundaries, and only there.
    pub fn rewrites(&self, name: &str, boundaries: Boundaries) {
        self.state.with_followed(name, |followed| followed.boundaries = Some(boundaries));
    }

    /// The report of a name with a plan.
    pub fn report(&self, name: &str) -> Report {
        self.state.with_followed(name, |followed| followed.report()).unwrap_or_default()
    }

    /// Removes the data and the plan of a name, for runs that would not fit into memory.
    pub fn forget(&self, name: &str) {
        self.take(name);
        self.state.followed.lock().expect("no panic while locked").remove(name);
    }

    /// Lets a gated stream of this name send its next `events` events.
    pub fn release(&self, name: &str, events: usize) {
        self.state.gate(name).add_permits(events);
    }
}

impl State {
    fn follow(&self, name: &str, plan: Plan) {
        let mut followed = self.followed.lock().expect("no panic while locked");
        followed.insert(name.to_owned(), Followed::new(plan));
    }

    /// `None`: the name has no plan.
    fn with_followed<T>(&self, name: &str, with: impl FnOnce(&mut Followed) -> T) -> Option<T> {
        let mut followed = self.followed.lock().expect("no panic while locked");
        let before_number = name.rsplit_once('/').map(|(before, _)| before);
        let key =
            [Some(name), before_number].into_iter().flatten().find(|key| followed.contains_key(*key))?;
        followed.get_mut(key).map(with)
    }

    /// What the prompt cache of a name says of a request; `None`: its API has none here.
    fn cached(
        &self,
        answer: &Answer<'_>,
        script: &Script,
        name: &str,
        body: &[u8],
    ) -> Option<prompt_cache::Usage> {
        let rules = match answer.api {
            Api::Anthropic => Rules::Anthropic { minimum: 1_024 },
            Api::OpenAiChat | Api::OpenAiResponses => Rules::OpenAi { lifetime: 600 },
            Api::Gemini => Rules::Gemini { minimum: 2_048 },
            Api::BedrockConverse if answer.model.contains("claude") => {
                Rules::Bedrock { minimum: 1_024, look_back: 20 }
            }
            Api::BedrockConverse => Rules::Bedrock { minimum: 1_024, look_back: 1 },
        };
        let body = serde_json::from_slice(body).ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        // Bodies for Gemini and Bedrock do not name the model.
        let whose = format!("{name} {}", answer.model);
        let mut caches = self.caches.lock().expect("no panic while locked");
        let cache = caches.entry(name.to_owned()).or_default();
        if script.forget_cache {
            cache.forget();
        }
        Some(cache.answer(rules, &whose, &body, now))
    }

    fn gate(&self, name: &str) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().expect("no panic while locked");
        Arc::clone(gates.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(0))))
    }

    /// Remembers a request and returns how many of its name came before.
    fn record(&self, name: &str, request: RecordedRequest) -> usize {
        let mut recorded = self.recorded.lock().expect("no panic while locked");
        let requests = recorded.entry(name.to_owned()).or_default();
        requests.push(request);
        requests.len() - 1
    }

    fn listing(&self, name: &str) -> Value {
        let recorded = self.recorded.lock().expect("no panic while locked");
        let requests = recorded.get(name).map(Vec::as_slice).unwrap_or_default();
        requests
            .iter()
            .map(|r| {
                let headers: Vec<_> = r
                    .headers
                    .iter()
                    .map(|(k, v)| json!([k.as_str(), String::from_utf8_lossy(v.as_bytes())]))
                    .collect();
                json!({"method": r.method, "path": r.path, "headers": headers, "complete": r.complete,
                    "body": String::from_utf8_lossy(&r.body)})
            })
            .collect()
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    // Without it the small frames of a stream wait for each other's acknowledgements.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { respond(request, &state).await }
    });
    // A broken connection is not an error here: the test has broken it.
    let mut server = auto::Builder::new(TokioExecutor::new());
    // The same limit as real providers.
    server.http1().max_headers(1_000);
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// `Err`: break the connection.
async fn respond(request: Request<Incoming>, state: &State) -> io::Result<Response<Body>> {
    let allowance = allowance(request.uri().path(), request.headers());
    let mut response = answered(request, state).await?;
    for (name, value) in allowance {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Ok(response)
}

/// The headers about an allowance in answers to a subscription.
fn allowance(path: &str, headers: &HeaderMap) -> &'static [(&'static str, &'static str)] {
    let is_claudes =
        headers.get("authorization").is_some_and(|value| value.as_bytes().starts_with(b"Bearer sk-ant-oat"));
    match path {
        "/v1/messages" if is_claudes => &[
            ("anthropic-ratelimit-unified-status", "allowed"),
            ("anthropic-ratelimit-unified-5h-utilization", "0.37"),
            ("anthropic-ratelimit-unified-5h-reset", "4000000000"),
            ("anthropic-ratelimit-unified-5h-status", "allowed"),
            ("anthropic-ratelimit-unified-7d-utilization", "0.5"),
            ("anthropic-ratelimit-unified-7d-reset", "4000000000"),
        ],
        "/backend-api/codex/responses" => &[
            ("x-codex-primary-used-percent", "42.5"),
            ("x-codex-primary-window-minutes", "300"),
            ("x-codex-primary-reset-after-seconds", "3600"),
            ("x-codex-secondary-used-percent", "13"),
            ("x-codex-secondary-window-minutes", "10080"),
        ],
        _ => &[],
    }
}

async fn answered(request: Request<Incoming>, state: &State) -> io::Result<Response<Body>> {
    let (parts, mut incoming) = request.into_parts();
    if let Some(name) = parts.uri.path().strip_prefix("/__requests/") {
        return Ok(json_answer(StatusCode::OK, &state.listing(name)));
    }
    if let Some(name) = parts.uri.path().strip_prefix("/__reports/") {
        let report = state.with_followed(name, |followed| followed.report());
        return Ok(json_answer(StatusCode::OK, &json!(report)));
    }
    let (body, trailers, complete) = read(&mut incoming).await;
    let header = |name: &str| parts.headers.get(name).map(HeaderValue::as_bytes);
    let script = match header(SCRIPT_HEADER).map(serde_json::from_slice::<Script>).transpose() {
        Ok(script) => script.unwrap_or_default(),
        Err(error) => {
            return Ok(json_answer(StatusCode::NOT_IMPLEMENTED, &json!({"bad script": error.to_string()})));
        }
    };
    let name = String::from_utf8_lossy(header(NAME_HEADER).unwrap_or_default()).into_owned();
    let earlier = if name.is_empty() {
        0
    } else {
        let recorded = RecordedRequest {
            method: parts.method.to_string(),
            path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            version: parts.version,
            headers: parts.headers.clone(),
            body: body.clone(),
            complete,
            trailers,
            at: Instant::now(),
        };
        state.record(&name, recorded)
    };

    let path = parts.uri.path();
    if let Some(name) = path.strip_prefix("/__plans/")
        && parts.method == Method::PUT
    {
        return Ok(set_plan(state, name, &body));
    }
    let Some(api) = Api::of(path) else {
        return Ok(json_answer(StatusCode::OK, &answer::beside(path, body.len())));
    };
    let progress = if script.by_outputs { Progress::of(&body) } else { Progress::Turn(earlier) };
    let mut script = progress.script(&script);
    let asked: Asked = serde_json::from_slice(&body).unwrap_or_default();
    let mut answer = Answer {
        api,
        model: asked.model.as_deref().or(answer::model_of(path)).unwrap_or("unnamed"),
        parts: Cow::Borrowed(&[]),
        calls_before: progress.outputs(),
        response_id: None,
        body_bytes: body.len(),
        cache_read_tokens: script.cache_read_tokens,
        cached: None,
        stream_usage: asked.stream_options.is_some_and(|options| options.include_usage),
        transformations: Vec::new(),
        is_nested: path.starts_with("/v1internal:"),
    };
    if script.prompt_cache {
        answer.cached = state.cached(&answer, &script, &name, &body);
    }
    let status = if earlier < script.fail_first { Some(503) } else { script.status };
    if let Some(status) = status {
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_IMPLEMENTED);
        let mut refusal = json_answer(code, &answer::scripted_error(api, status));
        refusal.headers_mut().extend(script.retry_after.map(|seconds| (RETRY_AFTER, seconds.into())));
        return Ok(refusal);
    }
    let betas = parts.headers.get_all("anthropic-beta").iter().filter_map(|value| value.to_str().ok());
    let has_controls = binding::anthropic::has_controls(betas);
    let reply = state.with_followed(&name, |followed| {
        let reply = followed.reply(api, answer.model, &body, has_controls);
        (reply, followed.plan.piece_bytes)
    });
    match reply {
        None => answer.parts = answer::scripted(api, &script, answer.calls_before).into(),
        Some((Reply::Refused(why), _)) => {
            let kind = if api == Api::Gemini { "INVALID_ARGUMENT" } else { "invalid_request_error" };
            return Ok(json_answer(StatusCode::BAD_REQUEST, &answer::error(api, 400, kind, &why)));
        }
        Some((Reply::Said { parts, transformations, id }, piece_bytes)) => {
            answer.parts = parts.into();
            answer.transformations = transformations;
            answer.response_id = Some(id);
            script.to_mut().piece_bytes = script.piece_bytes.or(piece_bytes);
        }
    }
    if script.silent {
        std::future::pending::<()>().await;
    }
    if script.reset {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let encoding = script.encode.then(|| Encoding::asked_for(&parts.headers)).flatten();
    let streamed = asked.stream || path.ends_with(":streamGenerateContent");
    if !streamed {
        let mut whole = json_answer(StatusCode::OK, &answer.json());
        if let Some(encoding) = encoding {
            *whole.body_mut() = full(encoding.encode(answer.json().to_string().as_bytes())?);
            whole.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        }
        return Ok(whole);
    }
    let gate = script.gate.then(|| state.gate(&name));
    let mut events = answer.events();
    events.truncate(script.break_after.unwrap_or(usize::MAX));
    let Some(encoding) = encoding else {
        return Ok(stream_answer(pieces(events, script.piece_bytes), gate, script.break_after.is_some()));
    };
    let mut encoded = stream_answer(vec![encoding.encode(events.concat().as_bytes())?], gate, false);
    encoded.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    Ok(encoded)
}

/// Sets a plan for a client that is not in this process.
fn set_plan(state: &State, name: &str, body: &[u8]) -> Response<Body> {
    match serde_json::from_slice(body) {
        Ok(plan) => {
            state.follow(name, plan);
            json_answer(StatusCode::OK, &json!({}))
        }
        Err(error) => json_answer(StatusCode::NOT_IMPLEMENTED, &json!({"bad plan": error.to_string()})),
    }
}

/// The received body, its trailers, and whether it was complete.
async fn read(incoming: &mut Incoming) -> (Bytes, Option<HeaderMap>, bool) {
    let mut body = Vec::new();
    let mut trailers = None;
    loop {
        match incoming.frame().await {
            None => return (body.into(), trailers, true),
            Some(Err(_)) => return (body.into(), trailers, false),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            },
        }
    }
}

fn pieces(events: Vec<String>, piece_bytes: Option<usize>) -> Vec<Bytes> {
    match piece_bytes {
        None => events.into_iter().map(Bytes::from).collect(),
        Some(size) => events.concat().as_bytes().chunks(size.max(1)).map(Bytes::copy_from_slice).collect(),
    }
}

fn stream_answer(pieces: Vec<Bytes>, gate: Option<Arc<Semaphore>>, breaks: bool) -> Response<Body> {
    let (mut sender, channel) = Channel::<Bytes, io::Error>::new(1);
    tokio::spawn(async move {
        for (number, piece) in pieces.into_iter().enumerate() {
            if let (Some(gate), true) = (&gate, number > 0) {
                let Ok(permit) = gate.acquire().await else { return };
                permit.forget();
            }
            // The receiver is gone if the client has left.
            if sender.send_data(piece).await.is_err() {
                return;
            }
        }
        if breaks {
            sender.abort(io::ErrorKind::ConnectionAborted.into());
        }
    });
    Response::builder()
        .header(CONTENT_TYPE, "text/event-stream; charset=utf-8")
        .body(channel.boxed())
        .expect("a valid header")
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json")
        .body(full(body.to_string().into()))
        .expect("a valid header")
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}
