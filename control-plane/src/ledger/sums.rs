//! What is added up over requests: whole numbers only, so that order and retries cannot change a sum.
//!
//! Money is in nano-dollars (10⁻⁹ USD): a token at $0.03 per million is 30 of them, and `i64` holds
//! nine billion dollars.

use std::ops::AddAssign;

macro_rules! columns {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $column:ident,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct $name {
            $($(#[$doc])* pub $column: i64,)*
        }

        impl $name {
            /// The fields, as the columns of a table are named.
            pub const COLUMNS: &[&str] = &[$(stringify!($column)),*];

            /// The values, in the order of [`Self::COLUMNS`].
            pub fn values(&self) -> [i64; Self::COLUMNS.len()] {
                [$(self.$column),*]
            }

            /// From values in the order of [`Self::COLUMNS`].
            pub fn from_values(values: [i64; Self::COLUMNS.len()]) -> Self {
                let [$($column),*] = values;
                Self { $($column),* }
            }
        }

        impl $name {
            /// What is left after taking these away.
            pub fn minus(self, other: Self) -> Self {
                Self { $($column: self.$column.saturating_sub(other.$column)),* }
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                $(self.$column = self.$column.saturating_add(other.$column);)*
            }
        }
    };
}

columns! {
    /// Sums over requests.
    Sums {
        /// Requests, of every outcome.
        requests,
        /// Requests of which at least one block was replaced.
        compressed,
        /// Requests that were answered with a status of 400 or more, or aborted.
        failed,
        /// Requests that the provider answered with 429.
        rate_limited,
        /// Requests whose model has no known price.
        unpriced,
        /// Tokens as the client sent them.
        tokens_before,
        /// Tokens as they were forwarded.
        tokens_after,
        /// Tokens that were not sent and would have been billed.
        tokens_saved,
        /// Tool outputs as the client sent them.
        tool_tokens_before,
        /// Tool outputs as they were forwarded.
        tool_tokens_after,
        /// Tool outputs as JSON minification alone would have left them.
        tool_tokens_minified,
        /// Requests whose answer reported usage.
        usage_reports,
        /// Requests whose answer reported tokens read from the provider's cache.
        cache_hits,
        /// Input tokens outside the provider's cache, by the provider's count.
        uncached_input_tokens,
        /// Tokens read from the provider's cache.
        cache_read_tokens,
        /// Tokens written to the provider's cache.
        cache_write_tokens,
        /// Output tokens, by the provider's count.
        output_tokens,
        /// `tokens_saved` at the list price of input.
        saved_nanousd,
        /// `tokens_saved` at the price they would have had: mostly that of cached input.
        saved_cached_nanousd,
        /// What the provider's cache saved.
        cache_nanousd,
        /// What the input cost.
        input_nanousd,
        /// What the output cost.
        output_nanousd,
        /// Of `tokens_saved` those of tool outputs that the provider had not seen before: over a
        /// conversation each output's saving counts once.
        unique_tokens_saved,
        /// `unique_tokens_saved` at the price they would have had.
        unique_saved_nanousd,
        /// Tool outputs that the provider had not seen before, as the client sent them.
        new_tool_tokens_before,
        /// The same as they were forwarded.
        new_tool_tokens_after,
        /// The same as JSON minification alone would have left them.
        new_tool_tokens_minified,
        /// Requests with tool outputs for which the filter did not count what minification would have left: for
        /// them minification counts as having left everything.
        unminified,
        /// Tokens that were written to the provider's cache for an hour.
        cache_write_1h_tokens,
        /// Of the output those that the model only thought.
        reasoning_tokens,
        /// Blocks of reasoning that providers did not use because Headroom had changed what stands before them.
        mismatches_headroom,
        /// The same where the client had.
        mismatches_client,
        /// The same if it is not known who had.
        mismatches_unseen,
        /// Requests that were refused for a changed prefix and sent once more.
        recovered,
        /// Rounds of Headroom's own tools that clients have not seen.
        hidden_rounds,
        /// Such rounds that were put back into later requests.
        restored_rounds,
        /// Requests made with a subscription, whose tokens have no dollars.
        subscription_requests,
        /// Of `tokens_saved` those of such requests.
        subscription_tokens_saved,
        /// Requests that were answered with an answer that was kept.
        answers_found,
        /// Of these, where it was that of a similar question.
        answers_similar,
        /// Requests for which an answer was asked for, and there was none.
        answers_missed,
        /// Answers that were handed over, to be given again.
        answers_kept,
        /// Input of requests that were answered so, as it was counted the first time.
        answers_input_tokens,
        /// Their output.
        answers_output_tokens,
        /// What both had cost the first time.
        answers_saved_nanousd,
    }
}

impl Sums {
    /// Blocks of reasoning that providers did not use because something before them had changed.
    pub fn mismatches(&self) -> i64 {
        self.mismatches_headroom.saturating_add(self.mismatches_client).saturating_add(self.mismatches_unseen)
    }
}

columns! {
    /// Sums over blocks.
    BlockSums {
        /// Blocks.
        blocks,
        /// Blocks that were answered from the memo.
        memo,
        /// Tokens of the originals.
        tokens_before,
        /// Tokens of what was forwarded in their place.
        tokens_after,
    }
}

columns! {
    /// Sums over requests whose answers say what was read from the provider's cache.
    CacheSums {
        /// Requests.
        requests,
        /// Requests that read less than they could have.
        missed_requests,
        /// Tokens that could have been read.
        readable_tokens,
        /// Tokens that were.
        read_tokens,
        /// Tokens that were written.
        written_tokens,
        /// Of these those that had been written before.
        rewritten_tokens,
        /// Input tokens outside the cache.
        uncached_tokens,
        /// Output tokens.
        output_tokens,
        /// Tokens that could have been read and were not.
        lost_tokens,
        /// For how long caches had been idle that had lapsed.
        idle_ms,
        /// Requests without a known price.
        unpriced_requests,
        /// Requests of subscriptions, which have no price.
        subscription_requests,
        /// What was read cost.
        read_nanousd,
        /// What was written cost.
        write_nanousd,
        /// Other input cost.
        input_nanousd,
        /// Output cost.
        output_nanousd,
        /// What lost tokens cost more than if they had been read.
        lost_nanousd,
        /// What Headroom saved, less what its own tool cost.
        saved_nanousd,
        /// What an hour's lifetime would have saved.
        hour_nanousd,
        /// Requests that would have read more with it.
        hour_requests,
        /// What breakpoints would have saved.
        breakpoints_nanousd,
        /// Requests that would have read more with them.
        breakpoints_requests,
        /// What a keep-alive would have saved.
        keep_alive_nanousd,
        /// Requests that would have read more with it.
        keep_alive_requests,
    }
}

impl CacheSums {
    /// The whole bill.
    pub fn total_nanousd(&self) -> i64 {
        let parts = [self.read_nanousd, self.write_nanousd, self.input_nanousd, self.output_nanousd];
        parts.into_iter().fold(0, i64::saturating_add)
    }

    /// Whether any of the requests has a price.
    pub fn is_priced(&self) -> bool {
        self.requests > self.unpriced_requests.saturating_add(self.subscription_requests)
    }
}

/// A duration's count, sum and extremes, in microseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// How many were measured.
    pub count: i64,
    /// Their sum.
    pub sum_us: i64,
    /// The shortest.
    pub min_us: i64,
    /// The longest.
    pub max_us: i64,
}

impl Timing {
    /// One measurement.
    pub fn once(us: u32) -> Self {
        let us = i64::from(us);
        Self { count: 1, sum_us: us, min_us: us, max_us: us }
    }
}

impl AddAssign for Timing {
    fn add_assign(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.min_us = self.min_us.min(other.min_us);
        self.max_us = self.max_us.max(other.max_us);
    }
}

/// Dollars, from nano-dollars.
pub fn usd(nano: i64) -> f64 {
    nano as f64 / 1e9
}

/// A part of a whole in percent, with two decimals; 0 of nothing.
pub fn percent(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 10_000.0).round() / 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_nothing_is_zero_percent() {
        assert_eq!(percent(0, 0), 0.0);
        assert_eq!(percent(1, 3), 33.33);
    }
}
