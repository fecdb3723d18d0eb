//! The texts in JSON: in one value, or in one value per line.

use std::borrow::Cow;

use headroom_providers::tape::{Tape, Value};

use super::path::Path;
use super::{MIN_TEXT, Text, is_text};

/// The texts in `value`; `None` if it is not JSON.
pub(super) fn texts(value: &str) -> Option<Vec<Text<'_>>> {
    let start = value.len() - value.trim_ascii_start().len();
    let first = value.as_bytes().get(start)?;
    if !matches!(first, b'{' | b'[' | b'"') {
        return None;
    }
    let mut found = Vec::new();
    if let Ok(tape) = Tape::of(value.as_bytes()) {
        collect(tape.root(), 0, &mut Path::default(), &mut found);
        return Some(found);
    }
    let mut at = 0;
    for line in value.split_inclusive('\n') {
        if !line.trim_ascii().is_empty() {
            if !line.trim_ascii_start().starts_with(['{', '[']) {
                return None;
            }
            let tape = Tape::of(line.as_bytes()).ok()?;
            let before = found.len();
            collect(tape.root(), at, &mut Path::default(), &mut found);
            // A path does not say which line it is in.
            found.iter_mut().skip(before).for_each(|text| text.path = None);
        }
        at += line.len();
    }
    Some(found)
}

/// Adds the texts in a value of a document that starts at `base`. The tape limits the depth.
fn collect<'t, 'a: 't>(value: Value<'t, 'a>, base: usize, path: &mut Path<'t>, found: &mut Vec<Text<'a>>) {
    if value.is_string() {
        if value.raw().len() >= MIN_TEXT
            && let Some(text) = value.text().filter(|text| is_text(text))
        {
            let span = value.span().range();
            found.push(Text { span: base + span.start..base + span.end, text, path: path.written() });
        }
        return;
    }
    for (index, element) in value.elements().enumerate() {
        path.index(index);
        collect(element, base, path, found);
        path.pop();
    }
    for (key, member) in value.members() {
        let key = match key.text() {
            Some(Cow::Borrowed(key)) => key,
            _ => "",
        };
        path.key(key);
        collect(member, base, path, found);
        path.pop();
    }
}
