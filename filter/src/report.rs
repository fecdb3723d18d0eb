//! Records on their way to the sidecar: a bounded queue, sent in batches, repeated until acknowledged.
//!
//! Nothing here can hold up a request. A full queue drops its oldest record and counts it. A sidecar that is
//! down, slow or sends nonsense only makes the pauses between attempts longer.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash, Hasher as _};

use headroom_api::v1::{
    LimitsResponse, LoggedMessages, ReportRequest, ReportResponse, RequestRecord, WebSocketSession,
};
use prost::Message as _;

use crate::call::Call;
use crate::config::ControlPlane;
use crate::host::NANOS_PER_MS;
use crate::sessions::Sessions;

/// A batch stops before the record that would make it larger than this: a quarter of what a gRPC server
/// accepts by default.
const BATCH_BYTES: usize = 1 << 20;
/// The most bytes of messages that wait to be sent with their records; the oldest are dropped first. With a
/// batch they stay below what a gRPC server accepts.
const LOGGED_BYTES: usize = 1 << 20;
/// While some values of the configuration cannot be used, the sidecar gets a report at least this often, even
/// without records: errors can make every request pass, and then there are no records.
const ERRORS_EVERY_NS: u64 = 60_000_000_000;
/// While requests are open, the VM reports at least this often. Otherwise the sidecar takes it for dead.
const OPEN_EVERY_NS: u64 = 20_000_000_000;
/// The number of `records` in `ReportRequest`.
const RECORDS_FIELD: u32 = 3;
/// The number of `logged_messages` there.
const LOGGED_FIELD: u32 = 6;

/// The queue of one VM for one sidecar.
#[derive(Debug)]
pub(crate) struct Reporter {
    control_plane: ControlPlane,
    vm_id: String,
    last_sequence: u64,
    /// Open requests that will have a record.
    open: u64,
    /// The number of begun requests that the sidecar has acknowledged, and when.
    begun_told: (u64, u64),
    /// That number in the report that is under way.
    begun_sent: u64,
    sessions: Sessions,
    /// Encoded records with their sequence, oldest first.
    queue: VecDeque<(u64, Vec<u8>)>,
    queued_bytes: usize,
    /// Encoded messages of records in the queue, with the sequence of their record, oldest first. They have
    /// their own limit, so that they never push out a record.
    logged: VecDeque<(u64, Vec<u8>)>,
    logged_bytes: usize,
    dropped: u64,
    /// Copies of originals that were dropped since the VM started.
    dropped_originals: u64,
    config_errors: u64,
    /// The number of configuration errors that the sidecar has acknowledged, and when.
    errors_told: (u64, u64),
    /// That number in the report that is under way.
    errors_sent: u64,
    call: Call,
    /// The highest sequence that was ever sent.
    sent: u64,
    /// The first sequence of the latest batch.
    batch_first: u64,
    /// The last sequence of the latest batch; the first one if the batch is empty.
    batch_last: u64,
    /// Whether the latest batch left records behind.
    batch_cut: bool,
    failures: u32,
    /// No attempt is made before this time. Nanoseconds.
    not_before: u64,
    /// The store of the sidecar that acknowledged last; empty before the first answer.
    epoch: String,
}

/// The record of a request that has ended.
#[derive(Debug)]
pub(crate) struct PendingRecord {
    pub(crate) record: RequestRecord,
    /// Its messages, where they are logged.
    pub(crate) logged: Option<LoggedMessages>,
}

/// The result of a report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ReportOutcome {
    /// Records were acknowledged; `more`: the batch left some behind; `new_store`: another store than before
    /// has acknowledged them.
    Forward {
        more: bool,
        new_store: bool,
        /// The budgets that are used up; `None` from a sidecar that has no budgets.
        limits: Option<LimitsResponse>,
    },
    Failed,
    /// The answer belongs to a call that was given up.
    Stale,
}

impl Reporter {
    /// `seed` goes into the VM's id together with the host's randomness.
    pub(crate) fn new(control_plane: ControlPlane, seed: u64) -> Self {
        Self {
            control_plane,
            vm_id: random_id(seed),
            last_sequence: 0,
            open: 0,
            begun_told: (0, 0),
            begun_sent: 0,
            sessions: Sessions::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            logged: VecDeque::new(),
            logged_bytes: 0,
            dropped: 0,
            dropped_originals: 0,
            config_errors: 0,
            errors_told: (0, 0),
            errors_sent: 0,
            call: Call::None,
            sent: 0,
            batch_first: 0,
            batch_last: 0,
            batch_cut: false,
            failures: 0,
            not_before: 0,
            epoch: String::new(),
        }
    }

    pub(crate) fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// Takes a newer configuration for the same sidecar.
    pub(crate) fn configure(&mut self, control_plane: ControlPlane, config_errors: u64) {
        self.control_plane = control_plane;
        self.config_errors = config_errors;
    }

    /// Takes a record, gives it its sequence, and returns how many older ones were dropped for it.
    pub(crate) fn push(&mut self, told: PendingRecord) -> u64 {
        let PendingRecord { mut record, logged } = told;
        self.last_sequence = self.last_sequence.saturating_add(1);
        record.sequence = self.last_sequence;
        let encoded = record.encode_to_vec();
        self.queued_bytes = self.queued_bytes.saturating_add(encoded.len());
        self.queue.push_back((record.sequence, encoded));
        if let Some(logged) = logged {
            let encoded = logged.encode_to_vec();
            self.logged_bytes = self.logged_bytes.saturating_add(encoded.len());
            self.logged.push_back((record.sequence, encoded));
        }
        while self.logged_bytes > LOGGED_BYTES {
            let Some((_, oldest)) = self.logged.pop_front() else { break };
            self.logged_bytes = self.logged_bytes.saturating_sub(oldest.len());
        }
        let mut dropped = 0;
        while self.queue.len() > self.control_plane.queue_records
            || self.queued_bytes > self.control_plane.queue_bytes
        {
            let Some((_, oldest)) = self.queue.pop_front() else { break };
            self.queued_bytes = self.queued_bytes.saturating_sub(oldest.len());
            dropped += 1;
        }
        self.dropped = self.dropped.saturating_add(dropped);
        dropped
    }

    /// Takes the current state of a WebSocket session.
    pub(crate) fn note_session(&mut self, session: WebSocketSession) {
        self.sessions.note(session);
    }

    /// Notes how many copies of originals were dropped since the VM started.
    pub(crate) fn note_dropped_originals(&mut self, dropped: u64) {
        self.dropped_originals = dropped;
    }

    /// How many records the sidecar has not acknowledged.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Notes how many open requests will have a record.
    pub(crate) fn note_open(&mut self, open: u64) {
        self.open = open;
    }

    /// Gives up a call that should have been answered long ago. Returns whether there was one.
    pub(crate) fn give_up(&mut self, now: u64) -> bool {
        let lost = self.call.is_lost(now);
        if lost {
            self.fail(now);
        }
        lost
    }

    /// The next `ReportRequest`, if there is something to send and it is time. The caller sends it and calls
    /// [`Reporter::started`].
    pub(crate) fn next(&mut self, now: u64) -> Option<Vec<u8>> {
        let nothing = self.queue.is_empty()
            && !self.is_begun_due(now)
            && !self.sessions.is_due(now)
            && !self.are_errors_due(now);
        if self.call != Call::None || nothing || now < self.not_before {
            return None;
        }
        self.call = Call::starting(now, self.control_plane.timeout_ms);
        Some(self.batch(now))
    }

    /// Everything that waits, as `ReportRequest`s for another VM: this one ends.
    pub(crate) fn hand_over(&mut self, now: u64) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while !self.queue.is_empty() || messages.is_empty() && self.begun() != self.begun_told.0 {
            messages.push(self.batch(now));
            self.forget(self.batch_last);
        }
        self.begun_told = (self.begun(), now);
        messages
    }

    fn batch(&mut self, now: u64) -> Vec<u8> {
        let mut message = ReportRequest {
            vm_id: self.vm_id.clone(),
            filter_version: env!("CARGO_PKG_VERSION").to_owned(),
            records: Vec::new(),
            dropped_records: self.dropped,
            config_errors: self.config_errors,
            logged_messages: Vec::new(),
            websocket_sessions: self.sessions.send(now),
            dropped_originals: self.dropped_originals,
            begun_records: self.begun(),
            report_interval_ms: self.control_plane.report_interval_ms,
        }
        .encode_to_vec();
        self.errors_sent = self.config_errors;
        self.begun_sent = self.begun();
        self.batch_first = self.queue.front().map_or(0, |(sequence, _)| *sequence);
        self.batch_cut = false;
        self.batch_last = self.batch_first;
        for (sequence, record) in &self.queue {
            // One record always goes: a long one would block the queue otherwise.
            let first = *sequence == self.batch_first;
            if !first && message.len().saturating_add(record.len()) > BATCH_BYTES {
                self.batch_cut = true;
                break;
            }
            append(&mut message, RECORDS_FIELD, record);
            self.batch_last = *sequence;
        }
        self.sent = self.sent.max(self.batch_last);
        for (_, logged) in self.logged.iter().take_while(|(sequence, _)| *sequence <= self.batch_last) {
            append(&mut message, LOGGED_FIELD, logged);
        }
        message
    }

    /// Drops the records up to a sequence, which are durable.
    fn forget(&mut self, last: u64) {
        while let Some((_, record)) = self.queue.pop_front_if(|(sequence, _)| *sequence <= last) {
            self.queued_bytes = self.queued_bytes.saturating_sub(record.len());
        }
        while let Some((_, logged)) = self.logged.pop_front_if(|(sequence, _)| *sequence <= last) {
            self.logged_bytes = self.logged_bytes.saturating_sub(logged.len());
        }
    }

    /// Notes whether the host sent what [`Reporter::next`] gave; `None`: it refused.
    pub(crate) fn started(&mut self, token: Option<u32>, now: u64) {
        if !self.call.started(token) {
            self.fail(now);
        }
    }

    /// Takes the sidecar's answer to a call; `None`: the call failed.
    pub(crate) fn answered(&mut self, token: u32, answer: Option<&[u8]>, now: u64) -> ReportOutcome {
        if !self.call.awaits(token) {
            return ReportOutcome::Stale;
        }
        self.call = Call::None;
        let response = answer.and_then(|bytes| ReportResponse::decode(bytes).ok());
        // An answer that acknowledges nothing of the batch, or records that were never sent, is not from a
        // sidecar that has stored our records.
        let plausible = self.batch_first..=self.sent;
        let Some(response) = response.filter(|it| plausible.contains(&it.acknowledged_sequence)) else {
            self.fail(now);
            return ReportOutcome::Failed;
        };
        self.forget(response.acknowledged_sequence);
        self.sessions.arrived();
        self.errors_told = (self.errors_sent, now);
        self.begun_told = (self.begun_sent, now);
        let new_store = !self.epoch.is_empty() && self.epoch != response.epoch;
        self.epoch = response.epoch;
        self.failures = 0;
        self.not_before = 0;
        ReportOutcome::Forward { more: self.batch_cut, new_store, limits: response.limits }
    }

    /// Requests that have a record or will have one.
    fn begun(&self) -> u64 {
        self.last_sequence.saturating_add(self.open)
    }

    /// Whether the number of requests that have begun has to be reported. If a VM goes silent, the sidecar then knows
    /// how many records are missing.
    fn is_begun_due(&self, now: u64) -> bool {
        let (told, at) = self.begun_told;
        self.begun() != told || self.open > 0 && now.saturating_sub(at) >= OPEN_EVERY_NS
    }

    fn are_errors_due(&self, now: u64) -> bool {
        let (told, at) = self.errors_told;
        self.config_errors != told || self.config_errors > 0 && now.saturating_sub(at) >= ERRORS_EVERY_NS
    }

    fn fail(&mut self, now: u64) {
        self.call = Call::None;
        self.sessions.lost();
        self.failures = self.failures.saturating_add(1);
        let interval = u64::from(self.control_plane.report_interval_ms);
        let doubled = interval.saturating_mul(1 << self.failures.min(20));
        let pause = doubled.min(self.control_plane.max_backoff_ms.into());
        // Every worker of every Envoy loses the sidecar at the same time, but they should not all try again
        // at the same time. So each waits up to a quarter longer.
        let spread = hash(&(&self.vm_id, self.failures)) % (pause / 4 + 1);
        self.not_before = now.saturating_add((pause + spread).saturating_mul(NANOS_PER_MS));
    }
}

/// Appends an encoded message as an element of a repeated field.
fn append(message: &mut Vec<u8>, field: u32, element: &[u8]) {
    prost::encoding::encode_key(field, prost::encoding::WireType::LengthDelimited, message);
    prost::encoding::encode_varint(element.len() as u64, message);
    message.extend_from_slice(element);
}

/// 128 random bits in hexadecimal: two VMs with the same id would overwrite each other's records.
fn random_id(seed: u64) -> String {
    format!("{:016x}{:016x}", random(seed), random(seed))
}

/// 64 random bits: the standard library seeds its hash maps from the host's random source.
pub(crate) fn random(seed: u64) -> u64 {
    RandomState::new().hash_one(seed)
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
