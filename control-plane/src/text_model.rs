//! The text model: LLMLingua-2 for callers of `/v1/compress` who ask for it.
//!
//! It is a feature of the build, because few want it. Without the feature, every call here answers that it is not built.

#[cfg(not(feature = "llmlingua"))]
mod absent;
#[cfg(feature = "llmlingua")]
mod present;

use std::path::PathBuf;
use std::time::Duration;

use headroom_api::llmlingua::{Rates, left_out};
use headroom_compress::{Encoding, address, append_marker};
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

/// A text without the words that the model leaves out.
pub(crate) struct ShortenedText {
    /// What stays, and the marker.
    pub(crate) text: String,
    /// What the marker says.
    pub(crate) left_out: String,
    /// The address of the whole text, which the marker names.
    pub(crate) hash: String,
    pub(crate) tokens: u32,
}

impl ShortenedText {
    /// `None` where the model fails, or saves less than a tenth of so many tokens: somebody has to read what is not quite a
    /// text.
    pub(crate) fn of(model: &dyn Shorten, whole: &str, rate: f64, tokens_before: usize) -> Option<Self> {
        let mut text = model.shorten(whole, rate)?;
        let (left_out, hash) = (left_out(whole, &text), address(whole));
        append_marker(&mut text, &left_out, &hash);
        let after = Encoding::O200kBase.count(&text);
        let tokens = u32::try_from(after).unwrap_or(u32::MAX);
        (after * 10 <= tokens_before * 9).then_some(Self { text, left_out, hash, tokens })
    }
}

impl TextModelSettings {
    /// A folder with a model that is not used, for a hint.
    fn unused(&self) -> Option<&PathBuf> {
        Some(&self.folder).filter(|folder| !self.enabled && folder.join("model.safetensors").is_file())
    }
}
