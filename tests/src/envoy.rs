//! A real Envoy process, its configuration and its counters.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::built::workspace;
use crate::client::{Call, Connection, Protocol};
use crate::deadline::until;
use crate::leash::Leashed;

/// How Envoy is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The filter's plugin configuration; `None`: no filter.
    pub filter: Option<Value>,
    /// `allow_on_headers_stop_iteration`, which the filter's hold mode needs.
    pub hold: bool,
    /// The protocol spoken with the provider.
    pub upstream: Protocol,
    /// Put Envoy's decompressor in front of the filter.
    pub decompress: bool,
    /// Envoy's own limit for a body that a filter waits for.
    pub buffer_bytes: u32,
    /// Worker threads; each has a VM of its own.
    pub workers: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            filter: Some(json!({})),
            hold: false,
            upstream: Protocol::Http1,
            decompress: false,
            buffer_bytes: 20 << 20,
            workers: 1,
        }
    }
}

/// The addresses that Envoy's configuration connects.
#[derive(Clone, Copy, Debug)]
pub struct Neighbours {
    /// Where every provider's requests go.
    pub provider: SocketAddr,
    /// The sidecar's gRPC port.
    pub sidecar_grpc: SocketAddr,
    /// The sidecar's HTTP port.
    pub sidecar_http: SocketAddr,
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    process: Leashed,
    admin: SocketAddr,
    listener: SocketAddr,
}

/// The Envoy to run: `ENVOY`, or what `envoy/install.sh` installs.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ENVOY").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let script = workspace().join("envoy/install.sh");
    let output =
        Command::new(&script).output().with_context(|| format!("{} does not run", script.display()))?;
    if !output.status.success() {
        bail!("{} failed:\n{}", script.display(), String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.trim().into())
}

impl Envoy {
    /// Starts Envoy with its files in `folder` and waits until it serves.
    pub async fn start(
        options: &Options,
        neighbours: Neighbours,
        module: &Path,
        folder: &Path,
    ) -> Result<Self> {
        let configuration = folder.join("envoy.json");
        let admin_file = folder.join("admin");
        fs::write(&configuration, bootstrap(options, neighbours, module).to_string())?;
        let arguments = [
            "-c".to_owned(),
            configuration.display().to_string(),
            "--concurrency".to_owned(),
            options.workers.to_string(),
            "--disable-hot-restart".to_owned(),
            "--log-level".to_owned(),
            "warning".to_owned(),
            "--admin-address-path".to_owned(),
            admin_file.display().to_string(),
        ];
        let process = Leashed::start(&binary()?, &arguments, &[], &folder.join("envoy.log"))?;
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut envoy = Self { process, admin: unknown, listener: unknown };
        envoy
            .wait(&admin_file)
            .await
            .with_context(|| format!("Envoy's log ends:\n{}", envoy.process.log_tail()))?;
        Ok(envoy)
    }

    async fn wait(&mut self, admin_file: &Path) -> Result<()> {
        let process = &mut self.process;
        let admin = until("Envoy writes its admin address", || {
            let state = process.check();
            async {
                if let Err(error) = state {
                    return Some(Err(error));
                }
                fs::read_to_string(admin_file).ok()?.parse::<SocketAddr>().ok().map(Ok)
            }
        });
        self.admin = admin.await??;
        let ready = until("Envoy is ready", || {
            let state = self.process.check();
            let admin = self.admin;
            async move {
                if let Err(error) = state {
                    return Some(Err(error));
                }
                let mut connection = Connection::open(admin, Protocol::Http1).await.ok()?;
                let answer = connection.send(Call::get("/ready")).await.ok()?;
                answer.status.is_success().then_some(Ok(()))
            }
        });
        ready.await??;
        let listeners = self.admin_get("/listeners?format=json").await?;
        let listeners: Value = serde_json::from_str(&listeners)?;
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        let port = address["port_value"].as_u64().and_then(|port| u16::try_from(port).ok());
        let port = port.with_context(|| format!("a listener with a port was expected in {listeners}"))?;
        self.listener = SocketAddr::from(([127, 0, 0, 1], port));
        Ok(())
    }

    /// Where clients connect.
    pub fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// What the admin interface answers.
    pub async fn admin_get(&self, path: &str) -> Result<String> {
        let mut connection = Connection::open(self.admin, Protocol::Http1).await?;
        Ok(connection.send(Call::get(path)).await?.text())
    }

    /// A counter or gauge; 0 while it does not exist.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        let all = self.admin_get("/stats").await?;
        let value = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map_or(Ok(0), |value| value.parse().with_context(|| format!("{name} is {value}")))
    }

    /// Resident memory in kilobytes.
    pub fn resident_kilobytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has memory")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}

fn bootstrap(options: &Options, neighbours: Neighbours, module: &Path) -> Value {
    let mut filters = Vec::new();
    if options.decompress {
        filters.push(decompressor());
    }
    if let Some(configuration) = &options.filter {
        filters.push(wasm_filter(configuration, options.hold, module));
    }
    filters.push(typed(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        json!({"suppress_envoy_headers": true}),
    ));
    let manager = json!({
        "stat_prefix": "headroom",
        "codec_type": "AUTO",
        "generate_request_id": false,
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"path": "/stats"}, "route": {"cluster": "headroomd_http"}},
            {"match": {"prefix": "/"}, "route": {"cluster": "provider", "timeout": "0s"}},
        ]}]},
    });
    let manager = typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        manager,
    );
    json!({
        "admin": {"address": socket(SocketAddr::from(([127, 0, 0, 1], 0)))},
        "static_resources": {
            "listeners": [{
                "name": "headroom",
                "address": socket(SocketAddr::from(([127, 0, 0, 1], 0))),
                "per_connection_buffer_limit_bytes": options.buffer_bytes,
                "filter_chains": [{"filters": [manager]}],
            }],
            "clusters": [
                cluster("provider", neighbours.provider, options.upstream),
                cluster("headroom", neighbours.sidecar_grpc, Protocol::Http2),
                cluster("headroomd_http", neighbours.sidecar_http, Protocol::Http1),
            ],
        },
    })
}

fn typed(name: &str, kind: &str, mut config: Value) -> Value {
    config["@type"] = json!(format!("type.googleapis.com/{kind}"));
    json!({"name": name, "typed_config": config})
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn cluster(name: &str, address: SocketAddr, protocol: Protocol) -> Value {
    let protocol = match protocol {
        Protocol::Http1 => json!({"http_protocol_options": {}}),
        Protocol::Http2 => json!({"http2_protocol_options": {}}),
    };
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(address)}}]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": protocol,
        }},
    })
}

fn decompressor() -> Value {
    typed(
        "envoy.filters.http.decompressor",
        "envoy.extensions.filters.http.decompressor.v3.Decompressor",
        json!({"decompressor_library": typed(
            "gzip",
            "envoy.extensions.compression.gzip.decompressor.v3.Gzip",
            json!({}),
        )}),
    )
}

fn wasm_filter(configuration: &Value, hold: bool, module: &Path) -> Value {
    typed(
        "headroom",
        "envoy.extensions.filters.http.wasm.v3.Wasm",
        json!({"config": {
            "name": "headroom",
            "root_id": "headroom",
            "vm_config": {
                "vm_id": "headroom",
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": module}},
            },
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration.to_string()},
            "failure_policy": "FAIL_RELOAD",
            "reload_config": {"backoff": {"base_interval": "0.01s", "max_interval": "1s"}},
            "allow_on_headers_stop_iteration": hold,
        }}),
    )
}
