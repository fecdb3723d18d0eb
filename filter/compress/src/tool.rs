//! Tools by what they do, whatever an agent calls them, and the policy for each.

use headroom_providers::retrieve_tool;

use crate::config::{Config, Policy, Profile};

/// What a tool does, as far as it matters for compression.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Class {
    /// Runs a command; the output may be anything.
    Bash,
    /// Shows a file.
    Read,
    /// Writes or edits a file and may show the result.
    Edit,
    /// Lists files.
    Glob,
    /// Searches in files.
    Grep,
    /// Fetches or searches the web.
    Web,
    /// Headroom's own retrieval: its results were asked for and stay whole.
    Retrieve,
    Other,
}

/// The names that agents give to the same tools, in lower case. The groups are upstream's, so that profiles
/// of its users keep their meaning.
const CLASSES: &[(Class, &[&str])] = &[
    (
        Class::Bash,
        &[
            "bash",
            "shell",
            "run_shell_command",
            "execute_command",
            "exec_command",
            "terminal",
            "run_command",
            "run_terminal_command",
            "local_shell",
            "local_shell_call",
            "shell_call",
        ],
    ),
    (
        Class::Read,
        &[
            "read",
            "read_file",
            "read_many_files",
            "readfile",
            "view_file",
            "view",
            "cat",
            "open",
            "open_file",
            "notebookread",
        ],
    ),
    (
        Class::Edit,
        &[
            "write",
            "write_file",
            "write_new_file",
            "create_file",
            "writefile",
            "edit",
            "multiedit",
            "edit_file",
            "replace",
            "replace_in_file",
            "editfile",
            "apply_diff",
            "apply_patch",
            "str_replace_editor",
            "str_replace_based_edit_tool",
            "notebookedit",
        ],
    ),
    (Class::Glob, &["glob", "search_files", "find_files", "list_directory", "list_dir", "ls"]),
    (Class::Grep, &["grep", "search_text", "search_code", "codebase_search", "grep_search"]),
    (Class::Web, &["webfetch", "web_fetch", "browser", "websearch", "web_search"]),
];

impl Class {
    /// The class of the tool with this name; case does not matter.
    pub(crate) fn of(name: &str) -> Self {
        if retrieve_tool::is_retrieve(name) {
            return Self::Retrieve;
        }
        CLASSES
            .iter()
            .find(|(_, names)| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
            .map_or(Self::Other, |(class, _)| *class)
    }

    /// The name of the whole class in a rule.
    fn name(self) -> &'static str {
        match self {
            Self::Bash => "Bash",
            Self::Read => "Read",
            Self::Edit => "Edit",
            Self::Glob => "Glob",
            Self::Grep => "Grep",
            Self::Web => "WebFetch",
            Self::Retrieve => retrieve_tool::NAME,
            Self::Other => "",
        }
    }
}

/// What may be done to the outputs of the tool with this name.
pub(crate) fn policy(config: &Config, name: &str, class: Class) -> Policy {
    match (ruled(config, name, class), config.profile) {
        (Some(Policy::Off), _) => Policy::Off,
        (_, Profile::Lossless) | (Some(Policy::Lossless), _) => Policy::Lossless,
        (Some(Policy::Lossy), _) => Policy::Lossy,
        // An agent edits what it has read: these stay whole unless a rule decides otherwise.
        (None, _) if matches!(class, Class::Read | Class::Edit) => Policy::Lossless,
        (None, _) => Policy::Lossy,
    }
}

/// Whether bodies of functions may be left out of this tool's outputs if the configuration wants that: for
/// file reads too, unless a rule decides otherwise.
pub(crate) fn may_cut_code(config: &Config, name: &str, class: Class) -> bool {
    config.code_aware
        && config.profile != Profile::Lossless
        && ruled(config, name, class).is_none_or(|policy| policy == Policy::Lossy)
}

/// Whether an old output of this tool may be taken out of the conversation: file reads too, unless a rule says otherwise.
pub(crate) fn may_go(config: &Config, name: &str, class: Class) -> bool {
    class != Class::Retrieve
        && config.profile != Profile::Lossless
        && ruled(config, name, class).is_none_or(|policy| policy == Policy::Lossy)
}

/// What the rules say of a tool.
fn ruled(config: &Config, name: &str, class: Class) -> Option<Policy> {
    let rule = config.tools.iter().find(|rule| {
        glob_matches(&rule.pattern, name)
            || (!class.name().is_empty() && glob_matches(&rule.pattern, class.name()))
    });
    rule.map(|rule| rule.policy)
}

/// Whether `name` matches the glob `pattern`: `*` any run, `?` one byte, ASCII case ignored.
///
/// Backtracks to the last star only, so time is at most the product of the lengths.
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(&wanted)
                if wanted == b'?' || name.get(n).is_some_and(|b| wanted.eq_ignore_ascii_case(b)) =>
            {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    p = after;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use headroom_providers::Api;

    use super::*;
    use crate::config::ToolRule;
    use crate::tokens::Counting;

    fn ruled(pattern: &str, policy: Policy) -> Config {
        Config { tools: vec![ToolRule { pattern: pattern.to_owned(), policy }], ..Config::default() }
    }

    #[test]
    fn agents_names_for_one_tool_share_a_class() {
        assert_eq!(Class::of("run_shell_command"), Class::Bash);
        assert_eq!(Class::of("Read"), Class::Read);
        assert_eq!(Class::of("str_replace_editor"), Class::Edit);
        assert_eq!(Class::of("mcp__headroom__headroom_retrieve"), Class::Retrieve);
        assert_eq!(Class::of("not_headroom_retrieve"), Class::Other);
    }

    #[test]
    fn globs_match_with_stars_marks_and_any_case() {
        assert!(glob_matches("mcp__*__query", "mcp__ctx__QUERY"));
        assert!(glob_matches("*", ""));
        assert!(glob_matches("a?c*", "abcdef"));
        assert!(!glob_matches("a?c", "ac"));
        assert!(!glob_matches("read", "read_file"));
    }

    #[test]
    fn file_reads_are_never_lossy_unless_a_rule_says_so() {
        assert_eq!(policy(&Config::default(), "Read", Class::Read), Policy::Lossless);
        assert_eq!(policy(&ruled("read", Policy::Lossy), "view_file", Class::Read), Policy::Lossy);
    }

    #[test]
    fn the_lossless_profile_overrules_a_lossy_rule_but_not_off() {
        let mut config = ruled("x", Policy::Lossy);
        config.profile = Profile::Lossless;
        assert_eq!(policy(&config, "x", Class::Other), Policy::Lossless);
        config.tools[0].policy = Policy::Off;
        assert_eq!(policy(&config, "x", Class::Other), Policy::Off);
    }

    #[test]
    fn the_definition_is_json_and_costs_at_most_ninety_tokens() {
        let definitions = Api::ALL.map(|api| (api, api.definition()));
        assert_eq!(definitions.iter().filter(|(_, definition)| definition.is_some()).count(), 5);
        for (api, definition) in definitions {
            let Some(definition) = definition else { continue };
            let definition = definition.strip_suffix(',').unwrap();
            serde_json::from_str::<serde_json::Value>(definition).unwrap();
            // As the provider counts it, or is estimated to.
            let model = if api == Api::AnthropicMessages { "claude-sonnet-4-5" } else { "gpt-4.1" };
            let counting = Counting::of(model);
            assert!(counting.scaled(counting.encoding.count(definition) as u64) <= 90, "{api:?}");
        }
    }
}
