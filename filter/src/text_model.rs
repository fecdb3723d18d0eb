//! Prose that a text model shortens. The model is in the sidecar, and what it says of a text comes once and not again, so the
//! sidecar decides once for each text and records that, before the request in which it first stands is forwarded.
//!
//! Each later request gets what is recorded: on every replica and after every restart it sends the same bytes (I3). The
//! model is asked about outputs that no provider has seen in the conversation; for older ones the record is looked up, and
//! one without a record has been forwarded as it is and stays so. What a VM has been told it keeps, and asks no more. The
//! engine says which outputs these are: none in a request that may bind reasoning to them.
//!
//! Without an answer the outputs stay as they are. New ones do so for good, which the sidecar is told, in case it has
//! decided and could not say so. Older ones may have been sent in another form: then the provider reads the rest of the
//! conversation anew, once.

pub mod settings;

use std::collections::HashMap;
use std::rc::Rc;

use headroom_api::v1::{DecideRequest, DecideResponse, TextOutput};
use headroom_compress::{Prose, address};
use prost::Message as _;

use crate::contexts::KnownContext;
use crate::exchange::{Exchange, micros};
use crate::host::NANOS_PER_MS;
use crate::rpc;
use crate::work::Work;

/// The outputs of a conversation that can have a form, in its order.
const MAX_OUTPUTS: usize = 1_024;
/// Bytes of new texts that are sent with one question: more than a model reads in a minute.
const MAX_TEXT_BYTES: usize = 256 << 10;
/// An answer is this late when its question is given up: the root context that asked may be gone, and then nobody is told.
const LOST_AFTER_MS: u64 = 2_000;
/// After a question that got no answer in time no new output is asked about for so long.
const PAUSE_NANOS: u64 = 10_000 * NANOS_PER_MS;
/// How long the sidecar has to note what it is told after that. Nobody waits for it.
const NOTE_MS: u32 = 2_000;

/// A question that the sidecar has not answered, with the request that waits for it.
#[derive(Debug)]
pub(crate) struct TextLookup {
    work: Work,
    asked: Vec<Prose>,
    token: u32,
    begun: u64,
    lost_at: u64,
}

/// What to do with a request.
pub(crate) enum Step {
    Wait(TextLookup),
    /// What was decided is in it.
    Done(Work),
}

/// Puts what was decided on a request's prose into it, or asks for that.
pub(crate) fn begin(exchange: &mut Exchange, mut work: Work) -> Step {
    let prose = work.prose();
    let settings = Rc::clone(&exchange.settings);
    let Some(control_plane) = settings.config.control_plane.as_ref().filter(|_| !prose.is_empty()) else {
        return Step::Done(work);
    };
    let begun = settings.now();
    let pauses = settings.requests.decisions.borrow().pauses(begun);
    let mut asked = Vec::new();
    for output in prose.into_iter().take(MAX_OUTPUTS) {
        let known = settings.requests.decisions.borrow().get(&name(exchange, &output)).cloned();
        let form = match known {
            Some(KnownContext::Recorded(form)) => form,
            Some(KnownContext::Unanswered(_)) => Rc::from(""),
            None if output.new && pauses => {
                stays(exchange, &output);
                continue;
            }
            None => {
                asked.push(output);
                continue;
            }
        };
        settle(exchange, &mut work, &output, &form);
    }
    if asked.is_empty() {
        return Step::Done(work);
    }
    let mut lookup = TextLookup { work, asked, token: 0, begun, lost_at: 0 };
    let timeout_ms = settings.config.text_model.timeout_ms;
    let question = lookup.question(exchange, timeout_ms);
    if !lookup.work.rest(exchange) {
        return Step::Done(lookup.give_up(exchange));
    }
    match rpc::decide(control_plane, &question.encode_to_vec(), timeout_ms) {
        Ok(token) => {
            let patience = u64::from(timeout_ms).saturating_add(LOST_AFTER_MS) * NANOS_PER_MS;
            Step::Wait(TextLookup { token, lost_at: begun.saturating_add(patience), ..lookup })
        }
        Err(refused) => {
            settings.refused(refused);
            Step::Done(lookup.give_up(exchange))
        }
    }
}

impl TextLookup {
    fn question(&self, exchange: &Exchange, wait_ms: u32) -> DecideRequest {
        let mut room = MAX_TEXT_BYTES;
        let output = |prose: &Prose| {
            let text = if prose.new { self.work.text(prose.block) } else { None };
            let text = text.filter(|text| text.len() <= room);
            room = room.saturating_sub(text.as_ref().map_or(0, String::len));
            TextOutput { hash: prose.hash.to_string(), text, unanswered: false }
        };
        DecideRequest {
            tenant: exchange.record.tenant.clone(),
            request_id: exchange.record.request_id.clone(),
            wait_ms,
            outputs: self.asked.iter().map(output).collect(),
        }
    }

    /// Whether it is the question that was asked with this token.
    pub(crate) fn awaits(&self, token: u32) -> bool {
        self.token == token
    }

    /// Whether it should have been answered long ago.
    pub(crate) fn is_lost(&self, now: u64) -> bool {
        now >= self.lost_at
    }

    /// The request after what the sidecar says; `None`: it says nothing.
    pub(crate) fn answered(self, exchange: &mut Exchange, answer: Option<&[u8]>) -> Work {
        let Some(answer) = answer.and_then(|bytes| DecideResponse::decode(bytes).ok()) else {
            return self.give_up(exchange);
        };
        let Self { mut work, asked, begun, .. } = self;
        exchange.clock.text_model_us = micros(begun, exchange.settings.now());
        let decisions = answer.decisions.into_iter();
        let decided: HashMap<_, _> = decisions.map(|it| (it.hash, it.form.unwrap_or_default())).collect();
        let mut missing = Vec::new();
        for output in asked {
            match decided.get(&*output.hash) {
                Some(form) => {
                    let form = if settle(exchange, &mut work, &output, form) { form } else { "" };
                    let name = name(exchange, &output);
                    let known = KnownContext::Recorded(form.into());
                    exchange.settings.requests.decisions.borrow_mut().set(&name, known);
                }
                None => missing.push(output),
            }
        }
        leave(exchange, &missing);
        work
    }

    /// The request as it goes without an answer.
    pub(crate) fn give_up(self, exchange: &mut Exchange) -> Work {
        let Self { work, asked, begun, .. } = self;
        let now = exchange.settings.now();
        exchange.clock.text_model_us = micros(begun, now);
        exchange.settings.requests.decisions.borrow_mut().not_before = now.saturating_add(PAUSE_NANOS);
        leave(exchange, &asked);
        work
    }
}

/// The name of an output's text among what is known. Two tenants may have the same text.
fn name(exchange: &Exchange, output: &Prose) -> String {
    address(&format!("{}\0{}", exchange.record.tenant, output.hash))
}

/// Puts a form into the request; an empty one stands for the text itself. A form that cannot stand there does so too, on
/// every replica. False: the text stays.
fn settle(exchange: &mut Exchange, work: &mut Work, output: &Prose, form: &str) -> bool {
    let is_shortened = !form.is_empty() && work.shorten(exchange, output.block, form);
    let record = exchange.record.text_model.get_or_insert_default();
    let count = if is_shortened { &mut record.shortened } else { &mut record.plain };
    *count = count.saturating_add(1);
    is_shortened
}

/// Notes that an output is forwarded as it is, and a new one for good.
fn stays(exchange: &mut Exchange, output: &Prose) {
    let record = exchange.record.text_model.get_or_insert_default();
    record.unanswered = record.unanswered.saturating_add(1);
    if output.new {
        let known = KnownContext::Unanswered(String::new());
        let name = name(exchange, output);
        exchange.settings.requests.decisions.borrow_mut().set(&name, known);
    }
}

/// Leaves outputs as they are about which the sidecar has said nothing, and tells it so.
fn leave(exchange: &mut Exchange, outputs: &[Prose]) {
    for output in outputs {
        stays(exchange, output);
    }
    let new = outputs.iter().filter(|output| output.new);
    let outputs: Vec<TextOutput> = new
        .map(|output| TextOutput { hash: output.hash.to_string(), text: None, unanswered: true })
        .collect();
    let settings = &exchange.settings;
    let Some(control_plane) = settings.config.control_plane.as_ref().filter(|_| !outputs.is_empty()) else {
        return;
    };
    let message = DecideRequest {
        tenant: exchange.record.tenant.clone(),
        request_id: exchange.record.request_id.clone(),
        wait_ms: NOTE_MS,
        outputs,
    };
    if let Err(refused) = rpc::decide(control_plane, &message.encode_to_vec(), NOTE_MS) {
        settings.refused(refused);
    }
}
