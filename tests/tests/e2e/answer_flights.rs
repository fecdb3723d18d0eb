//! Answers that are given again, on all the ways that a request and an answer can take: in pieces, with trailers, over HTTP/2, long,
//! compressed, broken off, and while another request fetches them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER};
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Script, Stack};
use hyper::header::{HeaderMap, HeaderName};
use serde_json::json;

use crate::answer_cache::{asked, is_hit, keeps, metrics, question, send, start, with_cache};
use crate::answers::streaming;
use crate::stacks::{MODES, Mode, assert_no_trap};

const CHECKSUM: HeaderName = HeaderName::from_static("x-checksum");

#[tokio::test]
async fn a_request_in_pieces_with_trailers_or_over_http_2_finds_the_answer_to_a_plain_one() -> Result<()> {
    for upstream in [Protocol::Http1, Protocol::Http2] {
        for mode in MODES {
            let options = Options { upstream, ..with_cache(mode, &json!({})) };
            let stack = Stack::start(options, Kind::Real).await?;
            let (path, body) = question("chat", "What is Envoy?");
            let first = send(&stack, "ways", path, &body, &[]).await?;
            keeps(&stack, 1).await?;
            let call =
                || Call::post(path, "").header(NAME_HEADER, "ways").header("authorization", "Bearer sk-1");
            let frames: Vec<Bytes> = body.chunks(9).map(Bytes::copy_from_slice).collect();
            let checksum = || Ok::<_, anyhow::Error>(HeaderMap::from_iter([(CHECKSUM, "abc".parse()?)]));
            let ways = [
                (Protocol::Http1, None),
                (Protocol::Http2, None),
                // Over HTTP/1.1 Envoy drops them.
                (Protocol::Http2, Some(checksum()?)),
            ];
            for (protocol, trailers) in ways {
                let way = format!("{upstream:?} {mode:?} {protocol:?} {trailers:?}");
                let mut connection = stack.connect(protocol).await?;
                let answer = connection.send_frames(call(), frames.clone(), trailers).await;
                let answer = answer.with_context(|| way.clone())?;
                assert_eq!((answer.status.as_u16(), is_hit(&answer)), (200, true), "{way}");
                assert_eq!(answer.text(), first.text(), "{way}");
            }
            assert_eq!(asked(&stack, "ways"), 1, "{upstream:?} {mode:?}");
            assert_no_trap(&stack).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_long_answer_is_kept_whole() -> Result<()> {
    for mode in MODES {
        // Each event of a stream repeats what stands around its few words.
        let stack = start(mode, &json!({"max_body_bytes": 3 << 20})).await?;
        let (path, plain) = question("chat", "What is Envoy?");
        let text = Some("A proxy, and a long story about it. ".repeat(100));
        for (number, body, repeat) in [(1, plain.clone(), 200), (2, streaming(plain), 10)] {
            let long = Script { text: text.clone(), repeat, ..Script::default() }.header();
            let first = send(&stack, "long", path, &body, &[(SCRIPT_HEADER, &long)]).await?;
            assert!(first.body.len() > 700_000, "{}", first.body.len());
            keeps(&stack, number).await?;
            let again = send(&stack, "long", path, &body, &[(SCRIPT_HEADER, &long)]).await?;
            assert!(is_hit(&again), "{mode:?}");
            assert!(again.body == first.body, "{mode:?} {} {}", again.body.len(), first.body.len());
        }
        assert_eq!(asked(&stack, "long"), 2);
        assert_no_trap(&stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_the_provider_has_compressed_is_not_kept_and_a_plain_one_is_for_everybody()
-> Result<()> {
    let (path, body) = question("chat", "What is Envoy?");
    let script = Script { encode: true, ..Script::default() }.header();
    let more = |encoding| [(SCRIPT_HEADER, script.as_str()), ("accept-encoding", encoding)];
    let mut options = with_cache(Mode::Strip, &json!({}));
    options.filter.as_mut().expect("a filter")["accept_encoding"] = json!("keep");
    let stack = Stack::start(options, Kind::Real).await?;
    for number in 1..=2 {
        let answer = send(&stack, "gzip", path, &body, &more("gzip")).await?;
        assert_eq!((answer.header("content-encoding"), is_hit(&answer)), (Some("gzip"), false));
        assert_eq!(asked(&stack, "gzip"), number);
    }
    let plain = send(&stack, "gzip", path, &body, &more("identity")).await?;
    assert_eq!(plain.header("content-encoding"), None);
    keeps(&stack, 1).await?;
    for encoding in ["gzip", "br", "identity"] {
        let answer = send(&stack, "gzip", path, &body, &more(encoding)).await?;
        assert_eq!((answer.header("content-encoding"), is_hit(&answer)), (None, true), "{encoding}");
        assert_eq!(answer.text(), plain.text());
    }
    Ok(())
}

/// What happens to the one that fetches the answer for the others.
#[derive(Clone, Copy, Debug)]
enum LeaderFate {
    Leaves,
    LeavesBeforeAnything,
    Breaks,
}

#[tokio::test]
async fn nobody_waits_for_one_that_leaves_or_fails() -> Result<()> {
    for mode in MODES {
        for fate in [LeaderFate::Leaves, LeaderFate::LeavesBeforeAnything, LeaderFate::Breaks] {
            let stack = start(mode, &json!({"wait_ms": 120_000})).await?;
            let (path, body) = question("chat", "What is Envoy?");
            let body = streaming(body);
            let well = Script::default();
            let script = match fate {
                LeaderFate::Leaves => Script { gate: true, then: vec![well], ..Script::default() },
                LeaderFate::Breaks => {
                    Script { gate: true, break_after: Some(2), then: vec![well], ..Script::default() }
                }
                LeaderFate::LeavesBeforeAnything => {
                    Script { silent: true, then: vec![well], ..Script::default() }
                }
            }
            .header();
            let more = [(SCRIPT_HEADER, script.as_str())];
            let call = Call::post(path, body.clone()).header(NAME_HEADER, "fate");
            let call = call.header("authorization", "Bearer sk-1").header(SCRIPT_HEADER, &script);
            let mut leaders = stack.connect(Protocol::Http1).await?;
            let leader = tokio::spawn(async move { leaders.stream(call).await?.finish().await });
            until("the first is with the provider", || async {
                (!stack.provider.requests("fate").is_empty()).then_some(())
            })
            .await?;
            let begun = Instant::now();
            let follower = send(&stack, "fate", path, &body, &more);
            let end = async {
                until("the second waits", || async {
                    metrics(&stack).await.ok()?.contains("headroom_answer_waits_total 1").then_some(())
                })
                .await?;
                match fate {
                    LeaderFate::Leaves | LeaderFate::LeavesBeforeAnything => leader.abort(),
                    LeaderFate::Breaks => stack.provider.release("fate", 1_000),
                }
                anyhow::Ok(())
            };
            let (follower, end) = tokio::join!(follower, end);
            end?;
            let follower = follower?;
            assert_eq!((follower.status.as_u16(), is_hit(&follower)), (200, false), "{mode:?} {fate:?}");
            assert!(begun.elapsed() < Duration::from_secs(60), "{mode:?} {fate:?} {:?}", begun.elapsed());
            keeps(&stack, 1).await?;
            assert!(is_hit(&send(&stack, "fate", path, &body, &more).await?), "{mode:?} {fate:?}");
            assert_no_trap(&stack).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_the_sidecar_was_too_slow_for_is_not_waited_for() -> Result<()> {
    let stack = start(Mode::Hold, &json!({"timeout_ms": 200, "wait_ms": 120_000})).await?;
    let (path, body) = question("chat", "What is Envoy?");
    stack.sidecar.suspend()?;
    assert!(!is_hit(&send(&stack, "slow", path, &body, &[]).await?));
    stack.sidecar.resume()?;
    until("it is asked again, and has the answer at hand", || async {
        let begun = Instant::now();
        let answer = send(&stack, "slow", path, &body, &[]).await.ok()?;
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        is_hit(&answer).then_some(())
    })
    .await
}

#[tokio::test]
async fn an_answer_that_is_given_again_saves_nothing_twice() -> Result<()> {
    let stack = start(Mode::Strip, &json!({})).await?;
    let rows: Vec<_> = (0..300).map(|id| json!({"id": id, "state": "ready", "place": "eu-west-1"})).collect();
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "list", "arguments": "{}"}});
    let body = json!({"model": "gpt-5", "messages": [
        {"role": "user", "content": "How many are ready?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": json!(rows).to_string()},
    ]})
    .to_string();
    let path = "/v1/chat/completions";
    let first = send(&stack, "twice", path, body.as_bytes(), &[]).await?;
    assert_eq!(first.header("x-headroom-outcome"), Some("compressed"), "{:?}", first.headers);
    keeps(&stack, 1).await?;
    let counted = |requests: u64| {
        let stack = &stack;
        async move {
            until("it is counted", || async {
                let stats = stack.sidecar.stats().await.ok()?;
                (stats["requests"]["total"] == requests).then_some(stats)
            })
            .await
        }
    };
    let before = counted(1).await?;
    assert!(before["savings"]["by_layer"]["compression"]["tokens"].as_u64() > Some(0));
    for _ in 0..3 {
        assert!(is_hit(&send(&stack, "twice", path, body.as_bytes(), &[]).await?));
    }
    let after = counted(4).await?;
    for of in [
        "/savings/by_layer/compression",
        "/cost/with_headroom_usd",
        "/cost/compression_savings_usd",
        "/tokens/saved",
    ] {
        assert_eq!(before.pointer(of), after.pointer(of), "{of}");
    }
    assert!(after["savings"]["by_layer"]["answers"]["tokens"].as_u64() > Some(0), "{after}");
    Ok(())
}
