//! Reads the texts of failures: which program, option, path or name is wrong.

use std::sync::LazyLock;

use regex::Regex;

use super::shell::Simple;

/// Lines at the start of an output that may name its cause.
const LINES: usize = 12;

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| unreachable!("a fixed pattern: {error}"))
}

macro_rules! patterns {
    ($($name:ident = $text:expr;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| pattern($text));)*

        #[cfg(test)]
        fn force_all() {
            $(LazyLock::force(&$name);)*
        }
    };
}

patterns! {
    COLORS = r"\x1b\[[0-9;]*[A-Za-z]";
    NOT_FOUND = r"(?m)^(?:[^\n:]*: ){0,4}([A-Za-z0-9_.+-]+): (?:command )?not found\s*$";
    ZSH_NOT_FOUND = r"(?m)command not found: ([A-Za-z0-9_.+-]+)\s*$";
    FISH_NOT_FOUND = r"(?m)[Uu]nknown command:? '?([A-Za-z0-9_.+-]+)'?\s*$";
    CMD_NOT_FOUND = r"(?m)'([A-Za-z0-9_.+-]+)' is not recognized as";
    NO_MODULE = r"(?m)No module named '?([A-Za-z0-9_.]+)'?";
    BAD_OPTION = r"(?m)^(?:[^\n:]*/)?([A-Za-z0-9_.+-]+): (illegal|invalid|unrecognized|unknown|unsupported) option(?: --)? ?[:=]? ?['‘`\x22]?(-{0,2}[A-Za-z0-9][A-Za-z0-9-]*)";
    NO_FILE = r"(?m)^(?:[^\n]*: )?(?:cannot (?:access|open|stat|read) |can't (?:read|open) )?['‘`\x22]?([^\n:'’`\x22]+?)['’`\x22]?(?: for reading)?: No such file or directory";
    ZSH_NO_FILE = r"(?m)no such file or directory: ([^\n]+?)\s*$";
    ABSENT = r"(?i)(?:file|path|directory|folder) (?:does not exist|not found)|no such file|ENOENT|does not exist";
    TOO_LARGE = r"(?i)exceeds (?:the )?maximum (?:allowed )?(?:tokens|size)|file (?:is )?too large";
    ZSH = r"(?m)^(?:\(eval\):\d+: |zsh:(?:\d+:)? )(parse error[^\n]*|no matches found[^\n]*|bad substitution[^\n]*|bad pattern[^\n]*|unmatched[^\n]*)";
    SHELL_SYNTAX = r"(?m)^(?:[^\n]*: )?(syntax error near unexpected token [^\n]+|parse error near [^\n]+|unexpected EOF while looking for matching [^\n]+|no matches found: [^\n]+)";
    UNKNOWN_NAME = r#"(?mi)(?:missing script:?|unknown (?:sub)?command:?|no such (?:sub)?command:?|unrecognized subcommand|unknown task:?|no task named|no rule to make target|does not contain recipe|has no script named|unknown target:?|unknown workspace:?|no such service:?|package id specification|no (?:bin|example|test|bench) target named|has a) ['‘`"]?([\w:.@/-]+)['’`"]?"#;
    GIT_NAME = r"'([\w-]+)' is not a git command";
    BSD_SED = r#"(?m)^sed: \d+: ""#;
    MANAGED = r"(?m)^(?:error: )?externally-managed-environment\s*$";
    REFUSED = r"(?i)user doesn't want to (?:proceed|take this action)|tool use was rejected|request interrupted by user|rejected by user|user rejected|user (?:has )?denied|user declined|user cancell?ed|permission to use \S+ .{0,200}denied|auto-denied";
    DIAGNOSTIC = r"(?m)[\w/-]+\.[A-Za-z]{1,5}(?::\d+|\(\d+)|Traceback \(most recent call last\)|assertion|panicked at";
    PASSING = r"(?i)timed? ?out|ECONN|connection (?:refused|reset)|could not resolve|network|rate.?limit|temporar|lock(?:ed)?\b|already in use";
}

/// The text without colours and without what agents put around it.
pub fn tidy(output: &str) -> String {
    let mut text = COLORS.replace_all(output, "").into_owned();
    for wrapping in ["<tool_use_error>", "</tool_use_error>", "<untrusted_context>", "</untrusted_context>"] {
        if text.contains(wrapping) {
            text = text.replace(wrapping, "");
        }
    }
    let is_frame = |line: &str| {
        let line = line.trim();
        [
            "Exit code ",
            "Command: ",
            "Directory: ",
            "Chunk ID: ",
            "Wall time: ",
            "Process exited with code ",
            "Original token count: ",
            "Process Group PGID: ",
            "[Command exited with code ",
            "Command exited with code ",
            "Signal: ",
        ]
        .iter()
        .any(|frame| line.starts_with(frame))
            || matches!(line, "Output:" | "[stderr]" | "[stdout]" | "Error: (none)" | "Output: (empty)")
    };
    let lines = text.lines().filter(|line| !is_frame(line));
    let mut tidied = String::with_capacity(text.len());
    for line in lines {
        let line = line.strip_prefix("Output: ").unwrap_or(line);
        let line = line.strip_prefix("Error: ").unwrap_or(line);
        if tidied.is_empty() && line.trim().is_empty() {
            continue;
        }
        tidied.push_str(line.trim_end());
        tidied.push('\n');
    }
    tidied
}

fn start(text: &str) -> &str {
    text.match_indices('\n').nth(LINES).map_or(text, |(end, _)| &text[..end])
}

/// The program that the shell does not find. It must be one that the command line itself runs.
pub fn missing_program<'t>(text: &'t str, commands: &[Simple]) -> Option<&'t str> {
    let text = start(text);
    let patterns: [&LazyLock<Regex>; 4] = [&NOT_FOUND, &ZSH_NOT_FOUND, &FISH_NOT_FOUND, &CMD_NOT_FOUND];
    patterns.iter().find_map(|pattern| {
        pattern.captures_iter(text).find_map(|found| {
            let name = found.get(1)?.as_str();
            commands.iter().any(|command| command.needs(name)).then_some(name)
        })
    })
}

/// The Python module that `python -m` does not find.
pub fn missing_module<'t>(text: &'t str, commands: &[Simple]) -> Option<&'t str> {
    let name = NO_MODULE.captures(start(text))?.get(1)?.as_str();
    let runs = |command: &Simple| {
        let mut arguments = command.arguments();
        arguments.find(|argument| *argument == "-m").is_some() && arguments.next() == Some(name)
    };
    commands.iter().any(runs).then_some(name)
}

/// An option that a program does not have: the program, the option, and whether the message is BSD's.
pub fn unsupported_option(text: &str, commands: &[Simple]) -> Option<(String, String, bool)> {
    BAD_OPTION.captures_iter(start(text)).find_map(|found| {
        let program = found.get(1)?.as_str();
        let option = found.get(3)?.as_str().trim_start_matches('-');
        let has = |argument: &str| {
            argument.strip_prefix("--").is_some_and(|long| long.split('=').next() == Some(option))
                || (argument.starts_with('-') && !argument.starts_with("--") && argument.contains(option))
        };
        let used = commands
            .iter()
            .filter(|command| command.program() == program)
            .find_map(|command| command.arguments().find(|argument| has(argument)))?;
        Some((program.to_owned(), used.to_owned(), found.get(2)?.as_str() == "illegal"))
    })
}

/// BSD's `sed -i` reads the next word as the suffix of a backup, and then reads a file name as its script.
pub fn is_bsd_sed(text: &str, commands: &[Simple]) -> bool {
    let in_place = |command: &Simple| {
        let mut words = command.words.iter().skip_while(|word| word.text != "-i").skip(1);
        command.program() == "sed" && words.next().is_some_and(|word| !word.text.is_empty())
    };
    BSD_SED.is_match(start(text)) && commands.iter().any(in_place)
}

/// Whether `pip` reports that the system manages this Python.
pub fn is_externally_managed(text: &str) -> bool {
    MANAGED.is_match(start(text))
}

/// A script, target or sub-command that a known tool does not have.
pub fn unknown_name<'t>(text: &'t str, commands: &[Simple]) -> Option<&'t str> {
    let name =
        UNKNOWN_NAME.captures(start(text)).or_else(|| GIT_NAME.captures(start(text)))?.get(1)?.as_str();
    let name = name.trim_end_matches('.');
    commands
        .iter()
        .any(|command| is_runner(command.program()) && command.arguments().any(|argument| argument == name))
        .then_some(name)
}

/// The paths that programs of the command line did not find.
pub fn missing_paths(text: &str) -> Vec<&str> {
    let text = start(text);
    let found = NO_FILE.captures_iter(text).chain(ZSH_NO_FILE.captures_iter(text));
    found.filter_map(|found| Some(found.get(1)?.as_str().trim())).collect()
}

/// Whether a file tool reports that its file or folder does not exist.
pub fn says_absent(text: &str) -> bool {
    ABSENT.is_match(start(text))
}

/// Whether a file was refused for its size.
pub fn says_too_large(text: &str) -> bool {
    TOO_LARGE.is_match(start(text))
}

/// zsh's error about a line that other shells accept.
pub fn zsh_complaint(text: &str) -> Option<&str> {
    Some(ZSH.captures(start(text))?.get(1)?.as_str().trim())
}

/// A shell's error about a line that it cannot parse.
pub fn syntax_complaint(text: &str) -> Option<&str> {
    Some(SHELL_SYNTAX.captures(start(text))?.get(1)?.as_str().trim())
}

/// Whether the user, or a rule of permission, stopped the call.
pub fn says_refused(text: &str) -> bool {
    REFUSED.is_match(start(text))
}

/// Whether a text reports an error at a place in the code, or a failing test: work in progress.
pub fn is_diagnostic(text: &str) -> bool {
    DIAGNOSTIC.is_match(text)
}

/// Whether a failure may go away by itself.
pub fn may_pass(text: &str) -> bool {
    PASSING.is_match(text)
}

/// Programs whose sub-commands, scripts and targets are names of a project or of a well-known tool. A
/// program that the project itself builds does not count: its errors are the subject of the work.
pub fn is_runner(program: &str) -> bool {
    const RUNNERS: [&str; 41] = [
        "npm",
        "pnpm",
        "yarn",
        "bun",
        "npx",
        "deno",
        "make",
        "gmake",
        "just",
        "mise",
        "task",
        "cargo",
        "git",
        "go",
        "docker",
        "kubectl",
        "helm",
        "terraform",
        "pip",
        "pip3",
        "uv",
        "poetry",
        "pdm",
        "hatch",
        "tox",
        "nox",
        "gradle",
        "mvn",
        "dotnet",
        "mix",
        "rake",
        "bundle",
        "composer",
        "gh",
        "brew",
        "apt",
        "apt-get",
        "rustup",
        "turbo",
        "nx",
        "bazel",
    ];
    RUNNERS.contains(&program)
}

/// Whether a command checks the code that is being worked on: a test, a linter, a build. Its failures are
/// about the code, not about the command.
pub fn is_check(command: &Simple) -> bool {
    const CHECKS: [&str; 45] = [
        "test",
        "tests",
        "lint",
        "linter",
        "check",
        "checks",
        "typecheck",
        "types",
        "tsc",
        "build",
        "fmt",
        "format",
        "vet",
        "clippy",
        "pytest",
        "unittest",
        "jest",
        "vitest",
        "mocha",
        "eslint",
        "prettier",
        "ruff",
        "mypy",
        "pyright",
        "flake8",
        "pylint",
        "golangci",
        "compile",
        "nextest",
        "tox",
        "nox",
        "ci",
        "verify",
        "validate",
        "biome",
        "rubocop",
        "phpunit",
        "rspec",
        "ctest",
        "gofmt",
        "shellcheck",
        "stylelint",
        "spec",
        "e2e",
        "precommit",
    ];
    let is_name = |part: &str| CHECKS.contains(&part.to_ascii_lowercase().as_str());
    let program = command.program();
    let base = program.rsplit('/').next().unwrap_or(program);
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    if is_name(stem) || stem.rsplit(['_', '-']).next().is_some_and(is_name) {
        return true;
    }
    let words = command.arguments().filter(|word| !word.starts_with('-') && !word.contains('/')).take(4);
    words.flat_map(|word| word.split([':', '-', '_', '.'])).any(is_name)
        || matches!(base, "make" | "tsc" | "javac" | "gcc")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::parse;

    #[test]
    fn all_patterns_are_understood() {
        assert!(std::panic::catch_unwind(force_all).is_ok());
    }

    #[test]
    fn a_program_is_missing_only_if_the_line_runs_it() {
        for text in [
            "Exit code 127\n/bin/bash: line 1: python: command not found",
            "(eval):1: command not found: python",
            "Output: /usr/bin/bash: line 4: python: command not found\nExit Code: 127",
            "sh: 1: python: not found\n",
            "'python' is not recognized as an internal or external command",
        ] {
            assert_eq!(missing_program(&tidy(text), &parse("python -m pytest")), Some("python"), "{text}");
            assert_eq!(missing_program(&tidy(text), &parse("docker exec x python")), None, "{text}");
        }
    }

    #[test]
    fn missing_paths_are_read_from_many_programs() {
        for text in [
            "cat: src/a b.py: No such file or directory",
            "sed: can't read src/a b.py: No such file or directory",
            "ls: cannot access 'src/a b.py': No such file or directory",
            "/bin/bash: line 1: cd: src/a b.py: No such file or directory",
            "head: cannot open 'src/a b.py' for reading: No such file or directory",
            "rg: src/a b.py: No such file or directory (os error 2)",
            "(eval):cd:1: no such file or directory: src/a b.py",
        ] {
            assert_eq!(missing_paths(text), ["src/a b.py"], "{text}");
        }
    }

    #[test]
    fn options_are_named_with_their_program() {
        let bsd = "cat: illegal option -- A\nusage: cat [-belnstuv] [file ...]";
        let found = unsupported_option(bsd, &parse("sed -n 1p x | cat -A"));
        assert_eq!(found, Some(("cat".to_owned(), "-A".to_owned(), true)));
        let gnu = "grep: unrecognized option '--colour-all'";
        let found = unsupported_option(gnu, &parse("grep --colour-all x"));
        assert_eq!(found, Some(("grep".to_owned(), "--colour-all".to_owned(), false)));
        assert_eq!(unsupported_option(bsd, &parse("./cat -A")), None);
    }

    #[test]
    fn names_that_a_known_tool_does_not_have() {
        for (text, line, name) in [
            ("npm error Missing script: \"typecheck\"", "npm run typecheck", "typecheck"),
            ("make: *** No rule to make target 'tests'.  Stop.", "make tests", "tests"),
            ("error: no such command: `nexttest`", "cargo nexttest", "nexttest"),
            ("git: 'stauts' is not a git command. See 'git --help'.", "git stauts", "stauts"),
        ] {
            assert_eq!(unknown_name(text, &parse(line)), Some(name), "{text}");
        }
        let own = "Error: unknown command \"aaaa\" for \"entire\"";
        assert_eq!(unknown_name(own, &parse("/tmp/entire-test aaaa")), None);
    }

    #[test]
    fn checks_are_known_by_their_words() {
        for line in [
            "mise run lint",
            "pnpm --filter x check-types",
            "go test ./...",
            "python3 -m unittest",
            "./run_tests.sh",
            "npx tsc --noEmit",
        ] {
            assert!(is_check(&parse(line)[0]), "{line}");
        }
        for line in [
            ".claude/skills/test-repo/test-harness.sh configure-strategy",
            "git push",
            "cat tests/a.py",
            "ls build/x",
        ] {
            assert!(!is_check(&parse(line)[0]), "{line}");
        }
    }
}
