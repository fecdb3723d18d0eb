//! Figures as tables for people. A figure that an older or newer sidecar does not send is a dash.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};

use crate::number::grouped;

/// The first `texts` columns are aligned left, the figures after them right.
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

/// A name, or a dash for none. Names come from requests, so characters that move a terminal's cursor are replaced.
pub(crate) fn name_or_dash(name: &str) -> String {
    if name.is_empty() { "–".to_owned() } else { visible(name) }
}

/// A text without characters that move a terminal's cursor.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// A name of at most so many characters, or a dash for none.
pub(crate) fn shortened(name: &str, characters: usize) -> String {
    match name.char_indices().nth(characters) {
        Some((cut, _)) => visible(name.get(..cut).unwrap_or_default()) + "…",
        None => name_or_dash(name),
    }
}

/// A sentence in lines of at most so many characters. The first line starts with `beginning`, the others are indented
/// by its length. A longer word gets its own line.
pub(crate) fn wrapped(sentence: &str, beginning: &str, width: usize) -> String {
    let indent = beginning.chars().count();
    let mut out = beginning.to_owned();
    let mut column = indent;
    for word in sentence.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(&visible(word));
        column += length;
    }
    out + "\n"
}

/// A line with the number of entries that are not shown.
pub(crate) fn rest(all: usize, shown: usize) -> String {
    let more = all.saturating_sub(shown);
    if more == 0 { String::new() } else { format!("and {more} more: --top {all} shows them\n") }
}

/// Dollars, or a note that there is no price.
pub(crate) fn or_no_price(value: Option<f64>) -> String {
    value.map_or("no price".to_owned(), |usd| dollars(Some(usd)))
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
    fn a_sentence_is_broken_between_words_and_stands_in_one_column() {
        assert_eq!(wrapped("one two three", "1. ", 10), "1. one two\n   three\n");
        assert_eq!(wrapped("a-word-that-is-longer x", "", 5), "a-word-that-is-longer\nx\n");
        assert_eq!(wrapped("", "- ", 5), "- \n");
        assert!(!wrapped("\u{1b}[2J", "", 5).contains('\u{1b}'));
    }

    #[test]
    fn dollars_are_grouped_and_keep_their_cents() {
        let shown = [0.0, 1.234, 9_983_952.219, -1200.5].map(|value| dollars(Some(value)));
        assert_eq!(shown, ["$0.00", "$1.23", "$9,983,952.22", "-$1,200.50"]);
    }
}
