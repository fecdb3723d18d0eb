//! The cells of tables, each under its column. Cells that span columns leave their places empty; cells that
//! span rows are repeated in each of these rows.

use super::tag::Tag;
use crate::work;

/// The most columns that are kept separate.
const MOST_COLUMNS: usize = 64;

/// At most this many bytes of a cell that spans rows are repeated.
const REPEATED: usize = 120;

/// Stands between two cells.
const SEPARATOR: &str = " | ";

/// The bytes that are left for what a page has once, and its table in several columns or rows.
#[derive(Default)]
pub(super) struct Room {
    text: usize,
    separators: usize,
}

impl Room {
    /// For a page of this length.
    pub(super) fn of(page: usize) -> Self {
        Self { text: page / 4, separators: page }
    }

    /// Begins a further column. Without this a value would stand in the wrong one, so that a page with more of them than
    /// there is room for stays as it came.
    fn separate(&mut self, out: &mut String) {
        match self.separators.checked_sub(SEPARATOR.len()) {
            Some(left) => {
                self.separators = left;
                separate(out);
            }
            None => work::spend(usize::MAX),
        }
    }
}

/// The open cell, and the cells that span down from the rows above.
#[derive(Default)]
pub(super) struct Grid {
    column: usize,
    cell: Option<Cell>,
    /// For each column, how many more rows a cell above spans, and its text.
    spans: Vec<(usize, String)>,
}

struct Cell {
    /// Where its text starts.
    start: usize,
    columns: usize,
    rows: usize,
}

impl Grid {
    /// Whether a row is open.
    pub(super) fn in_row(&self) -> bool {
        self.cell.is_some() || self.column > 0
    }

    /// Starts a cell. `room` is for what stands in several columns or rows.
    pub(super) fn open(&mut self, tag: &Tag<'_>, out: &mut String, room: &mut Room) {
        self.close(out, room);
        self.fill(out, room);
        if self.column > 0 {
            separate(out);
        }
        let columns = tag.number("colspan", MOST_COLUMNS).unwrap_or(1).max(1);
        let rows = tag.number("rowspan", 1000).unwrap_or(1).max(1);
        self.cell = Some(Cell { start: out.len(), columns, rows });
    }

    /// Ends the open cell.
    pub(super) fn close(&mut self, out: &mut String, room: &mut Room) {
        let Some(cell) = self.cell.take() else { return };
        // A pipe in a cell's text is not a border.
        if out.get(cell.start..).is_some_and(|text| text.contains('|')) {
            let text = out.split_off(cell.start).replace('|', "\\|");
            out.push_str(&text);
        }
        let text = out.get(cell.start..).unwrap_or_default().trim();
        let repeated =
            if cell.rows > 1 && text.len() <= REPEATED && !text.contains('\n') { text } else { "″" };
        let last = (self.column + cell.columns).min(MOST_COLUMNS);
        for column in self.column..last {
            if cell.rows > 1 {
                self.spans.resize(self.spans.len().max(column + 1), (0, String::new()));
                if let Some(span) = self.spans.get_mut(column) {
                    *span = (
                        cell.rows - 1,
                        if column == self.column { repeated.to_owned() } else { String::new() },
                    );
                }
            }
        }
        for _ in 1..cell.columns {
            room.separate(out);
        }
        self.column += cell.columns;
    }

    /// Ends the row.
    pub(super) fn end_row(&mut self, out: &mut String, room: &mut Room) {
        self.close(out, room);
        if self.column > 0 {
            self.fill(out, room);
        }
        self.column = 0;
    }

    /// Writes the cells that span down from above, from this column on.
    fn fill(&mut self, out: &mut String, room: &mut Room) {
        work::spend(self.spans.len());
        while let Some((rows, text)) = self.spans.get_mut(self.column).filter(|(rows, _)| *rows > 0) {
            *rows -= 1;
            if self.column > 0 {
                room.separate(out);
            }
            if let Some(left) = room.text.checked_sub(text.len()) {
                room.text = left;
                out.push_str(text);
            }
            self.column += 1;
        }
    }
}

fn separate(out: &mut String) {
    let end = out.trim_end_matches(' ').len();
    out.truncate(end);
    out.push_str(SEPARATOR);
}
