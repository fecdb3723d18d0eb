//! Changes to a request for the provider's prompt cache, after the engine: breakpoints, and lines of the
//! system prompt that move.

use headroom_api::v1::RequestOutcome;
use headroom_compress::{Encoding, provider_tokens};
use headroom_providers::cache_edits::{CacheEdited, CacheEdits, Lifetime};
use headroom_providers::route::{Purpose, Route};

use crate::exchange::Exchange;
use crate::mode::Mode;
use crate::rules::Treatment;

/// The changed body, from a body that the engine has understood; `None`: nothing changes.
pub(crate) fn edited(
    exchange: &Exchange,
    route: &Route,
    treatment: Treatment,
    outcome: RequestOutcome,
    body: &[u8],
) -> Option<CacheEdited> {
    let is_understood =
        matches!(outcome, RequestOutcome::Compressed | RequestOutcome::Unchanged | RequestOutcome::Extended);
    if treatment.mode != Mode::Optimize || !is_understood {
        return None;
    }
    // A subscription's provider checks the prompts of its own clients.
    let is_aligned = treatment.align && !exchange.record.subscription;
    let align = if is_aligned { exchange.settings.config.align.as_slice() } else { &[] };
    let breakpoints = treatment.breakpoints.filter(|_| route.purpose == Purpose::Answer);
    // Elsewhere some models refuse the longer lifetime.
    let breakpoints =
        breakpoints.map(|it| if route.provider == "anthropic" { it } else { Lifetime::FiveMinutes });
    CacheEdits { align, breakpoints }.apply(body, route.api)
}

/// Notes a change that has been made. The tokens that it adds count as forwarded, so they reduce what was
/// saved.
pub(crate) fn note(exchange: &mut Exchange, edited: &CacheEdited) {
    let record = &mut exchange.record;
    record.added_breakpoints = edited.breakpoints;
    record.aligned_lines = edited.aligned_lines;
    exchange.settings.metrics.cache_edited(edited.breakpoints, edited.aligned_lines);
    if edited.added.is_empty() {
        return;
    }
    if let Some(tokens) = &mut record.tokens {
        let encoding = if tokens.encoding == Encoding::Cl100kBase.name() {
            Encoding::Cl100kBase
        } else {
            Encoding::O200kBase
        };
        let added = provider_tokens(&record.model, encoding.count(&edited.added) as u64);
        tokens.after = tokens.after.saturating_add(added);
    }
}
