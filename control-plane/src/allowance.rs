//! One subscription, and its known allowance.

use headroom_api::pages::{Allowance, AllowanceWindow};
use headroom_api::v1::{RateLimit, RequestRecord};
use serde::{Deserialize, Serialize};

use crate::clock::{MINUTE_MS, UnixMs, iso};
use crate::ledger::contribution::{CountedRequest, MAX_WINDOWS};
use crate::ledger::labels::tidy;

/// If a window's end moves by more than this, it is the next window. Times computed from a remainder vary by
/// seconds.
const NEXT_WINDOW_MS: i64 = 5 * MINUTE_MS;

/// The owner of an allowance.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct Owner {
    pub(crate) provider: String,
    /// A hash of the account's id, or of the credential.
    pub(crate) account: String,
    pub(crate) is_credential: bool,
}

/// The known state of an allowance.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Account {
    pub(crate) seen_ms: UnixMs,
    windows: Vec<Window>,
    /// Since the shortest window began, for requests through Headroom.
    pub(crate) tokens_forwarded: i64,
    pub(crate) tokens_saved: i64,
    pub(crate) cache_read_tokens: i64,
}

/// As in [`RateLimit`].
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Window {
    pub(crate) window: String,
    pub(crate) used_percent: f64,
    pub(crate) resets_ms: UnixMs,
    pub(crate) minutes: u32,
    pub(crate) status: String,
}

impl Owner {
    pub(crate) fn of(record: &RequestRecord) -> Self {
        let is_credential = record.account.is_empty();
        let account = if is_credential { &record.key } else { &record.account };
        Self { provider: record.provider.clone(), account: account.clone(), is_credential }
    }

    pub(crate) fn tidied(self) -> Self {
        Self { provider: tidy(&self.provider), account: tidy(&self.account), ..self }
    }
}

impl Account {
    pub(crate) fn add(&mut self, request: &CountedRequest) {
        let record = &request.record;
        if !record.rate_limits.is_empty() && record.started_unix_ms >= self.seen_ms {
            let windows: Vec<Window> = record.rate_limits.iter().take(MAX_WINDOWS).map(Window::of).collect();
            if shortest(&windows) > shortest(&self.windows).saturating_add(NEXT_WINDOW_MS) {
                (self.tokens_forwarded, self.tokens_saved, self.cache_read_tokens) = (0, 0, 0);
            }
            self.windows = windows;
        }
        self.seen_ms = self.seen_ms.max(record.started_unix_ms);
        self.tokens_forwarded = self.tokens_forwarded.saturating_add(request.sums.tokens_after);
        self.tokens_saved = self.tokens_saved.saturating_add(request.sums.tokens_saved);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(request.sums.cache_read_tokens);
    }

    /// The window of a name.
    pub(crate) fn window(&self, name: &str) -> Option<&Window> {
        self.windows.iter().find(|window| window.window == name)
    }

    /// As `/stats` shows it.
    pub(crate) fn page(&self, owner: &Owner, now: UnixMs) -> Allowance {
        Allowance {
            provider: owner.provider.clone(),
            account: owner.account.clone(),
            seen_at: iso(self.seen_ms),
            windows: self.windows.iter().map(|window| window.page(now)).collect(),
            tokens_forwarded: self.tokens_forwarded,
            tokens_saved: self.tokens_saved,
            cache_read_tokens: self.cache_read_tokens,
        }
    }

    /// Limits values from the file, because anyone may have written it.
    pub(crate) fn bounded(mut self, now: UnixMs) -> Self {
        self.windows.truncate(MAX_WINDOWS);
        for window in &mut self.windows {
            window.window = tidy(&window.window);
            window.status = tidy(&window.status);
        }
        self.seen_ms = self.seen_ms.clamp(0, now);
        self
    }
}

/// When the shortest window ends.
fn shortest(windows: &[Window]) -> UnixMs {
    windows.iter().min_by_key(|window| window.minutes).map_or(0, |window| window.resets_ms)
}

impl Window {
    fn of(limit: &RateLimit) -> Self {
        Self {
            window: limit.window.clone(),
            used_percent: f64::from(limit.used) / 100.0,
            resets_ms: limit.resets_unix_ms,
            minutes: limit.minutes,
            status: limit.status.clone(),
        }
    }

    fn page(&self, now: UnixMs) -> AllowanceWindow {
        AllowanceWindow {
            window: self.window.clone(),
            minutes: (self.minutes > 0).then_some(self.minutes),
            used_percent: self.used_percent,
            resets_at: (self.resets_ms > 0).then(|| iso(self.resets_ms)),
            // The known figures are those of the previous window.
            has_begun_anew: self.resets_ms > 0 && self.resets_ms <= now,
            status: (!self.status.is_empty()).then(|| self.status.clone()),
        }
    }
}
