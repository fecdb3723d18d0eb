//! Files of `NAME=value` lines, as `.env` files are.

use serde_json::Value;

use super::Key;
use super::document::{Document, names};
use super::shell::{append, cut_lines};

/// A file's text.
pub(super) struct DotEnv(String);

/// The position of the last assignment of a variable: the line's start, the value's start, the line's end.
struct Assignment {
    line: usize,
    value: usize,
    end: usize,
}

impl DotEnv {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The last one, which readers use.
    fn assignment(&self, wanted: &str) -> Option<Assignment> {
        let mut found = None;
        let mut at = 0;
        for line in self.0.split_inclusive('\n') {
            let text = line.trim_end_matches('\n');
            let bare = text.trim_start();
            let bare = bare.strip_prefix("export ").unwrap_or(bare).trim_start();
            if let Some((name, value)) = bare.split_once('=')
                && name.trim_end() == wanted
            {
                let end = at + text.len();
                found = Some(Assignment { line: at, value: end - value.len(), end });
            }
            at += line.len();
        }
        found
    }
}

fn only(path: &[Key]) -> Option<&str> {
    match names(path)?.as_slice() {
        [name] => Some(name),
        _ => None,
    }
}

impl Document for DotEnv {
    /// The value as it is spelled, with its quotes.
    fn get(&self, path: &[Key]) -> Option<Value> {
        let found = self.assignment(only(path)?)?;
        Some(self.0[found.value..found.end].into())
    }

    fn set(&mut self, path: &[Key], value: &Value) -> Result<(), String> {
        let (Some(name), Some(value)) = (only(path), value.as_str()) else {
            return Err("a variable and a text were expected".to_owned());
        };
        match self.assignment(name) {
            Some(found) => self.0.replace_range(found.value..found.end, value),
            None => append(&mut self.0, &format!("{name}={value}")),
        }
        Ok(())
    }

    fn remove(&mut self, path: &[Key]) -> bool {
        let Some(found) = only(path).and_then(|name| self.assignment(name)) else { return false };
        cut_lines(&mut self.0, found.line, found.end);
        true
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}
