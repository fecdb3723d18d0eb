//! The parts of the sidecar, and whether each of them works.

use headroom_api::pages::Check;
use serde_json::{Map, Value, json};

use crate::clock::UnixMs;
use crate::models::Models;

/// The state of the parts at the start. The sidecar listens only after all of them were checked, so this
/// does not change any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warmup {
    parts: Vec<(&'static str, Part)>,
}

#[derive(Clone, Debug)]
struct Part {
    /// `None`: it has nothing to load.
    status: Option<&'static str>,
    /// What it lacks; it works without it.
    lack: Option<PartProblem>,
    info: Value,
}

/// Something that a part lacks.
#[derive(Clone, Debug)]
struct PartProblem {
    /// The severity: `degraded`, or `warning` if everything works but needs attention.
    status: &'static str,
    error: String,
}

const LOADED: Option<&str> = Some("loaded");
/// The parts that are checked again each time.
const STORES: [&str; 2] = ["store", "originals"];

impl Warmup {
    /// A store was opened. Whether it works is checked again each time.
    pub(crate) fn note_store(&mut self, name: &'static str, location: &str) {
        let info = json!({"location": location});
        self.parts.push((name, Part { status: LOADED, lack: None, info }));
    }

    /// Whether the filter, whose module holds the scanners, is configured to use them.
    pub(crate) fn note_code_aware(&mut self, enabled: bool) {
        let status = if enabled { LOADED } else { None };
        self.parts.push(("code_aware", Part { status, lack: None, info: Value::Null }));
    }

    /// Whether the live learner runs, and what prevents it.
    pub(crate) fn note_learn(&mut self, location: Option<&str>, error: Option<String>) {
        let status = match (location, &error) {
            (_, Some(_)) => Some("error"),
            (Some(_), None) => LOADED,
            (None, None) => None,
        };
        let lack = error.map(|error| PartProblem { status: "degraded", error });
        self.parts.push(("learn", Part { status, lack, info: json!({"location": location}) }));
    }

    /// There is no savings file of upstream.
    pub(crate) fn note_no_import(&mut self) {
        self.parts.push(("savings_import", Part { status: None, lack: None, info: Value::Null }));
    }

    /// Upstream's savings file was found.
    pub(crate) fn note_import(&mut self, outcome: &'static str, error: Option<String>) {
        let status = if error.is_some() { Some("error") } else { LOADED };
        let lack = error.map(|error| PartProblem { status: "degraded", error });
        self.parts.push(("savings_import", Part { status, lack, info: json!({"outcome": outcome}) }));
    }

    /// The models' figures were read.
    pub(crate) fn note_models(&mut self, models: &Models, now: UnixMs) {
        let stale =
            models.stale_days(now).map(|days| format!("the built-in prices were checked {days} days ago"));
        let lack = models.warnings().first().cloned().or(stale);
        let lack = lack.map(|error| PartProblem { status: "warning", error });
        let info = json!({"prices_checked": models.checked(), "warnings": models.warnings()});
        self.parts.push(("models", Part { status: LOADED, lack, info }));
    }

    /// Whether everything was checked.
    pub(crate) fn is_ready(&self) -> bool {
        ["store", "originals", "savings_import", "models"]
            .iter()
            .all(|name| self.parts.iter().any(|(part, _)| part == name))
    }

    /// The parts under the names of `/debug/warmup`. Parts that this version does not have are `null`.
    pub(crate) fn to_json(&self) -> Value {
        let part = |part: &Part| {
            let error = part.lack.as_ref().map(|lack| &lack.error);
            json!({"status": part.status, "error": error, "info": part.info})
        };
        let mut body: Map<String, Value> =
            self.parts.iter().map(|(name, found)| ((*name).to_owned(), part(found))).collect();
        body.insert("tree_sitter".to_owned(), json!({"status": null}));
        Value::Object(body)
    }

    /// The parts under the names of `/readyz`, without the stores, which are checked again each time. A
    /// part that lacks something is listed, but does not make the sidecar unready.
    pub(crate) fn checks(&self) -> impl Iterator<Item = (String, Check)> {
        let check = |part: &Part| {
            let enabled = part.status.is_some();
            let status = match &part.lack {
                Some(lack) => lack.status,
                None if enabled => "healthy",
                None => "disabled",
            };
            let error = part.lack.as_ref().map(|lack| lack.error.clone());
            Check { enabled, ready: true, status: status.to_owned(), error, ..Check::default() }
        };
        let others = self.parts.iter().filter(|(name, _)| !STORES.contains(name));
        others.map(move |(name, part)| ((*name).to_owned(), check(part)))
    }
}
