//! The formats of users' files behind one trait.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Key;
use super::dotenv::DotEnv;
use super::json::Json;
use super::shell::Shell;
use super::toml::Toml;
use super::yaml::Yaml;

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

/// How a file is written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// JSON, with comments or without.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
    /// A profile of a shell, in which a block stands between two markers.
    Shell,
    /// Lines of `NAME=value`.
    DotEnv,
}

impl Format {
    /// Its name for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Toml => "TOML",
            Self::Yaml => "YAML",
            Self::Shell => "text",
            Self::DotEnv => "list of variables",
        }
    }

    /// Parses a text whose lines end with `\n`. The error says where it is wrong.
    pub(super) fn open(self, text: &str) -> Result<Box<dyn Document>, String> {
        Ok(match self {
            Self::Json => Box::new(Json::parse(text)?),
            Self::Toml => Box::new(Toml::parse(text)?),
            Self::Yaml => Box::new(Yaml::parse(text)?),
            Self::Shell => Box::new(Shell::new(text)),
            Self::DotEnv => Box::new(DotEnv::new(text)),
        })
    }
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
