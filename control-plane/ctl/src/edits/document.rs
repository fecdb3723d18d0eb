//! A user's file, in any format.

use serde_json::Value;

use super::Key;

/// A parsed file that can be edited in place. Lines end with `\n` alone here.
pub(super) trait Document {
    /// The value at a place.
    fn get(&self, path: &[Key]) -> Option<Value>;
    /// Writes a value, with all parents that it needs. The error says why there is no place for it.
    fn set(&mut self, path: &[Key], value: &Value) -> Result<(), String>;
    /// Removes a value; true if there was one.
    fn remove(&mut self, path: &[Key]) -> bool;
    /// The file's text.
    fn text(&self) -> String;
}

/// The names of a path; `None` if it selects an item of a list, which only our YAML files use.
pub(super) fn names(path: &[Key]) -> Option<Vec<&str>> {
    path.iter()
        .map(|key| match key {
            Key::Name(name) => Some(name.as_str()),
            Key::Item { .. } => None,
        })
        .collect()
}
