//! What `config.json` says of a model.

use std::path::Path;

use serde::Deserialize;

use crate::file::{ModelError, regular};

/// Bytes of `config.json` at most.
const MAX_CONFIG: u64 = 1 << 20;
/// Tokens that a model reads at once, as LLMLingua-2 has it.
pub(crate) const SEQUENCE: usize = 512;

/// Whose names and habits a model has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    Bert,
    XlmRoberta,
}

impl Family {
    /// How the names of its tensors begin.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::XlmRoberta => "roberta",
        }
    }

    /// Begin, end, unknown, padding, and others that no text is made of.
    pub(crate) fn specials(self) -> [&'static str; 5] {
        match self {
            Self::Bert => ["[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"],
            Self::XlmRoberta => ["<s>", "</s>", "<unk>", "<pad>", "<mask>"],
        }
    }
}

/// What `config.json` says of the model's shape.
#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    architectures: Vec<String>,
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) vocab_size: usize,
    pub(crate) max_position_embeddings: usize,
    pub(crate) type_vocab_size: usize,
    #[serde(default = "Config::layer_norm_eps")]
    pub(crate) layer_norm_eps: f32,
    #[serde(default = "Config::hidden_act")]
    hidden_act: String,
    #[serde(default)]
    position_embedding_type: Option<String>,
    #[serde(default)]
    pad_token_id: Option<u32>,
}

impl Config {
    fn layer_norm_eps() -> f32 {
        1e-12
    }

    fn hidden_act() -> String {
        "gelu".to_owned()
    }

    /// Reads and checks it.
    pub(crate) fn read(path: &Path) -> Result<Self, ModelError> {
        regular(path, MAX_CONFIG)?;
        let text = std::fs::read_to_string(path).map_err(|error| ModelError::file(path, error))?;
        let config: Self = serde_json::from_str(&text).map_err(|error| ModelError::file(path, error))?;
        config.check().map_err(|problem| ModelError::file(path, problem))?;
        Ok(config)
    }

    /// Refuses what the encoder cannot run, and shapes that no trained model has and that would take all memory.
    fn check(&self) -> Result<(), String> {
        if self.architecture().is_none() {
            return Err(format!(
                "architectures: expected BertForTokenClassification or XLMRobertaForTokenClassification, found {:?}",
                self.architectures
            ));
        }
        if self.hidden_act != "gelu" {
            return Err(format!("hidden_act: expected gelu, found {:?}", self.hidden_act));
        }
        if self.position_embedding_type.as_deref().is_some_and(|kind| kind != "absolute") {
            return Err(format!(
                "position_embedding_type: expected absolute, found {:?}",
                self.position_embedding_type
            ));
        }
        let first = self.first_position() + SEQUENCE;
        for (name, found, least, most) in [
            ("hidden_size", self.hidden_size, 1, 4096),
            ("num_hidden_layers", self.num_hidden_layers, 1, 64),
            ("num_attention_heads", self.num_attention_heads, 1, self.hidden_size),
            ("intermediate_size", self.intermediate_size, 1, 16_384),
            ("vocab_size", self.vocab_size, 1, 1 << 20),
            ("max_position_embeddings", self.max_position_embeddings, first, 8192),
            ("type_vocab_size", self.type_vocab_size, 1, 16),
        ] {
            if !(least..=most).contains(&found) {
                return Err(format!("{name}: expected {least} to {most}, found {found}"));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err("hidden_size: expected a multiple of num_attention_heads".to_owned());
        }
        Ok(())
    }

    fn architecture(&self) -> Option<Family> {
        match self.architectures.first().map(String::as_str) {
            Some("BertForTokenClassification") => Some(Family::Bert),
            Some("XLMRobertaForTokenClassification") => Some(Family::XlmRoberta),
            _ => None,
        }
    }

    /// Checked when it was read.
    pub(crate) fn family(&self) -> Family {
        self.architecture().unwrap_or(Family::Bert)
    }

    /// The positions of a text's tokens.
    pub(crate) fn positions(&self) -> Positions {
        Positions { padding: self.padding(), next: self.first_position() }
    }

    /// The token that XLM-R's positions do not count.
    fn padding(&self) -> Option<u32> {
        match self.family() {
            Family::Bert => None,
            Family::XlmRoberta => Some(self.pad_token_id.unwrap_or(1)),
        }
    }

    /// The position of a text's first token: XLM-R's count from behind the padding's number.
    fn first_position(&self) -> usize {
        self.padding().map_or(0, |padding| padding as usize + 1)
    }
}

/// Gives tokens their positions, one after the other. Padding in a text of XLM-R has its own number for a position.
#[derive(Debug)]
pub(crate) struct Positions {
    padding: Option<u32>,
    next: usize,
}

impl Positions {
    /// The position of the next token.
    pub(crate) fn next(&mut self, id: u32) -> usize {
        if self.padding == Some(id) {
            return id as usize;
        }
        let position = self.next;
        self.next += 1;
        position
    }
}
