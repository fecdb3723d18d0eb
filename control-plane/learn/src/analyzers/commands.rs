//! Command lines and names that are wrong according to the error, and the right ones.

use std::collections::BTreeSet;

use super::{Conversation, ParsedCall};
use crate::failures::{syntax_complaint, unknown_name};
use crate::lesson::{Finding, Kind};
use crate::model::Tool;
use crate::shell::Simple;

/// The number of common words that shows that two command lines are about one thing.
const SHARED: usize = 2;

pub(super) fn find(conversation: &Conversation<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, step) in conversation.steps.iter().enumerate().filter(|(_, step)| step.failed()) {
        let found = if step.is_shell() {
            quoting(step).or_else(|| syntax(conversation, index)).or_else(|| name(conversation, index))
        } else {
            argument(conversation, index)
        };
        findings.extend(found);
    }
    findings
}

/// A path with parentheses or brackets that the shell interpreted itself.
fn quoting(step: &ParsedCall<'_>) -> Option<Finding> {
    let complaint = syntax_complaint(&step.call.output)?;
    let line = step.call.command()?;
    let path = unquoted_path(line)?;
    // zsh names the word; bash names the character
    let is_it = complaint
        .strip_prefix("no matches found: ")
        .map_or(complaint.contains(['(', ')']), |word| word == path);
    is_it.then(|| Finding {
        kind: Kind::Quoting,
        subject: "paths".to_owned(),
        wrong: path.to_owned(),
        right: Some(format!("'{path}'")),
        said: Some(complaint.to_owned()),
        evidence: vec![step.call.place.clone()],
    })
}

/// A word outside quotes that is a path with a part in parentheses or brackets, as frameworks name folders.
fn unquoted_path(line: &str) -> Option<&str> {
    let mut quote = None;
    let mut begin = None;
    let mut words = Vec::new();
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, character) {
            (_, '\\') => escaped = true,
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => {
                quote = Some(character);
                begin = None;
            }
            (None, c) if c.is_whitespace() || matches!(c, ';' | '&' | '|' | '<' | '>') => {
                words.extend(begin.take().map(|begin| &line[begin..at]));
            }
            (None, _) if begin.is_none() => {
                let starts = at == 0 || line[..at].ends_with(char::is_whitespace);
                begin = starts.then_some(at);
            }
            (None, _) => {}
        }
    }
    words.extend(begin.map(|begin| &line[begin..]));
    let is_path = |word: &&str| {
        let part = |part: &str| {
            [('(', ')'), ('[', ']')].iter().any(|(open, close)| {
                part.starts_with(*open) && part.contains(*close) && !part.contains(['$', '*', '?', '|'])
            })
        };
        word.contains('/') && !word.contains(['\\', '$', '=']) && word.split('/').any(part)
    };
    words.into_iter().find(is_path)
}

/// A command line that the shell cannot parse, and the working command about the same things.
fn syntax(conversation: &Conversation<'_>, index: usize) -> Option<Finding> {
    let step = &conversation.steps[index];
    let complaint = syntax_complaint(&step.call.output)?;
    let line = step.call.command()?;
    let subjects = words(line);
    let mut evidence = vec![step.call.place.clone()];
    let mut right = None;
    for (_, later) in conversation.after(index).filter(|(_, later)| later.is_shell()) {
        let Some(other) = later.call.command() else { continue };
        let shared = subjects.intersection(&words(other)).count();
        if shared < SHARED {
            continue;
        }
        if later.done() {
            right = Some(other);
            break;
        }
        if later.failed() {
            evidence.push(later.call.place.clone());
        }
    }
    let program = step.commands.first().map_or("", Simple::program);
    Some(Finding {
        kind: Kind::ShellSyntax,
        subject: format!("{program} {complaint}"),
        wrong: line.to_owned(),
        right: Some(right?.to_owned()),
        said: Some(complaint.to_owned()),
        evidence,
    })
}

/// The words of a line that identify its subject.
fn words(line: &str) -> BTreeSet<&str> {
    const COMMON: [&str; 14] = [
        "grep", "find", "head", "tail", "name", "exec", "null", "echo", "bash", "type", "func", "true",
        "false", "xargs",
    ];
    let parts = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
    parts.filter(|word| word.len() >= 4 && !word.starts_with('-') && !COMMON.contains(word)).collect()
}

/// A script, target or sub-command that a known tool does not have, and the one that it has.
fn name(conversation: &Conversation<'_>, index: usize) -> Option<Finding> {
    let step = &conversation.steps[index];
    let output = step.call.output.as_str();
    let unknown = unknown_name(output, &step.commands)?;
    let failed = step.commands.iter().find(|command| command.arguments().any(|word| word == unknown))?;
    let serves = |later: &ParsedCall<'_>, command: &Simple| {
        command.program() == failed.program()
            && command.arguments().all(|word| word != unknown)
            && unknown_name(&later.call.output, &later.commands).is_none()
            && is_alike(failed, command, unknown, output)
    };
    let right = conversation
        .after(index)
        .filter(|(_, later)| later.is_shell() && (later.done() || later.failed()))
        .find_map(|(_, later)| later.commands.iter().find(|command| serves(later, command)))?;
    Some(Finding {
        kind: Kind::UnknownName,
        subject: format!("{} {unknown}", failed.program()),
        wrong: failed.text(),
        right: Some(right.text()),
        said: Some(complaint_line(output, unknown)),
        evidence: vec![step.call.place.clone()],
    })
}

/// Whether a command is the other one with a different name: only one word differs, or the error names it.
fn is_alike(failed: &Simple, command: &Simple, unknown: &str, output: &str) -> bool {
    let before: Vec<&str> = failed.arguments().take_while(|word| *word != unknown).collect();
    let mut words = command.arguments();
    let same = before.iter().all(|word| words.next() == Some(*word));
    let Some(other) = words.next() else { return false };
    let close =
        other.chars().next() == unknown.chars().next() || other.contains(unknown) || unknown.contains(other);
    // `unit-test` for `test-unit`
    let parts = |name: &str| {
        let mut parts: Vec<String> =
            name.split(|c: char| !c.is_alphanumeric()).map(str::to_ascii_lowercase).collect();
        parts.sort();
        parts
    };
    same && !other.starts_with('-') && (output.contains(other) || close || parts(other) == parts(unknown))
}

fn complaint_line(output: &str, name: &str) -> String {
    let line = output.lines().find(|line| line.contains(name)).unwrap_or_default();
    line.trim().to_owned()
}

/// An argument of a tool, if the error lists the right values, and the value that was used.
fn argument(conversation: &Conversation<'_>, index: usize) -> Option<Finding> {
    let step = &conversation.steps[index];
    if !matches!(step.call.tool, Tool::Other | Tool::WebFetch | Tool::WebSearch) {
        return None;
    }
    let error = step.call.output.as_str();
    let lowered = error.to_ascii_lowercase();
    let refuses =
        ["not found", "unknown", "invalid", "unsupported", "no such", "not recognized", "does not exist"];
    let lists =
        ["available", "valid", "choose", "one of", "expected", "supported", "did you mean", "allowed"];
    if !refuses.iter().any(|word| lowered.contains(word)) || !lists.iter().any(|word| lowered.contains(word))
    {
        return None;
    }
    let is_listed = |value: &str| {
        let is_part = |c: char| c.is_alphanumeric() || "_-:./".contains(c);
        error.split(|c: char| !is_part(c)).any(|word| word.trim_end_matches('.') == value)
    };
    let (key, wrong) =
        step.call.arguments.iter().find(|(_, value)| (2..=64).contains(&value.len()) && is_listed(value))?;
    let taken: Vec<&str> = conversation
        .after(index)
        .filter(|(_, later)| later.call.name == step.call.name && later.done())
        .filter_map(|(_, later)| later.call.argument(key).filter(|value| *value != wrong && is_listed(value)))
        .collect();
    // several calls at once have different right values; a full name shows which value belongs to which call
    let full = |value: &&str| value.len() > wrong.len() && value.ends_with(wrong.as_str());
    let named = error.split(|c: char| c.is_whitespace() || c == ',').find(full).filter(|_| !taken.is_empty());
    let right = named.or(taken.first().copied())?;
    Some(Finding {
        kind: Kind::WrongArgument,
        subject: format!("{} {key} {wrong}", step.call.name),
        wrong: wrong.clone(),
        right: Some(right.to_owned()),
        said: Some(format!("{key} of {}", step.call.name)),
        evidence: vec![step.call.place.clone()],
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::of_kind;
    use super::*;

    #[test]
    fn unquoted_paths_of_frameworks_are_seen() {
        assert_eq!(unquoted_path("cat src/app/(auth)/login.tsx | head"), Some("src/app/(auth)/login.tsx"));
        assert_eq!(unquoted_path("ls src/[id]/page.tsx"), Some("src/[id]/page.tsx"));
        for line in [
            "cat 'src/(auth)/a'",
            "cat \"src/(auth)/a\"",
            "cat src/\\(auth\\)/a",
            "f() { ls a/b; }",
            "ls $(pwd)/x",
            "ls src/[a-z]*/x",
        ] {
            assert_eq!(unquoted_path(line), None, "{line}");
        }
    }

    #[test]
    fn a_path_that_needs_quotes_is_learned_in_bash_and_in_zsh() {
        let bash = "bash: -c: line 0: syntax error near unexpected token `('";
        let zsh = "(eval):1: no matches found: src/[id]/page.tsx";
        let calls = [
            ("Bash", json!({"command": "cat src/(auth)/a.ts"}), 2, bash),
            ("Bash", json!({"command": "cat src/[id]/page.tsx"}), 1, zsh),
            (
                "Bash",
                json!({"command": "cat src/missing/*.ts"}),
                1,
                "(eval):1: no matches found: src/missing/*.ts",
            ),
        ];
        let found = of_kind(&calls, Kind::Quoting);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].right.as_deref(), Some("'src/[id]/page.tsx'"));
    }

    #[test]
    fn a_script_of_another_name_is_the_right_one() {
        let calls = [
            (
                "Bash",
                json!({"command": "cd web && npm run typecheck"}),
                1,
                "npm error Missing script: \"typecheck\"",
            ),
            ("Bash", json!({"command": "cat package.json"}), 0, "…"),
            ("Bash", json!({"command": "npm run type-check"}), 2, "src/a.ts(1,1): error TS1"),
        ];
        let found = of_kind(&calls, Kind::UnknownName);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].right.as_deref(), Some("npm run type-check"));
    }

    #[test]
    fn a_package_and_a_workspace_of_another_name_are_learned() {
        for (wrong, error, right) in [
            (
                "cargo test -p core",
                "error: package ID specification `core` did not match any packages\n\nhelp: a package with a similar name \
                 exists: `app-core`",
                "cargo test -p app-core",
            ),
            (
                "yarn workspace web build",
                "error Unknown workspace \"web\".",
                "yarn workspace @acme/web build",
            ),
            ("docker compose logs db", "no such service: db", "docker compose logs database"),
            ("make test-unit", "make: *** No rule to make target 'test-unit'.  Stop.", "make unit-test"),
        ] {
            let calls =
                [("Bash", json!({"command": wrong}), 1, error), ("Bash", json!({"command": right}), 0, "ok")];
            let found = of_kind(&calls, Kind::UnknownName);
            assert_eq!(found[0].right.as_deref(), Some(right));
        }
    }

    #[test]
    fn a_value_that_the_error_lists_is_the_right_one() {
        let error = "Agent type 'fixer' not found. Available agents: Plan, tools:fixer, reviewer";
        let calls = [
            ("Task", json!({"subagent_type": "fixer", "prompt": "x"}), 1, error),
            ("Task", json!({"subagent_type": "tools:fixer", "prompt": "x"}), 0, "done"),
        ];
        let found = of_kind(&calls, Kind::WrongArgument);
        assert_eq!(found[0].right.as_deref(), Some("tools:fixer"));
        assert!(of_kind(&calls[..1], Kind::WrongArgument).is_empty());
    }

    #[test]
    fn a_line_that_the_shell_cannot_read_is_learned_with_what_worked() {
        let error = "(eval):1: parse error near `('";
        let calls = [
            (
                "Bash",
                json!({"command": "M=$(go env X) && grep -A3 'type Config (' $M/github.com/acme/widget@*/w.go"}),
                1,
                error,
            ),
            ("Bash", json!({"command": "bash -c 'grep Config github.com/acme/widget'"}), 1, ""),
            ("Bash", json!({"command": "go doc github.com/acme/widget Config"}), 0, "type Config"),
        ];
        let found = of_kind(&calls, Kind::ShellSyntax);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].evidence.len(), 2);
        assert_eq!(found[0].right.as_deref(), Some("go doc github.com/acme/widget Config"));
    }
}
