//! Calls of the memory tools: the request to the sidecar, and the result for the model.
//!
//! The facts are in the sidecar, so the filter asks it for each call while the answer waits. If it does not
//! answer, the filter returns an error as the result, and the model goes on without it.

use headroom_api::v1::{MemoryCallRequest, MemoryCallResponse};
use headroom_providers::answer::OwnCall;
use prost::Message as _;

use crate::exchange::Exchange;
use crate::rpc;
use crate::settings::Settings;
use crate::tool_loop::ToolResult;

/// The most bytes in a call's arguments: a hundred facts of 8 KiB each, with their other fields.
const MAX_ARGUMENTS: usize = 1 << 20;
/// The most bytes that the model gets: about a list of a hundred facts of the greatest length.
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
    /// From `x-headroom-project`.
    pub(crate) project: String,
    /// From the configuration.
    pub(crate) default_project: String,
    /// The folder in which the agent says it works.
    pub(crate) folder: String,
    /// The name of the agent.
    pub(crate) agent: String,
}

/// A call that is under way, or its result.
pub(crate) enum CallState {
    Waiting(u32),
    Answered(ToolResult),
}

/// Asks the sidecar.
pub(crate) fn ask(settings: &Settings, request: &MemoryCallRequest) -> CallState {
    if request.arguments.len() > MAX_ARGUMENTS {
        return CallState::Answered(ToolResult::error(TOO_LONG));
    }
    let Some(control_plane) = &settings.config.control_plane else {
        settings.metrics.memory_called(false);
        return CallState::Answered(ToolResult::error(NOT_ASKED));
    };
    match rpc::memory(control_plane, &request.encode_to_vec()) {
        Ok(token) => CallState::Waiting(token),
        Err(refused) => {
            settings.refused(refused);
            settings.metrics.memory_called(false);
            CallState::Answered(ToolResult::error(NOT_ASKED))
        }
    }
}

impl MemoryCaller {
    /// The request to the sidecar for a call in this exchange.
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

/// The fields of an exchange's record that say who asks.
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

/// The result that the model reads, from the sidecar's answer; `None`: there was no answer.
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
