//! `Memory`: checks the envelope, passes the rest to memory.

use std::time::Duration;

use headroom_api::memory::Caller;
use headroom_api::v1::memory_server;
use headroom_api::v1::{MemoryCallRequest, MemoryCallResponse, MemoryContextRequest, MemoryContextResponse};
use tonic::{Request, Response, Status};

use super::Keys;
use super::originals::check_tenant;
use crate::memory::{ContextQuestion, Memory, MemoryError, ToolCall};

/// The origin of facts that the filter's tools save.
const VIA: &str = "filter";

/// Answers the filter.
pub(super) struct MemoryService {
    pub(super) memory: Memory,
    pub(super) keys: Keys,
}

#[tonic::async_trait]
impl memory_server::Memory for MemoryService {
    async fn call(
        &self,
        request: Request<MemoryCallRequest>,
    ) -> Result<Response<MemoryCallResponse>, Status> {
        let (metadata, _, mut request) = request.into_parts();
        self.keys.authorize(&mut request.tenant, &metadata)?;
        check_tenant(&request.tenant)?;
        let tenant = request.tenant;
        let call = ToolCall {
            tool: request.tool,
            arguments: request.arguments,
            caller: Caller {
                agent: request.agent,
                provider: request.provider,
                via: VIA.to_owned(),
                conversation: request.conversation_id,
                ..Caller::default()
            },
            named: request.project,
            folder: request.folder,
            default: request.default_project,
        };
        let memory = self.memory.clone();
        // a save is completed even if the caller no longer waits for its answer
        let answer = tokio::spawn(async move { memory.call(&tenant, call).await })
            .await
            .map_err(|_| Status::internal("the call could not be answered: see the log"))?;
        let (text, is_error) = match answer {
            Ok(text) => (text, false),
            Err(text) => (text, true),
        };
        Ok(Response::new(MemoryCallResponse { text, is_error }))
    }

    async fn context(
        &self,
        request: Request<MemoryContextRequest>,
    ) -> Result<Response<MemoryContextResponse>, Status> {
        let (metadata, _, mut request) = request.into_parts();
        self.keys.authorize(&mut request.tenant, &metadata)?;
        check_tenant(&request.tenant)?;
        let asked = ContextQuestion {
            named: request.project,
            folder: request.folder,
            default: request.default_project,
            conversation: request.conversation,
            begins: request.begins,
            question: request.question,
            request: request.request_id,
            wait: Duration::from_millis(request.wait_ms.into()),
            unanswered: request.unanswered,
        };
        match self.memory.conversation_context(&request.tenant, asked).await {
            Ok(text) => Ok(Response::new(MemoryContextResponse { text, decided: true })),
            Err(MemoryError::Invalid(why)) => Err(Status::invalid_argument(why)),
            Err(error) => {
                // what the database says may name hosts and users: it goes to the log only
                tracing::error!(message = "The notes that a conversation begins with were not chosen.", %error);
                Err(Status::unavailable("memory does not work now: see the log"))
            }
        }
    }
}
