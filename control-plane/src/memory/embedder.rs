//! What turns a fact into a vector, so that a question in other words finds it. Without one, words find it.
//!
//! A model is a folder of the operator's with `tokenizer.json` and either `model.onnx`, a sentence transformer, or a
//! `.safetensors` file with one vector for each token. Nothing is ever downloaded. Where there is no such folder, and the
//! operator has given a key for just that, OpenAI's service is asked, and then facts leave this machine.

#[cfg(not(feature = "embedder"))]
mod absent;
#[cfg(feature = "embedder")]
mod local;
mod openai;

use std::path::PathBuf;
use std::sync::Arc;

use headroom_retry::https::HttpsError;

#[cfg(not(feature = "embedder"))]
use self::absent as local;
use self::local::LocalModel;
#[cfg(all(test, feature = "embedder"))]
pub(crate) use self::local::tests::of_words;
use self::openai::OpenAi;
pub use self::openai::OpenAiSettings;

/// Why a model cannot be used, or a text not be embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The folder lacks a file.
    #[error("{}: expected tokenizer.json next to model.onnx or a .safetensors file", .0.display())]
    Files(PathBuf),
    /// There is a folder, and nothing in this program that could run its model.
    #[error(
        "{}: this headroomd was built without embedding models, as by `make up`; `make install` builds it with them",
        .0.display()
    )]
    NotBuilt(PathBuf),
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

/// Finds an embedder and tries it. A folder with a model that does not work is an error: what is to stay on this machine is
/// not sent elsewhere because of it.
pub async fn detect(models: &Models) -> Result<Detection, EmbedError> {
    let folder = models.folder.clone();
    let local = tokio::task::spawn_blocking(move || local::load(&folder)).await;
    let local = local.map_err(|error| EmbedError::Run(format!("it could not be loaded: {error}")))??;
    let embedder = match (local, &models.openai) {
        (Some(model), _) => Embedder::Local(Box::new(model)),
        (None, Some(settings)) => Embedder::OpenAi(Box::new(OpenAi::connect(settings).await?)),
        (None, None) => return Ok(Detection::Nothing),
    };
    Ok(Detection::Model(Arc::new(embedder)))
}

impl Embedder {
    /// Its name: the kind of model, and which.
    pub fn name(&self) -> &str {
        match self {
            Self::Local(model) => model.name(),
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
