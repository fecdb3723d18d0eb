//! What is compressed: standard input, or files.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read as _, stdin};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;

use crate::misuse::Misuse;
use crate::progress;

/// Stands for standard input in place of a file.
const STDIN: &str = "-";
/// Maximum length of a line, in bytes: several times what any provider accepts.
const MAX_LINE: u64 = 256 << 20;
/// Maximum length in bytes of a body on several lines, and of a text: the engine's limit.
const MAX_WHOLE: u64 = 32 << 20;
/// The number of bytes that decide whether a file is text.
const PEEKED: usize = 8 << 10;

/// Something to read to its end.
pub(crate) struct Input {
    /// The name to show; `None`: standard input.
    pub(super) name: Option<String>,
    reader: Box<dyn BufRead>,
    progress: ProgressBar,
}

/// Checks every file before it compresses the first, so that a misspelled name is found early.
pub(super) fn check(paths: &[impl AsRef<Path>]) -> anyhow::Result<()> {
    let inputs = paths.iter().filter(|path| path.as_ref() == Path::new(STDIN)).count();
    if inputs > 1 {
        return Err(Misuse::of(anyhow::anyhow!("-: standard input can be read once, found {inputs} times")));
    }
    for path in paths.iter().map(AsRef::as_ref).filter(|path| *path != Path::new(STDIN)) {
        let about = fs::metadata(path).with_context(|| path.display().to_string())?;
        ensure!(!about.is_dir(), "{}: expected a file, found a folder", path.display());
        // A pipe can be read only once.
        if about.is_file() {
            Input::open(path)?;
        }
    }
    Ok(())
}

impl Input {
    /// Standard input, with any content.
    pub(super) fn stdin(quiet: bool) -> Self {
        let progress = if quiet { ProgressBar::hidden() } else { progress::of_input(&stdin()) };
        let reader = Box::new(BufReader::new(progress.wrap_read(stdin().lock())));
        Self { name: None, reader, progress }
    }

    /// A file whose first bytes are text, or standard input for `-`.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        if path == Path::new(STDIN) {
            return Ok(Self::stdin(true));
        }
        let file = File::open(path).with_context(|| name.clone())?;
        let mut reader = BufReader::with_capacity(PEEKED, file);
        let peeked = reader.fill_buf().with_context(|| name.clone())?;
        ensure!(!peeked.contains(&0), "{name}: expected text, found binary data");
        Ok(Self { name: Some(name), reader: Box::new(reader), progress: ProgressBar::hidden() })
    }

    fn said(&self) -> &str {
        self.name.as_deref().unwrap_or("standard input")
    }

    /// All of it, as text.
    pub(crate) fn text(mut self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        self.reader.by_ref().take(MAX_WHOLE + 1).read_to_end(&mut bytes).context(self.said().to_owned())?;
        if bytes.len() as u64 > MAX_WHOLE {
            bail!("{}: a text may have at most {} MiB", self.said(), MAX_WHOLE >> 20);
        }
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            anyhow::anyhow!("{}: expected UTF-8, found other bytes at {at}", self.said())
        })
    }

    /// Reads the next line with its line end; false: there is none. If the file is one body on several lines, the
    /// first line is the whole file.
    pub(super) fn line(&mut self, first: bool, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        self.reader.by_ref().take(MAX_LINE + 1).read_until(b'\n', line)?;
        if line.len() as u64 > MAX_LINE {
            return Err(too_long(self.said(), "a line", MAX_LINE));
        }
        if first && self.name.is_some() && line.trim_ascii_start().first() == Some(&b'{') && !is_json(line) {
            self.reader.by_ref().take(MAX_WHOLE + 1).read_to_end(line)?;
            if is_json(line) {
                return Ok(true);
            }
            if line.len() as u64 > MAX_WHOLE {
                return Err(too_long(self.said(), "a body on several lines", MAX_WHOLE));
            }
            // It is not one body, so it consists of lines.
            let end = line.iter().position(|byte| *byte == b'\n').map_or(line.len(), |at| at + 1);
            self.reader = Box::new(Cursor::new(line.split_off(end)));
        }
        Ok(!line.is_empty())
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.progress.finish_and_clear();
    }
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

fn too_long(name: &str, what: &str, most: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("{name}: {what} may have at most {} MiB", most >> 20))
}
