//! Figures as tables for people. What an older or newer sidecar does not send is a dash.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};

use crate::number::grouped;

/// The first `texts` columns read from the left, the figures after them from the right.
pub(crate) fn table(header: &[&str], texts: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !header.is_empty() {
        table.set_header(header.to_vec());
        for column in table.column_iter_mut().skip(texts) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The entries of a map, the largest first, equal ones by name.
pub(crate) fn sorted<T>(figures: &BTreeMap<String, T>, size: impl Fn(&T) -> i64) -> Vec<(&str, &T)> {
    let mut entries: Vec<(&str, &T)> = figures.iter().map(|(name, value)| (name.as_str(), value)).collect();
    entries.sort_by_key(|(name, value)| (std::cmp::Reverse(size(value)), *name));
    entries
}

/// A name, or a dash for none.
pub(crate) fn name_or_dash(name: &str) -> String {
    if name.is_empty() { "–".to_owned() } else { name.to_owned() }
}

/// A whole number with its digits grouped.
pub(crate) fn number(value: Option<i64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(number) if number < 0 => format!("-{}", grouped(number.unsigned_abs())),
        Some(number) => grouped(number.unsigned_abs()),
    }
}

/// A share in percent with one decimal.
pub(crate) fn percent(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |percent| format!("{percent:.1} %"))
}

/// Dollars and cents, with the digits grouped.
pub(crate) fn dollars(value: Option<f64>) -> String {
    let Some(dollars) = value else { return "–".to_owned() };
    let text = format!("{:.2}", dollars.abs());
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "00"));
    let sign = if dollars < 0.0 { "-" } else { "" };
    format!("{sign}${}.{cents}", whole.parse().map_or_else(|_| whole.to_owned(), grouped))
}

/// Milliseconds with two decimals.
pub(crate) fn milliseconds(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |milliseconds| format!("{milliseconds:.2} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_grouped_and_keep_their_cents() {
        let shown = [0.0, 1.234, 9_983_952.219, -1200.5].map(|value| dollars(Some(value)));
        assert_eq!(shown, ["$0.00", "$1.23", "$9,983,952.22", "-$1,200.50"]);
    }
}
