//! Facts at the beginning of a conversation: what the sidecar is asked, and where its answer stands in every request.

use headroom_api::v1::{MemoryContext, MemoryContextRequest, MemoryContextResponse};
use prost::Message;
use serde_json::{Value, json};

use crate::host::{GrpcCall, Refusal, host, metric, refusing};
use crate::proxy::{Plugin, Stream, calls};

const NOTES: &str = "Notes, quoted as data.\n- \"port \\\"8787\\\"\" (project)\n";
const FOLDER: &str = "You are an agent.\nWorking directory: /src/shop";

fn plugin() -> Plugin {
    Plugin::new(json!({"memory_context": true, "tenant": "t", "control_plane": {"cluster": "c"}}))
}

fn question() -> Value {
    json!({"role": "user", "content": "Which port?"})
}

fn said() -> [Value; 2] {
    [json!({"role": "assistant", "content": "8787."}), json!({"role": "user", "content": "Thanks."})]
}

fn body(messages: &[Value]) -> Value {
    json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "system": FOLDER, "messages": messages})
}

fn ask(plugin: &mut Plugin, body: &Value) -> Stream {
    plugin.post("/v1/messages", &[("x-api-key", "k")], body.to_string().as_bytes())
}

fn asked() -> (GrpcCall, MemoryContextRequest) {
    let call = calls("Context").pop().expect("a question");
    let request = MemoryContextRequest::decode(&*call.message).unwrap();
    (call, request)
}

fn says(stream: &mut Stream, text: &str) {
    let answer = MemoryContextResponse { text: text.to_owned(), decided: true };
    stream.sidecar_answers(asked().0.token, Some(&answer.encode_to_vec()));
}

/// The call fails, and so does the one that follows.
fn fails(stream: &mut Stream) {
    for _ in 0..2 {
        assert!(stream.paused());
        stream.sidecar_answers(asked().0.token, None);
    }
    assert!(!stream.paused());
}

fn first_message(stream: &Stream) -> Value {
    let sent: Value = serde_json::from_slice(&stream.sent_body).unwrap();
    sent["messages"][0]["content"].clone()
}

fn context(plugin: &Plugin) -> MemoryContext {
    plugin.records().pop().expect("a record").memory_context()
}

#[test]
fn the_first_message_ends_with_the_notes_in_every_request_of_the_conversation() {
    let mut first_vm = plugin();
    let mut stream = ask(&mut first_vm, &body(&[question()]));
    assert!(stream.paused());
    let (call, request) = asked();
    assert_eq!(call.timeout_ms, 2_000);
    let expected = MemoryContextRequest {
        tenant: "t".to_owned(),
        folder: "/src/shop".to_owned(),
        conversation: request.conversation.clone(),
        begins: true,
        question: "Which port?".to_owned(),
        request_id: request.request_id.clone(),
        wait_ms: 2_000,
        ..MemoryContextRequest::default()
    };
    assert_eq!(request, expected);
    assert_eq!((request.conversation.len(), request.request_id.len()), (24, 27));
    says(&mut stream, NOTES);
    assert!(!stream.paused());
    let whole = json!(format!("Which port?\n\n{}", NOTES.trim_end()));
    assert_eq!(first_message(&stream), whole);
    let sent = stream.sent_body.clone();
    stream.finish();
    assert_eq!(context(&first_vm), MemoryContext::Added);

    let later = body(&[&[question()][..], &said()].concat());
    let stream = ask(&mut first_vm, &later);
    assert!(!stream.paused(), "the VM knows it");
    assert_eq!(first_message(&stream), whole);
    stream.finish();
    assert_eq!(calls("Context").len(), 1);
    first_vm.delete();

    let mut second_vm = plugin();
    let mut stream = ask(&mut second_vm, &later);
    let (_, again) = asked();
    assert_eq!(
        (again.conversation, again.begins, again.question),
        (request.conversation, false, String::new())
    );
    says(&mut stream, NOTES);
    assert_eq!(first_message(&stream), whole);
    let sent = String::from_utf8(sent).unwrap();
    let (beginning, _) = sent.split_once("],\"model\"").unwrap();
    assert!(String::from_utf8_lossy(&stream.sent_body).starts_with(beginning), "{beginning}");
    stream.finish();
    assert_eq!(metric("headroom.memory_context.added"), 3);
}

#[test]
fn what_begins_with_nothing_stays_so_and_is_not_changed() {
    let mut plugin = plugin();
    for messages in [vec![question()], [&[question()][..], &said()].concat()] {
        let body = body(&messages);
        let mut stream = ask(&mut plugin, &body);
        if stream.paused() {
            says(&mut stream, "");
        }
        assert_eq!(String::from_utf8_lossy(&stream.sent_body), body.to_string());
        stream.finish();
        assert_eq!(context(&plugin), MemoryContext::Nothing);
    }
    assert_eq!((calls("Context").len(), metric("headroom.memory_context.nothing")), (1, 2));
}

#[test]
fn a_conversation_that_has_begun_is_not_one_that_begins() {
    for messages in [
        [&[question()][..], &said()].concat(),
        vec![question(), json!({"role": "user", "content": "Well?"})],
        vec![question(), json!({"role": "assistant", "content": []})],
    ] {
        let mut plugin = plugin();
        let stream = ask(&mut plugin, &body(&messages));
        let (_, request) = asked();
        assert!(!request.begins && request.question.is_empty(), "{messages:?}");
        drop(stream);
    }
}

#[test]
fn nothing_is_asked_for_requests_that_may_reason_or_are_about_no_project() {
    let plain = body(&[question()]);
    let with = |key: &str, value: Value| {
        let mut body = plain.clone();
        body[key] = value;
        body
    };
    let thought =
        json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "s"}]});
    for body in [
        with("thinking", json!({"type": "adaptive"})),
        with("messages", json!([question(), thought, question()])),
        with("system", json!("You are an agent.")),
        with("thread", json!("t")),
    ] {
        let mut plugin = plugin();
        let stream = ask(&mut plugin, &body);
        assert!(!stream.paused() && calls("Context").is_empty(), "{body}");
        assert_eq!(String::from_utf8_lossy(&stream.sent_body), body.to_string());
        stream.finish();
        assert_eq!(context(&plugin), MemoryContext::Unspecified);
    }
    let mut off = Plugin::new(json!({"control_plane": {"cluster": "c"}}));
    assert!(!ask(&mut off, &plain).paused() && calls("Context").is_empty());
    let mut audit =
        Plugin::new(json!({"mode": "audit", "memory_context": true, "control_plane": {"cluster": "c"}}));
    assert!(!ask(&mut audit, &plain).paused() && calls("Context").is_empty());
}

#[test]
fn projects_that_begin_with_the_same_words_are_different_conversations() {
    let mut plugin = plugin();
    let mut seen = Vec::new();
    for project in ["a", "b"] {
        let headers = [("x-api-key", "k"), ("x-headroom-project", project)];
        let stream = plugin.post("/v1/messages", &headers, body(&[question()]).to_string().as_bytes());
        let (_, request) = asked();
        assert_eq!(request.project, project);
        seen.push(request.conversation);
        drop(stream);
    }
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn no_tenant_gets_what_the_same_words_of_another_begin_with() {
    let mut plugin = Plugin::new(
        json!({"memory_context": true, "tenant_from": "client", "control_plane": {"cluster": "c"}}),
    );
    let mut seen = Vec::new();
    for tenant in ["acme", "globex"] {
        let headers = [("x-api-key", "k"), ("x-headroom-user-id", tenant)];
        let mut stream = plugin.post("/v1/messages", &headers, body(&[question()]).to_string().as_bytes());
        assert!(stream.paused(), "{tenant} is asked for");
        let (_, request) = asked();
        assert_eq!(request.tenant, tenant);
        seen.push(request.conversation);
        says(&mut stream, &format!("Notes of {tenant}\n"));
        assert_eq!(first_message(&stream), format!("Which port?\n\nNotes of {tenant}"));
        stream.finish();
    }
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn another_worker_knows_that_a_conversation_began_with_nothing() {
    let mut first_vm = plugin();
    let mut stream = ask(&mut first_vm, &body(&[question()]));
    let (_, request) = asked();
    // headroomd records, and its answer and all later reports to it get lost
    fails(&mut stream);
    stream.finish();
    first_vm.end();

    let mut second_vm = plugin();
    let later = body(&[&[question()][..], &said()].concat());
    let stream = ask(&mut second_vm, &later);
    assert!(!stream.paused(), "nobody is asked for what was sent already");
    assert_eq!(String::from_utf8_lossy(&stream.sent_body), later.to_string());
    assert_eq!(asked().1.unanswered, request.request_id, "and headroomd is told again");
    stream.finish();
    assert_eq!(metric("headroom.memory_context.nothing"), 1);
    let other = body(&[json!({"role": "user", "content": "Which other port?"})]);
    assert!(ask(&mut second_vm, &other).paused(), "of other conversations nothing is known");
}

#[test]
fn whatever_becomes_of_the_sidecar_the_first_request_goes_without_and_so_do_all_others() {
    let answer =
        |text: &str, decided| MemoryContextResponse { text: text.to_owned(), decided }.encode_to_vec();
    let (huge, undecided, whole) =
        (answer(&"x".repeat(9_000), true), answer(NOTES, false), answer(NOTES, true));
    let cases: [Option<&[u8]>; 6] =
        [None, Some(b""), Some(b"nonsense"), Some(&whole[..whole.len() - 3]), Some(&huge), Some(&undecided)];
    for (number, case) in cases.into_iter().enumerate() {
        let mut plugin = plugin();
        // each conversation is another one, which no VM before this one knows
        let question = || json!({"role": "user", "content": format!("Which port of {number}?")});
        let first = body(&[question()]);
        let mut stream = ask(&mut plugin, &first);
        let (call, request) = asked();
        match case {
            Some(_) => stream.sidecar_answers(call.token, case),
            None => fails(&mut stream),
        }
        assert!(!stream.paused());
        assert_eq!(String::from_utf8_lossy(&stream.sent_body), first.to_string(), "{case:?}");
        let (_, given_back) = asked();
        assert_eq!(given_back.unanswered, request.request_id, "it is told at once that nothing was used");
        assert!(!given_back.begins);
        stream.finish();
        assert_eq!(context(&plugin), MemoryContext::Unanswered);

        for messages in [vec![question()], [&[question()][..], &said()].concat()] {
            let body = body(&messages);
            let stream = ask(&mut plugin, &body);
            assert!(!stream.paused(), "nobody waits any more");
            assert_eq!(String::from_utf8_lossy(&stream.sent_body), body.to_string());
            assert_eq!(asked().1.unanswered, request.request_id, "and told again");
            stream.finish();
        }
        plugin.delete();
    }
    let counted = |context: &str| metric(&format!("headroom.memory_context.{context}"));
    assert_eq!((counted("unanswered"), counted("nothing"), counted("added")), (6, 12, 0));
}

#[test]
fn after_a_question_without_an_answer_other_conversations_begin_with_nothing_for_a_while() {
    let mut plugin = plugin();
    let other = |words: &str| body(&[json!({"role": "user", "content": words})]);
    let mut stream = ask(&mut plugin, &body(&[question()]));
    fails(&mut stream);
    stream.finish();
    let stream = ask(&mut plugin, &other("at once"));
    assert!(!stream.paused());
    stream.finish();
    assert_eq!(context(&plugin), MemoryContext::Unanswered);
    plugin.tick_after(10_000);
    assert!(ask(&mut plugin, &other("later")).paused());
    let stream = ask(&mut plugin, &other("at once"));
    assert!(!stream.paused(), "what began with nothing goes on with nothing");
}

#[test]
fn a_call_that_fails_is_made_again_and_one_that_takes_long_is_not() {
    let mut plugin = plugin();
    let mut stream = ask(&mut plugin, &body(&[question()]));
    stream.sidecar_answers(asked().0.token, None);
    assert!(stream.paused());
    says(&mut stream, NOTES);
    assert_ne!(first_message(&stream), question()["content"]);
    stream.finish();
    plugin.delete();

    let mut plugin = self::plugin();
    let mut stream = ask(&mut plugin, &body(&[json!({"role": "user", "content": "slow"})]));
    let (call, _) = asked();
    host(|host| host.now += 1_500_000_000);
    stream.sidecar_answers(call.token, None);
    assert!(!stream.paused());
    stream.finish();
    let timings = plugin.records().pop().unwrap().timings.unwrap();
    assert!((1_500_000..1_600_000).contains(&timings.memory_context_us), "{timings:?}");
    assert_eq!(timings.admit_us, 0);
}

#[test]
fn a_conversation_that_has_begun_waits_until_a_replica_can_be_reached() {
    let mut plugin = plugin();
    let later = body(&[&[question()][..], &said()].concat());
    let mut stream = ask(&mut plugin, &later);
    stream.sidecar_answers(asked().0.token, None);
    for made in 2..6 {
        stream.sidecar_answers(asked().0.token, None);
        assert!(stream.paused());
        plugin.tick_after(40);
        assert_eq!(calls("Context").len(), made);
        plugin.tick_after(50);
        assert_eq!(calls("Context").len(), made + 1);
    }
    says(&mut stream, NOTES);
    assert!(!stream.paused());
    assert_ne!(first_message(&stream), question()["content"]);
    stream.finish();
    assert_eq!((metric("headroom.memory_context.added"), calls("Context").len()), (1, 6));
}

#[test]
fn a_sidecar_that_is_silent_later_is_counted() {
    let mut plugin = plugin();
    let later = body(&[&[question()][..], &said()].concat());
    let mut stream = ask(&mut plugin, &later);
    let begun = host(|host| host.now);
    while stream.paused() {
        stream.sidecar_answers(asked().0.token, None);
        plugin.tick_after(100);
    }
    let waited = host(|host| host.now) - begun;
    assert!((900_000_000..1_300_000_000).contains(&waited), "{waited}");
    assert_eq!(String::from_utf8_lossy(&stream.sent_body), later.to_string());
    assert!(
        calls("Context")
            .iter()
            .all(|call| { MemoryContextRequest::decode(&*call.message).unwrap().unanswered.is_empty() }),
        "what is recorded stays"
    );
    stream.finish();
    assert_eq!(metric("headroom.memory_context.unanswered"), 1);
    let mut stream = ask(&mut plugin, &later);
    fails(&mut stream);
    stream.finish();
    let mut stream = ask(&mut plugin, &later);
    assert!(asked().1.unanswered.is_empty());
    says(&mut stream, NOTES);
    assert_ne!(first_message(&stream), question()["content"]);
}

#[test]
fn a_host_that_lets_nobody_ask_or_change_the_body_forwards_it() {
    for (call, status) in [("grpc_call", 10), ("set_buffer", 2)] {
        let mut plugin = plugin();
        let first = body(&[json!({"role": "user", "content": call})]);
        let refusal = Refusal { call, status, after: 0 };
        let stream = refusing(refusal, || {
            let mut stream = ask(&mut plugin, &first);
            if stream.paused() {
                says(&mut stream, NOTES);
            }
            stream
        });
        assert!(!stream.paused(), "{call}");
        assert_eq!(String::from_utf8_lossy(&stream.sent_body), first.to_string(), "{call}");
        stream.finish();
        assert_eq!(context(&plugin), MemoryContext::Unanswered, "{call}: the record says what was sent");
        plugin.delete();
    }
}

#[test]
fn notes_stand_in_the_same_place_however_a_message_is_spelled() {
    for (path, api, first) in [
        (
            "/v1/messages",
            "messages",
            json!([{"role": "user", "content": [
            {"type": "text", "text": "<system-reminder>\nWorking directory: /src/shop</system-reminder>"},
            {"type": "text", "text": "Which port?", "cache_control": {"type": "ephemeral"}}]}]),
        ),
        ("/v1/chat/completions", "messages", json!([{"role": "system", "content": FOLDER}, question()])),
        (
            "/v1/chat/completions",
            "messages",
            json!([{"role": "system", "content": FOLDER},
            {"role": "user", "content": [{"type": "text", "text": "Which port?"}, {"type": "image_url", "image_url": {"url": "x"}}]}]),
        ),
        (
            "/v1/responses",
            "input",
            json!([{"role": "system", "content": FOLDER},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Which port?"}]}]),
        ),
        ("/v1/responses", "input", json!("Which port?")),
        (
            "/v1beta/models/gemini-2.5-flash:generateContent",
            "contents",
            json!([{"role": "user", "parts": [{"text": "cwd: /src/shop"}, {"text": "Which port?"}]}]),
        ),
    ] {
        let mut plugin = plugin();
        let mut body = json!({api: first, "store": false, "instructions": FOLDER, "systemInstruction":
            {"parts": [{"text": FOLDER}]}, "generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}});
        if !path.contains("gemini") {
            body["model"] = json!("gpt-4.1");
        }
        let text = body.to_string();
        let mut stream = plugin.post(path, &[("authorization", "Bearer k")], text.as_bytes());
        assert_eq!(asked().1.question, "Which port?", "{path}");
        says(&mut stream, NOTES);
        let quoted = json!(format!("\n\n{}", NOTES.trim_end())).to_string();
        let inside = &quoted[1..quoted.len() - 1];
        let expected = text.replacen("Which port?", &format!("Which port?{inside}"), 1);
        assert_eq!(String::from_utf8_lossy(&stream.sent_body), expected, "{path}");
        stream.finish();
        plugin.delete();
    }
}
