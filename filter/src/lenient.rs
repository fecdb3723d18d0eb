//! Reads a JSON object key by key and replaces values that it cannot use.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// More warnings would only repeat themselves in the log.
const MAX_WARNINGS: usize = 32;

/// An object whose keys are taken one by one; keys that are left at the end are unknown.
pub(crate) struct Reader {
    object: Map<String, Value>,
    /// Put before the keys in warnings: `control_plane.`, or nothing.
    prefix: String,
    warnings: Vec<String>,
    errors: u64,
}

impl Reader {
    pub(crate) fn new(object: Map<String, Value>) -> Self {
        Self { object, prefix: String::new(), warnings: Vec::new(), errors: 0 }
    }

    /// The warnings and the number of values that were replaced.
    pub(crate) fn finish(mut self) -> (Vec<String>, u64) {
        self.name_unknown_keys();
        (self.warnings, self.errors)
    }

    /// Takes over the warnings and errors of a section.
    pub(crate) fn close(&mut self, mut section: Reader) {
        section.name_unknown_keys();
        self.errors += section.errors;
        for warning in section.warnings {
            self.push(warning);
        }
    }

    /// Notes something that the operator should know about a key.
    pub(crate) fn warn(&mut self, key: &str, what: &str) {
        self.push(format!("{}{key} {what}", self.prefix));
    }

    /// Counts a value that cannot be used.
    pub(crate) fn refuse(&mut self, key: &str, expected: &str, now: &str) {
        self.errors += 1;
        self.push(format!("{}{key}: {expected}; {now}", self.prefix));
    }

    pub(crate) fn one_of<T: Copy>(&mut self, key: &str, names: &[(&str, T)], default: T) -> T {
        self.choice(key, names, "the default is used").unwrap_or(default)
    }

    /// As [`Reader::one_of`], but an absent key is an error too.
    pub(crate) fn required_one_of<T: Copy>(
        &mut self,
        key: &str,
        names: &[(&str, T)],
        now: &str,
    ) -> Option<T> {
        if self.object.get(key).is_none_or(Value::is_null) {
            self.object.remove(key);
            self.refuse(key, "expected a value, found none", now);
            return None;
        }
        self.choice(key, names, now)
    }

    /// As [`Reader::one_of`], but a value that cannot be used is replaced by `careful`, not by the default.
    pub(crate) fn guarded<T: Copy>(
        &mut self,
        key: &str,
        names: &[(&str, T)],
        default: T,
        (careful, now): (T, &str),
    ) -> T {
        if self.object.get(key).is_none_or(Value::is_null) {
            self.object.remove(key);
            return default;
        }
        self.choice(key, names, now).unwrap_or(careful)
    }

    /// A glob; `None` if the key is absent, an error if its value is not a glob.
    pub(crate) fn pattern(&mut self, key: &str, now: &str) -> Result<Option<String>, ()> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(pattern)) if !pattern.is_empty() => Ok(Some(pattern)),
            Some(other) => {
                self.refuse(key, &format!("expected a name or a glob, found {other}"), now);
                Err(())
            }
        }
    }

    pub(crate) fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(Value::Bool(flag)) => flag,
            Some(other) => {
                self.refuse(key, &format!("expected true or false, found {other}"), "the default is used");
                default
            }
        }
    }

    /// As [`Reader::flag`], but `None` if the key is absent.
    pub(crate) fn optional_flag(&mut self, key: &str) -> Option<bool> {
        match self.take(key)? {
            Value::Bool(flag) => Some(flag),
            other => {
                self.refuse(key, &format!("expected true or false, found {other}"), "the default is used");
                None
            }
        }
    }

    pub(crate) fn number(&mut self, key: &str, range: RangeInclusive<u32>, default: u32) -> u32 {
        let Some(value) = self.take(key) else { return default };
        match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
            Some(number) if range.contains(&number) => number,
            _ => {
                let expected = format!("expected {} to {}, found {value}", range.start(), range.end());
                self.refuse(key, &expected, "the default is used");
                default
            }
        }
    }

    /// A number that has to be there; `None`: it is absent or cannot be used.
    pub(crate) fn required_number(
        &mut self,
        key: &str,
        range: RangeInclusive<u32>,
        now: &str,
    ) -> Option<u32> {
        let value = self.take(key);
        let number = value.as_ref().and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        let found = value.map_or_else(|| "none".to_owned(), |value| value.to_string());
        self.refuse(key, &format!("expected {} to {}, found {found}", range.start(), range.end()), now);
        None
    }

    /// A number that counts things in memory.
    pub(crate) fn bytes(&mut self, key: &str, range: RangeInclusive<usize>, default: usize) -> usize {
        let Some(value) = self.take(key) else { return default };
        match value.as_u64().and_then(|number| usize::try_from(number).ok()) {
            Some(number) if range.contains(&number) => number,
            _ => {
                let expected = format!("expected {} to {}, found {value}", range.start(), range.end());
                self.refuse(key, &expected, "the default is used");
                default
            }
        }
    }

    pub(crate) fn text(&mut self, key: &str) -> String {
        match self.take(key) {
            None => String::new(),
            Some(Value::String(text)) => text,
            Some(other) => {
                self.refuse(key, &format!("expected a string, found {other}"), "it is left empty");
                String::new()
            }
        }
    }

    pub(crate) fn texts(&mut self, key: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for value in self.items(key) {
            match value {
                Value::String(text) => texts.push(text),
                other => self.refuse(key, &format!("expected strings, found {other}"), "it is left out"),
            }
        }
        texts
    }

    /// An object under a key; hand it back with [`Reader::close`].
    pub(crate) fn section(&mut self, key: &str) -> Option<Reader> {
        match self.take(key) {
            None => None,
            Some(Value::Object(object)) => Some(self.nested(key, object)),
            Some(other) => {
                self.refuse(key, &format!("expected an object, found {other}"), "it is ignored");
                None
            }
        }
    }

    /// The objects of an array under a key; hand each back with [`Reader::close`].
    pub(crate) fn sections(&mut self, key: &str) -> Vec<Reader> {
        let mut sections = Vec::new();
        for value in self.items(key) {
            match value {
                Value::Object(object) => sections.push(self.nested(key, object)),
                other => self.refuse(key, &format!("expected objects, found {other}"), "it is left out"),
            }
        }
        sections
    }

    /// As [`Reader::sections`], but an element that is not an object keeps its place as `None`. A value that
    /// is not an array counts as one such element.
    pub(crate) fn guarded_sections(&mut self, key: &str, now: &str) -> Vec<Option<Reader>> {
        let items = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.refuse(key, &format!("expected an array, found {other}"), now);
                return vec![None];
            }
        };
        let mut sections = Vec::new();
        for item in items {
            sections.push(match item {
                Value::Object(object) => Some(self.nested(key, object)),
                other => {
                    self.refuse(key, &format!("expected objects, found {other}"), now);
                    None
                }
            });
        }
        sections
    }

    /// Counts every key that was not taken as an error, and returns whether there was one.
    pub(crate) fn refuse_unknown_keys(&mut self, now: &str) -> bool {
        let keys: Vec<String> = std::mem::take(&mut self.object).into_iter().map(|(key, _)| key).collect();
        for key in &keys {
            self.refuse(key, "this version knows no such key here", now);
        }
        !keys.is_empty()
    }

    fn nested(&self, key: &str, object: Map<String, Value>) -> Reader {
        Reader { prefix: format!("{}{key}.", self.prefix), ..Reader::new(object) }
    }

    fn items(&mut self, key: &str) -> Vec<Value> {
        match self.take(key) {
            None => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.refuse(key, &format!("expected an array, found {other}"), "it is ignored");
                Vec::new()
            }
        }
    }

    fn choice<T: Copy>(&mut self, key: &str, names: &[(&str, T)], otherwise: &str) -> Option<T> {
        let value = self.take(key)?;
        let found = value
            .as_str()
            .and_then(|text| names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim())));
        if let Some((_, choice)) = found {
            return Some(*choice);
        }
        let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        self.refuse(key, &format!("expected one of {}, found {value}", known.join(", ")), otherwise);
        None
    }

    /// Removes a key and returns its value. `null` counts as absent: templates write it for "not set".
    fn take(&mut self, key: &str) -> Option<Value> {
        self.object.remove(key).filter(|value| !value.is_null())
    }

    fn name_unknown_keys(&mut self) {
        let keys: Vec<String> = std::mem::take(&mut self.object).into_iter().map(|(key, _)| key).collect();
        for key in keys {
            self.warn(&key, "is not a key that this version knows; it is ignored");
        }
    }

    fn push(&mut self, mut warning: String) {
        if self.warnings.len() < MAX_WARNINGS {
            // The value in a warning can be as long as the configuration itself.
            if let Some((end, _)) = warning.char_indices().nth(300) {
                warning.truncate(end);
            }
            self.warnings.push(warning);
        }
    }
}
