//! Questions to a counter that may be on the internet: over TLS, with a key that is shown nowhere.
//!
//! Everything else that this program asks is on this machine, so reqwest is built without TLS there.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use headroom_retry::Retry;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use url::Url;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer: Cohere's lists every token.
const MAX_ANSWER: usize = 16 << 20;
/// Characters of what a counter says that it did not like.
const MAX_SAID: usize = 300;

/// A key in the header that carries it; never shown.
pub(super) struct Key {
    pub(super) header: HeaderName,
    /// `Bearer `, or nothing.
    pub(super) scheme: &'static str,
    pub(super) key: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Where a counter is, and how it is asked.
#[derive(Debug)]
pub(super) struct Https {
    base: Url,
    key: Option<Key>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it gave no answer within {} s", TIMEOUT.as_secs())]
    Late,
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("its answer broke off, or has more than {} MiB", MAX_ANSWER >> 20)]
    Broken,
    #[error("it answered {status}: {said}")]
    Refused { status: StatusCode, said: String },
}

impl Failure {
    /// Whether the same question may be answered another time.
    fn may_pass(&self) -> bool {
        match self {
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Unreachable(_) | Self::Broken => true,
            Self::Late => false,
        }
    }
}

impl Https {
    /// A counter at a URL. Plain HTTP is for this machine alone: a key is in what is sent.
    pub(super) fn new(url: &str, key: Option<Key>) -> anyhow::Result<Self> {
        let base = Url::parse(url).with_context(|| format!("--url: {url:?}"))?;
        let local = match base.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        ensure!(
            base.scheme() == "https" || (base.scheme() == "http" && local),
            "--url: expected https://…, or http://… on this machine, found {url:?}"
        );
        let provider = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .context("the system's certificates cannot be read")?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { base, key, client, timeout: TIMEOUT })
    }

    /// Asks, again where that may help, and gives the JSON of an answer of 200.
    pub(super) async fn post(
        &self,
        path: &str,
        headers: &[(&'static str, &'static str)],
        body: &Value,
    ) -> anyhow::Result<Value> {
        let uri: Uri = format!("{}{path}", self.base.as_str().trim_end_matches('/')).parse()?;
        let body = Bytes::from(body.to_string());
        let mut request = Request::builder().method(Method::POST).uri(uri.clone());
        request = request.header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(Key { header, scheme, key }) = &self.key {
            let value = HeaderValue::from_str(&format!("{scheme}{key}"));
            let mut value = value.ok().context("the key has characters that no header can carry")?;
            value.set_sensitive(true);
            request = request.header(header, value);
        }
        let request = request.body(Full::new(body))?;
        let outcome = Retry::FAR
            .run(|| self.attempt(request.clone()), |outcome| outcome.as_ref().is_err_and(Failure::may_pass))
            .await;
        let host = self.base.host_str().unwrap_or_default().to_owned();
        let answer = outcome.with_context(|| format!("the counter at {host}"))?;
        serde_json::from_slice(&answer).with_context(|| format!("the counter at {host}: expected JSON"))
    }

    async fn attempt(&self, request: Request<Full<Bytes>>) -> Result<Bytes, Failure> {
        tokio::time::timeout(self.timeout, self.once(request)).await.unwrap_or(Err(Failure::Late))
    }

    async fn once(&self, request: Request<Full<Bytes>>) -> Result<Bytes, Failure> {
        let answer = self.client.request(request).await.map_err(|error| {
            // What is behind it says more than "client error (Connect)".
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            Failure::Unreachable(self.without_key(&cause.to_string()))
        })?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|_| Failure::Broken)?.to_bytes();
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(Failure::Refused { status, said: self.without_key(&said(&body)) })
    }

    /// A counter may repeat the key that it did not like.
    fn without_key(&self, text: &str) -> String {
        match &self.key {
            Some(Key { key, .. }) if !key.is_empty() => text.replace(key.as_str(), "[the key]"),
            _ => text.to_owned(),
        }
    }
}

/// The message of an error, wherever it stands in it; else the beginning of the body.
fn said(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| {
        let places = ["/error/message", "/message", "/detail", "/error"];
        places.iter().find_map(|place| json.pointer(place)?.as_str())
    });
    let text = message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SAID).collect()
}

/// Where an answer has the count.
pub(super) fn number(answer: &Value, place: &str) -> anyhow::Result<u64> {
    match answer.pointer(place).and_then(Value::as_u64) {
        Some(tokens) => Ok(tokens),
        None => bail!("the counter's answer has no number at {place}"),
    }
}
