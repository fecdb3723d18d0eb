//! The user's preferences: an edit that was rejected with a short remark, and the same edit with these words
//! in it.

use super::Conversation;
use crate::lesson::{Finding, Kind};
use crate::model::{Event, Outcome, Tool, ToolCall};

/// Bytes of a remark that can be the correction itself. A longer one is a task.
const REMARK: usize = 80;

pub(super) fn find(conversation: &Conversation<'_>) -> Vec<Finding> {
    let refused =
        conversation.steps.iter().enumerate().filter(|(_, step)| step.call.outcome == Outcome::Refused);
    refused.filter_map(|(index, step)| finding(conversation, index, step.call)).collect()
}

fn finding(conversation: &Conversation<'_>, index: usize, refused: &ToolCall) -> Option<Finding> {
    if !matches!(refused.tool, Tool::Edit | Tool::Write) {
        return None;
    }
    let step = &conversation.steps[index];
    let remark = remark(&refused.output).or_else(|| match conversation.events.get(step.at + 1) {
        Some(Event::Said(said)) => Some(said.text.as_str()),
        _ => None,
    })?;
    let remark = remark.trim().trim_matches(|c| c == '"' || c == '\'' || c == '`');
    if remark.is_empty() || remark.len() > REMARK || remark.contains(['?', '\n']) {
        return None;
    }
    let (path, before) = (refused.path()?, written(refused)?);
    let (_, accepted) = conversation.after(index).find(|(_, later)| {
        later.done() && later.call.path() == Some(path) && later.call.tool == refused.tool
    })?;
    let after = written(accepted.call)?;
    if before.contains(remark) || !after.contains(remark) {
        return None;
    }
    let (wrong, right) = only_difference(before, after)?;
    Some(Finding {
        kind: Kind::Preference,
        subject: right.to_owned(),
        wrong: wrong.to_owned(),
        right: Some(right.to_owned()),
        said: Some(conversation.relative(path, &refused.cwd).unwrap_or_else(|| path.to_owned())),
        evidence: vec![refused.place.clone()],
    })
}

/// The user's remark in a rejection.
fn remark(output: &str) -> Option<&str> {
    let (_, remark) = output.split_once("the user said:")?;
    Some(remark)
}

fn written(call: &ToolCall) -> Option<&str> {
    ["content", "new_string", "newString", "file_text", "new_str"].iter().find_map(|name| call.argument(name))
}

/// The one line that differs between two texts.
fn only_difference<'t>(before: &'t str, after: &'t str) -> Option<(&'t str, &'t str)> {
    let mut different = before.lines().zip(after.lines()).filter(|(a, b)| a.trim() != b.trim());
    let (wrong, right) = different.next()?;
    let one = different.next().is_none() && before.lines().count() == after.lines().count();
    (one && !wrong.trim().is_empty()).then_some((wrong.trim(), right.trim()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::of_kind;
    use super::*;

    const REFUSED: &str =
        "The user doesn't want to proceed with this tool use. To tell you how to proceed, the user said:\n";

    #[test]
    fn a_rejected_edit_that_comes_back_with_the_users_words_is_a_preference() {
        let write = |content: &str| json!({"file_path": "/p/NOTICE", "content": content});
        let said = format!("{REFUSED}Acme GmbH");
        let calls = [
            ("Write", write("Notice\nCopyright Acme\n"), -1, said.as_str()),
            ("Write", write("Notice\nCopyright Acme GmbH\n"), 0, "written"),
        ];
        let found = of_kind(&calls, Kind::Preference);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].wrong, "Copyright Acme");
        assert_eq!(found[0].right.as_deref(), Some("Copyright Acme GmbH"));
    }

    #[test]
    fn a_rejection_alone_or_with_a_question_says_nothing() {
        let edit = |text: &str| json!({"file_path": "/p/a", "old_string": "x", "new_string": text});
        let question = format!("{REFUSED}why not Acme GmbH?");
        let stop = "The user doesn't want to proceed with this tool use. STOP what you are doing";
        for said in [question.as_str(), stop] {
            let calls = [("Edit", edit("Acme"), -1, said), ("Edit", edit("Acme GmbH"), 0, "changed")];
            assert!(of_kind(&calls, Kind::Preference).is_empty());
        }
    }
}
