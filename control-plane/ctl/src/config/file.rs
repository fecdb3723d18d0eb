//! The configuration file, read strictly: anything unknown is an error with its line.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Map, Number, Value as Json};
use thiserror::Error;
use toml_edit::{Document, Item, Table, Value};

use super::keys::{FILTER, FILTER_KEYS, FILTERS_OWN_ELSEWHERE, KEYS, Key};

/// The maximum size of a file, in bytes; no real one is as long.
const MOST_BYTES: u64 = 1 << 20;

/// A value and its position.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct LocatedValue {
    /// In the spelling of the corresponding variable.
    pub(super) text: String,
    pub(super) line: usize,
}

/// The content of a configuration file.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    values: BTreeMap<&'static str, LocatedValue>,
    filter: Map<String, Json>,
    filter_lines: BTreeMap<String, usize>,
}

/// Why a configuration file cannot be used.
#[derive(Debug, Error)]
pub enum BadFile {
    /// It cannot be read.
    #[error("{path}: {error}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// Something in it is not valid.
    #[error("{path}, line {line}: {reason}", path = path.display())]
    NotUnderstood {
        /// The file.
        path: PathBuf,
        /// The first line is 1.
        line: usize,
        /// What was expected and what was found.
        reason: String,
    },
}

impl ConfigFile {
    /// Reads a file. A missing file is empty.
    pub fn read(path: &Path) -> Result<Self, BadFile> {
        let unreadable = |error| BadFile::Unreadable { path: path.to_owned(), error };
        match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(error)),
            Ok(found) if !found.is_file() => {
                return Err(unreadable(std::io::Error::other("this is not a file")));
            }
            Ok(found) if found.len() > MOST_BYTES => {
                return Err(unreadable(std::io::Error::other(format!(
                    "expected at most {MOST_BYTES} bytes, found {}",
                    found.len()
                ))));
            }
            Ok(_) => {}
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|Fault { at, reason }| BadFile::NotUnderstood {
            path: path.to_owned(),
            line: line(&text, at),
            reason,
        })
    }

    /// The file's value for a variable.
    pub fn get(&self, variable: &str) -> Option<&str> {
        self.values.get(variable).map(|said| said.text.as_str())
    }

    /// The filter's keys, in the form of its configuration.
    pub fn filter(&self) -> &Map<String, Json> {
        &self.filter
    }

    pub(super) fn line_of(&self, variable: &str) -> Option<usize> {
        self.values.get(variable).map(|said| said.line)
    }

    pub(super) fn filter_line(&self, key: &str) -> Option<usize> {
        self.filter_lines.get(key).copied()
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let document = Document::parse(text).map_err(|error| Fault {
            at: error.span().unwrap_or_default(),
            reason: error.message().to_owned(),
        })?;
        let mut file = Self::default();
        file.section(text, "", document.as_table())?;
        Ok(file)
    }

    fn section(&mut self, text: &str, section: &str, table: &Table) -> Result<(), Fault> {
        for (name, item) in table.iter() {
            let at = table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
            let at = at.unwrap_or_default();
            let fault = |reason: String| Fault { at: at.clone(), reason };
            match item {
                Item::Table(inner) if section.is_empty() && name == FILTER => {
                    self.filter_section(text, inner)?;
                }
                Item::Table(inner) if section.is_empty() && KEYS.iter().any(|key| key.section == name) => {
                    self.section(text, name, inner)?;
                }
                Item::Value(value) => {
                    let key = KEYS.iter().find(|key| key.section == section && key.name == name);
                    let key = key.ok_or_else(|| fault(unknown(section, name)))?;
                    let said = key.kind.text(value).map_err(|reason| fault(format!("{name}: {reason}")))?;
                    self.values.insert(key.variable, LocatedValue { text: said, line: line(text, at) });
                }
                _ => return Err(fault(unknown(section, name))),
            }
        }
        Ok(())
    }

    fn filter_section(&mut self, text: &str, table: &Table) -> Result<(), Fault> {
        for (name, item) in table.iter() {
            let at = table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
            let at = at.unwrap_or_default();
            if FILTERS_OWN_ELSEWHERE.contains(&name) {
                let reason = format!("{name} belongs to the top of the file, before the first section");
                return Err(Fault { at, reason });
            }
            if !FILTER_KEYS.contains(&name) {
                let reason = format!(
                    "{name:?} is not a key of the filter; the keys are {}, and docs/configuration.md explains them",
                    FILTER_KEYS.join(", ")
                );
                return Err(Fault { at, reason });
            }
            let value = json(item).ok_or_else(|| Fault {
                at: at.clone(),
                reason: format!("{name}: the filter's configuration is JSON, which has no such value"),
            })?;
            self.filter_lines.insert(name.to_owned(), line(text, at));
            self.filter.insert(name.to_owned(), value);
        }
        Ok(())
    }
}

/// Something that is not valid.
struct Fault {
    at: Range<usize>,
    reason: String,
}

fn unknown(section: &str, name: &str) -> String {
    let names = |section: &str| {
        let names: Vec<&str> =
            KEYS.iter().filter(|key: &&Key| key.section == section).map(|key| key.name).collect();
        names.join(", ")
    };
    if section.is_empty() {
        return format!(
            "{name:?} is neither a key nor a section; keys are {}; sections are [upstreams], [filter], [sidecar]",
            names("")
        );
    }
    format!("{name:?} is not a key of [{section}]; its keys are {}", names(section))
}

/// The line of a position, from 1.
fn line(text: &str, at: Range<usize>) -> usize {
    1 + text.as_bytes().iter().take(at.start).filter(|byte| **byte == b'\n').count()
}

/// A value as JSON; `None` for types that JSON does not have.
fn json(item: &Item) -> Option<Json> {
    match item {
        Item::None => None,
        Item::Value(value) => json_value(value),
        Item::Table(table) => object(table.iter()),
        Item::ArrayOfTables(tables) => tables.iter().map(|table| object(table.iter())).collect(),
    }
}

fn object<'t>(items: impl Iterator<Item = (&'t str, &'t Item)>) -> Option<Json> {
    items
        .map(|(name, item)| Some((name.to_owned(), json(item)?)))
        .collect::<Option<Map<_, _>>>()
        .map(Json::Object)
}

fn json_value(value: &Value) -> Option<Json> {
    match value {
        Value::String(text) => Some(text.value().clone().into()),
        Value::Integer(number) => Some((*number.value()).into()),
        Value::Float(number) => Number::from_f64(*number.value()).map(Json::Number),
        Value::Boolean(flag) => Some((*flag.value()).into()),
        Value::Datetime(_) => None,
        Value::Array(items) => items.iter().map(json_value).collect(),
        Value::InlineTable(table) => {
            let fields = table.iter().map(|(name, value)| Some((name.to_owned(), json_value(value)?)));
            fields.collect::<Option<Map<_, _>>>().map(Json::Object)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (usize, String) {
        let Err(Fault { at, reason }) = ConfigFile::parse(text) else { panic!("{text:?} was understood") };
        (line(text, at), reason)
    }

    #[test]
    fn each_key_stands_for_its_variable_and_the_filters_keys_become_its_json() {
        let file = ConfigFile::parse(
            "port = 9000 # mine\nallow_hosts = [\"a\", \"b\"]\ncode_aware = true\n\n[upstreams]\nopenai = \
             \"https://openrouter.ai/api/v1\"\n[sidecar]\noriginals_seconds = 60\n[filter]\nmax_body_bytes = \
             1024\n[[filter.rules]]\nhost = \"*.groq.com\"\nprovider = \"groq\"\n",
        );
        let file = file.unwrap_or_else(|fault| panic!("{}", fault.reason));
        assert_eq!(file.get("HEADROOM_PORT"), Some("9000"));
        assert_eq!(file.get("HEADROOM_ALLOWED_HOSTS"), Some("a,b"));
        assert_eq!(file.get("HEADROOM_CODE_AWARE_ENABLED"), Some("true"));
        assert_eq!(file.get("OPENAI_TARGET_API_URL"), Some("https://openrouter.ai/api/v1"));
        assert_eq!(file.get("HEADROOM_CCR_TTL_SECONDS"), Some("60"));
        assert_eq!(file.get("HEADROOM_HOST"), None);
        assert_eq!(
            Json::Object(file.filter.clone()).to_string(),
            r#"{"max_body_bytes":1024,"rules":[{"host":"*.groq.com","provider":"groq"}]}"#
        );
        assert_eq!((file.line_of("HEADROOM_PORT"), file.filter_line("max_body_bytes")), (Some(1), Some(10)));
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (text, at, word) in [
            ("port = 1\nprot = 2", 2, "\"prot\" is neither"),
            ("port = \"http\"", 1, "a number from 0 to 65535"),
            ("port = 70000", 1, "65535"),
            ("\n\nport = ", 3, ""),
            ("[upstreams]\nopenai = \"openai\"", 2, "not a provider's base URL"),
            ("[upstreams]\ngroq = \"https://a\"", 2, "not a key of [upstreams]"),
            ("[sidecar]\nhttp = \"8788\"", 2, "an IP address and a port"),
            ("[filter]\nmax_body = 1", 2, "not a key of the filter"),
            ("[filter]\nprofile = \"lossless\"", 2, "top of the file"),
            ("[filter]\nproject = 2020-01-01", 2, "no such value"),
            ("mode = \"audti\"", 1, "optimize, audit, off"),
            ("workers = 0", 1, "at least 1"),
            ("code_aware = \"yes\"", 1, "true or false"),
            ("[else]\na = 1", 1, "\"else\" is neither"),
            ("port = 1\nport = 2", 2, "duplicate"),
            ("[port]\n", 1, "neither"),
            ("upstreams = 1", 1, "neither"),
            ("allow_hosts = [1]", 1, "names"),
        ] {
            let (line, reason) = fault(text);
            assert!(line == at && reason.contains(word), "{text:?}: line {line}: {reason}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_says_nothing_and_a_folder_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = ConfigFile::read(&folder.path().join("config.toml")).unwrap();
        assert!(file.values.is_empty() && file.filter.is_empty());
        let error = ConfigFile::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("not a file"), "{error}");
        let path = folder.path().join("bytes");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(ConfigFile::read(&path).unwrap_err().to_string().contains("bytes"));
        fs::write(&path, "\n".repeat(2 << 20)).unwrap();
        assert!(ConfigFile::read(&path).unwrap_err().to_string().contains("at most"));
        fs::write(&path, "port = 1\nx = 1").unwrap();
        let error = ConfigFile::read(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}, line 2: ", path.display())), "{error}");
    }

    #[test]
    fn every_key_of_the_filter_is_known() {
        let source = include_str!("../../../../filter/src/config.rs");
        let mut documented: Vec<&str> = source
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `"))
            .flat_map(|row| row.split(" | ").next().unwrap_or_default().trim_end_matches('`').split("`, `"))
            .map(|key| key.split('.').next().unwrap_or_default())
            .filter(|key| !FILTERS_OWN_ELSEWHERE.contains(key))
            .collect();
        documented.sort_unstable();
        documented.dedup();
        assert_eq!(documented, FILTER_KEYS);
    }
}
