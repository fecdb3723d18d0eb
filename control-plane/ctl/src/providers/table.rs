//! The table of providers: `envoy/providers.toml`, and the user's own file with priority over it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use thiserror::Error;

const BUILT_IN: &str = include_str!("../../../../envoy/providers.toml");
/// The maximum size of a file, in bytes; no real one is as long.
const MOST_BYTES: u64 = 1 << 20;

/// First segments of paths that Envoy already uses.
const TAKEN: [&str; 18] = [
    "backend-api",
    "dashboard",
    "debug",
    "download",
    "events",
    "health",
    "livez",
    "local",
    "metrics",
    "model",
    "readyz",
    "stats",
    "stats-history",
    "telemetry",
    "transformations",
    "upload",
    "v1",
    "v2",
];

/// A wire format that a provider speaks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// OpenAI Chat Completions.
    Chat,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Messages,
    /// Gemini's `generateContent`.
    GenerateContent,
    /// Bedrock's Converse.
    Converse,
}

impl Format {
    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
            Self::GenerateContent => "generate_content",
            Self::Converse => "converse",
        }
    }
}

/// How many requests one key may send: a token bucket.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Requests per minute.
    pub requests_per_minute: u32,
    /// Requests at once; by default as many as per minute.
    pub burst: Option<u32>,
}

/// A row of the table. Missing values have the defaults that `envoy/providers.toml` describes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The base URL as in the provider's own client.
    pub base: Option<String>,
    /// Its wire formats.
    pub formats: Option<Vec<Format>>,
    /// The base URL for Anthropic's format.
    pub messages: Option<String>,
    /// Whether paths stay as they are.
    pub native: Option<bool>,
    /// The header of the key; `none`: there is no key.
    pub auth: Option<String>,
    /// The variable that usually holds the key.
    pub key: Option<String>,
    /// The name in reports.
    pub label: Option<String>,
    /// Other names.
    pub also: Option<Vec<String>>,
    /// A path that a local server answers.
    pub find: Option<String>,
    /// The values for the parts in braces.
    pub values: Option<BTreeMap<String, String>>,
    /// Models whose requests go here also without the name in the path: names, or beginnings with `*`.
    pub models: Option<Vec<String>>,
    /// How many requests one key may send.
    pub limit: Option<Limit>,
}

impl Row {
    fn over(self, below: &Self) -> Self {
        Self {
            base: self.base.or_else(|| below.base.clone()),
            formats: self.formats.or_else(|| below.formats.clone()),
            messages: self.messages.or_else(|| below.messages.clone()),
            native: self.native.or(below.native),
            auth: self.auth.or_else(|| below.auth.clone()),
            key: self.key.or_else(|| below.key.clone()),
            label: self.label.or_else(|| below.label.clone()),
            also: self.also.or_else(|| below.also.clone()),
            find: self.find.or_else(|| below.find.clone()),
            values: self.values.or_else(|| below.values.clone()),
            models: self.models.or_else(|| below.models.clone()),
            limit: self.limit.or(below.limit),
        }
    }

    /// Its wire formats; by default Chat Completions.
    pub fn formats(&self) -> Vec<Format> {
        self.formats.clone().unwrap_or_else(|| vec![Format::Chat])
    }

    /// The variable that usually holds the key of a provider with this name; `None`: it needs no key.
    pub fn key_variable(&self, name: &str) -> Option<String> {
        if self.auth.as_deref() == Some("none") {
            return None;
        }
        Some(self.key.clone().unwrap_or_else(|| {
            format!(
                "{}_API_KEY",
                name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
            )
        }))
    }
}

/// Why a table cannot be used.
#[derive(Debug, Error)]
pub enum TableError {
    /// It cannot be read.
    #[error("{file}: {error}")]
    Unreadable {
        /// The file.
        file: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// Something in it is not valid.
    #[error("{file}, line {line}: {reason}")]
    NotUnderstood {
        /// The file.
        file: String,
        /// The first line is 1.
        line: usize,
        /// What was expected, and what was found.
        reason: String,
    },
    /// A row is not valid.
    #[error("{file}: {name}: {reason}")]
    BadRow {
        /// The file.
        file: String,
        /// The row.
        name: String,
        /// Why.
        reason: String,
    },
}

/// Providers by name.
#[derive(Clone, Debug)]
pub struct Table(BTreeMap<String, Row>);

impl Table {
    /// That of `envoy/providers.toml`.
    pub fn built_in() -> Self {
        // A test parses it too, so that a broken one fails the build.
        Self(parse("envoy/providers.toml", BUILT_IN).unwrap_or_default())
    }

    /// Adds the rows of a file; their values win. A missing file adds nothing.
    pub fn add_file(&mut self, path: &Path) -> Result<(), TableError> {
        let file = path.display().to_string();
        let unreadable = |error| TableError::Unreadable { file: file.clone(), error };
        match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unreadable(error)),
            Ok(found) if !found.is_file() || found.len() > MOST_BYTES => {
                return Err(unreadable(std::io::Error::other("expected a file of at most 1 MiB")));
            }
            Ok(_) => {}
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        for (name, row) in parse(&file, &text)? {
            let bad = |reason: String| TableError::BadRow { file: file.clone(), name: name.clone(), reason };
            check_name(&name).map_err(bad)?;
            let known = self.find(&name).map(|(name, row)| (name.to_owned(), row.clone()));
            let (name, row) = match known {
                Some((known, below)) => (known, row.over(&below)),
                None => (name.clone(), row),
            };
            check(&row).map_err(|reason| TableError::BadRow {
                file: file.clone(),
                name: name.clone(),
                reason,
            })?;
            self.0.insert(name, row);
        }
        Ok(())
    }

    /// A provider by one of its names, ignoring case.
    pub fn find(&self, name: &str) -> Option<(&str, &Row)> {
        let name = name.to_ascii_lowercase();
        let found = self.0.get_key_value(&name);
        let found = found
            .or_else(|| self.0.iter().find(|(_, row)| row.also.iter().flatten().any(|other| *other == name)));
        found.map(|(name, row)| (name.as_str(), row))
    }

    /// All of them, by name.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.0.iter().map(|(name, row)| (name.as_str(), row))
    }
}

fn parse(file: &str, text: &str) -> Result<BTreeMap<String, Row>, TableError> {
    toml_edit::de::from_str(text).map_err(|error| TableError::NotUnderstood {
        file: file.to_owned(),
        line: 1 + text
            .as_bytes()
            .iter()
            .take(error.span().map_or(0, |span| span.start))
            .filter(|byte| **byte == b'\n')
            .count(),
        reason: error.message().trim().to_owned(),
    })
}

fn check_name(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > 40 || !name.bytes().all(plain) || name.starts_with('.') {
        return Err(
            "expected a name of small letters, digits, `_`, `-` and `.`: it is the first part of paths"
                .to_owned(),
        );
    }
    if TAKEN.contains(&name) || name.starts_with("v1") {
        return Err(format!("paths that begin with /{name} are Headroom's own: choose another name"));
    }
    Ok(())
}

fn check(row: &Row) -> Result<(), String> {
    if row.base.is_none() {
        return Err("expected a base URL: base = \"https://…\"".to_owned());
    }
    if let Some(limit) = &row.limit
        && (limit.requests_per_minute == 0 || limit.burst == Some(0))
    {
        return Err("limit: expected numbers above 0".to_owned());
    }
    let header = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if let Some(auth) = &row.auth
        && (auth.is_empty() || !auth.bytes().all(header))
    {
        return Err(format!(
            "auth: expected \"none\" or the name of a header in small letters, found {auth:?}"
        ));
    }
    for model in row.models.iter().flatten() {
        let name = model.strip_suffix('*').unwrap_or(model);
        if name.is_empty() || name.contains('*') || name.chars().any(char::is_control) {
            return Err(format!("models: expected a name, or its beginning and a `*`, found {model:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::ServedProvider;
    use super::*;

    #[test]
    fn every_row_of_the_table_can_be_served_once_its_values_are_known() {
        let rows = parse("envoy/providers.toml", BUILT_IN).unwrap();
        assert!(rows.len() > 80, "{}", rows.len());
        let mut names: Vec<&str> = rows.keys().map(String::as_str).collect();
        names.extend(rows.values().flat_map(|row| row.also.iter().flatten()).map(String::as_str));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "each name is one provider's");
        for (name, row) in &rows {
            check_name(name).unwrap_or_else(|reason| panic!("{name}: {reason}"));
            check(row).unwrap_or_else(|reason| panic!("{name}: {reason}"));
            let mut row = row.clone();
            let values = ["location", "resource", "region", "account", "workspace"];
            let values = values.map(|value| (value.to_owned(), "x-1".to_owned()));
            row.values = Some(values.into());
            let served =
                ServedProvider::new(name, &row, None).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert!(!served.rewrites.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_users_file_adds_rows_and_wins_over_those_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("providers.toml");
        let mut table = Table::built_in();
        table.add_file(&path).unwrap();
        fs::write(
            &path,
            "kimi = { limit = { requests_per_minute = 5 } }\n[mine]\nbase = \"http://10.0.0.1:8000/x\"\nmodels = [\"mine-*\"]\n",
        )
        .unwrap();
        table.add_file(&path).unwrap();
        let (name, row) = table.find("Moonshot").unwrap();
        assert_eq!((name, row.limit.unwrap().requests_per_minute), ("moonshot", 5));
        assert_eq!(row.base.as_deref(), Some("https://api.moonshot.ai/v1"));
        assert_eq!(table.find("mine").unwrap().1.formats(), [Format::Chat]);
        assert_eq!(table.find("mine").unwrap().1.key_variable("mine").as_deref(), Some("MINE_API_KEY"));
        assert!(table.find("nobody").is_none());
    }

    #[test]
    fn what_is_not_understood_is_named_with_file_and_line_or_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("providers.toml");
        for (text, word) in [
            ("\n[groq]\nbasse = \"x\"", "line 3: unknown field"),
            ("[groq]\nformats = [\"chat\", \"grpc\"]", "line 2: unknown variant"),
            ("[groq\n", "line 1"),
            ("groq = 1", "line 1"),
            ("[mine]\nkey = \"K\"", "mine: expected a base URL"),
            ("[\"a/b\"]\nbase = \"https://a\"", "expected a name of small letters"),
            ("[stats]\nbase = \"https://a\"", "Headroom's own"),
            ("[v1x]\nbase = \"https://a\"", "Headroom's own"),
            ("[groq]\nmodels = [\"*\"]", "models"),
            ("[groq]\nlimit = { requests_per_minute = 0 }", "above 0"),
            ("[groq]\nauth = \"x: y\"", "auth"),
        ] {
            fs::write(&path, text).unwrap();
            let error = Table::built_in().add_file(&path).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("providers.toml"), "{text:?}: {error}");
        }
        assert!(Table::built_in().add_file(folder.path()).is_err());
    }
}
