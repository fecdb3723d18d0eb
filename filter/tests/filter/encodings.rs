//! How originals travel: as zstd where they are long and the sidecar reads that, otherwise as they are.

use headroom_api::v1::{AdmitResponse, ContentEncoding, Original};
use prost::Message;
use serde_json::{Value, json};

use crate::admission::admits;
use crate::proxy::{Plugin, lossy, reversible};

/// Rows of an output that is longer than [`LONG`] bytes.
const ROWS: usize = 400;
const LONG: usize = 4_000;

fn plugin(admit_zstd_bytes: usize) -> Plugin {
    let control_plane = json!({"cluster": "c", "admit_zstd_bytes": admit_zstd_bytes});
    Plugin::new(json!({"reversible": true, "control_plane": control_plane}))
}

/// A sidecar's answer, in which it names the encodings that it reads by their numbers.
fn answer(stored: &[Original], epoch: &str, encodings: &[i32]) -> Vec<u8> {
    let answer = AdmitResponse {
        stored: stored.iter().map(|original| original.hash.clone()).collect(),
        epoch: epoch.to_owned(),
        ttl_seconds: 86_400,
        encodings: encodings.to_vec(),
    };
    answer.encode_to_vec()
}

/// A request with an output of so many rows, of which the sidecar stores all; the original that it was sent,
/// after comparing it with the output.
fn sent(plugin: &mut Plugin, rows: usize, epoch: &str, encodings: &[i32]) -> Original {
    let body = lossy(&[rows]);
    let mut stream = plugin.post("/v1/messages", &[], &body);
    let (token, request) = admits().pop().expect("a call");
    let [original] = request.originals.as_slice() else { panic!("{} originals", request.originals.len()) };
    stream.sidecar_answers(token, Some(&answer(&request.originals, epoch, encodings)));
    assert_eq!(stream.sent_body, reversible(&body, 1));
    stream.finish();

    let read: Value = serde_json::from_slice(&body).unwrap();
    let output = read["messages"][2]["content"][0]["content"].as_str().unwrap();
    let text = match original.encoding() {
        ContentEncoding::Zstd => zstd::bulk::decompress(&original.content, output.len()).unwrap(),
        _ => original.content.clone(),
    };
    assert_eq!((text.as_slice(), original.length), (output.as_bytes(), output.len() as u64));
    original.clone()
}

const ZSTD: i32 = ContentEncoding::Zstd as i32;
/// One that a later release may have.
const UNKNOWN: i32 = 77;

#[test]
fn long_originals_are_compressed_once_the_sidecar_has_said_that_it_reads_zstd() {
    let mut plugin = plugin(LONG);
    let first = sent(&mut plugin, ROWS, "e", &[UNKNOWN, ZSTD]);
    assert_eq!(first.encoding(), ContentEncoding::Identity, "nobody has said anything yet");
    let second = sent(&mut plugin, ROWS + 1, "e", &[ZSTD]);
    assert_eq!(second.encoding(), ContentEncoding::Zstd);
    assert!(second.content.len() * 2 < second.length as usize, "{} bytes", second.content.len());
    plugin.delete();
}

#[test]
fn a_sidecar_that_names_no_encoding_or_others_is_sent_originals_as_they_are() {
    let mut plugin = plugin(LONG);
    for (rows, encodings) in [(ROWS, vec![]), (ROWS + 1, vec![UNKNOWN, 1]), (ROWS + 2, vec![])] {
        assert_eq!(sent(&mut plugin, rows, "e", &encodings).encoding(), ContentEncoding::Identity);
    }
    plugin.delete();
}

#[test]
fn a_new_epoch_may_be_an_older_sidecar() {
    let mut plugin = plugin(LONG);
    sent(&mut plugin, ROWS, "e", &[ZSTD]);
    assert_eq!(sent(&mut plugin, ROWS + 1, "f", &[]).encoding(), ContentEncoding::Zstd);
    assert_eq!(sent(&mut plugin, ROWS + 2, "f", &[]).encoding(), ContentEncoding::Identity);
    assert_eq!(sent(&mut plugin, ROWS + 3, "g", &[ZSTD]).encoding(), ContentEncoding::Identity);
    assert_eq!(sent(&mut plugin, ROWS + 4, "g", &[ZSTD]).encoding(), ContentEncoding::Zstd);
    plugin.delete();
}

#[test]
fn what_is_not_stored_leaves_lossless_and_is_sent_as_it_is_the_next_time() {
    let mut plugin = plugin(LONG);
    sent(&mut plugin, ROWS, "e", &[ZSTD]);
    let body = lossy(&[ROWS + 1]);
    let mut stream = plugin.post("/v1/messages", &[], &body);
    let (token, request) = admits().pop().unwrap();
    assert_eq!(request.originals[0].encoding(), ContentEncoding::Zstd);
    stream.sidecar_answers(token, Some(&answer(&[], "e", &[ZSTD])));
    assert_eq!(stream.sent_body, reversible(&body, 0));
    stream.finish();
    assert_eq!(sent(&mut plugin, ROWS + 1, "e", &[ZSTD]).encoding(), ContentEncoding::Identity);
    assert_eq!(sent(&mut plugin, ROWS + 2, "e", &[ZSTD]).encoding(), ContentEncoding::Identity);
    sent(&mut plugin, ROWS + 3, "f", &[ZSTD]);
    assert_eq!(sent(&mut plugin, ROWS + 4, "f", &[ZSTD]).encoding(), ContentEncoding::Zstd);
    plugin.delete();
}

#[test]
fn shorter_ones_and_all_with_a_size_of_zero_travel_as_they_are() {
    for admit_zstd_bytes in [0, 1 << 20] {
        let mut plugin = plugin(admit_zstd_bytes);
        for rows in [ROWS, ROWS + 1] {
            let original = sent(&mut plugin, rows, "e", &[ZSTD]);
            assert_eq!(original.encoding(), ContentEncoding::Identity, "{admit_zstd_bytes}");
        }
        plugin.delete();
    }
}
