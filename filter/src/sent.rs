//! A request as it left, kept until its answer no longer needs it: it may have to be continued or sent once
//! more. It stays in the stream's memory (I9).

use std::time::Duration;

use proxy_wasm::types::{BufferType, MapType};

use crate::config::Provider;
use crate::host::{self, Headers, NANOS_PER_MS};
use crate::memory::Room;
use crate::request_headers::is_ours;
use crate::settings::Settings;
use crate::tool_loop::MAX_ROUND_BYTES;
use crate::upstream;

/// The longest time in which one answer may be continued. The client receives nothing meanwhile, and by
/// default Envoy ends a stream after five silent minutes.
const PATIENCE_NANOS: u64 = 240 * 1_000_000_000;

/// Headers that belong to the first transmission of a request: to its connection, length or encoding, or to
/// the provider's detection of repeated requests.
const NOT_REPEATED: [&[u8]; 17] = [
    b":scheme",
    b"accept-encoding",
    b"connection",
    b"content-digest",
    b"content-encoding",
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

/// Clients of GitHub Copilot say in it who has begun a request: `user` or `agent`.
const INITIATOR: &[u8] = b"x-initiator";

/// The headers with which a request can be sent once more. They hold credentials and are never printed.
pub(crate) struct Head(Vec<(Vec<u8>, Vec<u8>)>);

/// A request as it left.
pub(crate) struct SentRequest {
    head: Head,
    pub(crate) body: Vec<u8>,
    room: Room,
    /// The cluster to which it went.
    cluster: Vec<u8>,
    /// When it was first sent again; 0: never.
    since: u64,
}

impl Head {
    pub(crate) fn of(headers: &Headers) -> Self {
        let repeated = headers.iter().filter(|(name, _)| {
            !NOT_REPEATED.contains(name) && !is_ours(name) && !name.starts_with(b"x-envoy-")
        });
        // Copilot bills requests that a user has begun.
        let told =
            |name: &[u8], value: &[u8]| if name == INITIATOR { b"agent".to_vec() } else { value.to_vec() };
        Self(repeated.map(|(name, value)| (name.to_vec(), told(name, value))).collect())
    }

    /// Adds a value to a header with a list, unless it is in it.
    pub(crate) fn add(&mut self, name: &[u8], value: &[u8]) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, list)) if lists(list, value) => {}
            Some((_, list)) => {
                list.push(b',');
                list.extend_from_slice(value);
            }
            None => self.0.push((name.to_vec(), value.to_vec())),
        }
    }

    fn path(&self) -> &[u8] {
        self.0.iter().find(|(name, _)| name == b":path").map_or(&[], |(_, path)| path.as_slice())
    }

    /// The headers as the cluster's routes would rewrite them.
    fn rewritten(&self, provider: Option<&Provider>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut headers = self.0.clone();
        for (name, value) in &mut headers {
            match (name.as_slice(), provider) {
                (b":path", Some(provider)) => {
                    let rest = provider.rest(value).unwrap_or(value);
                    *value = [provider.path_prefix.as_bytes(), rest].concat();
                }
                (b":authority", Some(Provider { authority: Some(authority), .. })) => {
                    authority.as_bytes().clone_into(value);
                }
                _ => {}
            }
        }
        // The filter has to be able to read the answer.
        headers.push((b"accept-encoding".to_vec(), b"identity".to_vec()));
        headers
    }
}

/// Whether a header's list contains a value.
pub(crate) fn lists(list: &[u8], value: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(value))
}

impl SentRequest {
    /// `None`: there is no room to keep it.
    pub(crate) fn new(settings: &Settings, head: Head, body: Vec<u8>) -> Option<Self> {
        let Some(room) = settings.requests.memory.room(body.len()) else {
            settings.metrics.no_room();
            return None;
        };
        Some(Self { head, body, room, cluster: Vec::new(), since: 0 })
    }

    pub(crate) fn head(&mut self) -> &mut Head {
        &mut self.head
    }

    /// Notes the cluster. The host shows it only in the stream's own callbacks.
    pub(crate) fn note_cluster(&mut self, settings: &Settings) {
        match upstream::cluster() {
            Ok(cluster) => self.cluster = cluster,
            Err(refused) => settings.refused(refused),
        }
    }

    /// Sends another body with the same headers to the same cluster, and keeps it instead of the old one.
    /// `None`: it cannot be sent.
    pub(crate) fn send(&mut self, settings: &Settings, body: Vec<u8>) -> Option<u32> {
        if self.since == 0 {
            self.since = settings.now();
        }
        let patience = PATIENCE_NANOS.checked_sub(settings.now().saturating_sub(self.since))?;
        let timeout_ms = Some(patience / NANOS_PER_MS).filter(|ms| *ms > 0)?;
        // Three rounds of pages cannot add more than the greatest length of a body.
        if body.len() > settings.config.engine.max_body_bytes.saturating_mul(2) {
            return None;
        }
        let before = self.room.bytes();
        if !self.room.resize(body.len()) {
            settings.metrics.no_room();
            return None;
        }
        let path = self.head.path();
        let provider = settings
            .config
            .providers
            .iter()
            .find(|it| it.cluster.as_bytes() == self.cluster && it.rest(path).is_some());
        let headers = self.head.rewritten(provider);
        // The crate accepts only text.
        let cluster = str::from_utf8(&self.cluster).ok();
        let headers: Option<Vec<(&str, &str)>> =
            headers.iter().map(|(n, v)| Some((str::from_utf8(n).ok()?, str::from_utf8(v).ok()?))).collect();
        let (Some(cluster), Some(headers)) = (cluster, headers) else {
            settings.metrics.round_unsendable();
            self.room.resize(before);
            return None;
        };
        match host::http_call(cluster, headers, &body, Duration::from_millis(timeout_ms)) {
            Ok(token) => {
                self.body = body;
                Some(token)
            }
            Err(refused) => {
                settings.refused(refused);
                self.room.resize(before);
                None
            }
        }
    }
}

/// The answer to such a request.
pub(crate) struct HttpAnswer {
    headers: Headers,
    pub(crate) body: Vec<u8>,
}

impl HttpAnswer {
    /// Reads the answer that the host announces: the number of headers (0: there is no answer) and the size
    /// of the body.
    pub(crate) fn told(settings: &Settings, headers: usize, size: usize) -> Option<Self> {
        if headers == 0 {
            return None;
        }
        Self::read(size).map_err(|refused| settings.refused(refused)).ok().flatten()
    }

    /// Reads an answer with a body of this size; `None`: it is too long.
    fn read(size: usize) -> host::Result<Option<Self>> {
        if size > MAX_ROUND_BYTES {
            return Ok(None);
        }
        let headers = host::headers(MapType::HttpCallResponseHeaders)?;
        let body = if size == 0 { Vec::new() } else { host::buffer(BufferType::HttpCallResponseBody, size)? };
        Ok(Some(Self { headers, body }))
    }

    pub(crate) fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Whether it is an answer of the model, as events or as one document.
    pub(crate) fn is_answer(&self, stream: bool) -> bool {
        let expected: &[u8] = if stream { b"text/event-stream" } else { b"application/json" };
        let (mut status, mut kind, mut encoded) = (&b""[..], &b""[..], false);
        for (name, value) in self.headers.iter() {
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
}
