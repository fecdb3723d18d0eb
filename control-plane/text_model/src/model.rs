//! A model that is loaded, with the threads that it runs on.

use std::path::Path;

use crate::compress::{self, CompressError, CompressedText, Options};
use crate::file::ModelError;
use crate::folder::Folder;

/// A model that is loaded.
#[derive(Debug)]
pub struct TextModel {
    folder: Folder,
    threads: rayon::ThreadPool,
}

impl TextModel {
    /// Loads the model of a folder, to run on so many threads. Takes seconds, and of a model in 32-bit numbers as much
    /// memory as its file has bytes.
    pub fn load(folder: &Path, threads: usize) -> Result<Self, ModelError> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("text-model-{number}"))
            .build()
            .map_err(|error| ModelError::file(folder, error))?;
        Ok(Self { folder: threads.install(|| Folder::read(folder))?, threads })
    }

    /// Compresses a text. `goes_on` is asked many times a second; once it says no, the answer is an error.
    pub fn compress(
        &self,
        text: &str,
        options: &Options,
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<CompressedText, CompressError> {
        self.threads.install(|| compress::compress(&self.folder, text, options, goes_on))
    }
}
