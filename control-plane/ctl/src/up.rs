//! `headroomctl up`: Envoy with the filter and headroomd beside it, in the foreground.

mod child;
mod programs;
mod settings;
mod stack;

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{Write as _, stderr, stdout};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use self::programs::Programs;
pub use self::settings::{BodyModeName, Settings, UpArgs};
use self::stack::{Addresses, Stack};
use crate::bootstrap::{Bootstrap, Endpoint};
use crate::environment::Environment;
use crate::misuse::Misuse;
use crate::wrap::{lease_file, targets_file};

/// Between two looks whether a wrapped run is left.
const LOOK_FOR_RUNS: Duration = Duration::from_millis(250);

impl Settings {
    /// The bootstrap for these settings, as far as it is known before anything has started.
    pub fn bootstrap(&self, module: &Path) -> Bootstrap {
        let mut bootstrap = Bootstrap::new(self.providers.clone());
        bootstrap.listen = self.listen.clone();
        bootstrap.admin = self.admin.clone();
        bootstrap.module = Some(module.to_owned());
        bootstrap.plugin_config = self.plugin_config.clone();
        bootstrap.body_mode = self.body_mode;
        // SSL_CERT_FILE, else where the distributions keep it.
        bootstrap.ca_file = openssl_probe::probe().cert_file;
        bootstrap.sidecar_http = Endpoint { host: self.http.ip().to_string(), port: self.http.port() };
        bootstrap.sidecar_grpc = Endpoint { host: self.grpc.ip().to_string(), port: self.grpc.port() };
        let configured = self.plugin_config.get("max_body_bytes").and_then(serde_json::Value::as_u64);
        if let Some(bytes) = configured.and_then(|bytes| u32::try_from(bytes).ok()) {
            bootstrap.max_body_bytes = bytes;
        }
        bootstrap
    }
}

/// Prints the bootstrap that [`up`] would run.
pub fn print_bootstrap(args: &UpArgs) -> anyhow::Result<()> {
    let env = Environment::of_process();
    let settings = Settings::resolve(args, env).map_err(Misuse::of)?;
    let programs = Programs::find(args, env, &own_folder()?)?;
    stdout().write_all(settings.bootstrap(&programs.module).render()?.as_bytes())?;
    Ok(())
}

/// Starts everything, says where it is, and runs until a signal (`Ok`) or until a child dies (`Err`).
pub async fn up(args: &UpArgs) -> anyhow::Result<()> {
    // Before anything starts, so that a signal at any time from here on stops it in order.
    let mut signals = Signals::listen()?;
    let env = Environment::of_process();
    let settings = Settings::resolve(args, env).map_err(Misuse::of)?;
    let programs = Programs::find(args, env, &own_folder()?)?;
    if args.while_wrapped {
        // The terminal of the first wrapped run is not ours: it may close while others go on.
        rustix::process::setsid().context("a session of its own cannot be had")?;
    }
    let run = settings.workspace_dir.join("run");
    fs::create_dir_all(&run).with_context(|| format!("{} cannot be made", run.display()))?;
    let _lock = lock(&run)?;
    if !args.while_wrapped {
        // What an earlier one was told for a wrapped run; this one is told by its user.
        stack::remove(&targets_file(&settings.workspace_dir))?;
    }
    check_ports(&settings)?;

    let mut stack = Stack::new(&settings.workspace_dir)?;
    let outcome = tokio::select! {
        outcome = run_until_a_child_dies(&mut stack, &settings, &programs, &run) => outcome,
        () = signals.next() => Ok(()),
        last = wrapped_runs_end(args.while_wrapped, &settings.workspace_dir) => last,
    };
    if outcome.is_ok() {
        writeln!(stderr(), "\nStopping; once more to stop at once.")?;
    }
    let stopped = tokio::select! {
        stopped = stack.stop(outcome.is_ok()) => stopped,
        () = signals.next() => bail!("stopped at once by a second signal: reports of the last second may be lost"),
    };
    outcome.and(stopped)
}

/// Waits until no wrapped run is left. Until this process ends, a new one cannot begin: it waits, and then starts
/// another Headroom.
async fn wrapped_runs_end(asked: bool, workspace: &Path) -> anyhow::Result<()> {
    if !asked {
        return std::future::pending().await;
    }
    let lease = lease_file(workspace)?;
    while lease.try_lock().is_err() {
        tokio::time::sleep(LOOK_FOR_RUNS).await;
    }
    // The lock lives as long as the process.
    std::mem::forget(lease);
    Ok(())
}

async fn run_until_a_child_dies(
    stack: &mut Stack,
    settings: &Settings,
    programs: &Programs,
    run: &Path,
) -> anyhow::Result<()> {
    let addresses = stack.start(settings, programs, run).await?;
    announce(settings, &addresses, stack.has_dashboard(&addresses).await)?;
    stack.wait_for_a_death().await
}

fn announce(settings: &Settings, addresses: &Addresses, dashboard: bool) -> anyhow::Result<()> {
    let host = match settings.listen.host.as_str() {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let url = format!("http://{host}:{}", addresses.listener_port);
    let mut out = stdout().lock();
    writeln!(out, "Headroom is ready. Give your clients one of these:\n")?;
    writeln!(out, "ANTHROPIC_BASE_URL={url}")?;
    writeln!(out, "OPENAI_BASE_URL={url}/v1")?;
    writeln!(out, "GOOGLE_GEMINI_BASE_URL={url}\n")?;
    if dashboard {
        writeln!(out, "dashboard    {url}/dashboard")?;
    }
    writeln!(out, "savings      {url}/stats, or: headroomctl stats --url {url}")?;
    writeln!(out, "headroomd    http://{} and gRPC on {}", addresses.http, addresses.grpc)?;
    writeln!(out, "Envoy admin  http://{}", addresses.admin)?;
    writeln!(out, "logs         {}\n", settings.workspace_dir.join("logs").display())?;
    writeln!(out, "Ctrl-C stops it.")?;
    out.flush()?;
    if !settings.listen.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        writeln!(
            stderr(),
            "Note: {} is not loopback: whoever reaches the port can send requests and read the statistics.",
            settings.listen.host
        )?;
    }
    Ok(())
}

/// One `up` per workspace: two would write over each other's files.
fn lock(run: &Path) -> anyhow::Result<File> {
    let path = run.join("lock");
    let file = File::options().create(true).append(true).open(&path);
    let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another `headroomctl up` runs with this workspace ({}): stop it, or give this one a folder of its own \
             with --workspace-dir",
            run.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

/// Taken ports are said at once and by name, instead of in the log of whoever fails first.
fn check_ports(settings: &Settings) -> anyhow::Result<()> {
    let listen = (settings.listen.host.clone(), settings.listen.port, "--port or HEADROOM_PORT");
    let others = [
        (settings.http.ip().to_string(), settings.http.port(), "--http"),
        (settings.grpc.ip().to_string(), settings.grpc.port(), "--grpc"),
        (settings.admin.host.clone(), settings.admin.port, "--admin-port"),
    ];
    for (host, port, option) in std::iter::once(listen).chain(others) {
        if port == 0 {
            continue;
        }
        TcpListener::bind((host.as_str(), port)).with_context(|| {
            format!("port {port} on {host} cannot be used: stop what listens there, or choose another with {option} (`--port 0` takes free ones)")
        })?;
    }
    Ok(())
}

fn own_folder() -> anyhow::Result<std::path::PathBuf> {
    let program = env::current_exe().and_then(|path| path.canonicalize());
    let program = program.context("the path of the running program is not known")?;
    Ok(program.parent().context("the running program lies in no folder")?.to_owned())
}

/// What asks us to stop.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be caught");
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
