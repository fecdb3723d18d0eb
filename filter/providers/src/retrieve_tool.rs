//! The tool with which the model fetches originals: whether a request lists it, and where and how it is
//! added.
//!
//! The tool list is at the very beginning of what a provider caches and binds reasoning to, so it must not
//! change within a conversation. So the definition is added to every request of a route or to none, always
//! with the same bytes, always before the client's own tools. If a client later appends tools, nothing before
//! them changes.

use crate::memory_tools::{FILES, FILES_TYPE, NAMES};
use crate::tape::{NotUnderstood, Value};

/// The tool's name.
pub const NAME: &str = "headroom_retrieve";

/// Whether a request's tool list has a tool of ours.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Listing {
    /// There is no list, or this kind of tool is never added to it.
    #[default]
    NoTools,
    /// The tool is missing. Its definition would go to this offset of the body, with a comma at its end.
    Absent(usize),
    /// The client has it already, under this name or behind an MCP prefix.
    Listed,
}

/// Where a format puts the names of its tools.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Naming {
    /// In the tool itself.
    Name,
    /// In its `function`.
    Function,
    /// In its `toolSpec`.
    ToolSpec,
    /// In each of its `functionDeclarations`; some models refuse a second such tool.
    Declarations,
}

/// Which of our tools a request's tool list has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Listings {
    /// The listing of `headroom_retrieve`.
    pub retrieve: Listing,
    /// The listing of the memory tools: they count as listed if one of them is.
    pub memory: Listing,
    /// The listing of Anthropic's memory tool.
    pub memory_files: Listing,
}

/// Reads a tool list.
pub(crate) fn listings(naming: Naming, tools: Value<'_, '_>) -> Result<Listings, NotUnderstood> {
    let (mut first, mut listed) = (None, [false; 3]);
    let mut read = |tool: Value<'_, '_>, name: Option<Value<'_, '_>>, kind: Option<Value<'_, '_>>| {
        first = first.or(Some(tool.span().range().start));
        let name = name.and_then(Value::text).unwrap_or_default();
        let is_files = name == FILES || kind.is_some_and(|kind| kind.is(FILES_TYPE));
        let found = [is_retrieve(&name), NAMES.iter().any(|own| is_named(&name, own)), is_files];
        listed.iter_mut().zip(found).for_each(|(listed, found)| *listed |= found);
    };
    for tool in tools.elements() {
        if !tool.is_object() {
            return Ok(Listings::default());
        }
        let [kind, name, function, spec, camel, snake, nested] = tool.pick([
            "type",
            "name",
            "function",
            "toolSpec",
            "functionDeclarations",
            "function_declarations",
            "tools",
        ])?;
        match naming {
            Naming::Name => {
                read(tool, name, kind);
                // Codex lists the tools of an MCP server inside of one of this type.
                let is_server = kind.is_some_and(|kind| kind.is("namespace"));
                for inner in nested.filter(|_| is_server).into_iter().flat_map(Value::elements) {
                    read(inner, name_in(Some(inner))?, None);
                }
            }
            Naming::Function => read(tool, name_in(function)?, None),
            Naming::ToolSpec => read(tool, name_in(spec)?, None),
            Naming::Declarations => {
                for declaration in camel.or(snake).into_iter().flat_map(Value::elements) {
                    read(declaration, name_in(Some(declaration))?, None);
                }
            }
        }
    }
    let listing = |is_listed: bool| match first {
        _ if is_listed => Listing::Listed,
        Some(first) => Listing::Absent(first),
        None => Listing::NoTools,
    };
    let [retrieve, memory, memory_files] = listed.map(listing);
    Ok(Listings { retrieve, memory, memory_files })
}

/// The name in the object that holds it.
fn name_in<'t, 'b>(inner: Option<Value<'t, 'b>>) -> Result<Option<Value<'t, 'b>>, NotUnderstood> {
    match inner.filter(|inner| inner.is_object()) {
        Some(inner) => Ok(inner.pick(["name"])?[0]),
        None => Ok(None),
    }
}

/// Whether a tool of this name returns originals: ours, or an MCP client's name for it. Clients put the
/// server's name before it, each in its own way: `mcp__headroom__`, `mcp_headroom_`, `headroom__`,
/// `headroom.`; after `mcp` the server's name may also be another one.
pub fn is_retrieve(name: &str) -> bool {
    is_named(name, NAME)
}

/// Whether a name can be that of this tool of ours.
fn is_named(name: &str, tool: &str) -> bool {
    name.strip_suffix(tool).is_some_and(|server| {
        let named = server.starts_with("mcp_") || server.starts_with("headroom");
        server.is_empty() || (named && !server.ends_with(char::is_alphanumeric))
    })
}

/// The tool's parameters as JSON schema. Each word costs tokens in every request.
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
