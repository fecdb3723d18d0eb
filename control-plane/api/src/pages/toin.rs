//! `/v1/toin/stats`: what retrievals say about forms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Characters of a tool's name by which its outputs are counted. A name that has so many may go on.
pub const LONGEST_TOOL: usize = 48;

/// The answer of `/v1/toin/stats`. The names of the sums are upstream's.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ToinPage {
    /// When it was made.
    pub generated_at: String,
    /// Always.
    pub enabled: bool,
    /// How many patterns there are.
    pub total_patterns: usize,
    /// Outputs of which something was left out when they were first sent.
    pub total_compressions: i64,
    /// How often models asked for it.
    pub total_retrievals: i64,
    /// The share of the two; none where nothing was left out.
    pub global_retrieval_rate: Option<f64>,
    /// Patterns with enough outputs to say something.
    pub patterns_with_recommendations: usize,
    /// The most often asked back first.
    pub patterns: Vec<ToinPattern>,
}

/// Outputs of a tool, of a kind, in a form.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ToinPattern {
    /// The tool.
    pub tool: String,
    /// What the outputs contain.
    pub kind: String,
    /// The form that leaves something out.
    pub form: String,
    /// How many there were. Old outputs that were rewritten are not counted.
    pub outputs: i64,
    /// Their tokens.
    pub tokens_before: i64,
    /// The tokens of their forms.
    pub tokens_after: i64,
    /// How often they were asked back.
    pub retrievals: i64,
    /// Which part: `whole`, `query`, `lines`, `rows`, `characters`.
    pub parts: BTreeMap<String, i64>,
    /// Retrievals for each output; none where no output was counted.
    pub retrieval_rate: Option<f64>,
    /// The same of those for the whole text.
    pub full_retrieval_rate: Option<f64>,
    /// `lossless`: more than half were asked back; `watch`: more than a fifth; `keep`; `too_few_samples`.
    pub recommendation: String,
}
