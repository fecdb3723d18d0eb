//! Answers calls of `headroom_retrieve` while the model's answer comes by: the host's side of the tool
//! loop, whose rules are in `tool_loop`.
//!
//! Only for requests to which the filter has added the tool itself. The answer's bytes go through a
//! [`Turn`]; at its end the answer is paused, originals are asked for from the sidecar, and the provider
//! is asked to go on: over the same cluster, with the client's own headers. Envoy hands over the answer
//! to such a call as a whole, so what comes after the first round of a stream reaches the client in one
//! piece.
//!
//! Headers and body of the request are kept in the stream's memory from the moment the request leaves
//! until its answer turns out not to need them, and go nowhere else (I9).

use std::rc::Rc;

use headroom_api::v1::{RetrieveRequest, RetrieveResponse};
use headroom_compress::Api;
use prost::Message as _;

use crate::config::Provider;
use crate::host::{self, Action, Buffer, Headers, Map, NANOS_PER_MS};
use crate::root::{Requests, Settings};
use crate::rpc;
use crate::stream::Stream;
use crate::tool_loop::{MAX_ROUND_BYTES, Next, Turn, Wanted};

/// For how long an answer may be continued in all. Nothing reaches the client meanwhile, and Envoy's
/// default is to end a stream after five silent minutes.
const PATIENCE_NANOS: u64 = 240 * 1_000_000_000;
/// Bodies that all streams of a VM may keep together; a VM has 1 GiB. A request that finds no room is
/// served like any other, only that a call of ours in its answer is not answered.
const KEPT_BYTES: usize = 128 << 20;
/// Originals that one round may ask for.
const MAX_WANTED: usize = 16;

/// Properties that name the cluster, the first that the host knows counts.
const CLUSTER: [&str; 2] = ["xds\0cluster_name", "cluster_name"];

/// What the model reads in the place of an original that cannot be had.
const MISSING: &str = "[headroom: this text is not stored any more; call the tool that gave it again]";
const TOO_MANY: &str = "[headroom: too many at once; ask again for this one]";

/// Headers of a request that belong to its first transmission: to its connection, its length, its
/// encoding, or to the provider's memory of requests it has seen.
const NOT_REPEATED: [&[u8]; 16] = [
    b":scheme",
    b"accept-encoding",
    b"connection",
    b"content-digest",
    b"content-length",
    b"content-md5",
    b"digest",
    b"expect",
    b"host",
    b"idempotency-key",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"transfer-encoding",
    b"upgrade",
    b"x-forwarded-proto",
];

/// The headers with which a request can be sent once more. They hold credentials: nothing prints them.
pub(crate) struct Head(Vec<(Vec<u8>, Vec<u8>)>);

/// A request as it left.
struct Kept {
    head: Head,
    body: Vec<u8>,
    _room: Room,
}

/// A share of [`KEPT_BYTES`].
struct Room {
    of: Rc<Requests>,
    bytes: usize,
}

/// One answer that is followed.
pub(crate) struct Following {
    api: Api,
    kept: Option<Kept>,
    /// Where the request went.
    cluster: Vec<u8>,
    state: State,
    /// For the client, while the answer is paused.
    ready: Vec<u8>,
    /// When the first call was seen; 0 before that.
    since: u64,
}

enum State {
    /// The answer has not begun.
    Armed,
    Reading(Turn),
    Retrieving {
        turn: Turn,
        texts: Vec<Option<String>>,
        /// Calls to the sidecar, by token, and what they are for.
        calls: Vec<(u32, usize)>,
    },
    Continuing {
        turn: Turn,
        token: u32,
    },
    Done,
}

impl Head {
    pub(crate) fn of(headers: &Headers) -> Self {
        let repeated = headers.iter().filter(|(name, _)| {
            !NOT_REPEATED.contains(name)
                && !name.starts_with(b"x-headroom-")
                && !name.starts_with(b"x-envoy-")
        });
        Self(repeated.map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
    }

    /// As the cluster's routes would rewrite them.
    fn rewritten(&self, provider: Option<&Provider>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut headers = self.0.clone();
        for (name, value) in &mut headers {
            match (name.as_slice(), provider) {
                (b":path", Some(provider)) => {
                    value.splice(0..0, provider.path_prefix.bytes());
                }
                (b":authority", Some(Provider { authority: Some(authority), .. })) => {
                    authority.as_bytes().clone_into(value);
                }
                _ => {}
            }
        }
        // The answer has to be read.
        headers.push((b"accept-encoding".to_vec(), b"identity".to_vec()));
        headers
    }
}

impl Room {
    fn take(of: &Rc<Requests>, bytes: usize) -> Option<Self> {
        let kept = of.kept.get().checked_add(bytes).filter(|kept| *kept <= KEPT_BYTES)?;
        of.kept.set(kept);
        Some(Self { of: Rc::clone(of), bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of.kept.set(self.of.kept.get().saturating_sub(self.bytes));
    }
}

impl Following {
    /// For the answer to a request that leaves like this.
    pub(crate) fn new(settings: &Settings, api: Api, head: Head, body: Vec<u8>) -> Self {
        let room = Room::take(&settings.requests, body.len());
        let kept = room.map(|room| Kept { head, body, _room: room });
        Self { api, kept, cluster: Vec::new(), state: State::Armed, ready: Vec::new(), since: 0 }
    }

    pub(crate) fn waits_for_grpc(&self, token: u32) -> bool {
        matches!(&self.state, State::Retrieving { calls, .. } if calls.iter().any(|(of, _)| *of == token))
    }

    pub(crate) fn waits_for_http(&self, token: u32) -> bool {
        matches!(self.state, State::Continuing { token: of, .. } if of == token)
    }

    /// Whether the answer has not begun yet.
    pub(crate) fn is_armed(&self) -> bool {
        matches!(self.state, State::Armed)
    }

    /// The answer begins. Asks here where it comes from: the host says so in the stream's own callbacks.
    pub(crate) fn begin(&mut self, settings: &Settings, stream: bool) {
        let cluster = CLUSTER.into_iter().map(host::property).reduce(Result::or);
        match cluster {
            Some(Ok(cluster)) => self.cluster = cluster,
            Some(Err(refused)) => settings.refused(refused),
            None => {}
        }
        self.state = State::Reading(Turn::new(self.api, stream));
    }

    /// The next step after a round. `Some`: all that is left for the client.
    fn step(&mut self, settings: &Settings, tenant: &str, mut turn: Turn, next: Next) -> Option<Vec<u8>> {
        match next {
            Next::Done(rest) => {
                self.ready.extend(rest);
                Some(std::mem::take(&mut self.ready))
            }
            Next::Retrieve(wanted) => {
                if self.kept.is_none() {
                    settings.metrics.round_failed();
                    self.ready.extend(turn.give_up());
                    return Some(std::mem::take(&mut self.ready));
                }
                if self.since == 0 {
                    self.since = settings.now();
                }
                let (texts, calls) = retrieve(settings, tenant, &wanted);
                if calls.is_empty() {
                    return self.go_on(settings, turn, texts);
                }
                self.state = State::Retrieving { turn, texts, calls };
                None
            }
        }
    }

    /// Asks the provider to go on. `Some`: it cannot be asked, and this is left for the client.
    fn go_on(&mut self, settings: &Settings, mut turn: Turn, texts: Vec<Option<String>>) -> Option<Vec<u8>> {
        let texts: Vec<String> =
            texts.into_iter().map(|it| it.unwrap_or_else(|| MISSING.to_owned())).collect();
        match self.ask(settings, &turn, &texts) {
            Some(token) => {
                self.state = State::Continuing { turn, token };
                None
            }
            None => {
                settings.metrics.round_failed();
                self.ready.extend(turn.give_up());
                Some(std::mem::take(&mut self.ready))
            }
        }
    }

    fn ask(&mut self, settings: &Settings, turn: &Turn, texts: &[String]) -> Option<u32> {
        let kept = self.kept.as_mut()?;
        let patience = PATIENCE_NANOS.checked_sub(settings.now().saturating_sub(self.since))?;
        let timeout_ms = u32::try_from(patience / NANOS_PER_MS).ok().filter(|ms| *ms > 0)?;
        let body = turn.request(&kept.body, texts)?;
        // Three rounds of pages cannot add more than a body may have to begin with.
        if body.len() > settings.config.engine.max_body_bytes.saturating_mul(2) {
            return None;
        }
        let refused = |refused| settings.refused(refused);
        let provider = settings.config.providers.iter().find(|it| it.cluster.as_bytes() == self.cluster);
        let headers = kept.head.rewritten(provider);
        let headers: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
        settings.metrics.round_begun();
        let token = host::http_call(&self.cluster, &headers, &body, timeout_ms).map_err(refused).ok()?;
        kept.body = body;
        Some(token)
    }
}

/// Asks the sidecar for originals; what is known already stands in its place.
fn retrieve(
    settings: &Settings,
    tenant: &str,
    wanted: &[Wanted],
) -> (Vec<Option<String>>, Vec<(u32, usize)>) {
    let mut calls = Vec::new();
    let texts = wanted
        .iter()
        .enumerate()
        .map(|(place, wanted)| {
            if place >= MAX_WANTED {
                return Some(TOO_MANY.to_owned());
            }
            let control_plane = settings.config.control_plane.as_ref()?;
            let request = RetrieveRequest {
                tenant: tenant.to_owned(),
                hash: wanted.hash.clone(),
                query: wanted.query.clone(),
                lines: wanted.lines.clone(),
            };
            match rpc::retrieve(control_plane, &request.encode_to_vec()) {
                Ok(token) => calls.push((token, place)),
                Err(refused) => {
                    settings.refused(refused);
                    settings.metrics.retrieved(false);
                }
            }
            None
        })
        .collect();
    (texts, calls)
}

impl Stream {
    /// A piece of an answer that is followed.
    pub(crate) fn follow(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(mut following) = self.following.take() else { return Action::Continue };
        let State::Reading(mut turn) = std::mem::replace(&mut following.state, State::Done) else {
            self.following = Some(following);
            return Action::Continue;
        };
        let bytes = match size {
            0 => Ok(Vec::new()),
            size => host::buffer(Buffer::ResponseBody, size),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(refused) => {
                self.settings.refused(refused);
                // What cannot be seen passes, behind what was held before it.
                self.put(0, &turn.lose());
                return Action::Continue;
            }
        };
        let mut now = turn.feed(&bytes);
        if !end_of_stream {
            let waits = now.is_empty() && turn.keeps_bytes();
            self.answer.read(&now);
            if now != bytes && !self.put(size, &now) {
                return Action::Continue;
            }
            following.state = State::Reading(turn);
            self.following = Some(following);
            // The buffer of a paused answer can still be written to when trailers end it.
            return if waits { Action::Pause } else { Action::Continue };
        }
        let next = turn.end();
        let tenant = self.tenant();
        let last = match next {
            Next::Done(rest) => {
                now.extend(rest);
                Some(now)
            }
            next => {
                following.ready = now;
                following.step(&self.settings, &tenant, turn, next)
            }
        };
        let Some(last) = last else {
            self.put(size, b"");
            self.following = Some(following);
            return Action::Pause;
        };
        self.answer.read(&last);
        if last != bytes {
            self.put(size, &last);
        }
        Action::Continue
    }

    /// The sidecar's answer to one of the calls for originals; `None`: it failed.
    pub(crate) fn on_retrieved(&mut self, token: u32, answer: Option<&[u8]>) {
        let Some(following) = &mut self.following else { return };
        let State::Retrieving { texts, calls, .. } = &mut following.state else { return };
        let Some(at) = calls.iter().position(|(of, _)| *of == token) else { return };
        let (_, place) = calls.swap_remove(at);
        let response = answer.and_then(|bytes| RetrieveResponse::decode(bytes).ok());
        let response = response.filter(|response| response.found);
        self.settings.metrics.retrieved(response.is_some());
        if let (Some(text), Some(response)) = (texts.get_mut(place), response) {
            *text = Some(response.content);
        }
        if !calls.is_empty() {
            return;
        }
        if let State::Retrieving { turn, texts, .. } = std::mem::replace(&mut following.state, State::Done)
            && let Some(last) = following.go_on(&self.settings, turn, texts)
        {
            self.end_followed(&last);
        }
    }

    /// The provider's answer to a request to go on; `None`: there is none.
    pub(crate) fn on_http_answer(&mut self, token: u32, answer: Option<HttpAnswer>) {
        let Some(following) = &mut self.following else { return };
        if !following.waits_for_http(token) {
            return;
        }
        let State::Continuing { mut turn, .. } = std::mem::replace(&mut following.state, State::Done) else {
            return;
        };
        let answer = answer.filter(|answer| is_answer(&answer.headers, turn.is_stream()));
        let next = match answer {
            Some(answer) => {
                let (passed, next) = turn.continued(&answer.body);
                following.ready.extend(passed);
                next
            }
            None => {
                self.settings.metrics.round_failed();
                Next::Done(turn.give_up())
            }
        };
        let tenant = self.record.as_ref().map(|record| record.tenant.clone()).unwrap_or_default();
        if let Some(last) = following.step(&self.settings, &tenant, turn, next) {
            self.end_followed(&last);
        }
    }

    /// Lets a paused answer go with its last bytes.
    fn end_followed(&mut self, last: &[u8]) {
        self.following = None;
        self.answer.read(last);
        self.put(0, last);
        if let Err(refused) = host::continue_response() {
            self.settings.refused(refused);
        }
    }

    /// Puts bytes in the place of the first `size` of the answer's buffer, and says whether it worked.
    fn put(&self, size: usize, bytes: &[u8]) -> bool {
        if size == 0 && bytes.is_empty() {
            return true;
        }
        let put = host::replace_buffer(Buffer::ResponseBody, size, bytes);
        put.map_err(|refused| self.settings.refused(refused)).is_ok()
    }

    fn tenant(&self) -> String {
        self.record.as_ref().map(|record| record.tenant.clone()).unwrap_or_default()
    }
}

/// The answer to an HTTP call.
pub(crate) struct HttpAnswer {
    headers: Headers,
    body: Vec<u8>,
}

impl HttpAnswer {
    /// Of a body of this size; `None`: it is too long to be an answer.
    pub(crate) fn read(size: usize) -> host::Result<Option<Self>> {
        if size > MAX_ROUND_BYTES {
            return Ok(None);
        }
        let headers = host::headers(Map::HttpCallResponse)?;
        let body = if size == 0 { Vec::new() } else { host::buffer(Buffer::HttpCallBody, size)? };
        Ok(Some(Self { headers, body }))
    }
}

/// Whether a continuation is what was asked for.
fn is_answer(headers: &Headers, stream: bool) -> bool {
    let expected: &[u8] = if stream { b"text/event-stream" } else { b"application/json" };
    let (mut status, mut kind, mut encoded) = (&b""[..], &b""[..], false);
    for (name, value) in headers.iter() {
        match name {
            b":status" => status = value,
            b"content-type" => kind = value,
            b"content-encoding" => encoded |= !value.trim_ascii().eq_ignore_ascii_case(b"identity"),
            _ => {}
        }
    }
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    status == b"200" && !encoded && kind.eq_ignore_ascii_case(expected)
}
