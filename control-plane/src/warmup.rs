//! What each part of the sidecar consists of and whether it is there, told honestly.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::clock::UnixMs;
use crate::models::Models;

/// The parts as they were found at the start. The sidecar listens only once all of them were looked
/// at, so this does not change any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warmup {
    parts: Vec<(&'static str, Part)>,
}

#[derive(Clone, Debug)]
struct Part {
    /// `None`: there is nothing of it to load.
    status: Option<&'static str>,
    /// What it lacks; it works without.
    error: Option<String>,
    info: Value,
}

const LOADED: Option<&str> = Some("loaded");

impl Warmup {
    /// The store was opened.
    pub(crate) fn note_store(&mut self, location: &str, set_aside: Option<&Path>) {
        self.note_opened("store", location, set_aside);
    }

    /// The store of originals was opened.
    pub(crate) fn note_originals(&mut self, location: &str, set_aside: Option<&Path>) {
        self.note_opened("originals", location, set_aside);
    }

    fn note_opened(&mut self, name: &'static str, location: &str, set_aside: Option<&Path>) {
        let error = set_aside.map(|path| format!("damaged and set aside as {}", path.display()));
        self.parts.push((name, Part { status: LOADED, error, info: json!({"location": location}) }));
    }

    /// There is no savings file of upstream.
    pub(crate) fn note_no_import(&mut self) {
        self.parts.push(("savings_import", Part { status: None, error: None, info: Value::Null }));
    }

    /// The original's savings file was found.
    pub(crate) fn note_import(&mut self, outcome: &'static str, error: Option<String>) {
        let status = if error.is_some() { Some("error") } else { LOADED };
        self.parts.push(("savings_import", Part { status, error, info: json!({"outcome": outcome}) }));
    }

    /// The models' figures were read.
    pub(crate) fn note_models(&mut self, models: &Models, now: UnixMs) {
        let stale =
            models.stale_days(now).map(|days| format!("the built-in prices were checked {days} days ago"));
        let error = models.warnings().first().cloned().or(stale);
        let info = json!({"prices_checked": models.checked(), "warnings": models.warnings()});
        self.parts.push(("models", Part { status: LOADED, error, info }));
    }

    /// Whether everything was looked at.
    pub(crate) fn is_ready(&self) -> bool {
        ["store", "originals", "savings_import", "models"]
            .iter()
            .all(|name| self.parts.iter().any(|(part, _)| part == name))
    }

    /// The parts under the names of `/debug/warmup`. What this version does not have is `null`.
    pub(crate) fn to_json(&self) -> Value {
        let part = |part: &Part| json!({"status": part.status, "error": part.error, "info": part.info});
        let mut body: Map<String, Value> =
            self.parts.iter().map(|(name, found)| ((*name).to_owned(), part(found))).collect();
        for absent in ["memory_backend", "memory_embedder"] {
            body.insert(absent.to_owned(), json!({"status": null}));
        }
        Value::Object(body)
    }

    /// The parts under the names of `/readyz`, the store aside, which is asked anew each time. A part
    /// that lacks something is named, but keeps nobody from working.
    pub(crate) fn checks(&self) -> Map<String, Value> {
        let check = |part: &Part| {
            let enabled = part.status.is_some();
            let status = match &part.error {
                Some(_) => "degraded",
                None if enabled => "healthy",
                None => "disabled",
            };
            json!({"enabled": enabled, "ready": true, "status": status, "error": part.error})
        };
        let others = self.parts.iter().filter(|(name, _)| *name != "store");
        others.map(|(name, part)| ((*name).to_owned(), check(part))).collect()
    }
}
