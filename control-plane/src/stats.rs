//! The figures that `/stats` shows, read from the store at one point in time.

use std::collections::BTreeMap;

use headroom_api::names::{outcome_name, prefix_change_name, prefix_mismatch_source_name};
use headroom_api::v1::{RequestOutcome, RequestRecord, Usage};
use serde_json::{Map, Value, json};

use crate::clock::{MINUTE_MS, UnixMs, iso};
use crate::ledger::bucket::Unit;
use crate::ledger::contribution::{Landed, stages};
use crate::ledger::history::Checkpoint;
use crate::ledger::labels::Dimension;
use crate::ledger::session::DisplaySession;
use crate::ledger::session::{self, ROLLOVER_MINUTES};
use crate::ledger::store::{Bucket, LedgerStore, Probe, Slice, Vms};
use crate::ledger::sums::{BlockSums, Sums, Timing, usd};
use crate::trouble::StoreError;

/// Requests shown one by one, as in upstream.
const RECENT: u32 = 10;
/// Points of `savings_history`, as in upstream.
const HISTORY: u32 = 100;
/// Minutes that the live view looks back.
const ACTIVITY_MINUTES: i64 = 60;
/// Newest requests over which percentiles of the overhead are taken.
const PERCENTILES_OVER: u32 = 1_000;

/// Everything that `/stats` is made of.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    at_ms: UnixMs,
    location: String,
    tallies: BTreeMap<(Dimension, String), Sums>,
    blocks: BTreeMap<(Dimension, String), BlockSums>,
    timings: BTreeMap<String, Timing>,
    session: DisplaySession,
    recent: Vec<Landed>,
    overheads_us: Vec<i64>,
    history: Vec<Checkpoint>,
    minutes: Vec<Bucket>,
    vms: Vms,
    probe: Option<Probe>,
}

impl Snapshot {
    /// Reads the figures.
    pub(crate) async fn read(store: &dyn LedgerStore, now: UnixMs) -> Result<Self, StoreError> {
        let tallies = store.tallies().await?;
        let blocks = store.block_tallies().await?;
        let mut overheads_us = store.recent_overheads_us(PERCENTILES_OVER).await?;
        overheads_us.sort_unstable();
        let minutes = Slice {
            unit: Unit::Minute,
            dimension: Dimension::All,
            value: Some(""),
            from_ms: Unit::Minute.start(now) - (ACTIVITY_MINUTES - 1) * MINUTE_MS,
            to_ms: UnixMs::MAX,
            limit: ACTIVITY_MINUTES as u32,
        };
        Ok(Self {
            at_ms: now,
            location: store.location().to_owned(),
            tallies: tallies.into_iter().map(|(dimension, value, sums)| ((dimension, value), sums)).collect(),
            blocks: blocks.into_iter().map(|(dimension, value, sums)| ((dimension, value), sums)).collect(),
            timings: store.timings().await?.into_iter().collect(),
            session: session::shown(store.display_session().await?, now),
            recent: store.recent(RECENT).await?,
            overheads_us,
            history: store.checkpoints(HISTORY).await?,
            minutes: store.rollup(&minutes).await?,
            vms: store.vms().await?,
            probe: store.probe().await?,
        })
    }

    /// The answer of `/stats`.
    pub(crate) fn to_json(&self) -> Value {
        let total = self.total();
        json!({
            "generated_at": iso(self.at_ms),
            "summary": self.summary(),
            "savings": {
                "total_tokens": total.tokens_saved,
                "by_layer": {"compression": {"tokens": total.tokens_saved, "usd": usd(total.saved_cached_nanousd)},
                             "prefix_cache": {"tokens": total.cache_read_tokens, "usd": usd(total.cache_nanousd)}},
                "side_by_side": side_by_side(&total),
            },
            "requests": {
                "total": total.requests,
                "compressed": total.compressed,
                "failed": total.failed,
                "rate_limited": total.rate_limited,
                "by_provider": self.requests_by(Dimension::Provider),
                "by_model": self.requests_by(Dimension::Model),
                "by_stack": self.requests_by(Dimension::Stack),
                "by_project": self.requests_by(Dimension::Project),
                "by_api": self.requests_by(Dimension::Api),
                "by_outcome": self.requests_by(Dimension::Outcome),
            },
            "tokens": tokens(&total),
            "blocks": {
                "by_outcome": self.blocks_by(Dimension::BlockOutcome),
                "by_tool": self.blocks_by(Dimension::Tool),
                "by_kind": self.blocks_by(Dimension::Kind),
            },
            "latency": self.timing("latency"),
            "overhead": self.overhead(),
            "ttfb": self.timing("ttfb"),
            "pipeline_timing": self.pipeline(),
            "savings_history": self.savings_history(),
            "activity": self.activity(),
            "display_session": display_session(&self.session),
            "persistent_savings": {
                "storage_path": self.location,
                "lifetime": lifetime(&self.lifetime()),
                "display_session": display_session(&self.session),
                "display_session_policy": {"rollover_inactivity_minutes": ROLLOVER_MINUTES},
            },
            "prefix_cache": self.prefix_cache(),
            "audit": self.audit(),
            "reasoning": self.reasoning(),
            "cost": cost(&total),
            // counted in tokens alone: nobody pays for them one by one
            "subscriptions": {
                "requests": total.subscription_requests,
                "tokens_saved": total.subscription_tokens_saved,
            },
            // of `headroomctl doctor`, in none of the figures
            "probe": self.probe,
            "reports": {
                "vms": self.vms.count,
                "filter_version": self.vms.filter_version,
                "dropped_records": self.vms.dropped_records,
                "config_errors": self.vms.config_errors,
                "dropped_originals": self.vms.dropped_originals,
            },
            "recent_requests": self.recent.iter().map(recent).collect::<Vec<_>>(),
            "log_full_messages": false,
        })
    }

    fn total(&self) -> Sums {
        self.tallies.get(&(Dimension::All, String::new())).copied().unwrap_or_default()
    }

    fn lifetime(&self) -> Sums {
        lifetime_of(self.tallies.iter().map(|((dimension, _), sums)| (*dimension, sums)))
    }

    fn by(&self, dimension: Dimension) -> impl Iterator<Item = (&str, &Sums)> {
        let of_it = self.tallies.iter().filter(move |((found, _), _)| *found == dimension);
        of_it.map(|((_, value), sums)| (value.as_str(), sums))
    }

    fn requests_by(&self, dimension: Dimension) -> Map<String, Value> {
        self.by(dimension).map(|(value, sums)| (value.to_owned(), sums.requests.into())).collect()
    }

    fn blocks_by(&self, dimension: Dimension) -> Map<String, Value> {
        let of_it = self.blocks.iter().filter(|((found, _), _)| *found == dimension);
        let entry = |sums: &BlockSums| {
            json!({
                "blocks": sums.blocks,
                "from_memo": sums.memo,
                "tokens_before": sums.tokens_before,
                "tokens_after": sums.tokens_after,
                "tokens_saved": sums.tokens_before - sums.tokens_after,
            })
        };
        of_it.map(|((_, value), sums)| (value.clone(), entry(sums))).collect()
    }

    fn summary(&self) -> Value {
        let total = self.total();
        let primary = self.by(Dimension::Model).max_by_key(|(_, sums)| sums.requests).map(|(model, _)| model);
        let left_alone =
            self.requests_by(Dimension::Outcome).into_iter().filter(|(name, _)| name != "compressed");
        json!({
            "api_requests": total.requests,
            "primary_model": primary,
            "compression": {
                "requests_compressed": total.compressed,
                "avg_compression_pct": percent(total.tokens_saved, total.tokens_before),
                "total_tokens_removed": total.tokens_saved,
            },
            "uncompressed_requests": left_alone.collect::<Map<_, _>>(),
            "cost": cost(&total),
        })
    }

    fn timing(&self, stage: &str) -> Value {
        let timing = self.timings.get(stage);
        let ms = |us: Option<i64>| us.map_or(0.0, |us| us as f64 / 1e3);
        json!({
            "average_ms": timing.map_or(0.0, average_ms),
            "min_ms": ms(timing.map(|timing| timing.min_us)),
            "max_ms": ms(timing.map(|timing| timing.max_us)),
            "total_requests": timing.map_or(0, |timing| timing.count),
        })
    }

    fn overhead(&self) -> Value {
        let mut overhead = self.timing("overhead");
        for (name, share) in [("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99)] {
            overhead[name] = percentile_ms(&self.overheads_us, share).into();
        }
        overhead["percentiles_over"] = self.overheads_us.len().into();
        overhead
    }

    fn pipeline(&self) -> Map<String, Value> {
        let entry = |timing: &Timing| {
            json!({
                "average_ms": average_ms(timing),
                "max_ms": timing.max_us as f64 / 1e3,
                "count": timing.count,
            })
        };
        self.timings.iter().map(|(stage, timing)| (stage.clone(), entry(timing))).collect()
    }

    fn savings_history(&self) -> Vec<Value> {
        self.history.iter().map(|point| json!([iso(point.at_ms), point.sums.tokens_saved])).collect()
    }

    /// The last hour by the minute; a minute in which nothing began is left out.
    fn activity(&self) -> Vec<Value> {
        let minute = |Bucket { start_ms, sums }: &Bucket| {
            json!({
                "timestamp": iso(*start_ms),
                "requests": sums.requests,
                "tokens_before": sums.tokens_before,
                "tokens_after": sums.tokens_after,
                "tokens_saved": sums.tokens_saved,
            })
        };
        self.minutes.iter().map(minute).collect()
    }

    /// What requests that were only measured would have saved: their tool outputs, in every request.
    fn audit(&self) -> Value {
        let audited = outcome_name(RequestOutcome::Audited);
        let sums = self.by(Dimension::Outcome).find(|(name, _)| *name == audited).map(|(_, sums)| *sums);
        let sums = sums.unwrap_or_default();
        let would = sums.tool_tokens_before - sums.tool_tokens_after;
        json!({
            "requests": sums.requests,
            "tokens": sums.tokens_before,
            "would_have_saved": would,
            "would_have_saved_percent": percent(would, sums.tokens_before),
        })
    }

    /// Whether conversations stayed what the model's reasoning is bound to.
    fn reasoning(&self) -> Value {
        let entry = |sums: &Sums| {
            json!({
                "prefix_mismatches": sums.mismatches(),
                "by_headroom": sums.mismatches_headroom,
                "by_client": sums.mismatches_client,
                "unseen": sums.mismatches_unseen,
                "recovered_requests": sums.recovered,
                "hidden_rounds": sums.hidden_rounds,
                "restored_rounds": sums.restored_rounds,
            })
        };
        let by_provider: Map<String, Value> =
            self.by(Dimension::Provider).map(|(value, sums)| (value.to_owned(), entry(sums))).collect();
        json!({
            "totals": entry(&self.total()),
            "display_session": entry(&self.session.sums),
            "by_provider": by_provider,
        })
    }

    fn prefix_cache(&self) -> Value {
        let entry = |sums: &Sums| {
            json!({
                "requests": sums.usage_reports,
                "hit_requests": sums.cache_hits,
                "hit_rate": percent(sums.cache_hits, sums.usage_reports),
                "cache_read_tokens": sums.cache_read_tokens,
                "cache_write_tokens": sums.cache_write_tokens,
                "uncached_input_tokens": sums.uncached_input_tokens,
                "savings_usd": usd(sums.cache_nanousd),
            })
        };
        let by_provider: Map<String, Value> =
            self.by(Dimension::Provider).map(|(value, sums)| (value.to_owned(), entry(sums))).collect();
        json!({"by_provider": by_provider, "totals": entry(&self.total())})
    }
}

fn tokens(sums: &Sums) -> Value {
    let minified = sums.tool_tokens_before - sums.tool_tokens_minified;
    let removed = sums.tool_tokens_before - sums.tool_tokens_after;
    json!({
        "input": sums.tokens_after,
        "output": sums.output_tokens,
        "saved": sums.tokens_saved,
        "total_before_compression": sums.tokens_before,
        "savings_percent": percent(sums.tokens_saved, sums.tokens_before),
        "tool_outputs": {
            "before": sums.tool_tokens_before,
            "after": sums.tool_tokens_after,
            "after_json_minification_alone": sums.tool_tokens_minified,
            "savings_percent": percent(removed, sums.tool_tokens_before),
            "json_minification_alone_percent": percent(minified, sums.tool_tokens_before),
        },
    })
}

/// The same savings counted in every way that is honest by itself.
fn side_by_side(sums: &Sums) -> Value {
    let outputs = |before: i64, after: i64, minified: i64| {
        json!({
            "before": before,
            "after": after,
            "after_json_minification_alone": minified,
            "savings_percent": percent(before - after, before),
            "json_minification_alone_percent": percent(before - minified, before),
        })
    };
    json!({
        // summed over requests: an output in a history is left out of every one of them
        "per_request": {
            "tokens_not_sent": sums.tokens_saved,
            "list_usd": usd(sums.saved_nanousd),
            "cache_adjusted_usd": usd(sums.saved_cached_nanousd),
            "tool_outputs":
                outputs(sums.tool_tokens_before, sums.tool_tokens_after, sums.tool_tokens_minified),
        },
        // each output counted once per conversation: in the request that brought it
        "unique": {
            "tokens_not_sent": sums.unique_tokens_saved,
            "cache_adjusted_usd": usd(sums.unique_saved_nanousd),
            "tool_outputs": outputs(
                sums.new_tool_tokens_before,
                sums.new_tool_tokens_after,
                sums.new_tool_tokens_minified,
            ),
        },
        "requests_without_json_baseline": sums.unminified,
    })
}

fn cost(sums: &Sums) -> Value {
    let with = usd(sums.input_nanousd + sums.output_nanousd);
    let saved = usd(sums.saved_cached_nanousd + sums.cache_nanousd);
    json!({
        "without_headroom_usd": with + usd(sums.saved_cached_nanousd),
        "with_headroom_usd": with,
        "total_saved_usd": saved,
        "savings_pct": percent(sums.saved_cached_nanousd, sums.input_nanousd + sums.output_nanousd + sums.saved_cached_nanousd),
        "breakdown": {
            "cache_savings_usd": usd(sums.cache_nanousd),
            "compression_savings_usd": usd(sums.saved_cached_nanousd),
            "compression_savings_list_usd": usd(sums.saved_nanousd),
        },
        "unpriced_requests": sums.unpriced,
        "subscription_requests": sums.subscription_requests,
    })
}

/// What was counted here and what was imported.
pub(crate) fn lifetime_of<'s>(tallies: impl Iterator<Item = (Dimension, &'s Sums)>) -> Sums {
    let mut lifetime = Sums::default();
    for (dimension, sums) in tallies {
        if matches!(dimension, Dimension::All | Dimension::Import) {
            lifetime += *sums;
        }
    }
    lifetime
}

/// Lifetime sums under the names of upstream's savings file.
pub(crate) fn lifetime(sums: &Sums) -> Value {
    json!({
        "requests": sums.requests,
        "tokens_saved": sums.tokens_saved,
        "compression_savings_usd": usd(sums.saved_nanousd),
        "compression_savings_cache_adjusted_usd": usd(sums.saved_cached_nanousd),
        "total_input_tokens": sums.tokens_after,
        "total_input_cost_usd": usd(sums.input_nanousd),
    })
}

/// The display session under the names of upstream's savings file.
pub(crate) fn display_session(session: &DisplaySession) -> Value {
    let time = |at: UnixMs| (at > 0).then(|| iso(at));
    let mut body = lifetime(&session.sums);
    body["savings_percent"] = percent(session.sums.tokens_saved, session.sums.tokens_before).into();
    body["started_at"] = time(session.started_ms).into();
    body["last_activity_at"] = time(session.last_activity_ms).into();
    body
}

/// One request with its blocks.
pub(crate) fn recent(request: &Landed) -> Value {
    let record = &request.record;
    let sums = &request.sums;
    let timings = record.timings.unwrap_or_default();
    let ms = |us: u32| f64::from(us) / 1e3;
    let dollars = |nano: i64| (!record.subscription).then(|| usd(nano));
    let mut body = json!({
        "request_id": record.request_id,
        "timestamp": iso(record.started_unix_ms),
        "provider": record.provider,
        "api": record.api,
        "model": record.model,
        "stack": record.stack,
        "project": record.project,
        "outcome": outcome_name(record.outcome()),
        "status": record.status,
        "input_tokens_original": sums.tokens_before,
        "input_tokens_optimized": sums.tokens_after,
        "output_tokens": sums.output_tokens,
        "tokens_saved": sums.tokens_saved,
        "savings_percent": percent(sums.tokens_saved, sums.tokens_before),
        "savings_usd": dollars(sums.saved_nanousd),
        "savings_cache_adjusted_usd": dollars(sums.saved_cached_nanousd),
        "unique_tokens_saved": sums.unique_tokens_saved,
        "json_minification_alone": {
            "tool_outputs_before": sums.tool_tokens_before,
            "tool_outputs_after": sums.tool_tokens_minified,
            "counted": sums.unminified == 0,
        },
        "cost_usd": {
            "input": dollars(sums.input_nanousd),
            "output": dollars(sums.output_nanousd),
            "priced": sums.unpriced == 0 && !record.subscription,
        },
        "usage": record.usage.as_ref().map(usage),
        "stop_reason": record.stop_reason,
        "error_class": record.error_class,
        "answered_model": record.answered_model,
        "reasoning": recent_reasoning(record),
        "stages_ms":
            stages(record).map(|(stage, us)| (stage.to_owned(), ms(us).into())).collect::<Map<_, _>>(),
        "optimization_latency_ms": ms(timings.overhead_us),
        "total_latency_ms": ms(timings.total_us),
        "turn_id": record.turn_id,
        "conversation_id": record.conversation_id,
        "session_id": (!record.session_id.is_empty()).then_some(&record.session_id),
        "key": record.key,
        "team": record.team,
        "blocks": record.blocks.iter().map(|block| json!({
            "tool": block.tool,
            "kind": block.kind,
            "outcome": block.outcome,
            "tokens_before": block.tokens_before,
            "tokens_after": block.tokens_after,
            "from_memo": block.memo,
            "pressure": block.pressure,
        })).collect::<Vec<_>>(),
        "blocks_left_out": record.blocks_left_out,
    });
    body["subscription"] = record.subscription.into();
    body
}

/// Whether the provider used the reasoning that one request sent back, and what Headroom had to do for it.
fn recent_reasoning(record: &RequestRecord) -> Value {
    json!({
        "prefix_mismatches": record.prefix_mismatches,
        "seen_by": prefix_mismatch_source_name(record.prefix_mismatch_source()),
        "changed_by": prefix_change_name(record.prefix_change()),
        "recovered": record.recovered,
        "forms_version": record.forms_version,
        "hidden_rounds": record.hidden_rounds,
        "restored_rounds": record.restored_rounds,
    })
}

fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cache_write_5m_tokens": usage.cache_write_5m_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    })
}

fn average_ms(timing: &Timing) -> f64 {
    if timing.count == 0 { 0.0 } else { timing.sum_us as f64 / timing.count as f64 / 1e3 }
}

/// A part of a whole in percent, with two decimals; 0 of nothing.
pub(crate) fn percent(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 10_000.0).round() / 100.0 }
}

/// The smallest value that at least a share of the ascending values do not exceed.
fn percentile_ms(ascending_us: &[i64], share: f64) -> Option<f64> {
    let rank = (ascending_us.len() as f64 * share).ceil() as usize;
    ascending_us.get(rank.saturating_sub(1)).map(|us| *us as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let ascending: Vec<i64> = (1..=100).map(|n| n * 1_000).collect();
        assert_eq!(percentile_ms(&ascending, 0.5), Some(50.0));
        assert_eq!(percentile_ms(&ascending, 0.99), Some(99.0));
        assert_eq!(percentile_ms(&[7_000], 0.99), Some(7.0));
        assert_eq!(percentile_ms(&[], 0.5), None);
    }

    #[test]
    fn a_part_of_nothing_is_zero_percent() {
        assert_eq!(percent(0, 0), 0.0);
        assert_eq!(percent(1, 3), 33.33);
    }
}
