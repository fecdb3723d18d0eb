//! What turns a fact into a vector, so that a question in other words finds it. Without one, words find it.
//!
//! A model is a folder of the operator's with `tokenizer.json` and either `model.onnx`, a sentence transformer, or a
//! `.safetensors` file with one vector for each token. Nothing is ever downloaded. Where there is no such folder, and the
//! operator has given a key for just that, OpenAI's service is asked, and then facts leave this machine.

mod lookup;
mod openai;
mod transformer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headroom_retry::https::HttpsError;
use tokenizers::{Tokenizer, TruncationParams};

use self::lookup::Lookup;
use self::openai::OpenAi;
pub use self::openai::OpenAiSettings;
use self::transformer::Transformer;

/// The tokens of a text that count. Sentence transformers are trained on fewer, and a fact is a sentence or two.
const MAX_TOKENS: usize = 256;

/// Why a model cannot be used, or a text not be embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The folder lacks a file.
    #[error("{}: expected tokenizer.json next to model.onnx or a .safetensors file", .0.display())]
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
    /// The service did not give vectors.
    #[error(transparent)]
    Service(#[from] HttpsError),
    /// The service gave something else.
    #[error("the embedding service's answer: {0}")]
    Answer(String),
}

/// Which embedders there may be, in the order in which they are looked for.
#[derive(Clone, Debug)]
pub struct Models {
    /// The folder of a model.
    pub folder: PathBuf,
    /// OpenAI's service, where a key for it is set.
    pub openai: Option<OpenAiSettings>,
}

impl From<PathBuf> for Models {
    fn from(folder: PathBuf) -> Self {
        Self { folder, openai: None }
    }
}

/// What was found.
#[derive(Debug)]
pub enum Detection {
    /// There is no folder: facts are found by words only.
    Nothing,
    /// A model that runs.
    Model(Arc<Embedder>),
}

/// What gives vectors.
#[derive(Debug)]
pub enum Embedder {
    /// A model that runs on this machine.
    Local(Box<LocalModel>),
    /// A service.
    OpenAi(Box<OpenAi>),
}

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

/// Finds an embedder and tries it. A folder with a model that does not work is an error: what is to stay on this machine is
/// not sent elsewhere because of it.
pub async fn detect(models: &Models) -> Result<Detection, EmbedError> {
    let folder = models.folder.clone();
    let local = tokio::task::spawn_blocking(move || load(&folder)).await;
    let local = local.map_err(|error| EmbedError::Run(format!("it could not be loaded: {error}")))??;
    let embedder = match (local, &models.openai) {
        (Some(model), _) => Embedder::Local(Box::new(model)),
        (None, Some(settings)) => Embedder::OpenAi(Box::new(OpenAi::connect(settings).await?)),
        (None, None) => return Ok(Detection::Nothing),
    };
    Ok(Detection::Model(Arc::new(embedder)))
}

/// Loads the model of a folder, where there is one. Reads files, and takes a second at most.
fn load(folder: &Path) -> Result<Option<LocalModel>, EmbedError> {
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

impl Embedder {
    /// Its name: the kind of model, and which.
    pub fn name(&self) -> &str {
        match self {
            Self::Local(model) => &model.name,
            Self::OpenAi(service) => service.name(),
        }
    }

    /// Whether it answers without another service.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// The vectors of texts, of length 1, in their order. A text that is refused gets one that is near to nothing, so that
    /// its words find it.
    pub async fn embed(self: &Arc<Self>, texts: Vec<String>) -> Result<Vec<Vec<f32>>, EmbedError> {
        let this = Arc::clone(self);
        match &**self {
            Self::OpenAi(service) => service.embed(&texts).await,
            Self::Local(_) => {
                let embed = move || match &*this {
                    Self::Local(model) => texts.iter().map(|text| model.embed_or_nothing(text)).collect(),
                    Self::OpenAi(_) => Vec::new(),
                };
                let embedded = tokio::task::spawn_blocking(embed).await;
                embedded.map_err(|error| EmbedError::Run(format!("it broke off: {error}")))
            }
        }
    }
}

/// A vector of length 1, or the one that is near to nothing.
fn of_length_one(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if !length.is_finite() {
        return None;
    }
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    Some(vector)
}

impl LocalModel {
    fn embed_or_nothing(&self, text: &str) -> Vec<f32> {
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
