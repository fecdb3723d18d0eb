//! A model's folder, as the Hugging Face hub lays it out: `config.json`, `tokenizer.json`, `model.safetensors`.

use std::path::Path;

use tokenizers::{AddedToken, Decoder as _, Tokenizer};

use crate::config::Config;
use crate::encoder::Encoder;
use crate::file::{ModelError, regular};
use crate::tensors::Tensors;

/// Forced tokens at most.
pub const MAX_FORCE_TOKENS: usize = 100;
/// Bytes of `tokenizer.json` at most: XLM-R's has 17 MB.
const MAX_TOKENIZER: u64 = 128 << 20;

/// What was read of a folder.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) config: Config,
    pub(crate) tokenizer: Tokenizer,
    /// The tokens that stand for forced ones.
    pub(crate) stands_in: Vec<String>,
    pub(crate) encoder: Encoder,
}

impl Folder {
    /// Reads a folder. Takes seconds, and as much memory as the file of weights has bytes of 32-bit numbers.
    pub(crate) fn read(folder: &Path) -> Result<Self, ModelError> {
        if !folder.is_dir() {
            return Err(ModelError::Folder(folder.to_owned()));
        }
        let config = Config::read(&folder.join("config.json"))?;
        let stands_in: Vec<String> = (0..MAX_FORCE_TOKENS).map(|number| format!("[NEW{number}]")).collect();
        let tokenizer = tokenizer(&folder.join("tokenizer.json"), &config, &stands_in)?;
        let weights = folder.join("model.safetensors");
        for other in ["model.safetensors.index.json", "pytorch_model.bin"] {
            if !weights.exists() && folder.join(other).exists() {
                let problem = format!("expected one file of weights, found {other}: save the model as one");
                return Err(ModelError::file(&weights, problem));
            }
        }
        let encoder = Encoder::read(&Tensors::open(&weights)?, &config)?;
        Ok(Self { config, tokenizer, stands_in, encoder })
    }
}

fn tokenizer(path: &Path, config: &Config, stands_in: &[String]) -> Result<Tokenizer, ModelError> {
    regular(path, MAX_TOKENIZER)?;
    let wrong = |problem: String| ModelError::file(path, problem);
    let failed = |error: tokenizers::Error| wrong(error.to_string());
    let mut tokenizer = Tokenizer::from_file(path).map_err(failed)?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(failed)?;
    for special in config.family().specials() {
        if tokenizer.token_to_id(special).is_none() {
            return Err(wrong(format!("its vocabulary lacks {special}")));
        }
    }
    let rows = tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
    if rows > config.vocab_size {
        let said = config.vocab_size;
        return Err(wrong(format!(
            "it has tokens up to {rows}, and the model has rows for {said}: they do not belong together"
        )));
    }
    // words are put together again from tokens, each of which has to keep its own part
    let probe = ["a".to_owned(), "b".to_owned()];
    let parts = tokenizer.get_decoder().map(|decoder| decoder.decode_chain(probe.to_vec()));
    if !matches!(parts, Some(Ok(parts)) if parts.len() == probe.len()) {
        return Err(wrong(
            "expected a decoder that keeps tokens apart, as WordPiece and Metaspace do".to_owned(),
        ));
    }
    let stands_in: Vec<AddedToken> =
        stands_in.iter().map(|token| AddedToken::from(token.clone(), true)).collect();
    tokenizer.add_special_tokens(&stands_in);
    Ok(tokenizer)
}
