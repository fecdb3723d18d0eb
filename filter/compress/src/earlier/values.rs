//! The texts in a value that is an output, as [`envelope`](crate::envelope) finds them: a reference names such
//! a text by its place, `output.stdout lines 3-9 of Bash "make" above`, and counts the lines of the decoded
//! string.

use memchr::memmem;

use super::Earlier;
use super::reference::OUTPUT;
use crate::envelope::Envelope;
use crate::mixed;

impl Earlier {
    /// Takes in the texts in the values of an output that was added last.
    pub(super) fn add_values(&mut self, shown: &str, label: &str, nth: u32) {
        // A run of lines has line ends, which values escape.
        if memmem::find(shown.as_bytes(), b"\\n").is_none() {
            return;
        }
        for part in mixed::split(shown) {
            let Some(envelope) = shown.get(part.span).and_then(Envelope::read) else { continue };
            for inner in envelope.texts() {
                let Some(path) = &inner.path else { continue };
                let place = match path.as_bytes().first() {
                    None | Some(b'[') => format!("{OUTPUT}{path}"),
                    Some(_) => format!("{OUTPUT}.{path}"),
                };
                let Some(base) = self.begin(&inner.text, Some(place), true, label, nth) else { return };
                self.add_lines(&inner.text, None, base);
            }
        }
    }
}
