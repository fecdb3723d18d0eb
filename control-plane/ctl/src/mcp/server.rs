//! The server that lists and runs the tools.

use std::sync::Arc;

use headroom_api::pages::Stats;
use headroom_compress::rounds::PLACEHOLDER;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams,
    ReadResourceResponse, ReadResourceResult, ResourceContents, ResourcesCapability, ServerCapabilities,
    ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::Deserialize;
use serde_json::json;

use super::compress::{CompressedText, Compressor};
use super::definition::{read, tool, unknown};
use super::memory::Memory;
use super::originals::{Originals, StoredText};
use crate::running::Running;

/// Answers one client, or several over HTTP.
#[derive(Clone, Debug)]
pub(super) struct Server {
    originals: Arc<Originals>,
    compressor: Compressor,
    running: Running,
    memory: Option<Memory>,
}

#[derive(Debug, Deserialize)]
struct Compress {
    content: String,
    #[serde(default)]
    tool: Option<String>,
    #[serde(default)]
    query: String,
}

#[derive(Debug, Deserialize)]
struct Retrieve {
    hash: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    lines: String,
}

impl Server {
    pub(super) fn new(
        originals: Arc<Originals>,
        compressor: Compressor,
        running: Running,
        memory: Option<Memory>,
    ) -> Self {
        Self { originals, compressor, running, memory }
    }

    fn tools(&self) -> Vec<Tool> {
        let memory = self.memory.iter().flat_map(|_| super::memory::definitions());
        tools().into_iter().chain(memory).collect()
    }

    async fn compress(&self, asked: Compress) -> Result<Vec<String>, String> {
        let asked = Arc::new(asked);
        let lossy = self.run(&asked, true).await?;
        let (compressed, note) = match &lossy.left_out {
            None => (lossy, String::new()),
            Some(_) => match self.keep(&asked, &lossy).await {
                Ok(()) => (lossy, String::new()),
                // what cannot be restored must not be left out
                Err(problem) => (self.run(&asked, false).await?, format!("; nothing left out: {problem}")),
            },
        };
        let CompressedText { text, outcome, kind, tokens_before, tokens_after, .. } = compressed;
        Ok(vec![
            text,
            format!("[headroom: {kind}, {outcome}: {tokens_before} → {tokens_after} tokens{note}]"),
        ])
    }

    async fn run(&self, asked: &Arc<Compress>, reversible: bool) -> Result<CompressedText, String> {
        let (asked, compressor) = (Arc::clone(asked), self.compressor.clone());
        // the engine may take long over a large text, and other calls must not wait for it
        let run =
            move || compressor.compress(&asked.content, asked.tool.as_deref(), &asked.query, reversible);
        let compressed = tokio::task::spawn_blocking(run).await.map_err(|error| error.to_string())?;
        compressed.ok_or_else(|| "the text could not be compressed: it is too long".to_owned())
    }

    async fn keep(&self, asked: &Compress, lossy: &CompressedText) -> Result<(), String> {
        let original = StoredText {
            text: &asked.content,
            tool: asked.tool.as_deref().unwrap_or_default(),
            kind: lossy.kind,
            form: &lossy.outcome,
            tokens_before: lossy.tokens_before,
            tokens_after: lossy.tokens_after,
        };
        match self.originals.admit(original).await {
            Ok(true) => Ok(()),
            Ok(false) => Err("the store has no room".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The text. If it is not stored here, a placeholder that the filter replaces in the request, because
    /// the client's conversation contains the text.
    async fn retrieve(&self, asked: Retrieve) -> String {
        match self.originals.retrieve(&asked.hash, &asked.query, &asked.lines).await {
            Ok(found) if found.found => found.content,
            Ok(_) => PLACEHOLDER.to_owned(),
            Err(error) => {
                eprintln!("headroomctl: {error}; the filter is left to put the text in");
                PLACEHOLDER.to_owned()
            }
        }
    }

    async fn stats(&self) -> Result<Vec<String>, String> {
        let answer = self.running.answer("/stats", self.running.get("/stats")).await;
        let (status, body) = answer.map_err(|error| format!("{error:#}"))?;
        if !status.is_success() {
            return Err(format!("{} answered {status}: {body}", self.running.url("/stats")));
        }
        let all: Stats = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        // the figures that a model can use; the whole page has thousands of tokens
        let shown = json!({
            "requests": all.requests.as_ref().map(|requests| requests.total),
            "requests_compressed": all.requests.as_ref().map(|requests| requests.compressed),
            "tokens": all.tokens,
            "saved_usd": all.cost.map(|cost| cost.breakdown.compression_savings_usd),
            "originals": all.compression,
        });
        Ok(vec![shown.to_string()])
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let mut capabilities = ServerCapabilities::builder().enable_tools().build();
        capabilities.resources = self.memory.as_ref().map(|_| ResourcesCapability::default());
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("headroom", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools()))
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resources = self.memory.iter().map(|_| super::memory::resource()).collect();
        Ok(ListResourcesResult::with_all_items(resources))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let memory = self.memory.as_ref().filter(|_| request.uri == super::memory::NOTES);
        let Some(memory) = memory else {
            return Err(ErrorData::resource_not_found(
                format!("there is no resource {:?}", request.uri),
                None,
            ));
        };
        let notes = memory.notes(&context).await?;
        Ok(ReadResourceResult::new(vec![ResourceContents::text(notes, request.uri)]).into())
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = call.arguments.unwrap_or_default();
        let answer = match call.name.as_ref() {
            "headroom_compress" => self.compress(read(arguments)?).await,
            "headroom_retrieve" => Ok(vec![self.retrieve(read(arguments)?).await]),
            "headroom_stats" => self.stats().await,
            other => match &self.memory {
                Some(memory) => memory.call(other, arguments, &context).await?,
                None => return Err(unknown(other)),
            },
        };
        let result = match answer {
            Ok(texts) => CallToolResult::success(texts.into_iter().map(ContentBlock::text).collect()),
            Err(problem) => CallToolResult::error(vec![ContentBlock::text(problem)]),
        };
        Ok(result.into())
    }
}

/// Keep these short: every request of a client pays for each word.
fn tools() -> Vec<Tool> {
    let text = |about: &str| json!({"type": "string", "description": about});
    let reads = || ToolAnnotations::new().read_only(true).open_world(false);
    vec![
        tool(
            "headroom_compress",
            "Shorten a long tool output. What is left out stays available through headroom_retrieve.",
            json!({
                "content": {"type": "string"},
                "tool": text("what printed it"),
                "query": text("what it is wanted for"),
            }),
            json!(["content"]),
        )
        .with_annotations(ToolAnnotations::new().destructive(false).idempotent(true).open_world(false)),
        tool(
            "headroom_retrieve",
            "Full text behind a [headroom: …] marker in a tool result.",
            json!({
                "hash": {"type": "string"},
                "query": text("keep matching parts"),
                "lines": text("range: 40-80"),
            }),
            json!(["hash"]),
        )
        .with_annotations(reads()),
        tool("headroom_stats", "Tokens and money that Headroom has saved.", json!({}), json!([]))
            .with_annotations(reads()),
    ]
}
