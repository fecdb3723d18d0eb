//! `/stats-cache`: the sums over the cache for people, and the worst causes in words.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use headroom_api::names::{miss_reason_name, volatile_class_name};
use headroom_api::pages::{
    Cache, CacheBill, CacheCause, CacheGroup, CacheHour, CacheLoss, CacheSummary, CacheTotals, CacheWhatIf,
    HistoryScope, VolatileLine,
};
use headroom_api::v1::{MissReason, VolatileClass};

use super::request::span;
use crate::clock::{DAY_MS, UnixMs, iso};
use crate::ledger::bucket::Unit;
use crate::ledger::history::HOURS_BROKEN_DOWN_DAYS;
use crate::ledger::labels::{Dimension, UNKNOWN};
use crate::ledger::store::{CacheRange, CacheReason, ChangedLine, LedgerStore};
use crate::ledger::sums::{CacheSums, usd};
use crate::trouble::StoreError;

/// Number of causes in the text.
const CAUSES: usize = 3;
/// Maximum number of lines of system prompts that are shown and read.
const LINES: usize = 20;
const LINES_READ: u32 = 500;
/// The range of the sums in `/stats`.
const SUMMARY_MS: i64 = 7 * DAY_MS;

/// The query.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CacheQuery {
    pub(crate) since_ms: UnixMs,
    pub(crate) until_ms: UnixMs,
    pub(crate) scope: Option<(Dimension, String)>,
}

impl CacheQuery {
    /// Hours if they are kept for all of the range, else whole days.
    fn range(&self, now: UnixMs) -> CacheRange {
        let unit =
            if self.since_ms >= now - HOURS_BROKEN_DOWN_DAYS * DAY_MS { Unit::Hour } else { Unit::Day };
        CacheRange { unit, from_ms: unit.start(self.since_ms), until_ms: self.until_ms }
    }
}

/// The whole page.
pub(crate) async fn page(
    store: &dyn LedgerStore,
    wanted: &CacheQuery,
    now: UnixMs,
) -> Result<Cache, StoreError> {
    let range = wanted.range(now);
    let (dimension, value) = match &wanted.scope {
        Some((dimension, value)) => (*dimension, value.as_str()),
        None => (Dimension::All, ""),
    };
    let reasons = store.cache_by_reason(range, dimension, Some(value)).await?;
    let total = total(&reasons);
    let lines = of_scope(store.cache_lines(range, LINES_READ).await?, wanted);
    let mut groups = Vec::new();
    for dimension in Dimension::OF_CACHE.into_iter().filter(|dimension| *dimension != Dimension::All) {
        let only = match &wanted.scope {
            Some((of, value)) if *of == dimension => Some(value.as_str()),
            Some(_) => continue,
            None => None,
        };
        groups.push((dimension, store.cache_by_reason(range, dimension, only).await?));
    }
    let hours = store.cache_by_time(range, dimension, value).await?;
    let words =
        Words { lines: &lines, range: span(u64::try_from(wanted.until_ms - wanted.since_ms).unwrap_or(0)) };
    let causes = match &wanted.scope {
        Some((of, _)) => words.causes(*of, &reasons, &[]),
        None => {
            let of = |wanted| {
                groups.iter().find(|(of, _)| *of == wanted).map_or(&[][..], |(_, all)| all.as_slice())
            };
            words.causes(Dimension::Stack, of(Dimension::Stack), of(Dimension::Model))
        }
    };
    Ok(Cache {
        generated_at: iso(now),
        since: iso(range.from_ms),
        until: iso(wanted.until_ms),
        scope: wanted
            .scope
            .as_ref()
            .map(|(of, value)| HistoryScope { by: of.name().to_owned(), value: value.clone() }),
        totals: totals(&total),
        bill: bill(&total),
        losses: losses(&reasons),
        causes,
        what_if: what_if(&total),
        hours: hours
            .iter()
            .map(|hour| CacheHour {
                start: iso(hour.start_ms),
                totals: totals(&hour.sums),
                total_usd: usd(hour.sums.total_nanousd()),
                lost_usd: usd(hour.sums.lost_nanousd),
            })
            .collect(),
        groups: groups.iter().flat_map(|(of, reasons)| group(*of, reasons)).collect(),
        volatile_lines: volatile_lines(&lines),
    })
}

/// The last seven days, for `/stats`.
pub(crate) async fn summary(store: &dyn LedgerStore, now: UnixMs) -> Result<CacheSummary, StoreError> {
    summary_of(store, &CacheQuery { since_ms: now - SUMMARY_MS, until_ms: now, scope: None }, now).await
}

/// A range in short.
pub(crate) async fn summary_of(
    store: &dyn LedgerStore,
    wanted: &CacheQuery,
    now: UnixMs,
) -> Result<CacheSummary, StoreError> {
    let range = wanted.range(now);
    let (dimension, value) = match &wanted.scope {
        Some((dimension, value)) => (*dimension, value.as_str()),
        None => (Dimension::All, ""),
    };
    let reasons = store.cache_by_reason(range, dimension, Some(value)).await?;
    let total = total(&reasons);
    Ok(CacheSummary {
        since: iso(range.from_ms),
        until: iso(wanted.until_ms),
        totals: totals(&total),
        bill: bill(&total),
        losses: losses(&reasons),
    })
}

fn total(reasons: &[CacheReason]) -> CacheSums {
    let mut total = CacheSums::default();
    for reason in reasons {
        total += reason.sums;
    }
    total
}

fn totals(sums: &CacheSums) -> CacheTotals {
    CacheTotals {
        requests: sums.requests,
        missed_requests: sums.missed_requests,
        readable_tokens: sums.readable_tokens,
        read_tokens: sums.read_tokens,
        written_tokens: sums.written_tokens,
        rewritten_tokens: sums.rewritten_tokens,
        uncached_tokens: sums.uncached_tokens,
        output_tokens: sums.output_tokens,
    }
}

fn bill(sums: &CacheSums) -> CacheBill {
    let total = sums.total_nanousd();
    CacheBill {
        read_usd: usd(sums.read_nanousd),
        write_usd: usd(sums.write_nanousd),
        input_usd: usd(sums.input_nanousd),
        output_usd: usd(sums.output_nanousd),
        total_usd: usd(total),
        without_headroom_usd: usd(total.saturating_add(sums.saved_nanousd)),
        perfect_cache_usd: usd(total.saturating_sub(sums.lost_nanousd)),
        saved_usd: usd(sums.saved_nanousd),
        unpriced_requests: sums.unpriced_requests,
        subscription_requests: sums.subscription_requests,
    }
}

fn lost_usd(sums: &CacheSums) -> Option<f64> {
    sums.is_priced().then(|| usd(sums.lost_nanousd))
}

/// The most expensive first; without prices, the most tokens first.
fn by_loss(sums: &CacheSums) -> Reverse<(i64, i64)> {
    Reverse((sums.lost_nanousd, sums.lost_tokens))
}

fn losses(reasons: &[CacheReason]) -> Vec<CacheLoss> {
    let mut lost: Vec<_> = reasons.iter().filter(|reason| reason.sums.lost_tokens > 0).collect();
    lost.sort_by_key(|reason| by_loss(&reason.sums));
    lost.into_iter()
        .filter_map(|CacheReason { reason, sums, .. }| {
            Some(CacheLoss {
                reason: miss_reason_name(*reason)?.to_owned(),
                requests: sums.requests,
                tokens: sums.lost_tokens,
                lost_usd: lost_usd(sums),
            })
        })
        .collect()
}

/// The values of a dimension. If requests name no value at all, the dimension is left out.
fn group(of: Dimension, reasons: &[CacheReason]) -> Vec<CacheGroup> {
    let mut values: BTreeMap<&str, Vec<&CacheReason>> = BTreeMap::new();
    for reason in reasons {
        values.entry(&reason.value).or_default().push(reason);
    }
    if values.keys().all(|value| *value == UNKNOWN) {
        return Vec::new();
    }
    let mut groups: Vec<(CacheSums, CacheGroup)> = values
        .into_iter()
        .map(|(value, reasons)| {
            let mut sums = CacheSums::default();
            for reason in &reasons {
                sums += reason.sums;
            }
            let worst =
                reasons.iter().filter(|it| it.sums.lost_tokens > 0).min_by_key(|it| by_loss(&it.sums));
            let group = CacheGroup {
                by: of.name().to_owned(),
                value: value.to_owned(),
                totals: totals(&sums),
                total_usd: sums.is_priced().then(|| usd(sums.total_nanousd())),
                lost_usd: lost_usd(&sums),
                worst_reason: worst.and_then(|it| miss_reason_name(it.reason)).unwrap_or_default().to_owned(),
            };
            (sums, group)
        })
        .collect();
    groups.sort_by_key(|(sums, _)| Reverse((sums.total_nanousd(), sums.requests)));
    groups.into_iter().map(|(_, group)| group).collect()
}

fn what_if(sums: &CacheSums) -> Vec<CacheWhatIf> {
    let one = |name: &str, about: &str, nanousd: i64, requests: i64| CacheWhatIf {
        name: name.to_owned(),
        about: about.to_owned(),
        saved_usd: usd(nanousd),
        requests,
    };
    vec![
        one(
            "one_hour_lifetime",
            "Every breakpoint of Claude models asks for an hour. What lapsed within an hour would have been read; \
             everything that was written for five minutes would have cost the price of an hour.",
            sums.hour_nanousd,
            sums.hour_requests,
        ),
        one(
            "breakpoints",
            "Requests whose messages have no breakpoint get one behind the last message, for five minutes. What the \
             request before has sent would have been read, and the rest written at the price of writing.",
            sums.breakpoints_nanousd,
            sums.breakpoints_requests,
        ),
        one(
            "keep_alive",
            "A request of one token shortly before five minutes are over, twelve times at most. Each reads what is in \
             the cache; twelve are charged at the end of each conversation, because its end is not known beforehand.",
            sums.keep_alive_nanousd,
            sums.keep_alive_requests,
        ),
    ]
}

/// Lines have a stack and a tenant; for a model or a project they are unknown.
fn of_scope(lines: Vec<ChangedLine>, wanted: &CacheQuery) -> Vec<ChangedLine> {
    let is_wanted = |line: &ChangedLine| match &wanted.scope {
        None => true,
        Some((Dimension::Stack, value)) => line.stack == *value,
        Some((Dimension::Tenant, value)) => line.tenant == *value,
        Some(_) => false,
    };
    lines.into_iter().filter(is_wanted).collect()
}

/// Each line once, with everything that was seen in it.
fn volatile_lines(lines: &[ChangedLine]) -> Vec<VolatileLine> {
    struct Line {
        classes: BTreeSet<i32>,
        requests: i64,
        lost: Option<i64>,
    }
    let mut merged: BTreeMap<(&str, &str, u32), Line> = BTreeMap::new();
    for line in lines {
        let entry = merged
            .entry((line.stack.as_str(), line.prompt.as_str(), line.line))
            .or_insert_with(|| Line { classes: BTreeSet::new(), requests: 0, lost: None });
        entry.classes.extend(&line.classes);
        entry.requests += line.requests;
        entry.lost = match (entry.lost, line.lost_nanousd) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
    }
    let mut merged: Vec<_> = merged.into_iter().collect();
    merged.sort_by_key(|(_, line)| Reverse((line.lost.unwrap_or(0), line.requests)));
    merged.truncate(LINES);
    merged
        .into_iter()
        .map(|((stack, prompt, line), it)| VolatileLine {
            stack: stack.to_owned(),
            prompt: prompt.to_owned(),
            line,
            classes: class_names(it.classes),
            requests: it.requests,
            lost_usd: it.lost.map(usd),
        })
        .collect()
}

fn class_names(classes: impl IntoIterator<Item = i32>) -> Vec<String> {
    let class = |class| VolatileClass::try_from(class).ok().and_then(volatile_class_name);
    classes.into_iter().filter_map(class).map(str::to_owned).collect()
}

/// Causes in words.
struct Words<'l> {
    lines: &'l [ChangedLine],
    /// How long the range is.
    range: String,
}

impl Words<'_> {
    /// The worst, each with what to do. `models` says what requests were that name no stack, where all are of one model.
    fn causes(&self, of: Dimension, reasons: &[CacheReason], models: &[CacheReason]) -> Vec<CacheCause> {
        let mut worst: Vec<_> = reasons.iter().filter(|reason| reason.sums.lost_tokens > 0).collect();
        worst.sort_by_key(|reason| by_loss(&reason.sums));
        let causes = worst.into_iter().filter_map(|reason| {
            let is_unnamed = of == Dimension::Stack && reason.value == UNKNOWN;
            let of_one = |model: &&CacheReason| model.reason == reason.reason && model.sums == reason.sums;
            let whose = match models.iter().find(of_one) {
                Some(model) if is_unnamed => format!("model {}", model.value),
                _ if is_unnamed => "a stack without a name".to_owned(),
                _ => format!("{} {}", of.name(), reason.value),
            };
            self.cause(of, &whose, reason)
        });
        causes.take(CAUSES).collect()
    }

    fn cause(&self, of: Dimension, whose: &str, it: &CacheReason) -> Option<CacheCause> {
        let line = self.lines.iter().find(|line| of != Dimension::Stack || line.stack == it.value);
        let (what, advice, requests, lost) = match (it.reason, line) {
            (MissReason::SystemChanged, Some(line)) => {
                let (what, advice) = self.changed_line(whose, line);
                (what, advice, line.requests, line.lost_nanousd.map(usd))
            }
            _ => {
                let requests = counted(it.sums.requests);
                let happened = happened(it.reason, &it.sums)?;
                let cost = cost(lost_usd(&it.sums), it.sums.lost_tokens);
                let what = format!("{requests} of {whose} {happened}: {cost} in {}.", self.range);
                (what, advice(it.reason).to_owned(), it.sums.requests, lost_usd(&it.sums))
            }
        };
        Some(CacheCause {
            reason: miss_reason_name(it.reason)?.to_owned(),
            stack: it.value.clone(),
            what,
            advice,
            requests,
            lost_usd: lost,
        })
    }

    fn changed_line(&self, whose: &str, line: &ChangedLine) -> (String, String) {
        let classes = class_names(line.classes.iter().copied());
        let holds = match classes.as_slice() {
            [] => "changed".to_owned(),
            [one] => format!("holds {} and changed", article(one)),
            several => {
                let several: Vec<String> = several.iter().map(|class| article(class)).collect();
                format!("holds {}, and changed", several.join(" and "))
            }
        };
        let cost = line.lost_nanousd.map_or(String::new(), |lost| format!(": {}", dollars(usd(lost))));
        let what = format!(
            "Line {} of the system prompt of {whose} {holds} in {}{cost} in {}.",
            line.line,
            counted(line.requests),
            self.range
        );
        (what, advice(MissReason::SystemChanged).to_owned())
    }
}

fn article(class: &str) -> String {
    match class {
        "uuid" => "an id".to_owned(),
        class => format!("a {class}"),
    }
}

fn counted(requests: i64) -> String {
    if requests == 1 { "1 request".to_owned() } else { format!("{requests} requests") }
}

fn dollars(usd: f64) -> String {
    if usd < 0.01 { "less than $0.01".to_owned() } else { format!("${usd:.2}") }
}

fn cost(usd: Option<f64>, tokens: i64) -> String {
    usd.map_or_else(|| format!("{tokens} tokens not read"), dollars)
}

/// What happened to requests; the text goes after "5 requests of stack x".
fn happened(reason: MissReason, sums: &CacheSums) -> Option<String> {
    Some(match reason {
        MissReason::Unspecified | MissReason::FirstRequest | MissReason::Unknown => return None,
        MissReason::LifetimeLapsed => {
            let idle = u64::try_from(sums.idle_ms / sums.requests.max(1)).unwrap_or(0);
            format!("came when the cache had lapsed, {} after it was last used on average", span(idle))
        }
        MissReason::ModelChanged => {
            "went to another model, route or account than the request before".to_owned()
        }
        MissReason::ToolsChanged => "had another tool list than the request before".to_owned(),
        MissReason::SystemChanged => "had another system prompt than the request before".to_owned(),
        MissReason::HistoryEditedByClient => "had earlier messages that the client had changed".to_owned(),
        MissReason::HistoryEditedByHeadroom => "had earlier messages that Headroom had changed".to_owned(),
        MissReason::BelowMinimum => "were shorter than the provider caches".to_owned(),
        MissReason::NoBreakpoint => "set no breakpoint where the provider wants one".to_owned(),
        MissReason::LookBackMissed => {
            "had their breakpoint more blocks after the last one than the provider looks back".to_owned()
        }
        MissReason::ProviderMissed => "were not found in the cache though nothing had changed".to_owned(),
        MissReason::ParametersChanged => {
            "had other settings for thinking, the choice of a tool or the format of the answer".to_owned()
        }
    })
}

/// What to do about it.
fn advice(reason: MissReason) -> &'static str {
    match reason {
        MissReason::LifetimeLapsed => {
            "Ask for an hour's lifetime where people pause (\"ttl\": \"1h\"), if what_if says that it pays."
        }
        MissReason::ModelChanged => {
            "Stay with one model and one account within a conversation; use another model in a conversation of its own."
        }
        MissReason::ToolsChanged => {
            "Send the same tools in the same order in every request; add new ones at the end, and never sort by use."
        }
        MissReason::SystemChanged => {
            "Put what changes into the first user message, or behind everything that stays the same. Where the client \
             cannot, `headroomctl cache suggest` writes a rule with which Headroom moves it."
        }
        MissReason::HistoryEditedByClient => {
            "Let the client only add to the conversation; put reminders into the newest message."
        }
        MissReason::HistoryEditedByHeadroom => {
            "This happens once when Headroom or its configuration changes; if it goes on, it is a defect to report."
        }
        MissReason::BelowMinimum => "Nothing needs to be done: prompts this short cost little.",
        MissReason::NoBreakpoint => {
            "Set cache_control (on Bedrock a cachePoint) on the system prompt and the last message. In Anthropic's format \
             Headroom can do it: `breakpoints` in its configuration."
        }
        MissReason::LookBackMissed => {
            "Keep the breakpoint of the request before as well, or set one at least every 20 blocks."
        }
        MissReason::ProviderMissed => {
            "Send requests of a conversation one after the other, and with one cache key where the provider has such."
        }
        MissReason::ParametersChanged => {
            "Keep thinking, tool_choice and the answer's format the same within a conversation."
        }
        MissReason::Unspecified | MissReason::FirstRequest | MissReason::Unknown => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(value: &str, reason: MissReason, requests: i64) -> CacheReason {
        let sums = CacheSums {
            requests,
            missed_requests: requests,
            lost_tokens: 1_000 * requests,
            lost_nanousd: 1_000_000_000 * requests,
            ..CacheSums::default()
        };
        CacheReason { value: value.to_owned(), reason, sums }
    }

    #[test]
    fn requests_that_name_no_stack_are_told_by_their_model_where_it_is_one() {
        let words = Words { lines: &[], range: "7 days".to_owned() };
        let tools = MissReason::ToolsChanged;
        let causes = |stacks: &[CacheReason], models: &[CacheReason]| -> Vec<String> {
            words.causes(Dimension::Stack, stacks, models).into_iter().map(|cause| cause.what).collect()
        };
        let happened = "had another tool list than the request before";
        assert_eq!(
            causes(&[lost(UNKNOWN, tools, 5)], &[lost("gpt-5.6", tools, 5)]),
            [format!("5 requests of model gpt-5.6 {happened}: $5.00 in 7 days.")]
        );
        // The model of another stack has lost more.
        let stacks = [lost("claude_code", tools, 9), lost(UNKNOWN, tools, 5)];
        let models = [lost("claude-opus-4-8", tools, 11), lost("gpt-5.6", tools, 3)];
        assert_eq!(
            causes(&stacks, &models),
            [
                format!("9 requests of stack claude_code {happened}: $9.00 in 7 days."),
                format!("5 requests of a stack without a name {happened}: $5.00 in 7 days."),
            ]
        );
    }
}
