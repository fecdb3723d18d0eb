//! What the conversation has shown before: text that an earlier tool output still shows in full is
//! replaced by a reference to it.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use crate::block::{Call, Context};

/// The tool outputs of a request up to some point, as the model sees them.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    outputs: Vec<Output>,
    by_fingerprint: HashMap<u64, usize, FixedState>,
}

#[derive(Debug)]
struct Output {
    shown: String,
    label: String,
}

impl Earlier {
    /// Takes in the next output, in the order of the request. `shown` is the text that is forwarded:
    /// the replacement where there is one.
    pub(crate) fn add(&mut self, shown: &str, call: Call<'_>) {
        let label = format!("{} {}", call.name, call.arguments);
        self.by_fingerprint.entry(xxh3_64(shown.as_bytes())).or_insert(self.outputs.len());
        self.outputs.push(Output { shown: shown.to_owned(), label });
    }

    /// The text with what an earlier output shows replaced by references; `None` when there is
    /// nothing of that kind. Comes last of the lossless steps: references name lines as they are shown.
    pub(crate) fn replace_seen(&self, text: &str, _cx: &Context<'_>) -> Option<String> {
        let at = *self.by_fingerprint.get(&xxh3_64(text.as_bytes()))?;
        let output = self.outputs.get(at).filter(|output| output.shown == text)?;
        Some(format!("[same output as of tool call {}: {}]", at + 1, output.label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::tokens::Encoding;

    #[test]
    fn an_output_that_was_shown_before_becomes_a_reference() {
        let config = Config::default();
        let call = Call { name: "Read", arguments: "{}" };
        let cx = Context {
            call,
            query: "",
            config: &config,
            encoding: Encoding::default(),
            reversible: false,
            edits_by_line: false,
        };
        let mut earlier = Earlier::default();
        assert_eq!(earlier.replace_seen("text", &cx), None);
        earlier.add("text", call);
        assert!(earlier.replace_seen("text", &cx).is_some());
        assert_eq!(earlier.replace_seen("other", &cx), None);
    }
}
