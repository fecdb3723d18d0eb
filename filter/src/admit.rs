//! Admission: the originals of lossy replacements are stored before the request leaves (I5).
//!
//! One unary call per request at most, with the originals that this VM has not seen acknowledged, while
//! the request waits at the end of its body. What the store acknowledges may go out lossy. From the
//! first block on whose original is not acknowledged, for whatever reason, the request goes out
//! lossless:
//!
//! * **I1.** The sidecar can only make a request larger than it could be, never make it fail.
//! * **I3.** Blocks before that one keep their form, and the tool list is the same in both forms, so the
//!   provider's cache holds up to that block. The block itself, and what follows, is written anew once
//!   when the sidecar fails and once when it is back. It cannot be avoided: to repeat the lossy form
//!   would need the acknowledgement that is missing, and to stay lossless for ever would need a memory
//!   that all VMs share.
//!
//! A request whose originals are all acknowledged makes no call, unless the sidecar has not been heard
//! of for a while. Then the call carries no original and only asks for the epoch.
//!
//! **Compression.** Originals travel as they are, and long ones as zstd: from `admit_zstd_bytes` on, once an
//! answer has said that the sidecar reads it. A VM that has heard nothing, or a new epoch, which may be an
//! older sidecar, sends plain text; so does one whose sidecar has not stored everything, until the next
//! epoch. In any case the sidecar compares what it has read with the address before it acknowledges it.
//! To compress takes the time of a worker that serves nobody else meanwhile. Measured as WASM in V8 on 256 KiB
//! pieces of recorded tool outputs:
//!
//! | encoder | per 100 KB | times smaller | more module |
//! |---|---|---|---|
//! | `ruzstd` 0.9, fastest | 1.74 ms | 2.71 | 59 KB |
//! | `structured-zstd` (other pieces, of 100 KB) | 0.76 ms | 3.2 | 720 KB |
//!
//! It is `ruzstd`: V8 compiles the whole module at every start, and such originals are rare.
//!
//! On loopback that gains nothing: a sidecar that is sent 100 KB as zstd acknowledges no sooner (`headroomd`'s
//! example `admit`: p50 19.8 ms against 19.2 ms on two busy cores), the time goes into making them durable. To
//! another node, what is longer than HTTP/2's first window of 64 KB waits for round trips, which is where
//! the default comes from: beyond 256 KiB there are several of them to save.

use std::sync::Arc;

use headroom_api::v1::{self, AdmitRequest, AdmitResponse, ContentEncoding};
use headroom_compress::Original;
use prost::Message as _;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::acks::Acknowledged;
use crate::breaker::{Breaker, Limits};
use crate::config::ControlPlane;

/// What one call carries, beside its first original; the others wait for the next request. It has to be
/// written within the deadline.
const MAX_ADMIT_BYTES: usize = 3 << 20;

/// What the VM knows of the store behind one sidecar.
#[derive(Debug, Default)]
pub(crate) struct Admissions {
    acks: Acknowledged,
    breaker: Breaker,
    zstd: Zstd,
}

/// Whether the sidecar reads zstd.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Zstd {
    /// It has not said so.
    #[default]
    Unknown,
    Read,
    /// It has not stored everything that it was sent. The reason may be another one; but what it is sent
    /// as it is, cannot be misread.
    Distrusted,
}

/// An original that a request needs: the block that it is of, and its hash.
pub(crate) type Need = (usize, Arc<str>);

/// What a request with originals has to do.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Everything is stored.
    Forward,
    /// To make this call, and to wait for its answer.
    Ask(Ask),
    /// The sidecar is left alone for now.
    Open,
}

/// A call to make.
#[derive(Debug)]
pub(crate) struct Ask {
    /// An encoded `AdmitRequest`.
    pub(crate) message: Vec<u8>,
    /// The hashes of the originals in it.
    pub(crate) sent: Vec<Arc<str>>,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answered {
    /// All that was sent is stored.
    Stored,
    /// Not all of it is.
    Incomplete,
    /// There was no answer, or none that can be read.
    Failed,
}

impl Admissions {
    /// The sidecar has answered some call from the store of this epoch.
    pub(crate) fn heard(&mut self, epoch: &str, now: u64) {
        if self.acks.heard(epoch, now) {
            self.zstd = Zstd::Unknown;
        }
    }

    /// What to do about a request's originals.
    pub(crate) fn plan(
        &mut self,
        control_plane: &ControlPlane,
        tenant: &str,
        conversation_id: &str,
        originals: &[Original<'_>],
        now: u64,
    ) -> Plan {
        let mut missing: Vec<&Original<'_>> = Vec::new();
        for original in originals {
            let listed = missing.iter().any(|it| it.hash == original.hash);
            if !listed && !self.acks.holds(tenant, &original.hash, now) {
                missing.push(original);
            }
        }
        if missing.is_empty() && self.acks.in_touch(now) {
            return Plan::Forward;
        }
        if !self.breaker.allows(limits(control_plane), now) {
            return Plan::Open;
        }
        let mut bytes = 0usize;
        let mut carried = Vec::new();
        let mut sent = Vec::new();
        for original in missing {
            let text = original.text();
            bytes = bytes.saturating_add(text.len());
            if bytes > MAX_ADMIT_BYTES && !sent.is_empty() {
                break;
            }
            sent.push(Arc::clone(&original.hash));
            let length = text.len() as u64;
            let long = (1..=text.len()).contains(&control_plane.admit_zstd_bytes);
            let frame = (long && self.zstd == Zstd::Read)
                .then(|| compress_to_vec(text.as_bytes(), CompressionLevel::Fastest));
            let (encoding, content) = match frame {
                Some(frame) if frame.len() < text.len() => (ContentEncoding::Zstd, frame),
                _ => (ContentEncoding::Identity, text.into_owned().into_bytes()),
            };
            carried.push(v1::Original {
                hash: original.hash.to_string(),
                length,
                content,
                encoding: encoding.into(),
                tool: original.tool.to_string(),
                kind: original.kind.name().to_owned(),
                tokens_before: original.tokens_before,
                tokens_after: original.tokens_after,
            });
        }
        let request = AdmitRequest {
            tenant: tenant.to_owned(),
            conversation_id: conversation_id.to_owned(),
            originals: carried,
        };
        Plan::Ask(Ask { message: request.encode_to_vec(), sent })
    }

    /// Learns from the answer to a call; `None`: the call failed. Says also how many originals are stored
    /// now, and whether the sidecar is left alone from now on.
    pub(crate) fn answered(
        &mut self,
        control_plane: &ControlPlane,
        tenant: &str,
        sent: &[Arc<str>],
        answer: Option<&[u8]>,
        now: u64,
    ) -> (Answered, usize, bool) {
        let limits = limits(control_plane);
        let Some(response) = answer.and_then(|bytes| AdmitResponse::decode(bytes).ok()) else {
            return (Answered::Failed, 0, self.breaker.failed(limits, now));
        };
        self.heard(&response.epoch, now);
        if self.zstd == Zstd::Unknown && response.encodings().any(|it| it == ContentEncoding::Zstd) {
            self.zstd = Zstd::Read;
        }
        // Only what was sent: a sidecar that names something else has mixed up its answers.
        let stored = sent.iter().filter(|hash| response.stored.iter().any(|name| **name == ***hash));
        let stored: Vec<&str> = stored.map(|hash| &**hash).collect();
        let count = stored.len();
        self.acks.stored(tenant, stored, response.ttl_seconds, now);
        if count == sent.len() {
            self.breaker.succeeded();
            (Answered::Stored, count, false)
        } else {
            self.zstd = Zstd::Distrusted;
            (Answered::Incomplete, count, self.breaker.failed(limits, now))
        }
    }

    /// How many of the request's blocks may be lossy: those before the first whose original is not
    /// known to be stored. `None`: all of them.
    pub(crate) fn lossy_blocks(&self, tenant: &str, needs: &[Need], now: u64) -> Option<usize> {
        if !self.acks.in_touch(now) {
            return Some(0);
        }
        let missing = needs.iter().find(|(_, hash)| !self.acks.holds(tenant, hash, now));
        missing.map(|(block, _)| *block)
    }
}

fn limits(control_plane: &ControlPlane) -> Limits {
    Limits { failures: control_plane.breaker_failures, pause_ms: control_plane.breaker_pause_ms }
}
