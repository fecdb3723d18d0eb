//! WebSocket sessions through the real Envoy: both directions are complete, requests are compressed and recorded
//! individually, open sessions are listed, and causes are reported.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use headroom_compress::{Api, Config, Memo, Request, compress};
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::deadline::{until, within};
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::sidecar::{Kind, Sidecar};
use headroom_e2e::websocket::{REFUSE_HEADER, SILENT, Socket, WebSocketProvider, connect};
use headroom_e2e::{Script, built};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

use crate::bodies::pretty_pets;
use crate::frames::frame;

struct Stack {
    envoy: Envoy,
    sidecar: Sidecar,
    provider: WebSocketProvider,
    _folder: TempDir,
}

impl Stack {
    async fn start(filter: Value) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let provider = WebSocketProvider::start(Script::default()).await?;
        let sidecar = Sidecar::start(Kind::Real, folder.path()).await?;
        let neighbours = Neighbours {
            provider: provider.address(),
            sidecar_grpc: sidecar.grpc(),
            sidecar_http: sidecar.http(),
        };
        let mut filter = filter;
        filter["control_plane"] = json!({"cluster": "headroom", "report_interval_ms": 50});
        let options = Options { filter: Some(filter), ..Options::default() };
        let module = built::filter_module().await?;
        let envoy = Envoy::start(&options, neighbours, &module, folder.path()).await?;
        Ok(Self { envoy, sidecar, provider, _folder: folder })
    }

    async fn open(&self) -> Result<Socket> {
        connect(self.envoy.listener(), &[]).await
    }

    async fn sidecar_get(&self, path: &str) -> Result<String> {
        Ok(Connection::open(self.sidecar.http(), Protocol::Http1).await?.send(Call::get(path)).await?.text())
    }

    async fn sessions(&self) -> Result<Vec<Value>> {
        Ok(serde_json::from_str(&self.sidecar_get("/debug/ws-sessions").await?)?)
    }

    /// The only session, after it has ended.
    async fn ended(&self) -> Result<Value> {
        Ok(self.all_ended(1).await?.remove(0))
    }

    /// The sessions that have ended, once there are so many.
    async fn all_ended(&self, count: usize) -> Result<Vec<Value>> {
        until("the session has ended", || async {
            let mut sessions = self.sessions().await.ok()?;
            sessions.retain(|session| !session["termination_cause"].is_null());
            (sessions.len() >= count).then_some(sessions)
        })
        .await
    }

    /// The last `count` records, oldest first, when there are enough.
    async fn records(&self, count: usize) -> Result<Vec<Value>> {
        until("the requests are in the feed", || async {
            let feed = self.sidecar_get("/transformations/feed?limit=100").await.ok()?;
            let feed: Value = serde_json::from_str(&feed).ok()?;
            let mut records = feed["transformations"].as_array()?.clone();
            records.reverse();
            (records.len() >= count).then_some(records)
        })
        .await
    }
}

/// A session without a library, so that the test controls the bytes.
async fn open_raw(envoy: &Envoy) -> Result<TcpStream> {
    let mut raw = TcpStream::connect(envoy.listener()).await?;
    raw.write_all(
        b"GET /v1/responses HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-version: 13\r\nsec-websocket-key: c3Rvcm0gc3Rvcm0gc3Rvcg==\r\n\r\n",
    )
    .await?;
    let answer = head(&mut raw).await?;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    Ok(raw)
}

async fn next(socket: &mut Socket) -> Result<Message> {
    within("a message", socket.next()).await?.context("the session is open")?.context("a message")
}

/// Reads up to the end of a response, and returns its last event.
async fn response(socket: &mut Socket) -> Result<Value> {
    loop {
        let event: Value = serde_json::from_str(next(socket).await?.to_text()?)?;
        if event["type"] == "response.completed" {
            return Ok(event);
        }
    }
}

/// A request that continues a response with the output of a tool.
fn create(output: &str) -> String {
    let item = json!({"type": "function_call_output", "call_id": "call_1", "output": output});
    let input = json!([item]);
    // Numbers and white space that no serializer would give back.
    format!(
        "{{ \"type\" : \"response.create\",\"model\":\"gpt-5.2\",\"store\":false, \"temperature\": 1.00,\
         \"previous_response_id\":\"resp_0\",\"input\":{input}  }}"
    )
}

/// The engine's result for such a request if nothing may be left out.
fn compressed(text: &str) -> String {
    let request = Request::new(Api::OpenAiResponses);
    let outcome = compress(text.as_bytes(), &request, &Config::default(), &mut Memo::new(1 << 20));
    String::from_utf8(outcome.body.into_owned()).expect("text")
}

#[tokio::test]
async fn messages_pass_intact_in_both_directions() -> Result<()> {
    let stack = Stack::start(json!({})).await?;
    let mut socket = stack.open().await?;
    let lengths = [0, 1, 125, 126, 127, 1_000, 65_535, 65_536, 300_000, 3_000_000];
    for (n, length) in lengths.into_iter().enumerate() {
        let bytes: Vec<u8> = (0..length).map(|i| (i * 31 + n) as u8).collect();
        let text: String = bytes.iter().map(|byte| char::from(b' ' + byte % 90)).collect();
        for message in [Message::binary(bytes), Message::text(text)] {
            socket.send(message.clone()).await?;
            assert!(next(&mut socket).await? == message, "a message of {length} bytes");
        }
    }
    socket.send(Message::Ping(vec![1, 2, 3].into())).await?;
    assert_eq!(next(&mut socket).await?, Message::Pong(vec![1, 2, 3].into()));
    socket.close(None).await?;
    let session = stack.ended().await?;
    assert_eq!(session["client_frames"], 2 * lengths.len() + 2, "with the ping and the close frame");
    assert_eq!(session["server_frames"], session["client_frames"]);
    assert_eq!((&session["saved_bytes"], &session["requests"]), (&json!(0), &json!(0)));
    assert_eq!(session["termination_cause"], "client_disconnect");
    assert_eq!(stack.sidecar.stats().await?["requests"]["total"], 0, "there was no request");
    Ok(())
}

#[tokio::test]
async fn each_request_arrives_compressed_and_is_recorded_like_one_over_http() -> Result<()> {
    let stack = Stack::start(json!({})).await?;
    let mut socket = connect(stack.envoy.listener(), &[("x-headroom-stack", "codex")]).await?;
    let text = create(&pretty_pets(40));
    let expected = compressed(&text);
    assert!(expected.len() < text.len() * 2 / 3, "{} of {}", expected.len(), text.len());
    let warm_up = r#"{"type":"response.create","model":"gpt-5.2","generate":false,"input":[]}"#;
    socket.send(Message::text(warm_up)).await?;
    response(&mut socket).await?;
    socket.send(Message::text(text.clone())).await?;
    let last = response(&mut socket).await?;
    assert_eq!(stack.provider.messages(), [Message::text(warm_up), Message::text(expected.clone())]);

    // In three frames, with a ping between them.
    let (first, rest) = text.split_at(text.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    let frame = |part: &str, opcode: Data, last: bool| {
        Message::Frame(Frame::message(part.to_owned(), OpCode::Data(opcode), last))
    };
    socket.send(frame(first, Data::Text, false)).await?;
    socket.send(frame(second, Data::Continue, false)).await?;
    socket.send(Message::Ping(vec![7].into())).await?;
    assert_eq!(next(&mut socket).await?, Message::Pong(vec![7].into()), "while the message is held");
    socket.send(frame(third, Data::Continue, true)).await?;
    response(&mut socket).await?;
    assert_eq!(stack.provider.messages().last(), Some(&Message::text(expected.clone())));

    // One that is not answered.
    socket.send(Message::text(create("ok").replace("gpt-5.2", SILENT))).await?;
    next(&mut socket).await?;
    drop(socket);

    let records = stack.records(4).await?;
    let session = stack.ended().await?;
    assert_eq!(session["termination_cause"], "client_disconnect");
    assert_eq!((&session["requests"], &session["status"]), (&json!(4), &json!(101)));
    assert_eq!(session["saved_bytes"], 2 * (text.len() - expected.len()));
    assert!(records.iter().all(|it| it["session_id"] == session["session_id"] && it["stack"] == "codex"));
    let told: Vec<_> = records.iter().map(|it| (it["outcome"].clone(), it["status"].clone())).collect();
    let expected: Vec<_> = [("unchanged", 200), ("compressed", 200), ("compressed", 200), ("unchanged", 0)]
        .map(|(outcome, status)| (json!(outcome), json!(status)))
        .into();
    assert_eq!(told, expected);
    let usage = &last["response"]["usage"];
    assert_eq!(records[1]["output_tokens"], usage["output_tokens"]);
    assert_eq!(records[1]["usage"]["input_tokens"], usage["input_tokens"], "{}", records[1]["usage"]);
    assert_eq!(records[1]["stop_reason"], "completed");
    assert_eq!(records[1]["answered_model"], "gpt-5.2");
    let stages = &records[1]["stages_ms"];
    for stage in ["parse", "compress", "ttfb", "latency"] {
        assert!(stages[stage].as_f64() > Some(0.0), "{stage} of {stages}");
    }
    assert!(records[1]["tokens_saved"].as_u64() > Some(100));
    let upstream = session["upstream_url"].as_str().context("the session names its upstream")?;
    assert!(upstream.ends_with("/v1/responses") && !upstream.contains("secret"), "{upstream}");
    assert!(
        !upstream.starts_with(&stack.envoy.listener().to_string()),
        "{upstream} is where the client went"
    );
    let stats = stack.sidecar.stats().await?;
    assert_eq!(stats["requests"]["total"], 4);
    assert_eq!(stats["requests"]["by_outcome"]["compressed"], 2, "{stats}");
    Ok(())
}

#[tokio::test]
async fn a_client_that_offers_compression_sends_plain_messages_unless_it_is_off() -> Result<()> {
    let offer = ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits");
    for mode in ["optimize", "audit", "off"] {
        let stack = Stack::start(json!({"mode": mode})).await?;
        drop(connect(stack.envoy.listener(), &[offer]).await?);
        let offered = stack.provider.handshakes()[0].get("sec-websocket-extensions").cloned();
        assert_eq!(offered.is_some(), mode == "off", "{mode}");
    }
    Ok(())
}

#[tokio::test]
async fn audited_and_switched_off_requests_arrive_as_they_were_sent_and_are_recorded() -> Result<()> {
    for (mode, outcome) in [("audit", "audited"), ("off", "bypassed")] {
        let stack = Stack::start(json!({"mode": mode})).await?;
        let mut socket = stack.open().await?;
        let text = create(&pretty_pets(40));
        socket.send(Message::text(text.clone())).await?;
        response(&mut socket).await?;
        assert_eq!(stack.provider.messages(), [Message::text(text)], "{mode}");
        let record = stack.records(1).await?.remove(0);
        assert_eq!((&record["outcome"], &record["status"]), (&json!(outcome), &json!(200)));
        assert!(record["output_tokens"].as_u64() > Some(0), "{record}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_out_of_a_session_even_where_it_could_be_had_back() -> Result<()> {
    let stack = Stack::start(json!({"reversible": true})).await?;
    let mut socket = stack.open().await?;
    let rows: Vec<Value> = (0..400)
        .map(|n| json!({"id": 7919 * (n + 1), "name": format!("deployment-{n}"), "region": "eu-central-1"}))
        .collect();
    // The client has the tool itself, from the MCP server of headroomctl.
    let tools = r#""tools":[{"type":"function","name":"headroom_retrieve","parameters":{}}],"input""#;
    let text = create(&json!(rows).to_string()).replace(r#""input""#, tools);
    socket.send(Message::text(text.clone())).await?;
    response(&mut socket).await?;
    assert_eq!(stack.provider.messages(), [Message::text(compressed(&text))]);
    assert_eq!(stack.envoy.stat("wasmcustom.headroom.admits").await?, 0, "nothing is stored for it");
    Ok(())
}

#[tokio::test]
async fn every_way_in_which_a_session_ends_has_its_name() -> Result<()> {
    async fn speak(stack: &Stack, text: &str) -> Result<Socket> {
        let mut socket = stack.open().await?;
        socket.send(Message::text(text)).await?;
        next(&mut socket).await?;
        Ok(socket)
    }
    let silent = create("ok").replace("gpt-5.2", SILENT);
    let stack = Stack::start(json!({})).await?;
    let (mut seen, mut ids) = (Vec::new(), Vec::new());
    for cause in [
        // The first, since it looks at the only record.
        "upstream_error in the handshake",
        "client_disconnect",
        "client_disconnect by a close frame",
        "upstream_disconnect",
        "upstream_disconnect by a close frame",
        "upstream_error by a close frame",
        "client_error",
        "client_error by a close frame",
        "response_completed",
    ] {
        match cause {
            "client_disconnect" => drop(speak(&stack, &silent).await?),
            "client_disconnect by a close frame" => speak(&stack, &silent).await?.close(None).await?,
            "upstream_disconnect" => {
                let mut socket = speak(&stack, "hello").await?;
                socket.send(Message::text("drop")).await?;
                while let Some(Ok(_)) = within("the end", socket.next()).await? {}
            }
            "upstream_disconnect by a close frame" => {
                speak(&stack, "close 1001").await?;
            }
            "upstream_error by a close frame" => {
                speak(&stack, "close 1011").await?;
            }
            "upstream_error in the handshake" => {
                let refused = connect(stack.envoy.listener(), &[(REFUSE_HEADER, "1")]).await;
                assert!(format!("{:#}", refused.err().context("it is refused")?).contains("403"));
                let record = stack.records(1).await?.remove(0);
                assert_eq!((&record["outcome"], &record["status"]), (&json!("empty"), &json!(403)));
            }
            "client_error" => {
                let mut raw = open_raw(&stack.envoy).await?;
                raw.write_all(b"\x81\x05hello").await?;
                let mut rest = Vec::new();
                within("the provider closes", raw.read_to_end(&mut rest)).await??;
            }
            "client_error by a close frame" => {
                let frame = CloseFrame { code: CloseCode::Protocol, reason: "".into() };
                speak(&stack, "hello").await?.close(Some(frame)).await?;
            }
            "response_completed" => {
                let mut socket = stack.open().await?;
                socket.send(Message::text(create("ok"))).await?;
                response(&mut socket).await?;
            }
            _ => unreachable!(),
        }
        let mut sessions = stack.all_ended(ids.len() + 1).await.with_context(|| cause.to_owned())?;
        sessions.retain(|session| !ids.contains(&session["session_id"]));
        assert_eq!(sessions.len(), 1, "{cause}: {sessions:?}");
        ids.push(sessions[0]["session_id"].clone());
        let found = sessions[0]["termination_cause"].as_str().unwrap_or_default().to_owned();
        let times = 1 + seen.iter().filter(|(_, other)| *other == found).count();
        let metric = format!("headroom_ws_sessions_total{{cause=\"{found}\"}} {times}");
        seen.push((cause, found));
        until(&format!("{cause}: {metric}"), || async {
            stack.sidecar_get("/metrics").await.ok()?.contains(&metric).then_some(())
        })
        .await?;
        assert_eq!(stack.envoy.stat("http.headroom.downstream_rq_active").await?, 0, "{cause}");
    }
    let wrong: Vec<_> = seen.iter().filter(|(cause, found)| cause.split(' ').next() != Some(found)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}

#[tokio::test]
async fn a_silent_session_is_ended_and_the_next_one_is_served() -> Result<()> {
    let stack = Stack::start(json!({"first_frame_timeout_ms": 4_000})).await?;
    let mut raw = open_raw(&stack.envoy).await?;
    let mut rest = Vec::new();
    // An end or a reset: the connection is over either way.
    let end = within("it is cut off", raw.read_to_end(&mut rest)).await?;
    assert!(rest.is_empty(), "{end:?} after {rest:?}");
    assert_eq!(stack.ended().await?["termination_cause"], "client_timeout");
    let mut socket = stack.open().await?;
    socket.send(Message::text("hi")).await?;
    assert_eq!(next(&mut socket).await?, Message::text("hi"));
    assert_eq!(stack.envoy.stat("wasmcustom.headroom.websocket_sessions_active").await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_open_session_is_shown_while_it_is_open() -> Result<()> {
    let stack = Stack::start(json!({})).await?;
    let mut socket = stack.open().await?;
    socket.send(Message::text("hello")).await?;
    next(&mut socket).await?;
    let open = until("the session is shown", || async {
        stack.sessions().await.ok()?.into_iter().find(|session| session["status"] == 101)
    })
    .await?;
    assert_eq!(open["termination_cause"], Value::Null);
    let id = open["session_id"].as_str().context("an id")?;
    assert!(id.starts_with("hr_"), "{id}");
    assert!(open["client_addr"].as_str().is_some_and(|it| it.starts_with("127.0.0.1:")), "{open}");
    assert!(stack.sidecar_get("/metrics").await?.contains("headroom_active_ws_sessions 1"));
    drop(socket);
    assert_eq!(stack.ended().await?["session_id"], id);
    let metrics = stack.sidecar_get("/metrics").await?;
    assert!(metrics.contains("headroom_active_ws_sessions 0"), "{metrics}");
    Ok(())
}

/// A provider that agrees to a session and hears bytes.
struct Sink {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Sink {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let sink = Self { address: listener.local_addr()?, heard: Arc::default() };
        let heard = Arc::clone(&sink.heard);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            head(&mut stream).await?;
            let agreed =
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
            stream.write_all(agreed).await?;
            let mut piece = vec![0; 4096];
            loop {
                let read = stream.read(&mut piece).await?;
                if read == 0 {
                    return anyhow::Ok(());
                }
                heard.lock().expect("no panic while locked").extend_from_slice(&piece[..read]);
            }
        });
        Ok(sink)
    }

    fn heard(&self) -> Vec<u8> {
        self.heard.lock().expect("no panic while locked").clone()
    }
}

/// Reads to the end of the headers and not a byte further.
async fn head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("headers", stream.read_u8()).await??);
    }
    Ok(String::from_utf8(head)?)
}

#[tokio::test]
async fn what_is_no_websocket_and_what_is_compressed_pass_as_they_are() -> Result<()> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    for mode in ["optimize", "off"] {
        let sink = Sink::start().await?;
        let folder = tempfile::tempdir()?;
        let sidecar = Sidecar::start(Kind::Down, folder.path()).await?;
        let neighbours =
            Neighbours { provider: sink.address, sidecar_grpc: sidecar.grpc(), sidecar_http: sidecar.http() };
        let options = Options { filter: Some(json!({"mode": mode})), ..Options::default() };
        let envoy = Envoy::start(&options, neighbours, &built::filter_module().await?, folder.path()).await?;
        let mut raw = open_raw(&envoy).await?;
        let deflated = frame(0xc1, create("ok").as_bytes(), Some(MASK));
        let fragments =
            [frame(0x01, b"{\"type\":", Some(MASK)), frame(0x80, b"\"response.cancel\"}", Some([9; 4]))];
        let odd = frame(0x8b, b"odd", Some(MASK));
        let long = frame(0x81, &[b' '; 70_000], Some(MASK));
        let sent = [deflated, fragments.concat(), odd, long, b"no frame at all".to_vec()].concat();
        for piece in sent.chunks(5_000) {
            raw.write_all(piece).await?;
        }
        until("all of it has arrived", || async { (sink.heard().len() >= sent.len()).then_some(()) }).await?;
        assert!(sink.heard() == sent, "{mode}: {} bytes of {}", sink.heard().len(), sent.len());
    }
    Ok(())
}
