//! The texts inside an output that is a value, as [`envelope`](crate::envelope) finds them. A reference names
//! such a text by its place, `output.stdout lines 3-9 of Bash "make" above`, and counts the lines of the
//! decoded string, as the tool wrote it.

use std::borrow::Cow;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use memchr::memmem;

use super::{Earlier, Fidelity, OUTPUT, ShownOutput, ShownText};
use crate::envelope::Envelope;
use crate::mixed;

impl Earlier {
    /// Takes in the texts in the values of an output, or of a text of it, that references call `outer`.
    pub(super) fn add_values(
        &mut self,
        printed: ShownOutput<'_>,
        outer: &str,
        (label, nth, output_of): (&Arc<str>, u32, Option<usize>),
    ) {
        // A run of lines has line ends, which values escape.
        if memmem::find(printed.shown.as_bytes(), b"\\n").is_none() {
            return;
        }
        let changed = printed.original != printed.shown;
        // If items are left out, a place no longer names the original item.
        if changed && printed.coded == Fidelity::Partly {
            return;
        }
        let shown = texts(printed.shown, outer);
        let originals: HashMap<String, Option<Cow<'_, str>>, FixedState> =
            if changed { by_name(texts(printed.original, outer)) } else { HashMap::default() };
        let names = by_name(shown.iter().map(|(name, _)| (name.clone(), Cow::Borrowed(""))).collect());
        let single = shown.len() == 1;
        for (name, text) in &shown {
            // A name that occurs twice cannot be used.
            if !names.get(name).is_some_and(Option::is_some) {
                continue;
            }
            let original = match originals.get(name) {
                Some(Some(original)) => original,
                None if !changed => text,
                _ => continue,
            };
            let coded = if original == text { Fidelity::No } else { printed.values.coded };
            let inner = ShownOutput::text(original, text, coded);
            let argument = Some(name.clone());
            let shown = ShownText { argument, label: Arc::clone(label), nth, output_of };
            let origin = inner.origin();
            let Some(base) = self.begin(inner.lines_stand_in(origin), shown) else { return };
            let by_number = single && outer == OUTPUT;
            inner.each_line(origin, None, by_number, |line, number| self.add_line(line, number, base));
        }
    }
}

/// The texts in the values of an output, as far as they have a name.
fn texts<'o>(output: &'o str, outer: &str) -> Vec<(String, Cow<'o, str>)> {
    let parts = mixed::split(output).into_iter();
    let envelopes = parts.filter_map(|part| Envelope::read(output.get(part.span)?));
    let named = |(path, text): (Option<String>, _)| Some((name(outer, &path?), text));
    envelopes.flat_map(Envelope::into_texts).filter_map(named).collect()
}

/// Texts by their names; `None` if several have the same name.
fn by_name<'a>(texts: Vec<(String, Cow<'a, str>)>) -> HashMap<String, Option<Cow<'a, str>>, FixedState> {
    let mut by_name = HashMap::with_capacity_and_hasher(texts.len(), FixedState::default());
    for (name, text) in texts {
        by_name.entry(name).and_modify(|text| *text = None).or_insert(Some(text));
    }
    by_name
}

/// The name, in references, of the text at `path` in the value `outer`.
pub(crate) fn name(outer: &str, path: &str) -> String {
    match path.as_bytes().first() {
        None | Some(b'[') => format!("{outer}{path}"),
        Some(_) => format!("{outer}.{path}"),
    }
}
