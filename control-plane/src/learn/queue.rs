//! The queue of requests for the learner: it is short, and no sender waits for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headroom_api::v1::{LoggedMessages, RequestRecord};
use headroom_learn::plugins;
use tokio::sync::mpsc;

/// Maximum number of waiting requests. More are skipped: the next request of the conversation repeats the calls.
const QUEUE: usize = 100;

/// The parts of a request that the learner needs.
#[derive(Debug)]
pub(crate) struct Observation {
    /// The agent: the name of a plugin of `headroom_learn`.
    pub(crate) agent: String,
    pub(crate) conversation: String,
    /// The newest messages, oldest first, each as JSON, possibly cut.
    pub(crate) messages: Vec<String>,
}

/// Counts of the learner, for `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct LearnCounts {
    requests: AtomicU64,
    dropped: AtomicU64,
    sightings: AtomicU64,
}

impl LearnCounts {
    /// Requests that it has received.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests that found its queue full.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Sightings that were new.
    pub(crate) fn sightings(&self) -> u64 {
        self.sightings.load(Ordering::Relaxed)
    }

    pub(super) fn add_sightings(&self, news: u64) {
        self.sightings.fetch_add(news, Ordering::Relaxed);
    }
}

/// Sends requests to the learner, if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Learner {
    queue: Option<mpsc::Sender<Observation>>,
    counts: Arc<LearnCounts>,
}

/// A learner, and the receiving end of its queue for a worker.
pub(crate) fn learner() -> (Learner, mpsc::Receiver<Observation>) {
    let (queue, observations) = mpsc::channel(QUEUE);
    (Learner { queue: Some(queue), counts: Arc::default() }, observations)
}

impl Learner {
    /// Takes the messages that a filter has sent with its records.
    pub(crate) fn offer(&self, records: &[RequestRecord], logged: &[LoggedMessages]) {
        let Some(queue) = self.queue.as_ref().filter(|_| !logged.is_empty()) else { return };
        let records: HashMap<&str, &RequestRecord> =
            records.iter().rev().map(|record| (record.request_id.as_str(), record)).collect();
        for logged in logged {
            let Some(record) = records.get(logged.request_id.as_str()) else { continue };
            // texts of a tenant's clients must not be written into files of this machine
            if !record.tenant.is_empty() || record.conversation_id.is_empty() {
                continue;
            }
            let observation = Observation {
                agent: agent_of(record),
                conversation: record.conversation_id.clone(),
                messages: logged.request_messages.clone(),
            };
            let counted = match queue.try_send(observation) {
                Ok(()) => &self.counts.requests,
                Err(_) => &self.counts.dropped,
            };
            counted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Its counts.
    pub(crate) fn counts(&self) -> &Arc<LearnCounts> {
        &self.counts
    }
}

/// The agent whose files a lesson goes into: the one that `headroomctl wrap` names, else the usual one for this
/// format. Most others read `AGENTS.md`.
fn agent_of(record: &RequestRecord) -> String {
    let named = record.stack.strip_prefix("wrap_").unwrap_or_default();
    let is_known = plugins::all().iter().any(|plugin| plugin.name() == named);
    let usual = match record.api.as_str() {
        _ if is_known => named,
        api if api.starts_with("anthropic") => "claude",
        api if api.starts_with("gemini") => "gemini",
        "openai_responses" => "codex",
        _ => "opencode",
    };
    usual.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, tenant: &str) -> RequestRecord {
        RequestRecord {
            request_id: id.to_owned(),
            tenant: tenant.to_owned(),
            conversation_id: "0123456789abcdef".to_owned(),
            api: "anthropic_messages".to_owned(),
            ..RequestRecord::default()
        }
    }

    fn logged(id: &str) -> LoggedMessages {
        LoggedMessages { request_id: id.to_owned(), ..LoggedMessages::default() }
    }

    #[test]
    fn tenants_and_foreign_requests_are_passed_over_and_a_full_queue_costs_requests() {
        let (learner, mut queue) = learner();
        learner.offer(&[record("a", ""), record("b", "acme")], &[logged("b"), logged("c"), logged("a")]);
        assert_eq!(queue.try_recv().unwrap().agent, "claude");
        assert!(queue.try_recv().is_err());
        learner.offer(&[record("a", "acme"), record("a", "")], &[logged("a")]);
        assert!(queue.try_recv().is_err(), "the first record of a request counts");
        for _ in 0..QUEUE + 7 {
            learner.offer(&[record("a", "")], &[logged("a")]);
        }
        assert_eq!(learner.counts().dropped(), 7);
        Learner::default().offer(&[record("a", "")], &[logged("a")]);
    }

    #[test]
    fn the_agent_is_the_wrapped_one_or_the_usual_one_of_the_format() {
        for (stack, api, agent) in [
            ("wrap_qwen", "openai_chat", "qwen"),
            ("wrap_goose", "openai_chat", "opencode"),
            ("", "openai_responses", "codex"),
            ("", "gemini_code_assist", "gemini"),
        ] {
            let record =
                RequestRecord { stack: stack.to_owned(), api: api.to_owned(), ..RequestRecord::default() };
            assert_eq!(agent_of(&record), agent);
        }
    }
}
