//! Parts of `/health` and similar pages that are the same as upstream's.

use std::collections::BTreeMap;

use headroom_api::pages::{Check, Config};

/// The name that upstream gives; scripts look for it.
pub(crate) const SERVICE: &str = "headroom-proxy";

/// The parts of upstream that this sidecar does not have.
const ABSENT: [&str; 2] = ["cache", "rate_limiter"];
/// The variables that say how a sidecar was deployed, behind `HEADROOM_DEPLOYMENT_`.
const DEPLOYMENT: [&str; 5] = ["PROFILE", "PRESET", "RUNTIME", "SUPERVISOR", "SCOPE"];

/// A check of each part that is absent.
pub(crate) fn absent_checks() -> impl Iterator<Item = (String, Check)> {
    let check = Check { enabled: false, ready: true, status: "disabled".to_owned(), ..Check::default() };
    ABSENT.into_iter().map(move |name| (name.to_owned(), check.clone()))
}

/// What is switched on. The filter shortens requests; the rest is not done here.
pub(crate) fn config(store: &str) -> Config {
    Config {
        backend: "envoy".to_owned(),
        optimize: true,
        memory: true,
        store: store.to_owned(),
        pid: std::process::id(),
        ..Config::default()
    }
}

/// How this sidecar was deployed, from `HEADROOM_DEPLOYMENT_*`.
pub(crate) fn deployment(env: impl Fn(&str) -> Option<String>) -> BTreeMap<String, Option<String>> {
    let value =
        |name: &str| env(&format!("HEADROOM_DEPLOYMENT_{name}")).filter(|value| !value.trim().is_empty());
    DEPLOYMENT.into_iter().map(|name| (name.to_ascii_lowercase(), value(name))).collect()
}
