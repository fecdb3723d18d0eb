//! A model from the Hugging Face hub, downloaded once, when an operator has named it.

use std::io;
use std::path::{Path, PathBuf};

use headroom_retry::https::download::{self, DownloadError};

/// The hub, where no other is named: `HF_ENDPOINT` is the variable of its own programs.
const HUB: &str = "https://huggingface.co";
/// The files of a model, the largest last, with the bytes that each may have at most.
const FILES: [(&str, u64); 3] =
    [("config.json", 1 << 20), ("tokenizer.json", 128 << 20), ("model.safetensors", 8 << 30)];

/// Why a model was not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A file did not come.
    #[error(
        "{name} could not be downloaded: {error}. Without a way to the hub, put its files {} into a folder and name that",
        files()
    )]
    Download {
        /// The model.
        name: String,
        /// Why.
        error: DownloadError,
    },
    /// There is no place for it.
    #[error("{}: {error}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn files() -> String {
    FILES.map(|(file, _)| file).join(", ")
}

/// Where models are asked for.
pub fn base() -> String {
    let told = std::env::var("HF_ENDPOINT").ok().filter(|url| !url.trim().is_empty());
    told.unwrap_or_else(|| HUB.to_owned())
}

/// Whether a text has the form of a model's name on the hub: `owner/name`.
pub fn is_name(text: &str) -> bool {
    let part = |part: &str| {
        let letters = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        !part.is_empty() && part.len() <= 96 && !part.starts_with('.') && letters
    };
    text.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

/// The folder of a model, whose files are downloaded where they are not there yet. `progress` is called with
/// the bytes of a file so far.
pub async fn fetch(
    base: &str,
    name: &str,
    cache: &Path,
    progress: &(dyn Fn(&str, u64) + Sync),
) -> Result<PathBuf, HubError> {
    let folder = cache.join(name.replace('/', "--"));
    std::fs::create_dir_all(&folder).map_err(|error| HubError::Folder { path: folder.clone(), error })?;
    for (file, most) in FILES {
        let path = folder.join(file);
        if path.is_file() {
            continue;
        }
        let url = format!("{}/{name}/resolve/main/{file}", base.trim_end_matches('/'));
        download::to_file(&url, &path, most, &|bytes| progress(file, bytes))
            .await
            .map_err(|error| HubError::Download { name: name.to_owned(), error })?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_an_owner_and_leads_nowhere_else() {
        assert!(is_name("microsoft/llmlingua-2-bert-base-multilingual-cased-meetingbank"));
        for no in
            ["", "model", "/model", "a/", "a/b/c", "../a", "a/..", "./a", "a/b c", "a/b?x", "~/m", "a/é"]
        {
            assert!(!is_name(no), "{no:?}");
        }
    }
}
