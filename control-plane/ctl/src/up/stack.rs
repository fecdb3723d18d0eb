//! headroomd and Envoy: started in order, watched, stopped in order.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::child::Child;
use super::programs::Programs;
use super::settings::Settings;
use crate::bootstrap::Endpoint;
use crate::progress::Doing;

/// How long each part may take until it is ready. V8 compiles the module first, and a store may have to
/// be migrated.
const READY: Duration = Duration::from_secs(60);
/// Between two looks at whether it is ready.
const LOOK: Duration = Duration::from_millis(50);
/// A look's own limit.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// The filter reports once a second by default, so what it still holds is out after a little more.
const LAST_REPORT: Duration = Duration::from_millis(1200);
/// Envoy ends at once; this is for a machine under load.
const ENVOY_PATIENCE: Duration = Duration::from_secs(5);
/// headroomd gives its connections ten seconds.
const HEADROOMD_PATIENCE: Duration = Duration::from_secs(15);

/// Where everything turned out to be.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) listener_port: u16,
    pub(super) admin: String,
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
}

/// What headroomd writes once its addresses are bound.
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
    admin: Option<String>,
}

impl Stack {
    pub(super) fn new(workspace: &Path) -> anyhow::Result<Self> {
        let logs = workspace.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("{} cannot be made", logs.display()))?;
        // Everything asked is on this machine: a proxy from the environment would be asked in vain.
        let client = Client::builder().no_proxy().timeout(LOOK_TIMEOUT).build()?;
        Ok(Self { logs, client, headroomd: None, envoy: None, admin: None })
    }

    /// Starts both and waits until requests can come.
    pub(super) async fn start(
        &mut self,
        settings: &Settings,
        programs: &Programs,
        run: &Path,
    ) -> anyhow::Result<Addresses> {
        let doing = Doing::now("Starting headroomd …");
        let ready = self.start_headroomd(settings, programs, run).await?;
        doing.then("Starting Envoy, which compiles the filter …");
        let (admin, listener_port) = self.start_envoy(settings, programs, run, &ready).await?;
        self.admin = Some(admin.clone());
        Ok(Addresses { listener_port, admin, http: ready.http, grpc: ready.grpc })
    }

    async fn start_headroomd(
        &mut self,
        settings: &Settings,
        programs: &Programs,
        run: &Path,
    ) -> anyhow::Result<Ready> {
        let file = run.join("headroomd.json");
        remove(&file)?;
        let mut arguments = [
            ["--http".to_owned(), settings.http.to_string()],
            ["--grpc".to_owned(), settings.grpc.to_string()],
            ["--workspace-dir".to_owned(), settings.workspace_dir.display().to_string()],
            ["--ready-file".to_owned(), file.display().to_string()],
        ]
        .concat();
        arguments.extend(settings.log_messages.then(|| "--log-messages".to_owned()));
        let log = self.logs.join("headroomd.log");
        let child = self.headroomd.insert(Child::start("headroomd", &programs.headroomd, &arguments, log)?);
        let deadline = Instant::now() + READY;
        let ready = loop {
            let written = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Ready>(&bytes).ok());
            if let Some(ready) = written.filter(|ready| Some(ready.pid) == child.id()) {
                break ready;
            }
            look_again(child, deadline).await?;
        };
        let url = format!("http://{}/readyz", ready.http);
        while !is_ok(&self.client, &url).await {
            look_again(child, deadline).await?;
        }
        Ok(ready)
    }

    async fn start_envoy(
        &mut self,
        settings: &Settings,
        programs: &Programs,
        run: &Path,
        sidecar: &Ready,
    ) -> anyhow::Result<(String, u16)> {
        let mut bootstrap = settings.bootstrap(&programs.module);
        let endpoint =
            |address: SocketAddr| Endpoint { host: address.ip().to_string(), port: address.port() };
        bootstrap.sidecar_http = endpoint(sidecar.http);
        bootstrap.sidecar_grpc = endpoint(sidecar.grpc);
        bootstrap.access_log = Some(self.logs.join("access.log"));
        let file = run.join("envoy.yaml");
        fs::write(&file, bootstrap.render()?)
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
        // Without it two Envoys on one machine would meet in the same shared memory.
        let arguments = [arguments, vec!["--disable-hot-restart".to_owned()]].concat();
        let log = self.logs.join("envoy.log");
        let child = self.envoy.insert(Child::start("Envoy", &programs.envoy, &arguments, log)?);
        let deadline = Instant::now() + READY;
        let admin = loop {
            match fs::read_to_string(&admin_file) {
                Ok(admin) if !admin.is_empty() => break admin,
                _ => look_again(child, deadline).await?,
            }
        };
        while !is_ok(&self.client, &format!("http://{admin}/ready")).await {
            look_again(child, deadline).await?;
        }
        let listeners = self.client.get(format!("http://{admin}/listeners?format=json"));
        let listeners: Value = listeners.send().await?.error_for_status()?.json().await?;
        let port = listeners.pointer("/listener_statuses/0/local_address/socket_address/port_value");
        let port = port.and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        let port = port.with_context(|| format!("Envoy was expected to name its port: {listeners}"))?;
        Ok((admin, port))
    }

    /// True when headroomd serves a dashboard.
    pub(super) async fn has_dashboard(&self, addresses: &Addresses) -> bool {
        is_ok(&self.client, &format!("http://{}/dashboard", addresses.http)).await
    }

    /// Returns, as an error, when one of the two has ended by itself.
    pub(super) async fn wait_for_a_death(&mut self) -> anyhow::Result<()> {
        let (Some(envoy), Some(headroomd)) = (&mut self.envoy, &mut self.headroomd) else {
            bail!("nothing was started");
        };
        let (status, dead) = tokio::select! {
            status = envoy.ended() => (status?, envoy),
            status = headroomd.ended() => (status?, headroomd),
        };
        bail!("{} died ({status}). Its log, {}, ends:\n{}", dead.name, dead.log.display(), dead.tail());
    }

    /// Envoy first, so that no request finds the sidecar gone. With `flush`, what the filter still has to
    /// report is waited for.
    pub(super) async fn stop(&mut self, flush: bool) -> anyhow::Result<()> {
        if let Some(mut envoy) = self.envoy.take() {
            if let (true, Some(admin)) = (flush, &self.admin)
                && self.client.post(format!("http://{admin}/drain_listeners")).send().await.is_ok()
            {
                sleep(LAST_REPORT).await;
            }
            envoy.stop(ENVOY_PATIENCE).await?;
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

/// Waits a moment; fails when the child has ended or has had its time.
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
