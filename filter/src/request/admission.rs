//! Originals before their request: a lossy rewrite leaves once the sidecar has them.

use std::sync::Arc;

use headroom_api::v1::AdmissionOutcome;
use headroom_compress::Outcome;

use super::{Body, Rewrite};
use crate::admit::{Answered, Need, Plan};
use crate::host::NANOS_PER_MS;
use crate::rpc;
use crate::stream::{Phase, Stream, micros};

/// A lossy rewrite that waits for its originals to be stored.
#[derive(Debug)]
pub(crate) struct Admitting {
    pub(crate) token: u32,
    pub(super) asked_at: u64,
    pub(super) sent: Vec<Arc<str>>,
    pub(super) needs: Vec<Need>,
    pub(super) body: Body,
    pub(super) rewrite: Rewrite,
    pub(super) bytes: Vec<u8>,
}

/// Whether a rewrite may leave.
pub(super) enum Admission {
    /// As it is. `Unspecified`: it leaves nothing out.
    Given(AdmissionOutcome),
    Asked {
        token: u32,
        sent: Vec<Arc<str>>,
    },
    /// Only with so many lossy blocks.
    Missing {
        lossy_blocks: usize,
        outcome: AdmissionOutcome,
    },
}

impl Stream {
    /// Finds out whether the originals of a request are stored, or asks for it.
    pub(super) fn admission(&mut self, outcome: &Outcome<'_>) -> Admission {
        if outcome.originals.is_empty() {
            return Admission::Given(AdmissionOutcome::Unspecified);
        }
        let settings = &self.settings;
        let (Some(store), Some(record)) = (settings.store(), &self.record) else {
            return Admission::Missing { lossy_blocks: 0, outcome: AdmissionOutcome::Error };
        };
        let (tenant, conversation) = (&record.tenant, &record.conversation_id);
        let now = settings.now();
        let plan = {
            let mut admissions = store.admissions.borrow_mut();
            admissions.plan(store.control_plane, tenant, conversation, &outcome.originals, now)
        };
        let missing = match plan {
            Plan::Forward => return Admission::Given(AdmissionOutcome::Acknowledged),
            Plan::Open => {
                settings.metrics.admit_skipped();
                AdmissionOutcome::Breaker
            }
            Plan::Ask(ask) => {
                settings.metrics.admit_sent();
                match rpc::admit(store.control_plane, &ask.message) {
                    Ok(token) => return Admission::Asked { token, sent: ask.sent },
                    Err(refused) => {
                        settings.refused(refused);
                        settings.admitted(&store, tenant, &ask.sent, None);
                        AdmissionOutcome::Error
                    }
                }
            }
        };
        let lossy_blocks = store.admissions.borrow().lossy_blocks(tenant, &needs(outcome), now);
        Admission::Missing { lossy_blocks: lossy_blocks.unwrap_or(0), outcome: missing }
    }

    pub(super) fn note_admission(&mut self, outcome: AdmissionOutcome) {
        if let Some(record) = &mut self.record {
            record.set_admission(outcome);
        }
    }

    /// The sidecar's answer, or the news that there is none.
    pub(crate) fn on_admitted(&mut self, token: u32, answer: Option<&[u8]>) {
        if !matches!(&self.phase, Phase::Admitting(admitting) if admitting.token == token) {
            return;
        }
        let Phase::Admitting(admitting) = std::mem::replace(&mut self.phase, Phase::Passing) else { return };
        let Admitting { asked_at, sent, needs, body, rewrite, bytes, .. } = *admitting;
        let now = self.settings.now();
        self.clock.admit_us = micros(asked_at, now);
        self.settings.metrics.admit_us(self.clock.admit_us);
        let (answered, lossy_blocks) = match (self.settings.store(), &self.record) {
            (Some(store), Some(record)) => {
                let answered = self.settings.admitted(&store, &record.tenant, &sent, answer);
                (answered, store.admissions.borrow().lossy_blocks(&record.tenant, &needs, now))
            }
            _ => (Answered::Failed, Some(0)),
        };
        let outcome = match (answered, lossy_blocks) {
            (Answered::Failed, Some(_)) if self.is_late(now) => AdmissionOutcome::Timeout,
            (Answered::Failed, Some(_)) => AdmissionOutcome::Error,
            (Answered::Stored | Answered::Incomplete, Some(_)) => AdmissionOutcome::Incomplete,
            (Answered::Stored, None) => AdmissionOutcome::Stored,
            // Another request has had them stored meanwhile.
            (Answered::Failed | Answered::Incomplete, None) => AdmissionOutcome::Acknowledged,
        };
        self.note_admission(outcome);
        let forwarded = match lossy_blocks {
            None => self.forward(&body, rewrite, bytes),
            Some(blocks) => {
                drop(rewrite);
                self.fall_back(bytes, &body, blocks)
            }
        };
        if let Err(refused) = forwarded {
            self.settle_refused(refused);
        }
        self.head = None;
        self.clock.forwarded = self.settings.now();
        self.resume();
    }

    /// Whether the deadline for storing originals is over. The host says of a call only that it failed.
    fn is_late(&self, now: u64) -> bool {
        let control_plane = self.settings.config.control_plane.as_ref();
        let deadline = control_plane.map_or(0, |it| u64::from(it.admit_timeout_ms) * NANOS_PER_MS);
        // Envoy's timers count from the beginning of the callback, and in whole milliseconds.
        now.saturating_sub(self.clock.body_complete) + NANOS_PER_MS >= deadline
    }
}

/// The blocks that leave something out, and what has to be stored for each.
pub(super) fn needs(outcome: &Outcome<'_>) -> Vec<Need> {
    outcome.originals.iter().map(|original| (original.block, Arc::clone(&original.hash))).collect()
}
