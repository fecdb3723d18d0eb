//! Repeated failures: a command that was run again although nothing had changed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Conversation, ParsedCall};
use crate::failures::{is_check, is_diagnostic, may_pass, missing_program, syntax_complaint};
use crate::lesson::{Finding, Kind, code};
use crate::model::Tool;
use crate::shell::Simple;

/// Failures that make a loop; two are enough for a well-known program that was never the thing being built.
const LOOP: usize = 3;
/// Programs that run a file of the project: their failures are the subject of the work.
const INTERPRETERS: [&str; 16] = [
    "python", "python3", "node", "deno", "bun", "ruby", "perl", "php", "go", "cargo", "java", "dotnet",
    "swift", "tsx", "ts-node", "Rscript",
];

pub(super) fn find(conversation: &Conversation<'_>) -> Vec<Finding> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, step) in conversation.steps.iter().enumerate() {
        if step.failed()
            && step.is_shell()
            && let Some(signature) = signature(step)
        {
            groups.entry(signature).or_default().push(index);
        }
    }
    groups.into_iter().filter_map(|(signature, at)| finding(conversation, &signature, &at)).collect()
}

/// The error of a failure, without parts that differ from run to run. `None` for errors in code, for errors
/// that may go away, and for errors that another analyzer explains.
fn signature(step: &ParsedCall<'_>) -> Option<String> {
    let output = step.call.output.trim();
    if output.is_empty()
        || is_diagnostic(output)
        || may_pass(output)
        || missing_program(output, &step.commands).is_some()
        || syntax_complaint(output).is_some()
    {
        return None;
    }
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).take(2).collect();
    let text: String = lines.join("\n").chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    (text.len() >= 10).then_some(text)
}

fn finding(conversation: &Conversation<'_>, signature: &str, at: &[usize]) -> Option<Finding> {
    let (first, last) = (*at.first()?, *at.last()?);
    if at.len() < 2 || !was_repeated_unchanged(conversation, at) {
        return None;
    }
    let command = common_command(conversation, at)?;
    let is_own = command.program().contains('/');
    if at.len() < LOOP && is_own {
        return None;
    }
    let (success, changed) = success(conversation, last, &command)?;
    let right = match changed {
        Some(file) => format!("{} was changed", code(&file)),
        None => {
            let line = conversation.steps[success].call.command()?;
            let text = command.text();
            // with nothing changed and nothing different, the failure went away by itself
            if line.trim() == text || conversation.steps[first].call.command() == Some(line) {
                return None;
            }
            code(line)
        }
    };
    Some(Finding {
        kind: Kind::RetryLoop,
        subject: format!("{}\n{signature}", command.text()),
        wrong: command.text(),
        right: Some(right),
        said: Some(signature.replace('\n', " ")),
        evidence: at.iter().map(|index| conversation.steps[*index].call.place.clone()).collect(),
    })
}

/// Whether two of the failures follow each other without an edit between them.
fn was_repeated_unchanged(conversation: &Conversation<'_>, at: &[usize]) -> bool {
    at.windows(2).any(|pair| {
        let [from, to] = pair else { return false };
        conversation.steps[*from..*to].iter().all(|step| !is_edit(step))
    })
}

fn is_edit(step: &ParsedCall<'_>) -> bool {
    matches!(step.call.tool, Tool::Edit | Tool::Write) && step.done()
}

/// The command that all of the lines contain: the one that fails. Of several, the first one counts.
fn common_command(conversation: &Conversation<'_>, at: &[usize]) -> Option<Simple> {
    let texts = |index: &usize| -> BTreeSet<String> {
        conversation.steps[*index].commands.iter().map(Simple::text).collect()
    };
    let mut common = texts(at.first()?);
    for index in at {
        let others = texts(index);
        common.retain(|text| others.contains(text));
    }
    let commands = &conversation.steps[*at.last()?].commands;
    let counts = |command: &&Simple| {
        let program = command.program();
        common.contains(&command.text())
            && !is_check(command)
            && !INTERPRETERS.contains(&program)
            && !matches!(
                program,
                "cd" | "echo" | "grep" | "rg" | "test" | "[" | "head" | "tail" | "ls" | "cat" | "sleep"
            )
    };
    // a check among the common commands may be the one that fails
    if commands.iter().any(|command| common.contains(&command.text()) && is_check(command)) {
        return None;
    }
    commands.iter().find(counts).cloned()
}

/// The first later call in which the command works, and the file that was changed in between.
fn success(
    conversation: &Conversation<'_>,
    last: usize,
    command: &Simple,
) -> Option<(usize, Option<String>)> {
    let mut changed = None;
    for (index, step) in conversation.steps.iter().enumerate().skip(last + 1) {
        if is_edit(step) && changed.is_none() {
            changed = step
                .call
                .path()
                .map(|path| conversation.relative(path, &step.call.cwd).unwrap_or_else(|| path.to_owned()));
        }
        let runs_it = |other: &Simple| {
            other.program() == command.program()
                && command.arguments().all(|word| other.arguments().any(|own| own == word))
        };
        if step.done() && step.commands.iter().any(runs_it) {
            return Some((index, changed));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::of_kind;
    use super::*;

    #[test]
    fn a_loop_is_learned_with_the_change_that_ended_it() {
        let ignored = "The following paths are ignored by one of your .gitignore files:\n.cache";
        let run = |line: &str| json!({"command": line});
        let calls = [
            ("Bash", run("export A=1 && tools/setup.sh prepare"), 1, ignored),
            ("Bash", run("tools/setup.sh begin"), 0, "ok"),
            ("Bash", run("tools/setup.sh clean && tools/setup.sh prepare"), 1, ignored),
            ("Bash", run("tools/setup.sh prepare"), 1, ignored),
            (
                "Edit",
                json!({"file_path": "/p/tools/setup.sh", "old_string": "a", "new_string": "b"}),
                0,
                "changed",
            ),
            ("Bash", run("tools/setup.sh prepare"), 0, "ok"),
        ];
        let found = of_kind(&calls, Kind::RetryLoop);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].evidence.len(), 3);
        assert_eq!(found[0].right.as_deref(), Some("`tools/setup.sh` was changed"));
    }

    #[test]
    fn failing_checks_and_edits_between_are_work_in_progress() {
        let run = |line: &str| json!({"command": line});
        let edit =
            || ("Edit", json!({"file_path": "/p/a.sh", "old_string": "a", "new_string": "b"}), 0, "changed");
        let checks = [
            ("Bash", run("make lint"), 1, "the linter found something"),
            ("Bash", run("make lint"), 1, "the linter found something"),
            ("Bash", run("make lint"), 1, "the linter found something"),
            edit(),
            ("Bash", run("make lint"), 0, "ok"),
        ];
        assert!(of_kind(&checks, Kind::RetryLoop).is_empty());
        let edits = [
            ("Bash", run("./a.sh x"), 1, "something is wrong"),
            edit(),
            ("Bash", run("./a.sh x"), 1, "something is wrong"),
            edit(),
            ("Bash", run("./a.sh x"), 1, "something is wrong"),
            edit(),
            ("Bash", run("./a.sh x"), 0, "ok"),
        ];
        assert!(of_kind(&edits, Kind::RetryLoop).is_empty());
    }
}
