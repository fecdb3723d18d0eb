//! Answers, and requests that fail.

use anyhow::Result;
use bytes::Bytes;
use headroom_compress::Api;
use headroom_e2e::client::{Answer, Call, Connection, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER, ToolCall};
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Script, Stack, conversation};
use serde_json::json;

use crate::bodies::{anthropic, chat, pretty_pets, shortened};
use crate::stacks::{MODES, Mode, assert_no_trap, forwarded, options, shared};

/// The answer that the provider gives to the same request without Envoy in between. The request is the
/// one that the filter forwards, because usage figures follow from its length.
async fn direct(stack: &Stack, call: Call) -> Result<Answer> {
    Connection::open(stack.provider.address(), Protocol::Http1).await?.send(call).await
}

pub(crate) fn streaming(body: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(body).expect("bodies are text");
    text.replacen("\"model\"", "\"stream\":true,\"model\"", 1).into_bytes()
}

#[tokio::test]
async fn each_event_of_a_stream_arrives_before_the_next_one_is_sent() -> Result<()> {
    for mode in MODES {
        let stack = shared(mode, Protocol::Http1).await?;
        for (api, body) in [(Api::AnthropicMessages, anthropic("ok")), (Api::OpenAiChat, chat("ok"))] {
            let name = format!("gated {api:?}");
            let script = Script { gate: true, ..Script::default() };
            let call = Call::post(conversation::path(api), streaming(body))
                .header(NAME_HEADER, &name)
                .header(SCRIPT_HEADER, &script.header());
            let mut connection = stack.connect(Protocol::Http1).await?;
            let mut streamed = connection.stream(call).await?;
            assert_eq!(streamed.status(), 200);
            let mut events = 0;
            // The provider sends nothing more until it is released, so a filter that waits for more ends
            // in the deadline of `next`.
            while let Some(piece) = streamed.next().await? {
                assert!(piece.ends_with(b"\n\n"), "whole events: {piece:?}");
                assert_eq!(piece.windows(2).filter(|pair| pair == b"\n\n").count(), 1, "one at a time");
                events += 1;
                stack.provider.release(&name, 1);
            }
            assert!(events > 5, "{events}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn answers_arrive_byte_for_byte() -> Result<()> {
    for mode in MODES {
        let stack = shared(mode, Protocol::Http1).await?;
        let call = ToolCall { name: "list_pets".to_owned(), arguments: json!({"limit": 10, "kind": "ü"}) };
        let scripts = [
            Script::default(),
            Script { tool_call: Some(call), cache_read_tokens: 7, ..Script::default() },
            Script { piece_bytes: Some(3), ..Script::default() },
            Script { status: Some(400), ..Script::default() },
            Script { status: Some(429), ..Script::default() },
            Script { status: Some(529), ..Script::default() },
        ];
        for (api, body) in
            [(Api::AnthropicMessages, anthropic(&pretty_pets(12))), (Api::OpenAiChat, chat(&pretty_pets(12)))]
        {
            for body in [body.clone(), streaming(body)] {
                for script in &scripts {
                    let call = |body: Vec<u8>| {
                        Call::post(conversation::path(api), body).header(SCRIPT_HEADER, &script.header())
                    };
                    let expected = direct(stack, call(shortened(api, &body))).await?;
                    for downstream in [Protocol::Http1, Protocol::Http2] {
                        let answer = stack.connect(downstream).await?.send(call(body.clone())).await?;
                        assert_eq!(answer.status, expected.status);
                        assert_eq!(answer.header("content-type"), expected.header("content-type"));
                        assert_eq!(answer.text(), expected.text(), "{mode:?} {api:?} {script:?}");
                    }
                }
            }
        }
        assert_no_trap(stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_retry_sends_the_same_compressed_body_again() -> Result<()> {
    let body = anthropic(&pretty_pets(33));
    for mode in MODES {
        let stack = Stack::start(Options { retry_on_5xx: true, ..options(mode) }, Kind::Down).await?;
        let script = Script { fail_first: 2, ..Script::default() };
        let call = Call::post("/v1/messages", body.clone()).header(SCRIPT_HEADER, &script.header());
        let (answer, got) = stack.exchange("retried", Protocol::Http1, call).await?;
        assert_eq!(answer.status, 200, "{mode:?}");
        assert_eq!(got.len(), 3, "{mode:?}");
        for got in got {
            assert_eq!(got.body, shortened(Api::AnthropicMessages, &body), "{mode:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body_harms_nobody() -> Result<()> {
    let body = anthropic(&pretty_pets(34));
    for mode in MODES {
        for downstream in [Protocol::Http1, Protocol::Http2] {
            let stack = shared(mode, Protocol::Http1).await?;
            let name = format!("leaves {downstream:?}");
            let aborted = || stack.envoy.stat("wasmcustom.headroom.requests.aborted");
            let before = aborted().await?;
            let call = Call::post("/v1/messages", "").header(NAME_HEADER, &name);
            let first = Bytes::copy_from_slice(&body[..body.len() / 2]);
            let received = || stack.envoy.stat("http.headroom.downstream_cx_rx_bytes_total");
            let received_before = received().await?;
            let unfinished = stack.connect(downstream).await?.send_start(call, first.clone()).await?;
            until("Envoy has the half body", || async {
                (received().await.ok()? >= received_before + first.len() as u64).then_some(())
            })
            .await?;
            unfinished.disconnect();
            until("the filter notices", || async { (aborted().await.ok()? > before).then_some(()) }).await?;

            let after = format!("{name}, after");
            let call = Call::post("/v1/messages", body.clone());
            let (answer, _) = stack.exchange(&after, downstream, call).await?;
            assert_eq!(answer.status, 200);
            assert_eq!(forwarded(&stack.provider, &after).body, shortened(Api::AnthropicMessages, &body));
            for got in stack.provider.requests(&name) {
                assert!(mode == Mode::Strip && !got.complete, "nothing whole was forwarded");
            }
            assert_no_trap(stack).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_stream_harms_nobody() -> Result<()> {
    for mode in MODES {
        let stack = shared(mode, Protocol::Http1).await?;
        let body = streaming(anthropic(&pretty_pets(35)));
        let script = Script { gate: true, ..Script::default() };
        let call = Call::post("/v1/messages", body.clone())
            .header(NAME_HEADER, "leaves a stream")
            .header(SCRIPT_HEADER, &script.header());
        let mut connection = stack.connect(Protocol::Http1).await?;
        let mut streamed = connection.stream(call).await?;
        assert!(streamed.next().await?.is_some());
        let gone = || stack.envoy.stat("http.headroom.downstream_cx_destroy_remote_active_rq");
        let before = gone().await?;
        drop((streamed, connection));
        until("Envoy notices", || async { (gone().await.ok()? > before).then_some(()) }).await?;

        let call = Call::post("/v1/messages", body.clone());
        let (answer, _) = stack.exchange("after a stream", Protocol::Http1, call).await?;
        assert_eq!(answer.status, 200);
        assert_no_trap(stack).await?;
    }
    Ok(())
}
