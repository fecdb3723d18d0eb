//! The values that the template of the bootstrap configuration is given.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::Endpoint;
use crate::providers::{Limit, Rewrite, ServedProvider};
use crate::upstream::Upstream;

#[derive(Serialize)]
pub(super) struct Values<'a> {
    pub(super) listen: &'a Endpoint,
    /// Only this machine can reach the listener.
    pub(super) loopback: bool,
    pub(super) hosts: String,
    pub(super) admin: &'a PathBuf,
    pub(super) module: Option<&'a PathBuf>,
    pub(super) plugin_config: String,
    pub(super) hold: bool,
    pub(super) anthropic: Provider<'a>,
    pub(super) openai: Provider<'a>,
    pub(super) gemini: Provider<'a>,
    pub(super) chatgpt: Option<Provider<'a>>,
    pub(super) code_assist: Option<Provider<'a>>,
    pub(super) copilot: Option<Provider<'a>>,
    pub(super) served: Vec<ServedValues<'a>>,
    pub(super) has_keys: bool,
    pub(super) limits: Vec<ServedValues<'a>>,
    pub(super) retry_after: String,
    pub(super) has_models: bool,
    pub(super) foreign_page: &'a str,
    pub(super) ca_file: Option<&'a PathBuf>,
    pub(super) sidecar_http: Sidecar<'a>,
    pub(super) sidecar_grpc: Sidecar<'a>,
    pub(super) access_log: Option<&'a PathBuf>,
    pub(super) buffer_bytes: u32,
    pub(super) idle_timeout: String,
    pub(super) http_filters: &'a [Value],
    pub(super) clusters: &'a BTreeMap<String, Value>,
    pub(super) not_found: &'a str,
    pub(super) foreign_host: &'a str,
    pub(super) remote_header: &'a str,
}

/// A provider that is served by name, with its cluster.
#[derive(Serialize)]
pub(super) struct ServedValues<'a> {
    #[serde(flatten)]
    provider: Provider<'a>,
    name: &'a str,
    rewrites: &'a [Rewrite],
    unnamed: &'a [Rewrite],
    models: Vec<Model<'a>>,
    is_default: bool,
    key: Option<KeyValues<'a>>,
    limit: Option<LimitValues>,
    /// The headers that carry the client's credential.
    auth: Vec<&'a str>,
}

/// A header with a key from Envoy's environment.
#[derive(Serialize)]
struct KeyValues<'a> {
    header: &'a str,
    value: String,
    /// Another header in which clients send keys.
    other: &'a str,
}

/// A name of a model, or its beginning.
#[derive(Serialize)]
struct Model<'a> {
    kind: &'static str,
    text: &'a str,
}

/// A token bucket.
#[derive(Serialize)]
struct LimitValues {
    per_minute: u32,
    burst: u32,
}

impl<'a> ServedValues<'a> {
    pub(super) fn new(served: &'a ServedProvider) -> Self {
        let auth = served.auth.as_deref();
        let bearer = "authorization";
        Self {
            provider: Provider { cluster: served.cluster().into(), ..Provider::new("", &served.upstream) },
            name: &served.name,
            rewrites: &served.rewrites,
            unnamed: &served.unnamed,
            models: served
                .models
                .iter()
                .map(|model| match model.strip_suffix('*') {
                    Some(text) => Model { kind: "prefix", text },
                    None => Model { kind: "exact", text: model },
                })
                .collect(),
            is_default: served.is_default,
            key: served.key.as_ref().map(|key| KeyValues {
                header: &key.header,
                value: format!("{}%ENVIRONMENT({})%", key.prefix, key.variable),
                other: if key.header == bearer { "x-api-key" } else { bearer },
            }),
            limit: served.limit.map(LimitValues::new),
            auth: auth.into_iter().chain((auth != Some(bearer)).then_some(bearer)).collect(),
        }
    }
}

impl LimitValues {
    fn new(limit: Limit) -> Self {
        let Limit { requests_per_minute, burst } = limit;
        Self { per_minute: requests_per_minute, burst: burst.unwrap_or(requests_per_minute) }
    }
}

#[derive(Serialize)]
pub(super) struct Provider<'a> {
    cluster: Cow<'a, str>,
    host: &'a str,
    port: u16,
    authority: String,
    prefix: &'a str,
    tls: bool,
    http2: bool,
    literal_address: bool,
}

impl<'a> Provider<'a> {
    pub(super) fn new(cluster: &'a str, upstream: &'a Upstream) -> Self {
        Self {
            cluster: cluster.into(),
            host: &upstream.host,
            port: upstream.port,
            authority: upstream.authority(),
            prefix: &upstream.prefix,
            tls: upstream.tls,
            http2: upstream.http2,
            literal_address: upstream.is_literal_address(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Sidecar<'a> {
    r#type: &'a str,
    host: &'a str,
    port: u16,
}

impl<'a> Sidecar<'a> {
    pub(super) fn new(endpoint: &'a Endpoint) -> Self {
        let literal = endpoint.host.parse::<IpAddr>().is_ok();
        Self {
            r#type: if literal { "STATIC" } else { "STRICT_DNS" },
            host: &endpoint.host,
            port: endpoint.port,
        }
    }
}
