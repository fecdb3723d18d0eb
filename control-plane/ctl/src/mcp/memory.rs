//! The tools of memory, with upstream's names and parameters, answered by headroomd.

use headroom_api::memory::tools::{self, Question, Unreadable};
use headroom_compress::Api;
use rmcp::model::{JsonObject, Resource, Tool, ToolAnnotations};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde::Deserialize;
use serde_json::Value;

use super::definition::unknown;
use crate::memory::{Client, NOTES_BYTES, notes};

/// Asks headroomd on behalf of the client that calls a tool.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    client: Client,
}

impl Memory {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Answers a call with texts, or with a description of the problem; an error means an invalid call.
    pub(super) async fn call(
        &self,
        name: &str,
        arguments: JsonObject,
        context: &RequestContext<RoleServer>,
    ) -> Result<Result<Vec<String>, String>, ErrorData> {
        let client = self.of(context);
        let question = match Question::read(name, Value::Object(arguments), client.caller.clone()) {
            Ok(question) => question,
            Err(Unreadable::Tool) => return Err(unknown(name)),
            Err(Unreadable::Arguments(error)) => return Err(ErrorData::invalid_params(error, None)),
            Err(Unreadable::Empty(error)) => return Ok(Err(error)),
        };
        let answer = ask(&client, question).await;
        Ok(answer.map(|text| vec![text]).map_err(|error| format!("{error:#}")))
    }

    /// The most important facts, as a separate block.
    pub(super) async fn notes(&self, context: &RequestContext<RoleServer>) -> Result<String, ErrorData> {
        let notes = notes(&self.of(context), NOTES_BYTES).await;
        notes.map_err(|error| ErrorData::internal_error(format!("{error:#}"), None))
    }

    /// A client on behalf of the caller: the caller names its agent, and over HTTP a header names its project.
    fn of(&self, context: &RequestContext<RoleServer>) -> Client {
        let mut client = self.client.clone();
        // newer clients send it with each request, older ones once
        let said = context.meta.client_info().map(|agent| agent.name);
        let greeted = || context.peer.peer_info().map(|peer| peer.client_info.name.clone());
        client.caller.agent = said.or_else(greeted).unwrap_or_default();
        let parts = context.extensions.get::<axum::http::request::Parts>();
        let header =
            |name| parts?.headers.get(name)?.to_str().ok().map(str::trim).filter(|it| !it.is_empty());
        if let Some(project) = header("x-headroom-project") {
            client.caller.project = project.to_owned();
        }
        client
    }
}

/// The only resource: a client adds it to a conversation at its user's request.
pub(super) const NOTES: &str = "headroom://memory/notes";

pub(super) fn resource() -> Resource {
    Resource::new(NOTES, "notes")
        .with_title("Notes from earlier sessions")
        .with_description("The facts about this project and user that matter most")
        .with_mime_type("text/plain")
}

/// Asks headroomd, and converts its answer to text.
async fn ask(client: &Client, question: Question) -> anyhow::Result<String> {
    Ok(match question {
        Question::Save(asked) => tools::saved(&client.ask("save", &asked).await?),
        Question::Search(asked) => tools::found(&client.ask("search", &asked).await?),
        Question::Update(asked) => tools::updated(&asked.memory_id, &client.ask("update", &asked).await?),
        Question::Delete(asked) => tools::deleted(&client.ask("delete", &asked).await?),
        Question::List(asked) => tools::listed(&client.ask("list", &asked).await?),
    })
}

/// The definitions that the filter adds to requests, for clients that list tools themselves.
pub(super) fn definitions() -> Vec<Tool> {
    let definitions = Api::AnthropicMessages.memory_definitions().unwrap_or_default();
    let list = format!("[{}]", definitions.trim_end_matches(','));
    let list: Vec<Definition> = serde_json::from_str(&list).unwrap_or_default();
    list.into_iter()
        .map(|Definition { name, description, input_schema }| {
            let annotations = match name.as_str() {
                "memory_search" | "memory_list" => ToolAnnotations::new().read_only(true),
                "memory_delete" => ToolAnnotations::new().destructive(true).idempotent(true),
                _ => ToolAnnotations::new().destructive(false).idempotent(true),
            };
            Tool::new(name, description, input_schema).with_annotations(annotations.open_world(false))
        })
        .collect()
}

#[derive(Deserialize)]
struct Definition {
    name: String,
    description: String,
    input_schema: JsonObject,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_tools_are_those_that_the_filter_adds() {
        let names: Vec<String> = definitions().into_iter().map(|tool| tool.name.into_owned()).collect();
        assert_eq!(names, ["memory_save", "memory_search", "memory_update", "memory_delete", "memory_list"]);
    }
}
