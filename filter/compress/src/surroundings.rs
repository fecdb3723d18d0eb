//! What comes near a call, and what the calls before it did to the file that it reads.
//!
//! Needed only if bodies of functions may be left out. All of it comes before the output in the request (I3).

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use headroom_providers::tape::Span;
use headroom_providers::walk::{Output, Walk};
use xxhash_rust::xxh3::xxh3_64;

use crate::call::Call;
use crate::hint;
use crate::kinds::code::Language;
use crate::kinds::signal::floor_char_boundary;
use crate::tool::Class;

/// How many texts and calls before an output count as near it.
const NEAR_READINGS: usize = 24;
/// How many bytes of each are read: a model announces what it will do at the start of its text.
const NEAR_BYTES: usize = 4 << 10;
/// The longest escape in JSON: two of six bytes, for a character of four.
const LONGEST_ESCAPE: usize = 12;
/// As many bytes of a string in JSON as have the text's first [`NEAR_BYTES`]: an escape has at most six for each.
const NEAR_RAW: usize = 6 * NEAR_BYTES + LONGEST_ESCAPE;
/// How many bytes of a call's arguments are searched for the names of files.
const MOST_ARGUMENTS: usize = 64 << 10;

/// Texts, the newest first.
pub(crate) type Near = Arc<[Cow<'static, str>]>;

/// The files that the calls of a request name, and when first. Names are without folders, because a command
/// may have changed the folder.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The number of the call that may have changed a file.
    changed: HashMap<u64, usize, FixedState>,
    /// The position of the arguments of the call that read a file.
    read: HashMap<u64, usize, FixedState>,
    /// Which readings are texts of the model and the user.
    said: Vec<usize>,
    /// The last ones of the first so many of these.
    near: RefCell<(usize, Near)>,
}

impl Files {
    pub(crate) fn of(walk: &Walk<'_>) -> Self {
        let readings = walk.readings.iter().enumerate();
        let said = readings.filter(|(_, reading)| reading.steers(walk.body)).map(|(at, _)| at).collect();
        let mut files = Self { said, ..Self::default() };
        for (number, call) in walk.made.iter().enumerate() {
            let [name, arguments] = call.texts(walk.body);
            if let Some(path) = hint::whole_file(Call { name: &name, arguments: &arguments })
                && let Some(span) = call.arguments
            {
                files.read.entry(key(&path)).or_insert(span.range().start);
            }
            if changes(&name, &arguments) {
                for name in file_names(&arguments) {
                    files.changed.entry(key(name)).or_insert(number);
                }
            }
        }
        files
    }

    /// The language of the file at `path`, which an output shows completely, if no earlier call has written or read
    /// it: an agent that reads a file again was not satisfied with the first form.
    pub(crate) fn language(&self, output: &Output, path: &str) -> Option<Language> {
        let language = Language::of_path(path)?;
        let own = output.call?.arguments?.range().start;
        let changed = self.changed.get(&key(path)).is_some_and(|number| *number < output.made);
        let again = self.read.get(&key(path)).is_some_and(|first| *first < own);
        (!changed && !again).then_some(language)
    }

    /// The last texts of the model and the user before an output. Outputs between which there is none share them.
    pub(crate) fn near(&self, walk: &Walk<'_>, output: &Output) -> Near {
        let before = self.said.partition_point(|reading| *reading < output.readings);
        let mut near = self.near.borrow_mut();
        if near.0 != before {
            let said = self.said.get(..before).unwrap_or_default().iter().rev().take(NEAR_READINGS);
            let spans = said.filter_map(|reading| Some(walk.readings.get(*reading)?.span));
            *near = (before, spans.map(|span| Cow::Owned(start(span, walk.body))).collect());
        }
        Arc::clone(&near.1)
    }
}

/// The first [`NEAR_BYTES`] of a text, of which only as much is read.
fn start(span: Span, body: &str) -> String {
    let text = span.text_start(body, NEAR_RAW).unwrap_or(Cow::Borrowed(span.raw(body)));
    text.get(..floor_char_boundary(&text, NEAR_BYTES)).unwrap_or_default().to_owned()
}

/// The name of a file without its folders, as a key.
pub(crate) fn key(path: &str) -> u64 {
    xxh3_64(path.rsplit(['/', '\\']).next().unwrap_or(path).as_bytes())
}

/// Whether a call may write files. In doubt it does.
fn changes(name: &str, arguments: &str) -> bool {
    match Class::of(name) {
        Class::Edit => true,
        Class::Bash => command_changes(arguments),
        Class::Other => {
            let name = name.to_ascii_lowercase();
            let words = [
                "edit", "write", "replace", "insert", "patch", "create", "update", "modif", "refactor",
                "rename", "apply",
            ];
            words.iter().any(|word| name.contains(word)) || command_changes(arguments)
        }
        Class::Read | Class::Glob | Class::Grep | Class::Web | Class::Retrieve => false,
    }
}

fn command_changes(arguments: &str) -> bool {
    const PROGRAMS: [&str; 12] =
        ["tee", "mv", "cp", "patch", "apply_patch", "ed", "perl", "python", "python3", "node", "git", "edit"];
    let writes = arguments.match_indices('>').any(|(at, _)| {
        let (before, behind) =
            (arguments.get(..at).unwrap_or_default(), arguments.get(at + 1..).unwrap_or_default());
        // The last of several decides for all.
        let target = behind.trim_start();
        !(behind.starts_with('>')
            || target.starts_with('&')
            || target.starts_with("/dev/null")
            || before.ends_with(['-', '=', '<']))
    });
    let mut words = arguments.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
    writes || words.any(|word| PROGRAMS.contains(&word) || word == "-i" || word.starts_with("-i."))
}

/// The words of arguments that could name a file, without folders. What JSON escapes ends a word.
pub(crate) fn file_names(arguments: &str) -> impl Iterator<Item = &str> {
    let end = floor_char_boundary(arguments, MOST_ARGUMENTS);
    let mut escaped = false;
    let words = arguments.get(..end).unwrap_or_default().split(move |c: char| {
        let ends = escaped || !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '+'));
        escaped = c == '\\' && !escaped;
        ends
    });
    words.map(|word| word.trim_end_matches('.')).filter(|word| word.contains('.'))
}

#[cfg(test)]
mod tests {
    use headroom_providers::tape::Tape;

    use super::*;

    #[test]
    fn the_start_of_a_text_is_the_same_whatever_is_read_of_it() {
        let units = ["a", "\\n", "\\u0001", "\\\\", "\\ud83d\\ude00", "\u{e9}", "\u{1f600}"];
        for unit in units {
            for before in 0..LONGEST_ESCAPE {
                let body = format!("\"{}{}\"", "x".repeat(before), unit.repeat(2 * NEAR_RAW / unit.len()));
                let tape = Tape::of(body.as_bytes()).unwrap();
                let span = tape.root().span();
                let text = span.text(&body).unwrap();
                let end = floor_char_boundary(&text, NEAR_BYTES);
                assert_eq!(start(span, &body), &text[..end], "{before} before {unit}");
            }
        }
    }

    #[test]
    fn a_redirection_changes_a_file_unless_it_goes_nowhere() {
        for command in ["a > b", "a >> b", "a >b", ">>> b", "a 2>&1 > b", "a =>> b", "a > &1>b"] {
            assert!(command_changes(command), "{command}");
        }
        for command in ["a 2>&1", "a >> /dev/null", ">>>&1", "a -> b", "a => b", "a <> b", "a >>  &1"] {
            assert!(!command_changes(command), "{command}");
        }
    }
}
