//! The notation in which documents are written.
//!
//! It is JSON without layout and without unnecessary quotes, and with short forms for what repeats:
//!
//! ```text
//! $1=https://api.example/repos/rex
//! {total:3,items:[3 rows, blank=absent: id,name,url=$1/pets/<id>,owner{login,admin=false},tags[key,value]
//! 7,Rex,ann,[(size,big),(sex,m)]
//! 9,"1",bob
//! 12,"Max, the second",ann,[(size,small)]
//! ],next:null}
//! ```
//!
//! * A *table* stands for an array of objects: the columns once, then one line per item. `name=value` holds
//!   in every row and has no cell; `name=text*text` puts the cell in place of the star;
//!   `name=text<column>text` puts another cell there; `name=<column>` repeats it.
//! * `owner{login,admin}` are the columns of an object that every row has; `tags[key,value]` are arrays of
//!   objects written as tuples; `owner(login,admin)` are objects written as one tuple, or null, or any other
//!   value; `deps{<key>(version)}` are objects whose keys are data.
//! * Blank cells at the end of a row are left out. The top of each table says what a blank means. If keys may
//!   be absent and may also be null, `~` stands for absence where that is the rarer of the two.
//! * `@` before a row: its keys are in the order that the head names after `@=`, its cells in that of the
//!   columns.
//! * `!` before a row: the item does not fit the columns and is written out.
//! * An object with many entries of one form is a table with the keys in the first column: `{12 rows: <key>,…`.
//! * `$1` at the start of a string stands for the text that the first lines give it.
//! * `$json{…}` is a string that holds this JSON document.
//!
//! If items are left out, a table says how many of its rows are shown, and numbers them from 0 in the column
//! `#index` (rows with keys are identified by these). Its last line may name the others. `…12 more…` stands
//! for 12 items of a list.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use headroom_providers::sort;

use super::embedded;
use super::legend::Legend;
use super::names::Names;
use super::parse::{Shape, Tree};
use super::place::{Column, Content, Record, Schema, Source, Template};
use super::schema::{self, Inference};
use super::spell;
use super::template;
use crate::tokens::Encoding;

/// From this many rows on, an object may become a table with the keys in the first column.
const MIN_KEYED_ROWS: u32 = 3;

/// The meaning of a cell without text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Blank {
    Absent,
    Null,
}

/// All documents of a tree.
pub(crate) fn documents(tree: &Tree<'_>, encoding: Encoding) -> String {
    let mut writer = Writer::new(tree, 0);
    writer.documents();
    writer.out.finish(encoding)
}

/// The documents of a tree, with only what `kept` keeps of their lists.
pub(crate) fn kept_documents(tree: &Tree<'_>, kept: ShownItems, encoding: Encoding) -> String {
    let mut writer = Writer::new(tree, 0);
    writer.kept = Some(kept);
    writer.documents();
    writer.out.finish(encoding)
}

/// Which items of which lists are shown; other lists are shown in full.
#[derive(Debug, Default)]
pub(crate) struct ShownItems(HashMap<u32, ShownMarks, FixedState>);

#[derive(Debug)]
struct ShownMarks {
    marks: Vec<bool>,
    /// The names of the items that are not shown, if they are written.
    names: Option<Names>,
}

/// Stands for the list of all documents.
pub(crate) const ROOTS: u32 = u32::MAX;

impl ShownItems {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn keep(&mut self, list: u32, marks: Vec<bool>, names: Option<Names>) {
        self.0.insert(list, ShownMarks { marks, names });
    }

    pub(crate) fn shows(&self, list: u32, item: usize) -> bool {
        self.0.get(&list).is_none_or(|shown| shown.marks.get(item).copied().unwrap_or(true))
    }

    fn count(&self, list: u32) -> Option<usize> {
        Some(self.0.get(&list)?.marks.iter().filter(|&&mark| mark).count())
    }
}

/// From this many bytes on, a string of encoded bytes is a blob: longer than keys and signatures.
const MIN_BLOB: usize = 600;

/// How many bytes of a blob are shown.
const BLOB_HEAD: usize = 48;

/// The part of a string that is shown, if it is an encoded blob.
pub(crate) fn blob(text: &str) -> Option<&str> {
    if text.len() < MIN_BLOB {
        return None;
    }
    let encoded = match text.split_once(";base64,") {
        Some((head, rest)) if head.starts_with("data:") && head.len() < BLOB_HEAD => rest,
        _ => text,
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_');
    encoded.bytes().all(plain).then(|| text.get(..BLOB_HEAD).unwrap_or_default())
}

pub(crate) struct Writer<'t, 'a> {
    pub(crate) tree: &'t Tree<'a>,
    inference: Inference,
    pub(crate) out: Legend<'a>,
    blank: Blank,
    /// What is shown; `None`: everything.
    kept: Option<ShownItems>,
    /// How many levels of strings inside strings this writer is in.
    pub(crate) nesting: usize,
}

impl<'t, 'a> Writer<'t, 'a> {
    pub(crate) fn new(tree: &'t Tree<'a>, nesting: usize) -> Self {
        let (inference, out) = (Inference::new(tree), Legend::with_capacity(tree.text.len()));
        Self { tree, inference, out, blank: Blank::Absent, kept: None, nesting }
    }

    /// All documents of the tree.
    pub(crate) fn documents(&mut self) {
        let tree = self.tree;
        if let [root] = tree.roots[..] {
            return self.value(root);
        }
        let schema = self.infer_rows(&tree.roots);
        if schema == Schema::Any {
            let mut gap = Gap::default();
            for (at, &root) in tree.roots.iter().enumerate() {
                if gap.passes(self.shows(ROOTS, at), &mut self.out, '\n') {
                    self.plain(root);
                }
            }
            gap.end(&mut self.out, '\n');
        } else {
            self.out.text(&tree.roots.len().to_string());
            self.out.text(" JSON lines");
            self.rows(&schema, ROOTS, tree.roots.iter().map(|&root| (None, root)));
        }
    }

    /// The schema of rows. If items are left out, rows begin with their numbers and have no other mark.
    fn infer_rows(&mut self, rows: &[u32]) -> Schema {
        let infer = if self.kept.is_none() { schema::infer_rows } else { schema::infer };
        infer(self.tree, rows, &mut self.inference)
    }

    fn shows(&self, list: u32, item: usize) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.shows(list, item))
    }

    /// A value at document level: tables may be opened in it.
    fn value(&mut self, id: u32) {
        let tree = self.tree;
        match tree.node(id).shape {
            Shape::Array => {
                let items: Vec<u32> = tree.items(id).collect();
                let schema = if items.len() < 2 { Schema::Any } else { self.infer_rows(&items) };
                self.out.push('[');
                if schema == Schema::Any {
                    let mut gap = Gap::default();
                    for (at, &item) in items.iter().enumerate() {
                        if gap.passes(self.shows(id, at), &mut self.out, ',') {
                            self.value(item);
                        }
                    }
                    gap.end(&mut self.out, ',');
                } else {
                    self.out.text(&items.len().to_string());
                    self.out.text(" rows");
                    self.rows(&schema, id, items.iter().map(|&item| (None, item)));
                    self.out.push('\n');
                }
                self.out.push(']');
            }
            Shape::Object => {
                let length = tree.node(id).len;
                let schema = if length < MIN_KEYED_ROWS {
                    Schema::Any
                } else {
                    schema::infer_keyed(tree, id, &mut self.inference)
                };
                self.out.push('{');
                if schema == Schema::Any {
                    let mut gap = Gap::default();
                    for (at, (key, value)) in tree.entries(id).enumerate() {
                        if gap.passes(self.shows(id, at), &mut self.out, ',') {
                            self.key(key);
                            self.out.push(':');
                            self.value(value);
                        }
                    }
                    gap.end(&mut self.out, ',');
                } else {
                    self.out.text(&length.to_string());
                    self.out.text(" rows");
                    self.rows(&schema, id, tree.entries(id).map(|(key, value)| (Some(key), value)));
                    self.out.push('\n');
                }
                self.out.push('}');
            }
            _ => self.plain(id),
        }
    }

    /// Writes a value on one line, without a schema.
    pub(crate) fn plain(&mut self, id: u32) {
        self.known(id, &Schema::Any);
    }

    /// Writes a value on one line, by the schema of its place.
    fn known(&mut self, id: u32, schema: &Schema) {
        let tree = self.tree;
        match (tree.node(id).shape, schema) {
            (Shape::Object, Schema::Record(record)) if self.inference.fits(id) => {
                self.out.push('(');
                self.cells(record, id);
                self.out.push(')');
            }
            (Shape::Object, _) => {
                let inner = if let Schema::Map(inner) = schema { inner } else { &Schema::Any };
                self.out.push('{');
                let mut gap = Gap::default();
                for (at, (key, value)) in tree.entries(id).enumerate() {
                    if !gap.passes(self.shows(id, at), &mut self.out, ',') {
                        continue;
                    }
                    self.key(key);
                    let tuple = matches!(inner, Schema::Record(_)) && self.inference.fits(value);
                    if !tuple {
                        self.out.push(':');
                    }
                    self.known(value, inner);
                }
                gap.end(&mut self.out, ',');
                self.out.push('}');
            }
            (Shape::Array, _) => {
                let inner = if let Schema::List(inner) = schema { inner } else { &Schema::Any };
                self.out.push('[');
                let mut gap = Gap::default();
                for (at, item) in tree.items(id).enumerate() {
                    if gap.passes(self.shows(id, at), &mut self.out, ',') {
                        self.known(item, inner);
                    }
                }
                gap.end(&mut self.out, ',');
                self.out.push(']');
            }
            (Shape::String, _) => self.string(id),
            _ => self.out.text(tree.raw(id)),
        }
    }

    /// Writes the head of a table, from its clause on blanks on, and its rows, each after a line end.
    fn rows(&mut self, schema: &Schema, list: u32, rows: impl Iterator<Item = (Option<u32>, u32)>) {
        let shown = self.kept.as_ref().and_then(|kept| kept.count(list));
        if let Some(shown) = shown {
            self.out.text(&format!(", {shown} shown"));
        }
        let (absent, null) = blanks(schema);
        self.blank = if absent >= null { Blank::Absent } else { Blank::Null };
        match self.blank {
            Blank::Absent if absent > 0 => self.out.text(", blank=absent"),
            Blank::Null => self.out.text(if absent > 0 { ", blank=null, ~=absent" } else { ", blank=null" }),
            Blank::Absent => {}
        }
        if let Schema::Record(record) = schema {
            self.other_order(record);
        }
        self.out.text(": ");
        let mut rows = rows.peekable();
        let keyed = rows.peek().is_some_and(|(key, _)| key.is_some());
        let numbered = shown.is_some() && !keyed;
        if keyed {
            self.out.text("<key>,");
        } else if numbered {
            self.out.text("#index,");
        }
        match schema {
            Schema::Record(record) => self.columns(record),
            schema => self.schema(schema),
        }
        for (at, (key, row)) in rows.enumerate() {
            if !self.shows(list, at) {
                continue;
            }
            self.out.push('\n');
            if let Some(key) = key {
                self.key_cell(key);
            } else if numbered {
                self.out.text(&at.to_string());
            }
            let led = keyed || numbered;
            match schema {
                Schema::Record(record) if self.inference.fits(row) => {
                    if led {
                        self.row_after_key(record, row);
                    } else {
                        self.cells(record, row);
                    }
                }
                Schema::Record(_) => {
                    self.out.text(if led { ",!" } else { "!" });
                    self.plain(row);
                }
                schema => {
                    if led {
                        self.out.push(',');
                    }
                    self.known(row, schema);
                }
            }
        }
        self.names(list);
    }

    /// Writes the clause in a table's head that names the other order of its keys.
    fn other_order(&mut self, record: &Record) {
        let keys: Vec<u32> =
            record.other.iter().filter_map(|&at| record.columns.get(at)).map(|column| column.key).collect();
        for (at, key) in keys.into_iter().enumerate() {
            self.out.text(if at == 0 { ", @=cells as in this head, keys stood as " } else { "," });
            self.key(key);
        }
    }

    /// Writes the line of a table that names the rows that are not shown.
    fn names(&mut self, list: u32) {
        let names = self.kept.as_mut().and_then(|kept| kept.0.get_mut(&list)?.names.take());
        let Some(Names { column, nodes }) = names else { return };
        let by = if column.is_empty() { String::new() } else { format!(" by {column}") };
        self.out.text(&format!("\n…{} more{by}: ", nodes.len()));
        for (at, &node) in nodes.iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.key_cell(node);
        }
    }

    /// Writes the cells of an object that fits the record; trailing blanks are left out.
    fn cells(&mut self, record: &Record, object: u32) {
        let mut pending = Pending::default();
        self.record_cells(record, object, &mut pending);
    }

    fn row_after_key(&mut self, record: &Record, object: u32) {
        let mut pending = Pending { commas: 0, first: false };
        self.record_cells(record, object, &mut pending);
    }

    fn record_cells(&mut self, record: &Record, object: u32, pending: &mut Pending) {
        let tree = self.tree;
        let mut entries: Vec<(u32, u32)> = tree.entries(object).collect();
        if self.inference.fits_in_other_order(object) {
            let place =
                |key: u32| record.columns.iter().position(|column| tree.name(column.key) == tree.name(key));
            sort::by_key(&mut entries, |(key, _)| place(*key));
            self.out.push('@');
        }
        let mut entries = entries.into_iter().peekable();
        for column in &record.columns {
            let name = tree.name(column.key);
            let value = entries.next_if(|&(key, _)| tree.name(key) == name).map(|(_, value)| value);
            match (&column.content, value) {
                (Content::Constant(_), _) => {}
                (Content::Inline(inner), Some(value)) => self.record_cells(inner, value, pending),
                (Content::Strings(template), _) if template.source != Source::Cell => {}
                (content, value) => {
                    pending.next();
                    self.cell(content, value, pending);
                }
            }
        }
    }

    fn cell(&mut self, content: &Content, value: Option<u32>, pending: &mut Pending) {
        let null = value.is_some_and(|value| self.tree.node(value).shape == Shape::Null);
        match (value, self.blank) {
            (None, Blank::Absent) => {}
            (None, Blank::Null) => {
                pending.write(&mut self.out);
                self.out.push('~');
            }
            (Some(_), Blank::Null) if null => {}
            (Some(value), _) => {
                pending.write(&mut self.out);
                match content {
                    Content::Strings(template) if !null => {
                        let text = self.tree.inner(value);
                        self.part(template::cell(template, text));
                    }
                    Content::Values(schema) => self.known(value, schema),
                    _ => self.plain(value),
                }
            }
        }
    }

    fn columns(&mut self, record: &Record) {
        for (at, column) in record.columns.iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.column(column, record);
        }
    }

    fn column(&mut self, column: &Column, record: &Record) {
        self.key(column.key);
        match &column.content {
            Content::Constant(value) => {
                self.out.push('=');
                let tree = self.tree;
                if tree.node(*value).shape == Shape::String && tree.inner(*value).contains(['*', '<']) {
                    match tree.string(*value) {
                        Some(text) => self.out.quoted(&text),
                        None => self.out.text(tree.raw(*value)),
                    }
                } else {
                    self.plain(*value);
                }
            }
            Content::Inline(inner) => {
                self.out.push('{');
                self.columns(inner);
                self.out.push('}');
            }
            Content::Strings(template) => {
                self.out.push('=');
                self.template(template, record);
            }
            Content::Values(schema) => self.schema(schema),
        }
    }

    fn template(&mut self, template: &Template, record: &Record) {
        let name = |at: usize| record.columns.get(at).map_or("", |column| self.tree.inner(column.key));
        let filling = match template.source {
            Source::Cell => "*".to_owned(),
            Source::Text(at) | Source::Copy(at) => format!("<{}>", name(at)),
            Source::Key => "<key>".to_owned(),
        };
        let copied = matches!(template.source, Source::Copy(_) | Source::Key);
        if copied {
            self.out.text(&filling);
        } else if template.prefix.is_empty() && template.suffix.is_empty() {
            self.out.text(&format!("\"{filling}\""));
        } else {
            self.out.prefixed(&template.prefix, &format!("{filling}{}", template.suffix));
        }
    }

    /// Writes the schema of a column or a row in the head of a table.
    fn schema(&mut self, schema: &Schema) {
        match schema {
            Schema::Any => {}
            Schema::Record(record) => {
                self.out.push('(');
                self.columns(record);
                self.out.push(')');
            }
            Schema::List(inner) => {
                self.out.push('[');
                match &**inner {
                    Schema::Record(record) => self.columns(record),
                    inner => self.schema(inner),
                }
                self.out.push(']');
            }
            Schema::Map(inner) => {
                self.out.text("{<key>");
                if !matches!(**inner, Schema::Record(_)) {
                    self.out.push(':');
                }
                self.schema(inner);
                self.out.push('}');
            }
        }
    }

    fn key(&mut self, key: u32) {
        match self.tree.string(key) {
            Some(text) if spell::bare_key(&text) => self.out.text(&text),
            Some(text) => self.out.quoted(&text),
            None => self.out.text(self.tree.raw(key)),
        }
    }

    /// Writes a key where only a string is possible.
    fn key_cell(&mut self, key: u32) {
        match self.tree.string(key) {
            Some(text) => self.part(&text),
            None => self.out.text(self.tree.raw(key)),
        }
    }

    fn part(&mut self, text: &str) {
        if spell::bare_cell(text) { self.out.text(text) } else { self.out.quoted(text) }
    }

    fn string(&mut self, id: u32) {
        let tree = self.tree;
        if self.kept.is_some()
            && let Some(head) = blob(tree.inner(id))
        {
            let left_out = tree.inner(id).len() - head.len();
            return self.out.quoted(&format!("{head}…{left_out} more characters…"));
        }
        match tree.string(id) {
            None => self.out.text(tree.raw(id)),
            Some(text) => match embedded_notation(&text, self.nesting) {
                Some(document) => self.out.text(&document),
                None => self.out.string(text),
            },
        }
    }
}

/// Writes separators between the items of a list, and the text for those that are not shown.
#[derive(Default)]
struct Gap {
    hidden: usize,
    any: bool,
}

impl Gap {
    /// Notes an item. Before a shown one, writes what has to come before it.
    fn passes(&mut self, shown: bool, out: &mut Legend<'_>, separator: char) -> bool {
        if !shown {
            self.hidden += 1;
            return false;
        }
        self.end(out, separator);
        if self.any {
            out.push(separator);
        }
        self.any = true;
        true
    }

    fn end(&mut self, out: &mut Legend<'_>, separator: char) {
        if self.hidden > 0 {
            if self.any {
                out.push(separator);
            }
            out.text(&format!("…{} more…", self.hidden));
            (self.hidden, self.any) = (0, true);
        }
    }
}

/// Commas that are written only when a cell follows.
struct Pending {
    commas: usize,
    first: bool,
}

impl Default for Pending {
    fn default() -> Self {
        Self { commas: 0, first: true }
    }
}

impl Pending {
    fn next(&mut self) {
        self.commas += usize::from(!self.first);
        self.first = false;
    }

    fn write(&mut self, out: &mut Legend<'_>) {
        for _ in 0..self.commas {
            out.push(',');
        }
        self.commas = 0;
    }
}

/// The notation for a string that contains a document; `None` if it has to stay a string.
fn embedded_notation(text: &str, nesting: usize) -> Option<String> {
    let (layout, tree) = embedded::document(text, nesting)?;
    let [root] = tree.roots[..] else { return None };
    let mut writer = Writer::new(&tree, nesting + 1);
    writer.plain(root);
    Some(format!("{}{}", layout.name(), writer.out.without_legend()))
}

/// How many cells of a table are absent, and how many are null.
fn blanks(schema: &Schema) -> (usize, usize) {
    match schema {
        Schema::Any => (0, 0),
        Schema::List(inner) | Schema::Map(inner) => blanks(inner),
        Schema::Record(record) => record_blanks(record),
    }
}

fn record_blanks(record: &Record) -> (usize, usize) {
    record.columns.iter().fold((0, 0), |(absent, null), column| {
        let inner = match &column.content {
            Content::Constant(_) => return (absent, null),
            Content::Inline(inner) => record_blanks(inner),
            Content::Strings(_) => (0, 0),
            Content::Values(schema) => blanks(schema),
        };
        (absent + column.absent + inner.0, null + column.null + inner.1)
    })
}
