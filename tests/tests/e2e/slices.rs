//! Bodies that take long are processed in slices: Envoy lets the filter replace a body and continue a request in a
//! tick, with the stream's context, and other requests do not wait.

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use headroom_compress::{Api, Config, Memo, Request, compress};
use headroom_e2e::Stack;
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::NAME_HEADER;
use headroom_e2e::sidecar::Kind;
use hyper::header::HeaderMap;
use serde_json::{Value, json};

use crate::bodies::pretty_pets;
use crate::stacks::{MODES, Mode, assert_no_trap, forwarded};

fn options(mode: Mode, upstream: Protocol) -> Options {
    let filter = json!({"body_mode": mode.name(), "control_plane": {"cluster": "headroom"}});
    Options { filter: Some(filter), hold: mode == Mode::Hold, upstream, ..Options::default() }
}

/// A request with this many unique outputs of about 100 kB.
fn long(outputs: usize, salt: usize) -> Vec<u8> {
    let turns = (0..outputs).flat_map(|turn| {
        let id = format!("toolu_{turn}");
        let text = format!("{}\n{}", salt * 1_000 + turn, pretty_pets(1_000 + turn));
        [
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "list", "input": {}}]}),
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": text}]}),
        ]
    });
    let messages: Vec<Value> = [json!({"role": "user", "content": "go"})].into_iter().chain(turns).collect();
    json!({"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": messages}).to_string().into_bytes()
}

fn engine(body: &[u8]) -> Vec<u8> {
    let request = Request::new(Api::AnthropicMessages);
    compress(body, &request, &Config::default(), &mut Memo::new(64 << 20)).body.into_owned()
}

async fn paused(stack: &Stack) -> Result<u64> {
    stack.envoy.stat("wasmcustom.headroom.work.paused").await
}

#[tokio::test]
async fn a_body_that_goes_on_in_ticks_arrives_as_the_engine_makes_it() -> Result<()> {
    for (mode, upstream) in
        MODES.into_iter().flat_map(|mode| [(mode, Protocol::Http1), (mode, Protocol::Http2)])
    {
        let stack = Stack::start(options(mode, upstream), Kind::Down).await?;
        for (number, downstream) in [Protocol::Http1, Protocol::Http2].into_iter().enumerate() {
            let body = long(30, number);
            let before = paused(&stack).await?;
            let name = format!("{mode:?} {upstream:?} {downstream:?}");
            let (answer, _) =
                stack.exchange(&name, downstream, Call::post("/v1/messages", body.clone())).await?;
            assert_eq!(answer.status, 200, "{name}");
            let got = forwarded(&stack.provider, &name);
            let expected = engine(&body);
            assert!(expected.len() < body.len() && got.body == expected, "{name}: {} bytes", got.body.len());
            assert!(paused(&stack).await? > before, "{name} paused");
        }
        assert_no_trap(&stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn trailers_wait_for_a_body_that_has_paused() -> Result<()> {
    let stack = Stack::start(options(Mode::Strip, Protocol::Http2), Kind::Down).await?;
    let body = long(30, 7);
    let frames = body.chunks(100_000).map(Bytes::copy_from_slice).collect();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", "true".parse()?);
    let call = Call::post("/v1/messages", Bytes::new()).header(NAME_HEADER, "trailers");
    let mut connection = stack.connect(Protocol::Http2).await?;
    let answer = connection.send_frames(call, frames, Some(trailers)).await?;
    assert_eq!(answer.status, 200);
    let got = forwarded(&stack.provider, "trailers");
    assert_eq!(
        got.trailers.as_ref().and_then(|it| it.get("x-end")).map(|it| it.as_bytes()),
        Some(&b"true"[..])
    );
    assert!(got.body == engine(&body) && paused(&stack).await? > 0);
    assert_no_trap(&stack).await
}

#[tokio::test]
async fn short_requests_pass_long_ones_on_the_way_and_who_leaves_gives_way() -> Result<()> {
    let stack = Stack::start(options(Mode::Strip, Protocol::Http1), Kind::Real).await?;
    let mut long_ones = tokio::task::JoinSet::new();
    for number in 0..3 {
        let to = stack.envoy.listener();
        long_ones.spawn(async move {
            let call = Call::post("/v1/messages", long(60, 10 + number))
                .header(NAME_HEADER, &format!("long {number}"));
            let started = Instant::now();
            let answer = Connection::open(to, Protocol::Http1).await?.send(call).await?;
            anyhow::Ok((answer.status, started.elapsed()))
        });
    }
    // A client that leaves while its request is in work, or waits.
    let to = stack.envoy.listener();
    let leaving = tokio::spawn(async move {
        let call = Call::post("/v1/messages", long(60, 20));
        let mut connection = Connection::open(to, Protocol::Http1).await?;
        let _ = tokio::time::timeout(Duration::from_millis(300), connection.send(call)).await;
        anyhow::Ok(())
    });
    let mut connection = stack.connect(Protocol::Http1).await?;
    let mut beside = 0;
    let mut took = Vec::new();
    while let Some(done) = {
        let started = Instant::now();
        let call = Call::post("/v1/messages", long(1, 30 + beside));
        assert_eq!(connection.send(call).await?.status, 200);
        took.push(started.elapsed());
        beside += 1;
        if long_ones.is_empty() { None } else { Some(long_ones.try_join_next()) }
    } {
        if let Some(done) = done {
            assert_eq!(done??.0, 200);
        }
    }
    leaving.await??;
    for number in 0..3 {
        let got = forwarded(&stack.provider, &format!("long {number}"));
        assert!(got.body == engine(&long(60, 10 + number)), "long {number}");
    }
    assert!(beside > 5, "{beside} short requests went beside, the slowest in {:?}", took.iter().max());
    assert!(paused(&stack).await? > 0);
    assert_no_trap(&stack).await
}
