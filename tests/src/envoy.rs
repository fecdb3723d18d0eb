//! A real Envoy process, its configuration and its counters.

mod kept;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use headroomctl::bootstrap::{BodyMode, Bootstrap, Endpoint, Providers};
use headroomctl::upstream::Upstream;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::built::{target_folder, workspace};
use crate::client::{Call, Connection, Protocol};
use crate::deadline::until;
use crate::leash::Leashed;
use kept::{Kept, Parts};

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
    /// The filter's cap, from which Envoy's own limit follows.
    pub max_body_bytes: u32,
    /// Let the router retry after a 5xx.
    pub retry_on_5xx: bool,
    /// How many seconds routes wait for an answer; `None`: forever, as in the product.
    pub route_timeout: Option<u32>,
    /// Worker threads; each has its own VM.
    pub workers: u32,
    /// Host names that clients may use, in addition to `localhost` and addresses.
    pub allow_hosts: Vec<String>,
    /// Log levels of components, such as `http:trace`; empty: warnings.
    pub log: String,
    /// A whole configuration, in place of the one that `headroomctl` would render.
    pub configuration: Option<String>,
    /// A process that nothing has used before and that may be ended: for tests of the process itself.
    pub own_process: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            filter: Some(json!({})),
            hold: false,
            upstream: Protocol::Http1,
            decompress: false,
            max_body_bytes: 32 << 20,
            retry_on_5xx: false,
            route_timeout: None,
            workers: 1,
            allow_hosts: Vec::new(),
            log: String::new(),
            configuration: None,
            own_process: false,
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
    process: Process,
    admin: PathBuf,
    listener: SocketAddr,
    started_in: Duration,
}

#[derive(Debug)]
enum Process {
    Own(Leashed),
    Kept(Kept),
}

const KEPT: &str = "other stacks use this Envoy after this one: set `own_process`";

impl Process {
    fn own(&self) -> Result<&Leashed> {
        match self {
            Self::Own(process) => Ok(process),
            Self::Kept(_) => bail!(KEPT),
        }
    }

    fn own_mut(&mut self) -> Result<&mut Leashed> {
        match self {
            Self::Own(process) => Ok(process),
            Self::Kept(_) => bail!(KEPT),
        }
    }

    fn log_tail(&self) -> String {
        match self {
            Self::Own(process) => process.log_tail(),
            Self::Kept(kept) => kept.log_tail(),
        }
    }
}

/// The Envoy to run: the one that `envoy/install.sh` finds or installs.
pub async fn binary() -> Result<PathBuf> {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    let find = || async {
        tokio::task::spawn_blocking(|| {
            let script = workspace().join("envoy/install.sh");
            let output = Command::new(&script)
                .env("CARGO_TARGET_DIR", target_folder()?)
                .output()
                .with_context(|| format!("{} does not run", script.display()))?;
            let errors = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{} failed:\n{errors}", script.display());
            Ok(String::from_utf8(output.stdout)?.trim().into())
        })
        .await?
    };
    BINARY.get_or_try_init(find).await.cloned()
}

impl Envoy {
    /// Starts Envoy with its files in `folder` and waits until it serves. Unless the options need a process of their own, it may
    /// be one that has served others.
    pub async fn start(
        options: &Options,
        neighbours: Neighbours,
        module: &Path,
        folder: &Path,
    ) -> Result<Self> {
        let text = bootstrap(options, neighbours, module, folder)?;
        let binary = binary().await?;
        let start = Instant::now();
        let own = options.own_process || options.configuration.is_some() || !options.log.is_empty();
        let (process, admin) = if own || options.filter.is_none() {
            own_process(options, &text, &binary, folder).await?
        } else {
            let kept = Kept::serve(Parts::new(&text)?, &binary, module, options.workers).await?;
            let admin = kept.admin();
            (Process::Kept(kept), admin)
        };
        let started_in = start.elapsed();
        let listener = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut envoy = Self { process, admin, listener, started_in };
        envoy.listener = envoy.other_listener("headroom").await?;
        Ok(envoy)
    }

    /// The time from the start of the process until it was ready to serve.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The socket of the admin interface.
    pub fn admin(&self) -> &Path {
        &self.admin
    }

    /// The address of another listener than the clients'.
    pub async fn other_listener(&self, name: &str) -> Result<SocketAddr> {
        listener(&serde_json::from_str(&self.admin_get("/listeners?format=json").await?)?, name)
    }

    /// Where clients connect.
    pub fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// What the admin interface answers.
    pub async fn admin_get(&self, path: &str) -> Result<String> {
        let mut connection = Connection::open_socket(&self.admin).await?;
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
        self.process.own()?.resident_kilobytes()
    }

    /// Files and sockets that it has open.
    pub fn open_files(&self) -> Result<usize> {
        self.process.own()?.open_files()
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.process.own_mut()?.kill().map(drop)
    }

    /// SIGTERM, and waits until it has ended.
    pub fn terminate(&mut self) -> Result<()> {
        self.process.own_mut()?.terminate().map(drop)
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }
}

/// Starts Envoy, and waits until it is ready. Returns its admin socket as well.
async fn own_process(
    options: &Options,
    text: &str,
    binary: &Path,
    folder: &Path,
) -> Result<(Process, PathBuf)> {
    let configuration = folder.join("envoy.yaml");
    let admin_file = folder.join("admin");
    fs::write(&configuration, text)?;
    let mut arguments = vec![
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
    if !options.log.is_empty() {
        arguments.extend(["--component-log-level".to_owned(), options.log.clone()]);
    }
    let mut process = Leashed::start(binary, &arguments, &[], &folder.join("envoy.log"))?;
    let admin = wait(&mut process, &admin_file)
        .await
        .with_context(|| format!("Envoy's log ends:\n{}", process.log_tail()))?;
    Ok((Process::Own(process), admin))
}

async fn wait(process: &mut Leashed, admin_file: &Path) -> Result<PathBuf> {
    let admin = until("Envoy writes its admin address", || {
        let state = process.check();
        async {
            if let Err(error) = state {
                return Some(Err(error));
            }
            let path = fs::read_to_string(admin_file).ok().filter(|path| !path.is_empty())?;
            Some(Ok(PathBuf::from(path)))
        }
    });
    let admin = admin.await??;
    let ready = until("Envoy is ready", || {
        let state = process.check();
        let admin = &admin;
        async move {
            if let Err(error) = state {
                return Some(Err(error));
            }
            let mut connection = Connection::open_socket(admin).await.ok()?;
            let answer = connection.send(Call::get("/ready")).await.ok()?;
            answer.status.is_success().then_some(Ok(()))
        }
    });
    ready.await??;
    Ok(admin)
}

/// The port of a listener, by its name in what the admin interface lists.
fn listener(listeners: &Value, name: &str) -> Result<SocketAddr> {
    let all = listeners["listener_statuses"].as_array().into_iter().flatten();
    let found = all.into_iter().find(|listener| listener["name"] == name);
    let port = found.and_then(|it| it.pointer("/local_address/socket_address/port_value")?.as_u64());
    let port = port.and_then(|port| u16::try_from(port).ok());
    let port = port.with_context(|| format!("a listener {name} with a port was expected in {listeners}"))?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// The bootstrap of `headroomctl up`, with this test's neighbours.
fn bootstrap(options: &Options, neighbours: Neighbours, module: &Path, folder: &Path) -> Result<String> {
    if let Some(configuration) = &options.configuration {
        return Ok(configuration.clone());
    }
    let mut provider: Upstream = format!("http://{}", neighbours.provider).parse()?;
    provider.http2 = options.upstream == Protocol::Http2;
    let mut bootstrap = Bootstrap::new(Providers::all(provider));
    bootstrap.listen = Endpoint::loopback(0);
    bootstrap.admin = folder.join("admin.sock");
    bootstrap.allow_hosts = options.allow_hosts.clone();
    bootstrap.sidecar_http = endpoint(neighbours.sidecar_http);
    bootstrap.sidecar_grpc = endpoint(neighbours.sidecar_grpc);
    bootstrap.max_body_bytes = options.max_body_bytes;
    if let Some(configuration) = &options.filter {
        bootstrap.module = Some(module.to_owned());
        bootstrap.plugin_config = configuration.clone();
    }
    if options.hold {
        bootstrap.body_mode = BodyMode::Hold;
    }
    if options.decompress {
        bootstrap.http_filters = vec![decompressor()];
    }
    let mut text = bootstrap.render()?;
    if let Some(seconds) = options.route_timeout {
        const PRODUCT: &str = "timeout: 0s, idle_timeout: ";
        ensure!(text.contains(PRODUCT), "the rendered bootstrap has no timeout of the expected form");
        text = text.replace(PRODUCT, &format!("timeout: {seconds}s, idle_timeout: "));
    }
    if options.retry_on_5xx {
        // The product does not retry after a provider's answer; an operator may.
        const PRODUCT: &str = "retry_on: \"connect-failure,reset-before-request\", num_retries: 1";
        ensure!(text.contains(PRODUCT), "the rendered bootstrap has no retry policy of the expected form");
        return Ok(text.replace(PRODUCT, "retry_on: \"5xx\", num_retries: 3"));
    }
    Ok(text)
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::loopback(address.port())
}

fn decompressor() -> Value {
    json!({
        "name": "envoy.filters.http.decompressor",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.decompressor.v3.Decompressor",
            "decompressor_library": {
                "name": "gzip",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip",
                },
            },
        },
    })
}
