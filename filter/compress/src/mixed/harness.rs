//! The lines of status that an agent's harness writes before and after what a command has printed.
//!
//! Codex writes how a command ended and how long it took, Gemini CLI and Qwen Code also which command it was; SWE-agent
//! writes the open file and a prompt behind it, OpenHands the folder and the exit code, Claude Code its reminders. A kind
//! is recognized by the lines of an output, and these are none of them.

use std::ops::Range;

/// A line of status has at most so many bytes, but for the command.
const LONGEST: usize = 200;
const LONGEST_COMMAND: usize = 2000;

/// So many lines of status stand on either side.
const MOST_LINES: usize = 10;

/// A reminder has at most so many bytes.
const LONGEST_REMINDER: usize = 4000;

/// What stands before a colon in lines that only a harness writes.
const NAMES: &[&str] = &[
    "exit code",
    "wall time",
    "chunk id",
    "original token count",
    "total output lines",
    "background pids",
    "process group pgid",
    "observation",
];

/// The same where another line shows that a harness has written it.
const COMMON_NAMES: &[&str] =
    &["Command", "Directory", "Output", "Stdout", "Stderr", "Error", "Signal", "Duration"];

/// How lines begin that only a harness writes.
const BEGINNINGS: &[&str] = &["Process exited with code ", "Process running with session ID "];

/// Phrases of OpenHands' and others' lines in brackets, and how SWE-agent's begin.
const BRACKETED: &[&str] = &[
    "exit code ",
    "Current working directory: ",
    "Python interpreter: ",
    "Command finished",
    "Command timed out",
];
const PARENTHESIZED: &[&str] = &["(Open file: ", "(Current directory: "];

/// Tags that harnesses write around an output, without a line of their own.
const TAGS: &[&str] = &[
    "stdout",
    "stderr",
    "output",
    "result",
    "command-output",
    "command_output",
    "tool_output",
    "tool_result",
    "local-command-stdout",
    "bash-stdout",
    "bash-stderr",
    "function_results",
    "observation",
];

/// What a line is to the output beside it.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Line {
    /// A harness has written it.
    Status,
    /// A harness has written it, if another line shows that there is one.
    Perhaps,
    Output,
}

/// The output inside the lines of status around it, and inside a tag that begins on its first line.
pub(super) fn inside(text: &str) -> Range<usize> {
    let (tagged, closed) = tags(text).unwrap_or((0, text.len()));
    let tagged_text = text.get(tagged..closed).unwrap_or_default();
    let start = tagged + head(tagged_text);
    let kept = text.get(start..closed).unwrap_or_default();
    let kept = kept.get(..tail(kept)).unwrap_or_default();
    // blank lines before lines of status are the harness's, too
    let bare = kept.trim_end_matches('\n');
    let is_framed = closed < text.len() || start + kept.len() < closed;
    let end = start + if is_framed { kept.len().min(bare.len() + 1) } else { kept.len() };
    if text.get(start..end).is_some_and(|inner| !inner.trim().is_empty()) {
        start..end
    } else {
        0..text.len()
    }
}

/// `<stdout>a` … `</stdout>`: where the text inside such tags begins and ends.
fn tags(text: &str) -> Option<(usize, usize)> {
    let name = text.strip_prefix('<')?;
    let name = name
        .get(..name.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count())?;
    let known = TAGS.contains(&name);
    let first = text.split('\n').next()?;
    let start = first.get(..first.len().min(LONGEST))?.find('>')? + 1;
    let closing = text.trim_end().strip_suffix('>')?.strip_suffix(name)?.strip_suffix("</")?;
    (known && start <= closing.len()).then_some((start, closing.len()))
}

/// The bytes of the lines of status at the beginning.
fn head(text: &str) -> usize {
    let (mut at, mut shown) = (0, 0);
    for (number, line) in text.split_inclusive('\n').take(MOST_LINES).enumerate() {
        let bare = line.trim_end_matches(['\r', '\n']);
        // The output may begin on the line that names it.
        if let Some(rest) = bare.strip_prefix("Output: ").or_else(|| bare.strip_prefix("Stdout: "))
            && !rest.is_empty()
        {
            return if at > 0 { at + "Output: ".len() } else { 0 };
        }
        let is_command = number == 0 && bare.starts_with("$ ") && bare.len() <= LONGEST_COMMAND;
        let class = if is_command { Line::Perhaps } else { class(bare) };
        if class == Line::Output || !line.ends_with('\n') {
            break;
        }
        at += line.len();
        if class == Line::Status || is_command || bare == "Output:" && number > 0 {
            shown = at;
        }
    }
    shown
}

/// The end of the output before the lines of status at the end.
fn tail(text: &str) -> usize {
    let (mut end, mut shown) = (text.len(), text.len());
    for _ in 0..MOST_LINES {
        let kept = text.get(..end).unwrap_or_default();
        let bare = kept.trim_end_matches(['\r', '\n']);
        if let Some(start) = reminder(bare) {
            (end, shown) = (start, start);
            continue;
        }
        let start = memchr::memrchr(b'\n', bare.as_bytes()).map_or(0, |at| at + 1);
        let class = class(bare.get(start..).unwrap_or_default());
        if start == 0 || class == Line::Output {
            break;
        }
        end = start;
        if class == Line::Status || shown < text.len() {
            shown = start;
        }
    }
    shown
}

/// Where a reminder begins that a text ends with.
fn reminder(text: &str) -> Option<usize> {
    let inner = text.strip_suffix("</system-reminder>")?;
    let start = inner.rfind("<system-reminder>")?;
    let first = start == 0 || text.get(..start)?.ends_with('\n');
    (first && text.len() - start <= LONGEST_REMINDER).then_some(start)
}

fn class(line: &str) -> Line {
    let named = line.split_once(':').map(|(name, _)| name);
    let fits = line.len() <= LONGEST || line.len() <= LONGEST_COMMAND && line.starts_with("Command: ");
    let is = |known: &&str| named.is_some_and(|name| known.eq_ignore_ascii_case(name));
    let is_named = fits && NAMES.iter().any(is);
    if is_named || is_prompt(line) || line.len() <= LONGEST && is_phrase(line) {
        return Line::Status;
    }
    let is_common = fits && named.is_some_and(|name| COMMON_NAMES.contains(&name));
    if is_common { Line::Perhaps } else { Line::Output }
}

fn is_phrase(line: &str) -> bool {
    let bracketed = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
    bracketed.is_some_and(|inner| BRACKETED.iter().any(|phrase| inner.contains(phrase)))
        || line.ends_with(')') && PARENTHESIZED.iter().any(|phrase| line.starts_with(phrase))
        || BEGINNINGS.iter().any(|beginning| line.starts_with(beginning))
}

/// `bash-$`, `bash-5.2$`: SWE-agent's prompt.
fn is_prompt(line: &str) -> bool {
    let version = line.trim_end().strip_prefix("bash-").and_then(|line| line.strip_suffix('$'));
    version.is_some_and(|version| version.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn output(text: &str) -> &str {
        text.get(inside(text)).unwrap_or("no range of the text")
    }

    #[test]
    fn lines_of_a_harness_are_no_output() {
        for (text, inner) in [
            ("Exit code: 0\nWall time: 0.1 seconds\nOutput:\na\nb\n", "a\nb\n"),
            (
                "Chunk ID: 1f\nWall time: 0.05 seconds\nProcess exited with code 0\nOriginal token count: 9\nOutput:\na\n",
                "a\n",
            ),
            (
                "Command: make\nDirectory: (root)\nOutput: a\nb\nError: (none)\nExit Code: 0\nSignal: (none)\nBackground PIDs: (none)\nProcess Group PGID: 7\n",
                "a\nb\n",
            ),
            ("$ git log --stat\ncommit 1\n", "commit 1\n"),
            ("a\n(Open file: n/a)\n(Current directory: /r)\nbash-$", "a\n"),
            (
                "a\n[The command completed with exit code 0.]\n[Current working directory: /r]\n[Command finished with exit code 0]",
                "a\n",
            ),
            ("a\n\n<system-reminder>\nBe brief.\n</system-reminder>\n", "a\n"),
            ("OBSERVATION:\na\n", "a\n"),
            ("<stdout>a\nb\n</stdout>", "a\nb\n"),
            ("<command-output exit=\"0\">Exit code: 0\na</command-output>\n", "a"),
        ] {
            assert_eq!(output(text), inner, "{text:?}");
        }
    }

    #[test]
    fn what_any_program_may_print_is_output() {
        for text in [
            "command: serve\noutput: x.log\nerror: none\nname: y\n",
            "Output:\na\n",
            "Error: no such file\n",
            "status: 1\nexit: 2\n",
            "a\n[notice] exit\n",
            "$ \n",
            "Exit code: 0\n",
            "",
            "\n\n",
            "a </system-reminder>",
            "<table>a</table>",
            "<stdout>a\nb",
            "<stdout></stdout>",
            "<stdout/>",
        ] {
            assert_eq!(output(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_range_that_holds_something(text in "(Exit code: 0|Output: ?|\\$ x|a: b|bash-\\$|<system-reminder>|</system-reminder>|é|\r?\n){0,12}") {
            let range = inside(&text);
            prop_assert!(text.get(range.clone()).is_some());
            prop_assert!(range == (0..text.len()) || !text[range].trim().is_empty());
        }
    }
}
