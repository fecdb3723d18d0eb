//! What the configuration says of the text model.

use crate::lenient::Reader;

/// The values of `text_model.mode`, and of a rule's `text_model`: whether it is asked.
pub(crate) const TEXT_MODELS: &[(&str, bool)] = &[("off", false), ("on", true)];

/// The value that is used where it cannot be read.
pub(crate) const PLAIN: (bool, &str) = (false, "prose stays as it is");

/// The section `text_model`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TextModelSettings {
    /// For requests for which no rule says otherwise.
    pub is_on: bool,
    /// Shorter prose stays as it is. Tokens in o200k_base.
    pub min_tokens: u32,
    /// For how long a request waits. Milliseconds.
    pub timeout_ms: u32,
}

impl Default for TextModelSettings {
    /// A chunk of a model's, and time for a few of them: docs/text-model.md has the figures.
    fn default() -> Self {
        Self { is_on: false, min_tokens: 500, timeout_ms: 10_000 }
    }
}

impl TextModelSettings {
    /// Reads the section.
    pub(crate) fn read(reader: &mut Reader) -> Self {
        let defaults = Self::default();
        let Some(mut section) = reader.section("text_model") else { return defaults };
        let settings = Self {
            is_on: section.guarded("mode", TEXT_MODELS, defaults.is_on, PLAIN),
            min_tokens: section.number("min_tokens", 100..=1_000_000, defaults.min_tokens),
            timeout_ms: section.number("timeout_ms", 1..=60_000, defaults.timeout_ms),
        };
        reader.close(section);
        settings
    }
}
