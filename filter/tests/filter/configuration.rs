//! Configurations: none is rejected, and a new one keeps what the VM has learned.

use serde_json::json;

use crate::host::{host, metric};
use crate::proxy::{Plugin, compressed, compressible};

fn compresses(plugin: &mut Plugin) -> bool {
    let body = compressible();
    let stream = plugin.post("/v1/messages", &[], &body);
    let changed = stream.sent_body != body;
    assert_eq!(changed, stream.sent_body == compressed(&body));
    stream.finish();
    changed
}

#[test]
fn no_configuration_is_the_default_one() {
    assert!(compresses(&mut Plugin::start(1, b"")));
}

#[test]
fn a_configuration_that_cannot_be_read_passes_everything_and_is_counted() {
    for configuration in [&b"{"[..], b"[]", b"\xff\xfe", b"null", b"\"text\""] {
        let mut plugin = Plugin::start(1, configuration);
        assert!(!compresses(&mut plugin), "{configuration:?}");
        assert_eq!(metric("headroom.config_errors"), 1);
        plugin.delete();
    }
    assert!(host(|host| host.log.iter().any(|line| line.contains("cannot read the configuration"))));
}

#[test]
fn a_bad_value_is_counted_logged_and_reported() {
    let mut plugin =
        Plugin::new(json!({"body_mode": "on", "control_plane": {"cluster": "c", "timeout_ms": -1}}));
    assert!(compresses(&mut plugin));
    assert_eq!(metric("headroom.config_errors"), 2);
    assert!(host(|host| host.log.iter().any(|line| line.contains("control_plane.timeout_ms"))));
    plugin.records();
    assert_eq!(plugin.reports()[0].config_errors, 2);
}

#[test]
fn where_a_mode_or_a_rule_cannot_be_read_bytes_pass_untouched() {
    for configuration in [
        json!({"mode": "audti"}),
        json!({"rules": [{"path": "/v1/messages", "mode": "audti"}]}),
        json!({"rules": [{"path": "/v1/messages", "mood": "audit"}]}),
        json!({"rules": [{"path": ["/v1/messages"], "mode": "audit"}]}),
        json!({"rules": "off"}),
        json!({"tools": [{"tool": "*", "policy": "of"}]}),
    ] {
        let mut plugin = Plugin::new(configuration.clone());
        assert!(!compresses(&mut plugin), "{configuration}");
        assert_eq!(metric("headroom.config_errors"), 1, "{configuration}");
        plugin.delete();
    }
    let mut elsewhere = Plugin::new(json!({"rules": [{"path": "/v1/responses", "mode": "audti"}]}));
    assert!(compresses(&mut elsewhere), "the rule is for other requests");
}

#[test]
fn the_sidecar_hears_of_a_configuration_that_cannot_be_read_though_there_are_no_records() {
    let plugin = Plugin::new(json!({"mode": "audti", "control_plane": {"cluster": "c"}}));
    plugin.tick_after(1_000);
    let reports = plugin.reports();
    let [report] = &reports[..] else { panic!("one report was expected: {reports:?}") };
    assert_eq!((report.records.len(), report.config_errors), (0, 1));
}

#[test]
fn a_repaired_configuration_clears_the_count() {
    let plugin = Plugin::new(json!({"mode": "on"}));
    assert_eq!(metric("headroom.config_errors"), 1);
    plugin.configure(b"{}");
    assert_eq!(metric("headroom.config_errors"), 0);
}

#[test]
fn the_last_good_configuration_of_a_plugin_stays_in_force_when_the_next_cannot_be_read() {
    host(|host| host.root_id = "headroom".to_owned());
    let good = Plugin::start(1, br#"{"tenant":"t"}"#);
    let mut broken = Plugin::start(2, b"{");
    assert!(compresses(&mut broken));
    good.delete();
    assert!(compresses(&mut broken));
}

#[test]
fn another_plugins_configuration_is_not_taken_over() {
    host(|host| host.root_id = "one".to_owned());
    let _good = Plugin::start(1, b"{}");
    host(|host| host.root_id = "two".to_owned());
    assert!(!compresses(&mut Plugin::start(2, b"{")));
}

#[test]
fn records_and_memo_survive_a_new_configuration() {
    let configuration = br#"{"control_plane":{"cluster":"c"}}"#;
    let mut old = Plugin::start(1, configuration);
    assert!(compresses(&mut old));
    let mut new = Plugin::start(2, configuration);
    old.delete();
    assert!(compresses(&mut new));
    let records = new.records();
    assert_eq!(records.iter().map(|record| record.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(records.iter().map(|record| record.blocks[0].memo).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_memo_is_not_shared_between_different_engine_configurations() {
    let mut plugin = Plugin::start(1, br#"{"control_plane":{"cluster":"c"}}"#);
    assert!(compresses(&mut plugin));
    plugin.configure(br#"{"tools":[{"tool":"Read","policy":"off"}],"control_plane":{"cluster":"c"}}"#);
    assert!(!compresses(&mut plugin));
}

#[test]
fn a_stream_keeps_the_configuration_that_it_began_with() {
    let body = compressible();
    let mut plugin = Plugin::new(json!({"body_mode": "hold"}));
    let mut stream = plugin.stream();
    stream.headers("POST", "/v1/messages", &[], false);
    plugin.configure(br#"{"max_body_bytes":1}"#);
    stream.body(&body, true);
    assert_eq!(stream.sent_body, compressed(&body));
    assert!(stream.sent_header("content-length").is_some());
}
