//! The rendered bootstrap, whole for the two body modes, and piece by piece for the rest.

use headroomctl::bootstrap::{BodyMode, Bootstrap, Providers, RenderError};
use headroomctl::providers::{Limit, Row, ServedProvider, Table};
use serde_json::json;

fn with_module(providers: Providers) -> Bootstrap {
    let mut bootstrap = Bootstrap::new(providers);
    bootstrap.module = Some("/opt/headroom/headroom_filter.wasm".into());
    bootstrap.ca_file = Some("/etc/ssl/cert.pem".into());
    bootstrap.access_log = Some("/var/log/headroom/access.log".into());
    bootstrap.plugin_config =
        json!({"body_mode": bootstrap.body_mode.name(), "control_plane": {"cluster": "headroom"}});
    bootstrap
}

fn one_upstream(url: &str) -> Providers {
    Providers::all(url.parse().unwrap())
}

#[test]
fn the_default_bootstrap_strips_the_length_and_validates_the_real_providers() {
    insta::assert_snapshot!(with_module(Providers::default()).render().unwrap());
}

#[test]
fn hold_mode_differs_in_the_flag_that_lets_headers_wait() {
    let mut bootstrap = with_module(Providers::default());
    let strip = bootstrap.render().unwrap();
    bootstrap.body_mode = BodyMode::Hold;
    let hold = bootstrap.render().unwrap();
    let added: Vec<&str> = hold.lines().filter(|line| !strip.contains(line)).map(str::trim).collect();
    assert_eq!(
        added,
        [
            "# The headers wait for the body, so they leave with its exact length.",
            "allow_on_headers_stop_iteration: true"
        ]
    );
}

#[test]
fn the_sidecar_is_told_of_what_comes_from_other_machines() {
    let mut bootstrap = with_module(Providers::default());
    let marked =
        |bootstrap: &Bootstrap| bootstrap.render().unwrap().matches(r#"key: "x-headroom-remote""#).count();
    assert_eq!(marked(&bootstrap), 0);
    bootstrap.listen.host = "0.0.0.0".to_owned();
    let yaml = bootstrap.render().unwrap();
    // Every route to headroomd has the mark, and no other route.
    assert_eq!(marked(&bootstrap), yaml.matches("cluster: headroomd_http").count());
    assert!(marked(&bootstrap) > 5);
}

#[test]
fn a_name_that_may_be_called_is_no_pattern() {
    let mut bootstrap = with_module(Providers::default());
    bootstrap.allow_hosts = vec!["headroom.internal".to_owned(), "b".to_owned()];
    let yaml = bootstrap.render().unwrap();
    assert!(yaml.contains(r"|headroom\\.internal|b)"), "{yaml}");
}

#[test]
fn the_admin_interface_has_no_port() {
    let mut bootstrap = with_module(Providers::default());
    bootstrap.admin = "/home/me/.headroom/run/envoy.sock".into();
    let yaml = bootstrap.render().unwrap();
    assert!(yaml.contains(r#"address: { pipe: { path: "/home/me/.headroom/run/envoy.sock", mode: 384 } }"#));
    assert_eq!(0o600, 384);
    assert_eq!(yaml.matches("socket_address").count(), 9, "one listener and eight clusters");
}

#[test]
fn a_prefix_goes_before_the_path_and_plain_http_needs_no_certificates() {
    let mut bootstrap = with_module(one_upstream("http://127.0.0.1:9000/some/prefix"));
    bootstrap.ca_file = None;
    insta::assert_snapshot!(bootstrap.render().unwrap());
}

#[test]
fn a_literal_address_with_tls_is_validated_by_address() {
    let yaml = with_module(one_upstream("https://[::1]:8443")).render().unwrap();
    assert!(
        yaml.contains(
            r#"match_typed_subject_alt_names: [{ san_type: IP_ADDRESS, matcher: { exact: "::1" } }]"#
        )
    );
    assert!(yaml.contains(r#"host_rewrite_literal: "[::1]:8443""#));
    assert!(!yaml.contains("sni:"));
}

#[test]
fn https_without_a_certificate_bundle_is_refused() {
    let mut bootstrap = with_module(Providers::default());
    bootstrap.ca_file = None;
    assert!(
        matches!(bootstrap.render(), Err(RenderError::NoCertificates(host)) if host == "api.anthropic.com")
    );
}

#[test]
fn http2_upstream_is_spoken_without_negotiation() {
    let mut upstream: headroomctl::upstream::Upstream = "http://127.0.0.1:9000".parse().unwrap();
    upstream.http2 = true;
    let yaml = with_module(Providers::all(upstream)).render().unwrap();
    assert_eq!(yaml.matches("explicit_http_config: { http2_protocol_options: {} }").count(), 7);
    assert!(!yaml.contains("explicit_http_config: { http_protocol_options: {} }"));
}

#[test]
fn filters_and_clusters_of_the_callers_own_take_their_places() {
    let mut bootstrap = with_module(one_upstream("http://127.0.0.1:9000"));
    bootstrap.http_filters.push(json!({"name": "first", "disabled": true}));
    bootstrap.clusters.insert("headroom".to_owned(), json!({"name": "headroom", "connect_timeout": "7s"}));
    let yaml = bootstrap.render().unwrap();
    let first = yaml.find(r#"- {"disabled":true,"name":"first"}"#).unwrap();
    assert!(first < yaml.find("- name: headroom\n            typed_config").unwrap());
    assert!(yaml.contains(r#"- {"connect_timeout":"7s","name":"headroom"}"#));
    assert_eq!(yaml.matches(r#"cluster_name: "headroom""#).count(), 0);
}

#[test]
fn without_a_module_there_is_no_headroom_filter() {
    let yaml = Bootstrap { module: None, ..with_module(Providers::default()) }.render().unwrap();
    assert!(!yaml.contains("envoy.wasm.runtime.v8"));
    assert!(yaml.contains("envoy.filters.http.router"));
}

#[test]
fn no_value_can_change_the_structure_around_it() {
    let mut bootstrap = with_module(Providers::default());
    let nasty = "\"}\n- evil: {{ 7 * 7 }} # '";
    bootstrap.module = Some(nasty.into());
    bootstrap.plugin_config = json!({ "tenant": nasty });
    let yaml = bootstrap.render().unwrap();
    assert!(!yaml.lines().any(|line| line.trim_start().starts_with("- evil")));
    assert!(yaml.contains("{{ 7 * 7 }}"));
}

/// Providers of the table, one of them with every possible setting.
fn served() -> Vec<ServedProvider> {
    let table = Table::built_in();
    let plain = |name: &str| ServedProvider::new(name, table.find(name).unwrap().1, None).unwrap();
    let row = Row {
        models: Some(vec!["llama-*".to_owned(), "gpt-oss".to_owned()]),
        limit: Some(Limit { requests_per_minute: 30, burst: Some(5) }),
        ..table.find("groq").unwrap().1.clone()
    };
    let mut default = plain("zai");
    default.is_default = true;
    vec![ServedProvider::new("groq", &row, Some("GROQ_API_KEY")).unwrap(), default, plain("ollama")]
}

#[test]
fn providers_of_the_table_have_routes_clusters_limits_and_keys_and_the_filter_knows_their_paths() {
    let mut bootstrap = with_module(one_upstream("http://127.0.0.1:9000"));
    let before = bootstrap.render().unwrap();
    bootstrap.served = served();
    let after = bootstrap.render().unwrap();
    let added: Vec<&str> = after.lines().filter(|line| !before.lines().any(|it| it == *line)).collect();
    insta::assert_snapshot!(added.join("\n"));
}
