//! A provider that speaks Responses over WebSocket, and a client for it, with an independent library.
//!
//! What the client sends decides what the provider does: a `response.create` is answered with the events of
//! a response, `close CODE` with a close frame, `drop` with the end of the connection, and everything else
//! with itself.

#![expect(clippy::result_large_err, reason = "the type of the library's callback")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;

use crate::provider::{Script, on_server_runtime, response_events};

/// A handshake with this header is refused with 403.
pub const REFUSE_HEADER: &str = "x-test-refuse";

/// A request for this model gets only the event that the answer has begun.
pub const SILENT: &str = "silent";

/// The provider's state.
#[derive(Debug, Default)]
struct ProviderState {
    handshakes: Vec<HeaderMap>,
    messages: Vec<Message>,
    /// All tool outputs so far, by the id of their call: a request that continues a response contains only
    /// the new ones.
    outputs: Vec<Value>,
}

/// A running provider.
#[derive(Clone, Debug)]
pub struct WebSocketProvider {
    address: SocketAddr,
    script: Arc<Script>,
    seen: Arc<Mutex<ProviderState>>,
}

impl WebSocketProvider {
    /// Starts on a free port. The number of tool outputs so far decides which part of a script is next.
    pub async fn start(script: Script) -> Result<Self> {
        on_server_runtime(async move {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let provider =
                Self { address: listener.local_addr()?, script: Arc::new(script), seen: Arc::default() };
            let accepting = provider.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let provider = accepting.clone();
                    // An error also ends a session, and the tests check only that it has ended.
                    tokio::spawn(async move { provider.serve(stream).await.ok() });
                }
            });
            Ok(provider)
        })
        .await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The messages that have come, of all sessions.
    pub fn messages(&self) -> Vec<Message> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).messages.clone()
    }

    /// The headers of each handshake.
    pub fn handshakes(&self) -> Vec<HeaderMap> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).handshakes.clone()
    }

    fn accept(&self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        let headers = request.headers().clone();
        let refused = headers.contains_key(REFUSE_HEADER);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).handshakes.push(headers);
        if refused {
            let mut response = ErrorResponse::new(None);
            *response.status_mut() = StatusCode::FORBIDDEN;
            return Err(response);
        }
        Ok(response)
    }

    async fn serve(&self, stream: TcpStream) -> Result<()> {
        let accept = |request: &Request, response: Response| self.accept(request, response);
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, accept).await?;
        while let Some(message) = socket.next().await {
            let message = message?;
            if !message.is_close() {
                self.seen.lock().unwrap_or_else(PoisonError::into_inner).messages.push(message.clone());
            }
            match &message {
                Message::Text(text) if text.as_str() == "drop" => return Ok(()),
                Message::Text(text) if text.starts_with("close ") => {
                    let code: u16 = text.trim_start_matches("close ").parse()?;
                    socket.close(Some(CloseFrame { code: code.into(), reason: "asked".into() })).await?;
                }
                Message::Text(text) if text.contains("\"response.create\"") => {
                    for event in self.answer(&serde_json::from_str(text)?, text.len()) {
                        socket.send(Message::text(event)).await?;
                    }
                }
                Message::Text(_) | Message::Binary(_) => socket.send(message).await?,
                // The library answers these itself.
                _ => {}
            }
        }
        Ok(())
    }

    /// The events of a response.
    fn answer(&self, request: &Value, body_bytes: usize) -> Vec<String> {
        let model = request["model"].as_str().unwrap_or_default();
        if model == SILENT {
            return vec![json!({"type": "response.created", "response": {"model": model}}).to_string()];
        }
        if request["generate"] == false {
            // A warm-up: it is accepted, without output.
            let tokens = body_bytes / 4;
            let response = json!({"id": "resp_warm", "model": model, "status": "completed", "output": [],
                "usage": {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}});
            return ["response.created", "response.completed"]
                .map(|kind| json!({"type": kind, "response": response}).to_string())
                .to_vec();
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for item in request["input"].as_array().into_iter().flatten() {
            if item["type"] == "function_call_output" && !seen.outputs.contains(&item["call_id"]) {
                seen.outputs.push(item["call_id"].clone());
            }
        }
        response_events(model, &self.script, seen.outputs.len(), body_bytes)
    }
}

/// A client's session.
pub type Socket = WebSocketStream<TcpStream>;

/// Opens a session through `proxy`, with these headers besides those of the handshake.
pub async fn connect(proxy: SocketAddr, headers: &[(&str, &str)]) -> Result<Socket> {
    let mut request = format!("ws://{proxy}/v1/responses?secret=1").into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(HeaderName::try_from(*name)?, HeaderValue::try_from(*value)?);
    }
    let stream = TcpStream::connect(proxy).await?;
    let (socket, _) =
        tokio_tungstenite::client_async(request, stream).await.context("the handshake failed")?;
    Ok(socket)
}
