//! Context limits and list prices of models, by name.
//!
//! The operator's figures come first (`HEADROOM_MODEL_LIMITS`, then `models.json`), then the built-in table, then
//! the family that the name resembles. A lookup cannot fail. A broken file is not fatal either: it is reported and
//! left out.

mod custom;

use std::collections::BTreeMap;
use std::path::PathBuf;

use headroom_prices::{CHECKED, bare};

pub use headroom_prices::Price;

use self::custom::Custom;
use crate::clock::{DAY_MS, UnixMs, parse_iso};

/// Age at which the built-in prices are reported as stale, as in upstream.
const STALE_AFTER_DAYS: i64 = 30;

/// The known figures of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Model {
    /// The longest conversation that it accepts, in tokens; `None` if unknown.
    pub context_limit: Option<u64>,
    /// Its price; `None` if unknown.
    pub price: Option<Price>,
    /// Whether the figures come from a model or family with a similar name.
    pub inferred: bool,
}

/// The known models.
#[derive(Debug, Default)]
pub struct Models {
    custom: BTreeMap<String, Custom>,
    warnings: Vec<String>,
}

/// The sources of the operator's own figures.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `HEADROOM_MODEL_LIMITS`: JSON, or the path of a file.
    pub limits: Option<String>,
    /// `models.json`, the first that exists.
    pub files: Vec<PathBuf>,
}

/// The models whose figures are used for a name that only resembles a family, in this order.
const FAMILIES: &[(&str, &str)] = &[
    ("opus", "claude-opus-5-5"),
    ("sonnet", "claude-sonnet-5-5"),
    ("haiku", "claude-haiku-5-5"),
    ("claude", "claude-sonnet-5-5"),
];
/// The context limit of a name that only resembles a family: the minimum of all Claude models.
const INFERRED_CONTEXT: u64 = 200_000;

impl Models {
    /// Reads the operator's figures. Parts that cannot be read are left out and reported in [`Models::warnings`].
    pub fn load(sources: &Sources) -> Self {
        let mut models = Self::default();
        // the file first, so that the variable overrides it
        if let Some(file) = sources.files.iter().find(|file| file.exists()) {
            models.add(&file.display().to_string(), custom::read_file(file));
        }
        if let Some(limits) = &sources.limits {
            models.add("HEADROOM_MODEL_LIMITS", custom::read_text_or_file(limits));
        }
        models
    }

    fn add(&mut self, source: &str, read: Result<custom::Read, String>) {
        match read {
            Err(error) => self.warnings.push(format!("{source}: {error}: left out")),
            Ok(read) => {
                self.warnings.extend(read.warnings.into_iter().map(|warning| format!("{source}: {warning}")));
                for (name, custom) in read.models {
                    self.custom.entry(name).or_default().update(custom);
                }
            }
        }
    }

    /// The problems in the operator's figures.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// When the built-in prices were last checked: ISO 8601.
    pub fn checked(&self) -> &'static str {
        CHECKED
    }

    /// How many days ago the built-in prices were checked, if that is so long ago that they may be wrong.
    pub fn stale_days(&self, now: UnixMs) -> Option<i64> {
        let days = parse_iso(CHECKED).map_or(i64::MAX, |checked| (now - checked) / DAY_MS);
        (days > STALE_AFTER_DAYS).then_some(days)
    }

    /// Looks up a name, for any provider. Vendor prefixes (`anthropic/`, `us.anthropic.`, `models/`) are ignored.
    pub fn get(&self, name: &str) -> Model {
        self.served_by("", name)
    }

    /// Looks up a model of a provider, by the provider's name in records: many providers serve the same model at their
    /// own prices.
    pub fn served_by(&self, provider: &str, name: &str) -> Model {
        let whole = name.trim().to_ascii_lowercase();
        let mut model = known(provider, &whole);
        let custom = self.custom.get(&whole).or_else(|| self.custom.get(bare(&whole)));
        if let Some(custom) = custom {
            custom.apply(&mut model);
        }
        model
    }
}

fn known(provider: &str, name: &str) -> Model {
    if let Some(listed) = headroom_prices::find(provider, name) {
        return Model {
            context_limit: listed.context,
            price: Some(listed.price),
            inferred: listed.resembles,
        };
    }
    let family = FAMILIES.iter().find(|(part, _)| bare(name).contains(part));
    match family.and_then(|(_, family)| headroom_prices::find("", family)) {
        Some(listed) => {
            Model { context_limit: Some(INFERRED_CONTEXT), price: Some(listed.price), inferred: true }
        }
        None => Model::default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn input(name: &str) -> Option<f64> {
        Models::default().get(name).price.map(|price| price.input)
    }

    #[test]
    fn a_dated_or_routed_name_finds_its_model() {
        for (name, price) in [
            ("claude-sonnet-4-5-20250929", 3.0),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 1.1),
            ("openai/gpt-5-mini-2025-08-07", 0.25),
            ("models/gemini-2.5-flash-lite", 0.1),
            ("claude-opus-4-20250514", 15.0),
            ("claude-opus-5-5", 4.0),
        ] {
            assert_eq!(input(name), Some(price), "{name}");
            assert!(!Models::default().get(name).inferred, "{name}");
        }
    }

    #[test]
    fn a_name_that_only_resembles_another_is_inferred_and_a_strange_one_has_no_price() {
        let models = Models::default();
        for name in ["acme-Haiku-tuned", "gpt-5.9", "claude-opus-5-9", "claude-next"] {
            assert!(models.get(name).inferred && models.get(name).price.is_some(), "{name}");
        }
        assert_eq!(models.get("acme-haiku-tuned").context_limit, Some(INFERRED_CONTEXT));
        assert_eq!(models.get("llama-9"), Model::default());
        assert_eq!(models.get(""), Model::default());
    }

    #[test]
    fn what_the_operator_says_of_a_name_holds_whoever_serves_it() {
        let limits = Some(r#"{"pricing": {"gpt-oss-120b": {"input": 9, "output": 10}}}"#.to_owned());
        let models = Models::load(&Sources { limits, files: Vec::new() });
        for provider in ["", "groq", "vllm"] {
            let price = models.served_by(provider, "openai/gpt-oss-120b").price.unwrap();
            assert_eq!((price.input, price.output), (9.0, 10.0), "{provider}");
        }
        let groq = Models::default().served_by("groq", "openai/gpt-oss-120b");
        assert!(groq.price.is_some() && !groq.inferred);
        assert_eq!(Models::default().get("openai/gpt-oss-120b"), Model::default());
    }

    #[test]
    fn prices_go_stale_a_month_after_they_were_checked() {
        let checked = parse_iso(CHECKED).unwrap();
        let models = Models::default();
        assert_eq!(models.stale_days(checked + STALE_AFTER_DAYS * DAY_MS), None);
        assert_eq!(models.stale_days(checked + (STALE_AFTER_DAYS + 1) * DAY_MS), Some(STALE_AFTER_DAYS + 1));
    }

    proptest! {
        #[test]
        fn no_name_fails(name in "\\PC{0,60}") {
            let model = Models::default().get(&name);
            prop_assert!(model.price.is_none_or(|price| price.input > 0.0));
        }
    }
}
