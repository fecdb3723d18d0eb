//! Allowances of subscriptions in upstream's format.

use headroom_api::pages::{
    CodexRateLimits, CodexWindow, Contribution, LatestWindows, SubscriptionWindow, SubscriptionWindowUse,
    TokensSaved,
};

use crate::allowance::{Account, Owner, Window};
use crate::clock::{UnixMs, iso};
use crate::ledger::sums::percent;

/// The newest Claude subscription among the accounts, which are sorted newest first.
pub(crate) fn anthropic(accounts: &[(Owner, Account)], now: UnixMs) -> Option<SubscriptionWindow> {
    let (_, account) = accounts.iter().find(|(owner, _)| owner.provider == "anthropic")?;
    let used = |name: &str| account.window(name).map(|window| window_use(Some(window), now));
    let (saved, read) = (account.tokens_saved, account.cache_read_tokens);
    let without = account.tokens_forwarded.saturating_add(saved);
    let total = saved.saturating_add(read);
    Some(SubscriptionWindow {
        latest: Some(LatestWindows {
            five_hour: window_use(account.window("5h"), now),
            seven_day: window_use(account.window("7d"), now),
            seven_day_opus: used("7d_opus"),
            seven_day_sonnet: used("7d_sonnet"),
            polled_at: iso(account.seen_ms),
            ..LatestWindows::default()
        }),
        contribution: Contribution {
            tokens_submitted: account.tokens_forwarded,
            tokens_saved: TokensSaved {
                compression: saved,
                proxy_compression: saved,
                cache_reads: read,
                total,
                ..TokensSaved::default()
            },
            raw_without_headroom: without,
            efficiency_pct: percent(total, without),
        },
        last_active_at: iso(account.seen_ms),
        ..SubscriptionWindow::default()
    })
}

fn window_use(window: Option<&Window>, now: UnixMs) -> SubscriptionWindowUse {
    let resets = window.map_or(0, |window| window.resets_ms);
    SubscriptionWindowUse {
        utilization_pct: window.map_or(0.0, |window| window.used_percent),
        resets_at: (resets > 0).then(|| iso(resets)),
        seconds_to_reset: (resets > 0).then(|| (resets - now).max(0) as f64 / 1e3),
        ..SubscriptionWindowUse::default()
    }
}

/// The newest ChatGPT subscription among the accounts, which are sorted newest first.
pub(crate) fn codex(accounts: &[(Owner, Account)], now: UnixMs) -> Option<CodexRateLimits> {
    accounts.iter().find_map(|(_, account)| {
        let window = |name: &str| account.window(name).map(|window| codex_window(window, now));
        let (primary, secondary) = (window("primary"), window("secondary"));
        (primary.is_some() || secondary.is_some()).then(|| CodexRateLimits {
            limit_id: "codex".to_owned(),
            primary,
            secondary,
            captured_at: account.seen_ms as f64 / 1e3,
            ..CodexRateLimits::default()
        })
    })
}

fn codex_window(window: &Window, now: UnixMs) -> CodexWindow {
    let resets = (window.resets_ms > 0).then_some(window.resets_ms / 1_000);
    CodexWindow {
        used_percent: window.used_percent,
        window_minutes: (window.minutes > 0).then_some(window.minutes),
        window_label: match window.minutes {
            0 => "unknown".to_owned(),
            minutes if minutes < 60 => format!("{minutes}m"),
            minutes if minutes % 60 == 0 => format!("{}h", minutes / 60),
            minutes => format!("{}h{:02}m", minutes / 60, minutes % 60),
        },
        resets_at: resets,
        seconds_until_reset: resets.map(|resets| (resets - now / 1_000).max(0)),
    }
}
