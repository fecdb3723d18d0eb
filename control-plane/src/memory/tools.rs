//! Calls of memory's tools that the filter passes on: what the model asks for, and what it gets.

use std::path::Path;

use headroom_api::memory::Caller;
use headroom_api::memory::tools::{self, Question, Unreadable};
use serde_json::Value;

use super::place::root;
use super::{Memory, MemoryError};

/// Anthropic's tool, by the name that its definition gives it.
const FILES: &str = "memory";

/// A call, and who makes it.
#[derive(Clone, Debug, Default)]
pub struct ToolCall {
    /// The tool's name.
    pub tool: String,
    /// What the model gives it.
    pub arguments: String,
    /// Who asks; its project is not known yet.
    pub caller: Caller,
    /// The project that a header names.
    pub named: String,
    /// The folder in which the agent says that it works.
    pub folder: String,
    /// The project where neither says anything.
    pub default: String,
}

impl Memory {
    /// Answers a call with a text; an error is one that tells the model why nothing was done.
    pub async fn call(&self, tenant: &str, call: ToolCall) -> Result<String, String> {
        let ToolCall { tool, arguments, mut caller, named, folder, default } = call;
        caller.project = project(named, &folder, default);
        if tool == FILES {
            return self.command(tenant, read(&arguments), caller).await;
        }
        let question = Question::read(&tool, read(&arguments), caller).map_err(|why| match why {
            Unreadable::Tool => format!("Error: there is no tool {tool:?}."),
            Unreadable::Arguments(why) | Unreadable::Empty(why) => format!("Error: {why}. Nothing was done."),
        })?;
        let answer = match &question {
            Question::Save(asked) => self.save(tenant, asked).await.map(|it| tools::saved(&it)),
            Question::Search(asked) => self.search(tenant, asked).await.map(|it| tools::found(&it)),
            Question::Update(asked) => {
                self.update(tenant, asked).await.map(|it| tools::updated(&asked.memory_id, &it))
            }
            Question::Delete(asked) => self.delete(tenant, asked).await.map(|it| tools::deleted(&it)),
            Question::List(asked) => self.list(tenant, asked).await.map(|it| tools::listed(&it)),
        };
        answer.map_err(|error| told(&error))
    }
}

/// What a model wrote as arguments; some write the object as a string. `null` where it is no JSON.
fn read(arguments: &str) -> Value {
    let read: Value = serde_json::from_str(arguments).unwrap_or_default();
    match read.as_str() {
        Some(inner) => serde_json::from_str(inner).unwrap_or_default(),
        None => read,
    }
}

/// An error in the words that the model gets.
pub(super) fn told(error: &MemoryError) -> String {
    match error {
        MemoryError::Store(error) => {
            // what the database says may name hosts and users: it goes to the log only
            tracing::error!(message = "A call of memory's tools was not done.", %error);
            "Error: memory does not work now. It is not known whether anything was done.".to_owned()
        }
        MemoryError::NotLoaded(_) | MemoryError::Embed(_) => {
            "Error: memory does not work now. Nothing was done.".to_owned()
        }
        MemoryError::Invalid(_) | MemoryError::NotFound(_) => format!("Error: {error}. Nothing was done."),
    }
}

/// The project. A header may name it by its folder's name alone, which two folders can share: where the agent works in a
/// folder of that name, the folder counts, as it does for MCP servers.
pub(super) fn project(named: String, folder: &str, default: String) -> String {
    let root = root(folder);
    let is_same = root
        .as_deref()
        .is_some_and(|root| Path::new(root).file_name().is_some_and(|name| name.to_string_lossy() == named));
    match root {
        Some(root) if named.is_empty() || is_same => root,
        _ if named.is_empty() => default,
        _ => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_counts_where_a_header_names_the_same_by_its_name_alone() {
        let of =
            |named: &str, folder: &str, default: &str| project(named.to_owned(), folder, default.to_owned());
        assert_eq!(of("", "/nowhere/shop/", "x"), "/nowhere/shop");
        assert_eq!(of("shop", "/nowhere/shop", "x"), "/nowhere/shop");
        assert_eq!(of("billing", "/nowhere/shop", "x"), "billing");
        assert_eq!(of("billing", "", "x"), "billing");
        assert_eq!((of("", "", "x"), of("", "/", "x"), of("", "", "")), ("x".into(), "x".into(), "".into()));
    }

    #[test]
    fn what_is_no_object_is_no_argument() {
        assert_eq!(read(r#"{"a":1}"#), read(r#""{\"a\":1}""#));
        for text in ["", "{", "\"{\"", "nonsense"] {
            assert_eq!(read(text), Value::Null, "{text}");
        }
    }
}
