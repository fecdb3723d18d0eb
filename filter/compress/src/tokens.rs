//! Exact token counts inside the VM.
//!
//! Counts equal those of OpenAI's `tiktoken`; the crate `tiktoken-rs` is the oracle of the tests.
//!
//! The module uses no crate for it. The best one for the purpose, `tiktoken` 4.1, caused most of the module's
//! start-up time and heap: `regex` with its Unicode tables, which it needs to split texts into words, was a
//! third of the code that V8 compiles at each start (1.03 instead of 1.35 MB now, and 1.2 instead of 1.8 s in
//! Envoy), and each VM built a vocabulary of 28 MB (cl100k_base 16) within its first request. Here
//! vocabularies and character classes are tables in the data section, which are read in place. `tokens/` has
//! the classes, and the vocabularies that the build script lays out. Texts are split 64 bytes at a time, and as much is remembered as
//! fits into a core's cache. On the recorded conversations that is several times as fast. `make bench`
//! measures it.

#![allow(
    clippy::indexing_slicing,
    reason = "the hot loop of every block: places are steps of a walk over the text, and tables have an entry for every byte, rank or slot"
)]

mod block;
mod known;
mod layout;
mod merge;
mod runs;
mod split;
mod vocabulary;

use std::borrow::Cow;
use std::cell::RefCell;

use known::KnownCounts;
use split::Pieces;
use vocabulary::Vocabulary;

use crate::work;

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

    /// The number of tokens of `text`. Names of special tokens count as ordinary text. Exact, unless a text
    /// consists mostly of runs of hundreds of letters, blanks or signs: then it may be off by one token in 64
    /// bytes. A single word of more than 64 KiB may be off by two tokens in each 64 KiB.
    pub fn count(self, text: &str) -> usize {
        work::spend(text.len());
        let Some(parts) = runs::parts(text) else { return self.count_exactly(text) };
        let mut last = ("", 0);
        let mut tokens = 0;
        for part in parts {
            // A run of one character consists of equal parts.
            if part != last.0 {
                last = (part, self.count_exactly(part));
            }
            tokens += last.1;
        }
        tokens
    }

    fn count_exactly(self, text: &str) -> usize {
        thread_local! {
            static KNOWN: RefCell<KnownCounts> = RefCell::new(KnownCounts::new());
        }
        KNOWN.with_borrow_mut(|known| {
            known.text(text, self, |known| {
                let mut pieces = Pieces::new(text, self);
                let longer: usize =
                    pieces.by_ref().map(|piece| known.count(text.as_bytes(), piece, self)).sum();
                longer + pieces.single()
            })
        })
    }

    fn vocabulary(self) -> &'static Vocabulary {
        match self {
            Self::O200kBase => &vocabulary::O200K_BASE,
            Self::Cl100kBase => &vocabulary::CL100K_BASE,
        }
    }
}

/// How the tokens of a model are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Counting {
    pub(crate) encoding: Encoding,
    /// The provider's count in percent of the encoding's; `None` if the encoding is the provider's own.
    pub(crate) estimate_percent: Option<u32>,
}

/// Claude's tokenizer is not public. Its counts were measured at 1.00 to 1.46 times those of o200k_base,
/// depending on language and model; 1.21 is the geometric middle, so no text is off by more than a fifth.
const CLAUDE_PERCENT: u32 = 121;

/// Gemini's tokenizer is not included, and was not measured: the estimate is o200k_base's own count.
const OTHER_PERCENT: u32 = 100;

impl Counting {
    /// By the model's name, with or without a provider's prefix.
    pub(crate) fn of(model: &str) -> Self {
        let name: Cow<'_, str> = if model.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(model.to_ascii_lowercase())
        } else {
            Cow::Borrowed(model)
        };
        let base = name.rsplit(['/', ':']).find(|part| !part.is_empty()).unwrap_or_default();
        let exact = |encoding| Self { encoding, estimate_percent: None };
        if name.contains("claude") {
            Self { encoding: Encoding::O200kBase, estimate_percent: Some(CLAUDE_PERCENT) }
        } else if base == "gpt-4"
            || base.starts_with("gpt-4-")
            || base.starts_with("gpt-3.5")
            || base.starts_with("gpt-35")
        {
            exact(Encoding::Cl100kBase)
        } else if ["gpt-", "chatgpt-", "o1", "o3", "o4", "codex-"].iter().any(|own| base.starts_with(own)) {
            exact(Encoding::O200kBase)
        } else {
            Self { encoding: Encoding::O200kBase, estimate_percent: Some(OTHER_PERCENT) }
        }
    }

    /// Converts a count in the encoding's tokens to the provider's.
    pub(crate) fn scaled(self, tokens: u64) -> u64 {
        match self.estimate_percent {
            None => tokens,
            Some(percent) => tokens.saturating_mul(u64::from(percent)) / 100,
        }
    }
}

/// Converts a plain count, such as that of a single tool output, to the unit of a request's figures for this
/// model.
pub fn provider_tokens(model: &str, tokens: u64) -> u64 {
    Counting::of(model).scaled(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_decides_how_its_tokens_are_counted() {
        let of = |model| {
            let Counting { encoding, estimate_percent } = Counting::of(model);
            (encoding.name(), estimate_percent)
        };
        assert_eq!(of("claude-sonnet-4-5"), ("o200k_base", Some(CLAUDE_PERCENT)));
        assert_eq!(of("us.anthropic.Claude-3-7-sonnet-20250219-v1:0"), ("o200k_base", Some(CLAUDE_PERCENT)));
        assert_eq!(of("gpt-4.1"), ("o200k_base", None));
        assert_eq!(of("openai/gpt-4o-mini"), ("o200k_base", None));
        assert_eq!(of("gpt-4"), ("cl100k_base", None));
        assert_eq!(of("gpt-4-turbo-2024-04-09"), ("cl100k_base", None));
        assert_eq!(of("gpt-3.5-turbo"), ("cl100k_base", None));
        assert_eq!(of("o3-mini"), ("o200k_base", None));
        assert_eq!(of("gemini-2.5-pro"), ("o200k_base", Some(OTHER_PERCENT)));
        assert_eq!(of(""), ("o200k_base", Some(OTHER_PERCENT)));
    }

    #[test]
    fn names_of_special_tokens_are_ordinary_text() {
        for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
            for name in ["<|endoftext|>", "<|fim_prefix|>", "<|endofprompt|>"] {
                assert!(encoding.count(name) > 1, "{} in {}", name, encoding.name());
            }
        }
    }
}
