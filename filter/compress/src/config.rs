//! The engine's configuration, with each default and its reason.

use std::borrow::Cow;

use crate::outcome::Kind;

/// How far the engine may go.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Profile {
    /// Only forms from which the original can be derived; needs no store.
    Lossless,
    /// Lossy on large outputs only, keeping more of each.
    Conservative,
    /// The default.
    #[default]
    Balanced,
    /// Lossy earlier, keeping less of each.
    Aggressive,
}

/// The size from which something may be left out, and how much that has to save.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Shorter parts stay whole. Bytes.
    pub(crate) min_lossy_bytes: usize,
    /// Parts whose lossless form is shorter stay whole. Tokens.
    pub(crate) min_lossy_tokens: usize,
    /// A lossy form may keep at most this share of the lossless form's tokens. Above it, it saves too little
    /// for what it hides.
    pub(crate) lossy_keeps_at_most_percent: usize,
}

impl Profile {
    /// The profile this many steps further, and the steps left beyond the last profile. `Lossless` stays as
    /// it is.
    pub(crate) fn pressed(self, steps: u8) -> (Self, u8) {
        match (self, steps) {
            (Self::Lossless, _) => (self, 0),
            (_, 0) | (Self::Aggressive, _) => (self, steps),
            (Self::Conservative, _) => Self::Balanced.pressed(steps - 1),
            (Self::Balanced, _) => Self::Aggressive.pressed(steps - 1),
        }
    }

    /// The limits of this profile. Chosen on the corpus: values that a conversation uses later come from
    /// small outputs far more often than from large ones.
    pub(crate) fn limits(self) -> Limits {
        let (min_lossy_tokens, lossy_keeps_at_most_percent) = match self {
            Self::Lossless => (usize::MAX, 0),
            Self::Conservative => (4000, 60),
            Self::Balanced => (1500, 75),
            Self::Aggressive => (600, 85),
        };
        // A token of tool output is rarely shorter than two bytes, so this only saves counting.
        Limits { min_lossy_bytes: min_lossy_tokens, min_lossy_tokens, lossy_keeps_at_most_percent }
    }
}

/// What may be done to the outputs of a tool.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Policy {
    /// Nothing.
    Off,
    /// Only forms from which the original can be derived.
    Lossless,
    /// Whatever the profile allows.
    Lossy,
}

/// A policy for the tools whose name matches a pattern.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ToolRule {
    /// A glob over the tool's name, as the request gives it or normalized: `*` matches any run of characters,
    /// `?` one; case does not matter.
    pub pattern: String,
    /// What may be done.
    pub policy: Policy,
}

/// The engine's configuration. Every field changes the forwarded bytes, so all filters on the path of one
/// conversation need the same one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Config {
    /// How far the engine may go.
    pub profile: Profile,
    /// Policies by tool; the first match counts. Without a match the profile decides.
    pub tools: Vec<ToolRule>,
    /// Policies by what an output contains, in addition to those by tool: the stricter one counts. A kind
    /// that is missing here follows the tool's policy; for a repeated kind the first entry counts.
    pub kinds: Vec<(Kind, Policy)>,
    /// Longer bodies are passed as they are. Bytes.
    pub max_body_bytes: usize,
    /// Longer blocks are passed as they are. Bytes of the decoded text.
    pub max_block_bytes: usize,
    /// Shorter blocks are passed as they are: they save less than it costs to read another form. Bytes of the
    /// decoded text.
    pub min_block_bytes: usize,
    /// Whether bodies of functions are left out of source files that are read as a whole.
    pub code_aware: bool,
    /// Whether new outputs are compressed harder as the conversation grows: one step at each of
    /// [`PRESSURE_TOKENS`].
    pub pressure: bool,
    /// The most items that stay of a long JSON list, in addition to those that report failures or stand out;
    /// `None`: the profile decides.
    pub max_items: Option<usize>,
    /// How old outputs are rewritten as a conversation grows; `None`: never.
    pub epochs: Option<Box<Epochs>>,
    /// From how many tokens on a text model is asked what of prose stays; `None`: it is not asked. Counted in o200k_base.
    pub text_model: Option<u32>,
}

/// How old tool outputs are rewritten as a conversation grows: at boundaries that follow from what stands before them, and
/// where that pays.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Epochs {
    /// What the conversation is to stay below. Tokens, as for [`PRESSURE_TOKENS`].
    pub window_tokens: u32,
    /// From one boundary to the next. Tokens.
    pub step_tokens: u32,
    /// The outputs of the model's last so many turns stay.
    pub keep_turns: u32,
    /// Whether reads of files that were edited or read again later are replaced.
    pub read_lifecycle: bool,
    /// Whether the least important outputs go where the window is full.
    pub intelligent_context: bool,
    /// What makes an output important.
    pub weights: Weights,
    /// What models' prompt caches cost, the first whose glob matches the model's name counts.
    pub prices: Vec<CachePrice>,
    /// How often outputs of tools were asked back, the first whose glob matches the tool's name counts.
    pub asked_back: Vec<AskedBack>,
}

/// How much each part of an output's score counts, of the sum of all.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Weights {
    /// How new it is.
    pub recency: u32,
    /// How many of its words were used of late.
    pub semantic_similarity: u32,
    /// How often outputs of its tool were asked back.
    pub retrieval_rate: u32,
    /// Whether it reports a failure.
    pub error_indicators: u32,
    /// How often later calls name what its call was about.
    pub forward_references: u32,
    /// How few of its words come again in it.
    pub token_density: u32,
}

/// What a model's prompt cache costs, in percent of the price of input.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CachePrice {
    /// A glob over models' names.
    pub model: String,
    /// To read from it; 100 where there is no cache.
    pub read_percent: u32,
    /// To write to it.
    pub write_percent: u32,
}

/// How often outputs of a tool were asked back.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct AskedBack {
    /// A glob over tools' names.
    pub tool: String,
    /// Of a hundred outputs of which something was left out.
    pub percent: u32,
}

impl Default for Epochs {
    fn default() -> Self {
        Self {
            window_tokens: 100_000,
            step_tokens: 25_000,
            keep_turns: 4,
            read_lifecycle: true,
            intelligent_context: true,
            weights: Weights::default(),
            prices: Vec::new(),
            asked_back: Vec::new(),
        }
    }
}

impl Default for Weights {
    /// Upstream's.
    fn default() -> Self {
        Self {
            recency: 20,
            semantic_similarity: 20,
            retrieval_rate: 25,
            error_indicators: 15,
            forward_references: 15,
            token_density: 5,
        }
    }
}

/// Tokens of a conversation from which on forms are compressed harder. They are below 100,000, 200,000 and
/// 272,000 tokens, where providers charge more or context windows end. Counted in o200k_base over what is
/// forwarded before an output, without the definitions of tools.
pub const PRESSURE_TOKENS: [u64; 3] = [90_000, 180_000, 260_000];

impl Limits {
    /// With each step, smaller outputs may be lossy.
    pub(crate) fn pressed(self, steps: u8) -> Self {
        Self {
            min_lossy_tokens: self.min_lossy_tokens >> steps,
            min_lossy_bytes: self.min_lossy_bytes >> steps,
            ..self
        }
    }
}

impl Config {
    /// The steps of pressure after this many tokens.
    pub(crate) fn steps(&self, tokens_before: u64) -> u8 {
        let crossed = PRESSURE_TOKENS.iter().filter(|total| tokens_before >= **total).count();
        if self.pressure { u8::try_from(crossed).unwrap_or(u8::MAX) } else { 0 }
    }

    /// The same with its profile this many steps further.
    pub(crate) fn pressed(&self, steps: u8) -> Cow<'_, Self> {
        match self.profile.pressed(steps).0 {
            profile if profile == self.profile => Cow::Borrowed(self),
            profile => Cow::Owned(Self { profile, ..self.clone() }),
        }
    }

    /// The policy for content of this kind.
    pub(crate) fn kind_policy(&self, kind: Kind) -> Policy {
        self.kinds.iter().find(|(named, _)| *named == kind).map_or(Policy::Lossy, |(_, policy)| *policy)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            tools: Vec::new(),
            kinds: Vec::new(),
            max_body_bytes: 32 << 20,
            max_block_bytes: 8 << 20,
            min_block_bytes: 64,
            code_aware: false,
            pressure: false,
            max_items: None,
            epochs: None,
            text_model: None,
        }
    }
}
