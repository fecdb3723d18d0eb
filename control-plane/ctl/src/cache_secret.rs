//! The filter's secret for the keys of cached answers: generated once, stored in the workspace.
//!
//! It is not in any configuration: Envoy gets it as a variable. With a new secret the filter finds none of its stored
//! answers; the only cost is to ask the provider again.

use std::path::Path;

use serde_json::Value;

use crate::token::kept_in;

/// The variable of the filter's VM that holds it.
pub(crate) const VARIABLE: &str = "HEADROOM_CACHE_SECRET";
/// Its file in the workspace.
const FILE: &str = "cache_secret";

/// The workspace's secret, if the filter's configuration enables the cache and neither it nor a variable contains one.
pub(crate) fn wanted(plugin_config: &Value, workspace: &Path) -> anyhow::Result<Option<String>> {
    let is_told = plugin_config.pointer("/cache/secret").is_some() || std::env::var_os(VARIABLE).is_some();
    if !asks_for_cache(plugin_config) || is_told {
        return Ok(None);
    }
    kept_in(&workspace.join(FILE)).map(|(secret, _)| Some(secret))
}

fn asks_for_cache(plugin_config: &Value) -> bool {
    let is_on = |mode: Option<&Value>| mode.and_then(Value::as_str).is_some_and(|mode| mode != "off");
    let rules = plugin_config.get("rules").and_then(Value::as_array);
    is_on(plugin_config.pointer("/cache/mode"))
        || rules.into_iter().flatten().any(|rule| is_on(rule.get("cache")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_made_where_a_cache_is_asked_for_and_stays_the_same() {
        let workspace = tempfile::tempdir().unwrap();
        let wanted = |config: Value| wanted(&config, workspace.path()).unwrap();
        for off in [json!({}), json!({"cache": {"mode": "off"}}), json!({"rules": [{"cache": "off"}]})] {
            assert_eq!(wanted(off), None);
        }
        assert_eq!(wanted(json!({"cache": {"mode": "exact", "secret": "the operator's own"}})), None);
        assert!(!workspace.path().join(FILE).exists());
        let secret = wanted(json!({"cache": {"mode": "exact"}})).unwrap();
        assert!(secret.len() >= 32);
        assert_eq!(wanted(json!({"rules": [{"cache": "semantic"}]})), Some(secret));
    }
}
