//! Sections of `/stats` that follow only from sums.

use headroom_api::pages::{
    AnswerSums, Audit, BlockSums, CacheSums, Cost, CostBreakdown, Overhead, PerRequest, ReasoningSums,
    Savings, SavingsLayer, SavingsLayers, SideBySide, StageTiming, Timing, Tokens, ToolOutputs, Unique,
};

use crate::ledger::sums::{self, Sums, percent, usd};

pub(super) fn savings(sums: &Sums) -> Savings {
    Savings {
        total_tokens: sums.tokens_saved,
        by_layer: SavingsLayers {
            compression: SavingsLayer { tokens: sums.tokens_saved, usd: usd(sums.saved_cached_nanousd) },
            prefix_cache: SavingsLayer { tokens: sums.cache_read_tokens, usd: usd(sums.cache_nanousd) },
            answers: SavingsLayer {
                tokens: sums.answers_input_tokens.saturating_add(sums.answers_output_tokens),
                usd: usd(sums.answers_saved_nanousd),
            },
        },
        side_by_side: Some(side_by_side(sums)),
    }
}

fn side_by_side(sums: &Sums) -> SideBySide {
    SideBySide {
        per_request: PerRequest {
            tokens_not_sent: sums.tokens_saved,
            list_usd: usd(sums.saved_nanousd),
            cache_adjusted_usd: usd(sums.saved_cached_nanousd),
            tool_outputs: tool_outputs(
                sums.tool_tokens_before,
                sums.tool_tokens_after,
                sums.tool_tokens_minified,
            ),
        },
        unique: Unique {
            tokens_not_sent: sums.unique_tokens_saved,
            cache_adjusted_usd: usd(sums.unique_saved_nanousd),
            tool_outputs: tool_outputs(
                sums.new_tool_tokens_before,
                sums.new_tool_tokens_after,
                sums.new_tool_tokens_minified,
            ),
        },
        requests_without_json_baseline: sums.unminified,
    }
}

fn tool_outputs(before: i64, after: i64, minified: i64) -> ToolOutputs {
    ToolOutputs {
        before,
        after,
        after_json_minification_alone: minified,
        savings_percent: percent(before - after, before),
        json_minification_alone_percent: percent(before - minified, before),
    }
}

pub(super) fn tokens(sums: &Sums) -> Tokens {
    Tokens {
        input: sums.tokens_after,
        output: sums.output_tokens,
        saved: sums.tokens_saved,
        total_before_compression: sums.tokens_before,
        savings_percent: percent(sums.tokens_saved, sums.tokens_before),
        tool_outputs: Some(tool_outputs(
            sums.tool_tokens_before,
            sums.tool_tokens_after,
            sums.tool_tokens_minified,
        )),
    }
}

pub(super) fn cost(sums: &Sums) -> Cost {
    let paid = sums.input_nanousd + sums.output_nanousd;
    Cost {
        without_headroom_usd: usd(paid) + usd(sums.saved_cached_nanousd),
        with_headroom_usd: usd(paid),
        total_saved_usd: usd(sums.saved_cached_nanousd + sums.cache_nanousd + sums.answers_saved_nanousd),
        savings_pct: percent(sums.saved_cached_nanousd, paid + sums.saved_cached_nanousd),
        breakdown: CostBreakdown {
            cache_savings_usd: usd(sums.cache_nanousd),
            compression_savings_usd: usd(sums.saved_cached_nanousd),
            compression_savings_list_usd: usd(sums.saved_nanousd),
            answers_savings_usd: usd(sums.answers_saved_nanousd),
        },
        unpriced_requests: sums.unpriced,
        subscription_requests: sums.subscription_requests,
    }
}

pub(super) fn blocks(sums: &sums::BlockSums) -> BlockSums {
    BlockSums {
        blocks: sums.blocks,
        from_memo: sums.memo,
        tokens_before: sums.tokens_before,
        tokens_after: sums.tokens_after,
        tokens_saved: sums.tokens_before - sums.tokens_after,
    }
}

pub(super) fn cache(sums: &Sums) -> CacheSums {
    CacheSums {
        requests: sums.usage_reports,
        hit_requests: sums.cache_hits,
        hit_rate: percent(sums.cache_hits, sums.usage_reports),
        cache_read_tokens: sums.cache_read_tokens,
        cache_write_tokens: sums.cache_write_tokens,
        uncached_input_tokens: sums.uncached_input_tokens,
        savings_usd: usd(sums.cache_nanousd),
    }
}

/// Repeated answers. Another part adds the sizes of this process's cache.
pub(super) fn answers(sums: &Sums) -> AnswerSums {
    let asked = sums.answers_found + sums.answers_missed;
    AnswerSums {
        found: sums.answers_found,
        similar: sums.answers_similar,
        missed: sums.answers_missed,
        kept: sums.answers_kept,
        hit_rate: percent(sums.answers_found, asked),
        input_tokens: sums.answers_input_tokens,
        output_tokens: sums.answers_output_tokens,
        saved_usd: usd(sums.answers_saved_nanousd),
        ..AnswerSums::default()
    }
}

pub(super) fn reasoning(sums: &Sums) -> ReasoningSums {
    ReasoningSums {
        prefix_mismatches: sums.mismatches(),
        by_headroom: sums.mismatches_headroom,
        by_client: sums.mismatches_client,
        unseen: sums.mismatches_unseen,
        recovered_requests: sums.recovered,
        hidden_rounds: sums.hidden_rounds,
        restored_rounds: sums.restored_rounds,
    }
}

/// What audited requests would have saved: their tool outputs, in every request.
pub(super) fn audit(sums: &Sums) -> Audit {
    let would = sums.tool_tokens_before - sums.tool_tokens_after;
    Audit {
        requests: sums.requests,
        tokens: sums.tokens_before,
        would_have_saved: would,
        would_have_saved_percent: percent(would, sums.tokens_before),
    }
}

pub(super) fn timing(timing: Option<&sums::Timing>) -> Timing {
    let Some(timing) = timing else { return Timing::default() };
    Timing {
        average_ms: average_ms(timing),
        min_ms: timing.min_us as f64 / 1e3,
        max_ms: timing.max_us as f64 / 1e3,
        total_requests: timing.count,
    }
}

/// A stage's timing with percentiles over the newest values, which must be ascending.
pub(super) fn overhead(timing: Option<&sums::Timing>, newest_us: &[i64]) -> Overhead {
    let Timing { average_ms, min_ms, max_ms, total_requests } = self::timing(timing);
    Overhead {
        average_ms,
        min_ms,
        max_ms,
        total_requests,
        p50_ms: percentile_ms(newest_us, 0.5),
        p90_ms: percentile_ms(newest_us, 0.9),
        p99_ms: percentile_ms(newest_us, 0.99),
        percentiles_over: newest_us.len(),
    }
}

pub(super) fn stage(timing: &sums::Timing) -> StageTiming {
    StageTiming { average_ms: average_ms(timing), max_ms: timing.max_us as f64 / 1e3, count: timing.count }
}

fn average_ms(timing: &sums::Timing) -> f64 {
    if timing.count == 0 { 0.0 } else { timing.sum_us as f64 / timing.count as f64 / 1e3 }
}

/// The smallest value that at least this share of the ascending values does not exceed.
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
}
