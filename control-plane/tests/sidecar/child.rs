//! A real `headroomd` process on free ports, and clients for it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use headroom_api::v1::control_plane_client::ControlPlaneClient;
use headroom_api::v1::memory_client::MemoryClient;
use headroom_api::v1::originals_client::OriginalsClient;
use headroom_api::v1::text_model_client::TextModelClient;
use serde::Deserialize;
use serde_json::Value;
use tonic::transport::{Channel, Endpoint};

/// How long a condition may take to come true before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Connects directly to this machine, even if the environment names a proxy.
pub(crate) fn client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().timeout(PATIENCE)
}

/// A client from [`client_builder`].
pub(crate) fn client() -> reqwest::Client {
    client_builder().build().unwrap()
}

/// The content of the ready file.
#[derive(Debug, Deserialize)]
pub(crate) struct Ready {
    pub(crate) pid: u32,
    pub(crate) http: String,
    pub(crate) grpc: String,
    pub(crate) metrics: Option<String>,
}

/// A running `headroomd`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Sidecar {
    child: Child,
    pub(crate) ready: Ready,
}

impl Sidecar {
    /// Starts one on a workspace, and waits until it listens.
    pub(crate) async fn start(workspace: &Path) -> Self {
        Self::start_with(workspace, &[], &[]).await
    }

    /// Starts one with more arguments and variables.
    pub(crate) async fn start_with(workspace: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::spawn(workspace, args, env, Stdio::inherit()).await
    }

    /// Starts one that logs into a file.
    pub(crate) async fn start_logging(workspace: &Path, env: &[(&str, &str)], log: &Path) -> Self {
        Self::spawn(workspace, &[], env, std::fs::File::create(log).unwrap().into()).await
    }

    /// Starts one under a umask.
    pub(crate) async fn start_with_umask(workspace: &Path, umask: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"umask "$1"; shift; exec "$@""#, "sh", umask, env!("CARGO_BIN_EXE_headroomd")]);
        Self::spawn_as(shell, workspace, &[], &[], Stdio::inherit()).await
    }

    async fn spawn(workspace: &Path, args: &[&str], env: &[(&str, &str)], log: Stdio) -> Self {
        Self::spawn_as(Command::new(env!("CARGO_BIN_EXE_headroomd")), workspace, args, env, log).await
    }

    async fn spawn_as(
        mut command: Command,
        workspace: &Path,
        args: &[&str],
        env: &[(&str, &str)],
        log: Stdio,
    ) -> Self {
        let ready_file = workspace.join("ready.json");
        std::fs::remove_file(&ready_file).ok();
        command
            .env_clear()
            .env("HEADROOM_LOG", "warn")
            .env("HEADROOM_HTTP", "127.0.0.1:0")
            .env("HEADROOM_GRPC", "127.0.0.1:0")
            .envs(env.iter().copied())
            .arg("--workspace-dir")
            .arg(workspace)
            .arg("--ready-file")
            .arg(&ready_file)
            .args(args)
            .stdin(Stdio::null())
            .stderr(log);
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let ready = loop {
            if let Ok(text) = std::fs::read(&ready_file) {
                break serde_json::from_slice(&text).unwrap();
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("headroomd ended before it was ready: {status}");
            }
            assert!(Instant::now() < deadline, "headroomd was not ready in time");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        Self { child, ready }
    }

    /// A gRPC client, connected.
    pub(crate) async fn grpc(&self) -> ControlPlaneClient<Channel> {
        ControlPlaneClient::new(self.channel().await)
    }

    /// A gRPC client for originals, connected.
    pub(crate) async fn originals(&self) -> OriginalsClient<Channel> {
        OriginalsClient::new(self.channel().await).max_decoding_message_size(usize::MAX)
    }

    /// A gRPC client for memory, connected.
    pub(crate) async fn memory(&self) -> MemoryClient<Channel> {
        MemoryClient::new(self.channel().await)
    }

    /// A gRPC client for decisions on texts, connected.
    pub(crate) async fn text_model(&self) -> TextModelClient<Channel> {
        TextModelClient::new(self.channel().await)
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.ready.grpc)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// The status and the body of a path.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = client().get(format!("http://{}{path}", self.ready.http)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The JSON of a path, which must answer with 200.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// `kill -9`, while clients still use it.
    pub(crate) fn kill_now(&self) {
        let pid = self.ready.pid.to_string();
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    }

    /// SIGTERM, and the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        let pid = self.ready.pid.to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "headroomd did not stop in time");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
