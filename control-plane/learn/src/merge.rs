//! The block of learned patterns in a file of instructions: merged by section, with every byte outside of it
//! left as it is.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The line before the block.
pub const START: &str = "<!-- headroom:learn:start -->";
/// The line after it.
pub const END: &str = "<!-- headroom:learn:end -->";

/// Bytes of a file of instructions. Agents load far less.
const LIMIT: u64 = 4 << 20;
/// Bytes of a memory file that are loaded.
const LOADED_BYTES: usize = 25 << 10;
/// Entries of a section. Older ones that were not seen again make room.
const ENTRIES: usize = 40;

/// Why a file cannot be merged. In this case nothing is written.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The file cannot be read or written
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// The file is not text
    #[error("{0} is no UTF-8 text; nothing was written")]
    Encoding(PathBuf),
    /// The file is too large
    #[error("{0} is larger than 4 MiB, which no agent loads; nothing was written")]
    Size(PathBuf),
    /// The markers do not make one block
    #[error(
        "{0}: expected one line {START} and after it one line {END}, found {1} and {2}; nothing was written. \
         Remove what is left of the block, or complete it"
    )]
    Markers(PathBuf, usize, usize),
    /// The file may not be written
    #[error("{0} is read-only; nothing was written")]
    ReadOnly(PathBuf),
    /// The file is a link to something that is not a file of instructions
    #[error("{0} is a link to {1}, which is no Markdown file; nothing was written")]
    Link(PathBuf, PathBuf),
    /// The file has changed since it was read
    #[error("{0} was changed by another program while it was merged; nothing was written. Run it again")]
    Changed(PathBuf),
    /// The agent would not load the block
    #[error("the block would end at line {1} of {0}, and only {2} lines are loaded")]
    NotLoaded(PathBuf, usize, usize),
}

/// A section of the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// After `###`
    pub title: String,
    /// Tokens that it saves per session, where someone has estimated it
    pub tokens_saved: Option<u64>,
    /// Its entries, without their dash
    pub entries: Vec<String>,
}

/// The position of the block: the bytes from the start marker to the end of the end marker.
fn block_range(path: &Path, text: &str) -> Result<Option<(usize, usize)>, MergeError> {
    let mut starts = Vec::new();
    let mut ends = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        // a marker in the middle of a sentence mentions the block and does not begin one
        let content = line.trim_start_matches('\u{feff}').trim();
        let begin = at + (line.len() - line.trim_start_matches(['\u{feff}', ' ', '\t']).len());
        if content == START {
            starts.push(begin);
        } else if content == END {
            ends.push(begin + END.len());
        }
        at += line.len();
    }
    match (starts.as_slice(), ends.as_slice()) {
        ([], []) => Ok(None),
        ([start], [end]) if start < end => Ok(Some((*start, *end))),
        _ => Err(MergeError::Markers(path.to_owned(), starts.len(), ends.len())),
    }
}

/// The block in a text, with its markers. `None` if there is no complete one.
pub fn extract_marker_block(text: &str) -> Option<&str> {
    let (start, end) = block_range(Path::new(""), text).ok()??;
    text.get(start..end)
}

/// Whether a file has a block.
pub fn has_block(path: &Path) -> bool {
    read(path).is_ok_and(|text| text.is_some_and(|text| extract_marker_block(&text).is_some()))
}

/// The sections of a block.
pub fn sections(block: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in block.lines() {
        let line = line.trim_end();
        if let Some(title) = line.strip_prefix("### ") {
            sections.push(Section { title: title.trim().to_owned(), ..Section::default() });
            continue;
        }
        let Some(section) = sections.last_mut() else { continue };
        if line == END || line.trim().is_empty() {
            continue;
        }
        if let Some(entry) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
            section.entries.push(entry.to_owned());
        } else if let Some(saved) =
            line.strip_prefix("*~").and_then(|rest| rest.split_once(" tokens/session"))
        {
            section.tokens_saved = saved.0.replace(',', "").parse().ok();
        } else if let Some(entry) = section.entries.last_mut() {
            // the rest of an entry of several lines
            entry.push('\n');
            entry.push_str(line);
        } else {
            section.entries.push(line.to_owned());
        }
    }
    sections
}

/// What an entry is about: its first text between backticks. Entries without one are their own subject.
pub fn subject(entry: &str) -> &str {
    let Some((_, rest)) = entry.split_once('`') else { return entry };
    let inside = rest.trim_start_matches('`');
    let fence = 1 + rest.len() - inside.len();
    // as many backticks together as before it
    let mut at = 0;
    while let Some(found) = inside.get(at..).and_then(|rest| rest.find('`')) {
        let begin = at + found;
        let behind = inside.get(begin..).unwrap_or_default();
        let length = behind.len() - behind.trim_start_matches('`').len();
        if length == fence {
            return inside.get(..begin).unwrap_or_default().trim();
        }
        at = begin + length;
    }
    entry
}

/// Merges new sections with prior ones: the new ones first, each with the prior entries of its title that it
/// does not replace and that `holds` accepts; then the other prior sections unchanged.
pub fn merge_sections(
    new: &[Section],
    prior: &[Section],
    holds: &dyn Fn(&str, &str) -> bool,
) -> Vec<Section> {
    let mut merged: Vec<Section> = Vec::new();
    for section in new {
        let mut section = section.clone();
        for old in prior.iter().filter(|old| old.title == section.title) {
            section.tokens_saved = section.tokens_saved.or(old.tokens_saved);
            for entry in &old.entries {
                let about = subject(entry);
                let is_known = section.entries.iter().any(|known| subject(known) == about);
                if !is_known && holds(&section.title, about) && section.entries.len() < ENTRIES {
                    section.entries.push(entry.clone());
                }
            }
        }
        merged.push(section);
    }
    merged.extend(prior.iter().filter(|old| new.iter().all(|section| section.title != old.title)).cloned());
    merged.retain(|section| !section.entries.is_empty());
    merged
}

fn render(sections: &[Section], date: &str) -> String {
    let mut block = format!(
        "{START}\n## Headroom Learned Patterns\n*Auto-generated by `headroomctl learn` on {date} — do not edit manually*\n\n"
    );
    for section in sections {
        block.push_str(&format!("### {}\n", section.title));
        if let Some(saved) = section.tokens_saved {
            block.push_str(&format!("*~{saved} tokens/session saved*\n"));
        }
        for entry in &section.entries {
            block.push_str(&format!("- {entry}\n"));
        }
        block.push('\n');
    }
    block.push_str(END);
    block
}

/// The planned content of a file.
#[derive(Clone, Debug)]
pub struct Merge {
    /// The file
    pub path: PathBuf,
    /// The current content; `None` if there is no file
    pub before: Option<String>,
    /// The new content
    pub after: String,
}

impl Merge {
    /// Whether there is anything to write.
    pub fn is_change(&self) -> bool {
        self.before.as_deref() != Some(self.after.as_str())
    }
}

/// Reads a file of instructions. `None` if there is none.
pub fn read(path: &Path) -> Result<Option<String>, MergeError> {
    let error = |error| MergeError::Io(path.to_owned(), error);
    // opening a pipe would wait without end
    if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        return Err(error(io::Error::other("this is not a file")));
    }
    let file = match fs::File::open(path) {
        Ok(file) => file,
        // a broken link is a mistake that a new file would hide
        Err(missing) if missing.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
            return Ok(None);
        }
        Err(other) => return Err(error(other)),
    };
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(error)?;
    if bytes.len() as u64 > LIMIT {
        return Err(MergeError::Size(path.to_owned()));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| MergeError::Encoding(path.to_owned()))
}

/// The file with its new sections. `loaded_lines` is how many lines of it the agent loads.
pub fn merge(
    path: &Path,
    new: &[Section],
    holds: &dyn Fn(&str, &str) -> bool,
    date: &str,
    loaded_lines: Option<usize>,
) -> Result<Merge, MergeError> {
    let before = read(path)?;
    let text = before.as_deref().unwrap_or_default();
    let range = block_range(path, text)?;
    let prior = range.and_then(|(start, end)| text.get(start..end)).map(sections).unwrap_or_default();
    let merged = merge_sections(new, &prior, holds);
    let after = if merged == prior {
        text.to_owned()
    } else {
        let crlf = text.matches("\r\n").count() * 2 > text.matches('\n').count();
        let end_of_line = if crlf { "\r\n" } else { "\n" };
        let block = render(&merged, date).replace('\n', end_of_line);
        match range {
            Some((start, end)) => format!("{}{block}{}", &text[..start], &text[end..]),
            None => {
                let between = match text.trim_start_matches('\u{feff}') {
                    "" => String::new(),
                    text if text.ends_with('\n') => end_of_line.to_owned(),
                    _ => end_of_line.repeat(2),
                };
                format!("{text}{between}{block}{end_of_line}")
            }
        }
    };
    let merge = Merge { path: path.to_owned(), before, after };
    if let Some(limit) = loaded_lines
        && merge.is_change()
        && let Some((_, end)) = block_range(path, &merge.after)?
    {
        let line = merge.after[..end].lines().count();
        if line > limit || end > LOADED_BYTES {
            return Err(MergeError::NotLoaded(path.to_owned(), line, limit));
        }
    }
    Ok(merge)
}

/// Checks whether a merge can be written, without writing. A project may hold a link to a file that a program
/// runs; nothing is written through such a link.
pub fn check(merge: &Merge) -> Result<(), MergeError> {
    if fs::symlink_metadata(&merge.path).is_ok_and(|about| about.is_symlink())
        && let Ok(real) = fs::canonicalize(&merge.path)
        && real.extension().is_none_or(|extension| extension != "md")
    {
        return Err(MergeError::Link(merge.path.clone(), real));
    }
    match fs::metadata(&merge.path) {
        Ok(about) if about.permissions().readonly() => Err(MergeError::ReadOnly(merge.path.clone())),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Writes a merge: a new file next to the old one, then a rename, so that a reader sees one or the other. A
/// link stays a link, and the mode stays.
pub fn write(merge: &Merge) -> Result<(), MergeError> {
    let error = |error| MergeError::Io(merge.path.clone(), error);
    check(merge)?;
    let path = fs::canonicalize(&merge.path).unwrap_or_else(|_| merge.path.clone());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(error)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".headroom-learn-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // a new file gets the mode that the user's umask allows
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(error)?;
    file.write_all(merge.after.as_bytes()).map_err(error)?;
    if let Ok(about) = fs::metadata(&path) {
        file.as_file().set_permissions(about.permissions()).map_err(error)?;
    }
    file.as_file().sync_all().map_err(error)?;
    // others that merge into a file of this folder wait, and see then that it has changed
    let turn = fs::File::open(folder).map_err(error)?;
    turn.lock().map_err(error)?;
    if read(&merge.path)? != merge.before {
        return Err(MergeError::Changed(merge.path.clone()));
    }
    file.persist(&path).map_err(|failed| error(failed.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(title: &str, entries: &[&str]) -> Section {
        Section {
            title: title.to_owned(),
            tokens_saved: None,
            entries: entries.iter().map(|entry| (*entry).to_owned()).collect(),
        }
    }

    fn all_hold(_: &str, _: &str) -> bool {
        true
    }

    fn merged(before: &str, new: &[Section]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("AGENTS.md");
        fs::write(&path, before).unwrap();
        let merge = merge(&path, new, &all_hold, "2026-01-02", None).unwrap();
        write(&merge).unwrap();
        fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn the_text_around_the_block_stays_with_its_line_ends_and_its_mark() {
        for before in ["", "# A", "# A\n", "\u{feff}# A\r\ntext\r\n", "\r\n", "no end\n\n\n"] {
            let new = [section("Commands", &["`a` fails."])];
            let once = merged(before, &new);
            assert!(once.starts_with(before), "{before:?}");
            let block = extract_marker_block(&once).unwrap();
            assert!(block.starts_with(START) && block.ends_with(END));
            if before.contains("\r\n") {
                assert_eq!(once.matches('\n').count(), once.matches("\r\n").count());
            }
            let later = format!("{once}after it");
            let other = merged(&later, &[section("Commands", &["`b` fails."])]);
            assert!(other.starts_with(before) && other.ends_with("after it"), "{other}");
            assert!(other.contains("- `b` fails.") && other.contains("- `a` fails."));
            assert_eq!(merged(&other, &[section("Commands", &["`b` fails."]),]), other, "twice is as once");
        }
    }

    #[test]
    fn prior_sections_are_kept_and_said_again_only_once() {
        let before = format!(
            "x\n{START}\n## Headroom Learned Patterns\n*Auto-generated by `headroom learn` on 2025-01-01 — do not edit manually*\n\n\
             ### File Paths\n*~1,200 tokens/session saved*\n- `old.rs` is gone\n- `a.rs` is at `b.rs`\n  and more of it\n\n### Mine\n- by hand\n\n{END}\ny\n"
        );
        let after = merged(
            &before,
            &[section("File Paths", &["`a.rs` does not exist."]), section("Environment", &["`z`"])],
        );
        let sections = sections(extract_marker_block(&after).unwrap());
        assert_eq!(sections[0].entries, ["`a.rs` does not exist.", "`old.rs` is gone"]);
        assert_eq!(sections[0].tokens_saved, Some(1200));
        assert_eq!(sections[1].title, "Environment");
        assert_eq!(sections[2], section("Mine", &["by hand"]));
        assert!(after.starts_with("x\n") && after.ends_with("\ny\n"));
    }

    #[test]
    fn a_prior_entry_that_does_not_hold_goes_with_its_section_said_anew() {
        let prior = [section("File Paths", &["`a` does not exist.", "`b` does not exist."])];
        let new = [section("File Paths", &["`c` does not exist."])];
        let merged = merge_sections(&new, &prior, &|_, about| about != "a");
        assert_eq!(merged[0].entries, ["`c` does not exist.", "`b` does not exist."]);
    }

    #[test]
    fn broken_markers_foreign_bytes_and_read_only_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("A.md");
        let new = [section("C", &["x"])];
        let refused = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            let error = merge(&path, &new, &all_hold, "2026-01-02", None).unwrap_err().to_string();
            assert_eq!(fs::read(&path).unwrap(), content);
            error
        };
        assert!(refused(format!("{START}\nx").as_bytes()).contains("found 1 and 0"));
        assert!(refused(format!("{END}\n{START}\n").as_bytes()).contains("found 1 and 1"));
        assert!(refused(format!("{START}\n{START}\n{END}\n").as_bytes()).contains("found 2 and 1"));
        assert!(refused(b"\xff\xfe").contains("UTF-8"));
        fs::write(&path, "a").unwrap();
        let mut mode = fs::metadata(&path).unwrap().permissions();
        mode.set_readonly(true);
        fs::set_permissions(&path, mode).unwrap();
        let merge = merge(&path, &new, &all_hold, "2026-01-02", None).unwrap();
        assert!(write(&merge).unwrap_err().to_string().contains("read-only"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("CLAUDE.local.md");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let refused = merge(&path, &[section("C", &["x"])], &all_hold, "2026-01-02", None).unwrap_err();
        assert!(refused.to_string().contains("not a file"), "{refused}");
        assert!(!has_block(&path));
    }

    /// Its length is 0, and reading it never ends.
    #[cfg(unix)]
    #[test]
    fn a_device_has_no_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("CLAUDE.md");
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(!has_block(&path));
        fs::remove_file(&path).unwrap();
        fs::write(&path, format!("{START}\n{END}\n")).unwrap();
        assert!(has_block(&path));
    }

    #[test]
    fn those_that_merge_at_once_lose_nothing_of_each_other() {
        const WRITERS: usize = 8;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("CLAUDE.local.md");
        fs::write(&path, "# Mine\n").unwrap();
        let add = |writer: usize, round: usize| {
            let title = format!("Writer {writer}");
            let entry = format!("`{writer} {round}` fails.");
            loop {
                let merge =
                    merge(&path, &[section(&title, &[&entry])], &all_hold, "2026-01-02", None).unwrap();
                match write(&merge) {
                    Err(MergeError::Changed(_)) => {}
                    done => return done.unwrap(),
                }
            }
        };
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                scope.spawn(move || (0..8).for_each(|round| add(writer, round)));
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        let written = sections(extract_marker_block(&text).unwrap());
        assert!(text.starts_with("# Mine\n"));
        assert_eq!((written.len(), written.iter().map(|it| it.entries.len()).sum()), (WRITERS, WRITERS * 8));
    }

    #[test]
    fn a_marker_inside_a_sentence_is_text() {
        let text = format!("The block begins with `{START}` and ends with {END}.\n");
        assert_eq!(extract_marker_block(&text), None);
        assert!(merged(&text, &[section("C", &["x"])]).starts_with(&text));
    }

    #[test]
    fn a_block_beyond_the_lines_that_are_loaded_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("MEMORY.md");
        fs::write(&path, "line\n".repeat(195)).unwrap();
        let new = [section("C", &["x"])];
        let refused = merge(&path, &new, &all_hold, "2026-01-02", Some(200)).unwrap_err();
        assert!(matches!(refused, MergeError::NotLoaded(_, line, 200) if line > 200), "{refused}");
        fs::write(&path, "line\n".repeat(150)).unwrap();
        assert!(merge(&path, &new, &all_hold, "2026-01-02", Some(200)).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_the_mode_stays() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.md"), folder.path().join("CLAUDE.md"));
        fs::write(&real, "a\n").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.md", &link).unwrap();
        write(&merge(&link, &[section("C", &["x"])], &all_hold, "2026-01-02", None).unwrap()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::read_to_string(&real).unwrap().contains(START));
        let (script, other) = (folder.path().join("run.sh"), folder.path().join("AGENTS.md"));
        fs::write(&script, "a\n").unwrap();
        symlink("run.sh", &other).unwrap();
        let refused = write(&merge(&other, &[section("C", &["x"])], &all_hold, "2026-01-02", None).unwrap());
        assert!(matches!(refused, Err(MergeError::Link(..))));
        assert_eq!(fs::read_to_string(&script).unwrap(), "a\n");
        fs::remove_file(&real).unwrap();
        assert!(merge(&link, &[], &all_hold, "2026-01-02", None).is_err(), "a link to nothing");
    }
}
