//! The inverse of the notation: the specification that the writer is tested against.

use headroom_providers::string;

use super::embedded::Layout;
use super::parse::{Shape, Tree};
use super::spell;

/// An exact JSON value: the spelling of numbers, keys in order and with duplicates.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(String),
    String(Text),
    Array(Vec<Value>),
    Object(Vec<(Text, Value)>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Text {
    Whole(String),
    /// A text with a lone surrogate: the JSON string without its quotes.
    Surrogates(String),
}

impl Value {
    pub(super) fn of(tree: &Tree<'_>, id: u32) -> Self {
        let text = |id: u32| match tree.string(id) {
            Some(text) => Text::Whole(text.into_owned()),
            None => Text::Surrogates(tree.inner(id).to_owned()),
        };
        match tree.node(id).shape {
            Shape::Null => Self::Null,
            Shape::Bool => Self::Bool(tree.raw(id) == "true"),
            Shape::Number => Self::Number(tree.raw(id).to_owned()),
            Shape::String => Self::String(text(id)),
            Shape::Array => Self::Array(tree.items(id).map(|item| Self::of(tree, item)).collect()),
            Shape::Object => Self::Object(
                tree.entries(id).map(|(key, value)| (text(key), Self::of(tree, value))).collect(),
            ),
        }
    }

    fn lay_out(&self, layout: Layout, depth: usize, out: &mut String) {
        let children: Vec<(Option<&Text>, &Self)> = match self {
            Self::Null => return out.push_str("null"),
            Self::Bool(value) => return out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => return out.push_str(number),
            Self::String(text) => return text.quote(out),
            Self::Array(items) => items.iter().map(|item| (None, item)).collect(),
            Self::Object(entries) => entries.iter().map(|(key, value)| (Some(key), value)).collect(),
        };
        let (open, close) = if matches!(self, Self::Array(_)) { ('[', ']') } else { ('{', '}') };
        out.push(open);
        for (at, (key, value)) in children.iter().enumerate() {
            out.push_str(if at > 0 { "," } else { "" });
            match layout {
                Layout::Indented(width) => {
                    out.push('\n');
                    out.push_str(&" ".repeat(width * (depth + 1)));
                }
                Layout::Spaced if at > 0 => out.push(' '),
                _ => {}
            }
            if let Some(key) = key {
                key.quote(out);
                out.push_str(if layout == Layout::Compact { ":" } else { ": " });
            }
            value.lay_out(layout, depth + 1, out);
        }
        if let (Layout::Indented(width), false) = (layout, children.is_empty()) {
            out.push('\n');
            out.push_str(&" ".repeat(width * depth));
        }
        out.push(close);
    }
}

impl Text {
    fn quote(&self, out: &mut String) {
        match self {
            Self::Whole(text) => spell::quote(out, text),
            Self::Surrogates(_) => panic!("a lone surrogate in a laid out document"),
        }
    }
}

/// The documents in a replacement.
pub(super) fn documents(text: &str) -> Vec<Value> {
    let mut reader = Reader { text, at: 0, legend: Vec::new(), blank_null: false };
    while reader.rest().starts_with('$') {
        reader.expect("$");
        let number: usize = reader.until(|c| c == '=').parse().unwrap();
        reader.expect("=");
        let entry = if reader.peek() == '"' { reader.quoted() } else { reader.until(|c| c == '\n') };
        reader.legend.push(entry);
        assert_eq!(number, reader.legend.len());
        reader.expect("\n");
    }
    if reader.peek().is_ascii_digit() {
        let count: usize = reader.until(|c| c == ' ').parse().unwrap();
        reader.expect(" JSON lines");
        let rows = reader.rows(count, false).into_iter().map(|(_, value)| value).collect();
        assert_eq!(reader.rest(), "");
        return rows;
    }
    let mut documents = vec![reader.value(&Place::Any)];
    while !reader.rest().is_empty() {
        reader.expect("\n");
        documents.push(reader.value(&Place::Any));
    }
    documents
}

#[derive(Clone, Debug)]
enum Place {
    Any,
    Record(Vec<Column>),
    List(Box<Place>),
    Map(Box<Place>),
}

#[derive(Clone, Debug)]
struct Column {
    key: Text,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Constant(Value),
    Inline(Vec<Column>),
    Cell { prefix: String, suffix: String },
    Text { prefix: String, column: String, suffix: String },
    Copy(String),
    Place(Place),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    legend: Vec<String>,
    blank_null: bool,
}

/// A cell before derived columns are known.
enum Cell {
    Absent,
    Value(Value),
    Later,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> char {
        self.rest().chars().next().unwrap_or('\0')
    }

    fn expect(&mut self, text: &str) {
        assert!(
            self.rest().starts_with(text),
            "expected {text:?} at {:?}",
            &self.rest().chars().take(60).collect::<String>()
        );
        self.at += text.len();
    }

    fn accept(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn until(&mut self, stop: impl Fn(char) -> bool) -> String {
        let length = self.rest().find(stop).unwrap_or(self.rest().len());
        let text = self.rest()[..length].to_owned();
        self.at += length;
        text
    }

    /// A quoted string without its quotes, as it is spelled.
    fn quoted_raw(&mut self) -> String {
        self.expect("\"");
        let mut length = 0;
        let bytes = self.rest().as_bytes();
        while bytes[length] != b'"' {
            length += if bytes[length] == b'\\' { 2 } else { 1 };
        }
        let raw = self.rest()[..length].to_owned();
        self.at += length + 1;
        raw
    }

    fn quoted(&mut self) -> String {
        string::decode(&self.quoted_raw()).unwrap()
    }

    fn quoted_text(&mut self) -> Text {
        let raw = self.quoted_raw();
        string::decode(&raw).map_or(Text::Surrogates(raw), Text::Whole)
    }

    /// Bare text up to a comma, a line end or a closing bracket that it did not open.
    fn bare(&mut self) -> String {
        let mut depth = 0;
        let mut length = self.rest().len();
        for (at, c) in self.rest().char_indices() {
            match c {
                '\n' => length = at,
                ',' if depth == 0 => length = at,
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth == 0 => length = at,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            if length == at {
                break;
            }
        }
        let text = self.rest()[..length].to_owned();
        self.at += length;
        text
    }

    /// Bare text with the name at its start expanded.
    fn expanded(&mut self) -> String {
        let bare = self.bare();
        let Some(named) = bare.strip_prefix('$') else { return bare };
        let digits = named.find(|c: char| !c.is_ascii_digit()).unwrap_or(named.len());
        let number: usize = named[..digits].parse().unwrap();
        format!("{}{}", self.legend[number - 1], &named[digits..])
    }

    fn key(&mut self) -> Text {
        if self.peek() == '"' {
            return self.quoted_text();
        }
        Text::Whole(self.until(|c| ",:=(){}[]\n".contains(c)))
    }

    fn value(&mut self, place: &Place) -> Value {
        match self.peek() {
            '"' => Value::String(self.quoted_text()),
            '(' => {
                self.expect("(");
                let Place::Record(columns) = place else {
                    panic!("a tuple without columns at {}", self.rest())
                };
                let value = self.record(columns, ")", None);
                self.expect(")");
                value
            }
            '[' => {
                self.expect("[");
                if let Some(count) = self.table() {
                    let rows = self.rows(count, false).into_iter().map(|(_, value)| value).collect();
                    self.expect("\n]");
                    return Value::Array(rows);
                }
                let inner = if let Place::List(inner) = place { inner } else { &Place::Any };
                let mut items = Vec::new();
                while !self.accept("]") {
                    self.accept(",");
                    if !self.gap() {
                        items.push(self.value(inner));
                    }
                }
                Value::Array(items)
            }
            '{' => {
                self.expect("{");
                if let Some(count) = self.table() {
                    let rows = self
                        .rows(count, true)
                        .into_iter()
                        .map(|(key, value)| (key.unwrap(), value))
                        .collect();
                    self.expect("\n}");
                    return Value::Object(rows);
                }
                let inner = if let Place::Map(inner) = place { inner } else { &Place::Any };
                let mut entries = Vec::new();
                while !self.accept("}") {
                    self.accept(",");
                    if self.gap() {
                        continue;
                    }
                    let key = self.key();
                    if self.peek() != '(' {
                        self.expect(":");
                    }
                    entries.push((key, self.value(inner)));
                }
                Value::Object(entries)
            }
            '$' if self.rest().starts_with("$json") => {
                let name = self.until(|c| c == '{' || c == '[');
                let layout = [Layout::Compact, Layout::Spaced, Layout::Indented(2), Layout::Indented(4)]
                    .into_iter()
                    .find(|layout| layout.name() == name)
                    .unwrap();
                let mut text = String::new();
                self.value(&Place::Any).lay_out(layout, 0, &mut text);
                Value::String(Text::Whole(text))
            }
            _ => {
                let named = self.peek() == '$';
                let text = self.expanded();
                match &text[..] {
                    _ if named => Value::String(Text::Whole(text)),
                    "null" => Value::Null,
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    _ if super::parse::number_length(text.as_bytes()) == Some(text.len()) => {
                        Value::Number(text)
                    }
                    _ => Value::String(Text::Whole(text)),
                }
            }
        }
    }

    /// Skips `…12 more…`.
    fn gap(&mut self) -> bool {
        let found = self.rest().starts_with('…') && self.rest().find(" more…").is_some_and(|at| at < 20);
        if found {
            self.until(|c| c == ' ');
            self.expect(" more…");
        }
        found
    }

    /// The number of rows if a table begins here.
    fn table(&mut self) -> Option<usize> {
        let digits = self.rest().find(|c: char| !c.is_ascii_digit())?;
        if digits == 0 || !self.rest()[digits..].starts_with(" rows") {
            return None;
        }
        let count = self.rest()[..digits].parse().ok()?;
        self.at += digits + " rows".len();
        Some(count)
    }

    fn rows(&mut self, mut count: usize, keyed: bool) -> Vec<(Option<Text>, Value)> {
        if self.rest().split('\n').next().unwrap().contains(" shown") && self.accept(", ") {
            count = self.until(|c| c == ' ').parse().unwrap();
            self.expect(" shown");
        }
        self.blank_null = false;
        if self.accept(", blank=null") {
            self.blank_null = true;
            self.accept(", ~=absent");
        } else {
            self.accept(", blank=absent");
        }
        let mut order = Vec::new();
        if self.accept(", @=cells as in this head, keys stood as ") {
            order.push(self.key());
            while self.accept(",") {
                order.push(self.key());
            }
        }
        self.expect(": ");
        if keyed {
            self.expect("<key>,");
        }
        let numbered = self.accept("#index,");
        let place = match self.peek() {
            '[' | '{' => self.place(),
            _ => Place::Record(self.columns()),
        };
        let mut rows = Vec::new();
        for _ in 0..count {
            self.expect("\n");
            let key = keyed.then(|| {
                let key = if self.peek() == '"' { self.quoted_text() } else { Text::Whole(self.bare()) };
                if !self.accept(",") {
                    assert!(matches!(self.peek(), '\n'), "{}", self.rest());
                }
                key
            });
            if numbered {
                self.until(|c| c == ',' || c == '\n');
                self.accept(",");
            }
            let other = self.accept("@");
            let mut value = match &place {
                _ if self.accept("!") => self.value(&Place::Any),
                Place::Record(columns) => self.record(columns, "\n", key.as_ref()),
                place => self.value(place),
            };
            if let Value::Object(entries) = &mut value
                && other
            {
                entries.sort_by_key(|(key, _)| order.iter().position(|name| name == key).unwrap());
            }
            rows.push((key, value));
        }
        if self.accept("\n…") {
            self.until(|c| c == '\n');
        }
        rows
    }

    fn record(&mut self, columns: &[Column], end: &str, key: Option<&Text>) -> Value {
        let mut first = true;
        let cells = self.cells(columns, end, &mut first);
        Self::object(columns, cells, key)
    }

    fn cells(&mut self, columns: &[Column], end: &str, first: &mut bool) -> Vec<Cell> {
        columns
            .iter()
            .map(|column| match &column.content {
                Content::Constant(value) => Cell::Value(value.clone()),
                Content::Inline(inner) => {
                    let cells = self.cells(inner, end, first);
                    Cell::Value(Self::object(inner, cells, None))
                }
                Content::Text { .. } | Content::Copy(_) => Cell::Later,
                content => {
                    if !*first && !self.rest().starts_with(end) && !self.rest().is_empty() {
                        self.expect(",");
                    }
                    *first = false;
                    self.cell(content, end)
                }
            })
            .collect()
    }

    fn cell(&mut self, content: &Content, end: &str) -> Cell {
        let blank = self.rest().is_empty() || self.rest().starts_with(',') || self.rest().starts_with(end);
        match content {
            _ if blank && self.blank_null => Cell::Value(Value::Null),
            _ if blank => Cell::Absent,
            _ if self.blank_null && self.rest().starts_with('~') && {
                let after = self.rest()[1..].chars().next();
                after.is_none_or(|c| c == ',' || c == '\n' || c == ')')
            } =>
            {
                self.expect("~");
                Cell::Absent
            }
            Content::Cell { prefix, suffix } => {
                let part = if self.peek() == '"' {
                    self.quoted()
                } else {
                    let part = self.bare();
                    if part == "null" {
                        return Cell::Value(Value::Null);
                    }
                    part
                };
                Cell::Value(Value::String(Text::Whole(format!("{prefix}{part}{suffix}"))))
            }
            Content::Place(place) => Cell::Value(self.value(place)),
            _ => unreachable!("no cell of its own"),
        }
    }

    fn object(columns: &[Column], cells: Vec<Cell>, key: Option<&Text>) -> Value {
        let named = |name: &str| -> Value {
            let at = columns.iter().position(|c| c.key == Text::Whole(name.to_owned()));
            match at.map(|at| &cells[at]) {
                Some(Cell::Value(value)) => value.clone(),
                None if name == "key" => Value::String(key.unwrap().clone()),
                _ => panic!("no cell for <{name}>"),
            }
        };
        let mut entries = Vec::new();
        for (column, cell) in columns.iter().zip(&cells) {
            let value = match (cell, &column.content) {
                (Cell::Absent, _) => continue,
                (Cell::Value(value), _) => value.clone(),
                (Cell::Later, Content::Copy(name)) => named(name),
                (Cell::Later, Content::Text { prefix, column, suffix }) => match named(column) {
                    Value::String(Text::Whole(text)) | Value::Number(text) => {
                        Value::String(Text::Whole(format!("{prefix}{text}{suffix}")))
                    }
                    other => panic!("<{column}> is {other:?}"),
                },
                (Cell::Later, _) => unreachable!("only derived columns come later"),
            };
            entries.push((column.key.clone(), value));
        }
        Value::Object(entries)
    }

    fn place(&mut self) -> Place {
        match self.peek() {
            '(' => {
                self.expect("(");
                let columns = self.columns();
                self.expect(")");
                Place::Record(columns)
            }
            '[' => {
                self.expect("[");
                let inner = match self.peek() {
                    '[' | '{' => self.place(),
                    _ => Place::Record(self.columns()),
                };
                self.expect("]");
                Place::List(Box::new(inner))
            }
            '{' => {
                self.expect("{<key>");
                self.accept(":");
                let inner = self.place();
                self.expect("}");
                Place::Map(Box::new(inner))
            }
            _ => Place::Any,
        }
    }

    fn columns(&mut self) -> Vec<Column> {
        let mut columns = vec![self.column()];
        while self.accept(",") {
            columns.push(self.column());
        }
        columns
    }

    fn column(&mut self) -> Column {
        let key = self.key();
        let content = match self.peek() {
            '=' => {
                self.expect("=");
                self.constant()
            }
            '{' if !self.rest().starts_with("{<key>") => {
                self.expect("{");
                let columns = self.columns();
                self.expect("}");
                Content::Inline(columns)
            }
            '(' | '[' | '{' => Content::Place(self.place()),
            _ => Content::Place(Place::Any),
        };
        Column { key, content }
    }

    fn constant(&mut self) -> Content {
        if self.peek() == '"' {
            let text = self.quoted_text();
            return match &text {
                Text::Whole(t) if t == "*" => Content::Cell { prefix: String::new(), suffix: String::new() },
                Text::Whole(t) if t.starts_with('<') => Content::Text {
                    prefix: String::new(),
                    column: t[1..t.len() - 1].to_owned(),
                    suffix: String::new(),
                },
                _ => Content::Constant(Value::String(text)),
            };
        }
        let from = self.at;
        if !matches!(self.peek(), '{' | '[') && !self.rest().starts_with("$json") {
            let text = self.expanded();
            if let Some(name) = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')) {
                return Content::Copy(name.to_owned());
            }
            if let Some((prefix, suffix)) = text.split_once('*') {
                return Content::Cell { prefix: prefix.to_owned(), suffix: suffix.to_owned() };
            }
            if let Some((prefix, rest)) = text.split_once('<') {
                let (column, suffix) = rest.split_once('>').unwrap();
                let [prefix, column, suffix] = [prefix, column, suffix].map(str::to_owned);
                return Content::Text { prefix, column, suffix };
            }
            self.at = from;
        }
        Content::Constant(self.value(&Place::Any))
    }
}
