//! The only task that writes. Admissions that arrive during a commit wait and are committed together, so that many
//! requests share one sync of the disk. Nothing is acknowledged before its group is durable. Admissions whose caller
//! no longer waits are left out, so that a slow disk does no useless work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::counts::{Counts, UnwrittenCount};
use super::store::{Admission, AdmissionOutcome, OriginalsStore, RetentionLimits};
use crate::clock::Clock;

/// Approximate bytes in one transaction; the admission that reaches this limit closes the group. About what
/// a disk writes while a caller waits.
const GROUP_BYTES: i64 = 4 << 20;

/// Why originals were not stored. The caller may send them again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AdmitError {
    /// The queue is full.
    #[error("too many originals wait to be written: they are not kept")]
    Busy,
    /// The store did not accept them.
    #[error("the store did not take the originals: they are not kept")]
    Store,
    /// The sidecar is stopping.
    #[error("the sidecar is stopping: the originals are not kept")]
    Stopping,
}

/// The durable part of a request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Receipt {
    /// The addresses of the durable originals.
    pub stored: Vec<String>,
    /// See [`originals::store`](crate::originals::store).
    pub epoch: String,
}

/// A job for the writer.
pub(super) enum Job {
    Admit {
        admissions: Vec<Admission>,
        answer: oneshot::Sender<Result<Receipt, AdmitError>>,
        /// Room in the queue, released after the write.
        _room: OwnedSemaphorePermit,
        _unwritten: UnwrittenCount,
    },
    Read {
        tenant: String,
        hash: String,
    },
}

/// Writes in groups.
pub(super) struct Writer {
    pub(super) store: Arc<dyn OriginalsStore>,
    pub(super) keep: RetentionLimits,
    pub(super) clock: Clock,
    pub(super) counts: Arc<Counts>,
}

/// Admissions of one request, as a range of its group, and the caller that waits for them.
struct PendingAdmission {
    admissions: usize,
    answer: oneshot::Sender<Result<Receipt, AdmitError>>,
    _room: OwnedSemaphorePermit,
    _unwritten: UnwrittenCount,
}

impl Writer {
    /// Ends after all senders are gone and everything in the queue is written.
    pub(super) async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.recv().await {
            let (mut group, mut waiting, mut read) = (Vec::new(), Vec::new(), Vec::new());
            let (mut bytes, mut next) = (0, Some(first));
            while let Some(job) = next {
                match job {
                    Job::Admit { answer, .. } if answer.is_closed() => {}
                    Job::Admit { mut admissions, answer, _room, _unwritten } => {
                        bytes += admissions.iter().map(Admission::bytes).sum::<i64>();
                        waiting.push(PendingAdmission {
                            admissions: admissions.len(),
                            answer,
                            _room,
                            _unwritten,
                        });
                        group.append(&mut admissions);
                    }
                    Job::Read { tenant, hash } => read.push((tenant, hash)),
                }
                next = if bytes < GROUP_BYTES { jobs.try_recv().ok() } else { None };
            }
            if !waiting.is_empty() {
                self.admit(&group, waiting).await;
            }
            if !read.is_empty()
                && let Err(error) = self.store.touch(&read, &self.keep, (self.clock)()).await
            {
                tracing::warn!(message = "Retrievals were not noted.", %error);
            }
        }
    }

    async fn admit(&self, group: &[Admission], waiting: Vec<PendingAdmission>) {
        let admitted = match self.store.admit(group, &self.keep, (self.clock)()).await {
            Ok(admitted) => admitted,
            Err(error) => {
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(message = "Originals were not kept. Requests carry their own; retrieving them by hand finds nothing.", %error);
                for waiting in waiting {
                    waiting.answer.send(Err(AdmitError::Store)).ok();
                }
                return;
            }
        };
        let add = |count: &AtomicU64, more: u64| count.fetch_add(more, Ordering::Relaxed);
        add(&self.counts.evicted, admitted.evicted);
        add(&self.counts.expired, admitted.expired);
        let mut fates = group.iter().zip(&admitted.fates);
        for waiting in waiting {
            let mut stored = Vec::with_capacity(waiting.admissions);
            for (admission, fate) in fates.by_ref().take(waiting.admissions) {
                match fate {
                    AdmissionOutcome::Stored => {
                        add(&self.counts.stored, 1);
                        add(&self.counts.stored_bytes, admission.content.len() as u64);
                    }
                    AdmissionOutcome::Refreshed => {
                        add(&self.counts.refreshed, 1);
                    }
                    AdmissionOutcome::Refused => {
                        add(&self.counts.refused_full, 1);
                        continue;
                    }
                }
                stored.push(admission.hash.clone());
            }
            // the caller may be gone; durable originals stay
            waiting.answer.send(Ok(Receipt { stored, epoch: admitted.epoch.clone() })).ok();
        }
    }
}
