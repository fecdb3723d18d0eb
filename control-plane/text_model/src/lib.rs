//! LLMLingua-2: a small model that decides for each word of a text whether it can go.
//!
//! Models are token classifiers of BERT and XLM-R in the layout of the Hugging Face hub. They run on the CPU with the
//! parts of rten, which the sidecar's embedder brings anyway. The words that stay are the Python package's; their bytes are
//! those of the caller's text, while the package builds words again from tokens.

mod chunks;
mod compress;
mod config;
mod encoder;
mod file;
mod folder;
pub mod hub;
mod model;
mod percentile;
mod service;
mod tensors;

pub use self::compress::{CompressError, CompressedText, MAX_TEXT, Options, Word, WordScore};
pub use self::file::ModelError;
pub use self::folder::MAX_FORCE_TOKENS;
pub use self::model::TextModel;
pub use self::service::{Service, ServiceSettings, Source, Status, Turn, TurnError};
