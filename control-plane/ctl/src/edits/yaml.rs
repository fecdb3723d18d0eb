//! YAML, edited by whole lines and scalars: a real parser finds the positions, and new text is inserted
//! between them.

use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Number, Value};

use super::Key;
use super::document::Document;
use super::shell::{append, cut_lines};

/// A YAML file with one document, whose top is a mapping, a list or nothing.
pub(super) struct Yaml(String);

impl Yaml {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let documents = MarkedYaml::load_from_str(text).map_err(|error| error.to_string())?;
        if documents.len() > 1 {
            return Err("it holds more than one document".to_owned());
        }
        if let Some(top) = documents.first()
            && !(is_nothing(top) || top.data.is_mapping() || top.data.is_sequence())
        {
            return Err("a mapping or a list was expected at the top".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// Parses again, because each edit moves the positions. `None`: the file is empty.
    fn top(&self) -> Option<MarkedYaml<'_>> {
        let top = MarkedYaml::load_from_str(&self.0).ok()?.into_iter().next()?;
        (!is_nothing(&top)).then_some(top)
    }

    /// The byte offset of a character.
    fn byte(&self, character: usize) -> usize {
        self.0.char_indices().nth(character).map_or(self.0.len(), |(byte, _)| byte)
    }

    /// The lines that a node begins on and ends on, as bytes without the last line's end.
    fn lines(&self, node: &MarkedYaml<'_>) -> (usize, usize) {
        let (start, end) = (self.byte(node.span.start.index()), self.byte(node.span.end.index()));
        // The parser puts a block's end at the start of the next node.
        let end = start + self.0[start..end].trim_end().len();
        let from = self.0[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let to = self.0[end..].find('\n').map_or(self.0.len(), |newline| end + newline);
        (from, to)
    }

    /// Inserts the missing keys below the last node that exists.
    fn insert(&mut self, missing: &[Key], value: &Value) -> Result<(), String> {
        let (line, _) = spelled(missing, value)?;
        append(&mut self.0, &line);
        Ok(())
    }

    /// Writes whole lines before the line that starts at a byte, or after the one that ends there.
    fn insert_lines(&mut self, at: Place, lines: &str) {
        match at {
            Place::Before(byte) => self.0.insert_str(byte, &format!("{lines}\n")),
            Place::After(byte) => self.0.insert_str(byte, &format!("\n{lines}")),
        }
    }
}

enum Place {
    Before(usize),
    After(usize),
}

/// A new entry as one line, or as a line of its parent and lines below; and how deep it goes.
fn spelled(missing: &[Key], value: &Value) -> Result<(String, usize), String> {
    let mut out = String::new();
    let mut indent = 0;
    for (depth, key) in missing.iter().enumerate() {
        let is_last = depth + 1 == missing.len();
        match key {
            Key::Name(name) => {
                out.push_str(&format!("{}{}:", " ".repeat(indent), scalar(name)));
                out.push_str(&if is_last { format!(" {}", flow(value)) } else { "\n".to_owned() });
                indent += 2;
            }
            Key::Item { .. } if is_last => {
                out.push_str(&format!("{}- {}", " ".repeat(indent), flow(value)));
            }
            Key::Item { field, is } => return Err(format!("it has no item whose {field} is {is}")),
        }
    }
    Ok((out, indent))
}

/// Lines, each indented by so many blanks.
fn indented(lines: &str, by: usize) -> String {
    lines.lines().map(|line| format!("{}{line}", " ".repeat(by))).collect::<Vec<_>>().join("\n")
}

fn child<'n, 'i>(node: &'n MarkedYaml<'i>, key: &Key) -> Option<&'n MarkedYaml<'i>> {
    match (key, &node.data) {
        (Key::Name(name), YamlData::Mapping(entries)) => {
            entries.iter().find(|(key, _)| text(key) == Some(name)).map(|(_, value)| value)
        }
        (Key::Item { field, is }, YamlData::Sequence(items)) => items.iter().find(|item| {
            child(item, &Key::Name(field.clone())).and_then(text).is_some_and(|found| found == is)
        }),
        _ => None,
    }
}

/// The node of the key, and that of the value.
fn entry<'n, 'i>(node: &'n MarkedYaml<'i>, name: &str) -> Option<(&'n MarkedYaml<'i>, &'n MarkedYaml<'i>)> {
    let YamlData::Mapping(entries) = &node.data else { return None };
    entries.iter().find(|(key, _)| text(key) == Some(name))
}

fn text<'n>(node: &'n MarkedYaml<'_>) -> Option<&'n str> {
    match &node.data {
        YamlData::Value(Scalar::String(text)) => Some(text),
        _ => None,
    }
}

fn is_nothing(node: &MarkedYaml<'_>) -> bool {
    matches!(node.data, YamlData::Value(Scalar::Null) | YamlData::BadValue)
}

impl Document for Yaml {
    fn get(&self, path: &[Key]) -> Option<Value> {
        let top = self.top()?;
        let found = path.iter().try_fold(&top, child)?;
        value_of(found)
    }

    fn set(&mut self, path: &[Key], value: &Value) -> Result<(), String> {
        let before = self.0.clone();
        self.write(path, value)?;
        if self.get(path).as_ref() == Some(value) {
            return Ok(());
        }
        // If the parser does not find the value at its place, the edit is not made.
        self.0 = before;
        Err("its layout leaves no place for the value".to_owned())
    }

    fn remove(&mut self, path: &[Key]) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let before = self.0.clone();
        let Some((from, to)) = self.top().and_then(|top| {
            let parent = parents.iter().try_fold(&top, child)?;
            match last {
                Key::Name(name) => {
                    let (key, value) = entry(parent, name)?;
                    let (from, end) = self.lines(key);
                    let to = if is_nothing(value) { end } else { self.lines(value).1.max(end) };
                    Some((from, to))
                }
                Key::Item { .. } => Some(self.lines(child(parent, last)?)),
            }
        }) else {
            return false;
        };
        cut_lines(&mut self.0, from, to);
        if Self::parse(&self.0).is_err() || self.get(path).is_some() {
            self.0 = before;
            return false;
        }
        true
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

impl Yaml {
    fn write(&mut self, path: &[Key], value: &Value) -> Result<(), String> {
        enum Edit {
            Replace(usize, usize),
            Insert(Place, String),
            AtEnd,
        }
        let (edit, missing) = {
            let Some(top) = self.top() else { return self.insert(path, value) };
            let mut node = &top;
            let mut depth = 0;
            let mut key_of_node = None;
            while let Some(next) = path.get(depth).and_then(|key| child(node, key)) {
                key_of_node = match &path[depth] {
                    Key::Name(name) => entry(node, name).map(|(key, _)| key),
                    Key::Item { .. } => None,
                };
                node = next;
                depth += 1;
            }
            let missing = &path[depth..];
            let edit = if missing.is_empty() {
                if !matches!(node.data, YamlData::Value(_)) || is_nothing(node) {
                    return Err(format!("what stands at {} is not replaced", shown(path)));
                }
                Edit::Replace(self.byte(node.span.start.index()), self.byte(node.span.end.index()))
            } else if depth == 0 {
                Edit::AtEnd
            } else if let (true, Some(key)) = (is_nothing(node), key_of_node) {
                let (lines, _) = spelled(missing, value)?;
                Edit::Insert(Place::After(self.lines(key).1), indented(&lines, key.span.start.col() + 2))
            } else {
                let (lines, _) = spelled(missing, value)?;
                let (place, indent) = self.room_in(node).ok_or_else(|| {
                    format!("the layout of {} leaves no place for the value", shown(&path[..depth]))
                })?;
                Edit::Insert(place, indented(&lines, indent))
            };
            (edit, missing.to_vec())
        };
        match edit {
            Edit::Replace(from, to) => self.0.replace_range(from..to, &flow(value)),
            Edit::Insert(place, lines) => self.insert_lines(place, &lines),
            Edit::AtEnd => self.insert(&missing, value)?,
        }
        Ok(())
    }

    /// The place for another entry of a block, and its indentation. Not inside braces or brackets.
    fn room_in(&self, node: &MarkedYaml<'_>) -> Option<(Place, usize)> {
        match &node.data {
            YamlData::Mapping(entries) => {
                let (key, value) = entries.iter().next()?;
                if self.0[self.byte(node.span.start.index())..].starts_with('{') {
                    return None;
                }
                let indent = key.span.start.col();
                let (from, end) = self.lines(key);
                let only_blanks = self.0[from..self.byte(key.span.start.index())].trim().is_empty();
                let on_its_line = matches!(value.data, YamlData::Value(_))
                    && (is_nothing(value) || value.span.end.line() == key.span.start.line());
                if on_its_line {
                    Some((Place::After(end), indent))
                } else {
                    only_blanks.then_some((Place::Before(from), indent))
                }
            }
            YamlData::Sequence(items) => {
                let (from, _) = self.lines(items.first()?);
                let line = &self.0[from..];
                let indent = line.len() - line.trim_start_matches(' ').len();
                line[indent..].starts_with("- ").then_some((Place::Before(from), indent))
            }
            _ => None,
        }
    }
}

fn shown(path: &[Key]) -> String {
    let names = path.iter().map(|key| match key {
        Key::Name(name) => name.as_str(),
        Key::Item { is, .. } => is.as_str(),
    });
    names.collect::<Vec<_>>().join(".")
}

fn value_of(node: &MarkedYaml<'_>) -> Option<Value> {
    Some(match &node.data {
        YamlData::Value(Scalar::Null) => Value::Null,
        YamlData::Value(Scalar::Boolean(flag)) => (*flag).into(),
        YamlData::Value(Scalar::Integer(number)) => (*number).into(),
        YamlData::Value(Scalar::FloatingPoint(number)) => {
            Value::Number(Number::from_f64(number.into_inner())?)
        }
        YamlData::Value(Scalar::String(text)) => text.as_ref().into(),
        YamlData::Sequence(items) => items.iter().map(value_of).collect::<Option<Vec<_>>>()?.into(),
        YamlData::Mapping(entries) => {
            let entries = entries.iter().map(|(key, value)| Some((text(key)?.to_owned(), value_of(value)?)));
            Value::Object(entries.collect::<Option<Map<_, _>>>()?)
        }
        YamlData::Tagged(_, inner) => return value_of(inner),
        _ => return None,
    })
}

/// A value on one line: JSON, which YAML contains, with plain words where YAML reads them as the same text.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

fn scalar(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:".contains(c))
        && !text.ends_with(':')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}
