//! Context limits and list prices of models, by the provider that serves them and by their name.
//!
//! The table is LiteLLM's, reduced by `prices.py` in this crate's folder and corrected by `overrides.toml`. A
//! model's maker has one price on any host; providers that serve other makers' models have their own prices.

mod builtin;

use self::builtin::TABLE;

/// When the table was last checked: ISO 8601.
pub const CHECKED: &str = builtin::CHECKED;

/// The maximum length of a name that is looked up: longer than any in the table.
const LONGEST_NAME: usize = 96;

/// The regions in Bedrock's names.
const REGIONS: [&str; 8] = ["us.", "eu.", "apac.", "jp.", "au.", "ca.", "global.", "us-gov."];

/// List prices, in USD per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Price {
    /// Input outside the cache.
    pub input: f64,
    /// Input read from the provider's cache.
    pub cached_read: f64,
    /// Input written to the provider's cache.
    pub cached_write: f64,
    /// The same for an entry that is kept for an hour.
    pub cached_write_1h: f64,
    /// Output.
    pub output: f64,
    /// Requests whose prompt has more than so many tokens cost this many times as much: input, then output.
    /// Ascending.
    pub steps: &'static [(u64, f64, f64)],
}

impl Price {
    /// The price for a prompt of this many tokens: the last step that the prompt exceeds applies to all of it.
    #[must_use]
    pub fn for_prompt(self, tokens: u64) -> Self {
        match self.steps.iter().rev().find(|(above, ..)| tokens > *above) {
            Some((_, input, output)) => Self {
                input: self.input * input,
                cached_read: self.cached_read * input,
                cached_write: self.cached_write * input,
                cached_write_1h: self.cached_write_1h * input,
                output: self.output * output,
                steps: &[],
            },
            None => self,
        }
    }
}

/// A model in the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListedModel {
    /// The longest prompt that it accepts, in tokens; `None` if unknown.
    pub context: Option<u64>,
    /// What it costs.
    pub price: Price,
    /// Whether the name only begins like one in the table: a different model, with the figures of the closest one.
    pub resembles: bool,
}

/// A line of the table.
struct Row {
    /// The provider, as in records; empty if the price applies on any host.
    provider: &'static str,
    /// The beginning of a name.
    name: &'static str,
    /// 0 when unknown.
    context: u64,
    price: Price,
}

const fn row(
    provider: &'static str,
    name: &'static str,
    context: u64,
    [input, cached_read, cached_write, cached_write_1h, output]: [f64; 5],
    steps: &'static [(u64, f64, f64)],
) -> Row {
    let price = Price { input, cached_read, cached_write, cached_write_1h, output, steps };
    Row { provider, name, context, price }
}

/// Looks up a model of a provider; with an empty provider, a model with one price everywhere.
///
/// The longest matching beginning in the table decides. Text before the model's own name is ignored: folders
/// (`anthropic/`, `models/`), and at Bedrock the region and, if it has no price of its own, the maker.
#[must_use]
pub fn find(provider: &str, name: &str) -> Option<ListedModel> {
    let name = name.trim().to_ascii_lowercase();
    let candidates = candidates(&name);
    let itself = candidates.iter().find_map(|candidate| {
        longest(provider, candidate)
            .filter(|row| is_release(candidate.get(row.name.len()..).unwrap_or_default()))
    });
    let listed = |row: &Row, resembles| ListedModel {
        context: (row.context > 0).then_some(row.context),
        price: row.price,
        resembles,
    };
    let relative = || candidates.iter().rev().find_map(|candidate| longest(provider, candidate));
    itself.map(|row| listed(row, false)).or_else(|| relative().map(|row| listed(row, true)))
}

/// The name without folders, then without a region, then without the maker.
fn candidates(name: &str) -> [&str; 3] {
    let name = name.rsplit('/').next().unwrap_or_default();
    let without_region = REGIONS.iter().find_map(|region| name.strip_prefix(region)).unwrap_or(name);
    [name, without_region, bare(name)]
}

/// A model's own name: without its prefixes.
#[must_use]
pub fn bare(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or_default();
    name.split_once("anthropic.").map_or(name, |(_, rest)| rest)
}

fn longest(provider: &str, name: &str) -> Option<&'static Row> {
    (1..=name.len().min(LONGEST_NAME)).rev().filter_map(|end| name.get(..end)).find_map(|beginning| {
        let exact = |provider: &str| {
            let place =
                TABLE.binary_search_by(|row| (row.provider, row.name).cmp(&(provider, beginning))).ok()?;
            TABLE.get(place)
        };
        exact(provider).or_else(|| exact(""))
    })
}

/// Whether what follows a model's name only names a release of it: a date, `latest`, a version of
/// a hosted copy. `gpt-5.9` is not a release of `gpt-5`.
fn is_release(rest: &str) -> bool {
    let Some(tag) = rest.strip_prefix(['-', '@', ':']) else { return rest.is_empty() };
    let digits = tag.bytes().take_while(u8::is_ascii_digit).count();
    digits >= 4 || tag.starts_with("latest") || tag.starts_with("preview") || tag.starts_with("v1")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn prices(provider: &str, name: &str) -> [f64; 5] {
        let price = find(provider, name).map(|listed| listed.price).unwrap_or_default();
        [price.input, price.cached_read, price.cached_write, price.cached_write_1h, price.output]
    }

    #[test]
    fn known_prices_are_those_of_the_providers_price_pages() {
        for (provider, name, expected) in [
            ("anthropic", "claude-opus-5-5", [4.0, 0.2, 5.0, 8.0, 20.0]),
            ("anthropic", "claude-sonnet-4-5-20250929", [3.0, 0.3, 3.75, 6.0, 15.0]),
            ("anthropic", "claude-3-haiku-20240307", [0.25, 0.03, 0.3, 0.5, 1.25]),
            ("openai", "gpt-5.6-terra", [2.0, 0.2, 2.5, 2.5, 12.0]),
            ("openai", "gpt-4o-2024-11-20", [2.5, 1.25, 2.5, 2.5, 10.0]),
            ("azure", "gpt-5-mini", [0.25, 0.025, 0.25, 0.25, 2.0]),
            ("gemini", "models/gemini-2.5-pro", [1.25, 0.125, 1.25, 1.25, 10.0]),
            ("vertex", "claude-opus-4-5@20251101", [5.0, 0.5, 6.25, 10.0, 25.0]),
            ("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", [1.1, 0.11, 1.375, 2.2, 5.5]),
            ("bedrock", "global.anthropic.claude-haiku-4-5-20251001-v1:0", [1.0, 0.1, 1.25, 2.0, 5.0]),
            ("bedrock", "amazon.nova-pro-v1:0", [0.8, 0.2, 0.8, 0.8, 3.2]),
            ("deepseek", "deepseek-chat", [0.28, 0.028, 0.28, 0.28, 0.42]),
            ("dashscope", "qwen3.7-plus", [0.4, 0.08, 0.4, 0.4, 1.6]),
        ] {
            assert_eq!(prices(provider, name), expected, "{provider} {name}");
        }
    }

    #[test]
    fn an_open_model_has_the_price_of_who_serves_it_and_none_elsewhere() {
        let [groq, together] = ["groq", "cerebras"].map(|provider| prices(provider, "openai/gpt-oss-120b"));
        assert!(groq[0] > 0.0 && together[0] > 0.0 && groq != together, "{groq:?} {together:?}");
        assert_eq!(find("", "gpt-oss-120b"), None);
        assert_eq!(find("vllm", "openai/gpt-oss-120b"), None);
    }

    #[test]
    fn the_longest_beginning_decides_and_tells_a_release_from_another_model() {
        let whose = |name| find("", name).map(|listed| (listed.price.input, listed.resembles));
        assert_eq!(whose("gpt-5-mini-2025-08-07"), Some((0.25, false)));
        assert_eq!(whose("gpt-5-2025-08-07"), Some((1.25, false)));
        assert_eq!(whose("gpt-5.9"), Some((1.25, true)));
        assert_eq!(whose("claude-opus-5-9"), Some((5.0, true)));
        assert_eq!(
            whose("eu.anthropic.claude-opus-5-9"),
            Some((5.0, true)),
            "the maker's figures, not a region's"
        );
        assert_eq!(whose("llama-9"), None);
        assert_eq!(whose(""), None);
    }

    #[test]
    fn a_step_reprices_the_whole_request_and_there_may_be_several() {
        let haiku = find("", "claude-haiku-5-5").unwrap().price;
        assert_eq!(haiku.for_prompt(100_000), haiku);
        assert_eq!(haiku.for_prompt(100_001).cached_read, 0.05);
        assert_eq!(haiku.for_prompt(100_001).cached_write_1h, 1.0);
        for (name, above) in [("gemini-2.5-pro", 200_000), ("gpt-5.5", 272_000)] {
            let price = find("", name).unwrap().price;
            let long = price.for_prompt(above + 1);
            assert_eq!(price.for_prompt(above), price, "{name}");
            assert_eq!((long.input, long.output), (2.0 * price.input, 1.5 * price.output), "{name}");
        }
        let coder = find("dashscope", "qwen3-coder-plus").unwrap().price;
        let inputs = [32_000, 128_000, 128_001, 256_001].map(|tokens| coder.for_prompt(tokens).input);
        assert_eq!(inputs, [1.0, 1.8, 3.0, 6.0]);
    }

    #[test]
    fn every_row_is_found_by_its_own_name_and_has_figures_that_can_be() {
        assert!(TABLE.is_sorted_by(|one, next| (one.provider, one.name) < (next.provider, next.name)));
        for row in TABLE {
            assert!(row.name.len() <= LONGEST_NAME, "{}", row.name);
            let found = find(row.provider, row.name).unwrap();
            assert_eq!((found.price, found.resembles), (row.price, false), "{} {}", row.provider, row.name);
            let price = row.price;
            assert!(price.input > 0.0 && price.output > 0.0, "{}", row.name);
            // Providers read from their cache for 0.02 of the input and more, and write for at most twice.
            assert!(
                (0.008..=1.0).contains(&(price.cached_read / price.input)),
                "{} {}",
                row.provider,
                row.name
            );
            let written = [price.cached_write, price.cached_write_1h].map(|write| write / price.input);
            assert!(
                written.iter().all(|share| (0.99..=2.01).contains(share)),
                "{} {}",
                row.provider,
                row.name
            );
            assert!(row.price.steps.is_sorted_by_key(|(above, ..)| *above), "{}", row.name);
        }
    }

    /// The wheel is not in the repository. To compare: `pip download --no-deps litellm==… --dest DIR` and
    /// `HEADROOM_LITELLM_WHEEL=DIR/litellm-….whl`.
    #[test]
    fn the_table_is_what_the_script_makes_of_the_pinned_version() {
        let Some(wheel) = std::env::var_os("HEADROOM_LITELLM_WHEEL").filter(|wheel| !wheel.is_empty()) else {
            eprintln!(
                "SKIPPED: HEADROOM_LITELLM_WHEEL names no wheel of LiteLLM, so builtin.rs was not made anew"
            );
            return;
        };
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("prices.py");
        let made = Command::new("python3").arg(script).arg("--check").arg(wheel).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    proptest! {
        #[test]
        fn no_name_fails(provider in "\\PC{0,20}", name in "\\PC{0,300}") {
            prop_assert!(find(&provider, &name).is_none_or(|listed| listed.price.input > 0.0));
        }
    }
}
