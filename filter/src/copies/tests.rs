use headroom_compress::{Api, Config, Memo, Outcome, Request, compress};
use serde_json::json;

use super::*;

const MS: u64 = NANOS_PER_MS;
const LIMITS: Limits = Limits { queue_bytes: 1 << 20, timeout_ms: 100, pause_ms: 50, max_pause_ms: 1_000 };

/// A request with this many tool outputs that get a lossy form; `seed` makes them differ.
fn body(outputs: usize, seed: usize) -> Vec<u8> {
    let mut messages = vec![json!({"role": "user", "content": "Which failed?"})];
    for n in 0..outputs {
        let rows: Vec<_> = (0..400)
            .map(|row| json!({"id": 7919 * (row + 1) + seed, "status": "ok", "name": format!("job-{seed}-{n}-{row}")}))
            .collect();
        let function = json!({"name": "list", "arguments": "{}"});
        messages.push(json!({"role": "assistant", "tool_calls": [{"id": format!("c{n}"), "type": "function", "function": function}]}));
        messages.push(
            json!({"role": "tool", "tool_call_id": format!("c{n}"), "content": json!(rows).to_string()}),
        );
    }
    let tools = json!([{"type": "function", "function": {"name": "list"}}]);
    json!({"model": "gpt-5", "tools": tools, "messages": messages}).to_string().into_bytes()
}

fn compressed(body: &[u8]) -> Outcome<'_> {
    let request = Request { reversible: true, ..Request::new(Api::OpenAiChat) };
    compress(body, &request, &Config::default(), &mut Memo::new(0))
}

fn push(copies: &mut Copies, tenant: &str, body: &[u8]) -> u64 {
    let outcome = compressed(body);
    assert!(!outcome.originals.is_empty());
    copies.push(tenant, "c", &outcome.originals)
}

/// What a call carries once it has started.
fn sent(copies: &mut Copies, token: u32, now: u64) -> Option<AdmitRequest> {
    let message = copies.next(now)?;
    copies.started(Some(token), now);
    Some(AdmitRequest::decode(message.as_slice()).unwrap())
}

fn stored(request: &AdmitRequest) -> Vec<u8> {
    let stored = request.originals.iter().map(|original| original.hash.clone()).collect();
    AdmitResponse { stored, ..AdmitResponse::default() }.encode_to_vec()
}

#[test]
fn each_copy_is_sent_once_however_often_its_request_comes() {
    let mut copies = Copies::new(LIMITS);
    let (first, second) = (body(2, 1), body(3, 1));
    assert_eq!(push(&mut copies, "t", &first), 0);
    push(&mut copies, "t", &first);
    let request = sent(&mut copies, 1, 0).unwrap();
    assert_eq!(
        (request.tenant.as_str(), request.conversation_id.as_str(), request.originals.len()),
        ("t", "c", 2)
    );
    for original in &request.originals {
        let text = std::str::from_utf8(&original.content).unwrap();
        assert_eq!(headroom_compress::address(text), original.hash);
        assert_eq!((original.length, original.encoding()), (text.len() as u64, ContentEncoding::Identity));
    }
    // While they are on their way a later turn brings them again, and one more.
    push(&mut copies, "t", &second);
    assert_eq!(copies.next(0), None, "one call at a time");
    assert_eq!(
        copies.answered(1, Some(&stored(&request)), 0),
        CopiesOutcome::Taken { stored: 2, refused: 0 }
    );
    let request = sent(&mut copies, 2, 0).unwrap();
    assert_eq!(request.originals.len(), 1);
    copies.answered(2, Some(&stored(&request)), 0);
    push(&mut copies, "t", &second);
    assert_eq!((copies.next(0), copies.queued_bytes(), copies.dropped()), (None, 0, 0));
    push(&mut copies, "another", &first);
    assert_eq!(sent(&mut copies, 3, 0).unwrap().tenant, "another", "each tenant has its own");
}

#[test]
fn what_was_not_answered_is_sent_again_after_a_pause_that_grows() {
    let mut copies = Copies::new(LIMITS);
    push(&mut copies, "t", &body(1, 1));
    let mut now = 0;
    for (attempt, pause) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1_000), (6, 1_000)] {
        assert_eq!(sent(&mut copies, attempt, now).unwrap().originals.len(), 1);
        match attempt % 3 {
            0 => assert_eq!(copies.answered(attempt, None, now), CopiesOutcome::Failed),
            1 => assert_eq!(copies.answered(attempt, Some(b"\xff"), now), CopiesOutcome::Failed),
            _ => {
                assert!(!copies.give_up(now + 300 * MS - 1));
                now += 300 * MS;
                assert!(copies.give_up(now));
                assert_eq!(copies.answered(attempt, None, now), CopiesOutcome::Stale);
            }
        }
        assert_eq!(copies.next(now + pause * MS - 1), None, "attempt {attempt}");
        now += pause * MS;
    }
    copies.next(now).unwrap();
    copies.started(None, now);
    assert_eq!((copies.next(now), copies.dropped()), (None, 0));
}

#[test]
fn what_the_store_does_not_take_is_dropped_and_counted() {
    let mut copies = Copies::new(LIMITS);
    push(&mut copies, "t", &body(3, 1));
    let mut request = sent(&mut copies, 1, 0).unwrap();
    request.originals.remove(1);
    assert_eq!(
        copies.answered(1, Some(&stored(&request)), 0),
        CopiesOutcome::Taken { stored: 2, refused: 1 }
    );
    assert_eq!((copies.dropped(), copies.queued_bytes()), (1, 0));
    push(&mut copies, "t", &body(3, 1));
    assert_eq!(copies.next(0), None, "what was refused is not sent again at once");
}

#[test]
fn a_full_queue_drops_the_oldest_but_nothing_that_is_on_its_way() {
    let one = compressed(&body(1, 0)).originals[0].text().len();
    let mut copies = Copies::new(Limits { queue_bytes: 3 * one + one / 2, ..LIMITS });
    push(&mut copies, "t", &body(1, 0));
    let first = sent(&mut copies, 1, 0).unwrap();
    let dropped: u64 = (1..=5).map(|seed| push(&mut copies, "t", &body(1, seed))).sum();
    assert_eq!((dropped, copies.dropped()), (3, 3));
    assert!(copies.queued_bytes() <= 3 * one + one / 2);
    copies.answered(1, Some(&stored(&first)), 0);
    let rest = sent(&mut copies, 2, 0).unwrap();
    let kept = [
        compressed(&body(1, 4)).originals[0].hash.to_string(),
        compressed(&body(1, 5)).originals[0].hash.to_string(),
    ];
    assert_eq!(rest.originals.iter().map(|original| original.hash.clone()).collect::<Vec<_>>(), kept);
    // What was dropped may come again.
    push(&mut copies, "t", &body(1, 1));
    assert!(copies.queued_bytes() > 2 * one);
    let mut small = Copies::new(Limits { queue_bytes: one, ..LIMITS });
    assert_eq!((push(&mut small, "t", &body(1, 0)), small.next(0)), (1, None), "longer than the whole queue");
}

#[test]
fn a_call_carries_one_owner_and_about_a_megabyte() {
    let mut copies = Copies::new(Limits { queue_bytes: 64 << 20, ..LIMITS });
    let long = body(60, 1);
    push(&mut copies, "a", &long);
    push(&mut copies, "b", &body(1, 1));
    let (mut owners, mut seen, mut token) = (Vec::new(), 0, 0);
    while let Some(request) = sent(&mut copies, token, 0) {
        assert!(request.encoded_len() <= BATCH_BYTES && !request.originals.is_empty());
        seen += request.originals.len();
        copies.answered(token, Some(&stored(&request)), 0);
        owners.push(request.tenant);
        token += 1;
    }
    assert_eq!(seen, compressed(&long).originals.len() + 1);
    assert!(owners.len() > 2 && owners.pop().unwrap() == "b" && owners.iter().all(|owner| owner == "a"));
}

#[test]
fn memory_of_what_was_sent_is_bounded() {
    let mut copies = Copies::new(LIMITS);
    for key in 0..200_000 {
        copies.remember(key);
    }
    assert!(copies.young.len() + copies.old.len() <= 2 * GENERATION);
    assert!(copies.is_known(199_999) && copies.is_known(199_999 - GENERATION as u64) && !copies.is_known(1));
}

#[test]
fn no_more_is_copied_than_is_kept() {
    let body = body(60, 1);
    let outcome = compressed(&body);
    let most = outcome.originals.iter().map(|original| original.text().len()).max().unwrap();
    let mut copies = Copies::new(Limits { queue_bytes: 3 * most, ..LIMITS });
    let dropped = copies.push("t", "c", &outcome.originals);
    assert_eq!(dropped as usize + copies.queue.len(), outcome.originals.len());
    assert!(dropped > 40 && copies.queue.capacity() <= 16, "{dropped} {}", copies.queue.capacity());
}
