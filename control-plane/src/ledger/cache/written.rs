//! What earlier requests have written to a provider's cache, as far as later ones are compared with it.
//!
//! A request is put on four shelves, each of which holds a few of the newest: that of its conversation, known by its
//! first message; that of its system prompt and tools; that of prompts which begin alike and have the same tools; and
//! that of its system prompt with whatever tools.

use headroom_api::v1::{BreakpointPlace, CacheLayout, PrefixDigests, RequestRecord, Usage};
use prost::Message;

use super::rules::{Kind, Rules};
use crate::clock::{DAY_MS, UnixMs};

/// One request, as later ones are compared with it.
#[derive(Clone, PartialEq, Message)]
pub struct WrittenPrefix {
    /// When its answer began: before that nothing of it could be read.
    #[prost(int64, tag = "1")]
    pub at_ms: UnixMs,
    /// Its model.
    #[prost(string, tag = "2")]
    pub model: String,
    /// Provider and format.
    #[prost(string, tag = "3")]
    pub route: String,
    /// Whose cache it is: the account, or the hash of the credential.
    #[prost(string, tag = "4")]
    pub owner: String,
    /// What was forwarded.
    #[prost(message, optional, tag = "5")]
    pub forwarded: Option<PrefixDigests>,
    /// What the client has sent; absent where that is the same.
    #[prost(message, optional, tag = "6")]
    pub client: Option<PrefixDigests>,
    /// Where its breakpoints are, and how long its parts.
    #[prost(message, optional, tag = "7")]
    pub layout: Option<CacheLayout>,
    /// Tokens that it has read or written: up to its last breakpoint.
    #[prost(uint64, tag = "8")]
    pub cached: u64,
    /// All its input tokens.
    #[prost(uint64, tag = "9")]
    pub prompt: u64,
    /// Seconds for which it stays.
    #[prost(uint32, tag = "10")]
    pub lifetime: u32,
}

/// The newest requests of a shelf, oldest first.
#[derive(Clone, PartialEq, Message)]
pub struct Shelf {
    /// At most [`Place::most`].
    #[prost(message, repeated, tag = "1")]
    pub written: Vec<WrittenPrefix>,
}

/// What a shelf is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// Requests of a conversation.
    Conversation,
    /// The same system prompt and tools.
    Prompt,
    /// System prompts that begin with the same line, with the same tools.
    Family,
    /// The same system prompt.
    System,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Conversation, Self::Prompt, Self::Family, Self::System];

    /// Requests on a shelf: agents that work in parallel in a conversation; models; prompts that begin in the same way.
    const fn most(self) -> usize {
        match self {
            Self::Conversation => 6,
            Self::Prompt | Self::Family => 4,
            Self::System => 2,
        }
    }

    /// Where a request is looked for; `None`: it has nothing that could be compared.
    pub fn name(self, record: &RequestRecord) -> Option<String> {
        let layout = record.cache_layout.as_ref()?;
        let prefix = record.forwarded_prefix.as_ref()?;
        let (system, tools) = (prefix.system, prefix.tools);
        let whose = format!("{}:{}", record.provider, owner(record));
        match self {
            Self::Conversation if layout.continues => {
                let id = &record.conversation_id;
                (!id.is_empty()).then(|| format!("k:{id}"))
            }
            Self::Conversation => {
                (layout.first_message != 0).then(|| format!("c:{:016x}", layout.first_message))
            }
            Self::Prompt => (system | tools != 0).then(|| format!("p:{system:016x}{tools:016x}:{whose}")),
            Self::Family => (layout.first_line != 0)
                .then(|| format!("f:{:016x}{tools:016x}:{}:{whose}", layout.first_line, record.stack)),
            Self::System => (system != 0).then(|| format!("s:{system:016x}:{whose}")),
        }
    }
}

/// Whose cache a request reads: providers keep organizations apart.
fn owner(record: &RequestRecord) -> &str {
    if record.account.is_empty() { &record.key } else { &record.account }
}

/// All input tokens.
pub fn prompt(usage: &Usage) -> u64 {
    usage.input_tokens.saturating_add(usage.cache_read_tokens).saturating_add(usage.cache_write_tokens)
}

impl WrittenPrefix {
    /// What a request has written; `None` where its answer says nothing of it.
    pub fn of(record: &RequestRecord) -> Option<Self> {
        let usage = record.usage?;
        let layout = record.cache_layout.clone()?;
        let rules = Rules::of(record);
        let first_byte_ms = i64::from(record.timings.unwrap_or_default().first_byte_us) / 1_000;
        let client = record.client_prefix.clone().filter(|_| record.client_prefix != record.forwarded_prefix);
        let cached = match rules.kind {
            Kind::Automatic if !layout.explicit_only => prompt(&usage),
            _ => usage.cache_read_tokens.saturating_add(usage.cache_write_tokens),
        };
        Some(Self {
            at_ms: record.started_unix_ms.saturating_add(first_byte_ms),
            model: record.model.clone(),
            route: format!("{} {}", record.provider, record.api),
            owner: owner(record).to_owned(),
            forwarded: record.forwarded_prefix.clone(),
            client,
            lifetime: lifetime(&rules, &layout, &usage),
            layout: Some(layout),
            cached,
            prompt: prompt(&usage),
        })
    }

    /// What was forwarded.
    pub fn forwarded(&self) -> Option<&PrefixDigests> {
        self.forwarded.as_ref()
    }

    /// What the client has sent.
    pub fn client(&self) -> Option<&PrefixDigests> {
        self.client.as_ref().or(self.forwarded.as_ref())
    }

    /// Seconds for which tools and system prompt stay: they may have a longer lifetime than what stands behind them.
    pub fn head_lifetime(&self) -> u32 {
        let points = self.layout.iter().flat_map(|layout| &layout.breakpoints);
        let of_head =
            points.filter(|point| matches!(point.place(), BreakpointPlace::Tools | BreakpointPlace::System));
        of_head.map(|point| point.lifetime_seconds).max().unwrap_or(0).max(self.lifetime)
    }

    /// Tokens of the prompt up to a message, estimated by the share of its bytes. 0 messages: tools and system prompt.
    pub fn tokens_up_to(&self, messages: u32) -> u64 {
        let (Some(layout), Some(digests)) = (&self.layout, &self.forwarded) else { return 0 };
        share(layout, digests, messages, self.prompt)
    }
}

/// A part of a prompt's tokens, by its share of the bytes.
pub fn share(layout: &CacheLayout, digests: &PrefixDigests, messages: u32, prompt: u64) -> u64 {
    let head = u64::from(layout.tools_bytes) + u64::from(layout.system_bytes);
    let all = head + u64::from(layout.messages_bytes);
    let behind = digests.messages.saturating_sub(messages);
    let at = layout
        .prefix_bytes
        .len()
        .checked_sub(usize::try_from(behind).unwrap_or(usize::MAX).saturating_add(1));
    let some = match (messages, behind) {
        (0, _) => 0,
        (_, 0) => u64::from(layout.messages_bytes),
        // Further back than is known: nothing is claimed of it.
        _ => at.and_then(|at| layout.prefix_bytes.get(at)).map_or(0, |bytes| u64::from(*bytes)),
    };
    if all == 0 {
        0
    } else {
        u64::try_from(u128::from(prompt) * u128::from(head + some) / u128::from(all)).unwrap_or(0)
    }
}

/// How long what a request has written stays.
fn lifetime(rules: &Rules, layout: &CacheLayout, usage: &Usage) -> u32 {
    let asked = layout.breakpoints.last().map_or(0, |point| point.lifetime_seconds);
    match rules.kind {
        Kind::Breakpoints if asked > 0 => asked,
        Kind::Breakpoints if usage.cache_write_1h_tokens > 0 && usage.cache_write_5m_tokens == 0 => 3_600,
        _ => rules.lifetime.max(layout.lifetime_seconds),
    }
}

/// Whether a breakpoint stands among the messages, or after them.
pub fn has_message_breakpoint(layout: &CacheLayout) -> bool {
    layout
        .breakpoints
        .iter()
        .any(|point| matches!(point.place(), BreakpointPlace::Messages | BreakpointPlace::Automatic))
}

/// Whether messages are kept: a breakpoint asks for it, or something between the filter and the model sets breakpoints
/// itself, as gateways and Copilot do.
pub fn keeps_messages(layout: &CacheLayout, usage: &Usage) -> bool {
    let is_used = usage.cache_read_tokens > 0 || usage.cache_write_tokens > 0;
    has_message_breakpoint(layout) || (layout.breakpoints.is_empty() && is_used)
}

impl Shelf {
    /// Puts a request on its shelf. It takes the place of one that says nothing more.
    pub fn put(&mut self, place: Place, mut new: WrittenPrefix) {
        if let Some(layout) = &mut new.layout
            && place != Place::Family
        {
            layout.system_lines = Vec::new();
            layout.volatile_tokens = Vec::new();
        }
        if let Some(layout) = &mut new.layout
            && place != Place::Conversation
        {
            layout.prefix_bytes = Vec::new();
        }
        if place != Place::Conversation {
            new.client = None;
            if let Some(digests) = &mut new.forwarded {
                digests.prefixes = Vec::new();
            }
        }
        self.written.retain(|old| !new.replaces(old, place));
        let at_ms = new.at_ms;
        let at = self.written.partition_point(|old| old.at_ms <= new.at_ms);
        self.written.insert(at, new);
        if self.written.len() > place.most() {
            // A clock that was ahead for a while would leave no room for what is true now.
            let is_ahead = self.newest_ms().saturating_sub(at_ms) > DAY_MS;
            self.written.remove(if is_ahead { self.written.len().saturating_sub(1) } else { 0 });
        }
    }

    /// When something was last put here.
    pub fn newest_ms(&self) -> UnixMs {
        self.written.last().map_or(0, |written| written.at_ms)
    }
}

impl WrittenPrefix {
    fn replaces(&self, old: &Self, place: Place) -> bool {
        let head = |it: &Self| it.forwarded.as_ref().map(|digests| (digests.system, digests.tools));
        let is_same = self.model == old.model && self.route == old.route && self.owner == old.owner;
        old.at_ms <= self.at_ms
            && match place {
                Place::Conversation => {
                    is_same && head(self) == head(old) && self.extends(old) && self.cached >= old.cached
                }
                Place::Prompt => is_same,
                Place::Family | Place::System => head(self) == head(old),
            }
    }

    fn extends(&self, old: &Self) -> bool {
        let (Some(before), Some(now)) = (&old.forwarded, &self.forwarded) else { return false };
        common_messages(before, now) == Some(before.messages)
    }
}

/// How many messages two requests have in common at their beginning. `None`: their digests do not reach back far enough
/// to tell.
pub fn common_messages(before: &PrefixDigests, now: &PrefixDigests) -> Option<u32> {
    let up_to = |digests: &PrefixDigests, messages: u32| {
        let behind = usize::try_from(digests.messages.checked_sub(messages)?).ok()?;
        let at = digests.prefixes.len().checked_sub(behind)?.checked_sub(1)?;
        digests.prefixes.get(at).copied()
    };
    let most = before.messages.min(now.messages);
    let mut is_known = most == 0;
    for messages in (1..=most).rev() {
        let (Some(before), Some(now)) = (up_to(before, messages), up_to(now, messages)) else { break };
        is_known = true;
        if before == now {
            return Some(messages);
        }
    }
    is_known.then_some(0)
}
