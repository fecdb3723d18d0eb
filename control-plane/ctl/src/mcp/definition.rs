//! How a tool is declared, and how the arguments of its calls are read.

use rmcp::ErrorData;
use rmcp::model::{JsonObject, Tool};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) fn unknown(name: &str) -> ErrorData {
    ErrorData::invalid_params(format!("there is no tool {name:?}"), None)
}

pub(super) fn read<T: for<'de> Deserialize<'de>>(arguments: JsonObject) -> Result<T, ErrorData> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| ErrorData::invalid_params(error.to_string(), None))
}

pub(super) fn tool(name: &'static str, about: &'static str, properties: Value, required: Value) -> Tool {
    let schema = json!({"type": "object", "properties": properties, "required": required});
    let schema = if let Value::Object(schema) = schema { schema } else { JsonObject::new() };
    Tool::new(name, about, schema)
}
