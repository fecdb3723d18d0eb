//! A client that controls every frame of its requests and sees every piece of the answers.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::deadline::within;

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2 by prior knowledge
    Http2,
}

/// One connection for consecutive requests.
#[derive(Debug)]
pub struct Connection {
    authority: SocketAddr,
    sender: Requests,
}

#[derive(Debug)]
enum Requests {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

type Body = BoxBody<Bytes, io::Error>;

/// A request to send.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Streamed {
    response: Response<Incoming>,
}

impl Call {
    /// `POST path` with a JSON body.
    pub fn post(path: &str, body: impl Into<Bytes>) -> Self {
        let mut call = Self::get(path);
        call.method = Method::POST;
        call.body = body.into();
        call.header("content-type", "application/json")
    }

    /// A unary gRPC call with an encoded message; the answer's body is a five-byte head and the message.
    pub fn grpc(path: &str, message: &[u8]) -> Self {
        let length = u32::try_from(message.len()).expect("messages of tests are short").to_be_bytes();
        let mut call = Self::get(path);
        call.method = Method::POST;
        call.body = [&[0], &length[..], message].concat().into();
        call.header("content-type", "application/grpc").header("te", "trailers")
    }

    /// `GET path`
    pub fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// Adds a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.opaque_header(name, value.as_bytes())
    }

    /// Adds a header whose value need not be UTF-8.
    pub fn opaque_header(mut self, name: &str, value: &[u8]) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("tests use valid header names");
        let value = HeaderValue::from_bytes(value).expect("tests use valid header values");
        self.headers.append(name, value);
        self
    }

    fn request(self, authority: SocketAddr, body: Body) -> Result<Request<Body>> {
        let uri: Uri = format!("http://{authority}{}", self.path).parse()?;
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers;
        Ok(request)
    }
}

/// A body with its length known.
fn whole(bytes: Bytes) -> Body {
    if bytes.is_empty() {
        return Empty::new().map_err(|never| match never {}).boxed();
    }
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

impl Connection {
    /// Connects to Envoy, or to another server at the address.
    pub async fn open(authority: SocketAddr, protocol: Protocol) -> Result<Self> {
        let stream = within("a connection", TcpStream::connect(authority)).await??;
        stream.set_nodelay(true)?;
        Self::over(stream, authority, protocol).await
    }

    /// Connects to a Unix socket, for HTTP/1.1.
    pub async fn open_socket(path: &Path) -> Result<Self> {
        let stream = within("a connection", UnixStream::connect(path)).await??;
        // A server on a socket needs no address.
        Self::over(stream, SocketAddr::from(([127, 0, 0, 1], 80)), Protocol::Http1).await
    }

    /// Speaks HTTP over an existing connection, such as one with TLS.
    pub async fn over<S>(stream: S, authority: SocketAddr, protocol: Protocol) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(stream);
        // A connection's error, if any, also reaches the current request.
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                Requests::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                Requests::Http2(sender)
            }
        };
        Ok(Self { authority, sender })
    }

    /// Sends a request with its length known and reads the answer to its end.
    pub async fn send(&mut self, mut call: Call) -> Result<Answer> {
        let bytes = std::mem::take(&mut call.body);
        self.begin(call, whole(bytes)).await?.finish().await
    }

    /// Sends a request with its length known and returns after the answer's headers.
    pub async fn stream(&mut self, mut call: Call) -> Result<Streamed> {
        let body = whole(std::mem::take(&mut call.body));
        self.begin(call, body).await
    }

    /// Sends a request of unknown length in the given frames, with trailers if there are any.
    pub async fn send_frames(
        &mut self,
        call: Call,
        frames: Vec<Bytes>,
        trailers: Option<HeaderMap>,
    ) -> Result<Answer> {
        let (mut sender, channel) = Channel::<Bytes, io::Error>::new(1);
        let feed = async move {
            for frame in frames {
                sender.send_data(frame).await?;
            }
            if let Some(trailers) = trailers {
                sender.send(Frame::trailers(trailers)).await?;
            }
            Ok::<_, http_body_util::channel::SendError>(())
        };
        // The answer may come before the whole body is sent, such as a 413. Then sending fails, and
        // the answer is what counts.
        let feeding = tokio::spawn(feed);
        let answer = self.begin(call, channel.boxed()).await?.finish().await;
        feeding.abort();
        answer
    }

    /// Sends headers and the beginning of a body, and leaves the rest to the caller. Does not read the
    /// answer.
    pub async fn send_start(mut self, call: Call, first: Bytes) -> Result<Unfinished> {
        let (mut sender, channel) = Channel::<Bytes, io::Error>::new(1);
        tokio::spawn(async move { self.begin(call, channel.boxed()).await.map(drop) });
        sender.send_data(first).await.context("the connection is closed")?;
        Ok(Unfinished { body: sender })
    }

    async fn begin(&mut self, call: Call, body: Body) -> Result<Streamed> {
        let authority = self.authority;
        let mut request = call.request(authority, body)?;
        let response = match &mut self.sender {
            Requests::Http1(sender) => {
                let host = HeaderValue::from_str(&authority.to_string())?;
                request.headers_mut().entry(HOST).or_insert(host);
                let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
                *request.uri_mut() = path.parse()?;
                within("the connection", sender.ready()).await??;
                within("an answer", sender.send_request(request)).await?
            }
            Requests::Http2(sender) => {
                within("the connection", sender.ready()).await??;
                within("an answer", sender.send_request(request)).await?
            }
        };
        Ok(Streamed { response: response? })
    }
}

impl Streamed {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The next piece of the body as it came off the wire; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(frame) = within("the next piece", self.response.body_mut().frame()).await? else {
                return Ok(None);
            };
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// Reads at least `bytes` more bytes.
    pub async fn read(&mut self, bytes: usize) -> Result<Bytes> {
        let mut read = BytesMut::new();
        while read.len() < bytes {
            match self.next().await? {
                Some(piece) => read.extend_from_slice(&piece),
                None => bail!("the answer ended after {} of {bytes} bytes", read.len()),
            }
        }
        Ok(read.freeze())
    }

    /// Reads the rest.
    pub async fn finish(mut self) -> Result<Answer> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next().await? {
            body.extend_from_slice(&piece);
        }
        let (parts, _) = self.response.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.freeze() })
    }
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request whose body is not complete.
#[derive(Debug)]
pub struct Unfinished {
    body: Sender<Bytes, io::Error>,
}

impl Unfinished {
    /// Leaves in the middle of the body: HTTP/1 closes the connection, HTTP/2 resets the stream.
    pub fn disconnect(self) {
        self.body.abort(io::ErrorKind::ConnectionAborted.into());
    }
}
