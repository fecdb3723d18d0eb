//! The text model: LLMLingua-2 for callers of `/v1/compress` who ask for it.
//!
//! It is a feature of the build, because few want it. Without the feature, every call here answers that it is not built.

#[cfg(not(feature = "llmlingua"))]
mod absent;
#[cfg(feature = "llmlingua")]
mod present;

use std::path::PathBuf;
use std::time::Duration;

use headroom_api::llmlingua::Rates;
use serde_json::{Value, json};

#[cfg(not(feature = "llmlingua"))]
pub(crate) use self::absent::TextModel;
#[cfg(feature = "llmlingua")]
pub(crate) use self::present::TextModel;

/// What an operator says of the text model.
#[derive(Clone, Debug)]
pub struct TextModelSettings {
    /// Whether it is used.
    pub enabled: bool,
    /// A folder, or a name on the hub, where one is named.
    pub model: Option<String>,
    /// The folder where none is named.
    pub folder: PathBuf,
    /// Where models of the hub are kept.
    pub cache: PathBuf,
    /// The rates of callers who name none.
    pub rates: Rates,
    /// It is unloaded after this time without use.
    pub idle: Duration,
}

/// What the model is doing, as `/debug/warmup` shows it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct TextModelState {
    /// `disabled`, `unloaded`, `loading`, `loaded` or `error`.
    pub(crate) status: &'static str,
    pub(crate) error: Option<String>,
    /// The folder, or the name on the hub.
    pub(crate) model: Option<String>,
}

impl TextModelState {
    pub(crate) fn to_json(&self) -> Value {
        let info = self.model.as_ref().map(|model| json!({"model": model, "device": "cpu"}));
        json!({"status": self.status, "error": self.error, "info": info})
    }
}

/// Shortens texts, for one call.
pub(crate) trait Shorten: Send {
    /// What stays of a text at a rate; `None` where there is no time left, or where the model fails.
    fn shorten(&self, text: &str, rate: f64) -> Option<String>;
}

impl TextModelSettings {
    /// A folder with a model that is not used, for a hint.
    fn unused(&self) -> Option<&PathBuf> {
        Some(&self.folder).filter(|folder| !self.enabled && folder.join("model.safetensors").is_file())
    }
}
