//! What comes near a call, and what the calls before it did to the file that it reads.
//!
//! Needed only if bodies of functions may be left out. All of it comes before the output in the request (I3).

use std::borrow::Cow;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use headroom_providers::walk::{Output, Walk};
use xxhash_rust::xxh3::xxh3_64;

use crate::block;
use crate::hint;
use crate::kinds::code::Language;
use crate::tool::Class;

/// How many texts and calls before an output count as near it.
const NEAR_READINGS: usize = 24;
/// How many bytes of each are read: a model announces what it will do at the start of its text.
const NEAR_BYTES: usize = 4 << 10;
/// How many bytes of a call's arguments are searched for the names of files.
const MOST_ARGUMENTS: usize = 64 << 10;

/// The files that the calls of a request name, and when first. Names are without folders, because a command
/// may have changed the folder.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The number of the call that may have changed a file.
    changed: HashMap<u64, usize, FixedState>,
    /// The position of the arguments of the call that read a file.
    read: HashMap<u64, usize, FixedState>,
}

impl Files {
    pub(crate) fn of(walk: &Walk<'_>) -> Self {
        let mut files = Self::default();
        for (number, call) in walk.made.iter().enumerate() {
            let [name, arguments] = call.texts(walk.body);
            if let Some(path) = hint::whole_file(block::Call { name: &name, arguments: &arguments })
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
}

/// The last texts of the model and the user before an output, the newest first.
pub(crate) fn near<'b>(walk: &Walk<'b>, output: &Output) -> Vec<Cow<'b, str>> {
    let readings = walk.readings.get(..output.readings).unwrap_or_default();
    let said = readings.iter().rev().filter(|reading| reading.steers(walk.body));
    let text = |span: headroom_providers::tape::Span| {
        span.text(walk.body).unwrap_or(Cow::Borrowed(span.raw(walk.body)))
    };
    said.take(NEAR_READINGS).map(|reading| start(text(reading.span))).collect()
}

fn start(text: Cow<'_, str>) -> Cow<'_, str> {
    let end = crate::kinds::signal::floor_char_boundary(&text, NEAR_BYTES);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
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
        let target = behind.trim_start_matches('>').trim_start();
        !(target.starts_with('&') || target.starts_with("/dev/null") || before.ends_with(['-', '=', '<']))
    });
    let mut words = arguments.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
    writes || words.any(|word| PROGRAMS.contains(&word) || word == "-i" || word.starts_with("-i."))
}

/// The words of arguments that could name a file, without folders. What JSON escapes ends a word.
pub(crate) fn file_names(arguments: &str) -> impl Iterator<Item = &str> {
    let end = crate::kinds::signal::floor_char_boundary(arguments, MOST_ARGUMENTS);
    let mut escaped = false;
    let words = arguments.get(..end).unwrap_or_default().split(move |c: char| {
        let ends = escaped || !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '+'));
        escaped = c == '\\' && !escaped;
        ends
    });
    words.map(|word| word.trim_end_matches('.')).filter(|word| word.contains('.'))
}
