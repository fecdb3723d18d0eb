//! How Envoy handles an answer whose headers the filter holds: the facts of ARCHITECTURE.md.
//!
//! `cargo run -p headroom-e2e --example paused_headers`. A provider refuses a changed request, in various ways; the
//! filter holds the refusal's headers and sends the request again. Envoy's trace shows which callbacks of the filter
//! come, and in which order; a client shows what arrives. Everything is on loopback.

#![expect(clippy::print_stdout, reason = "a command")]

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::stream;
use headroom_e2e::built;
use headroom_e2e::client::Protocol;
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::sidecar::{Kind, Sidecar};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

/// A part of a refusal, each after some milliseconds.
#[derive(Clone, Copy, Debug)]
enum Piece {
    Data(&'static str, u64),
    Trailers(u64),
}

/// How a provider refuses, and when it answers the second request.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    upstream: Protocol,
    pieces: &'static [Piece],
    second_after: u64,
}

const CASES: [Case; 6] = [
    Case {
        name: "a body in one piece, at once",
        upstream: Protocol::Http1,
        pieces: &[Piece::Data("{\"refusal\":1}", 0)],
        second_after: 200,
    },
    Case {
        name: "a body in three pieces, over before the second answer",
        upstream: Protocol::Http1,
        pieces: &[Piece::Data("{\"refusal\"", 30), Piece::Data(":", 30), Piece::Data("1}", 30)],
        second_after: 300,
    },
    Case {
        name: "a body that begins before the second answer and ends behind it",
        upstream: Protocol::Http1,
        pieces: &[Piece::Data("{\"refusal\"", 30), Piece::Data(":1}", 400)],
        second_after: 200,
    },
    Case {
        name: "a body that begins behind the second answer",
        upstream: Protocol::Http1,
        pieces: &[Piece::Data("{\"refusal\":1}", 400)],
        second_after: 100,
    },
    Case {
        name: "a body and trailers",
        upstream: Protocol::Http2,
        pieces: &[Piece::Data("{\"refusal\":1}", 30), Piece::Trailers(30)],
        second_after: 200,
    },
    Case {
        name: "trailers without a body",
        upstream: Protocol::Http2,
        pieces: &[Piece::Trailers(30)],
        second_after: 200,
    },
];

/// Trailers that also come after the second answer.
const LATE: Case = Case {
    name: "trailers without a body, behind the second answer",
    upstream: Protocol::Http2,
    pieces: &[Piece::Trailers(400)],
    second_after: 100,
};

#[tokio::main]
async fn main() -> Result<()> {
    for hold in [false, true] {
        for case in CASES.into_iter().chain([LATE]) {
            println!("{}: {}", if hold { "hold" } else { "strip" }, case.name);
            match show(hold, case).await {
                Ok(lines) => lines.iter().for_each(|line| println!("    {line}")),
                Err(error) => println!("    {error:#}"),
            }
        }
    }
    Ok(())
}

async fn show(hold: bool, case: Case) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let sidecar = Sidecar::start(Kind::Down, folder.path()).await?;
    let options = Options {
        filter: Some(json!({"reversible": true, "body_mode": if hold { "hold" } else { "strip" }})),
        hold,
        upstream: case.upstream,
        log: "http:trace".to_owned(),
        ..Options::default()
    };
    let neighbours = Neighbours {
        provider: provider(case).await?,
        sidecar_grpc: sidecar.grpc(),
        sidecar_http: sidecar.http(),
    };
    let module = built::filter_module().await?;
    let envoy = Envoy::start(&options, neighbours, &module, folder.path()).await?;
    let got = ask(envoy.listener()).await;
    let log = fs::read_to_string(folder.path().join("envoy.log"))?;
    let mut lines: Vec<String> = log.lines().filter_map(callback).collect();
    lines.push(format!("the client gets {}", got.unwrap_or_else(|error| format!("no answer: {error:#}"))));
    Ok(lines)
}

/// Envoy's names of filter statuses, by number.
const STATUSES: [&str; 5] = [
    "continue",
    "stop iteration",
    "continue and do not end the stream",
    "stop all iteration and buffer",
    "stop all iteration and watermark",
];

/// A line of Envoy's trace about a callback of the filter, and its result.
fn callback(line: &str) -> Option<String> {
    let (time, _) = line.split_once("][")?;
    let seconds = time.rsplit_once(':').map_or(time, |(_, seconds)| seconds);
    let (_, told) = line.split_once("] encode ")?;
    let (what, status) = told.split_once(" called: filter=headroom status=")?;
    let status = status.trim().parse::<usize>().ok().and_then(|at| STATUSES.get(at).copied());
    Some(format!("{seconds} {what}: {}", status.unwrap_or("a status that has no name here")))
}

async fn provider(case: Case) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let service = service_fn(move |request: Request<Incoming>| answer(request, case));
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // A connection that ends early is not an error here.
                let _ = server.serve_connection(TokioIo::new(connection), service).await;
            });
        }
    });
    Ok(address)
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>, case: Case) -> Result<Response<Body>> {
    let body = request.into_body().collect().await?.to_bytes();
    let is_second = String::from_utf8_lossy(&body).contains("block_binding");
    let response = Response::builder().header("content-type", "application/json");
    if is_second {
        tokio::time::sleep(Duration::from_millis(case.second_after)).await;
        let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "the second answer"}], "usage": {"input_tokens": 1, "output_tokens": 1}});
        return Ok(response.status(200).body(Full::from(message.to_string()).boxed_unsync())?);
    }
    let pieces = stream::unfold(case.pieces, |pieces| async move {
        let (first, rest) = pieces.split_first()?;
        let (frame, after) = match first {
            Piece::Data(text, after) => (Frame::data(Bytes::from_static(text.as_bytes())), after),
            Piece::Trailers(after) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-trailer", HeaderValue::from_static("refusal"));
                (Frame::trailers(trailers), after)
            }
        };
        tokio::time::sleep(Duration::from_millis(*after)).await;
        Some((Ok::<_, Infallible>(frame), rest))
    });
    Ok(response.status(400).body(StreamBody::new(pieces).boxed_unsync())?)
}

/// Sends a request that the filter changes and that carries thinking, and describes the answer.
async fn ask(to: SocketAddr) -> Result<String> {
    let connection = TcpStream::connect(to).await?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(connection)).await?;
    tokio::spawn(connection);
    let request = Request::post(format!("http://{to}/v1/messages"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(conversation().to_string())))?;
    let answer = tokio::time::timeout(Duration::from_secs(5), sender.send_request(request))
        .await
        .context("no headers within five seconds")??;
    let (status, kind) = (answer.status(), answer.headers().get("content-type").cloned());
    let whole = tokio::time::timeout(Duration::from_secs(5), answer.into_body().collect());
    let whole = match whole.await.context("no end within five seconds")? {
        Ok(whole) => whole,
        Err(error) => return Ok(format!("{status}, {kind:?}, and then an error: {error}")),
    };
    let trailers = whole.trailers().cloned();
    let body = String::from_utf8_lossy(&whole.to_bytes()).into_owned();
    Ok(format!("{status}, {kind:?}, trailers {trailers:?}, {body}"))
}

fn conversation() -> Value {
    let rows: Vec<Value> = (0..400)
        .map(|row| json!({"id": 7919 * row, "status": if row == 40 { "failed" } else { "ok" }, "name": format!("deployment-{row}")}))
        .collect();
    json!({
        "model": "claude-opus-5-5", "max_tokens": 1024, "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [{"name": "list", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "Which deployments failed?"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2VhbA=="},
                {"type": "tool_use", "id": "toolu_1", "name": "list", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": json!(rows).to_string()}]},
        ],
    })
}
