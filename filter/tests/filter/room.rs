//! A VM whose memory budget is used up: what finds no room is not kept, and each request and each answer
//! still arrives.

use headroom_api::v1::RetrieveRequest;
use prost::Message as _;
use serde_json::{Value, json};

use crate::host::{host, metric};
use crate::proxy::{Plugin, Stream, calls, lossy};

/// The budget that is left for requests if the memo and the longest body take the rest.
const LEAST_BYTES: usize = 8 << 20;

fn plugin() -> Plugin {
    Plugin::new(json!({
        "reversible": true,
        "control_plane": {"cluster": "c"},
        "max_body_bytes": 128 << 20,
        "memo_bytes": 512 << 20,
    }))
}

fn request(plugin: &mut Plugin, rows: usize) -> Stream {
    let stream = plugin.post("/v1/messages", &[], &lossy(&[rows]));
    assert!(!stream.paused());
    assert!(String::from_utf8_lossy(&stream.sent_body).contains(r#"{"name":"headroom_retrieve""#));
    stream
}

/// An answer that is collected, and leaves at most this many bytes for others.
fn collecting(plugin: &mut Plugin, left: usize) -> (Stream, Vec<u8>) {
    let mut stream = request(plugin, 400);
    stream.respond("200", "application/json", &[]);
    let mut answer = br#"{"content":[],"stop_reason":"end_turn","filled":""#.to_vec();
    answer.resize(LEAST_BYTES - left, b' ');
    stream.provider_sends(&answer, false);
    assert!(stream.answer_paused && stream.client.is_empty());
    assert_eq!(metric("headroom.no_room"), 0);
    (stream, answer)
}

fn ends(mut stream: Stream, mut answer: Vec<u8>) {
    stream.provider_sends(b"\"}", true);
    answer.extend(b"\"}");
    assert!(stream.client == answer);
    stream.finish();
}

fn calling(hash: &str) -> Value {
    json!({"type": "tool_use", "id": "toolu_1", "name": "headroom_retrieve", "input": {"hash": hash}})
}

fn message(content: &Value) -> String {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "content": [content],
        "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 1}})
    .to_string()
}

/// The hash in a request's marker.
fn hash_in(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let at = body.find("hash=").expect("a marker") + "hash=".len();
    body[at..at + 24].to_owned()
}

#[test]
fn an_answer_that_finds_no_room_goes_through_as_it_comes() {
    let mut plugin = plugin();
    let (full, collected) = collecting(&mut plugin, 600_000);
    let mut stream = request(&mut plugin, 400);
    stream.respond("200", "application/json", &[]);
    let piece = vec![b'['; 700_000];
    stream.provider_sends(&piece, false);
    assert!(!stream.answer_paused && stream.client == piece, "it is not held");
    assert_eq!(metric("headroom.no_room"), 1);
    stream.provider_sends(b"the rest", true);
    assert_eq!(stream.client[piece.len()..], *b"the rest");
    stream.finish();
    ends(full, collected);

    // The memory is given back.
    let (mut stream, hash) = (request(&mut plugin, 400), String::new());
    stream.respond("200", "application/json", &[]);
    stream.provider_sends(message(&calling(&hash)).as_bytes(), false);
    assert!(stream.answer_paused);
    stream.finish();
    assert_eq!(metric("headroom.no_room"), 1);
}

#[test]
fn an_answer_that_finds_no_room_behind_a_call_of_ours_ends_before_it() {
    let mut plugin = plugin();
    let (full, collected) = collecting(&mut plugin, 600_000);
    let mut stream = request(&mut plugin, 400);
    stream.respond("200", "text/event-stream", &[]);
    let usage = json!({"input_tokens": 1, "output_tokens": 1});
    let start = json!({"type": "message_start", "message": {"id": "m", "usage": usage}});
    let block = json!({"type": "content_block_start", "index": 0, "content_block": calling("x")});
    let delta = json!({"type": "content_block_delta", "index": 0,
        "delta": {"type": "input_json_delta", "partial_json": " ".repeat(700_000)}});
    for event in [start, block, delta] {
        let event = format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
        stream.provider_sends(event.as_bytes(), false);
    }
    let client = String::from_utf8(stream.client.clone()).unwrap();
    assert!(client.contains("could not be retrieved") && client.contains("message_stop"), "{client}");
    assert!(!client.contains("headroom_retrieve"));
    assert_eq!(metric("headroom.no_room"), 1);
    stream.provider_sends(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", true);
    assert_eq!(stream.client, client.as_bytes(), "the client has had the end");
    stream.finish();
    ends(full, collected);
}

#[test]
fn where_originals_find_no_room_the_store_is_the_source_and_the_request_is_the_same() {
    let mut plugin = plugin();
    let alone = request(&mut plugin, 9_000);
    let expected = alone.sent_body.clone();
    alone.finish();
    plugin.tick_after(1_000);

    let (full, collected) = collecting(&mut plugin, 600_000);
    let mut stream = request(&mut plugin, 9_000);
    assert!(stream.sent_body == expected, "no form depends on what is kept");
    assert!(metric("headroom.no_room") > 0);
    let hash = hash_in(&stream.sent_body);
    stream.respond("200", "application/json", &[]);
    stream.provider_sends(message(&calling(&hash)).as_bytes(), true);
    let call = calls("Retrieve").pop().expect("the store is asked");
    assert_eq!(RetrieveRequest::decode(&*call.message).unwrap().hash, hash);
    stream.finish();
    ends(full, collected);
}

#[test]
fn where_a_request_finds_no_room_a_call_of_ours_does_not_reach_the_client() {
    let mut plugin = plugin();
    let (full, collected) = collecting(&mut plugin, 600_000);
    let others: Vec<Stream> = (0..200).map(|_| request(&mut plugin, 400)).collect();
    let mut stream = request(&mut plugin, 400);
    assert!(metric("headroom.no_room") > 0);
    stream.respond("200", "application/json", &[]);
    stream.provider_sends(message(&calling(&hash_in(&stream.sent_body))).as_bytes(), true);
    let client = String::from_utf8(stream.client.clone()).unwrap();
    assert!(client.contains("could not be retrieved") && !client.contains("headroom_retrieve"), "{client}");
    assert!(host(|host| host.http_calls.is_empty()));
    stream.finish();
    others.into_iter().for_each(Stream::finish);
    ends(full, collected);
}
