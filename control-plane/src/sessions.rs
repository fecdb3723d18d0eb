//! WebSocket sessions that have ended, the last ones, as their records tell of them.
//!
//! In memory only: the records themselves are in the ledger.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use headroom_api::names::SESSION_ENDS;
use headroom_api::v1::RequestRecord;

use crate::ledger::contribution::Landed;

/// Sessions that are remembered.
const MAX_SESSIONS: usize = 256;

/// Why a session has ended, `unknown` where the filter says what nobody knows; `None`: the record is of none.
pub(crate) fn cause(record: &RequestRecord) -> Option<&'static str> {
    let session = record.websocket.as_ref()?;
    let known = SESSION_ENDS.into_iter().find(|cause| *cause == session.termination_cause);
    known.or(SESSION_ENDS.last().copied())
}

/// Milliseconds from the request for a session to its end.
pub(crate) fn duration_ms(record: &RequestRecord) -> f64 {
    f64::from(record.timings.as_ref().map_or(0, |timings| timings.total_us)) / 1_000.0
}

/// The last sessions that have ended.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<VecDeque<RequestRecord>>);

impl Sessions {
    /// Takes the sessions among records that have become durable.
    pub(crate) fn note(&self, landed: &[Landed]) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for request in landed.iter().filter(|request| request.record.websocket.is_some()) {
            if last.len() >= MAX_SESSIONS {
                last.pop_front();
            }
            last.push_back(request.record.clone());
        }
    }

    /// The last first.
    pub(crate) fn list(&self) -> Vec<RequestRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}
