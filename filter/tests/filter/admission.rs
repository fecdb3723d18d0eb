//! Originals are stored before a lossy form leaves, and nothing that goes wrong with that harms a request.

use headroom_api::v1::{AdmissionOutcome, AdmitRequest, AdmitResponse, ReportResponse};
use headroom_filter::exports::{self, Action};
use prost::Message;
use serde_json::{Value, json};

use crate::host::{Refusal, host, metric, refusing};
use crate::proxy::{Plugin, Stream, calls, compressed, compressible, lossy, reversible};

const ROWS: usize = 400;

fn configuration() -> Value {
    json!({"reversible": true, "control_plane": {"cluster": "c", "report_interval_ms": 1000}})
}

fn plugin() -> Plugin {
    Plugin::new(configuration())
}

/// The calls to store originals so far, each with its token.
pub(crate) fn admits() -> Vec<(u32, AdmitRequest)> {
    let admits = calls("Admit").into_iter();
    admits.map(|call| (call.token, AdmitRequest::decode(&*call.message).unwrap())).collect()
}

fn acknowledgement(stored: Vec<String>, epoch: &str) -> Vec<u8> {
    let answer =
        AdmitResponse { stored, epoch: epoch.to_owned(), ttl_seconds: 86_400, ..AdmitResponse::default() };
    answer.encode_to_vec()
}

/// The sidecar stores what the latest call carries.
fn store(stream: &mut Stream) -> AdmitRequest {
    let (token, request) = admits().pop().expect("a call");
    let hashes = request.originals.iter().map(|original| original.hash.clone()).collect();
    stream.sidecar_answers(token, Some(&acknowledgement(hashes, "e")));
    request
}

#[test]
fn a_lossy_form_leaves_only_after_its_originals_are_stored() {
    let (mut plugin, body) = (plugin(), lossy(&[ROWS]));
    assert!(reversible(&body, 1).len() < reversible(&body, 0).len(), "the engine leaves something out");
    let mut stream = plugin.post("/v1/messages", &[("x-headroom-user-id", "team")], &body);
    assert!(stream.paused() && stream.sent_body.is_empty());

    let request = store(&mut stream);
    assert!(!stream.paused());
    assert_eq!(stream.sent_body, reversible(&body, 1));
    let [original] = request.originals.as_slice() else { panic!("{} originals", request.originals.len()) };
    let sent: Value = serde_json::from_slice(&body).unwrap();
    let output = sent["messages"][2]["content"][0]["content"].as_str().unwrap();
    assert_eq!(original.content, output.as_bytes());
    assert_eq!((original.length, original.tool.as_str()), (output.len() as u64, "list"));
    assert!(String::from_utf8_lossy(&stream.sent_body).contains(&format!("hash={}", original.hash)));
    assert_eq!(request.tenant, "team");
    assert_eq!(calls("Admit")[0].timeout_ms, 50);
    stream.finish();
    let record = plugin.records().pop().unwrap();
    assert_eq!(record.conversation_id, request.conversation_id);
    let timings = record.timings.unwrap();
    assert!(timings.admit_us > 0 && timings.overhead_us >= timings.admit_us, "{timings:?}");
    assert_eq!((metric("headroom.originals_stored"), metric("headroom.lossless_fallbacks")), (1, 0));
    let tokens = record.tokens.unwrap();
    assert!(tokens.after < tokens.before);
}

#[test]
fn what_is_stored_is_not_sent_again() {
    let (mut plugin, body) = (plugin(), lossy(&[ROWS]));
    let mut first = plugin.post("/v1/messages", &[], &body);
    store(&mut first);
    first.finish();
    let next = lossy(&[ROWS, ROWS + 1]);
    let mut second = plugin.post("/v1/messages", &[], &next);
    let carried = store(&mut second).originals;
    assert_eq!(carried.len(), 1, "only the new one");
    assert_eq!(second.sent_body, reversible(&next, 2));
    second.finish();
    let third = plugin.post("/v1/messages", &[], &next);
    assert_eq!((third.paused(), admits().len()), (false, 2));
    assert_eq!(third.sent_body, reversible(&next, 2));
    third.finish();
    // Another tenant's store is another one.
    let other = plugin.post("/v1/messages", &[("x-headroom-user-id", "other")], &body);
    assert!(other.paused());
    other.finish();
}

#[test]
fn without_the_switch_or_a_sidecar_or_tools_nothing_is_left_out_and_nobody_is_asked() {
    let body = lossy(&[ROWS]);
    for configuration in [
        json!({"control_plane": {"cluster": "c"}}),
        json!({"reversible": true}),
        json!({"reversible": true, "profile": "lossless", "control_plane": {"cluster": "c"}}),
        json!({"reversible": true, "retrieve_tool": "require", "control_plane": {"cluster": "c"}}),
    ] {
        let mut plugin = Plugin::new(configuration.clone());
        let stream = plugin.post("/v1/messages", &[], &body);
        assert_eq!((stream.paused(), admits().len()), (false, 0), "{configuration}");
        assert!(!String::from_utf8_lossy(&stream.sent_body).contains("headroom_retrieve"), "{configuration}");
        stream.finish();
        plugin.delete();
    }
    let mut plugin = plugin();
    let stream = plugin.post("/v1/messages", &[], &compressible());
    assert_eq!((stream.sent_body.clone(), admits().len()), (compressed(&compressible()), 0));
    stream.finish();
    let array = plugin.post(
        "/v1beta/models/g:streamGenerateContent",
        &[],
        br#"{"contents":[{"parts":[{"text":"x"}]}],"tools":[{"functionDeclarations":[{"name":"a"}]}]}"#,
    );
    assert!(!String::from_utf8_lossy(&array.sent_body).contains("headroom_retrieve"));
}

#[test]
fn an_audited_request_stores_nothing_and_gets_no_tool() {
    let mut configuration = configuration();
    configuration["mode"] = "audit".into();
    let (mut plugin, body) = (Plugin::new(configuration), lossy(&[ROWS]));
    let stream = plugin.post("/v1/messages", &[], &body);
    assert_eq!((stream.sent_body.clone(), admits().len()), (body, 0));
}

#[test]
fn whatever_the_sidecar_answers_but_yes_makes_the_request_leave_lossless() {
    let body = lossy(&[ROWS]);
    let answers: [Option<Vec<u8>>; 5] = [
        None,
        Some(b"\xff\xff".to_vec()),
        Some(Vec::new()),
        Some(acknowledgement(vec![], "e")),
        Some(acknowledgement(vec!["0123456789abcdef01234567".to_owned()], "e")),
    ];
    for answer in answers {
        let mut plugin = plugin();
        let mut stream = plugin.post("/v1/messages", &[], &body);
        let token = admits().pop().unwrap().0;
        stream.sidecar_answers(token + 7, Some(&[]));
        assert!(stream.paused(), "an answer to some other call");
        let before = metric("headroom.lossless_fallbacks");
        stream.sidecar_answers(token, answer.as_deref());
        assert!(!stream.paused(), "{answer:?}");
        assert_eq!(stream.sent_body, reversible(&body, 0), "{answer:?}");
        assert_eq!(metric("headroom.lossless_fallbacks"), before + 1, "{answer:?}");
        stream.sidecar_answers(token, answer.as_deref());
        stream.finish();
        plugin.delete();
    }
}

#[test]
fn blocks_before_the_one_that_is_not_stored_keep_their_form() {
    let mut plugin = plugin();
    let mut first = plugin.post("/v1/messages", &[], &lossy(&[ROWS]));
    store(&mut first);
    first.finish();
    let body = lossy(&[ROWS, ROWS + 1, ROWS + 2]);
    let mut second = plugin.post("/v1/messages", &[], &body);
    let (token, request) = admits().pop().unwrap();
    let last = request.originals[1].hash.clone();
    second.sidecar_answers(token, Some(&acknowledgement(vec![last], "e")));
    assert_eq!(second.sent_body, reversible(&body, 1));
    assert_eq!(metric("headroom.admits_incomplete"), 1);
}

#[test]
fn a_new_epoch_forgets_what_was_stored() {
    let (mut plugin, body) = (plugin(), lossy(&[ROWS]));
    let mut first = plugin.post("/v1/messages", &[], &body);
    store(&mut first);
    first.finish();
    plugin.tick_after(2000);
    plugin.answer(
        &ReportResponse { acknowledged_sequence: 1, epoch: "f".to_owned(), ..ReportResponse::default() }
            .encode_to_vec(),
    );
    let second = plugin.post("/v1/messages", &[], &body);
    assert!(second.paused());
    assert_eq!(admits().pop().unwrap().1.originals.len(), 1);
}

#[test]
fn after_a_silence_the_epoch_is_asked_for_without_sending_anything_again() {
    for (epoch, lossy_blocks) in [("e", 1), ("f", 0)] {
        let (mut plugin, body) = (plugin(), lossy(&[ROWS]));
        let mut first = plugin.post("/v1/messages", &[], &body);
        store(&mut first);
        first.finish();
        host(|host| host.now += 60_000_000_000);
        let mut second = plugin.post("/v1/messages", &[], &body);
        assert!(second.paused());
        let (token, request) = admits().pop().unwrap();
        assert!(request.originals.is_empty());
        second.sidecar_answers(token, Some(&acknowledgement(vec![], epoch)));
        assert_eq!(second.sent_body, reversible(&body, lossy_blocks), "{epoch}");
        second.finish();
        plugin.delete();
    }
}

#[test]
fn a_dead_sidecar_is_left_alone_for_a_while() {
    let (mut plugin, body) = (plugin(), lossy(&[ROWS]));
    let mut asked = Vec::new();
    for _ in 0..6 {
        let mut stream = plugin.post("/v1/messages", &[], &body);
        asked.push(stream.paused());
        if stream.paused() {
            let token = admits().pop().unwrap().0;
            stream.sidecar_answers(token, None);
        }
        assert_eq!(stream.sent_body, reversible(&body, 0));
        stream.finish();
    }
    assert_eq!(asked, [true, true, true, false, false, false]);
    assert_eq!((metric("headroom.admits_failed"), metric("headroom.admits_skipped")), (3, 3));
    host(|host| host.now += 1_500_000_000);
    let mut trial = plugin.post("/v1/messages", &[], &body);
    assert!(trial.paused());
    store(&mut trial);
    assert_eq!(trial.sent_body, reversible(&body, 1));
}

#[test]
fn the_record_says_what_became_of_the_originals() {
    use AdmissionOutcome::{Acknowledged, Breaker, Error, Incomplete, Stored, Timeout};

    let (mut plugin, body) = (plugin(), lossy(&[ROWS]));
    let mut exchange = |later_ms: u64, answer: &dyn Fn(&mut Stream, u32)| {
        let mut stream = plugin.post("/v1/messages", &[], &body);
        host(|host| host.now += later_ms * 1_000_000);
        if stream.paused() {
            let token = admits().pop().unwrap().0;
            answer(&mut stream, token);
        }
        stream.finish();
    };
    exchange(1, &|stream, token| stream.sidecar_answers(token, Some(&acknowledgement(vec![], "e"))));
    exchange(1, &|stream, _| _ = store(stream));
    exchange(1, &|_, _| panic!("asked again"));
    host(|host| host.now += 60_000_000_000);
    exchange(2, &|stream, token| stream.sidecar_answers(token, None));
    exchange(49, &|stream, token| stream.sidecar_answers(token, None));
    exchange(50, &|stream, token| stream.sidecar_answers(token, None));
    exchange(0, &|_, _| panic!("it is left alone"));
    let nothing_to_store = plugin.post("/v1/messages", &[], &compressible());
    nothing_to_store.finish();
    let outcomes: Vec<_> = plugin.records().iter().map(|record| record.admission()).collect();
    let nothing = AdmissionOutcome::Unspecified;
    assert_eq!(outcomes, [Incomplete, Stored, Acknowledged, Error, Timeout, Timeout, Breaker, nothing]);
    assert_eq!((metric("headroom.admissions.timeout"), metric("headroom.admissions.breaker")), (2, 1));
}

#[test]
fn a_client_that_leaves_while_its_originals_are_stored_is_forgotten() {
    let (mut plugin, body) = (plugin(), lossy(&[ROWS]));
    let mut stream = plugin.post("/v1/messages", &[], &body);
    let token = admits().pop().unwrap().0;
    assert!(exports::proxy_on_done(stream.context));
    stream.sidecar_answers(token, Some(&acknowledgement(vec![], "e")));
    exports::proxy_on_delete(stream.context);
    stream.sidecar_answers(token, None);
    assert!(stream.sent_body.is_empty());
    assert_eq!(metric("headroom.requests.aborted"), 1);
}

#[test]
fn a_body_that_ends_with_trailers_waits_there() {
    let (mut plugin, body) = (plugin(), lossy(&[ROWS]));
    let mut stream = plugin.stream();
    stream.headers("POST", "/v1/messages", &[], false);
    stream.body(&body, false);
    stream.trailers();
    assert_eq!(stream.actions.last(), Some(&Action::Pause));
    store(&mut stream);
    assert_eq!(stream.sent_body, reversible(&body, 1));
}

#[test]
fn headers_that_are_held_leave_with_the_length_of_what_leaves() {
    for stored in [true, false] {
        let mut configuration = configuration();
        configuration["body_mode"] = "hold".into();
        let (mut plugin, body) = (Plugin::new(configuration), lossy(&[ROWS]));
        let mut stream = plugin.post("/v1/messages", &[], &body);
        assert!(stream.paused() && stream.sent_headers.is_none());
        if stored {
            store(&mut stream);
        } else {
            let token = admits().pop().unwrap().0;
            stream.sidecar_answers(token, None);
        }
        assert_eq!(stream.sent_body, reversible(&body, usize::from(stored)));
        assert_eq!(stream.sent_header("content-length"), Some(stream.sent_body.len().to_string()));
        stream.finish();
        plugin.delete();
    }
}

#[test]
fn an_answer_that_the_host_has_lost_is_not_waited_for_for_ever() {
    let (mut plugin, body) = (plugin(), lossy(&[ROWS]));
    let mut stream = plugin.post("/v1/messages", &[], &body);
    plugin.tick_after(900);
    stream.look();
    assert!(stream.paused());
    plugin.tick_after(200);
    stream.look();
    assert!(!stream.paused());
    assert_eq!(stream.sent_body, reversible(&body, 0));
}

#[test]
fn a_call_that_the_host_refuses_makes_the_request_leave_lossless() {
    let body = lossy(&[ROWS]);
    for status in 1..=14 {
        let mut plugin = plugin();
        let refusal = Refusal { call: "grpc_call", status, after: 0 };
        let stream = refusing(refusal, || plugin.post("/v1/messages", &[], &body));
        assert!(!stream.paused(), "{status}");
        assert_eq!(stream.sent_body, reversible(&body, 0), "{status}");
        stream.finish();
        plugin.delete();
    }
}

#[test]
fn a_refusal_while_the_answer_is_taken_leaves_the_request_whole() {
    let body = lossy(&[ROWS]);
    for call in ["get_buffer", "set_buffer", "replace_header", "set_property", "get_current_time"] {
        for status in 1..=14 {
            for answer in [true, false] {
                let mut plugin = plugin();
                let mut stream = plugin.post("/v1/messages", &[], &body);
                refusing(Refusal { call, status, after: 0 }, || {
                    if answer {
                        store(&mut stream);
                    } else {
                        let token = admits().pop().unwrap().0;
                        stream.sidecar_answers(token, None);
                    }
                });
                assert!(!stream.paused(), "{call} {status} {answer}");
                let forms = [body.clone(), reversible(&body, 0), reversible(&body, 1)];
                assert!(forms.contains(&stream.sent_body), "{call} {status} {answer}");
                assert!(answer || stream.sent_body != forms[2], "{call} {status}: lossy without an answer");
                stream.finish();
                plugin.delete();
            }
        }
    }
}
