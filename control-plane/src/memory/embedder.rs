//! What turns a fact into a vector, so that a question in other words finds it. Without one, words find it.
//!
//! A model is a folder of the operator's with `tokenizer.json` and either `model.onnx`, a sentence transformer, or a
//! `.safetensors` file with one vector for each token. Nothing is ever downloaded.

mod lookup;
mod transformer;

use std::fmt;
use std::path::{Path, PathBuf};

use tokenizers::{Tokenizer, TruncationParams};

use self::lookup::Lookup;
use self::transformer::Transformer;

/// The tokens of a text that count. Sentence transformers are trained on fewer, and a fact is a sentence or two.
const MAX_TOKENS: usize = 256;

/// Why a model cannot be used, or a text not be embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The folder lacks a file.
    #[error("{}: expected tokenizer.json beside model.onnx or a .safetensors file", .0.display())]
    Files(PathBuf),
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The model does not run.
    #[error("the embedding model does not run: {0}")]
    Run(String),
}

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// There is no folder: words alone find facts.
    Nothing,
    /// A model that runs.
    Model(Box<Embedder>),
}

/// A model that runs on this machine.
pub struct Embedder {
    name: String,
    dimensions: usize,
    tokenizer: Tokenizer,
    model: Model,
}

enum Model {
    Transformer(Box<Transformer>),
    Lookup(Lookup),
}

impl fmt::Debug for Embedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedder({})", self.name)
    }
}

/// Loads the model of a folder, where there is one. Reads files, and takes a second at most.
pub fn detect(folder: &Path) -> Result<Found, EmbedError> {
    if !folder.is_dir() {
        return Ok(Found::Nothing);
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
    let mut embedder = Embedder { name: format!("{kind}:{hash}"), dimensions: 0, tokenizer, model };
    // one that loads and does not run is found out now, and not at the first fact
    embedder.dimensions = embedder.embed("a fact")?.len();
    Ok(Found::Model(Box::new(embedder)))
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

impl Embedder {
    /// Its name: the kind of model, and a hash of it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many numbers a vector has.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The vector of a text, of length 1. Takes about 10 milliseconds with a sentence transformer, and less than one with
    /// vectors of tokens.
    pub fn embed(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let special = matches!(self.model, Model::Transformer(_));
        let tokens =
            self.tokenizer.encode(text, special).map_err(|error| EmbedError::Run(error.to_string()))?;
        let mut vector = match &self.model {
            Model::Transformer(model) => model.embed(tokens.get_ids()).map_err(EmbedError::Run)?,
            Model::Lookup(model) => model.embed(tokens.get_ids()),
        };
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        if !length.is_finite() {
            return Err(EmbedError::Run("it gives numbers that are none".to_owned()));
        }
        if length > 0.0 {
            vector.iter_mut().for_each(|value| *value /= length);
        }
        Ok(vector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_is_no_error_and_a_wrong_one_says_what_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(detect(&dir.path().join("none")).unwrap(), Found::Nothing));
        assert!(detect(dir.path()).unwrap_err().to_string().contains("expected tokenizer.json"));
        for (name, bytes) in
            [("model.onnx", &b"\x08garbage"[..]), ("x.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\xff")]
        {
            let model = dir.path().join(name);
            std::fs::write(&model, bytes).unwrap();
            assert!(matches!(detect(dir.path()), Err(EmbedError::Files(_))), "no tokenizer");
            let tokenizer = dir.path().join("tokenizer.json");
            std::fs::write(&tokenizer, "{}").unwrap();
            assert!(detect(dir.path()).unwrap_err().to_string().contains("tokenizer.json"));
            std::fs::write(&tokenizer, lookup::tests::TOKENIZER).unwrap();
            let error = detect(dir.path()).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            std::fs::remove_file(&model).unwrap();
            std::fs::remove_file(&tokenizer).unwrap();
        }
    }
}
