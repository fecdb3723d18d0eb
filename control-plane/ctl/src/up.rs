//! `headroomctl up`: Envoy with the filter, and headroomd, in the foreground or in the background.

mod args;
mod child;
mod history;
mod litellm;
mod logs;
mod programs;
mod settings;
mod stack;
mod supervision;

use std::env;
use std::fs::{File, TryLockError};
use std::io::{Write as _, stderr, stdout};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

pub use self::args::{BreakpointsName, HistoryName, ModeName, UpArgs};
pub use self::programs::Programs;
pub use self::settings::{LiteLlm, Settings};
use self::stack::{Addresses, Stack};
use crate::background::{self, Holder, SUPERVISOR, SYSTEMD, Start, State};
use crate::bootstrap::{Bootstrap, Endpoint};
use crate::cache_secret;
use crate::environment::Environment;
use crate::misuse::Misuse;
use crate::progress::Spinner;
use crate::providers::find_local;
use crate::signals::Signals;
use crate::token;
use crate::wrap::{lease_file, targets_file};

/// The first words of the message when requests are accepted.
const READY_LINE: &str = "Headroom is ready.";
/// The default port of LiteLLM's proxy.
const LITELLM_PORT: u16 = 4000;
/// The filter's path in the images and in production.yaml.
const INSTALLED_MODULE: &str = "/etc/headroom/filter.wasm";
/// Time between two checks for wrapped runs.
const LOOK_FOR_RUNS: Duration = Duration::from_millis(250);

impl Settings {
    /// The bootstrap for these settings, as far as known before anything has started.
    pub fn bootstrap(&self, module: &Path) -> Bootstrap {
        let mut bootstrap = Bootstrap::new(self.providers.clone());
        bootstrap.served.clone_from(&self.served);
        bootstrap.listen = self.listen.clone();
        bootstrap.allow_hosts = self.allow_hosts.clone();
        bootstrap.admin = self.admin();
        bootstrap.module = Some(module.to_owned());
        bootstrap.plugin_config = self.plugin_config.clone();
        bootstrap.body_mode = self.body_mode;
        // SSL_CERT_FILE, else the distributions' usual places.
        bootstrap.ca_file = self
            .certificates
            .clone()
            .filter(|file| file.is_file())
            .or_else(|| openssl_probe::probe().cert_file);
        bootstrap.sidecar_http = Endpoint { host: self.http.ip().to_string(), port: self.http.port() };
        bootstrap.sidecar_grpc = Endpoint { host: self.grpc.ip().to_string(), port: self.grpc.port() };
        let configured = self.plugin_config.get("max_body_bytes").and_then(serde_json::Value::as_u64);
        if let Some(bytes) = configured.and_then(|bytes| u32::try_from(bytes).ok()) {
            bootstrap.max_body_bytes = bytes;
        }
        bootstrap
    }

    /// Adds the servers of models that answer on this machine now, if requested.
    async fn find_local(&mut self) -> anyhow::Result<()> {
        let Some(table) = self.find_local.take() else { return Ok(()) };
        let mut found = find_local(&table).await?;
        found.retain(|new| !self.served.iter().any(|it| it.name == new.name));
        if found.is_empty() {
            supervision::say("No model server was found on this machine: none answers at its usual port.");
        }
        self.served.extend(found);
        Ok(())
    }
}

/// Prints the bootstrap that [`up`] would run.
pub async fn print_bootstrap(args: &UpArgs) -> anyhow::Result<()> {
    let env = Environment::of_process();
    let mut settings = Settings::resolve(args, env).map_err(Misuse::of)?;
    settings.find_local().await?;
    if settings.litellm.is_some() {
        settings.served.push(litellm::served(LITELLM_PORT));
    }
    // It may be for another machine, so its files need not exist on this one.
    let module = match programs::module(args, env, &own_folder()?) {
        Ok(module) => module,
        Err(_) => match programs::told_module(args, env) {
            Some(module) => module,
            None => {
                supervision::say(&format!(
                    "Note: the filter module is not on this machine; the configuration expects it at \
                     {INSTALLED_MODULE}. --module names another place."
                ));
                INSTALLED_MODULE.into()
            }
        },
    };
    stdout().write_all(settings.bootstrap(&module).render()?.as_bytes())?;
    Ok(())
}

/// Starts it in the background, and prints its message when it is ready.
async fn detach(args: &UpArgs) -> anyhow::Result<()> {
    let settings = Settings::resolve(args, Environment::of_process()).map_err(Misuse::of)?;
    let workspace = &settings.workspace_dir;
    if let Some(state) = State::read(workspace) {
        bail!(
            "Headroom runs already with this workspace, as process {}, at {}: `headroomctl restart` starts it again, \
             `headroomctl down` stops it",
            state.pid,
            state.url.as_deref().unwrap_or("an address that is not known yet")
        );
    }
    let told = env::args_os().skip(1).filter(|argument| argument != "-d" && argument != "--detach");
    let arguments = told.chain(["--detached".into()]).collect();
    let start = Start { arguments, ..Start::default() };
    let doing = Spinner::now("Starting Headroom …");
    start.run(workspace).await?;
    drop(doing);
    let said = std::fs::read_to_string(background::log_path(workspace)).unwrap_or_default();
    let ready = said.find(READY_LINE).unwrap_or_default();
    stdout().write_all(&said.as_bytes()[ready..])?;
    Ok(())
}

/// Starts everything, prints the addresses, and runs until a signal (`Ok`) or until Envoy dies (`Err`).
pub async fn up(args: &UpArgs) -> anyhow::Result<()> {
    if args.detach {
        return detach(args).await;
    }
    // Envoy and headroomd inherit it, so that only the user can read logs and state.
    headroom_private::restrict_umask();
    // Before anything starts, so that a signal at any time from here on stops it gracefully.
    let mut signals = Signals::listen()?;
    let env = Environment::of_process();
    let mut settings = Settings::resolve(args, env).map_err(Misuse::of)?;
    check_socket(&settings.admin()).map_err(Misuse::of)?;
    let programs = Programs::find(args, env, &own_folder()?)?;
    if args.while_wrapped || args.detached {
        // The terminal belongs to the caller and may close while this process runs.
        rustix::process::setsid().context("a new session cannot be started")?;
    }
    let run = settings.run_dir();
    let logs = settings.workspace_dir.join("logs");
    let failed = |folder: &Path| format!("{} cannot be made private to its owner", folder.display());
    let workspace = &settings.workspace_dir;
    headroom_private::folder(workspace).with_context(|| failed(workspace))?;
    // The workspace may contain the user's own files; these two folders are ours.
    for folder in [&run, &logs] {
        let mended = headroom_private::folder(folder).and_then(|()| headroom_private::files_in(folder));
        mended.with_context(|| failed(folder))?;
    }
    let _lock = lock(&settings.workspace_dir)?;
    let mut state = State::own(holder(args, env));
    state.write(&settings.workspace_dir)?;
    if !args.while_wrapped {
        // The targets of an earlier process, started for a wrapped run. This one gets its targets from the user.
        stack::remove(&targets_file(&settings.workspace_dir))?;
    }
    let outcome = serve(args, &mut settings, &programs, &mut state, &mut signals, logs).await;
    background::forget(&settings.workspace_dir);
    outcome
}

async fn serve(
    args: &UpArgs,
    settings: &mut Settings,
    programs: &Programs,
    state: &mut State,
    signals: &mut Signals,
    logs: PathBuf,
) -> anyhow::Result<()> {
    check_ports(settings)?;
    settings.find_local().await?;
    let token = Token::decide(settings)?;
    let secret = cache_secret::wanted(&settings.plugin_config, &settings.workspace_dir)?;
    settings.envoy_variables.extend(secret.map(|secret| (cache_secret::VARIABLE, secret)));
    let backend = match settings.litellm.clone() {
        Some(litellm) => Some(litellm::prepare(&litellm, settings)?),
        None => None,
    };

    let mut stack = Stack::new(logs, backend)?;
    let outcome = tokio::select! {
        outcome = run_until_envoy_dies(&mut stack, settings, programs, &token, state) => outcome,
        () = signals.next() => Ok(()),
        last = wrapped_runs_end(args.while_wrapped, &settings.workspace_dir) => last,
    };
    if outcome.is_ok() {
        writeln!(stderr(), "\nStopping. A second signal stops at once.")?;
    }
    let stopped = tokio::select! {
        stopped = stack.stop(outcome.is_ok()) => stopped,
        () = signals.next() => bail!("stopped at once by a second signal: reports of the last second may be lost"),
    };
    outcome.and(stopped)
}

/// Runs Headroom while `work` runs, which gets Headroom's URL. `None`: a signal ended it.
pub(crate) async fn run_during<T>(
    settings: &Settings,
    programs: &Programs,
    work: impl AsyncFnOnce(String) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    headroom_private::restrict_umask();
    let mut signals = Signals::listen()?;
    check_socket(&settings.admin()).map_err(Misuse::of)?;
    let logs = settings.workspace_dir.join("logs");
    for folder in [&settings.run_dir(), &logs] {
        headroom_private::folder(folder)
            .with_context(|| format!("{} cannot be made private to its owner", folder.display()))?;
    }
    let mut stack = Stack::new(logs, None)?;
    let run = async {
        let addresses = stack.start(settings, programs).await?;
        tokio::select! {
            died = stack.serve(settings, programs, &addresses) => {
                died?;
                bail!("Headroom has ended before the work was done")
            }
            done = work(url(settings, &addresses)) => done.map(Some),
        }
    };
    let outcome = tokio::select! {
        outcome = run => outcome,
        () = signals.next() => Ok(None),
    };
    let stopped = stack.stop(false).await;
    outcome.and_then(|done| stopped.map(|()| done))
}

/// Finds what `up` needs with these arguments, around this program and on PATH.
pub(crate) fn programs(args: &UpArgs, env: Environment<'_>) -> anyhow::Result<Programs> {
    Programs::find(args, env, &own_folder()?)
}

/// Waits until the last wrapped run has ended. A new run cannot begin before this process has ended: it waits,
/// and then starts another Headroom.
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

async fn run_until_envoy_dies(
    stack: &mut Stack,
    settings: &Settings,
    programs: &Programs,
    token: &Token,
    state: &mut State,
) -> anyhow::Result<()> {
    let addresses = stack.start(settings, programs).await?;
    let url = url(settings, &addresses);
    announce(settings, &addresses, stack.has_dashboard(&addresses).await, token, state.holder)?;
    if let Some(trouble) = stack.configuration_trouble().await {
        supervision::say(&trouble);
    }
    // Written last: a waiting process then finds all of the above in the log.
    state.url = Some(url);
    state.write(&settings.workspace_dir)?;
    stack.serve(settings, programs, &addresses).await
}

/// The token that headroomd requires, and whether the user has seen it.
enum Token {
    /// None: only this machine can reach it.
    None,
    /// Set by the user.
    Told,
    /// The workspace's token, generated by an earlier run.
    Kept,
    /// The workspace's token, generated by this run.
    Made(String),
}

impl Token {
    /// A token is required beyond loopback.
    fn decide(settings: &mut Settings) -> anyhow::Result<Self> {
        if settings.token.is_some() {
            return Ok(Self::Told);
        }
        if !settings.is_open() {
            return Ok(Self::None);
        }
        let (token, made) = token::kept(&settings.workspace_dir)?;
        settings.token = Some(token.clone());
        Ok(if made { Self::Made(token) } else { Self::Kept })
    }

    fn line(&self, settings: &Settings) -> Option<String> {
        let file = token::file(&settings.workspace_dir);
        match self {
            Self::None => None,
            Self::Told => Some("the one of HEADROOM_TOKEN or HEADROOM_TOKEN_FILE".to_owned()),
            Self::Kept => Some(format!("as before, in {}", file.display())),
            Self::Made(token) => Some(format!("{token}, kept in {}; it is not shown again", file.display())),
        }
    }
}

/// Where clients of this machine connect.
fn url(settings: &Settings, addresses: &Addresses) -> String {
    let host = match settings.listen.host.as_str() {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    format!("http://{host}:{}", addresses.listener_port)
}

fn announce(
    settings: &Settings,
    addresses: &Addresses,
    dashboard: bool,
    token: &Token,
    holder: Holder,
) -> anyhow::Result<()> {
    let url = url(settings, addresses);
    let mut out = stdout().lock();
    writeln!(out, "{READY_LINE} Give your clients one of these:\n")?;
    writeln!(out, "ANTHROPIC_BASE_URL={url}")?;
    writeln!(out, "OPENAI_BASE_URL={url}/v1")?;
    writeln!(out, "GOOGLE_GEMINI_BASE_URL={url}\n")?;
    for served in &settings.served {
        for (name, base) in served.base_urls(&url) {
            writeln!(out, "{:<12} {name}={base}", served.name)?;
        }
    }
    if !settings.served.is_empty() {
        writeln!(out)?;
    }
    if let Some(line) = settings.mode_line() {
        writeln!(out, "mode         {line}")?;
    }
    if dashboard {
        writeln!(out, "dashboard    {url}/dashboard")?;
    }
    let program = own_path()?;
    let found = is_on_path(&program);
    let command = if found { "headroomctl".to_owned() } else { program.display().to_string() };
    writeln!(out, "savings      {url}/stats, or: {command} stats --url {url}")?;
    writeln!(out, "headroomd    http://{} and gRPC on {}", addresses.http, addresses.grpc)?;
    writeln!(out, "Envoy admin  curl --unix-socket {} http://localhost/", addresses.admin.display())?;
    if !found {
        writeln!(out, "headroomctl  {command}; `make install` puts it on your PATH")?;
    }
    if let Some(line) = token.line(settings) {
        writeln!(out, "token        {line}")?;
    }
    writeln!(out, "logs         {}\n", settings.workspace_dir.join("logs").display())?;
    match holder {
        Holder::Terminal => writeln!(out, "Ctrl-C stops it.")?,
        Holder::Background => writeln!(out, "`{command} down` stops it.")?,
        Holder::WrappedAgents => writeln!(out, "It ends with the last wrapped agent.")?,
        Holder::Systemd => writeln!(out, "`systemctl --user stop headroom` stops it.")?,
    }
    out.flush()?;
    if !settings.listen.is_loopback() {
        supervision::say(&format!(
            "Note: {} is not loopback: anyone who reaches the port can send requests to the providers, with \
             keys of their own. headroomd asks for the token.",
            settings.listen.host
        ));
    }
    Ok(())
}

/// One `up` per workspace: two would overwrite each other's files.
fn lock(workspace: &Path) -> anyhow::Result<File> {
    let path = background::lock_path(workspace);
    let file = File::options().create(true).append(true).open(&path);
    let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another `headroomctl up` runs with this workspace ({}): stop it, or give this one a folder of its own \
             with --workspace-dir",
            workspace.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

/// Reports used ports at once and by name, instead of in the log of the process that fails first.
fn check_ports(settings: &Settings) -> anyhow::Result<()> {
    let listen = (settings.listen.host.clone(), settings.listen.port, "--port or HEADROOM_PORT");
    let others = [
        (settings.http.ip().to_string(), settings.http.port(), "--http"),
        (settings.grpc.ip().to_string(), settings.grpc.port(), "--grpc"),
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

/// The longest path of a socket, limited by the system's `sockaddr_un`: 104 bytes with the closing zero on the
/// systems with the lowest limit.
const MAX_SOCKET_PATH: usize = 103;

fn check_socket(path: &Path) -> anyhow::Result<()> {
    let length = path.as_os_str().len();
    ensure!(
        length <= MAX_SOCKET_PATH,
        "--workspace-dir or HEADROOM_WORKSPACE_DIR: {} has {length} bytes, and the path of a socket can have \
         {MAX_SOCKET_PATH}: choose a shorter folder",
        path.display()
    );
    Ok(())
}

/// The sidecar's program, for callers that run it for another purpose.
pub(crate) fn headroomd(explicit: Option<&PathBuf>, env: Environment<'_>) -> anyhow::Result<PathBuf> {
    programs::headroomd(explicit, env, &own_folder()?)
}

fn own_path() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().and_then(|path| path.canonicalize());
    program.context("the path of the running program is not known")
}

/// Whether the command `headroomctl` in a shell runs this program.
fn is_on_path(program: &Path) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let first = env::split_paths(&path).map(|folder| folder.join("headroomctl")).find(|path| path.is_file());
    first.and_then(|path| path.canonicalize().ok()).is_some_and(|path| path == program)
}

fn own_folder() -> anyhow::Result<PathBuf> {
    Ok(own_path()?.parent().context("the running program has no folder")?.to_owned())
}

/// What keeps the started Headroom running.
fn holder(args: &UpArgs, env: Environment<'_>) -> Holder {
    if args.while_wrapped {
        Holder::WrappedAgents
    } else if args.detached {
        Holder::Background
    } else if env.variable(SUPERVISOR).as_deref() == Some(SYSTEMD) {
        Holder::Systemd
    } else {
        Holder::Terminal
    }
}
