//! Exact token counts inside the VM.

/// A vocabulary.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Encoding {
    /// GPT-4o and later; also the base of the estimate for Claude and Gemini.
    #[default]
    O200kBase,
    /// GPT-4, GPT-3.5.
    Cl100kBase,
}

impl Encoding {
    /// The name that tiktoken uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::O200kBase => "o200k_base",
            Self::Cl100kBase => "cl100k_base",
        }
    }

    /// The number of tokens of `text`. The vocabulary is built on the first call.
    pub fn count(self, text: &str) -> usize {
        // Built once per VM, on first use: building takes about 100 ms.
        tiktoken::get_encoding(self.name()).map_or(text.len(), |bpe| bpe.count(text))
    }
}
