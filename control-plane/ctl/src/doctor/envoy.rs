//! What the running Envoy reports: the module, the routes, the buffers.

use std::fs;
use std::path::Path;

use headroom_retry::Retry;
use reqwest::{Client, ClientBuilder};
use serde_json::Value;

use super::{Check, DoctorArgs};
use crate::environment::Environment;

/// The name of the check of how the filter read its configuration.
pub(super) const CONFIGURATION: &str = "configuration";

/// Envoy's admin interface.
#[derive(Debug)]
pub(super) struct Admin {
    /// As people would write it: a socket's path, or a URL.
    name: String,
    base: String,
    client: Client,
}

impl Admin {
    /// At the given address, or where `headroomctl up` put it.
    pub(super) fn find(
        args: &DoctorArgs,
        env: Environment<'_>,
        client: ClientBuilder,
    ) -> reqwest::Result<Self> {
        let told = args.admin.as_deref().map(str::trim).filter(|admin| !admin.is_empty()).map(str::to_owned);
        let run = env.workspace_dir(args.workspace_dir.as_ref()).map(|workspace| workspace.join("run"));
        let left = || {
            let address = fs::read_to_string(run.as_ref()?.join("envoy.admin")).ok()?;
            Some(address.trim().to_owned()).filter(|address| !address.is_empty())
        };
        let usual = || run.as_ref().map(|run| run.join("envoy.sock").display().to_string());
        let name = told.or_else(left).or_else(usual).unwrap_or_else(|| "envoy.sock".to_owned());
        let path = name.strip_prefix("unix:").or_else(|| name.contains('/').then_some(&name));
        match path.filter(|path| !path.contains("://")) {
            Some(path) => {
                let client = client.unix_socket(Path::new(path)).build()?;
                Ok(Self { base: "http://localhost".to_owned(), client, name: path.to_owned() })
            }
            None => {
                let base = if name.contains("://") { name } else { format!("http://{name}") };
                let base = base.trim_end_matches('/').to_owned();
                Ok(Self { name: base.clone(), base, client: client.build()? })
            }
        }
    }

    async fn get(&self, path: &str) -> Option<String> {
        let answer = Retry::NEAR.send(self.client.get(format!("{}{path}", self.base))).await.ok()?;
        answer.error_for_status().ok()?.text().await.ok()
    }

    pub(super) async fn checks(&self) -> Vec<Check> {
        let info = self.get("/server_info").await.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let Some(info) = info else {
            let mut checks = vec![Check::failed(
                "Envoy",
                format!("its admin interface at {} does not answer", self.name),
                "start Headroom with `headroomctl up`, or say where the admin interface is with --admin",
            )];
            let unknown = |name| Check::skipped(name, "Envoy's admin interface does not answer");
            checks.extend(["V8", "filter", "configuration", "buffer limit", "routes"].map(unknown));
            return checks;
        };
        let stats = self.get("/stats?filter=wasm").await.unwrap_or_default();
        let dump = self.get("/config_dump").await.unwrap_or_default();
        let dump: Value = serde_json::from_str(&dump).unwrap_or_default();
        let custom = self.get("/stats?filter=wasmcustom.headroom").await.unwrap_or_default();
        let mut checks = vec![server(&info, &self.name), v8(&stats)];
        let mut found = configuration(&dump).into_iter();
        checks.extend(found.next());
        checks.push(readable(&custom));
        checks.extend(found);
        checks.extend(cache_edits(&dump, &custom));
        checks
    }
}

/// How many values of its configuration the filter cannot use; `None` if no filter reports it.
pub fn config_errors(stats: &str) -> Option<u64> {
    counter(stats, "config_errors")
}

/// What the filter itself counts; `None` where none has counted it.
fn counter(stats: &str, name: &str) -> Option<u64> {
    let counters = stats.lines().filter_map(|line| line.strip_prefix("wasmcustom.headroom."));
    let value = counters.filter_map(|line| line.split_once(": ")).find(|(counter, _)| *counter == name);
    value?.1.trim().parse().ok()
}

/// Whether the filter could read all of its configuration.
pub fn readable(stats: &str) -> Check {
    const NAME: &str = CONFIGURATION;
    match config_errors(stats) {
        None => Check::skipped(NAME, "no filter says how it read its configuration"),
        Some(0) => Check::ok(NAME, "the filter could read all of it"),
        Some(errors) => Check::warning(
            NAME,
            format!(
                "the filter cannot read {}: requests that an unreadable mode or rule is for pass untouched",
                if errors == 1 { "a value".to_owned() } else { format!("{errors} values") }
            ),
            "correct what Envoy's log names in its lines with `headroom: configuration:` (logs/envoy.log in the workspace)",
        ),
    }
}

fn server(info: &Value, name: &str) -> Check {
    // "hash/1.40.0/Clean/RELEASE/BoringSSL"
    let version =
        info["version"].as_str().unwrap_or_default().split('/').nth(1).unwrap_or("of unknown version");
    match info["state"].as_str() {
        Some("LIVE") => Check::ok("Envoy", format!("{version} serves; admin interface at {name}")),
        state => Check::failed(
            "Envoy",
            format!("{version} is {}", state.unwrap_or("in an unknown state")),
            "wait until it has started; when it stays so, see its log",
        ),
    }
}

/// Whether V8 runs the module, by Envoy's own counters.
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
    let Some(listener) = listener(dump) else {
        return vec![
            Check::failed(
                "filter",
                "no listener has a Wasm filter of the name headroom",
                "use the configuration that `headroomctl bootstrap` prints",
            ),
            Check::skipped("buffer limit", "there is no filter"),
            Check::skipped("routes", "there is no filter"),
        ];
    };
    let configuration = filter(listener).and_then(plugin_configuration);
    vec![
        installed(configuration.as_deref()),
        buffer(listener, configuration.as_deref()),
        routes(dump, listener),
    ]
}

/// What is done for the provider's prompt cache alone; `None` where nothing of it is switched on.
fn cache_edits(dump: &Value, stats: &str) -> Option<Check> {
    let listener = listener(dump)?;
    let configuration: Value =
        filter(listener).and_then(plugin_configuration).and_then(|text| serde_json::from_str(&text).ok())?;
    let rules = configuration.get("rules").and_then(Value::as_array).into_iter().flatten();
    let breakpoints = std::iter::once(&configuration)
        .chain(rules)
        .filter_map(|it| it.get("breakpoints")?.as_str())
        .find(|lifetime| *lifetime != "off");
    let aligned = configuration.get("align").and_then(Value::as_array).map_or(0, Vec::len);
    let mut found = Vec::new();
    if let Some(lifetime) = breakpoints {
        let set = counter(stats, "breakpoints_added").unwrap_or(0);
        found.push(format!("breakpoints for {lifetime} where a client sets none, {set} so far"));
    }
    if aligned > 0 {
        let moved = counter(stats, "lines_aligned").unwrap_or(0);
        let rules = if aligned == 1 { "1 rule".to_owned() } else { format!("{aligned} rules") };
        found.push(format!("{rules} of the aligner, {moved} lines moved so far"));
    }
    (!found.is_empty()).then(|| Check::ok("prompt cache", found.join("; ")))
}

fn installed(configuration: Option<&str>) -> Check {
    const NAME: &str = "filter";
    let Some(text) = configuration else { return Check::ok(NAME, "configured by its defaults") };
    let Some(configuration) = without_token(text) else {
        return Check::ok(NAME, "its configuration is not JSON");
    };
    let said = |key: &str, default: &str| {
        configuration.get(key).and_then(Value::as_str).unwrap_or(default).to_owned()
    };
    let found = format!(
        "mode {}, profile {}; --json shows its configuration",
        said("mode", "optimize"),
        said("profile", "its own")
    );
    Check { details: Some(configuration), ..Check::ok(NAME, found) }
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
            "use the configuration that `headroomctl bootstrap` prints",
        );
    }
    Check::ok("routes", format!("to {}", clusters.join(", ")))
}

/// The listener that has the filter.
fn listener(dump: &Value) -> Option<&Value> {
    find(dump, &|value| filter(value).is_some() && value.get("filter_chains").is_some())
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

/// A configuration without secrets, because people paste it into reports. `None`: it is not JSON.
fn without_token(configuration: &str) -> Option<Value> {
    let mut parsed: Value = serde_json::from_str(configuration).ok()?;
    if let Some(token) = parsed.pointer_mut("/control_plane/token") {
        *token = "…".into();
    }
    Some(parsed)
}

fn plugin_configuration(filter: &Value) -> Option<String> {
    Some(filter.pointer("/typed_config/config/configuration/value")?.as_str()?.to_owned())
}

/// The first value that satisfies a condition, from the outside in.
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
    fn a_token_in_the_configuration_is_not_shown() {
        let checks = configuration(&dump(1 << 30, r#"{"control_plane":{"cluster":"c","token":"s3cret"}}"#));
        assert_eq!(checks[0].details, Some(json!({"control_plane": {"cluster": "c", "token": "…"}})));
        assert!(checks[0].found.starts_with("mode optimize"), "{}", checks[0].found);
        let unreadable = configuration(&dump(1 << 30, r#"{"token":"s3cret""#));
        assert!(!unreadable[0].found.contains("s3cret"));
    }

    #[test]
    fn what_the_filter_cannot_read_is_said() {
        let stat = |value: &str| readable(&format!("wasmcustom.headroom.config_errors: {value}\n"));
        assert_eq!(stat("0").verdict, Verdict::Ok);
        let bad = stat("2");
        assert_eq!(bad.verdict, Verdict::Warning);
        assert!(bad.found.contains("2 values") && bad.found.contains("pass untouched"), "{}", bad.found);
        assert_eq!(readable("").verdict, Verdict::Skipped);
    }

    #[test]
    fn what_is_done_for_the_prompt_cache_is_told_where_it_is_switched_on() {
        let stats = "wasmcustom.headroom.breakpoints_added: 12\nwasmcustom.headroom.lines_aligned: 3\n";
        let found = |text: &str| cache_edits(&dump(1 << 30, text), stats).map(|check| check.found);
        for off in ["{}", r#"{"breakpoints":"off","align":[]}"#, r#"{"rules":[{"align":"off"}]}"#, "x"] {
            assert_eq!(found(off), None, "{off}");
        }
        assert_eq!(
            found(r#"{"breakpoints":"5m","align":[{},{}]}"#).unwrap(),
            "breakpoints for 5m where a client sets none, 12 so far; 2 rules of the aligner, 3 lines moved so far"
        );
        let by_rule = found(r#"{"rules":[{"breakpoints":"off"},{"breakpoints":"1h"}]}"#);
        assert_eq!(by_rule.unwrap(), "breakpoints for 1h where a client sets none, 12 so far");
        assert_eq!(cache_edits(&json!({}), stats), None);
    }

    #[test]
    fn the_admin_interface_is_a_socket_unless_a_url_is_given() {
        let variables = |name: &str| (name == "HOME").then(|| "/nowhere".to_owned());
        let find = |admin: Option<&str>| {
            let args = DoctorArgs { admin: admin.map(str::to_owned), ..DoctorArgs::default() };
            let admin = Admin::find(&args, Environment::new(&variables), Client::builder()).unwrap();
            (admin.name, admin.base)
        };
        let own = |name: &str, base: &str| (name.to_owned(), base.to_owned());
        assert_eq!(find(None), own("/nowhere/.headroom/run/envoy.sock", "http://localhost"));
        assert_eq!(find(Some("unix:/a/b.sock")), own("/a/b.sock", "http://localhost"));
        assert_eq!(find(Some("./b.sock")), own("./b.sock", "http://localhost"));
        assert_eq!(find(Some("127.0.0.1:9")), own("http://127.0.0.1:9", "http://127.0.0.1:9"));
        assert_eq!(find(Some("http://127.0.0.1:9/")), own("http://127.0.0.1:9", "http://127.0.0.1:9"));
    }

    #[test]
    fn an_envoy_without_the_filter_or_without_v8_fails() {
        let checks = configuration(&json!({"configs": []}));
        assert_eq!(verdicts(&checks), [Verdict::Failed, Verdict::Skipped, Verdict::Skipped]);
        assert_eq!(v8("wasm.envoy.wasm.runtime.null.active: 1\n").verdict, Verdict::Failed);
        assert_eq!(v8("wasm.envoy.wasm.runtime.v8.active: 3\n").found, "3 machines run the module");
    }
}
