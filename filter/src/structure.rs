//! A `google.protobuf.Struct` as plugin configuration.
//!
//! Envoy takes JSON text out of a `StringValue` or a `BytesValue`. For anything else it passes the encoded
//! bytes, although its documentation promises JSON for a `Struct`.

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value as Field};
use serde_json::{Map, Number, Value};

/// Up to here `f64`, the only number type of a structure, represents every integer.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// The object that the bytes encode; `None` if they are something else.
pub(crate) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    let decoded = Struct::decode(bytes).ok()?;
    // Decoding ignores unknown fields, so it accepts many broken texts as a structure without fields.
    let is_one = !decoded.fields.is_empty() && decoded.encoded_len() == bytes.len();
    is_one.then(|| map(decoded))
}

fn map(object: Struct) -> Map<String, Value> {
    object.fields.into_iter().map(|(key, field)| (key, value(field))).collect()
}

fn value(field: Field) -> Value {
    match field.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::NumberValue(number)) => self::number(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::StructValue(object)) => Value::Object(map(object)),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(value).collect()),
    }
}

fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= MAX_EXACT {
        return Value::Number((number as i64).into());
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The bytes of an object as a structure.
    fn bytes(object: &Value) -> Vec<u8> {
        let Some(Kind::StructValue(encoded)) = field(object).kind else { panic!("expected an object") };
        encoded.encode_to_vec()
    }

    fn field(value: &Value) -> Field {
        let fields = |map: &Map<String, Value>| Struct {
            fields: map.iter().map(|(key, value)| (key.clone(), field(value))).collect(),
        };
        Field {
            kind: Some(match value {
                Value::Null => Kind::NullValue(0),
                Value::Bool(flag) => Kind::BoolValue(*flag),
                Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
                Value::String(text) => Kind::StringValue(text.clone()),
                Value::Array(items) => {
                    Kind::ListValue(prost_types::ListValue { values: items.iter().map(field).collect() })
                }
                Value::Object(map) => Kind::StructValue(fields(map)),
            }),
        }
    }

    #[test]
    fn a_structure_is_the_object_that_its_json_is() {
        let object = json!({"a": 16_777_216, "b": [true, null, "ü", -0.5], "c": {"d": {}}, "e": []});
        assert_eq!(super::object(&bytes(&object)), object.as_object().cloned());
    }

    #[test]
    fn a_number_that_json_cannot_write_is_null() {
        let fields = [("n".to_owned(), Field { kind: Some(Kind::NumberValue(f64::NAN)) })].into();
        assert_eq!(object(&Struct { fields }.encode_to_vec()).unwrap()["n"], Value::Null);
    }

    proptest! {
        #[test]
        fn a_broken_text_is_no_structure(text in "[\\[{\"a-z:, ]{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(object(text.as_bytes()), None);
            // Other bytes may happen to be a structure, and must not be read beyond their end.
            object(&bytes);
        }
    }
}
