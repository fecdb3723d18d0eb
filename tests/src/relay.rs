//! A relay before Envoy that records the client's requests, and adds headers that the client cannot add.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};

use crate::provider::{NAME_HEADER, SCRIPT_HEADER, Script, on_server_runtime};

/// A running relay, without TLS. The n-th request that it passes on is called `{name}/{n}`, from 0.
#[derive(Clone, Debug)]
pub struct Relay {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    to: SocketAddr,
    name: String,
    script: HeaderValue,
    sent: Mutex<Vec<SentRequest>>,
}

/// A request as the client sent it.
#[derive(Clone, Debug)]
pub struct SentRequest {
    /// Path and query.
    pub path: String,
    /// The body.
    pub body: Bytes,
}

type Body = BoxBody<Bytes, io::Error>;

/// A port that a relay will listen on.
#[derive(Debug)]
pub struct Reserved {
    listener: StdListener,
    address: SocketAddr,
}

impl Reserved {
    /// Where it will listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards everything to `to`, with `script` for the provider.
    pub async fn start(self, to: SocketAddr, name: &str, script: &Script) -> Result<Relay> {
        let script = HeaderValue::from_str(&script.header()).context("a script within ASCII")?;
        let state = Arc::new(State { to, name: name.to_owned(), script, sent: Mutex::default() });
        on_server_runtime(async move {
            self.listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(self.listener)?;
            let relay = Relay { state };
            let state = Arc::clone(&relay.state);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&state)));
                }
            });
            Ok(relay)
        })
        .await
    }
}

impl Relay {
    /// A free loopback port, for clients whose configuration is written before the script.
    pub fn reserve() -> Result<Reserved> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        Ok(Reserved { listener, address })
    }

    /// The client's requests, in order.
    pub fn sent(&self) -> Vec<SentRequest> {
        self.state.sent.lock().expect("no panic while locked").clone()
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(pass(request, &state).await.unwrap_or_else(|e| refused(&e))) }
    });
    // A broken connection is not an error here.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// Forwards one request over a separate connection, and its answer piece by piece.
async fn pass(request: Request<Incoming>, state: &State) -> Result<Response<Body>> {
    let (mut parts, incoming) = request.into_parts();
    let body = incoming.collect().await?.to_bytes();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let number = {
        let mut sent = state.sent.lock().expect("no panic while locked");
        sent.push(SentRequest { path: path.clone(), body: body.clone() });
        sent.len() - 1
    };
    parts.uri = path.parse()?;
    parts.version = hyper::Version::HTTP_11;
    parts.headers.insert(HOST, HeaderValue::from_str(&state.to.to_string())?);
    let name = HeaderValue::from_str(&format!("{}/{number}", state.name))?;
    parts.headers.insert(HeaderName::from_static(NAME_HEADER), name);
    parts.headers.insert(HeaderName::from_static(SCRIPT_HEADER), state.script.clone());
    let stream = TcpStream::connect(state.to).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await?;
    Ok(answer.map(|body| body.map_err(io::Error::other).boxed()))
}

fn refused(error: &anyhow::Error) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("{error:#}"))).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
