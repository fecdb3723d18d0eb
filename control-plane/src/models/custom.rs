//! The operator's figures, in upstream's format:
//!
//! ```json
//! {"anthropic": {"context_limits": {"m": 200000},
//!                "pricing": {"m": {"input": 3.0, "output": 15.0, "cached_input": 0.3}}}}
//! ```
//!
//! or the inner object alone. `cached_write` is this program's addition.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Model, Price};

/// Bytes that are read from a file: enough for thousands of models.
const MAX_BYTES: u64 = 1 << 20;
/// Maximum number of models.
const MAX_MODELS: usize = 10_000;
/// Dollars per million tokens above which a price counts as a mistake.
const MAX_PRICE: f64 = 1e5;

/// The operator's figures of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Custom {
    context_limit: Option<u64>,
    input: Option<f64>,
    cached_read: Option<f64>,
    cached_write: Option<f64>,
    output: Option<f64>,
}

/// The figures that could be read, and the problems.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) models: BTreeMap<String, Custom>,
    pub(super) warnings: Vec<String>,
}

impl Custom {
    /// Takes the values of a later source.
    pub(super) fn update(&mut self, later: Self) {
        self.context_limit = later.context_limit.or(self.context_limit);
        self.input = later.input.or(self.input);
        self.cached_read = later.cached_read.or(self.cached_read);
        self.cached_write = later.cached_write.or(self.cached_write);
        self.output = later.output.or(self.output);
    }

    /// Applies these figures over the known ones. If only the input price is given, cached input costs the
    /// same: a saving should be understated rather than invented.
    pub(super) fn apply(&self, model: &mut Model) {
        model.context_limit = self.context_limit.or(model.context_limit);
        let before = model.price;
        let Some(input) = self.input.or(before.map(|price| price.input)) else { return };
        let known = before.filter(|_| self.input.is_none());
        let or = |given: Option<f64>, known: Option<f64>| given.or(known).unwrap_or(input);
        model.price = Some(Price {
            input,
            cached_read: or(self.cached_read, known.map(|price| price.cached_read)),
            cached_write: or(self.cached_write, known.map(|price| price.cached_write)),
            cached_write_1h: or(self.cached_write, known.map(|price| price.cached_write_1h)),
            output: or(self.output, before.map(|price| price.output)),
            steps: known.map_or(&[], |price| price.steps),
        });
        if self.input.is_some() {
            model.inferred = false;
        }
    }
}

/// `HEADROOM_MODEL_LIMITS`: JSON if it begins like JSON, otherwise a path.
pub(super) fn read_text_or_file(text: &str) -> Result<Read, String> {
    if text.trim_start().starts_with('{') {
        parse(text.as_bytes())
    } else {
        read_file(Path::new(text.trim()))
    }
}

pub(super) fn read_file(path: &Path) -> Result<Read, String> {
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("larger than {MAX_BYTES} bytes"));
    }
    parse(&text)
}

fn parse(text: &[u8]) -> Result<Read, String> {
    let root: Value = serde_json::from_slice(text).map_err(|error| format!("not JSON ({error})"))?;
    let Value::Object(root) = root else { return Err("expected a JSON object".to_owned()) };
    let mut read = Read::default();
    if is_provider(&root) {
        read.add(&root);
    } else {
        for (name, provider) in &root {
            match provider {
                Value::Object(provider) if is_provider(provider) => read.add(provider),
                _ => read.warnings.push(format!("{name:.40}: expected context_limits or pricing in it")),
            }
        }
    }
    Ok(read)
}

fn is_provider(object: &Map<String, Value>) -> bool {
    object.contains_key("context_limits") || object.contains_key("pricing")
}

impl Read {
    fn add(&mut self, provider: &Map<String, Value>) {
        for (name, limit) in entries(provider, "context_limits") {
            match limit.as_u64().filter(|limit| *limit > 0) {
                Some(limit) => self.set(name, Custom { context_limit: Some(limit), ..Custom::default() }),
                None => self.warnings.push(format!("{name:.40}: expected a positive number of tokens")),
            }
        }
        for (name, price) in entries(provider, "pricing") {
            let mut given = |field: &str| match &price[field] {
                Value::Null => None,
                value => {
                    let number = value.as_f64().filter(|price| (0.0..=MAX_PRICE).contains(price));
                    if number.is_none() {
                        self.warnings.push(format!("{name:.40}: {field}: expected USD per million tokens"));
                    }
                    number
                }
            };
            let custom = Custom {
                context_limit: None,
                input: given("input"),
                cached_read: given("cached_input"),
                cached_write: given("cached_write"),
                output: given("output"),
            };
            self.set(name, custom);
        }
    }

    fn set(&mut self, name: &str, custom: Custom) {
        let name = name.trim().to_ascii_lowercase();
        if self.models.len() < MAX_MODELS || self.models.contains_key(&name) {
            self.models.entry(name).or_default().update(custom);
        }
    }
}

fn entries<'v>(
    provider: &'v Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = (&'v String, &'v Value)> {
    provider.get(name).and_then(Value::as_object).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Models, Sources};

    fn with_limits(text: &str) -> Models {
        Models::load(&Sources { limits: Some(text.to_owned()), files: Vec::new() })
    }

    #[test]
    fn both_shapes_are_read_and_go_before_the_table() {
        let inner = r#"{"context_limits": {"Acme-9": 5000}, "pricing": {"acme-9": {"input": 1, "output": 2, "cached_input": 0.5}}}"#;
        for text in [inner.to_owned(), format!("{{\"acme\": {inner}}}")] {
            let model = with_limits(&text).get("vendor/acme-9");
            assert_eq!(model.context_limit, Some(5000));
            let price = model.price.unwrap();
            assert_eq!(
                (price.input, price.cached_read, price.cached_write, price.output),
                (1.0, 0.5, 1.0, 2.0)
            );
        }
    }

    #[test]
    fn the_variable_overrides_the_file_and_the_table_fills_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("models.json");
        std::fs::write(
            &file,
            r#"{"pricing": {"gpt-5": {"input": 9}, "x": {"input": 1}}, "context_limits": {"gpt-5": 7}}"#,
        )
        .unwrap();
        let limits = Some(r#"{"pricing": {"gpt-5": {"input": 8}}}"#.to_owned());
        let models = Models::load(&Sources { limits, files: vec![dir.path().join("none"), file] });
        let gpt = models.get("gpt-5");
        assert_eq!(
            (gpt.context_limit, gpt.price.unwrap().input, gpt.price.unwrap().output),
            (Some(7), 8.0, 10.0)
        );
        assert_eq!(models.get("x").price.unwrap().output, 1.0);
        assert!(models.warnings().is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_said() {
        for (text, said) in [
            ("{", "not JSON"),
            (r#"{"anthropic": 5}"#, "expected context_limits or pricing"),
            (r#"{"pricing": {"m": {"input": "three"}}}"#, "input: expected USD"),
            (r#"{"pricing": {"m": {"input": -1}}}"#, "input: expected USD"),
            (r#"{"context_limits": {"m": 0}}"#, "positive number"),
            ("nowhere.json", "cannot be read"),
        ] {
            let models = with_limits(text);
            assert!(
                models.warnings().iter().any(|warning| warning.contains(said)),
                "{text}: {:?}",
                models.warnings()
            );
            assert_eq!(models.get("gpt-5").price.unwrap().input, 1.25);
        }
    }

    proptest! {
        #[test]
        fn no_text_stops_a_lookup(text in "\\PC{0,200}") {
            let models = with_limits(&text);
            prop_assert!(models.get("claude-sonnet-4-5").price.is_some());
        }
    }
}
