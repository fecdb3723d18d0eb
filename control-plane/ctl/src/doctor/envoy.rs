//! What the running Envoy says about itself: the module, the routes, the buffers.

use std::fs;

use reqwest::Client;
use serde_json::Value;

use super::{Check, DoctorArgs};
use crate::environment::Environment;

/// Where `headroomctl up` puts Envoy's admin interface unless told otherwise.
const DEFAULT: &str = "127.0.0.1:8790";
/// Envoy's admin interface.
#[derive(Debug)]
pub(super) struct Admin {
    base: String,
    client: Client,
}

impl Admin {
    pub(super) fn find(args: &DoctorArgs, env: Environment<'_>, client: Client) -> Self {
        let told = args.admin.as_deref().map(str::trim).filter(|admin| !admin.is_empty()).map(str::to_owned);
        let left = || {
            let workspace = env.workspace_dir(args.workspace_dir.as_ref())?;
            let address = fs::read_to_string(workspace.join("run/envoy.admin")).ok()?;
            Some(address.trim().to_owned()).filter(|address| !address.is_empty())
        };
        let base = told.or_else(left).unwrap_or_else(|| DEFAULT.to_owned());
        let base = if base.contains("://") { base } else { format!("http://{base}") };
        Self { base: base.trim_end_matches('/').to_owned(), client }
    }

    async fn get(&self, path: &str) -> Option<String> {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.ok()?;
        answer.error_for_status().ok()?.text().await.ok()
    }

    pub(super) async fn checks(&self) -> Vec<Check> {
        let info = self.get("/server_info").await.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let Some(info) = info else {
            let mut checks = vec![Check::failed(
                "Envoy",
                format!("its admin interface at {} does not answer", self.base),
                "start Headroom with `headroomctl up`, or say where the admin interface is with --admin",
            )];
            let unknown = |name| Check::skipped(name, "Envoy's admin interface does not answer");
            checks.extend(["V8", "filter", "buffer limit", "routes"].map(unknown));
            return checks;
        };
        let stats = self.get("/stats?filter=wasm").await.unwrap_or_default();
        let dump = self.get("/config_dump").await.unwrap_or_default();
        let dump: Value = serde_json::from_str(&dump).unwrap_or_default();
        let mut checks = vec![server(&info, &self.base), v8(&stats)];
        checks.extend(configuration(&dump));
        checks
    }
}

fn server(info: &Value, base: &str) -> Check {
    // "hash/1.40.0/Clean/RELEASE/BoringSSL"
    let version =
        info["version"].as_str().unwrap_or_default().split('/').nth(1).unwrap_or("of unknown version");
    match info["state"].as_str() {
        Some("LIVE") => Check::ok("Envoy", format!("{version} serves; admin interface at {base}")),
        state => Check::failed(
            "Envoy",
            format!("{version} is {}", state.unwrap_or("in an unknown state")),
            "wait until it has started; when it stays so, see its log",
        ),
    }
}

/// Whether a V8 machine runs the module, by Envoy's own counters.
pub fn v8(stats: &str) -> Check {
    let gauge = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    match gauge("wasm.envoy.wasm.runtime.v8.active") {
        0 => Check::failed(
            "V8",
            "no V8 machine runs in this Envoy",
            "use an Envoy that is built with the V8 Wasm runtime (`envoy/install.sh` gets one); when it is, its log says why the module was not loaded",
        ),
        active => Check::ok("V8", format!("{active} machines run the module")),
    }
}

/// Whether the configuration has the filter, room for its bodies, and routes to providers.
pub fn configuration(dump: &Value) -> Vec<Check> {
    let listener = find(dump, &|value| filter(value).is_some() && value.get("filter_chains").is_some());
    let Some(listener) = listener else {
        return vec![
            Check::failed(
                "filter",
                "no listener has a Wasm filter of the name headroom",
                "take the configuration that `headroomctl bootstrap` prints",
            ),
            Check::skipped("buffer limit", "there is no filter"),
            Check::skipped("routes", "there is no filter"),
        ];
    };
    let configuration = filter(listener).and_then(plugin_configuration);
    vec![
        Check::ok(
            "filter",
            match &configuration {
                Some(text) => format!("configured with {text}"),
                None => "configured by its defaults".to_owned(),
            },
        ),
        buffer(listener, configuration.as_deref()),
        routes(dump, listener),
    ]
}

fn buffer(listener: &Value, configuration: Option<&str>) -> Check {
    const NAME: &str = "buffer limit";
    // Envoy's own default
    let limit = listener["per_connection_buffer_limit_bytes"].as_u64().unwrap_or(1 << 20);
    let configuration: Value =
        configuration.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let longest = configuration["max_body_bytes"].as_u64().unwrap_or_else(|| {
        // the filter's cap when its configuration names none
        headroom_compress::Config::default().max_body_bytes as u64
    });
    if limit > longest {
        return Check::ok(NAME, format!("{limit} bytes, for bodies of up to {longest}"));
    }
    Check::failed(
        NAME,
        format!(
            "{limit} bytes, while the filter waits for bodies of up to {longest}: Envoy answers longer ones with 413"
        ),
        format!(
            "set the listener's per_connection_buffer_limit_bytes to {} or more, or the filter's max_body_bytes below {limit}",
            longest.saturating_mul(2)
        ),
    )
}

fn routes(dump: &Value, listener: &Value) -> Check {
    let mut clusters = Vec::new();
    let routes = find(listener, &|value| value.get("virtual_hosts").is_some());
    for_each(routes.unwrap_or(dump), &mut |value| {
        if let Some(cluster) = value.get("cluster").and_then(Value::as_str)
            && !cluster.starts_with("headroomd")
            && !clusters.iter().any(|known| known == cluster)
        {
            clusters.push(cluster.to_owned());
        }
    });
    if clusters.is_empty() {
        return Check::failed(
            "routes",
            "no route leads to a provider",
            "take the configuration that `headroomctl bootstrap` prints",
        );
    }
    Check::ok("routes", format!("to {}", clusters.join(", ")))
}

/// The Wasm filter named headroom directly under a listener.
fn filter(listener: &Value) -> Option<&Value> {
    listener.get("filter_chains")?;
    find(listener, &|value| {
        value.get("name").and_then(Value::as_str) == Some("headroom")
            && value
                .pointer("/typed_config/@type")
                .and_then(Value::as_str)
                .is_some_and(|kind| kind.ends_with(".wasm.v3.Wasm"))
    })
}

fn plugin_configuration(filter: &Value) -> Option<String> {
    Some(filter.pointer("/typed_config/config/configuration/value")?.as_str()?.to_owned())
}

/// The first value in which something holds, from the outside in.
fn find<'v>(value: &'v Value, holds: &dyn Fn(&Value) -> bool) -> Option<&'v Value> {
    if holds(value) {
        return Some(value);
    }
    match value {
        Value::Array(items) => items.iter().find_map(|item| find(item, holds)),
        Value::Object(fields) => fields.values().find_map(|field| find(field, holds)),
        _ => None,
    }
}

fn for_each<'v>(value: &'v Value, look: &mut dyn FnMut(&'v Value)) {
    look(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| for_each(item, look)),
        Value::Object(fields) => fields.values().for_each(|field| for_each(field, look)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Verdict;
    use super::*;

    fn dump(limit: u64, configuration: &str) -> Value {
        json!({"configs": [{"static_listeners": [{"listener": {
            "per_connection_buffer_limit_bytes": limit,
            "filter_chains": [{"filters": [{"name": "hcm", "typed_config": {
                "http_filters": [{"name": "headroom", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                    "config": {"configuration": {"value": configuration}}}}],
                "route_config": {"virtual_hosts": [{"routes": [
                    {"route": {"cluster": "headroomd_http"}}, {"route": {"cluster": "anthropic"}}]}]}}}]}],
        }}]}]})
    }

    fn verdicts(checks: &[Check]) -> Vec<Verdict> {
        checks.iter().map(|check| check.verdict).collect()
    }

    #[test]
    fn a_buffer_smaller_than_the_longest_body_fails_and_names_the_remedy() {
        let good = configuration(&dump(4000, r#"{"max_body_bytes":2000}"#));
        assert_eq!(verdicts(&good), [Verdict::Ok; 3]);
        assert_eq!(good[2].found, "to anthropic");
        let bad = configuration(&dump(1000, r#"{"max_body_bytes":2000}"#));
        assert_eq!(verdicts(&bad), [Verdict::Ok, Verdict::Failed, Verdict::Ok]);
        assert!(bad[1].remedy.contains("4000"), "{}", bad[1].remedy);
        assert_eq!(configuration(&dump(1 << 20, "{}"))[1].verdict, Verdict::Failed, "the default cap counts");
    }

    #[test]
    fn an_envoy_without_the_filter_or_without_v8_fails() {
        let checks = configuration(&json!({"configs": []}));
        assert_eq!(verdicts(&checks), [Verdict::Failed, Verdict::Skipped, Verdict::Skipped]);
        assert_eq!(v8("wasm.envoy.wasm.runtime.null.active: 1\n").verdict, Verdict::Failed);
        assert_eq!(v8("wasm.envoy.wasm.runtime.v8.active: 3\n").found, "3 machines run the module");
    }
}
