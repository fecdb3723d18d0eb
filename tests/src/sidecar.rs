//! The sidecar: the real one, and faulty ones.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use headroom_api::v1::{
    DecideRequest, DecideResponse, RetrieveRequest, RetrieveResponse, TextDecision, TextOutput,
};
use headroom_compress::append_marker;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::client::{Call, Connection, Protocol};
use crate::deadline::{PATIENCE, until};
use crate::leash::Leashed;
use crate::{built, provider};

/// The server on the sidecar's gRPC port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// headroomd.
    Real,
    /// Nothing.
    Down,
    /// Accepts every call and never answers.
    Silent,
    /// Sends bytes that are not HTTP/2.
    Noise,
    /// Answers each call with status OK and a message that is not protobuf.
    Garbage,
    /// Answers each call with status OK and the empty message: nothing is stored, nothing found.
    Forgetful,
    /// As `Forgetful`, but it decides on each new text, and tells that again: of every other one the first words stay.
    Deciding,
}

/// A sidecar of one kind or another.
#[derive(Debug)]
pub struct Sidecar {
    grpc: SocketAddr,
    http: SocketAddr,
    calls: Arc<AtomicUsize>,
    workspace: PathBuf,
    database: Option<String>,
    /// More variables for headroomd.
    variables: Vec<(String, String)>,
    daemon: Option<Leashed>,
}

/// A loopback port on which nothing listens, and that no other program gets before headroomd: it is below the
/// range from which the system assigns ports, and each test process has its own few.
pub fn free_port() -> Result<SocketAddr> {
    free_ports(1)
}

/// The first of such ports in a row.
pub fn free_ports(count: u32) -> Result<SocketAddr> {
    const FIRST: u32 = 10_000;
    const PORTS: u32 = 20_000;
    const OF_A_PROCESS: u32 = 50;
    static ASKED: AtomicU32 = AtomicU32::new(0);
    /// Its file is locked for as long as this process lives.
    static BLOCK: LazyLock<Option<(File, u32)>> = LazyLock::new(|| {
        let folder = env::temp_dir().join("headroom-test-ports");
        fs::create_dir_all(&folder).ok()?;
        // Not the first that is free: a process that has just ended had that, and something may still call its servers.
        let blocks = PORTS / OF_A_PROCESS;
        (0..blocks).map(|number| (number + process::id()) % blocks).find_map(|block| {
            let file = File::create(folder.join(block.to_string())).ok()?;
            file.try_lock().ok()?;
            Some((file, block))
        })
    });
    let (_, block) = BLOCK.as_ref().context("other tests have all ports")?;
    loop {
        let asked = ASKED.fetch_add(count, Ordering::Relaxed);
        ensure!(asked + count <= OF_A_PROCESS, "a test process has {OF_A_PROCESS} ports");
        let first = u16::try_from(FIRST + block * OF_A_PROCESS + asked)?;
        let addresses = (0..).map(|step| SocketAddr::from((Ipv4Addr::LOCALHOST, first + step)));
        if addresses.take(count.try_into()?).all(|address| StdListener::bind(address).is_ok()) {
            return Ok((Ipv4Addr::LOCALHOST, first).into());
        }
    }
}

impl Sidecar {
    /// Starts it; the real one keeps its state and its log in `folder`.
    pub async fn start(kind: Kind, folder: &Path) -> Result<Self> {
        let calls = Arc::new(AtomicUsize::new(0));
        let grpc = match kind {
            Kind::Real | Kind::Down => free_port()?,
            Kind::Silent | Kind::Noise | Kind::Garbage | Kind::Forgetful | Kind::Deciding => {
                trouble(kind, Arc::clone(&calls)).await?
            }
        };
        let mut sidecar = Self {
            grpc,
            http: free_port()?,
            calls,
            workspace: folder.to_owned(),
            database: None,
            variables: Vec::new(),
            daemon: None,
        };
        if kind == Kind::Real {
            sidecar.run().await?;
        }
        Ok(sidecar)
    }

    /// Starts a real one whose state is in PostgreSQL; `folder` is for its log.
    pub async fn replica(database: &str, folder: &Path) -> Result<Self> {
        let mut sidecar = Self {
            grpc: free_port()?,
            http: free_port()?,
            calls: Arc::default(),
            workspace: folder.to_owned(),
            database: Some(database.to_owned()),
            variables: Vec::new(),
            daemon: None,
        };
        sidecar.run().await?;
        Ok(sidecar)
    }

    /// The address for the filter.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// The address for people.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The number of calls that a faulty sidecar has received.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Starts headroomd with the same ports and state as before, and waits until it is ready.
    pub async fn run(&mut self) -> Result<()> {
        let mut environment = vec![
            ("HEADROOM_WORKSPACE_DIR".to_owned(), self.workspace.display().to_string()),
            ("HEADROOM_CONFIG_DIR".to_owned(), self.workspace.join("config").display().to_string()),
        ];
        environment.extend(self.database.iter().map(|url| ("HEADROOM_DATABASE_URL".to_owned(), url.clone())));
        environment.extend(self.variables.iter().cloned());
        let arguments = ["--http".into(), self.http.to_string(), "--grpc".into(), self.grpc.to_string()];
        // A write beyond the limit that simulates a full disk must fail instead of ending the process.
        let ignoring = ["-c".to_owned(), "trap '' XFSZ; exec \"$0\" \"$@\"".to_owned()];
        let program = built::headroomd().await?.display().to_string();
        let arguments: Vec<String> = ignoring.into_iter().chain([program]).chain(arguments).collect();
        let log = self.workspace.join("headroomd.log");
        let mut daemon = Leashed::start(Path::new("sh"), &arguments, &environment, &log)?;
        let http = self.http;
        let ready = until("headroomd is ready", || {
            let state = daemon.check();
            async move {
                if let Err(error) = state {
                    return Some(Err(error));
                }
                let mut connection = Connection::open(http, Protocol::Http1).await.ok()?;
                let answer = connection.send(Call::get("/readyz")).await.ok()?;
                answer.status.is_success().then_some(Ok(()))
            }
        });
        ready.await.with_context(|| format!("headroomd's log ends:\n{}", daemon.log_tail()))??;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// headroomd gets this variable at its next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.take().context("headroomd does not run")?.kill()?;
        Ok(())
    }

    /// SIGSTOP: from now on it answers no calls.
    pub fn suspend(&self) -> Result<()> {
        self.signal("-STOP")?;
        // A thread that runs on another processor stops a little later.
        let begun = Instant::now();
        while !self.is_stopped()? {
            ensure!(begun.elapsed() < PATIENCE, "headroomd does not stop");
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Whether none of its threads runs.
    fn is_stopped(&self) -> Result<bool> {
        let pid = self.daemon.as_ref().context("headroomd does not run")?.pid();
        let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Ok(true) };
        for thread in threads {
            let Ok(status) = std::fs::read_to_string(thread?.path().join("status")) else { continue };
            if !status.lines().any(|line| line.starts_with("State:") && line.contains("T (")) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// SIGCONT: it answers the waiting calls.
    pub fn resume(&self) -> Result<()> {
        self.signal("-CONT")
    }

    /// Prevents all writes beyond the first page of its files, its log included.
    pub fn fill_disk(&self) -> Result<()> {
        self.limit_files("4096:")
    }

    /// Reverses [`Self::fill_disk`].
    pub fn empty_disk(&self) -> Result<()> {
        self.limit_files("unlimited:")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.daemon.as_ref().context("headroomd does not run")?.pid();
        let status = Command::new("kill").args([signal, &pid.to_string()]).status()?;
        anyhow::ensure!(status.success(), "kill {signal} {pid}: {status}");
        Ok(())
    }

    fn limit_files(&self, limit: &str) -> Result<()> {
        let pid = self.daemon.as_ref().context("headroomd does not run")?.pid();
        let arguments = [format!("--pid={pid}"), format!("--fsize={limit}")];
        let status = Command::new("prlimit").args(&arguments).status().context("prlimit does not start")?;
        anyhow::ensure!(status.success(), "prlimit {arguments:?}: {status}");
        Ok(())
    }

    /// headroomd's resident memory in kilobytes.
    pub fn resident_kilobytes(&self) -> Result<u64> {
        self.daemon.as_ref().context("headroomd does not run")?.resident_kilobytes()
    }

    /// Files and sockets that headroomd has open.
    pub fn open_files(&self) -> Result<usize> {
        self.daemon.as_ref().context("headroomd does not run")?.open_files()
    }

    /// The requests that the sidecar has counted.
    pub async fn counted_requests(&self) -> Result<u64> {
        let stats = self.stats().await?;
        stats["requests"]["total"].as_u64().with_context(|| format!("/stats counts no requests: {stats}"))
    }

    /// The original behind a hash, or the part in `lines`; `None`: the sidecar has none.
    pub async fn retrieve(&self, tenant: &str, hash: &str, lines: &str) -> Result<Option<String>> {
        let request = RetrieveRequest {
            tenant: tenant.to_owned(),
            hash: hash.to_owned(),
            lines: lines.to_owned(),
            ..RetrieveRequest::default()
        };
        let mut connection = Connection::open(self.grpc, Protocol::Http2).await?;
        let call = Call::grpc("/headroom.v1.Originals/Retrieve", &request.encode_to_vec());
        let answer = connection.send(call).await?;
        let Some(message) = answer.body.get(5..) else { bail!("no message: {:?}", answer.headers) };
        let response = RetrieveResponse::decode(message)?;
        Ok(response.found.then_some(response.content))
    }

    /// The whole original behind a hash, as people get it; `None`: the sidecar has none.
    pub async fn original(&self, hash: &str) -> Result<Option<String>> {
        let path = format!("/v1/retrieve/{hash}");
        // Many requests in a row are asked to retry.
        let answer = until("the sidecar has time", || async {
            let mut connection = Connection::open(self.http, Protocol::Http1).await.ok()?;
            let answer = connection.send(Call::get(&path)).await.ok()?;
            (answer.status != 429).then_some(answer)
        })
        .await?;
        if !answer.status.is_success() {
            return Ok(None);
        }
        let whole: Value = serde_json::from_slice(&answer.body)?;
        Ok(whole["original_content"].as_str().map(str::to_owned))
    }

    /// The answer of `GET /stats`.
    pub async fn stats(&self) -> Result<Value> {
        self.json("/stats").await
    }

    /// The answer of `GET /transformations/feed`: the newest hundred requests, newest first.
    pub async fn feed(&self) -> Result<Value> {
        self.json("/transformations/feed?limit=100").await
    }

    /// The answer of a path.
    pub async fn text(&self, path: &str) -> Result<String> {
        let mut connection = Connection::open(self.http, Protocol::Http1).await?;
        Ok(connection.send(Call::get(path)).await?.text())
    }

    /// The JSON of a page.
    pub async fn json(&self, path: &str) -> Result<Value> {
        let text = self.text(path).await?;
        serde_json::from_str(&text).with_context(|| format!("{path} answered {text}"))
    }
}

async fn trouble(kind: Kind, calls: Arc<AtomicUsize>) -> Result<SocketAddr> {
    provider::on_server_runtime(async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let decided = Arc::<Mutex<BTreeMap<String, TextDecision>>>::default();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let calls = Arc::clone(&calls);
                if kind == Kind::Noise {
                    calls.fetch_add(1, Ordering::Relaxed);
                    // Envoy closes the connection as soon as it reads this.
                    let _ = stream.write_all(b"\xff\x00 220 mail.example ESMTP\r\n").await;
                    continue;
                }
                let decided = Arc::clone(&decided);
                let service = service_fn(move |request| {
                    answer(kind, Arc::clone(&calls), Arc::clone(&decided), request)
                });
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Ok(address)
    })
    .await
}

async fn answer(
    kind: Kind,
    calls: Arc<AtomicUsize>,
    decided: Arc<Mutex<BTreeMap<String, TextDecision>>>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    calls.fetch_add(1, Ordering::Relaxed);
    if kind == Kind::Silent {
        std::future::pending::<()>().await;
    }
    let decides = kind == Kind::Deciding && request.uri().path() == "/headroom.v1.TextModel/Decide";
    // The caller may have given up in the middle; then no one reads the answer either.
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    // One gRPC message of five bytes: field 1 as a length that runs past the end.
    let message = match kind {
        Kind::Deciding if decides => {
            let decided = &mut decided.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            decide(decided, body.get(5..).unwrap_or_default())
        }
        Kind::Forgetful | Kind::Deciding => Bytes::from_static(&[0; 5]),
        _ => Bytes::from_static(b"\x00\x00\x00\x00\x05\x0a\xff\xff\xff\x7f"),
    };
    let response = Response::builder().header("content-type", "application/grpc");
    let message = Full::new(message);
    // Envoy hands a message over only behind a status in trailers.
    let response = if kind == Kind::Deciding {
        let status = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from(0))]);
        response.body(message.with_trailers(std::future::ready(Some(Ok(status)))).boxed())
    } else {
        response.header("grpc-status", "0").body(message.boxed())
    };
    Ok(response.expect("valid headers"))
}

/// One gRPC message: what was decided on texts, or is now.
fn decide(decided: &mut BTreeMap<String, TextDecision>, request: &[u8]) -> Bytes {
    let request = DecideRequest::decode(request).unwrap_or_default();
    let decisions = request.outputs.into_iter().filter(|output| !output.unanswered).map(|output| {
        let TextOutput { hash, text, .. } = output;
        let forms = decided.values().filter(|decision| decision.form.is_some()).count();
        let has_form = text.is_some() && forms * 2 <= decided.len();
        let decision = decided.entry(hash.clone()).or_insert_with(|| {
            let form = text.filter(|_| has_form).map(|text| {
                let mut form: String = text.split(' ').take(20).collect::<Vec<_>>().join(" ");
                append_marker(&mut form, "the rest left out", &hash);
                form
            });
            TextDecision { hash, form }
        });
        decision.clone()
    });
    let message = DecideResponse { decisions: decisions.collect() }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or_default().to_be_bytes();
    Bytes::from([&[0], &length[..], &message].concat())
}
