//! Context limits and list prices of models, by name.
//!
//! What the operator says comes first (`HEADROOM_MODEL_LIMITS`, then `models.json`), then the
//! built-in table by the longest matching beginning of the name, then the family that the name
//! resembles. Looking a name up cannot fail, and neither can a broken file: it is reported and left
//! out.

mod builtin;
mod custom;

use std::collections::BTreeMap;
use std::path::PathBuf;

use self::builtin::Row;
use self::custom::Custom;
use crate::clock::{DAY_MS, UnixMs, parse_iso};

/// Age at which the built-in prices are reported as stale, as in upstream.
const STALE_AFTER_DAYS: i64 = 30;

/// What is known of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Model {
    /// The longest conversation that it takes, in tokens; `None` when unknown.
    pub context_limit: Option<u64>,
    /// What it costs; `None` when unknown.
    pub price: Option<Price>,
    /// Taken over from a model or family whose name it resembles.
    pub inferred: bool,
}

/// List prices, in USD per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    /// Input outside the cache.
    pub input: f64,
    /// Input read from the provider's cache.
    pub cached_read: f64,
    /// Input written to the provider's cache.
    pub cached_write: f64,
    /// The same where it is kept for an hour.
    pub cached_write_1h: f64,
    /// Output.
    pub output: f64,
    /// Prompts of more than so many tokens cost so many times as much: input, then output.
    pub long: Option<(u64, f64, f64)>,
}

impl Price {
    /// What a request with a prompt of so many tokens is charged.
    pub fn for_prompt(self, tokens: u64) -> Self {
        match self.long {
            Some((above, input, output)) if tokens > above => Self {
                input: self.input * input,
                cached_read: self.cached_read * input,
                cached_write: self.cached_write * input,
                cached_write_1h: self.cached_write_1h * input,
                output: self.output * output,
                long: None,
            },
            _ => self,
        }
    }
}

/// The known models.
#[derive(Debug, Default)]
pub struct Models {
    custom: BTreeMap<String, Custom>,
    warnings: Vec<String>,
}

/// Where the operator's own figures may stand.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `HEADROOM_MODEL_LIMITS`: JSON, or the path of a file.
    pub limits: Option<String>,
    /// `models.json`, the first that exists.
    pub files: Vec<PathBuf>,
}

/// What a name that only resembles a family takes over, in this order.
const FAMILIES: &[(&str, &str)] = &[
    ("opus", "claude-opus-5-5"),
    ("sonnet", "claude-sonnet-5-5"),
    ("haiku", "claude-haiku-5-5"),
    ("claude", "claude-sonnet-5-5"),
];
/// The context limit of a name that only resembles a family: what every Claude model takes.
const INFERRED_CONTEXT: u64 = 200_000;

impl Models {
    /// Reads the operator's figures. What cannot be read is left out and said in [`Models::warnings`].
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

    /// What is wrong with the operator's figures.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// When the built-in prices were last checked: ISO 8601.
    pub fn checked(&self) -> &'static str {
        builtin::CHECKED
    }

    /// How many days ago the built-in prices were checked, when that is so long that they may be wrong.
    pub fn stale_days(&self, now: UnixMs) -> Option<i64> {
        let days = parse_iso(builtin::CHECKED).map_or(i64::MAX, |checked| (now - checked) / DAY_MS);
        (days > STALE_AFTER_DAYS).then_some(days)
    }

    /// What is known of a name. Vendor prefixes (`anthropic/`, `us.anthropic.`, `models/`) do not matter.
    pub fn get(&self, name: &str) -> Model {
        let whole = name.trim().to_ascii_lowercase();
        let bare = bare(&whole);
        let mut model = known(bare);
        let custom = self.custom.get(&whole).or_else(|| self.custom.get(bare));
        if let Some(custom) = custom {
            custom.apply(&mut model);
        }
        model
    }
}

fn known(name: &str) -> Model {
    if let Some(row) = longest_prefix(name) {
        let rest = &name[row.prefix.len()..];
        return model(row, !is_release(rest));
    }
    let family = FAMILIES.iter().find(|(part, _)| name.contains(part));
    match family.and_then(|(_, family)| longest_prefix(family)) {
        Some(row) => Model { context_limit: Some(INFERRED_CONTEXT), ..model(row, true) },
        None => Model::default(),
    }
}

fn bare(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or_default();
    name.split_once("anthropic.").map_or(name, |(_, rest)| rest)
}

fn longest_prefix(name: &str) -> Option<&'static Row> {
    builtin::TABLE.iter().filter(|row| name.starts_with(row.prefix)).max_by_key(|row| row.prefix.len())
}

/// Whether what follows a model's name only says which release of it: a date, `latest`, a version of
/// a hosted copy. `gpt-5.9` is not a release of `gpt-5`.
fn is_release(rest: &str) -> bool {
    let Some(tag) = rest.strip_prefix(['-', '@', ':']) else { return rest.is_empty() };
    let digits = tag.bytes().take_while(u8::is_ascii_digit).count();
    digits >= 4 || tag.starts_with("latest") || tag.starts_with("preview") || tag.starts_with("v1")
}

fn model(row: &Row, inferred: bool) -> Model {
    let price = Price {
        input: row.input,
        cached_read: row.cached_read,
        cached_write: row.cached_write,
        cached_write_1h: row.cached_write_1h(),
        output: row.output,
        long: row.long,
    };
    Model { context_limit: Some(row.context), price: Some(price), inferred }
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
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 1.0),
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
    fn a_long_prompt_costs_more_where_the_provider_says_so() {
        let price = Models::default().get("claude-haiku-5-5").price.unwrap();
        assert_eq!(price.for_prompt(100_000).input, 0.1);
        assert_eq!(price.for_prompt(100_001).cached_read, 0.05);
        let flat = Models::default().get("claude-haiku-4-5").price.unwrap();
        assert_eq!(flat.for_prompt(u64::MAX), flat);
    }

    #[test]
    fn prices_go_stale_a_month_after_they_were_checked() {
        let checked = parse_iso(builtin::CHECKED).unwrap();
        let models = Models::default();
        assert_eq!(models.stale_days(checked + STALE_AFTER_DAYS * DAY_MS), None);
        assert_eq!(models.stale_days(checked + (STALE_AFTER_DAYS + 1) * DAY_MS), Some(STALE_AFTER_DAYS + 1));
    }

    #[test]
    fn every_row_is_found_by_its_own_name_and_reading_a_cache_never_costs_more() {
        for row in builtin::TABLE {
            assert_eq!(longest_prefix(row.prefix).map(|found| found.prefix), Some(row.prefix));
            assert!(row.cached_read <= row.input && row.input < row.output, "{}", row.prefix);
        }
    }

    proptest! {
        #[test]
        fn no_name_fails(name in "\\PC{0,60}") {
            let model = Models::default().get(&name);
            prop_assert!(model.price.is_none_or(|price| price.input > 0.0));
        }
    }
}
