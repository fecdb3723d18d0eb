//! What all values at one place of a document have in common.

/// The node for a place where a row has no value.
pub(crate) const ABSENT: u32 = u32::MAX;

/// What all values at one place have in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Schema {
    /// Nothing: each value is written out.
    Any,
    Record(Record),
    List(Box<Schema>),
    /// Objects whose keys are data, with values of one schema.
    Map(Box<Schema>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) columns: Vec<Column>,
    /// The columns in the other order that the keys of some rows have; empty if there is none.
    pub(crate) other: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    /// The node of the key's first occurrence.
    pub(crate) key: u32,
    pub(crate) content: Content,
    /// Rows without this key.
    pub(crate) absent: usize,
    /// Rows with null.
    pub(crate) null: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// The same value in every row; the node of the first.
    Constant(u32),
    /// Objects in every row: their columns are this table's columns.
    Inline(Record),
    /// Strings that differ only in one part.
    Strings(Template),
    Values(Schema),
}

/// The common parts of a column's strings, around the part that differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Template {
    pub(crate) prefix: String,
    pub(crate) suffix: String,
    pub(crate) source: Source,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Source {
    /// The row's cell.
    #[default]
    Cell,
    /// The text of another column of the same record.
    Text(usize),
    /// The value of another column of the same record, whatever its type.
    Copy(usize),
    /// The row's key in a table whose first column holds the keys.
    Key,
}
