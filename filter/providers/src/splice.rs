//! Edits applied to the original bytes (I2).

use std::ops::Range;

use crate::sort;

/// The body with each span replaced by its text. Spans are in order and do not overlap; `None` if they do, or
/// if one is not inside the body.
pub fn splice(body: &str, edits: &[(Range<usize>, &str)]) -> Option<String> {
    let grown = edits.iter().fold(body.len(), |length, (span, text)| {
        length.saturating_sub(span.len()).saturating_add(text.len())
    });
    let mut out = String::with_capacity(grown);
    let mut from = 0;
    for (span, text) in edits {
        out.push_str(body.get(from..span.start)?);
        body.get(span.clone())?;
        out.push_str(text);
        from = span.end;
    }
    out.push_str(body.get(from..)?);
    Some(out)
}

/// Edits in the order in which they were made; edits at the same position keep that order.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    pub(crate) fn insert(&mut self, at: usize, text: impl Into<String>) {
        self.0.push((at..at, text.into()));
    }

    pub(crate) fn replace(&mut self, span: Range<usize>, text: &str) {
        self.0.push((span, text.to_owned()));
    }

    pub(crate) fn extend(&mut self, more: Vec<(Range<usize>, String)>) {
        self.0.extend(more);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body with them; `None` where they overlap.
    pub(crate) fn apply(mut self, body: &str) -> Option<Vec<u8>> {
        sort::by_key(&mut self.0, |(span, _)| span.start);
        let edits: Vec<(Range<usize>, &str)> =
            self.0.iter().map(|(span, text)| (span.clone(), &**text)).collect();
        splice(body, &edits).map(String::into_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_outside_the_spans_stay() {
        assert_eq!(splice("0123456789", &[(1..3, "ab"), (3..3, "-"), (9..10, "")]).unwrap(), "0ab-345678");
        assert_eq!(splice("é", &[]).unwrap(), "é");
    }

    #[test]
    fn spans_out_of_order_or_outside_are_refused() {
        assert_eq!(splice("0123", &[(2..3, ""), (0..1, "")]), None);
        assert_eq!(splice("0123", &[(0..2, ""), (1..3, "")]), None);
        assert_eq!(splice("0123", &[(3..5, "")]), None);
        assert_eq!(splice("é", &[(0..1, "")]), None);
    }
}
