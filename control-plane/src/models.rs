//! Context limits and list prices of models, by name.
//!
//! An exact name or the longest known prefix decides; a name that only resembles a family takes
//! that family's figures and says so ([`Model::inferred`]); anything else has no figures. Looking a
//! name up cannot fail.

mod builtin;

/// What is known of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// The longest conversation that it takes, in tokens; `None` when unknown.
    pub context_limit: Option<u64>,
    /// What it costs; `None` when unknown.
    pub price: Option<Price>,
    /// Taken over from a family that the name resembles.
    pub inferred: bool,
}

/// List prices, in USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Input outside the cache.
    pub input: f64,
    /// Input read from the provider's cache.
    pub cached_read: f64,
    /// Input written to the provider's cache.
    pub cached_write: f64,
    /// Output.
    pub output: f64,
}

/// The known models.
#[derive(Debug, Default)]
pub struct Models;

/// What a name that only resembles a family takes over, in this order: the original's rule.
const FAMILIES: &[(&str, &str)] = &[
    ("opus", "claude-opus-4-5"),
    ("haiku", "claude-haiku-4-5"),
    ("sonnet", "claude-sonnet-4"),
    ("claude", "claude-sonnet-4"),
];

impl Models {
    /// When the built-in prices were last checked: `2026-01-31`.
    pub fn checked(&self) -> &'static str {
        builtin::CHECKED
    }

    /// What is known of a name. Vendor prefixes (`anthropic/`, `us.anthropic.`, `models/`) do not matter.
    pub fn get(&self, name: &str) -> Model {
        let name = bare(name);
        if let Some(row) = longest_prefix(&name) {
            return model(row, false);
        }
        FAMILIES
            .iter()
            .find(|(part, _)| name.contains(part))
            .and_then(|(_, family)| longest_prefix(family))
            .map_or(Model { context_limit: None, price: None, inferred: false }, |row| model(row, true))
    }
}

fn bare(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    let name = name.rsplit('/').next().unwrap_or_default();
    let name = name.split_once("anthropic.").map_or(name, |(_, rest)| rest);
    name.to_owned()
}

fn longest_prefix(name: &str) -> Option<&'static builtin::Row> {
    builtin::TABLE.iter().filter(|row| name.starts_with(row.0)).max_by_key(|row| row.0.len())
}

fn model(&(_, _, context, input, cached_read, cached_write, output): &builtin::Row, inferred: bool) -> Model {
    let price = Price { input, cached_read, cached_write, output };
    Model { context_limit: Some(context), price: Some(price), inferred }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_dated_or_routed_name_finds_its_model() {
        let input = |name: &str| Models.get(name).price.map(|price| price.input);
        assert_eq!(input("claude-sonnet-4-5-20250929"), Some(3.0));
        assert_eq!(input("us.anthropic.claude-haiku-4-5-20251001-v1:0"), Some(1.0));
        assert_eq!(input("openai/gpt-5-mini-2025-08-07"), Some(0.25));
        assert_eq!(input("models/gemini-2.5-flash-lite"), Some(0.1));
        assert_eq!(input("claude-opus-4-1"), Some(15.0));
    }

    #[test]
    fn a_name_that_resembles_a_family_is_inferred_and_another_has_no_price() {
        let custom = Models.get("acme-Haiku-tuned");
        assert!(custom.inferred);
        assert_eq!(custom.price.unwrap().input, 1.0);
        assert_eq!(Models.get("llama-9").price, None);
        assert_eq!(Models.get("").context_limit, None);
    }

    proptest! {
        #[test]
        fn no_name_fails(name in "\\PC{0,60}") {
            let model = Models.get(&name);
            prop_assert!(model.price.is_none_or(|price| price.input > 0.0));
        }
    }
}
