//! What goes to the sidecar, and what it answers: reports, copies of originals, budgets, and reports that other VMs could
//! not send.

use headroom_api::v1::{LimitsResponse, WebSocketSession};
use headroom_compress::Outcome;
use prost::Message as _;

use super::Settings;
use crate::copies::{self, Copies};
use crate::deferred::{self, Outlet as _};
use crate::handover::{self, Kind, UnsentMessages};
use crate::host::NANOS_PER_MS;
use crate::report::{PendingRecord, ReportOutcome};
use crate::rpc;

impl Settings {
    /// Sends on a tick: records, copies, and the question which budgets are used up. `open_records`: how many
    /// open requests will have a record.
    pub(crate) fn report_what_is_due(&self, open_records: impl Fn(&Self) -> usize) {
        if self.is_report_due() {
            self.note_open(open_records(self));
            if self.send_report() {
                self.report_gone();
            }
            self.send_copies();
            self.ask_for_limits();
        }
    }

    /// Takes the sidecar's answer to one of these calls; `None`: the call failed.
    pub(crate) fn on_grpc_answer(&self, token: u32, answer: Option<&[u8]>) {
        if !self.told_limits(token, answer)
            && !self.handover_answered(token, answer)
            && !self.copies_answered(token, answer)
        {
            self.answered(token, answer);
        }
    }

    /// Queues copies of what a request leaves out, if there is a sidecar.
    pub(crate) fn copy_originals(&self, tenant: &str, conversation_id: &str, outcome: &Outcome<'_>) {
        if self.config.control_plane.is_some() {
            let dropped = self.with_copies(|copies| copies.push(tenant, conversation_id, &outcome.originals));
            self.metrics.copies_dropped(dropped);
        }
    }

    /// Sends the next copies.
    fn send_copies(&self) {
        let Some(control_plane) = &self.config.control_plane else { return };
        let now = self.now();
        let message = self.with_copies(|copies| {
            copies.give_up(now);
            copies.next(now)
        });
        let Some(message) = message else { return };
        let token = rpc::admit(control_plane, &message).map_err(|refused| self.refused(refused)).ok();
        self.copies.borrow_mut().started(token, self.now());
    }

    /// Takes the answer to that call. False: the answer belongs to another call.
    fn copies_answered(&self, token: u32, answer: Option<&[u8]>) -> bool {
        let now = self.now();
        match self.with_copies(|copies| copies.answered(token, answer, now)) {
            copies::CopiesOutcome::Taken { stored, refused } => {
                self.metrics.copied(stored);
                self.metrics.copies_dropped(refused);
                self.send_copies();
                true
            }
            copies::CopiesOutcome::Failed => true,
            copies::CopiesOutcome::Stale => false,
        }
    }

    /// Whether both send their reports through the same queue.
    pub(crate) fn shares_reporter(&self, other: &Self) -> bool {
        self.reporter.is_some() && self.queue() == other.queue()
    }

    /// Notes how many open requests will have a record.
    pub(crate) fn note_open(&self, open: usize) {
        if let Some(reporter) = &self.reporter {
            reporter.borrow_mut().note_open(open as u64);
        }
    }

    /// Ended requests whose records are not complete.
    pub(crate) fn ended_records(&self) -> usize {
        self.requests.deferred.ended(self.queue())
    }

    /// Leaves everything that the sidecar has not acknowledged to another VM of this Envoy.
    pub(crate) fn hand_over(&self) {
        let (Some(reporter), Some(control_plane)) = (&self.reporter, &self.config.control_plane) else {
            return;
        };
        let mut left = self.handover.borrow_mut().give_back();
        let records = reporter.borrow().waiting();
        left.reports.extend(reporter.borrow_mut().hand_over(self.now()));
        let copies = self.with_copies(Copies::hand_over);
        let without_copies = left.clone();
        left.copies.extend(copies);
        if left == UnsentMessages::default() {
            return;
        }
        let cluster = &control_plane.cluster;
        let is_left = handover::leave(cluster, &left).and_then(|is_left| {
            // Copies are sent again with the next request of their conversation.
            if is_left { Ok(true) } else { handover::leave(cluster, &without_copies) }
        });
        let is_left = is_left.unwrap_or_else(|refused| {
            self.refused(refused);
            false
        });
        if records > 0 {
            let fate = if is_left {
                "another VM of this Envoy sends them, if there is one"
            } else {
                "they are lost"
            };
            log::warn!(
                "headroom: a VM ends with {records} records that the sidecar has not acknowledged: {fate}"
            );
        }
    }

    /// Sends what other VMs could not send.
    pub(crate) fn take_over(&self) {
        let Some(control_plane) = &self.config.control_plane else { return };
        let now = self.now();
        let next = {
            let mut handover = self.handover.borrow_mut();
            if let Err(refused) = handover.take(&control_plane.cluster, &self.requests.memory) {
                self.refused(refused);
            }
            handover.next(now, control_plane.timeout_ms)
        };
        let Some((kind, message)) = next else { return };
        let token = match kind {
            Kind::Report => rpc::report(control_plane, &message),
            Kind::Copies => rpc::admit(control_plane, &message),
        };
        let token = token.map_err(|refused| self.refused(refused)).ok();
        self.handover.borrow_mut().started(token, now, control_plane.report_interval_ms);
    }

    /// Takes the answer to that call. False: the answer belongs to another call.
    fn handover_answered(&self, token: u32, answer: Option<&[u8]>) -> bool {
        let Some(control_plane) = &self.config.control_plane else { return false };
        let pause_ms = control_plane.report_interval_ms;
        let is_ours = self.handover.borrow_mut().answered(token, answer.is_some(), self.now(), pause_ms);
        if is_ours && answer.is_some() {
            self.take_over();
        }
        is_ours
    }

    /// Runs a function on the copies, and updates the memory budget by their bytes.
    fn with_copies<T>(&self, run: impl FnOnce(&mut Copies) -> T) -> T {
        let mut copies = self.copies.borrow_mut();
        let before = copies.queued_bytes();
        let result = run(&mut copies);
        self.requests.memory.exchange(before, copies.queued_bytes());
        result
    }

    /// Queues the record of a request.
    pub(crate) fn report(&self, told: PendingRecord) {
        let Some(reporter) = &self.reporter else { return };
        let dropped = reporter.borrow_mut().push(told);
        if dropped > 0 {
            self.metrics.records_dropped(dropped);
        }
    }

    /// Takes the current state of a WebSocket session, for the next report.
    pub(crate) fn note_session(&self, session: WebSocketSession) {
        if let Some(reporter) = &self.reporter {
            reporter.borrow_mut().note_session(session);
        }
    }

    /// Whether a report is due on this tick: ticks come more often than reports.
    fn is_report_due(&self) -> bool {
        let interval = self.config.control_plane.as_ref().map_or(0, |it| it.report_interval_ms);
        // Ticks are not quite even; a report goes on the tick that is nearest to its time.
        let now = self.now().saturating_add(u64::from(interval.min(deferred::TICK_MS)) * NANOS_PER_MS / 2);
        now >= self.next_report.get()
    }

    /// Notes that a report was sent: the next one is due after the interval. If there is nothing to send,
    /// every tick checks again, so that what comes after a pause is sent at once.
    fn report_gone(&self) {
        let interval = self.config.control_plane.as_ref().map_or(0, |it| it.report_interval_ms);
        self.next_report.set(self.now().saturating_add(u64::from(interval) * NANOS_PER_MS));
    }

    /// Sends a report. False: there is nothing to send, or it is not the time.
    fn send_report(&self) -> bool {
        let Some(reporter) = &self.reporter else { return false };
        let Some(control_plane) = &self.config.control_plane else { return false };
        let now = self.now();
        let lost = reporter.borrow_mut().give_up(now);
        if lost {
            self.metrics.report_failed();
        }
        reporter.borrow_mut().note_dropped_originals(self.copies.borrow().dropped());
        let next = reporter.borrow_mut().next(now);
        let Some(message) = next else { return false };
        let token = match rpc::report(control_plane, &message) {
            Ok(token) => {
                self.metrics.report_sent();
                Some(token)
            }
            Err(refused) => {
                self.refused(refused);
                self.metrics.report_failed();
                None
            }
        };
        reporter.borrow_mut().started(token, self.now());
        true
    }

    /// Asks which budgets are used up, if no report has brought the answer lately.
    fn ask_for_limits(&self) {
        let now = self.now();
        let Some(control_plane) = &self.config.control_plane else { return };
        if !self.limits.borrow().is_due(now) {
            return;
        }
        let token = rpc::limits(control_plane).map_err(|refused| self.refused(refused)).ok();
        self.limits.borrow_mut().asked(token, now);
    }

    /// Takes the answer to that question. False: the answer belongs to another call.
    fn told_limits(&self, token: u32, answer: Option<&[u8]>) -> bool {
        if !self.limits.borrow_mut().is_answered_by(token) {
            return false;
        }
        if let Some(said) = answer.and_then(|answer| LimitsResponse::decode(answer).ok()) {
            self.limits.borrow_mut().heard(said, self.now());
        }
        true
    }

    fn answered(&self, token: u32, answer: Option<&[u8]>) {
        let Some(reporter) = &self.reporter else { return };
        let now = self.now();
        let answered = reporter.borrow_mut().answered(token, answer, now);
        match answered {
            ReportOutcome::Forward { more, new_store, limits } => {
                if let Some(limits) = limits {
                    self.limits.borrow_mut().heard(limits, now);
                }
                if new_store {
                    log::info!("headroom: the sidecar answers from another store than before");
                }
                if more {
                    self.send_report();
                }
            }
            ReportOutcome::Stale => {}
            ReportOutcome::Failed => self.metrics.report_failed(),
        }
    }
}
