//! headroomd and Envoy: started in order, watched, stopped in order.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use headroom_api::names;
use headroom_retry::Retry;
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::child::{Child, Launch};
use super::litellm::Backend;
use super::logs;
use super::programs::Programs;
use super::settings::Settings;
use super::supervision::{Start, keep_running, say};
use crate::bootstrap::Endpoint;
use crate::doctor::envoy::config_errors;

/// How long each part may take to start. V8 compiles the module first, and a store may have to be migrated.
const READY: Duration = Duration::from_secs(60);
/// Time between two checks whether it is ready.
const LOOK: Duration = Duration::from_millis(50);
/// Time limit of one check.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// The filter reports once a second by default, so everything is sent after a little more.
const LAST_REPORT: Duration = Duration::from_millis(1200);
/// How long open requests may take to end when Envoy is stopped.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
/// Envoy ends at once; this leaves time for a machine under load.
const ENVOY_PATIENCE: Duration = Duration::from_secs(5);
/// LiteLLM has nothing to write; it ends once its requests have.
const LITELLM_PATIENCE: Duration = Duration::from_secs(5);
/// headroomd gives its connections ten seconds.
const HEADROOMD_PATIENCE: Duration = Duration::from_secs(15);

/// The actual addresses of all parts.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) listener_port: u16,
    pub(super) admin: PathBuf,
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
}

/// The file that headroomd writes after it has bound its addresses.
#[derive(Deserialize)]
struct Ready {
    pid: u32,
    http: SocketAddr,
    grpc: SocketAddr,
}

pub(super) struct Stack {
    logs: PathBuf,
    client: Client,
    headroomd: Option<Child>,
    envoy: Option<Child>,
    /// The program that translates between formats, if requested.
    backend: Option<Backend>,
    litellm: Option<Child>,
    admin: Option<Client>,
}

impl Stack {
    pub(super) fn new(logs: PathBuf, backend: Option<Backend>) -> anyhow::Result<Self> {
        // All servers are on this machine, so a proxy from the environment would not find them.
        let client = Client::builder().no_proxy().timeout(LOOK_TIMEOUT).build()?;
        Ok(Self { logs, client, headroomd: None, envoy: None, backend, litellm: None, admin: None })
    }

    /// Starts both and waits until requests are accepted.
    pub(super) async fn start(
        &mut self,
        settings: &Settings,
        programs: &Programs,
    ) -> anyhow::Result<Addresses> {
        if let Some(backend) = &self.backend {
            self.litellm = Some(Child::start(backend.launch())?);
        }
        say("Starting headroomd; a store of an older version is brought up to date first …");
        let sidecar = self.sidecar(settings, programs, (settings.http, settings.grpc));
        remove(&sidecar.ready_file)?;
        self.headroomd = Some(Child::start(&sidecar.launch)?);
        let ready = match sidecar.wait(&mut self.headroomd).await {
            Ok(ready) => ready,
            Err(error) => self.without_headroomd(settings, error).await?,
        };
        say(
            "Starting Envoy, which compiles the filter; this takes seconds, or half a minute on a busy machine …",
        );
        let listener_port = self.start_envoy(settings, programs, &ready).await?;
        if let Some(backend) = &self.backend {
            say("Waiting for LiteLLM, which takes about twenty seconds …");
            backend.wait(&mut self.litellm).await?;
        }
        Ok(Addresses { listener_port, admin: settings.admin(), http: ready.http, grpc: ready.grpc })
    }

    /// Requests do not depend on headroomd: if headroomd's address is fixed, Envoy serves until headroomd can be
    /// started.
    async fn without_headroomd(
        &mut self,
        settings: &Settings,
        error: anyhow::Error,
    ) -> anyhow::Result<Ready> {
        let (http, grpc) = (settings.http, settings.grpc);
        if http.port() == 0 || grpc.port() == 0 {
            return Err(error);
        }
        if let Some(mut child) = self.headroomd.take() {
            child.stop(Duration::ZERO).await.ok();
        }
        say(&format!(
            "{error:#}\n\nEnvoy serves without it: requests go on, but no figures and no originals are kept. \
             headroomd is started again until it runs."
        ));
        Ok(Ready { pid: 0, http, grpc })
    }

    fn sidecar(
        &self,
        settings: &Settings,
        programs: &Programs,
        (http, grpc): (SocketAddr, SocketAddr),
    ) -> Sidecar {
        let ready_file = settings.run_dir().join("headroomd.json");
        let mut arguments = [
            ["--http".to_owned(), http.to_string()],
            ["--grpc".to_owned(), grpc.to_string()],
            ["--workspace-dir".to_owned(), settings.workspace_dir.display().to_string()],
            ["--ready-file".to_owned(), ready_file.display().to_string()],
        ]
        .concat();
        if !settings.allow_hosts.is_empty() {
            arguments.extend(["--allowed-hosts".to_owned(), settings.allow_hosts.join(",")]);
        }
        arguments.extend(settings.code_aware.then(|| "--code-aware".to_owned()));
        if let Some(file) = &settings.log_file {
            arguments.extend(["--log-file".to_owned(), file.display().to_string()]);
        }
        arguments.extend(settings.log_messages.then(|| "--log-messages".to_owned()));
        arguments.extend(settings.learn.then(|| "--learn".to_owned()));
        let launch = Launch {
            name: "headroomd",
            program: programs.headroomd.clone(),
            arguments,
            environment: token(settings)
                .into_iter()
                // headroomd shows it.
                .chain(settings.pre_upstream.iter().map(|said| (names::PRE_UPSTREAM_VARIABLE, said.clone())))
                .chain(settings.sidecar_variables.iter().cloned())
                .collect(),
            unset: settings.not_inherited.clone(),
            log: self.logs.join("headroomd.log"),
        };
        Sidecar { launch, ready_file, client: self.client.clone() }
    }

    async fn start_envoy(
        &mut self,
        settings: &Settings,
        programs: &Programs,
        sidecar: &Ready,
    ) -> anyhow::Result<u16> {
        let run = settings.run_dir();
        let mut bootstrap = settings.bootstrap(&programs.module);
        let endpoint =
            |address: SocketAddr| Endpoint { host: address.ip().to_string(), port: address.port() };
        bootstrap.sidecar_http = endpoint(sidecar.http);
        bootstrap.sidecar_grpc = endpoint(sidecar.grpc);
        bootstrap.access_log = Some(self.logs.join(logs::ACCESS));
        let file = run.join("envoy.yaml");
        headroom_private::write(&file, bootstrap.render()?.as_bytes())
            .with_context(|| format!("{} cannot be written", file.display()))?;

        let admin_file = run.join("envoy.admin");
        remove(&admin_file)?;
        let arguments = [
            ["--config-path".to_owned(), file.display().to_string()],
            ["--concurrency".to_owned(), settings.workers.to_string()],
            ["--admin-address-path".to_owned(), admin_file.display().to_string()],
            ["--log-level".to_owned(), "warning".to_owned()],
        ]
        .concat();
        // Without it two Envoys on one machine would use the same shared memory.
        let arguments = [arguments, vec!["--disable-hot-restart".to_owned()]].concat();
        let launch = Launch {
            name: "Envoy",
            program: programs.envoy.clone(),
            arguments,
            environment: token(settings)
                .into_iter()
                .chain(settings.envoy_variables.iter().cloned())
                .collect(),
            unset: settings.not_inherited.clone(),
            log: self.logs.join("envoy.log"),
        };
        let child = self.envoy.insert(Child::start(&launch)?);
        let socket = settings.admin();
        let admin = Client::builder().no_proxy().timeout(LOOK_TIMEOUT).unix_socket(socket).build()?;
        self.admin = Some(admin.clone());
        let deadline = Instant::now() + READY;
        // Envoy writes it after it has opened the socket, so the socket is not an old one.
        while !fs::read_to_string(&admin_file).is_ok_and(|address| !address.is_empty())
            || !is_ok(&admin, &admin_url("/ready")).await
        {
            look_again(child, deadline).await?;
        }
        let listeners = admin.get(admin_url("/listeners?format=json"));
        let listeners: Value = Retry::NEAR.send(listeners).await?.error_for_status()?.json().await?;
        let port = listeners.pointer("/listener_statuses/0/local_address/socket_address/port_value");
        let port = port.and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        port.with_context(|| format!("Envoy was expected to name its port: {listeners}"))
    }

    /// The parts of its configuration that the filter cannot read, in sentences.
    pub(super) async fn configuration_trouble(&self) -> Option<String> {
        let request = self.admin.as_ref()?.get(admin_url("/stats?filter=config_errors"));
        let answer = Retry::NEAR.send(request).await.ok()?;
        let stats = answer.text().await.ok()?;
        let errors = config_errors(&stats).filter(|errors| *errors > 0)?;
        let values = if errors == 1 { "a value".to_owned() } else { format!("{errors} values") };
        let mut sentences = format!(
            "The filter cannot read {values} of its configuration. Requests that an unreadable mode or rule is \
             for pass untouched:"
        );
        for warning in warnings(&fs::read_to_string(&self.envoy.as_ref()?.log).unwrap_or_default()) {
            sentences.push_str("\n    ");
            sentences.push_str(&warning);
        }
        Some(sentences)
    }

    /// Whether headroomd serves a dashboard.
    pub(super) async fn has_dashboard(&self, addresses: &Addresses) -> bool {
        is_ok(&self.client, &format!("http://{}/dashboard", addresses.http)).await
    }

    /// Keeps headroomd running, and returns an error if Envoy ends by itself.
    pub(super) async fn serve(
        &mut self,
        settings: &Settings,
        programs: &Programs,
        addresses: &Addresses,
    ) -> anyhow::Result<()> {
        let (folder, admin) = (self.logs.clone(), self.admin.clone());
        let reopen = async || {
            if let Some(admin) = &admin {
                // If this fails, Envoy writes to the renamed file until the next check.
                Retry::NEAR.send(admin.post(admin_url("/reopen_logs"))).await.ok();
            }
        };
        // Envoy expects it at the same address.
        let sidecar = self.sidecar(settings, programs, (addresses.http, addresses.grpc));
        let Some(envoy) = &mut self.envoy else { bail!("nothing was started") };
        let status = tokio::select! {
            status = envoy.ended() => status?,
            () = keep_running(&mut self.headroomd, &sidecar) => bail!("the task that watches headroomd has ended"),
            () = keep_backend(&mut self.litellm, self.backend.as_ref()) => bail!("the task that watches LiteLLM has ended"),
            () = logs::keep_small(&folder, reopen) => bail!("the task that writes the logs has ended"),
        };
        bail!("Envoy died ({status}). Its log, {}, ends:\n{}", envoy.log.display(), envoy.tail());
    }

    /// Stops Envoy first, so that no request finds the sidecar gone. With `flush`, waits for the filter's
    /// last report.
    pub(super) async fn stop(&mut self, flush: bool) -> anyhow::Result<()> {
        if let Some(mut envoy) = self.envoy.take() {
            if let (true, Some(admin)) = (flush, &self.admin)
                && Retry::NEAR.send(admin.post(admin_url("/drain_listeners"))).await.is_ok()
            {
                wait_for_requests(admin).await;
                sleep(LAST_REPORT).await;
            }
            envoy.stop(ENVOY_PATIENCE).await?;
        }
        if let Some(mut litellm) = self.litellm.take() {
            litellm.stop(LITELLM_PATIENCE).await?;
        }
        if let Some(mut headroomd) = self.headroomd.take()
            && !headroomd.stop(HEADROOMD_PATIENCE).await?
        {
            bail!(
                "headroomd had to be killed. Its log, {}, ends:\n{}",
                headroomd.log.display(),
                headroomd.tail()
            );
        }
        Ok(())
    }
}

/// Keeps LiteLLM running, if it is the backend.
async fn keep_backend(place: &mut Option<Child>, backend: Option<&Backend>) {
    match backend {
        Some(backend) => keep_running(place, backend).await,
        None => std::future::pending().await,
    }
}

/// How headroomd is started, and the check whether it is ready.
struct Sidecar {
    launch: Launch,
    ready_file: PathBuf,
    client: Client,
}

impl Sidecar {
    async fn wait(&self, place: &mut Option<Child>) -> anyhow::Result<Ready> {
        let Some(child) = place else { bail!("headroomd was not started") };
        let deadline = Instant::now() + READY;
        let ready = loop {
            let written = fs::read(&self.ready_file).ok();
            let written = written.and_then(|bytes| serde_json::from_slice::<Ready>(&bytes).ok());
            // A file of an earlier process may exist.
            if let Some(ready) = written.filter(|ready| Some(ready.pid) == child.id()) {
                break ready;
            }
            look_again(child, deadline).await?;
        };
        while !is_ok(&self.client, &format!("http://{}/readyz", ready.http)).await {
            look_again(child, deadline).await?;
        }
        Ok(ready)
    }
}

impl Start for Sidecar {
    async fn start(&self, place: &mut Option<Child>) -> anyhow::Result<()> {
        remove(&self.ready_file)?;
        *place = Some(Child::start_again(&self.launch)?);
        self.wait(place).await.map(|_| ())
    }
}

/// Both read it from their environment: headroomd to require it, the filter to send it.
fn token(settings: &Settings) -> Vec<(&'static str, String)> {
    settings.token.iter().map(|token| ("HEADROOM_TOKEN", token.clone())).collect()
}

/// Waits for a while until no request is open, because an aborted request has no record.
async fn wait_for_requests(admin: &Client) {
    let deadline = Instant::now() + LAST_REQUESTS;
    let mut is_told = false;
    while let Some(open @ 1..) = open_requests(admin).await {
        if Instant::now() >= deadline {
            return;
        }
        if !std::mem::replace(&mut is_told, true) {
            let seconds = LAST_REQUESTS.as_secs();
            say(&format!("Waiting up to {seconds} s for open requests and sessions: {open} …"));
        }
        sleep(LOOK).await;
    }
}

async fn open_requests(admin: &Client) -> Option<u64> {
    const NAME: &str = "http.headroom.downstream_rq_active";
    let answer = admin.get(admin_url(&format!("/stats?filter={NAME}"))).send().await.ok()?;
    let stats = answer.text().await.ok()?;
    stats.lines().find_map(|line| line.strip_prefix(NAME)?.strip_prefix(": ")?.trim().parse().ok())
}

/// The URL of a path of the admin interface. Envoy accepts any host name.
fn admin_url(path: &str) -> String {
    format!("http://localhost{path}")
}

/// The filter's warnings about its configuration in Envoy's log, each once: every VM logs them.
fn warnings(log: &str) -> Vec<String> {
    const MARK: &str = "headroom: configuration: ";
    let mut warnings: Vec<String> = Vec::new();
    for line in log.lines() {
        let Some((_, warning)) = line.split_once(MARK) else { continue };
        if !warnings.iter().any(|known| known == warning) {
            warnings.push(warning.to_owned());
        }
    }
    warnings
}

/// Waits a moment; fails if the child has ended or the deadline is over.
async fn look_again(child: &mut Child, deadline: Instant) -> anyhow::Result<()> {
    let trouble = match child.has_ended()? {
        Some(status) => format!("ended ({status}) before it was ready"),
        None if Instant::now() >= deadline => format!("was not ready after {} s", READY.as_secs()),
        None => {
            sleep(LOOK).await;
            return Ok(());
        }
    };
    bail!("{} {trouble}. Its log, {}, ends:\n{}", child.name, child.log.display(), child.tail());
}

async fn is_ok(client: &Client, url: &str) -> bool {
    client.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
}

/// Removes a file that may be there.
pub(super) fn remove(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", file.display()))
        }
        _ => Ok(()),
    }
}
