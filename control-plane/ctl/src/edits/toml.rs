//! TOML, edited between its comments.

use serde_json::{Map, Number, Value};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike};

use super::Key;
use super::document::{Document, names};

/// A TOML file.
pub(super) struct Toml(DocumentMut);

impl Toml {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: toml_edit::TomlError| error.to_string().trim_end().to_owned())
    }
}

impl Document for Toml {
    fn get(&self, path: &[Key]) -> Option<Value> {
        let mut item = self.0.as_item();
        for name in names(path)? {
            item = item.as_table_like()?.get(name)?;
        }
        value_of(item)
    }

    fn set(&mut self, path: &[Key], value: &Value) -> Result<(), String> {
        let names = names(path).ok_or("it has no lists with names")?;
        let (last, parents) = names.split_last().ok_or("no place was named")?;
        let mut parent: &mut Item = self.0.as_item_mut();
        for (depth, name) in parents.iter().enumerate() {
            let is_inline = parent.is_value();
            let table = parent.as_table_like_mut();
            let table =
                table.ok_or_else(|| format!("a table was expected at {}", parents[..depth].join(".")))?;
            if !table.contains_key(name) {
                table
                    .insert(name, if is_inline { Item::Value(InlineTable::new().into()) } else { unnamed() });
            }
            parent = table.get_mut(name).ok_or("a table that was just made is not there")?;
        }
        let is_inline = parent.is_value();
        let table = parent.as_table_like_mut();
        let table = table.ok_or_else(|| format!("a table was expected at {}", parents.join(".")))?;
        let mut item = item(value).ok_or("TOML has no such value")?;
        if is_inline {
            // Inside an inline table, every table must be inline.
            item = Item::Value(item.into_value().map_err(|_| "TOML has no such value")?);
        }
        match (table.get_mut(last), item) {
            // The comments around a value stay.
            (Some(Item::Value(old)), Item::Value(mut new)) => {
                *new.decor_mut() = old.decor().clone();
                *old = new;
            }
            (Some(Item::Table(old)), Item::Table(mut new)) => {
                *new.decor_mut() = old.decor().clone();
                new.set_position(old.position());
                *old = new;
            }
            (_, item) => {
                table.insert(last, item);
            }
        }
        Ok(())
    }

    fn remove(&mut self, path: &[Key]) -> bool {
        let Some(names) = names(path) else { return false };
        let Some((last, parents)) = names.split_last() else { return false };
        let mut table: &mut dyn TableLike = self.0.as_table_mut();
        for name in parents {
            let Some(inner) = table.get_mut(name).and_then(Item::as_table_like_mut) else { return false };
            table = inner;
        }
        table.remove(last).is_some()
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// A table that contains only tables has no header.
fn unnamed() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

fn value_of(item: &Item) -> Option<Value> {
    if let Some(table) = item.as_table_like() {
        let entries = table.iter().map(|(name, item)| Some((name.to_owned(), value_of(item)?)));
        return entries.collect::<Option<Map<_, _>>>().map(Value::Object);
    }
    match item.as_value()? {
        toml_edit::Value::String(text) => Some(text.value().as_str().into()),
        toml_edit::Value::Integer(number) => Some((*number.value()).into()),
        toml_edit::Value::Float(number) => Number::from_f64(*number.value()).map(Value::Number),
        toml_edit::Value::Boolean(flag) => Some((*flag.value()).into()),
        toml_edit::Value::Datetime(time) => Some(time.value().to_string().into()),
        toml_edit::Value::Array(items) => {
            items.iter().map(|item| value_of(&Item::Value(item.clone()))).collect()
        }
        toml_edit::Value::InlineTable(_) => None,
    }
}

/// As TOML is written: objects as tables, and those within tables inline.
fn item(value: &Value) -> Option<Item> {
    let Value::Object(entries) = value else { return plain(value).map(Item::Value) };
    let mut table = Table::new();
    for (name, value) in entries {
        table.insert(name, Item::Value(plain(value)?));
    }
    Some(Item::Table(table))
}

fn plain(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(plain).collect::<Option<Array>>()?.into(),
        Value::Object(entries) => {
            let mut table = InlineTable::new();
            for (name, value) in entries {
                table.insert(name, plain(value)?);
            }
            table.into()
        }
    })
}
