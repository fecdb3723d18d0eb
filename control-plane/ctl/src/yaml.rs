//! YAML as JSON, for what is written by hand in the one and read by a program that takes the other.

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Number, Value};

/// The one object of a text; empty for an empty text.
pub fn object(text: &str) -> Result<Map<String, Value>, String> {
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    match documents.as_slice() {
        [] => Ok(Map::new()),
        [one] => match json_of(one)? {
            Value::Object(object) => Ok(object),
            Value::Null => Ok(Map::new()),
            _ => Err("a mapping was expected at the top".to_owned()),
        },
        _ => Err("it holds more than one document".to_owned()),
    }
}

fn json_of(node: &Yaml<'_>) -> Result<Value, String> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(flag)) => (*flag).into(),
        Yaml::Value(Scalar::Integer(number)) => (*number).into(),
        Yaml::Value(Scalar::FloatingPoint(number)) => {
            Number::from_f64(number.into_inner()).map(Value::Number).ok_or("JSON has no such number")?
        }
        Yaml::Value(Scalar::String(text)) => text.to_string().into(),
        Yaml::Representation(text, ..) => text.to_string().into(),
        Yaml::Sequence(items) => items.iter().map(json_of).collect::<Result<Vec<_>, _>>()?.into(),
        Yaml::Mapping(fields) => {
            let fields = fields.iter().map(|(name, value)| match name {
                Yaml::Value(Scalar::String(name)) => Ok((name.to_string(), json_of(value)?)),
                _ => Err("a key is not text".to_owned()),
            });
            Value::Object(fields.collect::<Result<_, String>>()?)
        }
        Yaml::Tagged(_, node) => json_of(node)?,
        Yaml::Alias(_) | Yaml::BadValue => return Err("a value is not understood".to_owned()),
    })
}
