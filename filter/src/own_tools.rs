//! Calls of memory's tools: what the sidecar is asked, and what the model reads.
//!
//! The facts are the sidecar's, so each call is asked of it while the answer waits. What it does not answer is answered
//! here, with an error that says so: the model goes on without.

use headroom_api::v1::{MemoryCallRequest, MemoryCallResponse};
use headroom_providers::answer::OwnCall;
use prost::Message as _;

use crate::exchange::Exchange;
use crate::rpc;
use crate::settings::Settings;
use crate::tool_loop::ToolResult;

/// What a call may hold: a hundred facts of 8 KiB each, with what stands beside them.
const MAX_ARGUMENTS: usize = 1 << 20;
/// What the model is given at most. A list of a hundred facts as long as they may be is about as long.
const MAX_RESULT: usize = 1 << 20;

const TOO_LONG: &str = "Error: the arguments are too long. Nothing was done.";
const NOT_ASKED: &str = "Error: memory cannot be asked now. Nothing was saved, changed or looked up.";
const NO_ANSWER: &str = "Error: memory did not answer. Nothing was found out; whether something was saved or changed is \
     not known.";
const ANSWER_TOO_LONG: &str =
    "Error: the answer of memory is too long to be shown. What was asked for was done; ask for less.";

/// Who asks, and from where: the same for all calls of an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryCaller {
    /// As `x-headroom-project` says.
    pub(crate) project: String,
    /// As the configuration says.
    pub(crate) default_project: String,
    /// Where the agent says that it works.
    pub(crate) folder: String,
    /// Which agent it is.
    pub(crate) agent: String,
}

/// A call that is on its way, or its result.
pub(crate) enum Asked {
    Waiting(u32),
    Answered(ToolResult),
}

/// Asks the sidecar.
pub(crate) fn ask(settings: &Settings, request: &MemoryCallRequest) -> Asked {
    if request.arguments.len() > MAX_ARGUMENTS {
        return Asked::Answered(ToolResult::error(TOO_LONG));
    }
    let Some(control_plane) = &settings.config.control_plane else {
        settings.metrics.memory_called(false);
        return Asked::Answered(ToolResult::error(NOT_ASKED));
    };
    match rpc::memory(control_plane, &request.encode_to_vec()) {
        Ok(token) => Asked::Waiting(token),
        Err(refused) => {
            settings.refused(refused);
            settings.metrics.memory_called(false);
            Asked::Answered(ToolResult::error(NOT_ASKED))
        }
    }
}

impl MemoryCaller {
    /// What is asked for a call in this exchange.
    pub(crate) fn request(&self, exchange: &CallerRecord<'_>, call: &OwnCall) -> MemoryCallRequest {
        MemoryCallRequest {
            tenant: exchange.tenant.to_owned(),
            project: self.project.clone(),
            folder: self.folder.clone(),
            agent: self.agent.clone(),
            provider: exchange.provider.to_owned(),
            conversation_id: exchange.conversation_id.to_owned(),
            tool: call.name.clone(),
            arguments: call.arguments.clone(),
            default_project: self.default_project.clone(),
        }
    }
}

/// What the record of an exchange says of who asks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallerRecord<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) conversation_id: &'a str,
}

impl<'a> CallerRecord<'a> {
    pub(crate) fn of(exchange: &'a Exchange) -> Self {
        let record = &exchange.record;
        Self { tenant: &record.tenant, provider: &record.provider, conversation_id: &record.conversation_id }
    }
}

/// What the model reads of the sidecar's answer; `None`: there was none.
pub(crate) fn result(settings: &Settings, answer: Option<&[u8]>) -> ToolResult {
    let response = answer.and_then(|bytes| MemoryCallResponse::decode(bytes).ok());
    let response = response.filter(|response| !response.text.is_empty());
    settings.metrics.memory_called(response.is_some());
    match response {
        Some(response) if response.text.len() > MAX_RESULT => ToolResult::error(ANSWER_TOO_LONG),
        Some(MemoryCallResponse { text, is_error }) => ToolResult { text, source: None, is_error },
        None => ToolResult::error(NO_ANSWER),
    }
}
