//! What one request could have read from its provider's cache, and the one reason why it did not.
//!
//! It is compared with the request that it has most in common with: of its conversation, or else one with the same
//! system prompt and tools, or else one whose system prompt or tools are nearly the same. What that request left in the
//! cache is what this one could have read. Each reason in the order makes those after it irrelevant: a prompt that is
//! too short is not cached in any case; without a breakpoint nothing is kept; what has lapsed cannot be read by any
//! request; another model, other tools, another system prompt and another history each come before what follows them in
//! the prompt.

use headroom_api::names::COMPRESS_API;
use headroom_api::v1::{
    BreakpointPlace, CacheLayout, CacheVerdict, MissReason, PrefixDigests, RequestOutcome, RequestRecord,
    Usage, VolatileClass,
};

use super::rules::{Kind, Rules};
use super::written::{WrittenPrefix, common_messages, has_message_breakpoint, keeps_messages, prompt, share};

/// A share that is estimated from bytes may be wrong by one part of this many. English and code have 3.5 to 4.5
/// bytes a token.
const ESTIMATE_PARTS: u64 = 6;
/// The same where nothing but the estimate says that something was missed: Chinese, logs and hashes have half as many
/// bytes a token.
const DOUBTFUL_PARTS: u64 = 2;
/// Messages that requests with other prompts or owners must have in common to be of one conversation: with the model's
/// answer, which no two conversations share by chance.
const SURELY_SAME: u32 = 2;
/// Messages that the second request of a conversation has: question, answer, result.
const SECOND_REQUEST: u32 = 3;
/// Classes of a line that are reported.
const MAX_CLASSES: usize = 5;

/// What earlier requests have written that may be compared with one.
#[derive(Clone, Copy, Debug, Default)]
pub struct EarlierRequests<'k> {
    /// Of its conversation.
    pub conversation: &'k [WrittenPrefix],
    /// With its system prompt and tools.
    pub prompt: &'k [WrittenPrefix],
    /// With its tools, and a system prompt that begins in the same way.
    pub family: &'k [WrittenPrefix],
    /// With its system prompt.
    pub system: &'k [WrittenPrefix],
}

/// What is found out about a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What is kept with the record.
    pub told: CacheVerdict,
    /// The rules that it was under.
    pub rules: Rules,
    /// The request before it in its conversation.
    pub before: Option<PreviousRequest>,
    /// What it could have read if breakpoints stood everywhere and lived five minutes.
    pub with_breakpoints: u64,
}

/// What matters of the request before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreviousRequest {
    /// Time between the two.
    pub gap_ms: i64,
    /// Tokens that it has left in the cache.
    pub cached: u64,
    /// Seconds for which it stays.
    pub lifetime: u32,
}

/// A request on the way to its verdict.
struct Case<'r> {
    record: &'r RequestRecord,
    layout: &'r CacheLayout,
    forwarded: &'r PrefixDigests,
    client: &'r PrefixDigests,
    usage: Usage,
    prompt: u64,
    rules: Rules,
    route: String,
    owner: &'r str,
}

/// What is known of a request's cache; `None` where its answer says nothing of it. An answer that was given again tells of
/// the request before, and no provider's cache was read for it.
pub fn verdict(record: &RequestRecord, known: EarlierRequests<'_>) -> Option<Verdict> {
    let usage = record.usage?;
    if record.status >= 400 || record.api == COMPRESS_API || record.outcome() == RequestOutcome::Cached {
        return None;
    }
    let rules = Rules::of(record);
    let Some(case) = Case::new(record, usage, rules) else {
        let told = CacheVerdict { readable_tokens: usage.cache_read_tokens, ..CacheVerdict::default() };
        let mut verdict = Verdict { told, rules, before: None, with_breakpoints: usage.cache_read_tokens };
        if rules.kind != Kind::None {
            verdict.told.set_reason(MissReason::Unknown);
        }
        return Some(verdict);
    };
    Some(case.verdict(known))
}

impl<'r> Case<'r> {
    fn new(record: &'r RequestRecord, usage: Usage, rules: Rules) -> Option<Self> {
        let forwarded = record.forwarded_prefix.as_ref()?;
        Some(Self {
            record,
            layout: record.cache_layout.as_ref()?,
            forwarded,
            client: record.client_prefix.as_ref().unwrap_or(forwarded),
            usage,
            prompt: prompt(&usage),
            rules,
            route: format!("{} {}", record.provider, record.api),
            owner: if record.account.is_empty() { &record.key } else { &record.account },
        })
    }

    fn verdict(&self, known: EarlierRequests<'_>) -> Verdict {
        let read = self.usage.cache_read_tokens;
        let mut verdict = Verdict {
            told: CacheVerdict { readable_tokens: read, ..CacheVerdict::default() },
            rules: self.rules,
            before: None,
            with_breakpoints: read,
        };
        if self.rules.kind == Kind::None {
            return verdict;
        }
        match self.nearest(known.conversation) {
            Some((before, common)) => self.compare(before, common, &mut verdict),
            None => self.begin(known, &mut verdict),
        }
        if self.is_lost(verdict.told.reason()) {
            let not_read = self.prompt.saturating_sub(read);
            let lost = verdict.told.readable_tokens.saturating_sub(read).min(not_read);
            verdict.told.lost_tokens = lost;
            if self.was_written(verdict.told.reason()) {
                verdict.told.rewritten_tokens = lost.min(self.usage.cache_write_tokens);
            }
        }
        verdict
    }

    fn is_lost(&self, reason: MissReason) -> bool {
        !matches!(reason, MissReason::Unspecified | MissReason::FirstRequest | MissReason::Unknown)
    }

    /// Whether what was lost had been in the cache.
    fn was_written(&self, reason: MissReason) -> bool {
        !matches!(reason, MissReason::BelowMinimum | MissReason::NoBreakpoint)
    }

    /// What had been written when this request began.
    fn earlier<'k>(&self, all: &'k [WrittenPrefix]) -> impl DoubleEndedIterator<Item = &'k WrittenPrefix> {
        let started = self.record.started_unix_ms;
        all.iter().filter(move |written| written.at_ms <= started)
    }

    /// The request of the conversation with which it has most messages in common, and how many; of several the newest.
    fn nearest<'k>(&self, conversation: &'k [WrittenPrefix]) -> Option<(&'k WrittenPrefix, Common)> {
        let common = |before: &WrittenPrefix| {
            let (forwarded, client) = (before.forwarded()?, before.client()?);
            if self.layout.continues {
                let forwarded = forwarded.messages;
                return Some(Common {
                    surely: forwarded,
                    forwarded,
                    is_extended: true,
                    client_extended: true,
                });
            }
            // They have the first message in common, or they would not be on one shelf.
            let messages = common_messages(forwarded, self.forwarded).map(|messages| messages.max(1));
            let of_client = common_messages(client, self.client).map(|messages| messages.max(1));
            // Where digests do not reach back far enough, a longer one is taken to go on from there.
            let extends = |messages: Option<u32>, before: &PrefixDigests, now: &PrefixDigests| {
                messages.map_or(now.messages > before.messages, |messages| messages == before.messages)
            };
            Some(Common {
                surely: messages.unwrap_or(1),
                forwarded: messages.unwrap_or(forwarded.messages.min(self.forwarded.messages)),
                is_extended: extends(messages, forwarded, self.forwarded),
                client_extended: extends(of_client, client, self.client),
            })
        };
        let all: Vec<(&WrittenPrefix, Common)> =
            self.earlier(conversation).filter_map(|before| Some((before, common(before)?))).collect();
        // Two agents may be asked the same first question.
        let is_likely = |before: &WrittenPrefix| {
            let same_head = before.forwarded().is_some_and(|digests| {
                digests.tools == self.forwarded.tools || digests.system == self.forwarded.system
            });
            before.owner == self.owner && (same_head || self.layout.continues)
        };
        // Conversations that began with the same question have each gone on in its own way.
        let is_other =
            |common: &Common| common.surely < SURELY_SAME && !common.is_extended && !common.client_extended;
        let others = all.iter().filter(|(_, common)| is_other(common)).count();
        let is_one_of_several = self.forwarded.messages <= SECOND_REQUEST || others > 1;
        let same = all.into_iter().filter(|(before, common)| {
            common.surely >= SURELY_SAME || (is_likely(before) && !(is_one_of_several && is_other(common)))
        });
        // Of several one whose cache it is, and which is only added to: it was that one's turn.
        let nearness = |(before, common): &(&WrittenPrefix, Common)| {
            (common.surely, common.is_extended && self.is_of_cache(before), before.at_ms)
        };
        same.max_by_key(nearness)
    }

    /// Whether it asks the same model, in the same way and for the same account.
    fn is_of_cache(&self, before: &WrittenPrefix) -> bool {
        before.model == self.record.model && before.route == self.route && before.owner == self.owner
    }

    /// Against the request before it in its conversation.
    fn compare(&self, before: &WrittenPrefix, common: Common, verdict: &mut Verdict) {
        let gap_ms = self.record.started_unix_ms.saturating_sub(before.at_ms);
        verdict.before = Some(PreviousRequest { gap_ms, cached: before.cached, lifetime: before.lifetime });
        let was_kept = before.layout.as_ref().is_some_and(has_message_breakpoint);
        let is_kept = keeps_messages(self.layout, &self.usage);
        let is_explicit = self.rules.kind == Kind::Breakpoints || self.layout.explicit_only;
        // Where nothing asks for the messages to be kept, they could have been.
        let was_too_short = before.cached == 0 && before.prompt < self.rules.minimum;
        let left = if is_explicit && (was_too_short || (!was_kept && !is_kept)) {
            before.prompt
        } else {
            before.cached
        };
        // The user has gone back, and on from there: what is behind that is another way, not a change.
        let is_branch = !common.is_extended && self.forwarded.messages <= common.forwarded.saturating_add(1);
        let readable = if is_branch { left.min(before.tokens_up_to(common.forwarded)) } else { left };
        let readable = readable.min(self.prompt);
        let slack = if is_branch { self.slack() + readable / DOUBTFUL_PARTS } else { self.slack() };
        let change = self.change(before, common, is_branch);
        let alive = gap_ms <= i64::from(self.rules.lifetime).saturating_mul(1_000);
        if alive && change.is_none() && self.prompt >= self.rules.minimum {
            verdict.with_breakpoints = before.prompt.min(self.prompt).max(self.usage.cache_read_tokens);
        }
        if readable <= self.usage.cache_read_tokens.saturating_add(slack) {
            return;
        }
        let told = &mut verdict.told;
        told.readable_tokens = readable;
        let reason = if readable < self.rules.minimum {
            MissReason::BelowMinimum
        } else if is_explicit && !is_kept {
            MissReason::NoBreakpoint
        } else if gap_ms > i64::from(before.lifetime).saturating_mul(1_000) {
            told.idle_ms = u64::try_from(gap_ms).unwrap_or(0);
            MissReason::LifetimeLapsed
        } else if let Some(change) = change {
            match change {
                MissReason::HistoryEditedByClient | MissReason::HistoryEditedByHeadroom => {
                    told.message = common.forwarded.saturating_add(1);
                }
                _ => {}
            }
            change
        } else if self.looks_back_too_little(before) {
            MissReason::LookBackMissed
        } else {
            MissReason::ProviderMissed
        };
        told.set_reason(reason);
    }

    /// How many tokens may be missing without a reason. Where nothing was read at all, it was not for the size of pieces.
    fn slack(&self) -> u64 {
        if self.usage.cache_read_tokens == 0 {
            self.rules.slack.min(self.rules.minimum / 4)
        } else {
            self.rules.slack
        }
    }

    /// What is another one than before.
    fn change(&self, before: &WrittenPrefix, common: Common, is_branch: bool) -> Option<MissReason> {
        let (forwarded, client) = (before.forwarded()?, before.client()?);
        if !self.is_of_cache(before) {
            return Some(MissReason::ModelChanged);
        }
        let by = |client_is_same: bool, reason| {
            if client_is_same { MissReason::HistoryEditedByHeadroom } else { reason }
        };
        if forwarded.tools != self.forwarded.tools {
            return Some(by(client.tools == self.client.tools, MissReason::ToolsChanged));
        }
        if forwarded.system != self.forwarded.system {
            return Some(by(client.system == self.client.system, MissReason::SystemChanged));
        }
        if !common.is_extended && common.client_extended {
            return Some(MissReason::HistoryEditedByHeadroom);
        }
        if !common.is_extended && !is_branch {
            return Some(MissReason::HistoryEditedByClient);
        }
        let parameters = before.layout.as_ref().map_or(0, |layout| layout.parameters);
        (parameters != self.layout.parameters).then_some(MissReason::ParametersChanged)
    }

    /// Whether no breakpoint stands near enough behind the last one that was written.
    fn looks_back_too_little(&self, before: &WrittenPrefix) -> bool {
        let Some(look_back) = self.rules.look_back else { return false };
        let written = before.layout.as_ref().and_then(|layout| layout.breakpoints.last());
        let Some(written) = written.map(|point| point.block) else { return false };
        !self
            .layout
            .breakpoints
            .iter()
            .any(|point| (written..written.saturating_add(look_back)).contains(&point.block))
    }

    /// The first request of a conversation: what others with the same beginning have left.
    fn begin(&self, known: EarlierRequests<'_>, verdict: &mut Verdict) {
        let head = share(self.layout, self.forwarded, 0, self.prompt);
        let read = self.usage.cache_read_tokens;
        let is_missed =
            |parts: u64| head > read.saturating_add(self.slack() + head / parts) && !self.layout.continues;
        let is_alive = |written: &&WrittenPrefix| {
            let gap = self.record.started_unix_ms.saturating_sub(written.at_ms);
            gap <= i64::from(written.head_lifetime()).saturating_mul(1_000)
        };
        let of_model =
            |written: &&WrittenPrefix| written.model == self.record.model && written.route == self.route;
        let newest = |all| self.earlier(all).next_back();
        let same = self.earlier(known.prompt).rfind(of_model);
        if let Some(same) = same
            && is_alive(&same)
            && head >= self.rules.minimum
        {
            verdict.with_breakpoints = head.max(read);
        }
        let told = &mut verdict.told;
        if read == 0 {
            told.set_reason(MissReason::FirstRequest);
        }
        if !is_missed(ESTIMATE_PARTS) {
            return;
        }
        let is_explicit = self.rules.kind == Kind::Breakpoints || self.layout.explicit_only;
        let keeps_head = |layout: &CacheLayout| !is_explicit || has_head_breakpoint(layout);
        let reason = if let Some(same) = same.or_else(|| newest(known.prompt)) {
            let was_kept = same.layout.as_ref().is_some_and(keeps_head);
            if !is_missed(DOUBTFUL_PARTS) {
                return;
            }
            if head < self.rules.minimum {
                MissReason::BelowMinimum
            } else if is_explicit && self.layout.breakpoints.is_empty() && self.usage.cache_write_tokens == 0
            {
                MissReason::NoBreakpoint
            } else if !was_kept || !keeps_head(self.layout) {
                // Only whole conversations are kept, which others cannot read.
                return;
            } else if !is_alive(&same) {
                told.idle_ms =
                    u64::try_from(self.record.started_unix_ms.saturating_sub(same.at_ms)).unwrap_or(0);
                MissReason::LifetimeLapsed
            } else if !of_model(&same) {
                MissReason::ModelChanged
            } else {
                MissReason::ProviderMissed
            }
        } else {
            let family = self.earlier(known.family).filter(is_alive).rfind(|written| self.resembles(written));
            let system = self.earlier(known.system).rfind(is_alive);
            let (before, reason) = match (family, system) {
                (Some(family), _) => (family, MissReason::SystemChanged),
                (None, Some(system)) => (system, MissReason::ToolsChanged),
                (None, None) => return,
            };
            if head < self.rules.minimum
                || !keeps_head(self.layout)
                || !before.layout.as_ref().is_some_and(keeps_head)
            {
                return;
            }
            reason
        };
        told.readable_tokens = head;
        told.set_reason(reason);
    }

    /// Whether the lines of a prompt are mostly those of this one.
    fn resembles(&self, other: &WrittenPrefix) -> bool {
        let Some(layout) = &other.layout else { return false };
        let (mine, theirs) = (&self.layout.system_lines, &layout.system_lines);
        let mut known: Vec<u32> = theirs.clone();
        known.sort_unstable();
        let same = mine.iter().filter(|line| known.binary_search(line).is_ok()).count();
        2 * same >= mine.len().max(theirs.len())
    }
}

/// How much two requests of a conversation have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Common {
    /// Messages that are known to be the same.
    surely: u32,
    /// Messages as they were forwarded, as many as there can be where digests do not tell.
    forwarded: u32,
    /// Whether the later one only adds to the earlier one, as they were forwarded.
    is_extended: bool,
    /// And as the client sent them.
    client_extended: bool,
}

/// Whether a breakpoint stands in tools or system prompt.
fn has_head_breakpoint(layout: &CacheLayout) -> bool {
    layout
        .breakpoints
        .iter()
        .any(|point| matches!(point.place(), BreakpointPlace::Tools | BreakpointPlace::System))
}

/// Fills in which line of the system prompt differs from the prompt that was there before.
pub fn find_line(told: &mut CacheVerdict, layout: &CacheLayout, before: &CacheLayout) {
    let (mine, theirs) = (&layout.system_lines, &before.system_lines);
    let Some(at) = (0..mine.len().max(theirs.len())).find(|at| mine.get(*at) != theirs.get(*at)) else {
        return;
    };
    told.line = u32::try_from(at + 1).unwrap_or(0);
    let of_line = layout.volatile_tokens.iter().filter(|token| token.line == told.line);
    let mut classes: Vec<VolatileClass> = of_line.map(|token| token.class()).collect();
    // A number beside a date is a part of what says the date.
    if classes.iter().any(|class| *class != VolatileClass::Number) {
        classes.retain(|class| *class != VolatileClass::Number);
    }
    classes.truncate(MAX_CLASSES);
    told.classes = classes.into_iter().map(i32::from).collect();
}

/// The prompt that was there before, with its lines: that of the request that was compared, or the newest of the
/// family.
pub fn prompt_before<'k>(record: &RequestRecord, known: EarlierRequests<'k>) -> Option<&'k CacheLayout> {
    let system = record.forwarded_prefix.as_ref()?.system;
    let started = record.started_unix_ms;
    let system_of = |written: &WrittenPrefix| written.forwarded().map(|digests| digests.system);
    let in_conversation = known.conversation.iter().rev().filter(|written| written.at_ms <= started);
    let wanted = in_conversation.filter_map(system_of).find(|other| *other != system);
    let family = || known.family.iter().rev().filter(|written| written.at_ms <= started);
    let same = family().find(|written| wanted.is_some() && system_of(written) == wanted);
    let found = same.or_else(|| family().find(|written| system_of(written) != Some(system)))?;
    found.layout.as_ref()
}
