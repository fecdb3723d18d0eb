//! Takes JSON apart and joins it again as text: what is not changed keeps its spelling.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, in order; each value is its text in the document.
pub(crate) type Members<'a> = Vec<(String, &'a str)>;

/// The members of an object.
pub(crate) fn object(raw: &str) -> Option<Members<'_>> {
    struct Parts;
    impl<'de> Visitor<'de> for Parts {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                members.push((key, value.get()));
            }
            Ok(members)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    let members = deserializer.deserialize_map(Parts).ok()?;
    deserializer.end().ok()?;
    Some(members)
}

/// The elements of an array.
pub(crate) fn array(raw: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// The value of a member.
pub(crate) fn get<'a>(members: &Members<'a>, key: &str) -> Option<&'a str> {
    members.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
}

/// The value of a member of a member, and so on.
pub(crate) fn path<'a>(raw: &'a str, keys: &[&str]) -> Option<&'a str> {
    keys.iter().try_fold(raw, |raw, key| get(&object(raw)?, key))
}

/// The text of a string.
pub(crate) fn string(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

/// A count.
pub(crate) fn number(raw: &str) -> Option<u64> {
    raw.parse().ok()
}

/// A text as JSON.
pub(crate) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An object of these members.
pub(crate) fn write<K: AsRef<str>, V: AsRef<str>>(members: impl IntoIterator<Item = (K, V)>) -> String {
    let mut out = String::from("{");
    for (key, value) in members {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&quote(key.as_ref()));
        out.push(':');
        out.push_str(value.as_ref());
    }
    out.push('}');
    out
}

/// An array of these elements.
pub(crate) fn list<V: AsRef<str>>(elements: impl IntoIterator<Item = V>) -> String {
    let elements: Vec<V> = elements.into_iter().collect();
    format!("[{}]", elements.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(","))
}

/// The object with members replaced, or added at its end.
pub(crate) fn with(raw: &str, changes: &[(&str, &str)]) -> Option<String> {
    let members = object(raw)?;
    let kept = members.iter().map(|(key, value)| {
        let change = changes.iter().find(|(name, _)| name == key);
        (key.as_str(), change.map_or(*value, |(_, value)| *value))
    });
    let added = changes.iter().filter(|(name, _)| get(&members, name).is_none()).map(|(n, v)| (*n, *v));
    Some(write(kept.chain(added)))
}

/// The object without a member.
pub(crate) fn without(raw: &str, key: &str) -> Option<String> {
    let members = object(raw)?;
    Some(write(members.iter().filter(|(name, _)| name != key).map(|(name, value)| (name, *value))))
}

/// Changes that own their values, as [`with`] takes them.
pub(crate) fn borrowed<'c>(changes: &'c [(&'c str, String)]) -> Vec<(&'c str, &'c str)> {
    changes.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

/// The object with elements added to the array in one of its members; no other byte changes. `members` are
/// those of `raw`. OpenAI Responses allows a string in place of the array, for a single user message.
pub(crate) fn append(raw: &str, members: &Members<'_>, member: &str, elements: &[String]) -> Option<String> {
    let mut named = members.iter().filter(|(name, _)| name == member).map(|(_, value)| *value);
    let (value, None) = (named.next()?, named.next()) else { return None };
    if value.starts_with('"') {
        let message = write([("role", "\"user\""), ("content", value)]);
        let list = list([message.as_str()].into_iter().chain(elements.iter().map(String::as_str)));
        return with(raw, &[(member, &list)]);
    }
    let empty = array(value)?.is_empty();
    // The value is a slice of `raw`, so its offset follows from the two addresses.
    let close = (value.as_ptr() as usize).checked_sub(raw.as_ptr() as usize)? + value.len() - 1;
    let (head, tail) = (raw.get(..close)?, raw.get(close..)?);
    let comma = if empty { "" } else { "," };
    Some(format!("{head}{comma}{}{tail}", elements.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(raw: &str, member: &str, elements: &[String]) -> Option<String> {
        super::append(raw, &object(raw)?, member, elements)
    }

    #[test]
    fn what_is_not_touched_keeps_its_spelling() {
        let raw = r#"{ "a" : 1.0, "\u0062": [ 1e3 , "\u00e9" ], "a2": 9007199254740993 }"#;
        assert_eq!(
            with(raw, &[("c", "true")]).unwrap(),
            r#"{"a":1.0,"b":[ 1e3 , "\u00e9" ],"a2":9007199254740993,"c":true}"#
        );
        assert_eq!(
            append(raw, "b", &["2".to_owned(), "3".to_owned()]).unwrap(),
            r#"{ "a" : 1.0, "\u0062": [ 1e3 , "\u00e9" ,2,3], "a2": 9007199254740993 }"#
        );
        assert_eq!(append(r#"{"a":[]}"#, "a", &["1".to_owned()]).unwrap(), r#"{"a":[1]}"#);
    }

    #[test]
    fn a_member_is_taken_out() {
        assert_eq!(without(r#"{"a":1.0,"b":2}"#, "b").unwrap(), r#"{"a":1.0}"#);
        assert_eq!(without(r#"{"a":1}"#, "b").unwrap(), r#"{"a":1}"#);
    }

    #[test]
    fn what_cannot_be_taken_apart_is_refused() {
        for raw in ["", "[]", "{", r#"{"a":1}x"#, "null", "\u{0}"] {
            assert_eq!(object(raw), None, "{raw}");
            assert_eq!(append(raw, "a", &[]), None, "{raw}");
        }
        assert_eq!(append(r#"{"a":1}"#, "a", &[]), None);
        assert_eq!(append(r#"{"a":[],"a":[]}"#, "a", &[]), None);
    }

    #[test]
    fn paths_lead_into_objects() {
        assert_eq!(path(r#"{"a":{"b":{"c":7}}}"#, &["a", "b", "c"]), Some("7"));
        assert_eq!(path(r#"{"a":[]}"#, &["a", "b"]), None);
    }
}
