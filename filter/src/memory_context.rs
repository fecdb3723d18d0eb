//! What memory adds to the beginning of a conversation: facts, at the end of the user's first message.
//!
//! The sidecar decides it once, before the first request of a conversation is forwarded, and records it; each later
//! request gets the same bytes at the same place, from the record. So it is a part of the conversation like what the
//! client has written, on every replica and after every restart (I3). A VM remembers the sidecar's answer and does not
//! ask again. Without an answer the request leaves without notes. If it was the first request, the conversation never
//! gets any, and the VM reports that to the sidecar; later it changes the prefix, which is counted.

use std::rc::Rc;

use headroom_api::v1::{MemoryContext, MemoryContextRequest, MemoryContextResponse};
use headroom_compress::{Encoding, address, provider_tokens};
use prost::Message as _;

use crate::contexts::{self, KnownContext};
use crate::exchange::{Exchange, micros};
use crate::host::NANOS_PER_MS;
use crate::memory::Room;
use crate::own_tools::MemoryCaller;
use crate::rpc;
use crate::settings::Settings;
use crate::work::EngineOutput;

/// How long a request waits.
const TIMEOUT_MS: u32 = 2_000;
/// A question is given up after this time: the root context that asked may be gone, and then no answer is delivered.
const LOST_AFTER_MS: u64 = 2_000;
/// The pause between two questions that are refused at once.
const REST_MS: u32 = 50;
/// After a question that got no answer in time, no other request waits for this long: a conversation that begins then begins
/// with nothing.
const PAUSE_NANOS: u64 = 10_000 * NANOS_PER_MS;
/// The sidecar's own bound is half of it.
const MAX_BYTES: usize = 8 << 10;

/// A question that the sidecar has not answered, with the request that waits for it.
pub(crate) struct ContextLookup {
    output: EngineOutput,
    question: Box<MemoryContextRequest>,
    pace: Pace,
    token: u32,
    begun: u64,
    lost_at: u64,
    /// For the body.
    _room: Room,
}

impl std::fmt::Debug for ContextLookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContextLookup").field("question", &self.question).finish_non_exhaustive()
    }
}

/// How often the question was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Once,
    /// The first call failed, and the next one followed at once: there may be another replica.
    Again,
    /// Calls fail, and the next one is made at `lost_at`.
    Resting,
}

/// What to do with a request.
pub(crate) enum Step {
    Wait(ContextLookup),
    /// It is forwarded; what the conversation begins with is in it.
    Forward(EngineOutput),
}

/// Puts what the conversation begins with into a request, or asks for it.
pub(crate) fn begin(exchange: &mut Exchange, mut output: EngineOutput, caller: &MemoryCaller) -> Step {
    let Some((opening, folder)) = output.opening() else { return Step::Forward(output) };
    let record = &exchange.record;
    let names_project =
        [&caller.project, &caller.default_project, folder].into_iter().any(|name| !name.is_empty());
    if record.conversation_id.is_empty() || !names_project {
        return Step::Forward(output);
    }
    // Two tenants, or projects, may begin a conversation with the same words.
    let conversation: String = address(&format!(
        "{}\0{}\0{}\0{}\0{folder}",
        record.tenant, record.conversation_id, caller.project, caller.default_project
    ));
    let settings = Rc::clone(&exchange.settings);
    let begun = settings.now();
    let begins = opening.is_all;
    match known(&settings, &conversation) {
        Some(KnownContext::Recorded(text)) => {
            settle(exchange, &mut output, &text);
            return Step::Forward(output);
        }
        // What was forwarded without stays without, whoever asks again.
        Some(KnownContext::Unanswered(request)) => {
            give_back(exchange, &conversation, &request);
            settle(exchange, &mut output, "");
            return Step::Forward(output);
        }
        None => {}
    }
    if begins && settings.requests.contexts.borrow().pauses(begun) {
        unanswered_for(exchange, &conversation, begins);
        return Step::Forward(output);
    }
    let question = MemoryContextRequest {
        tenant: record.tenant.clone(),
        project: caller.project.clone(),
        folder: folder.to_owned(),
        default_project: caller.default_project.clone(),
        conversation,
        begins,
        question: if begins { opening.question.clone() } else { String::new() },
        request_id: record.request_id.clone(),
        wait_ms: TIMEOUT_MS,
        unanswered: String::new(),
    };
    match settings.requests.memory.room(output.bytes.len()) {
        Some(room) => ContextLookup {
            output,
            question: Box::new(question),
            pace: Pace::Once,
            token: 0,
            begun,
            lost_at: 0,
            _room: room,
        }
        .ask(exchange, TIMEOUT_MS),
        None => {
            unanswered_for(exchange, &question.conversation, begins);
            Step::Forward(output)
        }
    }
}

/// What is known of a conversation, here or in another VM of this process.
fn known(settings: &Settings, conversation: &str) -> Option<KnownContext> {
    if let Some(known) = settings.requests.contexts.borrow().get(conversation) {
        return Some(known.clone());
    }
    let shared = contexts::shared(conversation).map_err(|refused| settings.refused(refused)).ok()??;
    settings.requests.contexts.borrow_mut().set(conversation, shared.clone());
    Some(shared)
}

impl ContextLookup {
    fn ask(self, exchange: &mut Exchange, timeout_ms: u32) -> Step {
        let settings = Rc::clone(&exchange.settings);
        let control_plane = settings.config.control_plane.as_ref();
        let asked =
            control_plane.map(|it| rpc::memory_context(it, &self.question.encode_to_vec(), timeout_ms));
        match asked {
            Some(Ok(token)) => {
                let patience = u64::from(timeout_ms).saturating_add(LOST_AFTER_MS) * NANOS_PER_MS;
                let lost_at = settings.now().saturating_add(patience);
                Step::Wait(Self { token, lost_at, ..self })
            }
            refused => {
                if let Some(Err(refused)) = refused {
                    settings.refused(refused);
                }
                Step::Forward(self.give_up(exchange))
            }
        }
    }

    /// Whether it is the question that was asked with this token.
    pub(crate) fn awaits(&self, token: u32) -> bool {
        self.token == token
    }

    /// Whether it should have been answered long ago, or has rested.
    pub(crate) fn is_lost(&self, now: u64) -> bool {
        now >= self.lost_at
    }

    /// What to do with the request after what the sidecar says; `None`: it says nothing.
    pub(crate) fn answered(mut self, exchange: &mut Exchange, answer: Option<&[u8]>) -> Step {
        let settings = Rc::clone(&exchange.settings);
        let now = settings.now();
        let waited_us = micros(self.begun, now);
        exchange.clock.memory_context_us = waited_us;
        let waited_ms = waited_us / 1_000;
        if answer.is_none() && waited_ms < TIMEOUT_MS / 2 {
            match self.pace {
                Pace::Once | Pace::Resting => {
                    self.pace = Pace::Again;
                    return self.ask(exchange, TIMEOUT_MS.saturating_sub(waited_ms));
                }
                // Leaving the notes out would change what the provider has seen.
                Pace::Again if !self.question.begins && !settings.requests.contexts.borrow().pauses(now) => {
                    let lost_at = now.saturating_add(u64::from(REST_MS) * NANOS_PER_MS);
                    return Step::Wait(Self { pace: Pace::Resting, token: 0, lost_at, ..self });
                }
                Pace::Again => {}
            }
        }
        let answer = answer.and_then(|bytes| MemoryContextResponse::decode(bytes).ok());
        let answer = answer.filter(|answer| answer.decided && answer.text.len() <= MAX_BYTES);
        let Some(answer) = answer else { return Step::Forward(self.give_up(exchange)) };
        let Self { mut output, question, .. } = self;
        let text: Rc<str> = answer.text.into();
        let known = KnownContext::Recorded(Rc::clone(&text));
        settings.requests.contexts.borrow_mut().set(&question.conversation, known);
        settle(exchange, &mut output, &text);
        Step::Forward(output)
    }

    /// The request leaves without notes.
    pub(crate) fn give_up(self, exchange: &mut Exchange) -> EngineOutput {
        let Self { output, question, begun, .. } = self;
        exchange.clock.memory_context_us = micros(begun, exchange.settings.now());
        unanswered_for(exchange, &question.conversation, question.begins);
        let not_before = exchange.settings.now().saturating_add(PAUSE_NANOS);
        exchange.settings.requests.contexts.borrow_mut().not_before = not_before;
        if question.begins {
            give_back(exchange, &question.conversation, &question.request_id);
        }
        output
    }
}

/// Records that a request leaves without notes. If it is the first of a conversation, the conversation never gets any.
fn unanswered_for(exchange: &mut Exchange, conversation: &str, begins: bool) {
    exchange.record.set_memory_context(MemoryContext::Unanswered);
    if begins {
        let request = exchange.record.request_id.clone();
        if let Err(refused) = contexts::share_unanswered(conversation, &request) {
            exchange.settings.refused(refused);
        }
        exchange.settings.requests.contexts.borrow_mut().set(conversation, KnownContext::Unanswered(request));
    }
}

/// Tells the sidecar that what it may have decided for a request was not used. Where this gets lost, the next request of
/// the conversation tells it again.
fn give_back(exchange: &Exchange, conversation: &str, request: &str) {
    let settings = &exchange.settings;
    let Some(control_plane) = &settings.config.control_plane else { return };
    let message = MemoryContextRequest {
        tenant: exchange.record.tenant.clone(),
        conversation: conversation.to_owned(),
        request_id: exchange.record.request_id.clone(),
        unanswered: request.to_owned(),
        wait_ms: TIMEOUT_MS,
        ..MemoryContextRequest::default()
    };
    if let Err(refused) = rpc::memory_context(control_plane, &message.encode_to_vec(), TIMEOUT_MS) {
        settings.refused(refused);
    }
}

/// Notes that a request goes as it came: what was put into it is not sent.
pub(crate) fn drop_added(exchange: &mut Exchange) {
    if exchange.record.memory_context() == MemoryContext::Added {
        exchange.record.set_memory_context(MemoryContext::Unanswered);
    }
}

/// Puts a text into a request, and notes it.
fn settle(exchange: &mut Exchange, output: &mut EngineOutput, text: &str) {
    let context = if text.is_empty() {
        MemoryContext::Nothing
    } else if output.add(text) {
        let record = &mut exchange.record;
        if let Some(tokens) = &mut record.tokens {
            // What the model reads more counts as forwarded, and so as nothing saved.
            let added = provider_tokens(&record.model, Encoding::O200kBase.count(text) as u64);
            tokens.after = tokens.after.saturating_add(added);
        }
        MemoryContext::Added
    } else {
        MemoryContext::Unanswered
    };
    exchange.record.set_memory_context(context);
}
