//! Embedding models that run in headroomd.

mod lookup;
mod transformer;

use std::fmt;
use std::path::Path;

use tokenizers::{Tokenizer, TruncationParams};

use self::lookup::Lookup;
use self::transformer::Transformer;
use super::{EmbedError, of_length_one};

/// The tokens of a text that count. Sentence transformers are trained on fewer, and a fact is a sentence or two.
const MAX_TOKENS: usize = 256;

/// A model that runs on this machine.
pub struct LocalModel {
    name: String,
    dimensions: usize,
    tokenizer: Tokenizer,
    model: Model,
}

enum Model {
    Transformer(Box<Transformer>),
    Lookup(Lookup),
}

impl fmt::Debug for LocalModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalModel({})", self.name)
    }
}

/// Loads the model of a folder, where there is one. Reads files, and takes a second at most.
pub(super) fn load(folder: &Path) -> Result<Option<LocalModel>, EmbedError> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let failed = |error| EmbedError::Read { path: folder.to_owned(), error };
    let mut tensors = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            tensors.push(path);
        }
    }
    tensors.sort();
    let onnx = folder.join("model.onnx");
    let (path, is_onnx) = match tensors.into_iter().next() {
        _ if onnx.is_file() => (onnx, true),
        Some(path) => (path, false),
        None => return Err(EmbedError::Files(folder.to_owned())),
    };
    let tokenizer = tokenizer(folder)?;
    let bytes = std::fs::read(&path).map_err(|error| EmbedError::Read { path: path.clone(), error })?;
    // vectors of another model, or of another version of it, are not compared with its own
    let hash = blake3::hash(&bytes).to_hex();
    let hash = hash.get(..12).unwrap_or_default();
    let wrong = |problem| EmbedError::Model { path: path.clone(), problem };
    let (kind, model) = match is_onnx {
        true => ("transformer", Model::Transformer(Box::new(Transformer::load(bytes).map_err(wrong)?))),
        false => ("static", Model::Lookup(Lookup::load(&bytes).map_err(wrong)?)),
    };
    let mut model = LocalModel { name: format!("{kind}:{hash}"), dimensions: 0, tokenizer, model };
    // one that loads and does not run is found out now, and not at the first fact
    model.dimensions = model.embed("a fact")?.len();
    Ok(Some(model))
}

fn tokenizer(folder: &Path) -> Result<Tokenizer, EmbedError> {
    let path = folder.join("tokenizer.json");
    if !path.is_file() {
        return Err(EmbedError::Files(folder.to_owned()));
    }
    let wrong =
        |error: tokenizers::Error| EmbedError::Model { path: path.clone(), problem: error.to_string() };
    let mut tokenizer = Tokenizer::from_file(&path).map_err(wrong)?;
    tokenizer.with_padding(None);
    let truncation = TruncationParams { max_length: MAX_TOKENS, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(wrong)?;
    Ok(tokenizer)
}

impl LocalModel {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn embed_or_nothing(&self, text: &str) -> Vec<f32> {
        self.embed(text).unwrap_or_else(|error| {
            tracing::warn!(message = "A text was not embedded.", %error);
            vec![0.0; self.dimensions]
        })
    }

    /// The vector of a text, of length 1. Takes about 10 milliseconds with a sentence transformer, and less than one with
    /// vectors of tokens.
    fn embed(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let special = matches!(self.model, Model::Transformer(_));
        let tokens =
            self.tokenizer.encode(text, special).map_err(|error| EmbedError::Run(error.to_string()))?;
        let vector = match &self.model {
            Model::Transformer(model) => model.embed(tokens.get_ids()).map_err(EmbedError::Run)?,
            Model::Lookup(model) => model.embed(tokens.get_ids()),
        };
        of_length_one(vector)
            .ok_or_else(|| EmbedError::Run("it gives values that are not numbers".to_owned()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::memory::Embedder;

    /// A model for which the words of a group mean the same, those of the other group something else, and all others
    /// nothing.
    pub(crate) fn of_words(folder: &Path, one: &[&str], other: &[&str]) -> Embedder {
        let words: Vec<&str> = std::iter::once(&"[UNK]").chain(one).chain(other).copied().collect();
        let vocabulary: serde_json::Map<_, _> =
            words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), id.into())).collect();
        let tokenizer = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
        });
        let row = |word: &&str| {
            [f32::from(u8::from(one.contains(word))), f32::from(u8::from(other.contains(word)))]
        };
        let values: Vec<u8> = words.iter().flat_map(row).flat_map(f32::to_le_bytes).collect();
        let shape = vec![words.len(), 2];
        let table = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &values).unwrap();
        let bytes = safetensors::serialize([("embedding.weight", table)], None).unwrap();
        std::fs::write(folder.join("table.safetensors"), bytes).unwrap();
        std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        Embedder::Local(Box::new(load(folder).unwrap().unwrap()))
    }

    #[test]
    fn no_folder_is_no_error_and_a_wrong_one_says_what_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(&dir.path().join("none")).unwrap().is_none());
        assert!(load(dir.path()).unwrap_err().to_string().contains("expected tokenizer.json"));
        for (name, bytes) in
            [("model.onnx", &b"\x08garbage"[..]), ("x.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\xff")]
        {
            let model = dir.path().join(name);
            std::fs::write(&model, bytes).unwrap();
            assert!(matches!(load(dir.path()), Err(EmbedError::Files(_))), "no tokenizer");
            let tokenizer = dir.path().join("tokenizer.json");
            std::fs::write(&tokenizer, "{}").unwrap();
            assert!(load(dir.path()).unwrap_err().to_string().contains("tokenizer.json"));
            std::fs::write(&tokenizer, lookup::tests::TOKENIZER).unwrap();
            let error = load(dir.path()).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            std::fs::remove_file(&model).unwrap();
            std::fs::remove_file(&tokenizer).unwrap();
        }
    }
}
