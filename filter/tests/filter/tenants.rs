//! The tenant of a request: never taken from the client, unless the configuration trusts clients.

use serde_json::{Value, json};

use crate::host::host;
use crate::proxy::{Plugin, compressible};

const SAID: (&str, &str) = ("x-headroom-user-id", "mallory");

/// Tenant and conversation in the record of one request.
fn record(from: Value, headers: &[(&str, &str)]) -> (String, String) {
    let configuration = json!({"tenant": "t", "tenant_from": from, "control_plane": {"cluster": "c"}});
    let mut plugin = Plugin::new(configuration);
    plugin.post("/v1/messages", headers, &compressible()).finish();
    let record = plugin.records().pop().unwrap();
    plugin.delete();
    (record.tenant, record.conversation_id)
}

#[test]
fn a_client_does_not_choose_its_tenant() {
    for from in ["configured", "key", "peer", "header:x-sub", "token"] {
        assert_ne!(record(from.into(), &[SAID]).0, "mallory", "{from}");
    }
    assert_eq!(record("configured".into(), &[SAID]).0, "t");
    assert_eq!(record("client".into(), &[SAID]).0, "mallory");
    assert_eq!(record("header:X-Sub".into(), &[("x-sub", "ann"), SAID]).0, "ann");
    assert_eq!(record("token".into(), &[SAID]).0, "");
    host(|host| host.peer = Some("agent.example"));
    assert_eq!(record("peer".into(), &[SAID]).0, "agent.example");
}

#[test]
fn a_key_is_a_tenant_by_its_hash() {
    let (tenant, _) = record("key".into(), &[("x-api-key", "sk-ant-secret")]);
    assert_eq!(tenant.len(), 16);
    assert!(!tenant.contains("secret"));
    assert_ne!(record("key".into(), &[("x-api-key", "sk-ant-other")]).0, tenant);
}

#[test]
fn two_tenants_have_no_conversation_in_common() {
    let [one, other, same] =
        ["ann", "bob", "ann"].map(|name| record("header:x-sub".into(), &[("x-sub", name)]).1);
    assert_eq!((one.len(), &one), (16, &same));
    assert_ne!(one, other);
}

#[test]
fn headroomd_is_told_whose_a_request_is() {
    let configuration =
        json!({"tenant_from": "header:x-sub", "control_plane": {"cluster": "c", "http_cluster": "pages"}});
    let mut plugin = Plugin::new(configuration);
    let token = ("x-headroom-proxy-token", "t");
    let mut sent = |cluster, headers: &[(&str, &str)]| {
        host(|host| host.cluster = Some(cluster));
        let stream = plugin.post("/v1/retrieve", headers, b"{}");
        let sent = ["x-headroom-user-id", "x-headroom-proxy-token"].map(|name| stream.sent_header(name));
        stream.finish();
        sent
    };
    let of = |name: &str| Some(name.to_owned());
    assert_eq!(sent("pages", &[SAID, token, ("x-sub", "ann")]), [of("ann"), of("t")]);
    assert_eq!(sent("pages", &[SAID, token]), [None, of("t")]);
    assert_eq!(sent("another", &[SAID, token, ("x-sub", "ann")]), [None, None]);
}
