//! Records on their way to the sidecar.

use headroom_api::v1::{ReportResponse, RequestOutcome, RequestRecord};
use prost::Message;
use serde_json::json;

use crate::host::{host, metric};
use crate::proxy::{Plugin, compressible};

const SMALL: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

fn request(plugin: &mut Plugin) {
    plugin.post("/v1/messages", &[], SMALL).finish();
}

fn sequences(plugin: &Plugin) -> Vec<u64> {
    plugin.reports().last().map_or(Vec::new(), |report| report.records.iter().map(|it| it.sequence).collect())
}

#[test]
fn a_record_tells_the_whole_story() {
    let body = compressible();
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.post("/v1/messages", &[("x-headroom-stack", "claude_code")], &body);
    stream.respond("200", "application/json; charset=utf-8", &[]);
    stream.respond_body(br#"{"usage":{"input_tokens":70,"output_tokens":3,"#, false);
    stream.respond_body(br#""cache_read_input_tokens":50,"cache_creation_input_tokens":4}}"#, true);
    let forwarded = stream.sent_body.len() as u64;
    stream.finish();

    let record = plugin.records().pop().unwrap();
    assert_eq!(record.sequence, 1);
    assert!(record.request_id.starts_with("hr_") && record.request_id.len() == 27, "{}", record.request_id);
    assert!(record.started_unix_ms >= 1_700_000_000_000);
    assert_eq!((record.provider.as_str(), record.api.as_str()), ("anthropic", "anthropic_messages"));
    assert_eq!(record.model, "claude-sonnet-4-5");
    assert_eq!(record.stack, "claude_code");
    assert_eq!(record.conversation_id.len(), 16);
    assert_eq!(record.turn_id.len(), 16);
    assert_eq!(record.outcome(), RequestOutcome::Compressed);
    let tokens = record.tokens.unwrap();
    assert!(tokens.after < tokens.before && tokens.tool_outputs_after < tokens.tool_outputs_before);
    assert_eq!((tokens.encoding.as_str(), tokens.estimate), ("o200k_base", true));
    // One output that is not JSON, and that the provider has not seen before.
    assert_eq!(tokens.tool_outputs_new_before, tokens.tool_outputs_before);
    assert_eq!(tokens.tool_outputs_new_after, tokens.tool_outputs_after);
    assert_eq!(tokens.tool_outputs_minified, tokens.tool_outputs_before);
    assert_eq!(tokens.tool_outputs_new_minified, tokens.tool_outputs_before);
    assert!(record.blocks[0].new);
    assert_eq!(record.blocks.len(), 1);
    assert_eq!(record.blocks[0].tool, "Read");
    assert!(record.blocks[0].tokens_after < record.blocks[0].tokens_before);
    assert_eq!(record.status, 200);
    assert_eq!((record.body_bytes_before, record.body_bytes_after), (body.len() as u64, forwarded));
    let usage = record.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (70, 3));
    assert_eq!((usage.cache_read_tokens, usage.cache_write_tokens), (50, 4));
    let timings = record.timings.unwrap();
    assert!(timings.parse_us > 0 && timings.compress_us >= timings.parse_us);
    assert!(timings.overhead_us >= timings.compress_us);
    assert!(timings.total_us >= timings.overhead_us + timings.first_byte_us);
}

#[test]
fn a_refused_or_unanswered_request_is_reported_too() {
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.post("/v1/messages", &[], SMALL);
    stream.respond("429", "application/json", &[]);
    stream.respond_body(br#"{"type":"error"}"#, true);
    stream.finish();
    request(&mut plugin);
    let records = plugin.records();
    assert_eq!(records.iter().map(|record| record.status).collect::<Vec<_>>(), [429, 0]);
    assert!(records.iter().all(|record| record.usage.is_none()));
}

#[test]
fn a_report_goes_to_the_configured_cluster_as_a_serialized_service() {
    let mut plugin = Plugin::reporting();
    assert_eq!(host(|host| host.tick_period), 50);
    request(&mut plugin);
    plugin.tick_after(1_000);
    let call = host(|host| host.grpc_calls[0].clone());
    assert_eq!(call.target, b"\x0a\x0d\x0a\x0bheadroom-cp\x0a\x0b\x12\x09headroomd");
    assert_eq!(call.method, "headroom.v1.ControlPlane/Report");
    assert_eq!(call.timeout_ms, 2_000);
    let report = plugin.reports().remove(0);
    assert_eq!(report.vm_id.len(), 32);
    assert_eq!(report.filter_version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn reports_are_rarer_than_ticks_and_hold_every_request_that_has_ended_in_order() {
    let mut plugin = Plugin::reporting();
    for _ in 0..40 {
        request(&mut plugin);
        plugin.post("/v1/messages", &[("x-headroom-bypass", "true")], SMALL).finish();
        // Slightly uneven, as a host's ticks are.
        plugin.tick_after(47);
        if let Some(last) = sequences(&plugin).last() {
            plugin.acknowledge(*last);
        }
    }
    let reports = plugin.reports();
    assert_eq!(reports.len(), 2, "within less than two seconds, the first at once");
    let records: Vec<_> = reports.into_iter().flat_map(|report| report.records).collect();
    assert!(records.len() > 30, "{}", records.len());
    for (record, sequence) in records.iter().zip(1..) {
        assert_eq!(record.sequence, sequence);
        assert_eq!(record.outcome() == RequestOutcome::Bypassed, sequence % 2 == 0, "{sequence}");
        assert_eq!(record.turn_id.is_empty(), sequence % 2 == 0, "{sequence}");
    }
}

#[test]
fn a_tick_finds_the_same_before_and_after_the_end_of_a_request() {
    let body = compressible();
    let mut plugin = Plugin::reporting();
    let stream = plugin.post("/v1/messages", &[], &body);
    plugin.tick_after(50);
    plugin.acknowledge(0);
    stream.finish();
    plugin.post("/v1/messages", &[], &body).finish();
    let records = plugin.records();
    let [before, after] = &records[..] else { panic!("{} records", records.len()) };
    assert!(!before.turn_id.is_empty());
    assert_eq!(before.turn_id, after.turn_id);
    let minified = |record: &RequestRecord| {
        let tokens = record.tokens.clone().unwrap();
        (tokens.tool_outputs_minified, tokens.tool_outputs_new_minified)
    };
    assert!(minified(before).0 > 0);
    assert_eq!(minified(before), minified(after));
}

#[test]
fn an_empty_tick_sends_nothing() {
    let plugin = Plugin::reporting();
    for _ in 0..3 {
        plugin.tick_after(1_000);
    }
    assert!(plugin.reports().is_empty());
}

#[test]
fn without_a_sidecar_there_are_no_reports_and_no_tick() {
    let mut plugin = Plugin::new(json!({}));
    request(&mut plugin);
    plugin.tick_after(1_000);
    assert!(plugin.reports().is_empty());
    assert_eq!(host(|host| host.tick_period), 0);
}

#[test]
fn acknowledged_records_are_forgotten_and_the_others_sent_again() {
    let mut plugin = Plugin::reporting();
    for _ in 0..3 {
        request(&mut plugin);
    }
    plugin.tick_after(1_000);
    assert_eq!(sequences(&plugin), [1, 2, 3]);
    plugin.acknowledge(2);
    request(&mut plugin);
    plugin.tick_after(1_000);
    assert_eq!(sequences(&plugin), [3, 4]);
    plugin.acknowledge(4);
    plugin.tick_after(1_000);
    assert_eq!(plugin.reports().len(), 2);
    let ids: Vec<String> = plugin.reports().into_iter().map(|report| report.vm_id).collect();
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn one_report_at_a_time() {
    let mut plugin = Plugin::reporting();
    request(&mut plugin);
    plugin.tick_after(1_000);
    request(&mut plugin);
    plugin.tick_after(1_000);
    assert_eq!(plugin.reports().len(), 1);
    plugin.acknowledge(1);
    plugin.tick_after(1_000);
    assert_eq!(sequences(&plugin), [2]);
}

#[test]
fn a_failed_report_is_repeated_after_ever_longer_pauses() {
    let mut plugin = Plugin::reporting();
    request(&mut plugin);
    let mut pauses = Vec::new();
    for attempt in 1..=8 {
        let mut waited = 0;
        while plugin.reports().len() < attempt {
            plugin.tick_after(1_000);
            waited += 1;
        }
        plugin.fail();
        pauses.push(waited);
    }
    assert_eq!(pauses[0], 1);
    // Twice the interval, doubled each time up to the maximum, and up to a quarter longer.
    for (pause, expected) in pauses[1..].iter().zip([2u64, 4, 8, 16, 30, 30, 30]) {
        assert!((expected..=expected * 5 / 4 + 1).contains(pause), "{pauses:?}");
    }
    assert_eq!(metric("headroom.reports_failed"), 8);
    assert_eq!(sequences(&plugin), [1]);
}

#[test]
fn an_acknowledgement_ends_the_pauses() {
    let mut plugin = Plugin::reporting();
    request(&mut plugin);
    plugin.tick_after(1_000);
    plugin.fail();
    plugin.tick_after(5_000);
    plugin.acknowledge(1);
    request(&mut plugin);
    plugin.tick_after(1_000);
    assert_eq!(sequences(&plugin), [2]);
}

#[test]
fn nonsense_is_no_acknowledgement() {
    let nonsense = [
        b"garbage".to_vec(),
        b"\xff\xff\xff\xff".to_vec(),
        Vec::new(),
        ReportResponse { acknowledged_sequence: 99, ..ReportResponse::default() }.encode_to_vec(),
        ReportResponse { acknowledged_sequence: u64::MAX, ..ReportResponse::default() }.encode_to_vec(),
        vec![b'x'; 1 << 20],
    ];
    let mut plugin = Plugin::reporting();
    request(&mut plugin);
    for (failures, answer) in nonsense.iter().enumerate() {
        plugin.tick_after(60_000);
        assert_eq!(plugin.reports().len(), failures + 1);
        assert_eq!(sequences(&plugin), [1]);
        plugin.answer(answer);
        assert_eq!(metric("headroom.reports_failed"), failures as u64 + 1);
    }
    plugin.tick_after(60_000);
    plugin.acknowledge(1);
    plugin.tick_after(60_000);
    assert_eq!(plugin.reports().len(), nonsense.len() + 1);
}

#[test]
fn an_answer_to_an_earlier_call_is_ignored() {
    let mut plugin = Plugin::reporting();
    request(&mut plugin);
    plugin.tick_after(1_000);
    plugin.acknowledge(1);
    plugin.fail();
    plugin.acknowledge(1);
    assert_eq!(metric("headroom.reports_failed"), 0);
    request(&mut plugin);
    plugin.tick_after(1_000);
    assert_eq!(sequences(&plugin), [2]);
}

#[test]
fn a_call_that_is_never_answered_is_given_up() {
    let mut plugin = Plugin::reporting();
    request(&mut plugin);
    plugin.tick_after(1_000);
    plugin.tick_after(5_000);
    assert_eq!(plugin.reports().len(), 1);
    plugin.tick_after(2_000);
    plugin.tick_after(3_000);
    assert_eq!(plugin.reports().len(), 2);
}

#[test]
fn a_full_queue_drops_its_oldest_records_and_counts_them() {
    let mut plugin = Plugin::new(json!({"control_plane": {"cluster": "c", "queue_records": 3}}));
    for _ in 0..5 {
        request(&mut plugin);
    }
    plugin.tick_after(1_000);
    assert_eq!(sequences(&plugin), [3, 4, 5]);
    assert_eq!(plugin.reports()[0].dropped_records, 2);
    assert_eq!(metric("headroom.records_dropped"), 2);
}

#[test]
fn records_dropped_while_a_report_is_under_way_do_not_spoil_its_acknowledgement() {
    let mut plugin = Plugin::new(json!({"control_plane": {"cluster": "c", "queue_records": 2}}));
    request(&mut plugin);
    request(&mut plugin);
    plugin.tick_after(1_000);
    for _ in 0..3 {
        request(&mut plugin);
    }
    plugin.acknowledge(2);
    assert_eq!(metric("headroom.reports_failed"), 0);
    plugin.tick_after(1_000);
    assert_eq!(sequences(&plugin), [4, 5]);
}

#[test]
fn the_queue_is_bounded_in_bytes() {
    let mut plugin = Plugin::new(json!({"control_plane": {"cluster": "c", "queue_bytes": 1024}}));
    for _ in 0..100 {
        request(&mut plugin);
    }
    plugin.tick_after(1_000);
    let report = plugin.reports().remove(0);
    assert!(report.encoded_len() < 2048);
    assert!(!report.records.is_empty());
    assert_eq!(report.dropped_records + report.records.len() as u64, 100);
}

#[test]
fn what_does_not_fit_into_one_report_follows_with_the_next() {
    let mut plugin = Plugin::new(
        json!({"control_plane": {"cluster": "c", "queue_records": 100_000, "queue_bytes": 16 << 20}}),
    );
    for _ in 0..12_000 {
        request(&mut plugin);
    }
    // This many records take several ticks.
    for _ in 0..20 {
        plugin.tick_after(40);
    }
    // The first report left at the first tick with the records of that time.
    let last = *sequences(&plugin).last().unwrap();
    plugin.acknowledge(last);
    plugin.tick_after(1_000);
    let first = plugin.reports().pop().unwrap();
    assert!((1 << 19..=1 << 20).contains(&first.encoded_len()));
    let last = first.records.last().unwrap().sequence;
    plugin.acknowledge(last);
    assert_eq!(sequences(&plugin)[0], last + 1, "without waiting for the next tick");
}

#[test]
fn a_record_lists_only_its_newest_blocks() {
    let mut plugin = Plugin::new(json!({"control_plane": {"cluster": "c", "blocks_per_record": 2}}));
    let mut messages = Vec::new();
    for number in 0..5 {
        messages.push(json!({"role": "assistant", "content": [
            {"type": "tool_use", "id": format!("t{number}"), "name": format!("Tool{number}"), "input": {}}]}));
        messages.push(json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": format!("t{number}"), "content": "short"}]}));
    }
    let body = json!({"model": "m", "messages": messages}).to_string();
    plugin.post("/v1/messages", &[], body.as_bytes()).finish();
    let record = plugin.records().pop().unwrap();
    let tools: Vec<&str> = record.blocks.iter().map(|block| block.tool.as_str()).collect();
    assert_eq!(tools, ["Tool3", "Tool4"]);
    assert_eq!(record.blocks_left_out, 3);
}

#[test]
fn a_new_store_behind_the_sidecar_is_noted_in_the_log() {
    let mut plugin = Plugin::reporting();
    for epoch in ["one", "one", "two"] {
        request(&mut plugin);
        plugin.tick_after(1_000);
        let sequence = *sequences(&plugin).last().unwrap();
        let answer = ReportResponse {
            acknowledged_sequence: sequence,
            epoch: epoch.to_owned(),
            ..ReportResponse::default()
        };
        plugin.answer(&answer.encode_to_vec());
    }
    let notes = host(|host| host.log.iter().filter(|line| line.contains("another store")).count());
    assert_eq!(notes, 1);
}

#[test]
fn the_token_is_shown_with_a_report() {
    for (token, shown) in [(json!("s3cret"), Some("Bearer s3cret")), (json!(null), None)] {
        let mut plugin = Plugin::new(json!({"control_plane": {"cluster": "c", "token": token}}));
        plugin.post("/v1/messages", &[], &compressible()).finish();
        plugin.tick_after(60_000);
        let call = host(|host| host.grpc_calls.pop()).expect("a report");
        let shown = shown.map(|value| ("authorization".to_owned(), value.as_bytes().to_vec()));
        assert_eq!(call.metadata, Vec::from_iter(shown));
        assert!(host(|host| host.log.iter().all(|line| !line.contains("s3cret"))));
        plugin.delete();
    }
}

#[test]
fn a_request_is_announced_when_it_begins_and_from_time_to_time_while_it_is_open() {
    let mut plugin = Plugin::reporting();
    let stream = plugin.post("/v1/messages", &[], SMALL);
    // A request that only counts tokens has no record.
    let counting = plugin.post("/v1/messages/count_tokens", &[], SMALL);
    plugin.tick_after(50);
    let announced = |plugin: &Plugin| {
        let reports = plugin.reports();
        let last = reports.last().unwrap();
        (reports.len(), last.begun_records, last.records.len(), last.report_interval_ms)
    };
    assert_eq!(announced(&plugin), (1, 1, 0, 1_000));
    plugin.acknowledge(0);
    plugin.tick_after(10_000);
    assert_eq!(announced(&plugin).0, 1, "nothing is new");
    plugin.tick_after(11_000);
    assert_eq!(announced(&plugin), (2, 1, 0, 1_000));
    plugin.acknowledge(0);
    counting.finish();
    stream.finish();
    plugin.tick_after(1_000);
    assert_eq!(announced(&plugin), (3, 1, 1, 1_000));
    plugin.acknowledge(1);
    plugin.tick_after(60_000);
    assert_eq!(announced(&plugin).0, 3, "nothing is open");
}

#[test]
fn what_follows_a_pause_is_told_at_once() {
    let mut plugin = Plugin::reporting();
    for number in 1..=3 {
        request(&mut plugin);
        plugin.tick_after(50);
        assert_eq!(sequences(&plugin), [number]);
        plugin.acknowledge(number);
        plugin.tick_after(2_000);
    }
}

/// Another VM takes what this one leaves; in one process that is another plugin with its own queues.
#[test]
fn what_a_vm_has_not_told_when_it_ends_another_one_sends() {
    let configuration = |cluster: &str| json!({"control_plane": {"cluster": cluster}}).to_string();
    let mut old = Plugin::start(1, configuration("sidecar").as_bytes());
    let told = old.post("/v1/messages", &[], SMALL);
    old.tick_after(50);
    let lost_call = old.reports().pop().unwrap();
    assert_eq!((lost_call.begun_records, lost_call.records.len()), (1, 0));
    told.finish();
    request(&mut old);
    old.end();
    assert!(host(|host| host.log.iter().any(|line| line.contains("with 2 records"))));

    let elsewhere = Plugin::start(2, configuration("another sidecar").as_bytes());
    elsewhere.tick_after(1_000);
    let before = elsewhere.reports().len();
    let new = Plugin::start(3, configuration("sidecar").as_bytes());
    new.tick_after(1_000);
    let reports = new.reports();
    assert_eq!(reports.len(), before + 1);
    let taken = reports.last().unwrap();
    assert_eq!((&taken.vm_id, taken.begun_records), (&lost_call.vm_id, 2));
    assert_eq!(taken.records.iter().map(|it| it.sequence).collect::<Vec<_>>(), [1, 2]);

    // There was no answer: it is sent again, and left to the next VM if this one ends too.
    new.tick_after(60_000);
    new.tick_after(2_000);
    assert_eq!(new.reports().last().unwrap(), taken);
    new.end();
    let last = Plugin::start(4, configuration("sidecar").as_bytes());
    last.tick_after(1_000);
    assert_eq!(last.reports().last().unwrap(), taken);
    last.acknowledge(2);
    let sent = last.reports().len();
    last.tick_after(60_000);
    assert_eq!(last.reports().len(), sent, "it has arrived");
}

#[test]
fn a_configuration_that_follows_in_the_same_vm_goes_on_with_what_is_queued() {
    let mut old = Plugin::start(1, br#"{"control_plane": {"cluster": "sidecar"}}"#);
    request(&mut old);
    let new = Plugin::start(2, br#"{"control_plane": {"cluster": "sidecar"}, "mode": "audit"}"#);
    old.end();
    assert!(host(|host| host.shared.values().all(|(value, _)| value.is_empty())), "nothing is left");
    new.tick_after(1_000);
    assert_eq!(new.reports().last().unwrap().records.len(), 1);
}

#[test]
fn a_request_that_got_our_tool_and_no_form_is_not_called_unchanged() {
    let tools = br#"{"model":"m","max_tokens":1,"tools":[{"name":"x","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"hi"}]}"#;
    let none = br#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;
    for (body, expected) in [(&tools[..], RequestOutcome::Extended), (&none[..], RequestOutcome::Unchanged)] {
        let mut plugin = Plugin::new(json!({"reversible": true, "control_plane": {"cluster": "c"}}));
        let stream = plugin.post("/v1/messages", &[], body);
        assert_eq!(stream.sent_body == body, expected == RequestOutcome::Unchanged);
        stream.finish();
        assert_eq!(plugin.records().last().map(|record| record.outcome()), Some(expected));
    }
}
