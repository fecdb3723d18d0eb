//! Splits a block with several kinds of content, so that each part is compressed once.
//!
//! Three things frame an output without being part of it: a wrapper of tags that an agent's harness adds
//! (`<returncode>0</returncode>`, `<output>` … `</output>`), the lines of status that it writes before or after
//! ([`harness`]), and fences in markdown. Frames stay unchanged, and so does a label on the line on which a JSON document
//! begins (`Output: [`, as Gemini CLI prints it). JSON documents with other text before or after them (a
//! status line, the warnings of a package manager) are separate parts.

mod harness;

use std::ops::Range;

use memchr::memmem;

use crate::kinds::json::{self, Documents};

/// A range of a block with one kind. The text between two parts is a frame.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) span: Range<usize>,
    /// Whether it is the inside of a markdown fence.
    pub(crate) fenced: bool,
    /// The documents in the part, if they have been read already.
    pub(crate) documents: Option<Documents<'a>>,
}

/// The most fenced parts that are searched; the rest of the text is one part. A documentation page has some
/// dozens.
const MAX_PARTS: usize = 256;

/// Lines of a wrapper are short; a longer line is content.
const MAX_FRAME_LINE: usize = 120;

/// A label is a few words.
const MAX_LABEL: usize = 40;

/// How many lines at the start of a text may have a label and a document after it, and how many labels are
/// tried.
const LABELLED_LINES: usize = 8;
const MAX_LABELS: usize = 2;

/// The parts of `text`, ascending and not overlapping; at least one, unless the text is empty.
pub(crate) fn split(text: &str) -> Vec<Part<'_>> {
    let body = unwrap(text);
    let fenced = fences(text.get(body.clone()).unwrap_or_default());
    if fenced.is_empty() {
        return around_json(text, body);
    }
    let mut parts = Vec::with_capacity(2 * fenced.len() + 1);
    let mut from = body.start;
    for fence in fenced {
        push(&mut parts, from..body.start + fence.lines.start, false);
        push(&mut parts, body.start + fence.inside.start..body.start + fence.inside.end, true);
        from = body.start + fence.lines.end;
    }
    push(&mut parts, from..body.end, false);
    parts
}

/// JSON documents in `body` and the text before and after them.
fn around_json(text: &str, body: Range<usize>) -> Vec<Part<'_>> {
    let inside = text.get(body.clone()).unwrap_or_default();
    let labelled = labels(inside).take(MAX_LABELS).find_map(|end| {
        let documents = json::find(inside.get(end..)?).filter(|documents| documents.before.is_empty());
        Some((end, documents?))
    });
    let (frame, labelled) = labelled.map_or((0, None), |(end, documents)| (end, Some(documents)));
    let body = body.start + frame..body.end;
    let Some(documents) = labelled.or_else(|| json::find(inside)) else {
        let inner = harness::inside(inside);
        let span = body.start + inner.start..body.start + inner.end;
        return vec![Part { span, fenced: false, documents: None }];
    };
    let (before, after) = (documents.before, documents.after);
    if frame == 0 && before.trim().is_empty() && after.trim().is_empty() {
        return vec![Part { span: body, fenced: false, documents: Some(documents) }];
    }
    let (start, end) = (body.start + before.len(), body.end - after.len());
    let mut parts = Vec::with_capacity(3);
    push(&mut parts, body.start..start, false);
    parts.push(Part { span: start..end, fenced: false, documents: Some(documents.alone()) });
    push(&mut parts, end..body.end, false);
    parts
}

/// The ends of labels that JSON may follow: on the first line, or after a few short ones (`Command: make`).
fn labels(text: &str) -> impl Iterator<Item = usize> {
    let mut from = 0;
    (0..LABELLED_LINES)
        .map_while(move |_| {
            let rest = text.get(from..).filter(|rest| !rest.is_empty())?;
            let length = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |at| at + 1);
            let label = label(rest);
            let end = from + label;
            from += length;
            (label > 0 || length <= MAX_FRAME_LINE).then_some((label > 0).then_some(end))
        })
        .flatten()
}

/// The length of a label such as `Output: `, if a text begins with it and JSON follows on the same line.
fn label(text: &str) -> usize {
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'_' | b'-');
    let words = text.bytes().take(MAX_LABEL).take_while(|&b| word(b)).count();
    let rest = text.get(words..).unwrap_or_default();
    match rest.strip_prefix(": ").map(str::as_bytes) {
        Some([b'{' | b'[', ..]) if words > 0 => words + 2,
        _ => 0,
    }
}

fn push(parts: &mut Vec<Part<'_>>, span: Range<usize>, fenced: bool) {
    if !span.is_empty() {
        parts.push(Part { span, fenced, documents: None });
    }
}

/// The rest of `text` inside the lines of tags around it.
fn unwrap(text: &str) -> Range<usize> {
    if !text.starts_with(|c: char| c == '<' || c.is_whitespace()) {
        return 0..text.len();
    }
    let mut start = 0;
    while let Some(line) = text.get(start..).unwrap_or_default().split_inclusive('\n').next() {
        if line.ends_with('\n') && is_tag_line(line.trim()) {
            start += line.len();
        } else {
            break;
        }
    }
    if start == 0 {
        return 0..text.len();
    }
    let mut end = text.len();
    while end > start {
        let kept = text.get(start..end).unwrap_or_default().trim_end_matches('\n');
        let line_start = start + memchr::memrchr(b'\n', kept.as_bytes()).map_or(0, |i| i + 1);
        if line_start > start && is_closing_tag(text.get(line_start..end).unwrap_or_default().trim()) {
            end = line_start;
        } else {
            break;
        }
    }
    start..end
}

/// `<output>` or `<returncode>0</returncode>`: a line with a plain tag at its start, and nothing that could
/// be content of a larger document.
fn is_tag_line(line: &str) -> bool {
    let Some(rest) = line.strip_prefix('<') else { return line.is_empty() };
    if line.len() > MAX_FRAME_LINE || !line.ends_with('>') {
        return false;
    }
    let Some((name, inner)) = rest.split_once('>') else { return false };
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    // HTML has its own compressor, for which its tags are content.
    let html = ["html", "body", "head", "div", "p", "ul", "table", "pre", "span"]
        .iter()
        .any(|tag| name.eq_ignore_ascii_case(tag));
    plain
        && !html
        && (inner.is_empty() || inner.strip_suffix('>').is_some_and(|i| i.ends_with(&format!("</{name}"))))
}

fn is_closing_tag(line: &str) -> bool {
    line.len() <= MAX_FRAME_LINE
        && line.strip_prefix("</").and_then(|rest| rest.strip_suffix('>')).is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        })
}

/// How a fence begins.
const MARKS: [&[u8]; 2] = [b"```", b"~~~"];

/// A closed markdown fence.
struct Fence {
    inside: Range<usize>,
    /// The inside with the two lines that fence it, which belong to no part: a form of what stands before or behind
    /// would stand in the fence.
    lines: Range<usize>,
}

/// The lines that may be fences: those with a mark.
fn marked(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let find = move |mark, from: usize| Some(from + memmem::find(bytes.get(from..)?, mark)?);
    let mut next = MARKS.map(|mark| find(mark, 0));
    std::iter::from_fn(move || {
        let at = next.into_iter().flatten().min()?;
        let start = memchr::memrchr(b'\n', bytes.get(..at)?).map_or(0, |end| end + 1);
        let end = memchr::memchr(b'\n', bytes.get(at..)?).map_or(bytes.len(), |end| at + end + 1);
        for (next, mark) in next.iter_mut().zip(MARKS) {
            if next.is_some_and(|next| next < end) {
                *next = find(mark, end);
            }
        }
        Some(start..end)
    })
}

/// The closed markdown fences with something inside.
fn fences(text: &str) -> Vec<Fence> {
    let mut found = Vec::new();
    let mut open: Option<(Range<usize>, &str)> = None;
    for line in marked(text) {
        let trimmed = text.get(line.clone()).unwrap_or_default().trim();
        let Some(mark) = fence_mark(trimmed) else { continue };
        match &open {
            None => open = Some((line, mark)),
            Some((first, opened)) if trimmed == *opened => {
                if first.end < line.start {
                    found.push(Fence { inside: first.end..line.start, lines: first.start..line.end });
                }
                open = None;
                if found.len() == MAX_PARTS {
                    break;
                }
            }
            // A fence with the other sign, or with an info string, is content of the open one.
            Some(_) => {}
        }
    }
    found
}

/// The run of back-ticks or tildes that opens a fence.
fn fence_mark(line: &str) -> Option<&str> {
    let mark = *line.as_bytes().first().filter(|b| matches!(b, b'`' | b'~'))?;
    let run = line.bytes().take_while(|&b| b == mark).count();
    (run >= 3).then(|| line.get(..run).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        split(text).into_iter().map(|part| &text[part.span]).collect()
    }

    #[test]
    fn a_plain_text_is_one_part() {
        assert_eq!(texts("a\nb\n"), ["a\nb\n"]);
        assert_eq!(texts(""), [""]);
    }

    #[test]
    fn a_wrapper_of_tags_is_a_frame() {
        assert_eq!(texts("<returncode>0</returncode>\n<output>\na\nb\n</output>"), ["a\nb\n"]);
        assert_eq!(texts("<status>done</status>\n\n<output>\na\n</output>\n\n"), ["a\n"]);
    }

    #[test]
    fn a_document_in_html_is_not_a_wrapper() {
        assert_eq!(texts("<html>\n<body>\nx\n</body>\n</html>\n").len(), 1);
        assert!(texts("<html>\n<body>\nx\n</body>\n</html>\n")[0].starts_with("<html>"));
    }

    #[test]
    fn fenced_code_is_a_part_of_its_own() {
        assert_eq!(texts("see\n```json\n{}\n```\nand\n"), ["see\n", "{}\n", "and\n"]);
    }

    #[test]
    fn json_is_split_from_the_text_around_it() {
        let document = "{\n  \"a\": [1, 2, 3],\n  \"b\": \"some text\"\n}";
        assert_eq!(
            texts(&format!("HTTP 200\n{document}\nnpm warn\n")),
            ["HTTP 200\n", document, "\nnpm warn\n"]
        );
        assert_eq!(texts(&format!("{document}\n")), [format!("{document}\n")]);
    }

    #[test]
    fn a_label_before_json_is_a_frame() {
        let document = "[\n  {\n    \"id\": 1000\n  },\n  {\n    \"id\": 1001\n  }\n]";
        assert_eq!(texts(&format!("Output: {document}")), [document]);
        let wrapped =
            format!("<untrusted_context>\nOutput: {document}\nProcess Group PGID: 77\n</untrusted_context>");
        assert_eq!(texts(&wrapped), [document, "\nProcess Group PGID: 77\n"]);
        let behind = format!("Command: curl x\nDirectory: (root)\nOutput: {document}\nExit Code: 0\n");
        assert_eq!(texts(&behind), [document, "\nExit Code: 0\n"]);
        let far = format!("{}Output: {document}", "Note: x\n".repeat(LABELLED_LINES));
        assert_eq!(texts(&far).concat(), far);
    }

    proptest::proptest! {
        /// The part is exactly the document, as JSON's own inverse needs it; the rest is the frame.
        #[test]
        fn a_labelled_document_is_found_whole_whatever_stands_around_it(
            label in "[A-Za-z][A-Za-z0-9 _-]{0,38}",
            names in proptest::collection::vec("[a-z\\[\\]{}: ]{0,12}", 3..20),
            above in "([A-Z][a-z]{2,8}: [a-z ()./-]{0,20}\n){0,3}",
            trailer in proptest::option::of("[A-Z][a-z]{2,8}: [0-9]{1,5}"),
            wrapped in proptest::bool::ANY,
        ) {
            let rows: Vec<_> = names.iter().map(|name| serde_json::json!({"name": name, "active": true})).collect();
            let document = serde_json::to_string_pretty(&rows).unwrap();
            let trailer = trailer.map_or(String::new(), |trailer| format!("\n{trailer}"));
            let inner = format!("{above}{label}: {document}{trailer}");
            let text = if wrapped { format!("<output>\n{inner}\n</output>") } else { inner };
            let parts = split(&text);
            proptest::prop_assert_eq!(&text[parts[0].span.clone()], document.as_str());
            let frames = text.len() - parts.iter().map(|part| part.span.len()).sum::<usize>();
            let tags = if wrapped { "<output>\n</output>".len() } else { 0 };
            proptest::prop_assert_eq!(frames, tags + above.len() + label.len() + ": ".len());
        }
    }

    #[test]
    fn what_only_looks_like_a_label_is_content() {
        let document = "[\n  {\n    \"id\": 1000\n  }\n]";
        let long = "a ".repeat(MAX_LABEL);
        for text in [
            "INFO: [main] started\nINFO: [main] stopped\n".to_owned(),
            "key: {not json\n".to_owned(),
            format!(": {document}"),
            format!("Output:{document}"),
            format!("{long}: {document}"),
            "ä: {}".to_owned(),
        ] {
            assert_eq!(texts(&text).concat(), text, "there is no frame in {text:?}");
        }
    }

    #[test]
    fn an_unclosed_fence_splits_nothing() {
        assert_eq!(texts("a\n```\nb\n"), ["a\n```\nb\n"]);
    }

    #[test]
    fn parts_are_ascending_and_within_the_text() {
        for text in [
            "```\n```\n",
            "<a>\n",
            "<a>\n</a>\n",
            "\n\n",
            "```\nx\n```\n```\ny\n```",
            "<a>\n```\nq\n```\n</a>",
        ] {
            let mut last = 0;
            for part in split(text) {
                assert!(part.span.start >= last && part.span.end <= text.len(), "{text:?}");
                last = part.span.end;
            }
        }
    }
}
