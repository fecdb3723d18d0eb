//! Questions, and how the right answer is read from an original.

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::original::Original;

/// A right answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// A word, a number or a phrase.
    Text(String),
    /// Several of them, in any order.
    Set(Vec<String>),
    /// The call that shows this line of the original with this address.
    Call {
        /// What markers call `hash`.
        hash: String,
        /// The line.
        line: String,
    },
}

impl Key {
    /// Whether an answer is equivalent.
    pub fn is(&self, answer: &str) -> bool {
        match self {
            Self::Text(key) => plain(key) == plain(answer),
            Self::Set(keys) => {
                let sorted = |words: &mut dyn Iterator<Item = String>| {
                    let mut words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
                    words.sort();
                    words.dedup();
                    words
                };
                sorted(&mut keys.iter().map(|key| plain(key))) == sorted(&mut answer.split(',').map(plain))
            }
            Self::Call { .. } => false,
        }
    }
}

/// An answer in normal form: no quotes, no capitals, no full stop, single blanks; numbers without separators, versions
/// without their `v`.
fn plain(answer: &str) -> String {
    let words: Vec<&str> = answer.split_whitespace().collect();
    let joined = words.join(" ");
    let bare = joined.trim_matches(|c: char| matches!(c, '"' | '\'' | '`' | '.' | ' ')).to_lowercase();
    let digits: String = bare.chars().filter(|c| !matches!(c, ',' | '_')).collect();
    if digits.parse::<f64>().is_ok() {
        return digits;
    }
    match bare.strip_prefix('v') {
        Some(version) if version.starts_with(|c: char| c.is_ascii_digit()) => version.to_owned(),
        _ => bare,
    }
}

type Find = Box<dyn Fn(&str) -> Result<Key>>;

/// How the right answer is read from an original.
pub struct Ask {
    output: usize,
    find: Find,
    /// The answer is not in the text: it has to be counted or compared.
    pub derived: bool,
}

impl Ask {
    /// Finds the answer with a function of the text of one output.
    pub fn by(find: impl Fn(&str) -> Result<Key> + 'static) -> Self {
        Self { output: 0, find: Box::new(find), derived: false }
    }

    /// In another output than the first; the first is 0.
    pub fn of_output(self, output: usize) -> Self {
        Self { output, ..self }
    }

    /// The answer is not part of the text.
    pub fn derived(self) -> Self {
        Self { derived: true, ..self }
    }

    /// The right answer.
    pub fn key(&self, original: &Original) -> Result<Key> {
        let output = original.outputs().get(self.output).context("no such output")?;
        (self.find)(output.text())
    }
}

/// The only line that contains all of these words.
fn only<'t>(text: &'t str, words: &[String]) -> Result<(usize, &'t str)> {
    let mut found = text.lines().enumerate().filter(|(_, line)| words.iter().all(|word| line.contains(word)));
    let first = found.next().with_context(|| format!("no line has {words:?}"))?;
    ensure!(found.next().is_none(), "more than one line has {words:?}");
    Ok(first)
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A field of the only line with these words; the first is 0.
pub fn field(words: &[&str], field: usize) -> Ask {
    let words = owned(words);
    Ask::by(move |text| {
        let (_, line) = only(text, &words)?;
        Ok(Key::Text(line.split_whitespace().nth(field).context("no such field")?.to_owned()))
    })
}

/// A cell of the only line with these words, with cells separated by a character; the first is 0.
pub fn cell(words: &[&str], separator: char, cell: usize) -> Ask {
    let words = owned(words);
    Ask::by(move |text| {
        let (_, line) = only(text, &words)?;
        Ok(Key::Text(line.split(separator).nth(cell).context("no such cell")?.trim().to_owned()))
    })
}

/// The text after a mark in the only line with these words, up to one of the characters or the line's end.
pub fn after(words: &[&str], mark: &str, ends: &'static str) -> Ask {
    let (words, mark) = (owned(words), mark.to_owned());
    Ask::by(move |text| {
        let (_, line) = only(text, &words)?;
        let (_, rest) = line.split_once(&*mark).context("the line lacks the mark")?;
        Ok(Key::Text(rest.split(|c| ends.contains(c)).next().unwrap_or_default().trim().to_owned()))
    })
}

/// The text before a mark in the only line with these words.
pub fn before(words: &[&str], mark: &str) -> Ask {
    let (words, mark) = (owned(words), mark.to_owned());
    Ask::by(move |text| {
        let (_, line) = only(text, &words)?;
        Ok(Key::Text(line.split_once(&*mark).context("the line lacks the mark")?.0.trim().to_owned()))
    })
}

/// The line that follows the only one with these words by `by` lines.
pub fn line_after(words: &[&str], by: usize) -> Ask {
    let words = owned(words);
    Ask::by(move |text| {
        let (at, _) = only(text, &words)?;
        Ok(Key::Text(text.lines().nth(at + by).context("the text ends before")?.trim().to_owned()))
    })
}

/// The number of the only line with these words, from 1.
pub fn line_number(words: &[&str]) -> Ask {
    let words = owned(words);
    Ask::by(move |text| Ok(Key::Text((only(text, &words)?.0 + 1).to_string()))).derived()
}

/// The number of lines that contain all of these words.
pub fn count(words: &[&str]) -> Ask {
    let words = owned(words);
    Ask::by(move |text| {
        let lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        Ok(Key::Text(lines.count().to_string()))
    })
    .derived()
}

/// The same cell or field of every line with these words.
pub fn all(words: &[&str], cell: impl Fn(&str) -> Option<String> + 'static) -> Ask {
    let words = owned(words);
    Ask::by(move |text| {
        let lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        let found: Option<Vec<String>> = lines.map(&cell).collect();
        Ok(Key::Set(found.context("a line has no such cell")?))
    })
    .derived()
}

/// Yes or no: whether any line contains all of these words.
pub fn whether(words: &[&str]) -> Ask {
    let words = owned(words);
    Ask::by(move |text| {
        let any = text.lines().any(|line| words.iter().all(|word| line.contains(word)));
        Ok(Key::Text(if any { "yes" } else { "no" }.to_owned()))
    })
    .derived()
}

fn shown(value: &Value) -> Result<Key> {
    Ok(Key::Text(match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Result<Vec<String>> = items
                .iter()
                .map(|item| match shown(item)? {
                    Key::Text(text) => Ok(text),
                    _ => bail!("an array in an array"),
                })
                .collect();
            return Ok(Key::Set(items?));
        }
        Value::Object(_) => bail!("an object is no answer"),
        other => other.to_string(),
    }))
}

/// A value of a JSON document.
pub fn value(pointer: &str) -> Ask {
    let pointer = pointer.to_owned();
    Ask::by(move |text| {
        let value: Value = serde_json::from_str(text)?;
        shown(value.pointer(&pointer).with_context(|| format!("nothing at {pointer}"))?)
    })
}

/// A value of the only row of a list in a JSON document that has `key` = `is`. `list` is the list's position.
pub fn row(list: &str, (key, is): (&str, &str), pointer: &str) -> Ask {
    let (list, key, is, pointer) = (list.to_owned(), key.to_owned(), is.to_owned(), pointer.to_owned());
    Ask::by(move |text| {
        let value: Value = serde_json::from_str(text)?;
        let rows = value.pointer(&list).and_then(Value::as_array).context("no list")?;
        let mut found =
            rows.iter().filter(|row| matches!(shown(&row[&key]), Ok(Key::Text(text)) if text == is));
        let row = found.next().with_context(|| format!("no row has {key}={is}"))?;
        ensure!(found.next().is_none(), "more than one row has {key}={is}");
        shown(row.pointer(&pointer).with_context(|| format!("nothing at {pointer}"))?)
    })
}

/// Asks about a text that is a string in a JSON document.
pub fn inside(pointer: &str, ask: Ask) -> Ask {
    let (pointer, derived) = (pointer.to_owned(), ask.derived);
    let inner = Ask::by(move |text| {
        let value: Value = serde_json::from_str(text)?;
        (ask.find)(value.pointer(&pointer).and_then(Value::as_str).context("no text there")?)
    });
    Ask { derived, ..inner }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_be_written_in_several_ways() {
        assert!(Key::Text("1200".to_owned()).is(" `1,200` "));
        assert!(Key::Text("Ann Example".to_owned()).is("\"ann  example\"."));
        assert!(!Key::Text("17".to_owned()).is("17 or 18"));
        assert!(Key::Set(vec!["a".to_owned(), "b".to_owned()]).is("b, a"));
        assert!(!Key::Set(vec!["a".to_owned(), "b".to_owned()]).is("a"));
    }

    #[test]
    fn a_question_that_two_lines_answer_has_no_key() {
        let original = Original::of_outputs([("Bash", "{}", "a=1\na=2\n".to_owned())]);
        assert!(after(&["a"], "=", " ").key(&original).is_err());
        assert_eq!(after(&["2"], "=", " ").key(&original).unwrap(), Key::Text("2".to_owned()));
        assert_eq!(line_number(&["2"]).key(&original).unwrap(), Key::Text("2".to_owned()));
    }
}
