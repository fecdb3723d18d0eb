//! Shell profiles: a block of lines between two markers.

use serde_json::Value;

use super::Key;
use super::document::{Document, names};

/// A profile's text.
pub(super) struct Shell(String);

impl Shell {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The position of a block with its markers: from the first byte of the first line to the last byte of
    /// the last line, without the line's end. A block without an end marker does not count.
    fn block(&self, name: &str) -> Option<(usize, usize)> {
        let (begin, end) = markers(name);
        let mut start = None;
        let mut at = 0;
        for line in self.0.split_inclusive('\n') {
            let text = line.trim_end_matches('\n');
            if text.trim() == begin {
                start = Some(at);
            } else if let (true, Some(start)) = (text.trim() == end, start) {
                return Some((start, at + text.len()));
            }
            at += line.len();
        }
        None
    }
}

fn markers(name: &str) -> (String, String) {
    (format!("# >>> headroom {name} >>>"), format!("# <<< headroom {name} <<<"))
}

fn only(path: &[Key]) -> Option<&str> {
    match names(path)?.as_slice() {
        [name] => Some(name),
        _ => None,
    }
}

impl Document for Shell {
    fn get(&self, path: &[Key]) -> Option<Value> {
        let (start, end) = self.block(only(path)?)?;
        let lines: Vec<&str> = self.0[start..end].split('\n').collect();
        Some(lines[1..lines.len() - 1].join("\n").into())
    }

    fn set(&mut self, path: &[Key], value: &Value) -> Result<(), String> {
        let (Some(name), Some(lines)) = (only(path), value.as_str()) else {
            return Err("a block of lines was expected".to_owned());
        };
        let (begin, end) = markers(name);
        let block = format!("{begin}\n{lines}\n{end}");
        match self.block(name) {
            Some((from, to)) => self.0.replace_range(from..to, &block),
            None => append(&mut self.0, &block),
        }
        Ok(())
    }

    fn remove(&mut self, path: &[Key]) -> bool {
        let Some((from, to)) = only(path).and_then(|name| self.block(name)) else { return false };
        cut_lines(&mut self.0, from, to);
        true
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// Adds lines at the end. If the last line of the text has no line end, it gets one, and the added lines
/// end without one, so that removing them gives the same text.
pub(super) fn append(text: &mut String, lines: &str) {
    if text.is_empty() || text.ends_with('\n') {
        text.push_str(lines);
        text.push('\n');
    } else {
        text.push('\n');
        text.push_str(lines);
    }
}

/// Removes whole lines: `from` is at the start of one, `to` at the end of one.
pub(super) fn cut_lines(text: &mut String, from: usize, to: usize) {
    if text[to..].starts_with('\n') {
        text.replace_range(from..=to, "");
    } else {
        text.replace_range(from.saturating_sub(1)..to, "");
    }
}
