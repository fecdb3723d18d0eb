//! Bodies that Headroom does not read arrive byte for byte (I1).

use std::io::Write as _;

use anyhow::Result;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::provider::NAME_HEADER;

use crate::bodies::{anthropic, pretty_pets};
use crate::stacks::{MAX_BODY_BYTES, MODES, assert_no_trap, decompressing, forwarded, shared};

/// Sends a body in both modes and asserts that it arrives unchanged; `keeps_length` if the decision
/// is made before the length is removed.
pub(crate) async fn passes(name: &str, keeps_length: bool, make: impl Fn() -> (Call, Vec<u8>)) -> Result<()> {
    for mode in MODES {
        let stack = shared(mode, Protocol::Http1).await?;
        for downstream in [Protocol::Http1, Protocol::Http2] {
            let name = format!("{name} {downstream:?}");
            let (call, body) = make();
            let (answer, _) = stack.exchange(&name, downstream, call).await?;
            assert_eq!(answer.status, 200, "{mode:?} {name}");
            let got = forwarded(&stack.provider, &name);
            assert!(got.body == body, "{mode:?} {name}: {} bytes became {}", body.len(), got.body.len());
            if keeps_length {
                assert_eq!(got.headers["content-length"], body.len().to_string(), "{mode:?} {name}");
            }
        }
        assert_no_trap(stack).await?;
    }
    Ok(())
}

async fn bypass_passes_a_request_with_its_length() -> Result<()> {
    passes("bypass", true, || {
        let body = anthropic(&pretty_pets(30));
        (Call::post("/v1/messages", body.clone()).header("x-headroom-bypass", "true"), body)
    })
    .await
}

async fn another_path_passes_with_its_length() -> Result<()> {
    for path in ["/v1/embeddings", "/v1/messages/batches?beta=true"] {
        passes(path, true, || {
            let body = anthropic(&pretty_pets(30));
            (Call::post(path, body.clone()), body)
        })
        .await?;
    }
    Ok(())
}

async fn a_body_in_an_encoding_that_is_not_read_passes_with_its_length() -> Result<()> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&anthropic(&pretty_pets(30)))?;
    let encoded = encoder.finish()?;
    passes("encoded", true, || {
        (Call::post("/v1/messages", encoded.clone()).header("content-encoding", "br"), encoded.clone())
    })
    .await
}

async fn what_is_not_the_json_of_its_api_passes() -> Result<()> {
    let good = anthropic(&pretty_pets(30));
    let mut broken_utf8 = good.clone();
    broken_utf8[40] = 0xff;
    let cases: [(&str, Vec<u8>); 8] = [
        ("cut off", good[..good.len() - 20].to_vec()),
        ("not JSON", b"hello \x00 world".to_vec()),
        ("an array", b"[1, 2 ,3]".to_vec()),
        ("no messages", b"{\"model\": \"m\" }".to_vec()),
        ("messages of another shape", b"{\"messages\": {\"role\": [ ]}}".to_vec()),
        ("broken UTF-8", broken_utf8),
        ("two documents", [good.clone(), good.clone()].concat()),
        ("very deep", ["[".repeat(20_000), "]".repeat(20_000)].concat().into_bytes()),
    ];
    for (name, body) in cases {
        passes(name, false, || (Call::post("/v1/messages", body.clone()), body.clone())).await?;
    }
    Ok(())
}

async fn a_body_known_to_be_over_the_cap_passes_with_its_length() -> Result<()> {
    passes("over the cap", true, || {
        let mut body = anthropic(&pretty_pets(30));
        body.resize(MAX_BODY_BYTES + 1, b' ');
        (Call::post("/v1/messages", body.clone()), body)
    })
    .await
}

async fn a_body_that_turns_out_to_be_over_the_cap_passes() -> Result<()> {
    // Twelve times the cap and more than Envoy holds for a filter that waits: it must be released.
    let mut body = anthropic(&pretty_pets(30));
    body.resize(12 * MAX_BODY_BYTES, b' ');
    let frames: Vec<Bytes> = body.chunks(10_000).map(Bytes::copy_from_slice).collect();
    for mode in MODES {
        for downstream in [Protocol::Http1, Protocol::Http2] {
            let stack = shared(mode, Protocol::Http1).await?;
            let name = format!("unknown length {downstream:?}");
            let call = Call::post("/v1/messages", "").header(NAME_HEADER, &name);
            let answer = stack.connect(downstream).await?.send_frames(call, frames.clone(), None).await?;
            assert_eq!(answer.status, 200, "{mode:?} {name}: {}", answer.text());
            let got = forwarded(&stack.provider, &name).body;
            assert!(got == body, "{mode:?} {name}: {} bytes became {}", body.len(), got.len());
        }
    }
    Ok(())
}

async fn a_small_gzip_body_that_unpacks_to_more_than_the_cap_passes() -> Result<()> {
    // Envoy's decompressor stops at a ratio of 100, so this body compresses less well.
    let body = anthropic(&pretty_pets(8000));
    assert!(body.len() > 2 * MAX_BODY_BYTES, "{}", body.len());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&body)?;
    let encoded = encoder.finish()?;
    for mode in MODES {
        let stack = decompressing(mode).await?;
        let call = Call::post("/v1/messages", encoded.clone()).header("content-encoding", "gzip");
        let (answer, _) = stack.exchange("unpacked", Protocol::Http1, call).await?;
        assert_eq!(answer.status, 200, "{mode:?}: {}", answer.text());
        let got = forwarded(&stack.provider, "unpacked").body;
        assert!(got == body, "{mode:?}: {} bytes became {}", body.len(), got.len());
    }
    Ok(())
}

async fn a_request_without_a_body_passes() -> Result<()> {
    passes("empty", false, || (Call::post("/v1/messages", ""), Vec::new())).await
}

/// One test, since every process that runs tests starts its own stacks, and a start costs V8 a compilation.
#[tokio::test]
async fn what_is_not_read_arrives_byte_for_byte() -> Result<()> {
    bypass_passes_a_request_with_its_length().await?;
    another_path_passes_with_its_length().await?;
    a_body_in_an_encoding_that_is_not_read_passes_with_its_length().await?;
    what_is_not_the_json_of_its_api_passes().await?;
    a_body_known_to_be_over_the_cap_passes_with_its_length().await?;
    a_body_that_turns_out_to_be_over_the_cap_passes().await?;
    a_small_gzip_body_that_unpacks_to_more_than_the_cap_passes().await?;
    a_request_without_a_body_passes().await
}
