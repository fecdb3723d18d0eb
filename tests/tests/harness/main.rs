//! The basis of the other tests: an Envoy without the filter changes nothing, and the harness detects
//! changes.

mod bound;

use anyhow::Result;
use bytes::Bytes;
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER, ToolCall};
use headroom_e2e::relay::Relay;
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Script, Stack};
use hyper::Version;
use hyper::header::HeaderMap;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

async fn plain() -> Result<&'static Stack> {
    static STACK: OnceCell<Stack> = OnceCell::const_new();
    STACK.get_or_try_init(|| Stack::start(Options { filter: None, ..Options::default() }, Kind::Down)).await
}

const CHAT: &str = r#"{"model":"gpt-4.1",  "messages":[{"role":"user","content":"gr\u00fc\u00df dich"}]}"#;

#[tokio::test]
async fn a_request_arrives_byte_for_byte_with_its_length() -> Result<()> {
    let stack = plain().await?;
    let call = Call::post("/v1/chat/completions?x=1", CHAT).header("x-custom", "a  b");
    let (answer, got) = stack.exchange("plain", Protocol::Http1, call).await?;
    assert_eq!(answer.status, 200);
    let answer: Value = serde_json::from_slice(&answer.body)?;
    assert_eq!(answer["object"], "chat.completion");
    let [got] = got.as_slice() else { panic!("one request, not {}", got.len()) };
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", "/v1/chat/completions?x=1"));
    assert_eq!(got.version, Version::HTTP_11);
    assert_eq!(got.body, CHAT);
    assert!(got.complete);
    assert_eq!(got.headers["x-custom"], "a  b");
    assert_eq!(got.headers["content-length"], CHAT.len().to_string());
    Ok(())
}

#[tokio::test]
async fn frames_and_trailers_go_through() -> Result<()> {
    let stack = plain().await?;
    let frames = CHAT.as_bytes().chunks(7).map(Bytes::copy_from_slice).collect();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse()?);
    let call = Call::post("/v1/chat/completions", "").header(NAME_HEADER, "frames");
    let answer = stack.connect(Protocol::Http2).await?.send_frames(call, frames, Some(trailers)).await?;
    assert_eq!(answer.status, 200);
    let got = stack.provider.requests("frames");
    assert_eq!(got[0].body, CHAT);
    assert!(got[0].headers.get("content-length").is_none());
    Ok(())
}

#[tokio::test]
async fn a_gated_stream_comes_event_by_event() -> Result<()> {
    let stack = plain().await?;
    let body = json!({"model": "m", "stream": true, "messages": []}).to_string();
    let script = Script { gate: true, text: Some("one two".to_owned()), ..Script::default() };
    let call =
        Call::post("/v1/messages", body).header(NAME_HEADER, "gated").header(SCRIPT_HEADER, &script.header());
    let mut connection = stack.connect(Protocol::Http1).await?;
    let mut streamed = connection.stream(call).await?;
    let first = streamed.next().await?.unwrap_or_default();
    assert!(first.starts_with(b"event: message_start\n"), "{first:?}");
    stack.provider.release("gated", 1);
    let second = streamed.next().await?.unwrap_or_default();
    assert!(second.starts_with(b"event: content_block_start\n"), "{second:?}");
    stack.provider.release("gated", 100);
    let rest = streamed.finish().await?.text();
    assert!(rest.ends_with("data: {\"type\":\"message_stop\"}\n\n"), "{rest}");
    Ok(())
}

#[tokio::test]
async fn every_api_answers_calls_errors_and_streams_in_its_own_words() -> Result<()> {
    let stack = plain().await?;
    let mut connection = stack.connect(Protocol::Http1).await?;
    let paths = ["/v1/messages", "/v1/chat/completions", "/v1/responses", "/v1beta/models/g:generateContent"];
    for path in paths {
        let tool_call = ToolCall { name: "read_file".to_owned(), arguments: json!({"path": "/ä"}) };
        let script = Script { tool_call: Some(tool_call), cache_read_tokens: 5, ..Script::default() };
        let call = Call::post(path, r#"{"model":"m"}"#).header(SCRIPT_HEADER, &script.header());
        let answer = connection.send(call).await?;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text().contains("read_file"), "{path}: {}", answer.text());

        let script = Script { piece_bytes: Some(5), ..script };
        let streaming = path.replace("generateContent", "streamGenerateContent");
        let call =
            Call::post(&streaming, r#"{"model":"m","stream":true}"#).header(SCRIPT_HEADER, &script.header());
        let answer = connection.send(call).await?;
        assert!(
            answer.header("content-type").is_some_and(|value| value.starts_with("text/event-stream")),
            "{path}"
        );
        assert!(answer.text().contains("read_file"), "{path}: {}", answer.text());
        for data in answer.text().lines().filter_map(|line| line.strip_prefix("data: ")) {
            assert!(data == "[DONE]" || serde_json::from_str::<Value>(data).is_ok(), "{path}: {data}");
        }

        let script = Script { status: Some(529), ..Script::default() };
        let call = Call::post(path, r#"{"model":"m"}"#).header(SCRIPT_HEADER, &script.header());
        let answer = connection.send(call).await?;
        assert_eq!(answer.status, 529, "{path}");
        assert!(answer.text().contains("\"error\""), "{path}: {}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn behind_a_relay_the_script_follows_the_outputs_in_a_request() -> Result<()> {
    let stack = plain().await?;
    let tool_call = ToolCall { name: "read_file".to_owned(), arguments: json!({}) };
    let last = Script { text: Some("the end".to_owned()), ..Script::default() };
    let script =
        Script { tool_call: Some(tool_call), then: vec![last], by_outputs: true, ..Script::default() };
    let relay = Relay::reserve()?;
    let address = relay.address();
    let relay = relay.start(stack.envoy.listener(), "relayed", &script).await?;

    let tools = r#""tools":[{}]"#;
    let output = r#"{"role":"tool","content":"x"}"#;
    let bodies = [
        (format!(r#"{{{tools},"messages":[]}}"#), "read_file"),
        (r#"{"messages":[{"role":"user","content":"a title?"}]}"#.to_owned(), "Done"),
        (format!(r#"{{{tools},  "messages":[{output}]}}"#), "the end"),
        (format!(r#"{{{tools},"messages":[]}}"#), "read_file"),
    ];
    for (number, (body, expected)) in bodies.iter().enumerate() {
        let mut connection = Connection::open(address, Protocol::Http1).await?;
        let answer = connection.send(Call::post("/v1/chat/completions?a=b", body.clone())).await?;
        assert!(answer.text().contains(expected), "{body}: {}", answer.text());
        let sent = &relay.sent()[number];
        assert_eq!((sent.path.as_str(), &sent.body[..]), ("/v1/chat/completions?a=b", body.as_bytes()));
        let arrived = stack.provider.requests(&format!("relayed/{number}"));
        assert_eq!(arrived.len(), 1);
        assert_eq!(arrived[0].body, body.as_bytes());
    }
    Ok(())
}

#[tokio::test]
async fn a_request_that_breaks_off_is_recorded_as_incomplete() -> Result<()> {
    let stack = plain().await?;
    let call = Call::post("/v1/chat/completions", "").header(NAME_HEADER, "broken");
    let connection = stack.connect(Protocol::Http2).await?;
    let unfinished = connection.send_start(call, Bytes::from_static(b"{\"model\":")).await?;
    let active = || stack.envoy.stat("cluster.openai.upstream_rq_active");
    headroom_e2e::deadline::until("the request is under way", || async {
        (active().await.ok()? > 0).then_some(())
    })
    .await?;
    unfinished.disconnect();
    let got = headroom_e2e::deadline::until("the provider notices", || async {
        stack.provider.requests("broken").into_iter().next()
    });
    assert!(!got.await?.complete);
    Ok(())
}

#[tokio::test]
async fn a_stack_meets_nothing_of_the_one_before_in_the_same_envoy() -> Result<()> {
    // The filter keeps what it could not report, in the VM and beyond its end.
    let filter = json!({"control_plane": {"cluster": "headroom", "report_interval_ms": 50}});
    let options = Options { filter: Some(filter), ..Options::default() };
    for (kind, reported) in [(Kind::Down, false), (Kind::Real, true), (Kind::Real, true)] {
        let mut stack = Stack::start(options.clone(), kind).await?;
        let requests = async || stack.envoy.stat("http.headroom.downstream_rq_total").await;
        assert_eq!(requests().await?, 0, "counters begin anew");
        let (answer, _) = stack.exchange("one", Protocol::Http1, Call::post("/v1/messages", "{}")).await?;
        assert_eq!((answer.status.as_u16(), requests().await?), (200, 1));
        if reported {
            let total = headroom_e2e::deadline::until("the request is reported", || async {
                stack.sidecar.stats().await.ok()?["requests"]["total"].as_u64().filter(|total| *total > 0)
            });
            assert_eq!(total.await?, 1, "and no report of an earlier stack comes");
        }
        let error = stack.envoy.kill().unwrap_err().to_string();
        assert!(error.contains("own_process"), "{error}");
    }
    Ok(())
}
