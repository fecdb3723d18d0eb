//! Copies of what lossy forms leave out, for the sidecar's store: for people, MCP and sub-agents. No form depends
//! on them, so they go once the request has left, with the reports, and what has no room is dropped and counted.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use headroom_api::v1::{self, AdmitRequest, ContentEncoding};
use headroom_compress::Outcome;
use prost::Message as _;

use crate::host::NANOS_PER_MS;
use crate::memory::{Memory, Room};

/// What one call carries, beside its first copy. A gRPC server accepts 4 MiB by default.
const MAX_CALL_BYTES: usize = 3 << 20;
/// Copies that wait; the oldest go first.
const MAX_QUEUED_BYTES: usize = 32 << 20;
/// Addresses that are remembered as sent. The store knows what it has: to send one twice costs only the way.
const MAX_KNOWN: usize = 16_384;
/// An answer that has not come by then is given up: the root context that asked may be gone.
const LOST_AFTER_MS: u64 = 10_000;

/// The copies of one VM for one sidecar.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    queue: VecDeque<Copy>,
    queued_bytes: usize,
    sent: HashSet<(Rc<str>, String)>,
    call: Option<Call>,
    /// Since the VM started.
    dropped: u64,
}

/// A copy that waits.
#[derive(Debug)]
struct Copy {
    tenant: Rc<str>,
    conversation_id: Rc<str>,
    original: v1::Original,
    _room: Room,
}

/// A call that is not answered yet.
#[derive(Debug)]
struct Call {
    token: u32,
    since: u64,
    addresses: Vec<(Rc<str>, String)>,
}

impl Copies {
    /// Takes what a request leaves out and the store is not known to have. How many had no room.
    pub(crate) fn add(
        &mut self,
        tenant: &str,
        conversation_id: &str,
        outcome: &Outcome<'_>,
        memory: &Rc<Memory>,
    ) -> u64 {
        let (tenant, conversation_id): (Rc<str>, Rc<str>) = (Rc::from(tenant), Rc::from(conversation_id));
        let before = self.dropped;
        for original in &outcome.originals {
            let address = (Rc::clone(&tenant), original.hash.to_string());
            if self.sent.contains(&address) {
                continue;
            }
            let text = original.text();
            let length = text.len();
            let Some(room) = memory.room(length).filter(|_| length <= MAX_QUEUED_BYTES) else {
                self.dropped += 1;
                continue;
            };
            while self.queued_bytes.saturating_add(length) > MAX_QUEUED_BYTES {
                let Some(oldest) = self.queue.pop_front() else { break };
                self.queued_bytes -= oldest.original.content.len();
                self.sent.remove(&(oldest.tenant, oldest.original.hash));
                self.dropped += 1;
            }
            if self.sent.len() >= MAX_KNOWN {
                self.sent.clear();
            }
            self.queued_bytes += length;
            let original = v1::Original {
                hash: address.1.clone(),
                length: length as u64,
                content: text.into_owned().into_bytes(),
                encoding: ContentEncoding::Identity.into(),
                tool: original.tool.to_string(),
                kind: original.kind.name().to_owned(),
                tokens_before: original.tokens_before,
                tokens_after: original.tokens_after,
            };
            self.sent.insert(address);
            let (tenant, conversation_id) = (Rc::clone(&tenant), Rc::clone(&conversation_id));
            self.queue.push_back(Copy { tenant, conversation_id, original, _room: room });
        }
        self.dropped - before
    }

    /// The next call to make, and what it carries. `None`: nothing waits, or an answer is awaited.
    pub(crate) fn next(&mut self, now: u64) -> Option<(Vec<u8>, Vec<(Rc<str>, String)>)> {
        self.call.take_if(|call| now.saturating_sub(call.since) > LOST_AFTER_MS * NANOS_PER_MS);
        if self.call.is_some() {
            return None;
        }
        let first = self.queue.front()?;
        let (tenant, conversation_id) = (Rc::clone(&first.tenant), Rc::clone(&first.conversation_id));
        let (mut originals, mut addresses, mut bytes) = (Vec::new(), Vec::new(), 0usize);
        while let Some(copy) = self.queue.front() {
            let same = copy.tenant == tenant && copy.conversation_id == conversation_id;
            let length = copy.original.content.len();
            if !same || (bytes.saturating_add(length) > MAX_CALL_BYTES && !originals.is_empty()) {
                break;
            }
            let Some(copy) = self.queue.pop_front() else { break };
            bytes += length;
            self.queued_bytes -= length;
            addresses.push((copy.tenant, copy.original.hash.clone()));
            originals.push(copy.original);
        }
        let request = AdmitRequest {
            tenant: tenant.to_string(),
            conversation_id: conversation_id.to_string(),
            originals,
        };
        Some((request.encode_to_vec(), addresses))
    }

    /// Notes what became of starting a call; `None`: the host did not make it. How many copies are lost by that.
    pub(crate) fn started(&mut self, token: Option<u32>, addresses: Vec<(Rc<str>, String)>, now: u64) -> u64 {
        match token {
            Some(token) => {
                self.call = Some(Call { token, since: now, addresses });
                0
            }
            None => self.lose(addresses),
        }
    }

    /// Takes the answer to a call. `None`: it is the answer to something else; otherwise how many are lost.
    pub(crate) fn answered(&mut self, token: u32, stored: bool) -> Option<u64> {
        let call = self.call.take_if(|call| call.token == token)?;
        Some(if stored { 0 } else { self.lose(call.addresses) })
    }

    /// They are sent once more when they come by again.
    fn lose(&mut self, addresses: Vec<(Rc<str>, String)>) -> u64 {
        let lost = addresses.len() as u64;
        for address in addresses {
            self.sent.remove(&address);
        }
        self.dropped += lost;
        lost
    }
}
