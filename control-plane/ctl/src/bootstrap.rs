//! Renders Envoy's bootstrap configuration.
//!
//! The template is `envoy/bootstrap.yaml.j2`, built into the binary, so that it can be rendered from any
//! folder. Every value is printed as JSON, which YAML contains: a path with a quote in it or an
//! operator's JSON cannot change the structure around it.
//!
//! ```
//! use headroomctl::bootstrap::{Bootstrap, Providers};
//!
//! let mut bootstrap = Bootstrap::new(Providers::default());
//! bootstrap.module = Some("/opt/headroom/headroom_filter.wasm".into());
//! bootstrap.ca_file = Some("/etc/ssl/certs/ca-certificates.crt".into());
//! let yaml = bootstrap.render()?;
//! assert!(yaml.contains("api.anthropic.com"));
//! # Ok::<(), headroomctl::bootstrap::RenderError>(())
//! ```

mod values;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use headroom_api::names::REMOTE_HEADER;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use self::values::{Provider, ServedValues, Sidecar, Values};
use crate::providers::ServedProvider;
use crate::upstream::Upstream;

/// The ending decides how values are printed: `.yaml` means JSON.
const TEMPLATE_NAME: &str = "bootstrap.yaml.j2";
const TEMPLATE: &str = include_str!("../../../envoy/bootstrap.yaml.j2");

/// The response for a path without a route, in the shape of a provider's error.
const NOT_FOUND: &str = r#"{"type":"error","error":{"type":"not_found_error","message":"Headroom knows no provider for this path: it is neither Anthropic's, OpenAI's nor Gemini's"}}"#;

/// The response for a foreign host name, in the same shape.
const FOREIGN_HOST: &str = r#"{"type":"error","error":{"type":"permission_error","message":"Headroom does not answer to the name in the Host header, because a web page could have made that name point here: use localhost or an address, or start headroomctl up with --allow-host and the name"}}"#;

/// The response for a web page that tries to use a key of this machine.
const FOREIGN_PAGE: &str = r#"{"type":"error","error":{"type":"permission_error","message":"Headroom adds a key of this machine to requests for this provider, but never to those of a web page: this request has an Origin header"}}"#;

/// The filter's cluster for the sidecar's gRPC service. It also has to work as a bare gRPC target: the name
/// is deliberately a valid protobuf message.
pub const GRPC_CLUSTER: &str = "headroom";

/// The cluster of the sidecar's HTTP server.
pub const HTTP_CLUSTER: &str = "headroomd_http";

/// How the filter holds a request while it waits for the body.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum BodyMode {
    /// Forward without content-length
    #[default]
    Strip,
    /// Hold the headers and forward the exact content-length; needs Envoy 1.35
    Hold,
}

impl BodyMode {
    /// The name in options and in the plugin configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strip => "strip",
            Self::Hold => "hold",
        }
    }
}

/// Where something listens.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Endpoint {
    /// A name or an address, without brackets.
    pub host: String,
    /// 0 lets the system choose, where Envoy is what listens.
    pub port: u16,
}

impl Endpoint {
    /// A port on the IPv4 loopback.
    pub fn loopback(port: u16) -> Self {
        Self { host: "127.0.0.1".to_owned(), port }
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    }
}

/// A provider with the name of its cluster.
type NamedProvider<'p> = (&'static str, &'p Upstream);

/// The providers' base URLs.
#[derive(Clone, Debug)]
pub struct Providers {
    /// Anthropic's.
    pub anthropic: Upstream,
    /// OpenAI's.
    pub openai: Upstream,
    /// Gemini's.
    pub gemini: Upstream,
    /// Where Codex sends the requests of a ChatGPT account.
    pub chatgpt: Upstream,
    /// Where Gemini CLI sends the requests of a Google account.
    pub code_assist: Upstream,
    /// GitHub Copilot's.
    pub copilot: Upstream,
}

impl Providers {
    /// The same base URL for all of them, for tests with one scripted provider.
    pub fn all(upstream: Upstream) -> Self {
        let [anthropic, openai, gemini, chatgpt, code_assist] = std::array::from_fn(|_| upstream.clone());
        Self { anthropic, openai, gemini, chatgpt, code_assist, copilot: upstream }
    }

    /// Each with the name of its cluster: first the ones for every client, then the ones for subscriptions.
    fn named(&self) -> (Vec<NamedProvider<'_>>, Vec<NamedProvider<'_>>) {
        let Self { anthropic, openai, gemini, chatgpt, code_assist, copilot } = self;
        (
            vec![("anthropic", anthropic), ("openai", openai), ("gemini", gemini)],
            vec![("chatgpt", chatgpt), ("code_assist", code_assist), ("copilot", copilot)],
        )
    }
}

impl Default for Providers {
    fn default() -> Self {
        let real = |host: &str| Upstream {
            tls: true,
            host: host.to_owned(),
            port: 443,
            prefix: String::new(),
            http2: false,
        };
        Self {
            anthropic: real("api.anthropic.com"),
            openai: real("api.openai.com"),
            gemini: real("generativelanguage.googleapis.com"),
            chatgpt: real("chatgpt.com"),
            code_assist: real("cloudcode-pa.googleapis.com"),
            copilot: real("api.githubcopilot.com"),
        }
    }
}

/// Everything that the template prints.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Where clients connect. HTTP/1.1 and HTTP/2 with prior knowledge are both understood.
    pub listen: Endpoint,
    /// Host names in addition to `localhost` that clients may use, in lower case and without a port. Addresses are
    /// always allowed.
    pub allow_hosts: Vec<String>,
    /// The socket of Envoy's admin interface.
    pub admin: PathBuf,
    /// The filter module; `None` leaves the filter out, for comparisons.
    pub module: Option<PathBuf>,
    /// The filter's configuration.
    pub plugin_config: Value,
    /// Whether the filter may hold the headers. The plugin configuration must agree.
    pub body_mode: BodyMode,
    /// Where requests go.
    pub providers: Providers,
    /// Providers of the table, each under `/NAME/`.
    pub served: Vec<ServedProvider>,
    /// The certificates to validate providers with. Required if a base URL is https.
    pub ca_file: Option<PathBuf>,
    /// The sidecar's HTTP server.
    pub sidecar_http: Endpoint,
    /// The sidecar's gRPC server.
    pub sidecar_grpc: Endpoint,
    /// Where to log one JSON line per request; `None`: no log.
    pub access_log: Option<PathBuf>,
    /// The longest body that the filter waits for. Bytes.
    pub max_body_bytes: u32,
    /// The number of seconds without a byte in either direction after which a stream ends.
    pub idle_timeout_seconds: u32,
    /// HTTP filters in front of Headroom's, each an `HttpFilter` message as JSON.
    pub http_filters: Vec<Value>,
    /// Clusters in place of the template's own, by name (`anthropic`, `openai`, `gemini`,
    /// `chatgpt`, `code_assist`, `copilot`, `headroom`, `headroomd_http`), each a whole `Cluster` message as JSON.
    pub clusters: BTreeMap<String, Value>,
}

/// Why the bootstrap could not be rendered.
#[derive(Debug, Error)]
pub enum RenderError {
    /// An https base URL and no certificates to validate it with.
    #[error(
        "https://{0} cannot be validated: no certificate bundle was found; install your system's \
         ca-certificates package or point SSL_CERT_FILE to a PEM file"
    )]
    NoCertificates(String),
    /// The template and the values do not match.
    #[error("the bootstrap template does not render: {0}")]
    Template(#[from] minijinja::Error),
}

impl Bootstrap {
    /// The default ports and limits, without a module.
    pub fn new(providers: Providers) -> Self {
        Self {
            listen: Endpoint::loopback(8787),
            allow_hosts: Vec::new(),
            admin: PathBuf::from("envoy.sock"),
            module: None,
            plugin_config: Value::Object(serde_json::Map::new()),
            body_mode: BodyMode::Strip,
            providers,
            served: Vec::new(),
            ca_file: None,
            sidecar_http: Endpoint::loopback(8788),
            sidecar_grpc: Endpoint::loopback(8789),
            access_log: None,
            // The engine's own limit: a longer body is passed on, so holding it would be useless.
            max_body_bytes: u32::try_from(headroom_compress::Config::default().max_body_bytes)
                .unwrap_or(u32::MAX),
            // Three times the SDKs' own default of ten minutes: the client gives up first.
            idle_timeout_seconds: 1800,
            http_filters: Vec::new(),
            clusters: BTreeMap::new(),
        }
    }

    /// The configuration as YAML for `envoy --config-path`.
    pub fn render(&self) -> Result<String, RenderError> {
        let Providers { anthropic, openai, gemini, chatgpt, code_assist, copilot } = &self.providers;
        let served = self.served.iter().map(|served| &served.upstream);
        let tls = [anthropic, openai, gemini].into_iter().chain(served).find(|upstream| upstream.tls);
        if let (Some(upstream), None) = (tls, &self.ca_file) {
            return Err(RenderError::NoCertificates(upstream.authority()));
        }

        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_template(TEMPLATE_NAME, TEMPLATE)?;
        let values = Values {
            listen: &self.listen,
            loopback: self.listen.is_loopback(),
            hosts: hosts(&self.allow_hosts),
            admin: &self.admin,
            module: self.module.as_ref(),
            plugin_config: self.plugin_with_providers().to_string(),
            hold: self.body_mode == BodyMode::Hold,
            anthropic: Provider::new("anthropic", anthropic),
            openai: Provider::new("openai", openai),
            gemini: Provider::new("gemini", gemini),
            chatgpt: self.reachable(chatgpt).map(|upstream| Provider::new("chatgpt", upstream)),
            code_assist: self.reachable(code_assist).map(|upstream| Provider::new("code_assist", upstream)),
            copilot: self.reachable(copilot).map(|upstream| Provider::new("copilot", upstream)),
            served: self.served.iter().map(ServedValues::new).collect(),
            has_keys: self.served.iter().any(|served| served.key.is_some()),
            limits: self
                .served
                .iter()
                .filter(|served| served.limit.is_some())
                .map(ServedValues::new)
                .collect(),
            retry_after: self.retry_after(),
            has_models: self.served.iter().any(|served| !served.models.is_empty()),
            foreign_page: FOREIGN_PAGE,
            ca_file: self.ca_file.as_ref(),
            sidecar_http: Sidecar::new(&self.sidecar_http),
            sidecar_grpc: Sidecar::new(&self.sidecar_grpc),
            access_log: self.access_log.as_ref(),
            buffer_bytes: buffer_bytes(self.max_body_bytes),
            idle_timeout: format!("{}s", self.idle_timeout_seconds),
            http_filters: &self.http_filters,
            clusters: &self.clusters,
            not_found: NOT_FOUND,
            foreign_host: FOREIGN_HOST,
            remote_header: REMOTE_HEADER,
        };
        Ok(environment.get_template(TEMPLATE_NAME)?.render(minijinja::value::Serde(&values))?)
    }
}

impl Bootstrap {
    /// The plugin configuration, with the changes that this file's routes make to host and path. The filter
    /// has to make the same changes: when it answers calls of its own tool, its requests bypass the routes.
    fn plugin_with_providers(&self) -> Value {
        let (all, subscriptions) = self.providers.named();
        let mut plugin = self.plugin_config.clone();
        if let Some(plugin) = plugin.as_object_mut() {
            let subscriptions = subscriptions.into_iter().filter(|(_, it)| self.reachable(it).is_some());
            let providers: Vec<Value> = all
                .into_iter()
                .chain(subscriptions)
                .map(|(cluster, it)| {
                    json!({"cluster": cluster, "authority": it.authority(), "path_prefix": it.prefix})
                })
                .collect();
            plugin.entry("providers").or_insert_with(|| providers.into());
            for (key, new) in self.served_in_plugin().into_iter().filter(|(_, new)| !new.is_empty()) {
                // The operator's rules come first, because the first matching rule counts.
                if let Some(list) =
                    plugin.entry(key).or_insert_with(|| Value::Array(Vec::new())).as_array_mut()
                {
                    list.extend(new);
                }
            }
        }
        plugin
    }

    /// The number of seconds until the slowest bucket has another token: Envoy sends one value for all of them.
    fn retry_after(&self) -> String {
        let limits = self.served.iter().filter_map(|served| served.limit);
        let slowest = limits.map(|limit| 60_u32.div_ceil(limit.requests_per_minute.max(1))).max();
        slowest.unwrap_or(1).to_string()
    }

    /// What the filter has to know about the providers that are served by name.
    fn served_in_plugin(&self) -> [(&'static str, Vec<Value>); 3] {
        let served = || self.served.iter();
        let rewrites = served().flat_map(|it| {
            it.rewrites.iter().chain(&it.unnamed).map(|rewrite| {
                json!({
                    "cluster": it.cluster(), "authority": it.upstream.authority(),
                    "path_from": rewrite.from, "path_prefix": rewrite.to,
                })
            })
        });
        [
            ("providers", rewrites.collect()),
            ("path_prefixes", served().map(|it| format!("/{}", it.name).into()).collect()),
            ("rules", served().map(|it| json!({"route": it.cluster(), "provider": it.label})).collect()),
        ]
    }

    /// A subscription's upstream, unless its certificate cannot be validated here. A machine without
    /// certificates may have to work without subscriptions.
    fn reachable<'u>(&self, upstream: &'u Upstream) -> Option<&'u Upstream> {
        (!upstream.tls || self.ca_file.is_some()).then_some(upstream)
    }
}

/// The accepted values of `Host`, as a regular expression: any address, `localhost` and its subdomains (which
/// resolve to this machine without a query), and the given names; each with or without a port.
fn hosts(names: &[String]) -> String {
    let mut known =
        vec![r"([a-z0-9-]+\.)*localhost".to_owned(), "[0-9.]+".to_owned(), r"\[[0-9a-f:.]+\]".to_owned()];
    known.extend(names.iter().map(|name| name.replace('.', r"\.")));
    format!(r"(?i)({})\.?(:[0-9]+)?", known.join("|"))
}

/// The listener's buffer for bodies of up to `max_body_bytes`. Envoy adds the data that it has just read to
/// the paused body before it calls the filter, and one read can bring everything that the socket held.
/// Twice the body's length leaves room for any receive buffer; for short bodies [`READ_BYTES`] does.
fn buffer_bytes(max_body_bytes: u32) -> u32 {
    max_body_bytes.saturating_add(max_body_bytes.max(READ_BYTES))
}

/// More than Envoy reads at once from a connection whose body exceeds the limit: a receive buffer on Linux
/// can grow to 6 MiB, and it fills again during the read. With 1 MiB, a body of 3 MiB got a 413.
const READ_BYTES: u32 = 16 << 20;
