//! The arguments of a call of our tool.

/// The arguments of a call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RetrieveArguments {
    /// The address of the text.
    pub hash: String,
    /// Words to look for; may be empty.
    pub query: String,
    /// A range such as `40-80`, `rows 3-7` or `characters 1-900`; may be empty.
    pub lines: String,
}

/// What a range counts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Unit {
    /// Lines of the text, from 1.
    Lines,
    /// Items of a list, or documents, from 0.
    Rows,
    /// Unicode characters of the text, from 1.
    Characters,
}

impl Unit {
    /// The plural, as a reader calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Rows => "rows",
            Self::Characters => "characters",
        }
    }

    /// The number of the first line, row or character.
    pub fn first(self) -> usize {
        usize::from(self != Self::Rows)
    }
}

/// A range of a text, with both ends included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    /// What is counted.
    pub unit: Unit,
    /// The first one. The empty range has 0 here and in `to`, in a unit that counts from 1.
    pub from: u32,
    /// The last.
    pub to: u32,
}

impl RetrieveArguments {
    /// What part they ask for, for figures: `whole`, `query`, or the unit of a range.
    pub fn part(&self) -> &'static str {
        match Range::read(&self.lines) {
            Some(range) => range.unit.name(),
            None if self.query.trim().is_empty() => "whole",
            None => "query",
        }
    }

    /// Reads arguments, a JSON object. Unreadable ones give an empty hash, which no text has.
    pub fn read(arguments: &str) -> Self {
        let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap_or_default();
        // Some clients send the object as a string.
        let arguments = match arguments.as_str() {
            Some(inner) => serde_json::from_str(inner).unwrap_or_default(),
            None => arguments,
        };
        let text = |key| match arguments.get(key) {
            Some(serde_json::Value::String(text)) => text.trim().to_owned(),
            Some(serde_json::Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        Self { hash: text("hash"), query: text("query"), lines: text("lines") }
    }
}

impl Range {
    /// Reads `40-80`, `40`, `40-`, `-20`, `rows 3-7`, `characters 1-900`.
    pub fn read(text: &str) -> Option<Self> {
        let at = text.find(|c: char| c.is_ascii_digit())?;
        let (unit, numbers) = text.split_at(at);
        let (unit, from_start) = match unit.trim_end().strip_suffix('-') {
            Some(unit) => (unit, true),
            None => (unit, false),
        };
        let unit = match unit.trim() {
            "rows" | "row" => Unit::Rows,
            "characters" | "chars" => Unit::Characters,
            "" | "lines" | "line" => Unit::Lines,
            _ => return None,
        };
        let mut ends = numbers.splitn(2, ['-', ':', '–']);
        let from: u32 = ends.next()?.trim().parse().ok()?;
        if from_start {
            return ends.next().is_none().then_some(Self { unit, from: 0, to: from });
        }
        let to = match ends.next().map(str::trim) {
            None => from,
            Some("") => u32::MAX,
            Some(to) => to.parse().ok()?,
        };
        (from <= to).then_some(Self { unit, from, to })
    }

    /// The range as a call writes it.
    pub fn argument(self) -> String {
        match self.unit {
            Unit::Lines => format!("{}-{}", self.from, self.to),
            unit => format!("{} {}-{}", unit.name(), self.from, self.to),
        }
    }
}
