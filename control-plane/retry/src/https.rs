//! Requests to a service that may be on the internet: over TLS, with a key that is never shown.
//!
//! Most services that Headroom calls are on this machine, so the reqwest used for those is built without TLS.

pub mod download;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
pub use hyper::header::AUTHORIZATION;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use url::Url;

use crate::Retry;

/// Bytes of an answer: Cohere's lists every token.
const MAX_ANSWER: usize = 16 << 20;
/// Maximum characters of a service's error message.
const MAX_SAID: usize = 300;

/// A key in the header that carries it; never shown.
pub struct Key {
    /// The header.
    pub header: HeaderName,
    /// `Bearer `, or nothing.
    pub scheme: &'static str,
    /// The key itself.
    pub key: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// A service's name in messages, and its time limits.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// In a sentence: `the counter`.
    pub name: &'static str,
    /// The option or variable with its address.
    pub setting: &'static str,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long to wait between attempts.
    pub retry: Retry,
}

/// A client for one service.
#[derive(Debug)]
pub struct Https {
    service: Service,
    base: Url,
    key: Option<Key>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// A key must not be sent to this URL.
    #[error("{setting}: expected https://…, or http://… on this machine, found {found:?}")]
    Url {
        /// The option or variable.
        setting: &'static str,
        /// Its value.
        found: String,
    },
    /// No certificate of an authority could be found.
    #[error("the system's certificates cannot be read: {0}")]
    Certificates(std::io::Error),
    /// The key is not valid.
    #[error("the key has characters that no header can carry")]
    Key,
    /// A path or header is not valid.
    #[error(transparent)]
    Request(#[from] hyper::http::Error),
    /// The service did not answer, or gave an unexpected answer.
    #[error("{name} at {host}: {failure}")]
    Service {
        /// What the service is.
        name: &'static str,
        /// Its host.
        host: String,
        /// What happened.
        failure: Failure,
    },
}

/// What went wrong with an attempt.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing came in time.
    #[error("it gave no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// There is no connection.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// The answer is incomplete.
    #[error("its answer broke off, or has more than {} MiB", MAX_ANSWER >> 20)]
    Broken,
    /// Another status than 200.
    #[error("it answered {status}: {said}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The service's message.
        said: String,
    },
    /// The body is not JSON.
    #[error("expected JSON")]
    NotJson,
}

impl Failure {
    /// Whether the same request may succeed later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Unreachable(_) | Self::Broken => true,
            Self::Late(_) | Self::NotJson => false,
        }
    }
}

impl Https {
    /// A service at a URL. Plain HTTP is allowed only on this machine, because a request contains a key.
    pub fn new(service: Service, url: &str, key: Option<Key>) -> Result<Self, HttpsError> {
        let wrong = || HttpsError::Url { setting: service.setting, found: url.to_owned() };
        let base = Url::parse(url).map_err(|_| wrong())?;
        let local = match base.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if base.scheme() != "https" && !(base.scheme() == "http" && local) {
            return Err(wrong());
        }
        let provider = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(HttpsError::Certificates)?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { service, base, key, client })
    }

    /// The host that is asked.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// Sends a request, with retries where they may help, and returns the JSON of an answer with status 200.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&'static str, &'static str)],
        body: &Value,
    ) -> Result<Value, HttpsError> {
        let uri: Uri = format!("{}{path}", self.base.as_str().trim_end_matches('/'))
            .parse()
            .map_err(hyper::http::Error::from)?;
        let body = Bytes::from(body.to_string());
        let mut request = Request::builder().method(Method::POST).uri(uri.clone());
        request = request.header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(Key { header, scheme, key }) = &self.key {
            let value = HeaderValue::from_str(&format!("{scheme}{key}"));
            let mut value = value.map_err(|_| HttpsError::Key)?;
            value.set_sensitive(true);
            request = request.header(header, value);
        }
        let request = request.body(Full::new(body))?;
        let outcome = self
            .service
            .retry
            .run(|| self.attempt(request.clone()), |outcome| outcome.as_ref().is_err_and(Failure::may_pass))
            .await;
        let answer = outcome.and_then(|answer| serde_json::from_slice(&answer).map_err(|_| Failure::NotJson));
        answer.map_err(|failure| HttpsError::Service {
            name: self.service.name,
            host: self.host().to_owned(),
            failure,
        })
    }

    async fn attempt(&self, request: Request<Full<Bytes>>) -> Result<Bytes, Failure> {
        let timeout = self.service.timeout;
        tokio::time::timeout(timeout, self.once(request)).await.unwrap_or(Err(Failure::Late(timeout)))
    }

    async fn once(&self, request: Request<Full<Bytes>>) -> Result<Bytes, Failure> {
        let answer = self.client.request(request).await.map_err(|error| {
            // Its source says more than "client error (Connect)".
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

    /// A service may repeat a rejected key in its message.
    fn without_key(&self, text: &str) -> String {
        match &self.key {
            Some(Key { key, .. }) if !key.is_empty() => text.replace(key.as_str(), "[the key]"),
            _ => text.to_owned(),
        }
    }
}

/// The message in an error's body, in any of the usual places; else the beginning of the body.
fn said(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| {
        let places = ["/error/message", "/message", "/detail", "/error"];
        places.iter().find_map(|place| json.pointer(place)?.as_str())
    });
    let text = message.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SAID).collect()
}
