//! The formats of users' files.

use serde::{Deserialize, Serialize};

use super::document::Document;
use super::dotenv::DotEnv;
use super::json::Json;
use super::shell::Shell;
use super::toml::Toml;
use super::yaml::Yaml;

/// The format of a file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// JSON, with comments or without.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
    /// A profile of a shell, with a block between two markers.
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
