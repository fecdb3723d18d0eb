//! Rewritten bodies: in both modes, over both protocols, in every way in which a body can arrive.

use std::io::Write as _;

use anyhow::Result;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use headroom_compress::Api;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::conversation;
use headroom_e2e::provider::{NAME_HEADER, RecordedRequest};
use hyper::header::HeaderMap;
use hyper::{Method, Version};

use crate::bodies::{anthropic, chat, pretty_pets, shortened};
use crate::stacks::{MAX_BODY_BYTES, MODES, Mode, assert_no_trap, decompressing, forwarded, shared};

const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// Asserts the mode's rule for the length of a rewritten body.
fn assert_length(mode: Mode, got: &RecordedRequest) {
    let length = got.headers.get("content-length").map(|value| value.to_str().unwrap_or_default().to_owned());
    match mode {
        Mode::Strip => assert_eq!(length, None),
        Mode::Hold => assert_eq!(length, Some(got.body.len().to_string())),
    }
    let chunked = got.headers.get("transfer-encoding").is_some_and(|value| value == "chunked");
    assert_eq!(chunked, mode == Mode::Strip && got.version == Version::HTTP_11, "{:?}", got.headers);
}

async fn rewrites(mode: Mode, upstream: Protocol) -> Result<()> {
    let stack = shared(mode, upstream).await?;
    for downstream in PROTOCOLS {
        for (api, body) in
            [(Api::AnthropicMessages, anthropic(&pretty_pets(40))), (Api::OpenAiChat, chat(&pretty_pets(41)))]
        {
            let name = format!("rewrites {downstream:?} {api:?}");
            let call =
                Call::post(conversation::path(api), body.clone()).header("anthropic-version", "2023-06-01");
            let (answer, _) = stack.exchange(&name, downstream, call).await?;
            assert_eq!(answer.status, 200, "{name}");
            let got = forwarded(&stack.provider, &name);
            assert_eq!(got.body, shortened(api, &body), "{name}");
            assert_eq!(got.method, Method::POST.as_str());
            assert_eq!(got.headers["anthropic-version"], "2023-06-01");
            assert_eq!(got.headers["content-type"], "application/json");
            assert_eq!(got.version == Version::HTTP_2, upstream == Protocol::Http2);
            assert_length(mode, &got);
        }
    }
    assert_no_trap(stack).await
}

async fn the_engines_bytes_are_forwarded() -> Result<()> {
    for mode in MODES {
        for upstream in PROTOCOLS {
            rewrites(mode, upstream).await?;
        }
    }
    Ok(())
}

async fn a_body_in_three_hundred_small_frames_is_one_body() -> Result<()> {
    let body = anthropic(&pretty_pets(60));
    let frames: Vec<Bytes> = body.chunks(body.len().div_ceil(300)).map(Bytes::copy_from_slice).collect();
    assert!(frames.len() > 250, "{}", frames.len());
    for mode in MODES {
        for downstream in PROTOCOLS {
            let stack = shared(mode, Protocol::Http1).await?;
            let name = format!("frames {downstream:?}");
            let call = Call::post("/v1/messages", "").header(NAME_HEADER, &name);
            let answer = stack.connect(downstream).await?.send_frames(call, frames.clone(), None).await?;
            assert_eq!(answer.status, 200);
            let got = forwarded(&stack.provider, &name);
            assert_eq!(got.body, shortened(Api::AnthropicMessages, &body));
            assert_length(mode, &got);
        }
    }
    Ok(())
}

async fn a_stream_that_ends_with_trailers_is_rewritten_and_keeps_them() -> Result<()> {
    let body = anthropic(&pretty_pets(50));
    for mode in MODES {
        for upstream in PROTOCOLS {
            let stack = shared(mode, upstream).await?;
            let name = "trailers";
            let mut trailers = HeaderMap::new();
            trailers.insert("x-checksum", "abc".parse()?);
            let frames = body.chunks(1000).map(Bytes::copy_from_slice).collect();
            let call = Call::post("/v1/messages", "").header(NAME_HEADER, name);
            let mut connection = stack.connect(Protocol::Http2).await?;
            let answer = connection.send_frames(call, frames, Some(trailers)).await?;
            assert_eq!(answer.status, 200, "{mode:?} {upstream:?}");
            let got = forwarded(&stack.provider, name);
            assert_eq!(got.body, shortened(Api::AnthropicMessages, &body), "{mode:?} {upstream:?}");
            if upstream == Protocol::Http2 {
                let trailers = got.trailers.unwrap_or_default();
                assert_eq!(trailers.get("x-checksum").map(|value| value.as_bytes()), Some(&b"abc"[..]));
            }
        }
    }
    Ok(())
}

async fn a_request_that_envoy_decompresses_is_rewritten() -> Result<()> {
    let body = chat(&pretty_pets(70));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&body)?;
    let encoded = encoder.finish()?;
    for mode in MODES {
        let stack = decompressing(mode).await?;
        for downstream in PROTOCOLS {
            let name = format!("gzip {downstream:?}");
            let call = Call::post("/v1/chat/completions", encoded.clone()).header("content-encoding", "gzip");
            let (answer, _) = stack.exchange(&name, downstream, call).await?;
            assert_eq!(answer.status, 200, "{mode:?} {name}");
            let got = forwarded(&stack.provider, &name);
            assert_eq!(got.headers.get("content-encoding"), None);
            assert_eq!(got.body, shortened(Api::OpenAiChat, &body), "{mode:?} {name}");
            assert_length(mode, &got);
        }
        assert_no_trap(stack).await?;
    }
    Ok(())
}

/// Blanks before the closing brace, until the body has the wanted length.
fn padded(mut body: Vec<u8>, length: usize) -> Vec<u8> {
    let brace = body.iter().rposition(|byte| *byte == b'}').expect("an object");
    let blanks = vec![b' '; length - body.len()];
    body.splice(brace..brace, blanks);
    body
}

async fn the_longest_body_under_the_cap_is_rewritten() -> Result<()> {
    let body = padded(anthropic(&pretty_pets(50)), MAX_BODY_BYTES);
    for mode in MODES {
        let stack = shared(mode, Protocol::Http1).await?;
        let call = Call::post("/v1/messages", body.clone());
        let (answer, _) = stack.exchange("at the cap", Protocol::Http1, call).await?;
        assert_eq!(answer.status, 200);
        let got = forwarded(&stack.provider, "at the cap");
        assert_eq!(got.body, shortened(Api::AnthropicMessages, &body));
    }
    Ok(())
}

async fn requests_that_share_a_connection_do_not_share_their_state() -> Result<()> {
    for mode in MODES {
        for downstream in PROTOCOLS {
            let stack = shared(mode, Protocol::Http1).await?;
            let mut connection = stack.connect(downstream).await?;
            for round in 0..3 {
                let name = format!("row {downstream:?} {round}");
                let body = anthropic(&pretty_pets(30 + round));
                let call = Call::post("/v1/messages", body.clone()).header(NAME_HEADER, &name);
                assert_eq!(connection.send(call).await?.status, 200);
                assert_eq!(forwarded(&stack.provider, &name).body, shortened(Api::AnthropicMessages, &body));

                let name = format!("{name}, passed");
                let call = Call::post("/v1/messages", body.clone()).header("x-headroom-bypass", "true");
                assert_eq!(connection.send(call.header(NAME_HEADER, &name)).await?.status, 200);
                assert_eq!(forwarded(&stack.provider, &name).body, body);

                let name = format!("{name}, other");
                assert_eq!(
                    connection.send(Call::get("/v1/models").header(NAME_HEADER, &name)).await?.status,
                    200
                );
                assert_eq!(forwarded(&stack.provider, &name).body, "");
            }
        }
    }
    Ok(())
}

async fn requests_at_the_same_time_do_not_share_their_state() -> Result<()> {
    for mode in MODES {
        let stack = shared(mode, Protocol::Http2).await?;
        let exchanges = (0..24).map(|number| async move {
            let body = chat(&pretty_pets(10 + number));
            let frames = body.chunks(501 + number * 7).map(Bytes::copy_from_slice).collect();
            let name = format!("together {number}");
            let call = Call::post("/v1/chat/completions", "").header(NAME_HEADER, &name);
            let answer = stack.connect(Protocol::Http2).await?.send_frames(call, frames, None).await?;
            anyhow::Ok((name, body, answer))
        });
        let tasks: Vec<_> = exchanges.map(tokio::spawn).collect();
        for task in tasks {
            let (name, body, answer) = task.await??;
            assert_eq!(answer.status, 200, "{name}");
            assert_eq!(forwarded(&stack.provider, &name).body, shortened(Api::OpenAiChat, &body), "{name}");
        }
        assert_no_trap(stack).await?;
    }
    Ok(())
}

async fn headers_of_headroom_never_reach_the_provider() -> Result<()> {
    for mode in MODES {
        let stack = shared(mode, Protocol::Http1).await?;
        let calls = [
            ("own", Call::post("/v1/messages", anthropic(&pretty_pets(20)))),
            ("own, no gain", Call::post("/v1/messages", anthropic("ok"))),
            ("own, empty", Call::post("/v1/messages", "")),
            ("other path", Call::post("/v1/embeddings", "{}")),
            ("other method", Call::get("/v1/messages")),
        ];
        for (name, call) in calls {
            let name = format!("headers of {name}");
            let call = call
                .header("x-headroom-user-id", "u1")
                .header("X-Headroom-Stack", "test")
                .header("x-headroom-anything", "1")
                .header("x-headroomy", "stays");
            let (answer, _) = stack.exchange(&name, Protocol::Http1, call).await?;
            assert_eq!(answer.status, 200, "{name}");
            let got = forwarded(&stack.provider, &name);
            assert_eq!(got.headers["x-headroomy"], "stays", "{name}");
        }
    }
    Ok(())
}

async fn a_header_that_is_no_text_goes_through() -> Result<()> {
    const VALUE: &[u8] = b"gr\xfc\xdfe \x80";
    let body = anthropic(&pretty_pets(42));
    for mode in MODES {
        for downstream in PROTOCOLS {
            let stack = shared(mode, Protocol::Http1).await?;
            let name = format!("no text {downstream:?}");
            let call = Call::post("/v1/messages", body.clone())
                .opaque_header("x-greeting", VALUE)
                .opaque_header("x-headroom-stack", VALUE);
            let (answer, _) = stack.exchange(&name, downstream, call).await?;
            assert_eq!(answer.status, 200, "{mode:?} {name}");
            let got = forwarded(&stack.provider, &name);
            assert_eq!(got.body, shortened(Api::AnthropicMessages, &body), "{mode:?} {name}");
            assert_eq!(got.headers["x-greeting"].as_bytes(), VALUE, "{mode:?} {name}");
            assert_no_trap(stack).await?;
        }
    }
    Ok(())
}

/// One test, since every process that runs tests starts its own stacks, and a start costs V8 a compilation.
#[tokio::test]
async fn rewritten_bodies_arrive_in_every_way() -> Result<()> {
    the_engines_bytes_are_forwarded().await?;
    a_body_in_three_hundred_small_frames_is_one_body().await?;
    a_stream_that_ends_with_trailers_is_rewritten_and_keeps_them().await?;
    a_request_that_envoy_decompresses_is_rewritten().await?;
    the_longest_body_under_the_cap_is_rewritten().await?;
    requests_that_share_a_connection_do_not_share_their_state().await?;
    requests_at_the_same_time_do_not_share_their_state().await?;
    headers_of_headroom_never_reach_the_provider().await?;
    a_header_that_is_no_text_goes_through().await
}
