//! The tool with which the model gets originals back: whether a request lists it, and where and how it
//! would be added.
//!
//! The tool list stands at the very front of what a provider caches and binds reasoning to, so it must not
//! change within a conversation: the definition is added to every request of a route or to none, always the
//! same bytes, always before the client's own tools. A client that appends tools later then changes nothing
//! in front of them.

use crate::tape::{NotUnderstood, Value};

/// The tool's name.
pub const NAME: &str = "headroom_retrieve";

/// What a request's tool list says of the tool.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Listing {
    /// There is no list to add it to.
    #[default]
    NoTools,
    /// It is not there; its definition would go to this offset of the body, with the comma that ends it.
    Absent(usize),
    /// The client has it already, under this name or behind an MCP prefix.
    Listed,
}

/// Where a format names the tools of its list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Naming {
    /// In the tool itself.
    Name,
    /// In its `function`.
    Function,
    /// In its `toolSpec`.
    ToolSpec,
    /// In each of its `functionDeclarations`; a second such tool is refused by some models.
    Declarations,
}

/// Reads a tool list.
pub(crate) fn listing(naming: Naming, tools: Value<'_, '_>) -> Result<Listing, NotUnderstood> {
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
        let is_listed = match naming {
            Naming::Name => is_ours(name),
            Naming::Function => name_in(function)?,
            Naming::ToolSpec => name_in(spec)?,
            Naming::Declarations => {
                for declaration in camel.or(snake).into_iter().flat_map(Value::elements) {
                    if declaration.is_object() && is_ours(declaration.pick(["name"])?[0]) {
                        return Ok(Listing::Listed);
                    }
                    first = first.or(Some(declaration));
                }
                continue;
            }
        };
        if is_listed {
            return Ok(Listing::Listed);
        }
        first = first.or(Some(tool));
    }
    Ok(first.map_or(Listing::NoTools, |first| Listing::Absent(first.span().range().start)))
}

fn is_ours(name: Option<Value<'_, '_>>) -> bool {
    name.and_then(Value::text).is_some_and(|name| is_retrieve(&name))
}

/// Whether a tool of this name gives originals back: ours, or an MCP client's name for it. Clients put the
/// server's name before it, each in its own way: `mcp__headroom__`, `mcp_headroom_`, `headroom__`, `headroom.`;
/// the server's own name may be another one after `mcp`.
pub fn is_retrieve(name: &str) -> bool {
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

pub(crate) use {about, parameters};

#[cfg(test)]
mod tests {
    use super::*;

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
}
