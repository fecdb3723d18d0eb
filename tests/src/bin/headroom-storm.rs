//! Opens and drops many HTTP, WebSocket and event-stream sessions through Envoy, and checks what is left.
//!
//! ```text
//! cargo run --release -p headroom-e2e --bin headroom-storm -- --json
//! ```
//!
//! The storm runs twice. After each, Envoy and headroomd must be as fast as promised and have no
//! connection, listener, task or file of the sessions that are gone; the second must not use more memory
//! than the first. Exits with 1 and a message if one of these is not true.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use headroom_e2e::built;
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::latency::percentile;
use headroom_e2e::sidecar::{Kind, Sidecar};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The promised limit of `/livez` after a storm.
const LIVEZ_P99_MS: f64 = 50.0;
/// The number of calls after a storm.
const LIVEZ_CALLS: usize = 300;
/// Memory that the second storm may add: allocators release memory late.
const MORE_KILOBYTES: u64 = 16 << 10;
/// Additional open files per concurrent session: Envoy keeps a connection to the
/// provider and one to headroomd in its pools until they have been idle for a minute.
const POOLED: usize = 2;

/// Opens and drops sessions through Envoy.
#[derive(Parser)]
struct Arguments {
    /// Sessions per storm
    #[arg(long, default_value_t = 3000)]
    sessions: u64,
    /// Sessions at once
    #[arg(long, default_value_t = 64)]
    at_once: u64,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// The findings after a storm.
#[derive(Clone, Debug, Serialize)]
struct Aftermath {
    seconds: f64,
    sessions_failed: u64,
    livez_p50_ms: f64,
    livez_p99_ms: f64,
    envoy_connections: u64,
    envoy_requests: u64,
    envoy_files: usize,
    envoy_kilobytes: u64,
    headroomd_files: usize,
    headroomd_kilobytes: u64,
    headroomd_tasks: usize,
    headroomd_listeners: u64,
}

#[tokio::main]
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the figures are what it is for")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let provider = provider().await?;
    let sidecar = Sidecar::start(Kind::Real, folder.path()).await?;
    let neighbours = Neighbours { provider, sidecar_grpc: sidecar.grpc(), sidecar_http: sidecar.http() };
    let filter = Some(json!({"control_plane": {"cluster": "headroom"}}));
    let options = Options { filter, workers: 2, own_process: true, ..Options::default() };
    let envoy = Envoy::start(&options, neighbours, &built::filter_module().await?, folder.path()).await?;

    let before = (envoy.open_files()?, sidecar.open_files()?, tasks(&sidecar).await?);
    let mut storms = Vec::new();
    for _ in 0..2 {
        storms.push(storm(&arguments, &envoy, &sidecar).await?);
    }
    let more_files = POOLED * usize::try_from(arguments.at_once)?;
    let problems = problems(&storms, before, more_files);
    if arguments.json {
        let page = json!({
            "sessions": arguments.sessions, "at_once": arguments.at_once,
            "before": {"envoy_files": before.0, "headroomd_files": before.1, "headroomd_tasks": before.2},
            "storms": storms, "problems": problems,
        });
        println!("{}", serde_json::to_string_pretty(&page)?);
    } else {
        println!("{storms:#?}");
    }
    for problem in &problems {
        eprintln!("headroom-storm: {problem}");
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn problems(
    storms: &[Aftermath],
    (envoy_files, headroomd_files, tasks): (usize, usize, usize),
    more_files: usize,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expect = |holds: bool, problem: String| {
        if !holds {
            problems.push(problem);
        }
    };
    for (n, it) in storms.iter().enumerate() {
        let storm = n + 1;
        expect(
            it.sessions_failed == 0,
            format!("storm {storm}: {} sessions found nobody", it.sessions_failed),
        );
        expect(
            it.livez_p99_ms < LIVEZ_P99_MS,
            format!("storm {storm}: /livez p99 is {:.1} ms", it.livez_p99_ms),
        );
        expect(it.envoy_requests == 0, format!("storm {storm}: Envoy holds {} requests", it.envoy_requests));
        expect(
            it.headroomd_listeners == 0,
            format!("storm {storm}: {} listeners are left", it.headroomd_listeners),
        );
        expect(
            it.headroomd_tasks <= tasks,
            format!("storm {storm}: {} tasks instead of {tasks}", it.headroomd_tasks),
        );
        expect(
            it.envoy_files <= envoy_files + more_files,
            format!("storm {storm}: Envoy has {} files open, {envoy_files} before", it.envoy_files),
        );
        expect(
            it.headroomd_files <= headroomd_files + more_files,
            format!(
                "storm {storm}: headroomd has {} files open, {headroomd_files} before",
                it.headroomd_files
            ),
        );
    }
    if let [first, second] = storms {
        for (who, first, second) in [
            ("Envoy", first.envoy_kilobytes, second.envoy_kilobytes),
            ("headroomd", first.headroomd_kilobytes, second.headroomd_kilobytes),
        ] {
            let more = second.saturating_sub(first);
            expect(more <= MORE_KILOBYTES, format!("the second storm cost {who} {more} kB"));
        }
    }
    problems
}

async fn storm(arguments: &Arguments, envoy: &Envoy, sidecar: &Sidecar) -> Result<Aftermath> {
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let failed = Arc::new(AtomicU64::new(0));
    let mut workers = Vec::new();
    for _ in 0..arguments.at_once {
        let (next, failed) = (Arc::clone(&next), Arc::clone(&failed));
        let (sessions, address) = (arguments.sessions, envoy.listener());
        workers.push(tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= sessions {
                    return;
                }
                if session(n, address).await.is_err() {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }
    for worker in workers {
        worker.await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let active = "http.headroom.downstream_rq_active";
    // sessions left at the deadline are a figure, not an error
    let _ = until("nothing is under way any more", || async {
        let quiet = envoy.stat(active).await.ok()? == 0 && listeners(sidecar).await.ok()? == 0;
        quiet.then_some(())
    })
    .await;
    let mut calls = Vec::with_capacity(LIVEZ_CALLS);
    for _ in 0..LIVEZ_CALLS {
        let begun = Instant::now();
        let answer =
            Connection::open(envoy.listener(), Protocol::Http1).await?.send(Call::get("/livez")).await?;
        anyhow::ensure!(answer.status.is_success(), "/livez answered {}", answer.status);
        calls.push(begun.elapsed());
    }
    Ok(Aftermath {
        seconds,
        sessions_failed: failed.load(Ordering::Relaxed),
        livez_p50_ms: percentile(&calls, 50),
        livez_p99_ms: percentile(&calls, 99),
        envoy_connections: envoy.stat("http.headroom.downstream_cx_active").await?,
        envoy_requests: envoy.stat(active).await?,
        envoy_files: envoy.open_files()?,
        envoy_kilobytes: envoy.resident_kilobytes()?,
        headroomd_files: sidecar.open_files()?,
        headroomd_kilobytes: sidecar.resident_kilobytes()?,
        headroomd_tasks: tasks(sidecar).await?,
        headroomd_listeners: listeners(sidecar).await?,
    })
}

/// One of the ways in which clients come and go.
async fn session(n: u64, address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let body = format!(
        "{{\"model\":\"claude-sonnet-4-5\",\"messages\":[{{\"role\":\"user\",\"content\":\"session {n}\"}}]}}"
    );
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: storm\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let upgrade = "GET /v1/responses HTTP/1.1\r\nhost: storm\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: c3Rvcm0gc3Rvcm0gc3Rvcg==\r\n\r\n";
    match n % 6 {
        // answered
        0 => {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
            expect(&mut stream, b"HTTP/1.1 200").await?;
        }
        // gone in the middle of the body
        1 => stream.write_all((head + &body[..body.len() / 2]).as_bytes()).await?,
        // gone before the answer
        2 => stream.write_all((head + &body).as_bytes()).await?,
        // a WebSocket that sends a message and is dropped
        3 => {
            stream.write_all(upgrade.as_bytes()).await?;
            expect(&mut stream, b"HTTP/1.1 101").await?;
            stream.write_all(b"\x81\x82\x00\x00\x00\x00hi").await?;
        }
        // a WebSocket that is dropped while it opens
        4 => stream.write_all(upgrade.as_bytes()).await?,
        // a dashboard that is closed; those beyond the limit are refused, which is an answer too
        _ => {
            stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
            expect(&mut stream, b"HTTP/1.1 ").await?;
        }
    }
    Ok(())
}

/// Reads the answer's first bytes, and compares them.
async fn expect(stream: &mut TcpStream, wanted: &[u8]) -> Result<()> {
    let mut found = vec![0; wanted.len()];
    tokio::time::timeout(Duration::from_secs(30), stream.read_exact(&mut found))
        .await
        .context("no answer")??;
    anyhow::ensure!(found == wanted, "answered {:?}", String::from_utf8_lossy(&found));
    Ok(())
}

/// A provider that answers requests, accepts WebSockets, and holds them until the other side goes.
async fn provider() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream) -> Result<()> {
    let mut read = Vec::new();
    loop {
        let Some(end) = read.windows(4).position(|at| at == b"\r\n\r\n") else {
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if field("upgrade").is_some() {
            stream
                .write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
                )
                .await?;
            let mut frames = [0; 1024];
            while stream.read(&mut frames).await? > 0 {}
            return Ok(());
        }
        let length: usize = field("content-length").map_or(Ok(0), str::parse)?;
        let chunked = field("transfer-encoding").is_some();
        let rest = &read[end + 4..];
        if if chunked { !rest.ends_with(b"0\r\n\r\n") } else { rest.len() < length } {
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
            continue;
        }
        read.clear();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
            .await?;
    }
}

async fn debug(sidecar: &Sidecar, path: &str) -> Result<Value> {
    let answer = Connection::open(sidecar.http(), Protocol::Http1).await?.send(Call::get(path)).await?;
    serde_json::from_slice(&answer.body).with_context(|| format!("{path} answered {}", answer.text()))
}

async fn tasks(sidecar: &Sidecar) -> Result<usize> {
    let tasks = debug(sidecar, "/debug/tasks").await?;
    Ok(tasks.as_array().map_or(0, |tasks| tasks.iter().filter(|task| task["done"] == false).count()))
}

async fn listeners(sidecar: &Sidecar) -> Result<u64> {
    let warmup = debug(sidecar, "/debug/warmup").await?;
    warmup["runtime"]["listeners"].as_u64().context("/debug/warmup names the listeners")
}
