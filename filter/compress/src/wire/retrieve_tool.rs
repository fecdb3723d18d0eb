//! The tool with which the model gets originals back: whether a request lists it, and where and how it
//! would be added.
//!
//! The tool list stands at the very front of what a provider caches and binds reasoning to, so it must not
//! change within a conversation: the definition is added to every request of a route or to none, always the
//! same bytes, always before the client's own tools. A client that appends tools later then changes nothing
//! in front of them.

use super::tape::Value;
use super::{Api, NotUnderstood};

/// The tool's name.
pub(crate) const NAME: &str = "headroom_retrieve";

/// What a request's tool list says of the tool.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Listing {
    /// There is no list to add it to.
    #[default]
    NoTools,
    /// It is not there; its definition would go to this offset of the body, with the comma that ends it.
    Absent(usize),
    /// The client has it already, under this name or behind an MCP prefix.
    Listed,
}

/// Reads a tool list.
pub(crate) fn listing(api: Api, tools: Value<'_, '_>) -> Result<Listing, NotUnderstood> {
    let mut first = None;
    for tool in tools.elements() {
        if !tool.is_object() {
            return Ok(Listing::NoTools);
        }
        let [name, function, spec, camel, snake] =
            tool.pick(["name", "function", "toolSpec", "functionDeclarations", "function_declarations"])?;
        let name_in = |inner: Option<Value<'_, '_>>| match inner.filter(|inner| inner.is_object()) {
            Some(inner) => Ok(is_ours(inner.pick(["name"])?[0])),
            None => Ok(false),
        };
        match api {
            Api::AnthropicMessages | Api::AnthropicBedrock | Api::OpenAiResponses => {
                if is_ours(name) {
                    return Ok(Listing::Listed);
                }
                first = first.or(Some(tool));
            }
            Api::OpenAiChat | Api::CohereChat => {
                if name_in(function)? {
                    return Ok(Listing::Listed);
                }
                first = first.or(Some(tool));
            }
            Api::BedrockConverse => {
                if name_in(spec)? {
                    return Ok(Listing::Listed);
                }
                first = first.or(Some(tool));
            }
            Api::GeminiGenerateContent | Api::GeminiCodeAssist => {
                // The declarations of one tool; a second such tool is refused by some models.
                for declaration in camel.or(snake).into_iter().flat_map(Value::elements) {
                    if declaration.is_object() && is_ours(declaration.pick(["name"])?[0]) {
                        return Ok(Listing::Listed);
                    }
                    first = first.or(Some(declaration));
                }
            }
        }
    }
    Ok(first.map_or(Listing::NoTools, |first| Listing::Absent(first.span().range().start)))
}

fn is_ours(name: Option<Value<'_, '_>>) -> bool {
    name.and_then(Value::text).is_some_and(|name| is_retrieve(&name))
}

/// Whether a tool of this name gives originals back: ours, or an MCP client's name for it. Clients put the
/// server's name before it, each in its own way: `mcp__headroom__`, `mcp_headroom_`, `headroom__`, `headroom.`;
/// the server's own name may be another one after `mcp`.
pub(crate) fn is_retrieve(name: &str) -> bool {
    name.strip_suffix(NAME).is_some_and(|server| {
        let named = server.starts_with("mcp_") || server.starts_with("headroom");
        server.is_empty() || (named && !server.ends_with(char::is_alphanumeric))
    })
}

/// The tool's parameters as JSON schema. Every request pays for each word of it.
macro_rules! parameters {
    () => {
        r#"{"type":"object","properties":{"hash":{"type":"string"},"query":{"type":"string","description":"keep matching parts"},"lines":{"type":"string","description":"range: 40-80"}},"required":["hash"]}"#
    };
}

macro_rules! about {
    () => {
        r#""name":"headroom_retrieve","description":"Full text behind a [headroom: …] marker.""#
    };
}

/// The definition with the comma that joins it to the list; `None` where it cannot be added.
pub(crate) fn definition(api: Api) -> Option<&'static str> {
    Some(match api {
        Api::AnthropicMessages => concat!("{", about!(), ",\"input_schema\":", parameters!(), "},"),
        Api::OpenAiChat => {
            concat!(
                "{\"type\":\"function\",\"function\":{",
                about!(),
                ",\"parameters\":",
                parameters!(),
                "}},"
            )
        }
        Api::OpenAiResponses => {
            concat!(
                "{\"type\":\"function\",",
                about!(),
                ",\"parameters\":",
                parameters!(),
                ",\"strict\":false},"
            )
        }
        Api::GeminiGenerateContent | Api::GeminiCodeAssist => {
            concat!("{", about!(), ",\"parameters\":", parameters!(), "},")
        }
        Api::AnthropicBedrock | Api::BedrockConverse | Api::CohereChat => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Counting;
    use crate::wire::tape::Tape;

    fn list(api: Api, tools: &str) -> Listing {
        let tape = Tape::of(tools.as_bytes()).unwrap();
        listing(api, tape.root()).unwrap()
    }

    #[test]
    fn the_definition_is_json_and_costs_at_most_ninety_tokens() {
        let definitions = Api::ALL.map(|api| (api, definition(api)));
        assert_eq!(definitions.iter().filter(|(_, definition)| definition.is_some()).count(), 5);
        for (api, definition) in definitions {
            let Some(definition) = definition else { continue };
            let definition = definition.strip_suffix(',').unwrap();
            serde_json::from_str::<serde_json::Value>(definition).unwrap();
            // as its provider counts it, or is estimated to
            let model = if api == Api::AnthropicMessages { "claude-sonnet-4-5" } else { "gpt-4.1" };
            let counting = Counting::of(model);
            assert!(counting.scaled(counting.encoding.count(definition) as u64) <= 90, "{api:?}");
        }
    }

    #[test]
    fn the_definition_goes_before_the_first_tool() {
        let tools = r#"[ {"name":"a"} , {"name":"b"} ]"#;
        assert_eq!(list(Api::AnthropicMessages, tools), Listing::Absent(2));
        let gemini = r#"[{"functionDeclarations":[{"name":"a"}]},{"googleSearch":{}}]"#;
        assert_eq!(
            list(Api::GeminiGenerateContent, gemini),
            Listing::Absent(gemini.find(r#"{"name""#).unwrap())
        );
        assert_eq!(list(Api::GeminiGenerateContent, r#"[{"googleSearch":{}}]"#), Listing::NoTools);
        assert_eq!(list(Api::OpenAiChat, "[]"), Listing::NoTools);
    }

    #[test]
    fn a_tool_that_the_client_brings_is_seen_in_every_format() {
        for (api, tools) in [
            (Api::AnthropicMessages, r#"[{"name":"a"},{"name":"mcp__headroom__headroom_retrieve"}]"#),
            (Api::OpenAiChat, r#"[{"type":"function","function":{"name":"headroom_retrieve"}}]"#),
            (Api::OpenAiResponses, r#"[{"type":"function","name":"headroom\u005fretrieve"}]"#),
            (Api::GeminiGenerateContent, r#"[{"function_declarations":[{"name":"headroom_retrieve"}]}]"#),
            (Api::AnthropicBedrock, r#"[{"name":"headroom_retrieve"}]"#),
            (Api::CohereChat, r#"[{"type":"function","function":{"name":"headroom_retrieve"}}]"#),
            (Api::BedrockConverse, r#"[{"cachePoint":{}},{"toolSpec":{"name":"headroom_retrieve"}}]"#),
        ] {
            assert_eq!(list(api, tools), Listing::Listed, "{api:?}");
        }
    }

    #[test]
    fn it_is_known_by_whatever_name_an_mcp_client_gives_it() {
        for server in
            ["", "mcp__headroom__", "mcp_headroom_", "mcp__hr__", "headroom__", "headroom_", "headroom."]
        {
            assert!(is_retrieve(&format!("{server}{NAME}")), "{server}");
        }
        for other in [
            "",
            "retrieve",
            "no_headroom_retrieve",
            "mcp_noheadroom_retrieve",
            "headroom_retrieve_all",
            "headroom_stats",
        ] {
            assert!(!is_retrieve(other), "{other}");
        }
    }

    #[test]
    fn what_a_list_of_tools_should_not_hold_is_left_alone() {
        for tools in ["[1]", r#"["headroom_retrieve"]"#, "[null]", r#"[{"name":7},[]]"#] {
            for api in Api::ALL {
                assert_eq!(list(api, tools), Listing::NoTools, "{tools}");
            }
        }
    }
}
