//! What an inverse writes to: a text, or a comparison with the text that it has to give.
//!
//! A line of an output may look like a line of a form. The inverse can then write much more than the output is long: a
//! name before each of many lines, a value for each of many names. A comparison ends at the first difference, so that
//! the check of a form takes time in proportion to the output, and no memory.

/// Takes a text in parts.
pub(crate) trait Sink {
    /// Appends a part.
    fn push_str(&mut self, part: &str);
    /// Appends blanks.
    fn push_blanks(&mut self, count: usize);
    /// Whether it is known already that the text is not the expected one.
    fn differs(&self) -> bool;
}

/// Whether what is written is a certain text.
pub(crate) struct Comparison<'t> {
    /// What has to come next; `None` after a difference.
    rest: Option<&'t str>,
}

impl<'t> Comparison<'t> {
    /// With this text.
    pub(crate) fn with(text: &'t str) -> Self {
        Self { rest: Some(text) }
    }

    /// Whether exactly the text was written.
    pub(crate) fn is_equal(&self) -> bool {
        self.rest == Some("")
    }
}

impl Sink for Comparison<'_> {
    fn push_str(&mut self, part: &str) {
        self.rest = self.rest.and_then(|rest| rest.strip_prefix(part));
    }

    fn push_blanks(&mut self, count: usize) {
        self.rest = self.rest.and_then(|rest| {
            let blanks = rest.bytes().take(count).take_while(|b| *b == b' ').count();
            rest.get(count..).filter(|_| blanks == count)
        });
    }

    fn differs(&self) -> bool {
        self.rest.is_none()
    }
}

/// What an inverse writes.
#[cfg(test)]
pub(crate) fn written(write: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    write(&mut out);
    out
}

#[cfg(test)]
impl Sink for String {
    fn push_str(&mut self, part: &str) {
        self.push_str(part);
    }

    fn push_blanks(&mut self, count: usize) {
        self.extend(std::iter::repeat_n(' ', count));
    }

    fn differs(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_is_equal_to_its_text_alone_however_it_is_cut() {
        let cases: &[(&[&str], usize, bool)] = &[
            (&["über", "", " a"], 0, true),
            (&["über a"], 0, true),
            (&["über"], 0, false),
            (&["über a", "b"], 0, false),
            (&["über"], 2, false),
            (&["über b"], 0, false),
            (&["u", "über a"], 0, false),
        ];
        for (parts, blanks, equal) in cases {
            let mut comparison = Comparison::with("über a");
            parts.iter().for_each(|part| comparison.push_str(part));
            comparison.push_blanks(*blanks);
            assert_eq!(comparison.is_equal(), *equal, "{parts:?}");
        }
        let mut comparison = Comparison::with("   é");
        comparison.push_blanks(3);
        assert!(!comparison.differs());
        comparison.push_str("é");
        assert!(comparison.is_equal());
        let mut comparison = Comparison::with("   é");
        comparison.push_blanks(4);
        assert!(comparison.differs());
        comparison.push_str("é");
        assert!(!comparison.is_equal());
    }
}
