//! Real source files: those of the repository, and those in the folders of `HEADROOM_SOURCES`.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Smaller files are never cut, and larger ones take the judges too long.
const BYTES: std::ops::Range<u64> = 3_000..400_000;
/// The most files of one language in one folder of the variable.
const MOST: usize = 400;

const ENDINGS: [&str; 14] =
    ["py", "js", "mjs", "cjs", "ts", "tsx", "go", "rs", "java", "c", "cc", "cpp", "hpp", "h"];

pub(crate) fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sources");
    walk(&own, &mut Vec::new(), &mut found, 0);
    assert!(!found.is_empty(), "no sources in {}", own.display());
    match std::env::var("HEADROOM_SOURCES") {
        Ok(folders) => {
            for folder in folders.split(':').filter(|folder| !folder.is_empty()) {
                walk(Path::new(folder), &mut Vec::new(), &mut found, BYTES.start);
            }
        }
        Err(_) => eprintln!(
            "SKIPPED: HEADROOM_SOURCES names no folders; only the repository's own files are looked at"
        ),
    }
    found
}

fn walk(folder: &Path, counts: &mut Vec<(String, usize)>, found: &mut Vec<Source>, least: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        if about.is_dir() {
            walk(&path, counts, found, least);
            continue;
        }
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_owned();
        if !about.is_file() || !ENDINGS.contains(&&*ending) || about.len() < least || about.len() > BYTES.end
        {
            continue;
        }
        let at = counts.iter().position(|(known, _)| *known == ending).unwrap_or_else(|| {
            counts.push((ending.clone(), 0));
            counts.len() - 1
        });
        counts[at].1 += 1;
        if counts[at].1 > MOST {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push(Source { path, name, text });
    }
}
