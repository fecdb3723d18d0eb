//! Parts of `/health` and similar pages that are the same as upstream's.

use std::collections::BTreeMap;

use headroom_api::pages::{Check, Config};

/// The name that upstream gives; scripts look for it.
pub(crate) const SERVICE: &str = "headroom-proxy";

/// The variables that say how a sidecar was deployed, behind `HEADROOM_DEPLOYMENT_`.
const DEPLOYMENT: [&str; 5] = ["PROFILE", "PRESET", "RUNTIME", "SUPERVISOR", "SCOPE"];

/// The checks of parts that need not be there: the cache of answers, which filters ask where a route says so, and upstream's
/// limiter of rates, which is Envoy's here.
pub(crate) fn optional_checks(has_answers: bool) -> [(String, Check); 2] {
    [("cache", has_answers), ("rate_limiter", false)].map(|(name, enabled)| {
        let status = if enabled { "healthy" } else { "disabled" };
        (name.to_owned(), Check { enabled, ready: true, status: status.to_owned(), ..Check::default() })
    })
}

/// What is switched on. The filter shortens requests; the rest is not done here.
pub(crate) fn config(store: &str, has_answers: bool) -> Config {
    Config {
        backend: "envoy".to_owned(),
        optimize: true,
        cache: has_answers,
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
