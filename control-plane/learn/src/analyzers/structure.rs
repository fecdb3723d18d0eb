//! Files and folders that are in another place than expected, and files too large to read.

use super::{Conversation, ParsedCall};
use crate::failures::{missing_paths, says_absent, says_too_large};
use crate::lesson::{Finding, Kind};
use crate::model::{Outcome, Tool};
use crate::shell::Simple;

/// Programs whose arguments are files that they read.
const READERS: [&str; 24] = [
    "cat", "sed", "head", "tail", "less", "more", "nl", "wc", "ls", "grep", "egrep", "rg", "ag", "find",
    "fd", "stat", "file", "awk", "cd", "tree", "bat", "jq", "diff", "sort",
];
/// Programs that list files by name.
const LISTERS: [&str; 6] = ["ls", "find", "fd", "tree", "exa", "eza"];
/// Names that many folders have a file of.
const COMMON_NAMES: [&str; 14] = [
    "index", "mod", "__init__", "main", "lib", "package", "readme", "cargo", "page", "route", "layout",
    "types", "utils", "config",
];

pub(super) fn find(conversation: &Conversation<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut absent_here: Vec<(String, Vec<usize>)> = Vec::new();
    for (index, step) in conversation.steps.iter().enumerate() {
        for path in absent(conversation, step) {
            if let Some(right) = correction(conversation, index, &path) {
                findings.push(Finding {
                    kind: Kind::WrongPath,
                    subject: path.clone(),
                    wrong: path.clone(),
                    right: Some(right),
                    said: None,
                    evidence: vec![step.call.place.clone()],
                });
            }
            match absent_here.iter_mut().find(|(known, _)| *known == path) {
                Some((_, at)) => at.push(index),
                None => absent_here.push((path, vec![index])),
            }
        }
        if step.call.tool == Tool::Read
            && step.failed()
            && says_too_large(&step.call.output)
            && let Some(path) = step.call.path().and_then(|path| conversation.relative(path, &step.call.cwd))
        {
            findings.push(Finding {
                kind: Kind::LargeFile,
                subject: path.clone(),
                wrong: path,
                right: None,
                said: None,
                evidence: vec![step.call.place.clone()],
            });
        }
    }
    for (path, at) in absent_here.into_iter().filter(|(_, at)| at.len() >= 2) {
        let first = at.first().copied().unwrap_or_default();
        if conversation.steps.iter().skip(first).any(|step| searched_in_vain(step, &path)) {
            findings.push(Finding {
                kind: Kind::AbsentPath,
                subject: path.clone(),
                wrong: path,
                right: None,
                said: None,
                evidence: at.iter().map(|index| conversation.steps[*index].call.place.clone()).collect(),
            });
        }
    }
    findings
}

/// Paths inside the project that a call did not find. A program that was not found does not count: it was
/// called from the wrong folder, or has not been built.
fn absent(conversation: &Conversation<'_>, step: &ParsedCall<'_>) -> Vec<String> {
    let call = step.call;
    let mut found = Vec::new();
    if step.is_shell() {
        let missing = if call.outcome == Outcome::Refused { Vec::new() } else { missing_paths(&call.output) };
        for path in missing {
            let reads = |command: &Simple| {
                READERS.contains(&command.program()) && command.arguments().any(|word| word == path)
            };
            if step.commands.iter().any(reads) {
                found.extend(conversation.relative(path, &folder(step)));
            }
        }
    } else if step.failed() && call.tool != Tool::Other && says_absent(&call.output) {
        found.extend(call.path().and_then(|path| conversation.relative(path, &call.cwd)));
    }
    found.dedup();
    found
}

/// The folder that the commands of a call run in after their `cd`.
fn folder(step: &ParsedCall<'_>) -> String {
    let mut folder = step.call.cwd.to_string();
    for command in step.commands.iter().filter(|command| command.program() == "cd") {
        match command.arguments().next() {
            Some(to) if to.starts_with('/') => to.clone_into(&mut folder),
            Some(to) => folder = format!("{folder}/{to}"),
            None => {}
        }
    }
    folder
}

/// Paths inside the project that a call read, listed, made or changed.
fn touched(conversation: &Conversation<'_>, step: &ParsedCall<'_>) -> Vec<String> {
    let call = step.call;
    if !step.done() {
        return Vec::new();
    }
    if !step.is_shell() {
        return call.path().and_then(|path| conversation.relative(path, &call.cwd)).into_iter().collect();
    }
    if !missing_paths(&call.output).is_empty() {
        return Vec::new();
    }
    let base = folder(step);
    let mut found = Vec::new();
    for command in &step.commands {
        if command.program().contains('/') {
            found.extend(conversation.relative(command.program(), &base));
        }
        if READERS.contains(&command.program()) {
            let is_path = |word: &&str| word.contains(['/', '.']) && !word.contains(['*', '|', '$']);
            found.extend(
                files(command)
                    .into_iter()
                    .filter(is_path)
                    .filter_map(|word| conversation.relative(word, &base)),
            );
        }
    }
    found
}

/// The words of a reader that may be files: not its options, and not its pattern.
fn files(command: &Simple) -> Vec<&str> {
    const PATTERN_FIRST: [&str; 8] = ["grep", "egrep", "rg", "ag", "sed", "awk", "jq", "fd"];
    let words: Vec<&str> = command.arguments().collect();
    if command.program() == "find" {
        return words.into_iter().take_while(|word| !word.starts_with(['-', '(', '!'])).collect();
    }
    let lists = words.contains(&"--files");
    let has_pattern = words.iter().any(|word| matches!(*word, "-e" | "-f"));
    let is_first = PATTERN_FIRST.contains(&command.program()) && !lists && !has_pattern;
    words.into_iter().filter(|word| !word.starts_with('-')).skip(usize::from(is_first)).collect()
}

/// All paths that existed.
pub(super) fn present(conversation: &Conversation<'_>) -> Vec<String> {
    conversation.steps.iter().flat_map(|step| touched(conversation, step)).collect()
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A file's name without its extension.
fn stem(path: &str) -> &str {
    let name = name(path);
    name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map_or(name, |(stem, _)| stem)
}

fn extension(path: &str) -> Option<&str> {
    name(path).rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, extension)| extension)
}

/// The real place of what was expected at `path`, according to the next calls.
fn correction(conversation: &Conversation<'_>, index: usize, path: &str) -> Option<String> {
    let failed = &conversation.steps[index];
    let mut listed = false;
    for (_, step) in conversation.after(index) {
        let touched = touched(conversation, step);
        // the path exists after all: it was created, or the first call ran somewhere else
        if touched.iter().any(|other| other == path) {
            return None;
        }
        if step.done() && is_listing(conversation, step, path) {
            if let Some(only) = only_result(conversation, step, path) {
                return Some(only);
            }
            listed = true;
            continue;
        }
        for other in touched {
            let is_other_extension = parent(path) == parent(&other) && stem(path) == stem(&other);
            if is_same_thing(path, &other) || (is_other_extension && extension(path).is_some()) {
                return Some(other);
            }
            // the folder was listed because of the failure, and this file was read next
            if listed && extension(path).is_some() && extension(&other) == extension(path) {
                return (parent(&other) == parent(path)).then_some(other);
            }
            // a search that was repeated in the folder above
            if extension(path).is_none()
                && step.call.tool == failed.call.tool
                && !step.is_shell()
                && parent(path) == other
            {
                return Some(other);
            }
        }
    }
    None
}

/// Whether two paths name one thing that was moved: the same name, and folders in common.
fn is_same_thing(path: &str, other: &str) -> bool {
    if !name(path).eq_ignore_ascii_case(name(other)) || path == other {
        return false;
    }
    let folders: Vec<&str> = parent(path).split('/').filter(|part| !part.is_empty()).collect();
    let others: Vec<&str> = parent(other).split('/').filter(|part| !part.is_empty()).collect();
    let shared = folders.iter().filter(|part| others.contains(part)).count();
    if COMMON_NAMES.contains(&stem(path).to_ascii_lowercase().as_str()) {
        return shared >= 1 && shared * 2 >= folders.len().max(others.len());
    }
    shared >= 1 || folders.is_empty() || others.is_empty()
}

/// Whether a call lists the folder of a path, or files of its name.
fn is_listing(conversation: &Conversation<'_>, step: &ParsedCall<'_>, path: &str) -> bool {
    let stem = stem(path).to_ascii_lowercase();
    let names_it = |pattern: &str| {
        let pattern = pattern.to_ascii_lowercase();
        stem.len() >= 4 && pattern.contains(&stem)
    };
    let is_parent = |folder: &str, base: &str| {
        let folder = folder.trim_end_matches(['*', '/']);
        conversation.relative(folder, base).as_deref() == Some(parent(path))
    };
    if step.call.tool == Tool::Glob {
        let pattern = step.call.pattern().unwrap_or_default();
        let folder = pattern.rsplit_once('/').map_or("", |(folder, _)| folder);
        return names_it(pattern)
            || (!folder.is_empty() && is_parent(folder, &step.call.cwd))
            || step.call.path().is_some_and(|folder| is_parent(folder, &step.call.cwd));
    }
    let base = folder(step);
    let is_lister = |command: &Simple| {
        let mut words = command.arguments();
        match command.program() {
            "rg" => words.any(|word| word == "--files"),
            "git" => words.next() == Some("ls-files"),
            program => LISTERS.contains(&program),
        }
    };
    // The next program may filter a list of all files.
    let is_filtered = step.commands.iter().any(|command| is_lister(command) && command.piped);
    step.commands.iter().any(|command| {
        (is_lister(command)
            && command
                .arguments()
                .any(|word| names_it(word) || (!word.starts_with('-') && is_parent(word, &base))))
            || (is_filtered && command.arguments().any(names_it))
    })
}

/// The only result of a search by name with that name.
fn only_result(conversation: &Conversation<'_>, step: &ParsedCall<'_>, path: &str) -> Option<String> {
    let mut results = step
        .call
        .output
        .lines()
        .map(str::trim)
        .filter(|line| name(line).eq_ignore_ascii_case(name(path)) && line.contains('/'))
        .filter_map(|line| conversation.relative(line, &folder(step)))
        .filter(|result| result != path);
    let only = results.next()?;
    results.next().is_none().then_some(only)
}

/// Whether a call searched for a file by its name and found nothing.
fn searched_in_vain(step: &ParsedCall<'_>, path: &str) -> bool {
    let stem = stem(path);
    if stem.len() < 4 || !(step.done() || step.failed()) {
        return false;
    }
    let output = step.call.output.trim();
    let is_empty = output.is_empty()
        || output == "(no output)"
        || (output.len() < 200 && output.to_ascii_lowercase().starts_with("no files found"));
    let searches = match step.call.tool {
        Tool::Glob => step.call.pattern().is_some_and(|pattern| pattern.contains(stem)),
        Tool::Shell => step.commands.iter().any(|command| {
            matches!(command.program(), "find" | "fd" | "locate")
                && command.arguments().any(|word| word.contains(stem) && !word.contains('/'))
        }),
        _ => false,
    };
    is_empty && searches
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::of_kind;
    use super::*;

    const ABSENT: &str = "File does not exist.";

    #[test]
    fn the_same_name_elsewhere_is_the_right_path() {
        let calls = [
            ("Read", json!({"file_path": "/p/lib/core/cache.rs"}), 1, ABSENT),
            (
                "Glob",
                json!({"pattern": "**/*cache*"}),
                0,
                "/p/lib/store/cache.rs\n/p/lib/store/cache_test.rs",
            ),
            ("Read", json!({"file_path": "/p/lib/store/cache.rs"}), 0, "x"),
        ];
        let found = of_kind(&calls, Kind::WrongPath);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].right.as_deref(), Some("lib/store/cache.rs"));
    }

    #[test]
    fn what_is_searched_for_is_no_file() {
        let absent = "sed: can't read internal/server/db.go: No such file or directory";
        let calls = |search: &str, found: &str| {
            [
                ("Bash", json!({"command": "sed -n 1,80p internal/server/db.go"}), 2, absent.to_owned()),
                ("Bash", json!({"command": search}), 0, found.to_owned()),
                ("Bash", json!({"command": "cat internal/server/README.md"}), 0, "x".to_owned()),
            ]
        };
        for search in
            ["rg db.go", "grep -rn db.go docs", "find . -name db.go", "fd db.go", "rg --files | rg db.go"]
        {
            let calls = calls(search, "");
            let calls: Vec<_> = calls.iter().map(|(a, b, c, d)| (*a, b.clone(), *c, d.as_str())).collect();
            assert!(of_kind(&calls, Kind::WrongPath).is_empty(), "{search}");
        }
        let absent = "sed: can't read internal/server/store.go: No such file or directory";
        for search in ["rg --files | rg store.go", "git ls-files | grep store.go"] {
            let calls = [
                ("Bash", json!({"command": "sed -n 1,80p internal/server/store.go"}), 2, absent),
                ("Bash", json!({"command": search}), 0, "pkg/server/store.go"),
            ];
            assert_eq!(of_kind(&calls, Kind::WrongPath)[0].right.as_deref(), Some("pkg/server/store.go"));
        }
    }

    #[test]
    fn a_name_in_other_letters_is_the_same_name() {
        let calls = [
            ("Read", json!({"file_path": "/p/docs/SETUP.md"}), 1, ABSENT),
            ("Bash", json!({"command": "find . -iname setup.md"}), 0, "./documentation/setup.md"),
        ];
        assert_eq!(of_kind(&calls, Kind::WrongPath)[0].right.as_deref(), Some("documentation/setup.md"));
    }

    #[test]
    fn a_listing_of_the_folder_shows_another_name() {
        let calls = [
            ("Read", json!({"file_path": "/p/web/net/client.ts"}), 1, ABSENT),
            ("Read", json!({"file_path": "/p/web/net/other.ts"}), 0, "read in parallel"),
            ("Bash", json!({"command": "ls web/net"}), 0, "other.ts\nrequests.ts"),
            ("Read", json!({"file_path": "/p/web/net/requests.ts"}), 0, "x"),
        ];
        let found = of_kind(&calls, Kind::WrongPath);
        assert_eq!(found[0].right.as_deref(), Some("web/net/requests.ts"));
    }

    #[test]
    fn the_same_name_with_another_extension_is_the_right_path() {
        let calls = [
            ("Bash", json!({"command": "cat .linter.yml"}), 1, "cat: .linter.yml: No such file or directory"),
            ("Bash", json!({"command": "cat .linter.yaml | head"}), 0, "x"),
        ];
        assert_eq!(of_kind(&calls, Kind::WrongPath)[0].right.as_deref(), Some(".linter.yaml"));
    }

    #[test]
    fn a_file_that_is_nowhere_or_made_later_is_no_wrong_path() {
        let nowhere = [
            ("Read", json!({"file_path": "/p/web/config.py"}), 1, ABSENT),
            ("Grep", json!({"pattern": "tax", "path": "/p/web"}), 0, "web/rules.py:1:tax"),
            ("Read", json!({"file_path": "/p/web/rules.py"}), 0, "x"),
        ];
        assert!(of_kind(&nowhere, Kind::WrongPath).is_empty());
        let made = [
            ("Read", json!({"file_path": "/p/web/new.py"}), 1, ABSENT),
            ("Write", json!({"file_path": "/p/web/new.py", "content": ""}), 0, "made"),
            ("Read", json!({"file_path": "/p/old/web/new.py"}), 0, "x"),
        ];
        assert!(of_kind(&made, Kind::WrongPath).is_empty());
    }

    #[test]
    fn a_program_that_is_called_from_the_wrong_folder_is_no_wrong_path() {
        let calls = [
            (
                "Bash",
                json!({"command": "cd /p/x && tools/run.sh"}),
                127,
                "(eval):1: no such file or directory: tools/run.sh",
            ),
            ("Bash", json!({"command": "tools/run.sh"}), 0, ""),
            ("Bash", json!({"command": "cat deep/run.sh"}), 0, "x"),
        ];
        assert!(of_kind(&calls, Kind::WrongPath).is_empty());
    }

    #[test]
    fn a_path_that_a_search_does_not_find_either_is_absent_when_it_was_tried_twice() {
        let missing = "sed: src/useTeam.ts: No such file or directory";
        let calls = [
            ("Bash", json!({"command": "sed -n 1p src/useTeam.ts"}), 1, missing),
            ("Bash", json!({"command": "sed -n 1,9p 'src/useTeam.ts'"}), 1, missing),
            ("Bash", json!({"command": "find . -name 'useTeam.ts'"}), 0, ""),
        ];
        let found = of_kind(&calls, Kind::AbsentPath);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].evidence.len(), 2);
        assert!(of_kind(&calls[1..], Kind::AbsentPath).is_empty());
    }

    #[test]
    fn a_search_in_a_folder_that_is_not_there_moves_up() {
        let calls = [
            (
                "Grep",
                json!({"pattern": "x", "path": "/p/cmd/app/verbs"}),
                1,
                "Path does not exist: /p/cmd/app/verbs",
            ),
            ("Grep", json!({"pattern": "x", "path": "/p/cmd/app"}), 0, "cmd/app/a.go:1:x"),
        ];
        assert_eq!(of_kind(&calls, Kind::WrongPath)[0].right.as_deref(), Some("cmd/app"));
    }
}
