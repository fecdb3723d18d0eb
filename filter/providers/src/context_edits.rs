//! Requests that ask the provider to remove parts of their own conversation before the model reads it.
//!
//! Such edits depend on counts that only the provider has, so the filter cannot know which tool outputs are
//! left.

use super::NotUnderstood;
use super::tape::Value;

/// Edits that leave every tool output of the request for the model: Anthropic's clearing of thinking, and
/// compaction, which is visible in the conversation as its own block or item.
const KEEP_OUTPUTS: [&str; 2] = ["clear_thinking_", "compact"];

/// Whether `context_management` has an edit that may remove tool outputs: by its name (`clear_tool_uses_…`),
/// or because its type is unknown. Anthropic has them under `edits`, OpenAI in a list.
pub(crate) fn clear_outputs(management: Option<Value<'_, '_>>) -> Result<bool, NotUnderstood> {
    let Some(management) = management.filter(|management| !management.is_null()) else { return Ok(false) };
    let edits = if management.is_object() {
        let [edits] = management.pick(["edits"])?;
        let Some(edits) = edits.filter(|edits| !edits.is_null()) else { return Ok(false) };
        edits
    } else {
        management
    };
    if !edits.is_array() {
        return Ok(true);
    }
    for edit in edits.elements() {
        if !edit.is_object() {
            return Ok(true);
        }
        let [kind] = edit.pick(["type"])?;
        let kind = kind.and_then(Value::text).unwrap_or_default();
        if !KEEP_OUTPUTS.iter().any(|known| kind.starts_with(known)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `truncation` lets the provider drop items from the start or the middle of the conversation.
pub(crate) fn truncates(truncation: Option<Value<'_, '_>>) -> bool {
    truncation.is_some_and(|truncation| !truncation.is_null() && !truncation.is("disabled"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::Tape;

    fn clears(management: &str) -> bool {
        let tape = Tape::of(management.as_bytes()).unwrap();
        clear_outputs(Some(tape.root())).unwrap()
    }

    #[test]
    fn edits_that_may_take_outputs_out_are_told_from_those_that_do_not() {
        for keeps in [
            "null",
            "{}",
            r#"{"edits":null}"#,
            r#"{"edits":[]}"#,
            r#"{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}"#,
            r#"{"edits":[{"type":"compact_20260112"}]}"#,
            r#"[{"type":"compaction","compact_threshold":1000}]"#,
        ] {
            assert!(!clears(keeps), "{keeps}");
        }
        for clears_them in [
            r#"{"edits":[{"type":"clear_tool_uses_20250919"}]}"#,
            r#"{"edits":[{"type":"clear_thinking_20251015"},{"type":"clear_tool_uses_20250919"}]}"#,
            r#"{"edits":[{"type":"clear_everything_20270101"}]}"#,
            r#"{"edits":[{}]}"#,
            r#"{"edits":["clear"]}"#,
            r#"{"edits":"all"}"#,
            r#"[{"type":"prune"}]"#,
            "7",
        ] {
            assert!(clears(clears_them), "{clears_them}");
        }
    }

    #[test]
    fn every_truncation_but_none_may_drop_items() {
        let truncates = |raw: &str| truncates(Some(Tape::of(raw.as_bytes()).unwrap().root()));
        assert!(!truncates("null") && !truncates("\"disabled\""));
        assert!(truncates("\"auto\"") && truncates("\"middle\"") && truncates("{}"));
    }
}
