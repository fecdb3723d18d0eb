//! Reports that a VM could not send before it ended, left to another VM of the same Envoy.
//!
//! Envoy destroys a VM as soon as its last root context is done, whatever `on_done` answers, and with it the
//! calls that are under way. Only the data that all VMs with one id share outlives it. So the VM leaves whole
//! reports and copies there, and another VM takes them at its next tick and sends them unchanged. A report
//! that had already arrived is still counted once. If Envoy itself ends, no VM takes them; the sidecar knows
//! from earlier reports how many records are missing.

use std::collections::VecDeque;
use std::rc::Rc;

use prost::Message as _;

use crate::call::Call;
use crate::host::{self, NANOS_PER_MS};
use crate::memory::{Memory, Room};

/// The most that all VMs together may leave: about the length of one VM's own queues, since the VM that takes
/// it has to keep it.
const MAX_BYTES: usize = 16 << 20;
/// Other VMs take and leave at the same time; a few attempts are enough.
const ATTEMPTS: usize = 16;

/// The shared data. Two encoded values one after the other decode as one with the entries of both.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UnsentMessages {
    /// Each a `ReportRequest`.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) reports: Vec<Vec<u8>>,
    /// Each an `AdmitRequest`.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(crate) copies: Vec<Vec<u8>>,
}

/// The type of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A `ReportRequest`.
    Report,
    /// An `AdmitRequest`.
    Copies,
}

/// What this VM has taken over from others, for one sidecar.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    queue: VecDeque<(Kind, Vec<u8>)>,
    room: Option<Room>,
    call: Call,
    /// No call is made before this time. Nanoseconds.
    not_before: u64,
}

/// Creates the shared entry early, so that two VMs never create it at the same time.
pub(crate) fn prepare(cluster: &str) -> host::Result<()> {
    if host::shared(&key(cluster))?.is_none() {
        host::share(&key(cluster), &[], 0)?;
    }
    Ok(())
}

/// Leaves something to another VM. False: there is no room for it.
pub(crate) fn leave(cluster: &str, left: &UnsentMessages) -> host::Result<bool> {
    for _ in 0..ATTEMPTS {
        let (mut value, version) = host::shared(&key(cluster))?.unwrap_or_default();
        if value.len().saturating_add(left.encoded_len()) > MAX_BYTES {
            return Ok(false);
        }
        value.extend_from_slice(&left.encode_to_vec());
        if host::share(&key(cluster), &value, version)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn key(cluster: &str) -> String {
    format!("headroom.left.{cluster}")
}

impl Handover {
    /// Takes what other VMs have left, if there is room for it and all that was taken before has been sent.
    pub(crate) fn take(&mut self, cluster: &str, memory: &Rc<Memory>) -> host::Result<()> {
        if !self.queue.is_empty() {
            return Ok(());
        }
        let Some((value, version)) = host::shared(&key(cluster))?.filter(|(value, _)| !value.is_empty())
        else {
            return Ok(());
        };
        let Some(room) = memory.room(value.len()) else { return Ok(()) };
        if !host::share(&key(cluster), &[], version)? {
            return Ok(());
        }
        let UnsentMessages { reports, copies } =
            UnsentMessages::decode(value.as_slice()).unwrap_or_else(|error| {
                log::error!("headroom: what another VM has left cannot be read: {error}");
                UnsentMessages::default()
            });
        self.queue.extend(reports.into_iter().map(|it| (Kind::Report, it)));
        self.queue.extend(copies.into_iter().map(|it| (Kind::Copies, it)));
        self.room = Some(room);
        Ok(())
    }

    /// The next message to send. The caller reports the result with [`Handover::started`].
    pub(crate) fn next(&mut self, now: u64, timeout_ms: u32) -> Option<(Kind, Vec<u8>)> {
        if self.call.is_lost(now) {
            self.fail(now, timeout_ms);
        }
        if self.call != Call::None || now < self.not_before {
            return None;
        }
        let next = self.queue.front().cloned()?;
        self.call = Call::starting(now, timeout_ms);
        Some(next)
    }

    /// Notes whether the host sent it; `None`: it refused.
    pub(crate) fn started(&mut self, token: Option<u32>, now: u64, pause_ms: u32) {
        if !self.call.started(token) {
            self.fail(now, pause_ms);
        }
    }

    /// Whether the answer belongs to a call made here. `has_arrived`: the sidecar has the message.
    pub(crate) fn answered(&mut self, token: u32, has_arrived: bool, now: u64, pause_ms: u32) -> bool {
        if !self.call.awaits(token) {
            return false;
        }
        if has_arrived {
            self.call = Call::None;
            self.queue.pop_front();
            if self.queue.is_empty() {
                self.room = None;
            }
        } else {
            self.fail(now, pause_ms);
        }
        true
    }

    /// Everything that has not been sent, for the end of this VM.
    pub(crate) fn give_back(&mut self) -> UnsentMessages {
        let mut left = UnsentMessages::default();
        for (kind, message) in self.queue.drain(..) {
            match kind {
                Kind::Report => left.reports.push(message),
                Kind::Copies => left.copies.push(message),
            }
        }
        (self.room, self.call) = (None, Call::None);
        left
    }

    /// Moves a failed message to the end: one that the sidecar never takes does not block the others.
    fn fail(&mut self, now: u64, pause_ms: u32) {
        self.call = Call::None;
        self.not_before = now.saturating_add(u64::from(pause_ms).saturating_mul(NANOS_PER_MS));
        if let Some(first) = self.queue.pop_front() {
            self.queue.push_back(first);
        }
    }
}
