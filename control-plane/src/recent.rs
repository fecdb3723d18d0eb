//! The individually stored requests: search, and sums by conversation and by name.
//!
//! They are read for each page, some hundred at once, so that only sums are in memory.

mod conversations;
mod filter;
mod groups;

use std::ops::ControlFlow;

use headroom_api::pages::{Reach, RecentSums};

pub(crate) use self::conversations::ByConversation;
pub(crate) use self::filter::RecentFilter;
pub(crate) use self::groups::Groups;
use crate::clock::iso;
use crate::ledger::contribution::CountedRequest;
use crate::ledger::store::LedgerStore;
use crate::ledger::sums::{Sums, usd};
use crate::trouble::StoreError;

/// Maximum number of newest requests that are read; the store keeps not many more.
pub(crate) const MOST: i64 = 10_000;
/// Requests read at once: with blocks and digests each has some kilobytes.
pub(crate) const AT_ONCE: u32 = 500;

/// Passes the newest requests to `each`, newest first, until it breaks or there are no more. Reads `at_once` of them
/// at a time.
pub(crate) async fn scan(
    store: &dyn LedgerStore,
    mut before: i64,
    at_once: u32,
    mut each: impl FnMut(&CountedRequest) -> ControlFlow<()>,
) -> Result<Reach, StoreError> {
    let mut reach = Reach { most: MOST, ..Reach::default() };
    while reach.requests < MOST {
        let some = store.recent_before(before, at_once).await?;
        for landed in &some {
            reach.requests += 1;
            reach.oldest = iso(landed.record.started_unix_ms);
            if each(landed).is_break() || reach.requests >= MOST {
                return Ok(reach);
            }
        }
        match some.last() {
            Some(last) => before = last.ordinal,
            None => break,
        }
    }
    Ok(reach)
}

/// The sums for a page.
fn shown(sums: &Sums) -> RecentSums {
    let priced = sums.requests - sums.unpriced - sums.subscription_requests > 0;
    let dollars = |nano: i64| priced.then(|| usd(nano));
    RecentSums {
        requests: sums.requests,
        failed: sums.failed,
        tokens_before: sums.tokens_before,
        tokens_after: sums.tokens_after,
        tokens_saved: sums.tokens_saved,
        output_tokens: sums.output_tokens,
        cache_read_tokens: sums.cache_read_tokens,
        cache_write_tokens: sums.cache_write_tokens,
        uncached_input_tokens: sums.uncached_input_tokens,
        cost_usd: dollars(sums.input_nanousd.saturating_add(sums.output_nanousd)),
        saved_usd: dollars(sums.saved_cached_nanousd),
        unpriced_requests: sums.unpriced,
        subscription_requests: sums.subscription_requests,
    }
}
