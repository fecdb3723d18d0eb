//! Requests whose bodies the client has compressed, as Codex does with a ChatGPT login.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::proxy::{Plugin, compressed, compressible};

fn encode(name: &str, body: &[u8]) -> Vec<u8> {
    if name == "zstd" {
        return zstd::bulk::compress(body, 3).unwrap();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn decode(name: &str, bytes: &[u8]) -> Vec<u8> {
    if name == "zstd" {
        return zstd::stream::decode_all(bytes).unwrap();
    }
    let mut body = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut body).unwrap();
    body
}

#[test]
fn they_leave_in_the_same_encoding_where_the_headers_have_gone_and_decoded_where_they_wait() {
    let body = compressible();
    for name in ["zstd", "gzip"] {
        let mut plugin = Plugin::new(json!({}));
        let stream = plugin.post("/v1/messages", &[("content-encoding", name)], &encode(name, &body));
        assert_eq!(stream.sent_header("content-encoding").as_deref(), Some(name));
        assert_eq!(decode(name, &stream.sent_body), compressed(&body), "{name}");
        stream.finish();
        plugin.delete();

        let mut plugin = Plugin::new(json!({"body_mode": "hold"}));
        let stream = plugin.post("/v1/messages", &[("content-encoding", name)], &encode(name, &body));
        assert_eq!(stream.sent_body, compressed(&body), "{name}");
        assert_eq!(stream.sent_header("content-encoding"), None);
        let length = stream.sent_header("content-length").unwrap();
        assert_eq!(length, stream.sent_body.len().to_string());
        stream.finish();
        plugin.delete();
    }
}

#[test]
fn what_does_not_decode_or_is_over_a_bound_leaves_as_it_came() {
    let body = compressible();
    let whole = encode("zstd", &body);
    let bomb = encode("gzip", &vec![b' '; 20 << 20]);
    let over = encode("gzip", &body);
    for (name, bytes, cap) in [
        ("zstd", &whole[..whole.len() - 3], 1 << 20),
        ("gzip", whole.as_slice(), 1 << 20),
        ("gzip", bomb.as_slice(), 32 << 20),
        ("gzip", over.as_slice(), body.len() - 1),
        ("br", whole.as_slice(), 1 << 20),
        ("gzip, zstd", over.as_slice(), 1 << 20),
    ] {
        for mode in ["strip", "hold"] {
            let mut plugin = Plugin::new(
                json!({"body_mode": mode, "max_body_bytes": cap, "control_plane": {"cluster": "c"}}),
            );
            let stream = plugin.post("/v1/messages", &[("content-encoding", name)], bytes);
            assert_eq!(stream.sent_body, bytes, "{name} {mode}");
            assert_eq!(stream.sent_header("content-encoding").as_deref(), Some(name));
            stream.finish();
            let outcome = plugin.records().pop().unwrap().outcome();
            assert_eq!(outcome, headroom_api::v1::RequestOutcome::Encoded, "{name} {mode}");
            plugin.delete();
        }
    }
}
