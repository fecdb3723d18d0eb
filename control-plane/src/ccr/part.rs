//! The part of an original that was asked for, as a model is to read it: a page, a range of lines, or
//! what matches a query.
//!
//! Lines count from 1. A line longer than [`LINE_BYTES`] counts as several, so that every part of a text
//! without line ends can be had; what is given is the text's own bytes all the same, with nothing put
//! between the parts of a line. When something was left out the last line is in brackets and says what,
//! and how to get it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;

use serde_json::value::RawValue;

/// Bytes that are given at once at most, the last line included: 15,000 to 25,000 tokens, and the latter
/// is what Claude Code takes of a tool's answer.
pub const PAGE_BYTES: usize = 60_000;
/// Bytes of a line that counts as one. Longer ones are data without line ends.
pub const LINE_BYTES: usize = 4_096;
/// Bytes of a query that are looked at.
const QUERY_BYTES: usize = 1_000;
/// Bytes kept free for the last line: its words, five numbers and a hash.
const NOTE_BYTES: usize = 300;
/// How deep inside objects an array is looked for whose elements a query chooses from: an answer's
/// `{"data":{"items":[…]}}`.
const WRAPPERS: usize = 3;

/// A range of lines that cannot be understood.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("lines: expected a range from 1 such as 40-80, 40- or -20, found {0:?}")]
pub struct NotARange(String);

/// Lines from the first to the last, counted from 1, both included; `None` for an end that is open.
type Lines = (Option<usize>, Option<usize>);

/// What was asked for, within the page size. A range that cannot be understood is explained in the
/// answer, because the one who reads it is the model that asked.
pub fn page(text: &str, hash: &str, query: &str, lines: &str) -> String {
    let range = match parse(lines) {
        Ok(range) => range,
        Err(error) => return format!("[headroom: {error}]"),
    };
    let query = shortened(query);
    match (query, range) {
        ("", range) => stretch(text, hash, range),
        (query, None) => matches_page(&items(text), query),
        (query, Some(range)) => match within(text, range) {
            Ok((pieces, wanted)) => matches_page(&numbered(text, &pieces, wanted), query),
            Err(note) => note,
        },
    }
}

/// The lines of a range, all of them, without a note: for people, who have no page size.
pub fn lines_of<'t>(text: &'t str, lines: &str) -> Result<&'t str, NotARange> {
    let Some(range) = parse(lines)? else { return Ok(text) };
    Ok(match within(text, range) {
        Ok((pieces, wanted)) => &text[bytes(&pieces, &wanted)],
        Err(_) => "",
    })
}

/// What matches best, at most `limit`, the best first: elements of a JSON array as they are spelled, or
/// lines without their ends.
pub fn best<'t>(text: &'t str, query: &str, limit: usize) -> Vec<&'t str> {
    let items = items(text);
    let found = ranked(&items.texts, shortened(query));
    found.into_iter().take(limit).map(|item| items.texts[item]).collect()
}

/// How many elements or lines a query would choose from.
pub fn count(text: &str) -> usize {
    items(text).texts.len()
}

fn parse(lines: &str) -> Result<Option<Lines>, NotARange> {
    let lines = lines.trim();
    if lines.is_empty() {
        return Ok(None);
    }
    let wrong = || NotARange(lines.chars().take(40).collect());
    let end = |text: &str| match text.trim() {
        "" => Ok(None),
        text => text.parse::<usize>().ok().filter(|line| *line > 0).map(Some).ok_or_else(wrong),
    };
    let range = match lines.split_once('-') {
        Some((from, to)) => (end(from)?, end(to)?),
        None => (end(lines)?, end(lines)?),
    };
    match range {
        (None, None) => Err(wrong()),
        (Some(from), Some(to)) if from > to => Err(wrong()),
        range => Ok(Some(range)),
    }
}

fn shortened(query: &str) -> &str {
    let query = query.trim();
    &query[..query.floor_char_boundary(QUERY_BYTES)]
}

/// The byte ranges of a text's lines, each with its end; together they are the text.
fn pieces(text: &str) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        while end - start > LINE_BYTES {
            let cut = text.floor_char_boundary(start + LINE_BYTES);
            pieces.push(start..cut);
            start = cut;
        }
        pieces.push(start..end);
        start = end;
    }
    pieces
}

/// The lines, and which of them a range means, as indexes; or a note that it means none.
fn within(text: &str, (from, to): Lines) -> Result<(Vec<Range<usize>>, Range<usize>), String> {
    let pieces = pieces(text);
    let from = from.unwrap_or(1) - 1;
    let to = to.unwrap_or(pieces.len()).min(pieces.len());
    if from >= to {
        return Err(format!("[headroom: there are {} lines]", pieces.len()));
    }
    Ok((pieces, from..to))
}

fn bytes(pieces: &[Range<usize>], wanted: &Range<usize>) -> Range<usize> {
    match pieces.get(wanted.clone()) {
        Some([first, .., last]) => first.start..last.end,
        Some([only]) => only.clone(),
        _ => 0..0,
    }
}

fn stretch(text: &str, hash: &str, range: Option<Lines>) -> String {
    if range.is_none() && text.len() <= PAGE_BYTES {
        return text.to_owned();
    }
    let (pieces, wanted) = match within(text, range.unwrap_or_default()) {
        Ok(found) => found,
        Err(note) => return note,
    };
    let start = bytes(&pieces, &wanted).start;
    if bytes(&pieces, &wanted).len() <= PAGE_BYTES {
        return text[bytes(&pieces, &wanted)].to_owned();
    }
    let fits = |piece: &&Range<usize>| piece.end - start <= PAGE_BYTES - NOTE_BYTES;
    let given = wanted.start..wanted.start + pieces[wanted.clone()].iter().take_while(fits).count();
    let mut page = text[bytes(&pieces, &given)].to_owned();
    let next = if wanted.end == pieces.len() {
        format!("{}-", given.end + 1)
    } else {
        format!("{}-{}", given.end + 1, wanted.end)
    };
    note(
        &mut page,
        &format!(
            "lines {}-{} of {}. Next page: headroom_retrieve hash={hash} lines={next}",
            given.start + 1,
            given.end,
            pieces.len()
        ),
    );
    page
}

fn note(page: &mut String, text: &str) {
    if !page.is_empty() && !page.ends_with('\n') {
        page.push('\n');
    }
    // writing to a String cannot fail
    let _ = write!(page, "[headroom: {text}]");
}

/// What a query chooses from.
struct Items<'t> {
    texts: Vec<&'t str>,
    /// What one is called.
    name: &'static str,
    /// The number of the first line; `None` where items are no lines.
    first_line: Option<usize>,
}

fn items(text: &str) -> Items<'_> {
    if let Some(texts) = serde_json::from_str(text).ok().and_then(|value| elements(value, WRAPPERS)) {
        return Items { texts, name: "elements", first_line: None };
    }
    let pieces = pieces(text);
    let all = 0..pieces.len();
    numbered(text, &pieces, all)
}

fn numbered<'t>(text: &'t str, pieces: &[Range<usize>], wanted: Range<usize>) -> Items<'t> {
    let first_line = Some(wanted.start + 1);
    let texts =
        pieces[wanted].iter().map(|piece| text[piece.clone()].trim_end_matches(['\n', '\r'])).collect();
    Items { texts, name: "lines", first_line }
}

/// The elements of a JSON array with more than one, or of the longest such inside an object.
fn elements(value: &RawValue, wrappers: usize) -> Option<Vec<&str>> {
    if let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(value.get()) {
        return (elements.len() > 1).then(|| elements.into_iter().map(RawValue::get).collect());
    }
    let members: Members<'_> = serde_json::from_str(value.get()).ok().filter(|_| wrappers > 0)?;
    let longest = members.0.into_iter().max_by_key(|member| member.get().len())?;
    elements(longest, wrappers - 1)
}

/// The values of an object's members, whatever their names are.
struct Members<'t>(Vec<&'t RawValue>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some((_, value)) = map.next_entry::<serde::de::IgnoredAny, &RawValue>()? {
                    values.push(value);
                }
                Ok(Members(values))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// The items that match, the best first: those that hold the query as it is written, whatever its case,
/// then those that BM25 finds by its words.
fn ranked(items: &[&str], query: &str) -> Vec<usize> {
    if query.is_empty() {
        return Vec::new();
    }
    let wanted = query.to_lowercase();
    let mut found: Vec<usize> =
        (0..items.len()).filter(|&item| items[item].to_lowercase().contains(&wanted)).collect();
    let literal: HashSet<usize> = found.iter().copied().collect();
    found
        .extend(headroom_compress::relevant(items, query).into_iter().filter(|item| !literal.contains(item)));
    found
}

/// The best matches that fit on a page, in the order in which they stand in the text.
fn matches_page(items: &Items<'_>, query: &str) -> String {
    let found = ranked(&items.texts, query);
    let total = items.texts.len();
    let line = |item: usize| match items.first_line {
        Some(first) => format!("{}: {}", first + item, items.texts[item]),
        None => items.texts[item].to_owned(),
    };
    let mut left = PAGE_BYTES - NOTE_BYTES;
    let mut given: Vec<(usize, String)> = Vec::new();
    for &item in &found {
        let mut shown = line(item);
        if given.is_empty() && shown.len() >= left {
            shown.truncate(shown.floor_char_boundary(left - 1));
        }
        if shown.len() >= left {
            break;
        }
        left -= shown.len() + 1;
        given.push((item, shown));
    }
    let shown = given.len();
    given.sort_unstable_by_key(|(item, _)| *item);
    let mut page = String::new();
    for (_, text) in given {
        page.push_str(&text);
        page.push('\n');
    }
    let name = items.name;
    match found.len() {
        0 => note(&mut page, &format!("none of {total} {name} matches")),
        all if all == shown => note(&mut page, &format!("{all} of {total} {name} match")),
        all => note(
            &mut page,
            &format!("the best {shown} of {all} {name} that match, of {total}: ask for less to see others"),
        ),
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef01234567";

    fn numbers(lines: usize) -> String {
        (1..=lines).map(|n| format!("line {n} of the text\n")).collect()
    }

    /// Follows the last lines from page to page.
    fn all_pages(text: &str, lines: &str) -> String {
        let (mut whole, mut lines) = (String::new(), lines.to_owned());
        loop {
            let page = page(text, HASH, "", &lines);
            assert!(page.len() <= PAGE_BYTES, "{}", page.len());
            let Some((body, note)) = page.rsplit_once("[headroom: ") else { return whole + &page };
            let next = note.trim_end_matches(']').rsplit_once("lines=").unwrap().1;
            assert!(note.contains(&format!("headroom_retrieve hash={HASH}")));
            whole.push_str(body);
            lines = next.to_owned();
        }
    }

    #[test]
    fn what_fits_on_a_page_is_given_as_it_is() {
        for text in ["", "\n", "a", "a\r\nb", &"x".repeat(PAGE_BYTES)] {
            assert_eq!(page(text, HASH, "", ""), text);
            assert_eq!(page(text, HASH, "  ", " "), text);
        }
    }

    #[test]
    fn pages_put_together_are_the_text() {
        let text = numbers(100_000);
        assert_eq!(all_pages(&text, ""), text);
        let cut = all_pages(&text, "500-20000");
        assert!(cut.starts_with("line 500 ") && cut.ends_with("line 20000 of the text\n"));
    }

    #[test]
    fn a_text_without_line_ends_has_pages_too() {
        let text = "größe,".repeat(40_000);
        let first = page(&text, HASH, "", "");
        assert!(first.len() <= PAGE_BYTES);
        // the note stands on a line of its own, which is not the text's
        let body = first.rsplit_once("\n[headroom: ").unwrap().0;
        assert!(text.starts_with(body) && body.len() > PAGE_BYTES / 2);
        assert_eq!(lines_of(&text, "1-1").unwrap().len(), text.floor_char_boundary(LINE_BYTES));
    }

    #[test]
    fn a_range_is_given_without_a_word_more() {
        let text = numbers(10);
        assert_eq!(page(&text, HASH, "", "3-4"), "line 3 of the text\nline 4 of the text\n");
        assert_eq!(page(&text, HASH, "", "10-"), "line 10 of the text\n");
        assert_eq!(page(&text, HASH, "", "-1"), "line 1 of the text\n");
        assert_eq!(page(&text, HASH, "", "7"), "line 7 of the text\n");
        assert_eq!(page(&text, HASH, "", "9-99"), lines_of(&text, "9-").unwrap());
        assert_eq!(page(&text, HASH, "", "11-"), "[headroom: there are 10 lines]");
        assert_eq!(page("", HASH, "", "1-"), "[headroom: there are 0 lines]");
    }

    #[test]
    fn a_range_that_is_none_is_explained() {
        for bad in ["80-40", "0-3", "a-b", "-", "1-2-3", "-0", "4,5", "99999999999999999999999-"] {
            let said = page("text", HASH, "", bad);
            assert!(said.starts_with("[headroom: lines: expected a range"), "{bad}: {said}");
            assert!(lines_of("text", bad).is_err());
        }
    }

    #[test]
    fn a_query_finds_lines_with_their_numbers_in_their_order() {
        let mut text = numbers(300);
        text.push_str("ERROR: connection refused by 10.0.0.7\nthe end\n");
        let found = page(&text, HASH, "connection refused", "");
        assert_eq!(found, "301: ERROR: connection refused by 10.0.0.7\n[headroom: 1 of 302 lines match]");
        assert_eq!(page(&text, HASH, "zebra", ""), "[headroom: none of 302 lines matches]");
        assert!(page(&text, HASH, "connection", "1-300").contains("none of 300 lines"));
        assert!(page(&text, HASH, "LINE 7 of", "5-9").starts_with("7: line 7 of the text\n"));
    }

    #[test]
    fn short_and_common_words_are_found_as_they_are_written() {
        let text = numbers(50);
        assert!(page(&text, HASH, "42", "").starts_with("42: line 42 of the text\n[headroom: 1 of"));
        assert!(page(&text, HASH, "the text", "").ends_with("[headroom: 50 of 50 lines match]"));
    }

    #[test]
    fn a_query_finds_elements_of_json_as_they_are_spelled() {
        let rows: Vec<String> = (0..40).map(|n| format!("{{ \"id\":{n}, \"name\":\"row {n}\" }}")).collect();
        let list = format!("[{}]", rows.join(", "));
        for text in [list.clone(), format!("{{\"total\":40,\"data\":{{\"items\":{list}}}}}")] {
            assert_eq!(
                page(&text, HASH, "row 17", ""),
                "{ \"id\":17, \"name\":\"row 17\" }\n[headroom: 1 of 40 elements match]"
            );
            assert_eq!(best(&text, "row 17", 20), [rows[17].as_str()]);
        }
        assert_eq!(best("{\"a\":1}\n", "a", 5), ["{\"a\":1}"]);
    }

    #[test]
    fn a_hundred_thousand_matches_end_at_the_page_size() {
        let text = numbers(100_000);
        let found = page(&text, HASH, "line", "");
        assert!(found.len() <= PAGE_BYTES && found.len() > PAGE_BYTES / 2);
        assert!(found.contains("of 100000 lines that match, of 100000: ask for less"));
        let wide = format!("[\"{}\",\"b\"]", "a".repeat(PAGE_BYTES * 2));
        assert!(page(&wide, HASH, "aaa", "").len() <= PAGE_BYTES);
        let long = "word ".repeat(10_000);
        assert!(page(&text, HASH, &long, "").len() <= PAGE_BYTES);
    }

    #[test]
    fn an_empty_query_matches_nothing_and_asks_for_everything() {
        assert!(best("a\nb", "  ", 5).is_empty());
        assert_eq!(page("a\nb", HASH, "\t", ""), "a\nb");
    }
}
