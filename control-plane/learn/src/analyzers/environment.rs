//! Programs, modules and options that are not here, and which shell runs the commands.

use std::collections::BTreeSet;

use super::{Conversation, ParsedCall};
use crate::failures::{
    is_bsd_sed, is_externally_managed, missing_module, missing_program, unsupported_option, zsh_complaint,
};
use crate::lesson::{Finding, Kind};
use crate::shell::Simple;

/// Maximum length of a successful output that is searched for a missing program, in bytes. A pipe hides the
/// exit code, but a long output comes from a program that ran.
const SHORT: usize = 600;

pub(super) fn find(conversation: &Conversation<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, step) in conversation.steps.iter().enumerate() {
        let output = step.call.output.as_str();
        if !step.is_shell() || !(step.failed() || (step.done() && output.len() <= SHORT)) {
            continue;
        }
        let evidence = vec![step.call.place.clone()];
        if let Some(program) = missing_program(output, &step.commands) {
            let right = replacement(conversation, index, program);
            findings.push(Finding {
                kind: Kind::MissingProgram,
                subject: program.to_owned(),
                wrong: program.to_owned(),
                right,
                said: None,
                evidence,
            });
        } else if let Some(module) = missing_module(output, &step.commands) {
            let right = other_way(conversation, index, module);
            findings.push(Finding {
                kind: Kind::MissingModule,
                subject: module.to_owned(),
                wrong: module.to_owned(),
                right,
                said: None,
                evidence,
            });
        } else if let Some((program, option, is_bsd)) = unsupported_option(output, &step.commands) {
            findings.push(Finding {
                kind: Kind::UnsupportedOption,
                subject: format!("{program} {option}"),
                wrong: format!("{program} {option}"),
                right: without_option(conversation, index, &program, &option),
                said: Some(if is_bsd {
                    "BSD userland, as on macOS".to_owned()
                } else {
                    "unknown option".to_owned()
                }),
                evidence: evidence.clone(),
            });
        }
        if step.failed() {
            findings.extend(in_place(conversation, index).or_else(|| managed(conversation, index)));
        }
        if step.failed()
            && let Some(complaint) = zsh_complaint(output)
        {
            findings.push(Finding {
                kind: Kind::Zsh,
                subject: "zsh".to_owned(),
                wrong: step.call.command().unwrap_or_default().to_owned(),
                right: None,
                said: Some(complaint.to_owned()),
                evidence: vec![step.call.place.clone()],
            });
        }
    }
    findings
}

/// `sed -i` without the suffix that BSD's `sed` requires.
fn in_place(conversation: &Conversation<'_>, index: usize) -> Option<Finding> {
    let step = &conversation.steps[index];
    if !is_bsd_sed(&step.call.output, &step.commands) {
        return None;
    }
    let has_ending = |command: &&Simple| {
        command.program() == "sed"
            && command.words.windows(2).any(|two| two[0].text == "-i" && two[1].text.is_empty())
    };
    let later = conversation.after(index).filter(|(_, step)| step.is_shell() && step.done());
    let right = later.flat_map(|(_, step)| step.commands.iter()).find(has_ending);
    Some(Finding {
        kind: Kind::UnsupportedOption,
        subject: "sed -i".to_owned(),
        wrong: "sed -i".to_owned(),
        right: right.map(Simple::text),
        said: Some("BSD userland, as on macOS".to_owned()),
        evidence: vec![step.call.place.clone()],
    })
}

/// `pip install` into a Python that the system keeps for itself. A solution that breaks the system is not
/// suggested.
fn managed(conversation: &Conversation<'_>, index: usize) -> Option<Finding> {
    let step = &conversation.steps[index];
    let installs = |command: &&Simple| command.arguments().any(|word| word == "install");
    let failed = step.commands.iter().find(installs).filter(|_| is_externally_managed(&step.call.output))?;
    let serves = |command: &&Simple| {
        command.arguments().all(|word| word != "--break-system-packages")
            && command.program() != failed.program()
            && (installs(command) || command.arguments().any(|word| word == "add"))
            && shares_arguments(failed, command)
    };
    let later = conversation.after(index).filter(|(_, step)| step.is_shell() && step.done());
    let right = later.flat_map(|(_, step)| step.commands.iter()).find(serves)?;
    let wrong = format!("{} install", failed.program());
    Some(Finding {
        kind: Kind::UnsupportedOption,
        subject: wrong.clone(),
        wrong,
        right: Some(right.text()),
        said: Some("externally-managed-environment".to_owned()),
        evidence: vec![step.call.place.clone()],
    })
}

/// Whether a call ran its programs.
fn ran(step: &ParsedCall<'_>) -> bool {
    let output = step.call.output.as_str();
    step.is_shell()
        && (step.done() || step.failed())
        && missing_program(output, &step.commands).is_none()
        && missing_module(output, &step.commands).is_none()
}

/// The command that did the same with an existing program.
fn replacement(conversation: &Conversation<'_>, index: usize, program: &str) -> Option<String> {
    let failed = conversation.steps[index].commands.iter().find(|command| command.needs(program))?;
    let is_wrapper = failed.program() != program;
    let serves = |command: &Simple| {
        let other = command.program();
        if command.needs(program) || other.is_empty() {
            return false;
        }
        if is_wrapper {
            // The same work, with another wrapper or none.
            return other == failed.program() || command.arguments().any(|word| word == failed.program());
        }
        // `docker-compose` has become a subcommand of `docker`.
        let joined = program.strip_prefix(other).and_then(|rest| rest.strip_prefix('-'));
        if joined.is_some_and(|word| command.arguments().next() == Some(word)) {
            return true;
        }
        let is_version = |a: &str, b: &str| {
            a.strip_prefix(b).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            })
        };
        is_version(other, program)
            || is_version(program, other)
            || other.rsplit('/').next() == Some(program)
            || command.arguments().any(|argument| argument == program)
            || shares_arguments(failed, command)
    };
    let later = conversation.after(index).filter(|(_, step)| ran(step));
    later.flat_map(|(_, step)| step.commands.iter()).find(|command| serves(command)).map(Simple::text)
}

/// Whether two commands are about the same things: at least two arguments that are not options, or the
/// only one there is.
fn shares_arguments(a: &Simple, b: &Simple) -> bool {
    let subjects = |command: &Simple| -> BTreeSet<String> {
        let long = |word: &&str| !word.starts_with('-') && word.len() > 2;
        command.arguments().filter(long).map(str::to_owned).collect()
    };
    let (a, b) = (subjects(a), subjects(b));
    let shared = a.intersection(&b).count();
    shared >= 2 || (shared == 1 && a.len() == 1)
}

/// The next command that does the module's work in another way.
fn other_way(conversation: &Conversation<'_>, index: usize, module: &str) -> Option<String> {
    let python = conversation.steps[index]
        .commands
        .iter()
        .find(|command| command.arguments().any(|word| word == module))?;
    let later = conversation.after(index).filter(|(_, step)| ran(step));
    later
        .flat_map(|(_, step)| step.commands.iter())
        .find(|command| {
            let installs = command.arguments().any(|word| word == "install" || word == "add");
            let same = command.program() == python.program() && command.arguments().any(|word| word == "-m");
            let named = command.program() == module || command.arguments().any(|word| word == module);
            !installs && (same || named)
        })
        .map(Simple::text)
}

fn without_option(
    conversation: &Conversation<'_>,
    index: usize,
    program: &str,
    option: &str,
) -> Option<String> {
    let later = conversation.after(index).filter(|(_, step)| step.is_shell() && step.done());
    later
        .flat_map(|(_, step)| step.commands.iter())
        .find(|command| command.program() == program && command.arguments().all(|word| word != option))
        .map(Simple::text)
}

/// Programs that ran, and modules as `-m NAME`.
pub(super) fn present(conversation: &Conversation<'_>) -> BTreeSet<String> {
    let mut programs = BTreeSet::new();
    for step in conversation.steps.iter().filter(|step| step.done() && ran(step)) {
        // with several commands, one that is not the last may be missing while the line goes on
        let Some(command) = step.commands.last() else { continue };
        let certain = step.commands.len() == 1 || step.call.output.len() > SHORT;
        if certain {
            programs.insert(command.program().to_owned());
        }
        let mut arguments = command.arguments();
        if arguments.find(|word| *word == "-m").is_some()
            && let Some(module) = arguments.next()
            && certain
        {
            programs.insert(format!("-m {module}"));
        }
    }
    programs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::of_kind;
    use super::*;

    #[test]
    fn a_missing_program_is_learned_with_what_ran_instead() {
        let calls = [
            ("Bash", json!({"command": "fd -e rs | head"}), 0, "bash: fd: command not found\n"),
            ("Read", json!({"file_path": "/p/a"}), 0, "x"),
            ("Bash", json!({"command": "fdfind -e rs"}), 0, "a.rs"),
            ("Bash", json!({"command": "node x.js"}), 127, "sh: 1: node: not found"),
            ("Bash", json!({"command": "/opt/node/bin/node x.js"}), 1, "TypeError"),
        ];
        let found = of_kind(&calls, Kind::MissingProgram);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].subject.as_str(), found[0].right.as_deref()), ("fd", None));
        assert_eq!(found[1].right.as_deref(), Some("/opt/node/bin/node x.js"));
    }

    #[test]
    fn what_only_runs_another_program_may_be_missing_itself() {
        let calls = [
            ("Bash", json!({"command": "timeout 10 ./run.sh"}), 127, "zsh:1: command not found: timeout"),
            ("Bash", json!({"command": "gtimeout 10 ./run.sh"}), 0, "done"),
            ("Bash", json!({"command": "sudo apt-get update"}), 127, "bash: sudo: command not found"),
            ("Bash", json!({"command": "apt-get update"}), 0, "done"),
            (
                "Bash",
                json!({"command": "docker-compose up -d"}),
                127,
                "bash: docker-compose: command not found",
            ),
            ("Bash", json!({"command": "docker compose up -d"}), 0, "done"),
        ];
        let found = of_kind(&calls, Kind::MissingProgram);
        let right: Vec<_> = found.iter().map(|it| it.right.as_deref().unwrap_or_default()).collect();
        assert_eq!(right, ["gtimeout 10 ./run.sh", "apt-get update", "docker compose up -d"]);
        let text = crate::lesson::sentence(&found[2], 2);
        assert!(text.contains("Use `docker compose`, as in `docker compose up -d`."), "{text}");
        let calls = [
            ("Bash", json!({"command": "psql -U me"}), 127, "bash: psql: command not found"),
            ("Bash", json!({"command": "docker exec db psql -U me"}), 0, "x"),
        ];
        let text = crate::lesson::sentence(&of_kind(&calls, Kind::MissingProgram)[0], 2);
        assert!(text.ends_with("Use `docker exec db psql -U me`."), "{text}");
    }

    #[test]
    fn what_this_system_does_in_another_way_is_learned_with_the_way() {
        let calls = [
            (
                "Bash",
                json!({"command": "pip install requests"}),
                1,
                "error: externally-managed-environment\n\n× This",
            ),
            ("Bash", json!({"command": "pip install --break-system-packages requests"}), 0, "ok"),
            ("Bash", json!({"command": "uv pip install requests"}), 0, "ok"),
            (
                "Bash",
                json!({"command": "sed -i 's/a/b/' x.txt"}),
                1,
                "sed: 1: \"x.txt\": extra characters at the end of x command",
            ),
            ("Bash", json!({"command": "sed -i '' 's/a/b/' x.txt"}), 0, ""),
        ];
        let found = of_kind(&calls, Kind::UnsupportedOption);
        let right: Vec<_> = found.iter().map(|it| it.right.as_deref().unwrap_or_default()).collect();
        assert_eq!(right, ["uv pip install requests", "sed -i '' s/a/b/ x.txt"]);
        // A script with an error of its own.
        let wrong =
            [("Bash", json!({"command": "sed -e 's/a' x"}), 1, "sed: 1: \"s/a\": unterminated substitute")];
        assert!(of_kind(&wrong, Kind::UnsupportedOption).is_empty());
    }

    #[test]
    fn a_program_inside_a_container_or_a_script_is_not_ours() {
        let calls = [
            ("Bash", json!({"command": "docker exec web python a.py"}), 127, "sh: python: not found"),
            ("Bash", json!({"command": "./run.sh"}), 127, "./run.sh: line 3: jq: command not found"),
        ];
        assert!(of_kind(&calls, Kind::MissingProgram).is_empty());
    }

    #[test]
    fn only_complaints_that_other_shells_do_not_have_show_zsh() {
        let calls = [
            ("Bash", json!({"command": "A=1 time ls"}), 1, "(eval):1: parse error near `time'"),
            ("Bash", json!({"command": "ls *.x"}), 1, "zsh: no matches found: *.x"),
            ("Bash", json!({"command": "./x"}), 127, "(eval):1: no such file or directory: ./x"),
        ];
        assert_eq!(of_kind(&calls, Kind::Zsh).len(), 2);
    }
}
