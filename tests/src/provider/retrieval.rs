//! Whether a text is the requested part of an original.

use serde_json::Value;

/// The filter's remark about the rest, in brackets on the last line.
const REMARK: &str = "[headroom";

/// What the filter says of lines that a text of one line does not have.
const NOT_THERE: &str = "[headroom: nothing of the text matches; it has 1 lines";

/// Whether `got` is the original, or the requested range of it: lines, rows of an array, or characters
/// of a text of one line. For a long one it may be the first page, with a remark about the rest.
pub(super) fn is_exact(original: &str, range: &str, got: &str) -> bool {
    if range.is_empty() && got == original {
        return true;
    }
    let Some((text, remark)) = without_remark(got) else {
        return !range.is_empty() && is_range(original, range, got);
    };
    if text.is_empty() && remark.starts_with(NOT_THERE) {
        return original.trim_end_matches('\n').lines().count() == 1 && !range.starts_with("1-");
    }
    if range.is_empty() {
        return remark.contains("hash=") && !text.is_empty() && original.starts_with(text);
    }
    is_range(original, range, text)
}

/// A text and the remark after it; `None` if there is none.
fn without_remark(text: &str) -> Option<(&str, &str)> {
    let at = text.rfind(REMARK)?;
    let remark = &text[at..];
    (remark.ends_with(']') && !remark.contains('\n')).then(|| (&text[..at], remark))
}

fn is_range(original: &str, range: &str, text: &str) -> bool {
    let Some((from, to)) = range.split_once('-') else { return false };
    let (Ok(from), Ok(to)) = (from.parse::<usize>(), to.parse::<usize>()) else { return false };
    let (skip, take) = (from.saturating_sub(1), to + 1 - from);
    let trimmed = text.trim_end_matches('\n');
    if original.trim_end_matches('\n').contains('\n') {
        let lines: String = original.split_inclusive('\n').skip(skip).take(take).collect();
        return trimmed == lines.trim_end_matches('\n');
    }
    match serde_json::from_str(original) {
        // Rows count from 0, as in the forms.
        Ok(Value::Array(rows)) => {
            let wanted = rows.iter().skip(from).take(take);
            rows_of(trimmed).is_some_and(|rows| rows.iter().eq(wanted))
        }
        // The engine decides which list of a document is meant; this only checks that it is a part of the
        // document.
        Ok(Value::Object(_)) => !trimmed.is_empty() && original.contains(trimmed),
        _ => {
            let characters: String = original.chars().skip(skip).take(take).collect();
            !text.is_empty() && text == characters
        }
    }
}

/// The rows in a text: an array, or rows with commas or line ends between them.
fn rows_of(text: &str) -> Option<Vec<Value>> {
    let inner = text.trim().trim_end_matches(',');
    serde_json::from_str(inner)
        .or_else(|_| serde_json::from_str(&format!("[{inner}]")))
        .ok()
        .or_else(|| inner.lines().map(|line| serde_json::from_str(line.trim_end_matches(',')).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_and_nothing_else_is_exact() {
        assert!(is_exact("a\nb\n", "", "a\nb\n"));
        assert!(!is_exact("a\nb\n", "", "a\nb"));
        assert!(!is_exact("a\nb\n", "", ""));
        assert!(!is_exact("a\nb\n", "", "[headroom: not found]"));
        assert!(is_exact("a\nb\nc", "", "a\nb\n[headroom: lines 1-2 of 3; the rest: hash=1 lines=3-]"));
        let nothing =
            "[headroom: nothing of the text matches; it has 1 lines; a range of them can be asked for]";
        assert!(is_exact("{\"a\": 1}", "2-4", nothing) && !is_exact("{\"a\": 1}", "1-4", nothing));
        assert!(!is_exact("{\"a\": 1}\n{\"b\": 2}", "2-4", nothing) && !is_exact("", "2-4", nothing));
        assert!(!is_exact("a\nb\nc", "", "b\n[headroom: lines 1-2 of 3; the rest: hash=1 lines=3-]"));
    }

    #[test]
    fn a_range_is_lines_rows_or_characters() {
        let lines = "a\nb\nc\nd\ne\n";
        assert!(is_exact(lines, "2-4", "b\nc\nd\n") && is_exact(lines, "2-4", "b\nc\nd"));
        assert!(is_exact(lines, "2-4", "b\nc\nd\n[headroom: 5 lines]"));
        assert!(!is_exact(lines, "2-4", "b\nc\n") && !is_exact(lines, "2-4", lines));
        let rows = r#"[{"a":1},{"a":2},{"a":3},{"a":4},{"a":5}]"#;
        for text in
            [r#"[{"a":3},{"a":4},{"a":5}]"#, r#"{"a":3},{"a":4},{"a":5}"#, "{\"a\":3}\n{\"a\":4}\n{\"a\":5}"]
        {
            assert!(is_exact(rows, "2-4", text), "{text}");
        }
        assert!(!is_exact(rows, "2-4", r#"[{"a":2},{"a":3}]"#));
        let document = r#"{"items":[1,2,3,4,5]}"#;
        assert!(is_exact(document, "2-4", "3,4,5") && !is_exact(document, "2-4", "3,5"));
        assert!(is_exact("abcdef", "2-4", "bcd") && !is_exact("abcdef", "2-4", "abcdef"));
    }
}
