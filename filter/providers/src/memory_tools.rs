//! The definitions of the memory tools in requests. Their names and parameters are those of *upstream*, the
//! Python product Headroom.
//!
//! The definitions are one constant text per format, always the same bytes: see
//! [`retrieve_tool`](crate::retrieve_tool).

use crate::json;

/// Their names.
pub const NAMES: [&str; 5] =
    ["memory_save", "memory_search", "memory_update", "memory_delete", "memory_list"];

/// The name of Anthropic's tool.
pub const FILES: &str = "memory";

/// Its type.
pub const FILES_TYPE: &str = "memory_20250818";

/// The definition of Anthropic's tool, with the comma that joins it to the list.
pub(crate) const FILES_DEFINITION: &str = r#"{"type":"memory_20250818","name":"memory"},"#;

/// Whether a call of one of the tools changes nothing.
pub(crate) fn only_reads(name: &str, arguments: &str) -> bool {
    let views = || json::path(arguments, &["command"]).and_then(json::string).as_deref() == Some("view");
    matches!(name, "memory_search" | "memory_list") || (name == FILES && views())
}

/// The definitions in a format: its text before the name, between description and parameters, and after
/// these. Each word costs tokens in every request.
macro_rules! memory_definitions {
    ($before:literal, $between:literal, $after:literal) => {
        concat!(
            $before,
            r#""name":"memory_save","description":"Keep what later sessions should know: a preference, a decision, a fact about the project. Search first. No secrets, no passing remarks. Close notes are named in the answer.""#,
            $between,
            r#"{"type":"object","properties":{"content":{"type":"string","description":"one self-contained statement"},"importance":{"type":"number","minimum":0,"maximum":1,"description":".9 critical, .7 preference, .5 useful, .3 background"},"facts":{"type":"array","items":{"type":"string"},"description":"the statements apart"},"entities":{"type":"array","items":{"type":"string"}},"extracted_entities":{"type":"array","items":{"type":"object","properties":{"entity":{"type":"string"},"entity_type":{"type":"string"}},"required":["entity","entity_type"]}},"relationships":{"type":"array","items":{"type":"object","properties":{"source":{"type":"string"},"relation":{"type":"string"},"target":{"type":"string"}},"required":["source","relation","target"]}},"extracted_relationships":{"type":"array","items":{"type":"object","properties":{"source":{"type":"string"},"relationship":{"type":"string"},"destination":{"type":"string"}},"required":["source","relationship","destination"]}},"background":{"type":"boolean"}},"required":["content","importance"]}"#,
            $after,
            $before,
            r#""name":"memory_search","description":"Find notes of earlier sessions about this project and user.""#,
            $between,
            r#"{"type":"object","properties":{"query":{"type":"string"},"entities":{"type":"array","items":{"type":"string"}},"include_related":{"type":"boolean"},"top_k":{"type":"integer","minimum":1,"maximum":50}},"required":["query"]}"#,
            $after,
            $before,
            r#""name":"memory_update","description":"Replace a note by what is so now, whole. Its history is kept.""#,
            $between,
            r#"{"type":"object","properties":{"memory_id":{"type":"string","description":"from its [id]"},"new_content":{"type":"string"},"reason":{"type":"string"}},"required":["memory_id","new_content"]}"#,
            $after,
            $before,
            r#""name":"memory_delete","description":"Forget a note that is not so any more.""#,
            $between,
            r#"{"type":"object","properties":{"memory_id":{"type":"string","description":"from its [id]"},"reason":{"type":"string"}},"required":["memory_id"]}"#,
            $after,
            $before,
            r#""name":"memory_list","description":"The newest notes, with their ids.""#,
            $between,
            r#"{"type":"object","properties":{"limit":{"type":"integer","minimum":1,"maximum":100}}}"#,
            $after,
        )
    };
}

pub(crate) use memory_definitions;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Api;

    #[test]
    fn each_format_that_can_be_followed_has_all_five_in_one_list() {
        for api in Api::ALL {
            let Some(definitions) = api.memory_definitions() else {
                assert!(!api.takes_own_tools(), "{api:?}");
                continue;
            };
            let list = format!("[{}]", definitions.strip_suffix(',').unwrap());
            let list: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
            let names = list.iter().map(|tool| tool.get("function").unwrap_or(tool)["name"].as_str());
            assert!(names.eq(NAMES.iter().map(|name| Some(*name))), "{api:?}");
        }
        assert!(FILES_DEFINITION.contains(FILES_TYPE) && FILES_DEFINITION.contains(FILES));
    }
}
