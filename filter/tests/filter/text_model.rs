//! Prose that a text model shortens: what the sidecar is asked, and what becomes of a conversation whatever it says.

use headroom_api::v1::{DecideRequest, DecideResponse, TextDecision, TextModelRecord, TextOutput};
use headroom_compress::{address, append_marker};
use prost::Message;
use serde_json::{Value, json};

use crate::host::{GrpcCall, Refusal, host, metric, refusing, statuses};
use crate::proxy::{Plugin, Stream, calls};
use crate::retrieving::{last_call, message};

fn settings() -> Value {
    json!({"reversible": true, "tenant": "t", "control_plane": {"cluster": "c"},
        "text_model": {"mode": "on", "min_tokens": 100, "timeout_ms": 3000}})
}

fn plugin() -> Plugin {
    Plugin::new(settings())
}

/// A page without a pattern that a form could shorten.
fn page(seed: usize) -> String {
    let mut state = seed as u64 * 2_654_435_761 + 12_345;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("w{:05}", state >> 44)
    };
    (0..8).map(|_| (0..8).map(|_| word()).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n")
}

fn form(text: &str) -> String {
    let mut form: String = text.split(' ').take(9).collect::<Vec<_>>().join(" ");
    append_marker(&mut form, "words \"left out\"", &address(text));
    form
}

/// A conversation in which these pages were fetched, one a turn.
fn body(pages: &[usize]) -> Value {
    let mut messages = vec![json!({"role": "user", "content": "What do the pages say?"})];
    for page in pages {
        let id = format!("t{page}");
        messages.push(json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "fetch", "input": {}}]}));
        messages.push(json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": self::page(*page)}]}));
    }
    json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "tools": [{"name": "fetch", "input_schema": {"type": "object"}}], "messages": messages})
}

fn ask(plugin: &mut Plugin, body: &Value) -> Stream {
    plugin.post("/v1/messages", &[("x-api-key", "k")], body.to_string().as_bytes())
}

fn asked() -> (GrpcCall, DecideRequest) {
    let call = calls("Decide").pop().expect("a question");
    let request = DecideRequest::decode(&*call.message).unwrap();
    (call, request)
}

fn new(page: usize) -> TextOutput {
    let text = self::page(page);
    TextOutput { hash: address(&text), text: Some(text), unanswered: false }
}

fn old(page: usize) -> TextOutput {
    TextOutput { text: None, ..new(page) }
}

fn unanswered(page: usize) -> TextOutput {
    TextOutput { unanswered: true, ..old(page) }
}

fn shortened(page: usize) -> TextDecision {
    let text = self::page(page);
    TextDecision { hash: address(&text), form: Some(form(&text)) }
}

fn plain(page: usize) -> TextDecision {
    TextDecision { form: None, ..shortened(page) }
}

fn says(stream: &mut Stream, decisions: Vec<TextDecision>) {
    stream.sidecar_answers(asked().0.token, Some(&DecideResponse { decisions }.encode_to_vec()));
}

/// The pages as they were forwarded.
fn sent(stream: &Stream) -> Vec<String> {
    let sent: Value = serde_json::from_slice(&stream.sent_body).unwrap();
    let results =
        sent["messages"].as_array().unwrap().iter().filter_map(|it| it["content"][0]["content"].as_str());
    results.map(str::to_owned).collect()
}

fn record(plugin: &Plugin) -> TextModelRecord {
    plugin.records().pop().expect("a record").text_model.unwrap_or_default()
}

fn counts(shortened: u32, plain: u32, unanswered: u32) -> TextModelRecord {
    TextModelRecord { shortened, plain, unanswered }
}

#[test]
fn a_page_is_asked_about_once_and_every_later_request_sends_the_same() {
    let mut first_vm = plugin();
    let mut stream = ask(&mut first_vm, &body(&[1]));
    assert!(stream.paused());
    let (call, request) = asked();
    let id = request.request_id.clone();
    let expected = DecideRequest {
        tenant: "t".to_owned(),
        request_id: id.clone(),
        wait_ms: 3_000,
        outputs: vec![new(1)],
    };
    assert_eq!((call.timeout_ms, id.len(), request), (3_000, 27, expected));
    host(|host| host.now += 1_500_000_000);
    says(&mut stream, vec![shortened(1)]);
    assert!(!stream.paused());
    assert_eq!(sent(&stream), [form(&page(1))]);
    let first = stream.sent_body.clone();
    stream.finish();
    let record = first_vm.records().pop().unwrap();
    assert_eq!(record.text_model, Some(counts(1, 0, 0)));
    let block = &record.blocks[0];
    assert_eq!((block.outcome.as_str(), block.lossy), ("llmlingua", true));
    let tokens = record.tokens.unwrap();
    assert!(
        block.tokens_after * 2 < block.tokens_before
            && tokens.tool_outputs_after * 2 < tokens.tool_outputs_before
    );
    let timings = record.timings.unwrap();
    assert!((1_500_000..1_600_000).contains(&timings.text_model_us), "{timings:?}");

    let mut stream = ask(&mut first_vm, &body(&[1, 2]));
    assert_eq!(asked().1.outputs, [new(2)], "the VM knows the other");
    says(&mut stream, vec![plain(2)]);
    assert_eq!(sent(&stream), [form(&page(1)), page(2)]);
    let first = String::from_utf8(first).unwrap();
    let (beginning, _) = first.split_once("],\"model\"").unwrap();
    assert!(String::from_utf8_lossy(&stream.sent_body).starts_with(beginning), "{beginning}");
    stream.finish();
    first_vm.delete();

    let mut second_vm = plugin();
    let mut stream = ask(&mut second_vm, &body(&[1, 2, 3]));
    assert_eq!(asked().1.outputs, [old(1), old(2), new(3)], "old texts are not sent again");
    says(&mut stream, vec![shortened(3), plain(2), shortened(1), shortened(4)]);
    assert_eq!(sent(&stream), [form(&page(1)), page(2), form(&page(3))]);
    stream.finish();
    let again = ask(&mut second_vm, &body(&[1, 2, 3]));
    assert!(!again.paused());
    assert_eq!(sent(&again), [form(&page(1)), page(2), form(&page(3))]);
    again.finish();
    let counted = |word: &str| metric(&format!("headroom.text_model.{word}"));
    assert_eq!((counted("shortened"), counted("plain"), counted("unanswered")), (6, 3, 0));
}

#[test]
fn the_model_gets_a_page_back_from_the_request() {
    let mut plugin = plugin();
    let mut stream = ask(&mut plugin, &body(&[1]));
    says(&mut stream, vec![shortened(1)]);
    assert!(String::from_utf8_lossy(&stream.sent_body).contains(r#""name":"headroom_retrieve""#));
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "headroom_retrieve", "input": {"hash": address(&page(1))}});
    stream.respond("200", "application/json", &[]);
    stream.provider_sends(message(json!([call]), "tool_use").as_bytes(), true);
    let body: Value = serde_json::from_slice(&last_call().body).unwrap();
    let messages = body["messages"].as_array().unwrap();
    assert_eq!(messages[2]["content"][0]["content"], json!(form(&page(1))));
    let given = &messages.last().unwrap()["content"][0]["content"];
    assert!(given.to_string().contains(json!(page(1)).to_string().trim_matches('"')), "{given}");
    assert!(calls("Retrieve").is_empty());
}

#[test]
fn nothing_is_asked_where_reasoning_may_be_bound_or_nothing_may_change() {
    let page = body(&[1]);
    let with = |key: &str, value: Value| {
        let mut body = page.clone();
        body[key] = value;
        body
    };
    let mut thought = page.clone();
    let block = json!({"type": "thinking", "thinking": "x", "signature": "s"});
    thought["messages"][1]["content"].as_array_mut().unwrap().insert(0, block);
    for body in [with("thinking", json!({"type": "adaptive"})), thought] {
        let mut plugin = plugin();
        // even where the VM knows a form
        let mut plain = ask(&mut plugin, &page);
        says(&mut plain, vec![shortened(1)]);
        plain.finish();
        let stream = ask(&mut plugin, &body);
        assert!(!stream.paused());
        assert_eq!((sent(&stream), calls("Decide").len()), (vec![self::page(1)], 1), "{body}");
        stream.finish();
        assert_eq!(record(&plugin), counts(0, 0, 0));
        host(|host| host.grpc_calls.clear());
        plugin.delete();
    }
    let changed = |key: &str, value: Value| {
        let mut settings = settings();
        settings[key] = value;
        settings
    };
    for settings in [
        changed("mode", json!("audit")),
        changed("mode", json!("simulate")),
        changed("mode", json!("off")),
        changed("reversible", json!(false)),
        changed("profile", json!("lossless")),
        changed("control_plane", json!({})),
        changed("text_model", json!({})),
        changed("text_model", json!({"mode": "yes"})),
        changed("rules", json!([{"path": "/v1/*", "text_model": "off"}])),
        changed("tools", json!([{"tool": "fetch", "policy": "lossless"}])),
        changed("kinds", json!({"text": "off"})),
    ] {
        let mut plugin = Plugin::new(settings.clone());
        let stream = ask(&mut plugin, &page);
        assert!(!stream.paused() && calls("Decide").is_empty(), "{settings}");
        assert_eq!(sent(&stream), [self::page(1)]);
        plugin.delete();
    }
    let mut counting = plugin();
    let stream =
        counting.post("/v1/messages/count_tokens", &[("x-api-key", "k")], page.to_string().as_bytes());
    assert!(!stream.paused() && calls("Decide").is_empty(), "nobody waits to count tokens");
    let mut by_rule = Plugin::new(changed("text_model", json!({"min_tokens": 100})));
    assert!(!ask(&mut by_rule, &page).paused());
    let mut rule = changed("text_model", json!({"min_tokens": 100}));
    rule["rules"] = json!([{"path": "/v1/*", "text_model": "on"}]);
    assert!(ask(&mut Plugin::new(rule), &page).paused());
}

#[test]
fn whatever_becomes_of_the_sidecar_a_new_page_goes_as_it_is_for_good() {
    let answer = |decisions| DecideResponse { decisions }.encode_to_vec();
    let whole = answer(vec![shortened(1)]);
    let other = answer(vec![shortened(2), TextDecision::default()]);
    // A form that is not UTF-8: the last bytes of the message are its.
    let mut spoilt = whole.clone();
    *spoilt.last_mut().unwrap() = 0xff;
    let cases: [Option<&[u8]>; 6] =
        [None, Some(b""), Some(b"nonsense"), Some(&whole[..whole.len() - 3]), Some(&spoilt), Some(&other)];
    for case in cases {
        let mut plugin = plugin();
        let mut stream = ask(&mut plugin, &body(&[1]));
        let (call, request) = asked();
        stream.sidecar_answers(call.token, case);
        assert!(!stream.paused());
        assert_eq!(sent(&stream), [page(1)], "{case:?}");
        let (told, note) = asked();
        assert_ne!(told.token, call.token);
        assert_eq!((note.outputs, note.request_id), (vec![unanswered(1)], request.request_id), "{case:?}");
        stream.finish();
        assert_eq!(record(&plugin), counts(0, 0, 1));
        // Later, when it would answer again.
        plugin.tick_after(60_000);
        let stream = ask(&mut plugin, &body(&[1]));
        assert!(!stream.paused());
        assert_eq!(sent(&stream), [page(1)]);
        // What comes late is for nobody.
        plugin.delete();
    }
    assert_eq!(metric("headroom.text_model.shortened"), 0);
}

#[test]
fn a_form_that_cannot_stand_for_its_page_does_not() {
    let marked = |text: &str, hash: &str| {
        let mut form = text.to_owned();
        append_marker(&mut form, "nothing", hash);
        Some(form)
    };
    let hash = address(&page(1));
    for form in [
        Some(String::new()),
        Some("no marker".to_owned()),
        marked("another's", &address("another")),
        marked(&page(1), &hash),
        marked(&"huge ".repeat(600_000), &hash),
    ] {
        let mut plugin = plugin();
        let mut stream = ask(&mut plugin, &body(&[1]));
        says(&mut stream, vec![TextDecision { hash: hash.clone(), form }]);
        assert_eq!(sent(&stream), [page(1)]);
        stream.finish();
        assert_eq!(record(&plugin), counts(0, 1, 0), "it says the same to everybody, so this is decided");
        assert_eq!(sent(&ask(&mut plugin, &body(&[1]))), [page(1)]);
        plugin.delete();
    }
}

#[test]
fn after_a_question_without_an_answer_new_pages_go_at_once_and_old_ones_are_looked_up() {
    let mut plugin = plugin();
    let mut stream = ask(&mut plugin, &body(&[1]));
    stream.sidecar_answers(asked().0.token, None);
    stream.finish();
    let questions = calls("Decide").len();
    let stream = ask(&mut plugin, &body(&[1, 2]));
    assert!(!stream.paused() && calls("Decide").len() == questions);
    stream.finish();
    let mut stream = ask(&mut plugin, &body(&[5, 6]));
    assert_eq!(asked().1.outputs, [old(5)], "its provider may have seen another form");
    says(&mut stream, vec![shortened(5)]);
    assert_eq!(sent(&stream), [form(&page(5)), page(6)]);
    stream.finish();
    // An old one that nobody can say anything of is asked about again.
    let mut stream = ask(&mut plugin, &body(&[7, 1]));
    stream.sidecar_answers(asked().0.token, None);
    assert_eq!(sent(&stream), [page(7), page(1)]);
    assert_eq!(asked().1.outputs, [old(7)], "nobody is told of one that was not new");
    stream.finish();
    let mut stream = ask(&mut plugin, &body(&[7, 1]));
    says(&mut stream, vec![shortened(7)]);
    assert_eq!(sent(&stream), [form(&page(7)), page(1)]);
    stream.finish();
    let counted = |word: &str| metric(&format!("headroom.text_model.{word}"));
    assert_eq!((counted("shortened"), counted("plain"), counted("unanswered")), (2, 3, 4));
    plugin.tick_after(10_000);
    assert!(ask(&mut plugin, &body(&[8])).paused());
}

#[test]
fn a_host_that_lets_nobody_ask_or_change_the_body_forwards_it() {
    for (call, status) in
        statuses("grpc_call").into_iter().map(|status| ("grpc_call", status)).chain([("set_buffer", 2)])
    {
        let mut plugin = plugin();
        let refusal = Refusal { call, status, after: 0 };
        let stream = refusing(refusal, || {
            let mut stream = ask(&mut plugin, &body(&[1]));
            if stream.paused() {
                says(&mut stream, vec![shortened(1)]);
            }
            stream
        });
        assert!(!stream.paused(), "{call}");
        assert_eq!(sent(&stream), [page(1)], "{call} {status}");
        plugin.delete();
    }
}

#[test]
fn a_question_that_nobody_answers_is_given_up() {
    let mut plugin = plugin();
    let mut stream = ask(&mut plugin, &body(&[1]));
    plugin.tick_after(4_900);
    stream.look();
    assert!(stream.paused());
    plugin.tick_after(200);
    stream.look();
    assert!(!stream.paused());
    assert_eq!(sent(&stream), [page(1)]);
}

#[test]
fn no_tenant_gets_what_was_decided_for_another() {
    let mut settings = settings();
    settings["tenant_from"] = json!("client");
    let mut plugin = Plugin::new(settings);
    for tenant in ["acme", "globex"] {
        let headers = [("x-api-key", "k"), ("x-headroom-user-id", tenant)];
        let mut stream = plugin.post("/v1/messages", &headers, body(&[1]).to_string().as_bytes());
        assert!(stream.paused(), "{tenant} is asked for");
        assert_eq!(asked().1.tenant, tenant);
        says(&mut stream, vec![shortened(1)]);
        stream.finish();
    }
}

#[test]
fn a_question_is_bounded_however_long_a_conversation_is() {
    let mut many = body(&[]);
    let messages = many["messages"].as_array_mut().unwrap();
    let calls: Vec<Value> = (0..1_200)
        .map(|n| json!({"type": "tool_use", "id": format!("t{n}"), "name": "fetch", "input": {}}))
        .collect();
    let results: Vec<Value> = (0..1_200)
        .map(|n| json!({"type": "tool_result", "tool_use_id": format!("t{n}"), "content": page(n)}))
        .collect();
    messages.push(json!({"role": "assistant", "content": calls}));
    messages.push(json!({"role": "user", "content": results}));
    let mut plugin = plugin();
    let stream = ask(&mut plugin, &many);
    while !stream.paused() || self::calls("Decide").is_empty() {
        plugin.tick_after(1);
    }
    let (call, request) = asked();
    assert_eq!(request.outputs.len(), 1_024);
    let texts: usize = request.outputs.iter().filter_map(|it| it.text.as_ref()).map(String::len).sum();
    assert!((200 << 10..=256 << 10).contains(&texts) && call.message.len() < 512 << 10, "{texts}");
    drop(stream);
}
