//! JSON and JSONC, edited between their comments.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode};
use serde_json::{Map, Value};

use super::Key;
use super::document::{Document, names};

/// A JSON file. An empty one counts as an empty object.
pub(super) struct Json(CstRootNode);

impl Json {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // Refuses what a strict reader refuses, except what JSONC allows: the agents that read these files
        // are not more tolerant.
        let options = ParseOptions {
            allow_comments: true,
            allow_trailing_commas: true,
            allow_loose_object_property_names: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        let root = CstRootNode::parse(text, &options).map_err(|error| error.to_string())?;
        match root.value() {
            None => {}
            Some(value) if value.as_object().is_some() => {}
            Some(_) => return Err("an object was expected at the top".to_owned()),
        }
        Ok(Self(root))
    }

    /// All of it; `None` if it is not an object.
    pub(super) fn object(&self) -> Option<Map<String, Value>> {
        match self.0.value()?.to_serde_value()? {
            Value::Object(entries) => Some(entries),
            _ => None,
        }
    }

    fn property(&self, names: &[&str]) -> Option<CstObjectProp> {
        let (last, parents) = names.split_last()?;
        let mut object = self.0.object_value()?;
        for name in parents {
            object = last_of(&object, name)?.object_value()?;
        }
        last_of(&object, last)
    }
}

/// The property that readers use: if a name occurs twice, the last one.
fn last_of(object: &CstObject, name: &str) -> Option<CstObjectProp> {
    object.properties().into_iter().rev().find(|property| property.decoded_name().as_deref() == Some(name))
}

impl Document for Json {
    fn get(&self, path: &[Key]) -> Option<Value> {
        self.property(&names(path)?)?.value()?.to_serde_value()
    }

    fn set(&mut self, path: &[Key], value: &Value) -> Result<(), String> {
        let names = names(path).ok_or("it has no lists with names")?;
        let (last, parents) = names.split_last().ok_or("no place was named")?;
        let was_empty = self.0.value().is_none();
        let mut object = self.0.object_value_or_create().ok_or("an object was expected at the top")?;
        if was_empty && !self.0.to_string().ends_with('\n') {
            // A new file ends with a line end.
            self.0 = CstRootNode::parse(&format!("{}\n", self.0), &ParseOptions::default())
                .map_err(|error| error.to_string())?;
            object = self.0.object_value().ok_or("an object was expected at the top")?;
        }
        for (depth, name) in parents.iter().enumerate() {
            object = match last_of(&object, name) {
                None => object.append(name, CstInputValue::Object(Vec::new())).object_value(),
                Some(property) => property.object_value(),
            }
            .ok_or_else(|| format!("an object was expected at {}", parents[..=depth].join(".")))?;
        }
        match last_of(&object, last) {
            None => {
                object.append(last, input(value));
            }
            Some(property) => property.set_value(input(value)),
        }
        Ok(())
    }

    fn remove(&mut self, path: &[Key]) -> bool {
        let Some(property) = names(path).and_then(|names| self.property(&names)) else { return false };
        property.remove();
        true
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(entries) => {
            CstInputValue::Object(entries.iter().map(|(name, value)| (name.clone(), input(value))).collect())
        }
    }
}
