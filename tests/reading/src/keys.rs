//! The committed right answers, each with the address of its original.
//!
//! The file is checked strictly: a key that comes from a form, or that was written by hand, differs from the
//! originals and is refused, and so is the file after a change of the documents.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::question::Key;

/// A right answer and where it comes from.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecordedKey {
    /// The question.
    pub question: String,
    /// The right answer.
    pub key: Key,
    /// The address of the document's originals.
    pub original: String,
}

/// The right answers from the originals.
pub fn of_originals(documents: &[Document]) -> Result<Vec<RecordedKey>> {
    let mut keys = Vec::new();
    for document in documents {
        let address = document.original.address();
        for question in &document.questions {
            let key = question.ask.key(&document.original).with_context(|| question.id.clone())?;
            keys.push(RecordedKey { question: question.id.clone(), key, original: address.clone() });
        }
    }
    Ok(keys)
}

/// Reads a file of keys.
pub fn read(text: &str) -> Result<Vec<RecordedKey>> {
    text.lines().map(|line| serde_json::from_str(line).context("a line is no key")).collect()
}

/// Refuses keys that are not those of the originals.
pub fn verify(keys: &[RecordedKey], of_originals: &[RecordedKey]) -> Result<()> {
    let right: BTreeMap<&str, &RecordedKey> =
        of_originals.iter().map(|key| (key.question.as_str(), key)).collect();
    for key in keys {
        let right = right
            .get(key.question.as_str())
            .with_context(|| format!("{}: no such question", key.question))?;
        ensure!(key.original == right.original, "{}: its key was read from another text", key.question);
        ensure!(key.key == right.key, "{}: its key is not what the original says", key.question);
    }
    ensure!(keys.len() == right.len(), "{} keys for {} questions", keys.len(), right.len());
    Ok(())
}
