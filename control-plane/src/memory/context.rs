//! What conversations begin with: facts that memory finds for the user's first words, decided once.
//!
//! The filter asks before the first request of a conversation is forwarded, and puts the text into each of its requests.
//! What a provider was sent is only ever extended, so every decision is recorded before the filter gets it, and
//! is never made again. A decision that comes too late for the request that waits for it is taken back.

use std::time::{Duration, Instant};

use headroom_api::memory::notes::{DEFAULT_BYTES, notes_and_facts};
use headroom_api::memory::{Caller, SearchRequest};
use tokio::sync::oneshot;

use super::fact::ConversationContext;
use super::service::{Memory, MemoryError};
use super::store::MemoryStore;
use super::tools::project;
use crate::clock::now_ms;

/// Facts that a conversation begins with at most.
const FACTS: u32 = 10;
/// Bytes of the name of a conversation, or of a request.
const MAX_NAME_BYTES: usize = 128;
/// No question is searched for longer than a part of the time for which its request waits; the rest is for recording and
/// for the way.
const SEARCH_SHARE: u32 = 2;
/// A decision that took longer than this part of the time is taken back: its answer could come too late.
const DECISION_SHARE: (u32, u32) = (3, 4);
/// The longest time for which a request may say that it waits.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// A filter's question.
#[derive(Clone, Debug, Default)]
pub struct ContextQuestion {
    /// The project that a header names.
    pub named: String,
    /// The folder in which the agent says that it works.
    pub folder: String,
    /// The project where neither says anything.
    pub default: String,
    /// Which conversation.
    pub conversation: String,
    /// Nothing of it has been forwarded.
    pub begins: bool,
    /// What the user asks.
    pub question: String,
    /// Whose question it is.
    pub request: String,
    /// For how long that waits.
    pub wait: Duration,
    /// An earlier request that was forwarded with nothing; empty: none.
    pub unanswered: String,
}

impl Memory {
    /// What a conversation begins with, which is recorded before it is returned; empty: nothing. If the filter no longer
    /// waits when it is decided, it is taken back.
    pub async fn conversation_context(
        &self,
        tenant: &str,
        asked: ContextQuestion,
    ) -> Result<String, MemoryError> {
        for name in [&asked.conversation, &asked.request, &asked.unanswered] {
            if name.len() > MAX_NAME_BYTES || name.contains('\0') {
                return Err(MemoryError::Invalid(format!(
                    "expected a name of {MAX_NAME_BYTES} bytes at most"
                )));
            }
        }
        if asked.conversation.is_empty() || asked.request.is_empty() {
            return Err(MemoryError::Invalid("expected a conversation and a request".to_owned()));
        }
        let (tell, told) = oneshot::channel();
        let (memory, tenant) = (self.clone(), tenant.to_owned());
        // the work is finished even if the filter no longer waits for it
        tokio::spawn(async move {
            let (conversation, request) = (asked.conversation.clone(), asked.request.clone());
            let decided = memory.decide(&tenant, asked).await;
            let Err(decided) = tell.send(decided) else { return };
            let is_nothing = decided.is_ok_and(|text| text.is_empty());
            if !is_nothing && let Err(error) = memory.withdraw(&tenant, &conversation, &request).await {
                tracing::error!(message = "What a conversation begins with could not be taken back.", %error);
            }
        });
        told.await.unwrap_or_else(|_| Err(MemoryError::NotLoaded("it does not answer".to_owned())))
    }

    async fn withdraw(&self, tenant: &str, conversation: &str, request: &str) -> Result<(), MemoryError> {
        Ok(self.store()?.withdraw_context(tenant, conversation, request, now_ms()).await?)
    }

    async fn decide(&self, tenant: &str, asked: ContextQuestion) -> Result<String, MemoryError> {
        let begun = Instant::now();
        let wait = asked.wait.min(MAX_WAIT);
        let store = self.store()?;
        if !asked.unanswered.is_empty() {
            store.withdraw_context(tenant, &asked.conversation, &asked.unanswered, now_ms()).await?;
        }
        if let Some(text) = store.context(tenant, &asked.conversation).await? {
            return Ok(text);
        }
        let found = tokio::time::timeout(wait / SEARCH_SHARE, self.found(tenant, &asked));
        let (text, facts) = match found.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(message = "A conversation begins without notes: memory was not searched.", %error);
                Default::default()
            }
            Err(_) => {
                tracing::warn!("A conversation begins without notes: memory was not searched in time.");
                Default::default()
            }
        };
        let (conversation, request) = (asked.conversation, asked.request);
        let context =
            ConversationContext { tenant: tenant.to_owned(), conversation, text, facts, decided_by: request };
        let decided = store.decide_context(&context, now_ms()).await?;
        let (part, of) = DECISION_SHARE;
        if decided.is_empty() || begun.elapsed() <= wait * part / of {
            return Ok(decided);
        }
        self.taken_back(&*store, &context).await
    }

    /// Takes a decision back that was made too late, unless another request has made it.
    async fn taken_back(
        &self,
        store: &dyn MemoryStore,
        context: &ConversationContext,
    ) -> Result<String, MemoryError> {
        let ConversationContext { tenant, conversation, decided_by, .. } = context;
        store.withdraw_context(tenant, conversation, decided_by, now_ms()).await?;
        Ok(store.context(tenant, conversation).await?.unwrap_or_default())
    }

    /// The text for a conversation that begins, and the facts in it.
    async fn found(
        &self,
        tenant: &str,
        asked: &ContextQuestion,
    ) -> Result<(String, Vec<String>), MemoryError> {
        let project = project(asked.named.clone(), &asked.folder, asked.default.clone());
        if !asked.begins || project.is_empty() {
            return Ok(Default::default());
        }
        let request = SearchRequest {
            query: asked.question.clone(),
            top_k: Some(FACTS),
            caller: Caller { project, ..Caller::default() },
            ..SearchRequest::default()
        };
        let found = self.search(tenant, &request).await?.found;
        let (text, facts) = notes_and_facts(found.iter().map(|found| &found.fact), "", DEFAULT_BYTES);
        Ok((text, facts.into_iter().map(|fact| fact.id.clone()).collect()))
    }
}
