//! A user's file, whatever its format is.

use serde_json::Value;

use super::Key;

/// A parsed file that can be edited in place. Lines end with `\n` alone here.
pub(super) trait Document {
    /// What stands at a place.
    fn get(&self, path: &[Key]) -> Option<Value>;
    /// Writes a value, with whatever has to stand around it. The reason why it has no place otherwise.
    fn set(&mut self, path: &[Key], value: &Value) -> Result<(), String>;
    /// Takes a value out; true when there was one.
    fn remove(&mut self, path: &[Key]) -> bool;
    /// The file's text.
    fn text(&self) -> String;
}

/// The names of a path; `None` where it chooses an item of a list, which only YAML files of ours have.
pub(super) fn names(path: &[Key]) -> Option<Vec<&str>> {
    path.iter()
        .map(|key| match key {
            Key::Name(name) => Some(name.as_str()),
            Key::Item { .. } => None,
        })
        .collect()
}
