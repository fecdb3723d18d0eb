//! WebSocket sessions through the real Envoy: both directions whole, requests compressed, causes told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail};
use headroom_compress::{Api, Config, Memo, Request, compress};
use headroom_e2e::built;
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::sidecar::{Kind, Sidecar};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::bodies::pretty_pets;
use crate::frames::frame;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn said(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes(), Some(MASK))
}

fn event(kind: &str) -> Vec<u8> {
    frame(0x81, json!({"type": kind}).to_string().as_bytes(), None)
}

/// A request as Codex puts it into a session.
fn create(pets: usize) -> String {
    let output = Value::from(pretty_pets(pets));
    format!(
        r#"{{ "type":"response.create","model":"gpt-5-codex","store":false,"input":[{{"role":"user","content":"go"}},
{{"type":"function_call","call_id":"c","name":"list_pets","arguments":"{{}}"}},{{"type":"function_call_output","call_id":"c","output":{output}}} ]}}"#
    )
}

fn shorter(text: &str) -> String {
    let request = Request::new(Api::OpenAiResponses);
    let body =
        compress(text.as_bytes(), &request, &Config::default(), &mut Memo::new(1 << 20)).body.into_owned();
    assert!(body.len() < text.len());
    String::from_utf8(body).expect("text")
}

/// What a provider of sessions has heard, and what it says.
#[derive(Clone, Debug, Default)]
struct Heard {
    head: Arc<Mutex<String>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Heard {
    async fn wait_for(&self, bytes: &[u8]) -> Result<()> {
        let whole = || async { (self.bytes.lock().ok()?.len() >= bytes.len()).then_some(()) };
        until("the provider has heard it all", whole).await?;
        let heard = self.bytes.lock().expect("no panic while locked").clone();
        assert!(heard == bytes, "{} bytes where {} were expected", heard.len(), bytes.len());
        Ok(())
    }
}

/// A provider that agrees to a session, says `answer`, hears, and closes the connection where it `hangs_up`.
async fn provider(answer: Vec<u8>, hangs_up: bool) -> Result<(SocketAddr, Heard)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let heard = Heard::default();
    let ears = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (ears, answer) = (ears.clone(), answer.clone());
            tokio::spawn(async move {
                let head = head(&mut stream).await?;
                *ears.head.lock().expect("no panic while locked") = head;
                let agreed =
                    b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
                stream.write_all(agreed).await?;
                stream.write_all(&answer).await?;
                if hangs_up {
                    return Ok(());
                }
                let mut piece = vec![0; 4096];
                loop {
                    let read = stream.read(&mut piece).await?;
                    if read == 0 {
                        break;
                    }
                    ears.bytes.lock().expect("no panic while locked").extend_from_slice(&piece[..read]);
                }
                anyhow::Ok(())
            });
        }
    });
    Ok((address, heard))
}

/// Reads to the end of the headers and not a byte further.
async fn head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.context("the connection ended in the headers")?;
        head.push(byte);
    }
    Ok(String::from_utf8(head)?)
}

struct Sessions {
    envoy: Envoy,
    _sidecar: Sidecar,
    _folder: TempDir,
    heard: Heard,
}

impl Sessions {
    async fn start(filter: Value, answer: Vec<u8>, hangs_up: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (provider, heard) = provider(answer, hangs_up).await?;
        let sidecar = Sidecar::start(Kind::Down, folder.path()).await?;
        let neighbours = Neighbours { provider, sidecar_grpc: sidecar.grpc(), sidecar_http: sidecar.http() };
        let module = built::filter_module().await?;
        let options = Options { filter: Some(filter), ..Options::default() };
        let envoy = Envoy::start(&options, neighbours, &module, folder.path()).await?;
        Ok(Self { envoy, _sidecar: sidecar, _folder: folder, heard })
    }

    async fn open(&self) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.envoy.listener()).await?;
        let upgrade = "GET /v1/responses HTTP/1.1\r\nhost: api.openai.com\r\nconnection: Upgrade\r\n\
                       upgrade: websocket\r\nsec-websocket-version: 13\r\nx-headroom-stack: codex\r\n\
                       sec-websocket-extensions: permessage-deflate\r\n\
                       sec-websocket-key: c3Rvcm0gc3Rvcm0gc3Rvcg==\r\n\r\n";
        stream.write_all(upgrade.as_bytes()).await?;
        let answer = head(&mut stream).await?;
        if !answer.starts_with("HTTP/1.1 101") {
            bail!("no session: {answer}");
        }
        Ok(stream)
    }

    async fn ended_with(&self, cause: &str) -> Result<()> {
        let stat = format!("wasmcustom.headroom.websocket_sessions_ended.{cause}");
        until("the session has ended", || async { (self.envoy.stat(&stat).await.ok()? == 1).then_some(()) })
            .await
            .with_context(|| cause.to_owned())?;
        assert_eq!(self.envoy.stat("wasmcustom.headroom.websocket_sessions_active").await?, 0);
        Ok(())
    }
}

async fn expect(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).await?;
    assert_eq!(got, bytes);
    Ok(())
}

#[tokio::test]
async fn requests_in_a_session_are_compressed_and_every_other_frame_arrives() -> Result<()> {
    let answer = [event("response.created"), event("response.completed")].concat();
    let sessions = Sessions::start(json!({}), answer.clone(), false).await?;
    let mut client = sessions.open().await?;
    expect(&mut client, &answer).await?;
    let (ping, text) = (frame(0x89, b"?", Some(MASK)), create(3000));
    let (first, second) = text.as_bytes().split_at(70_000);
    let fragments =
        [frame(0x01, first, Some(MASK)), ping.clone(), frame(0x80, second, Some([9; 4]))].concat();
    let other = said(r#"{"type":"response.cancel"}"#);
    let bytes = [other.clone(), said(&text), fragments, other.clone()].concat();
    for piece in bytes.chunks(5000) {
        client.write_all(piece).await?;
    }
    let short = said(&shorter(&text));
    sessions.heard.wait_for(&[other.clone(), short.clone(), ping, short, other].concat()).await?;
    let head = sessions.heard.head.lock().expect("no panic while locked").to_ascii_lowercase();
    assert!(!head.contains("permessage-deflate") && !head.contains("x-headroom"), "{head}");
    assert_eq!(sessions.envoy.stat("wasmcustom.headroom.websocket_sessions_active").await?, 1);
    client.write_all(&frame(0x88, &1000u16.to_be_bytes(), Some(MASK))).await?;
    drop(client);
    sessions.ended_with("response_completed").await
}

#[tokio::test]
async fn a_session_that_is_off_arrives_as_it_was_sent() -> Result<()> {
    let sessions = Sessions::start(json!({"mode": "off"}), Vec::new(), false).await?;
    let mut client = sessions.open().await?;
    let bytes =
        [said(&create(100)), frame(0xc1, b"deflated", Some(MASK)), b"no frame at all".to_vec()].concat();
    client.write_all(&bytes).await?;
    sessions.heard.wait_for(&bytes).await?;
    let head = sessions.heard.head.lock().expect("no panic while locked").to_ascii_lowercase();
    assert!(head.contains("permessage-deflate"));
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_is_told_from_a_provider_that_goes() -> Result<()> {
    let sessions = Sessions::start(json!({}), event("response.created"), false).await?;
    let mut client = sessions.open().await?;
    client.write_all(&said("hi")).await?;
    sessions.heard.wait_for(&said("hi")).await?;
    drop(client);
    sessions.ended_with("client_disconnect").await?;

    let sessions = Sessions::start(json!({}), event("response.created"), true).await?;
    let mut client = sessions.open().await?;
    expect(&mut client, &event("response.created")).await?;
    assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0, "the client sees the end");
    sessions.ended_with("upstream_disconnect").await
}

#[tokio::test]
async fn a_silent_session_is_ended() -> Result<()> {
    let sessions = Sessions::start(json!({"first_frame_timeout_ms": 200}), Vec::new(), false).await?;
    let mut client = sessions.open().await?;
    // A reset or an end: the connection is over either way.
    assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0);
    sessions.ended_with("client_timeout").await?;
    let mut again = sessions.open().await?;
    again.write_all(&said("hi")).await?;
    sessions.heard.wait_for(&said("hi")).await
}
