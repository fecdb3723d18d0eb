//! What the headers of an answer say about a subscription's allowance: how much of each window is used, and
//! when the window is reset.
//!
//! | | Anthropic | ChatGPT |
//! |---|---|---|
//! | windows | `5h`, `7d` and others, in the header's name | `primary`, `secondary` |
//! | used | `anthropic-ratelimit-unified-5h-utilization: 0.42` | `x-codex-primary-used-percent: 42.5` |
//! | reset | `…-5h-reset`, a Unix time | `…-reset-at`, or `…-reset-after-seconds` |
//! | length | in the window's name | `…-window-minutes` |
//! | state | `…-5h-status` | |
//!
//! Answers to requests with API keys have neither, so a request whose answer has them was made with a
//! subscription.

use crate::allowance::{Fact, RateLimit};
use crate::{anthropic, chatgpt};

/// The most windows that are kept of an answer. Anthropic has five.
const MAX_WINDOWS: usize = 8;
/// 100 % in hundredths of a percent.
const WHOLE: f64 = 10_000.0;
/// Larger figures are ignored: a hundred times the allowance.
const MAX_USED: f64 = 100.0 * WHOLE;
/// A window as far as it is known.
#[derive(Default)]
struct Window {
    limit: RateLimit,
    is_used_known: bool,
}

/// The windows in an answer's headers, in the order of the headers. `now`: nanoseconds since the Unix epoch.
pub fn read<'h>(headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>, now: u64) -> Vec<RateLimit> {
    let mut windows: Vec<Window> = Vec::new();
    for (name, value) in headers {
        let Some((window, fact)) =
            std::str::from_utf8(value).ok().and_then(|value| header(name, value.trim()))
        else {
            continue;
        };
        let at = windows.iter().position(|known| known.limit.window == window);
        let at = match at {
            Some(at) => at,
            None if windows.len() < MAX_WINDOWS => {
                let minutes = minutes(window);
                let limit = RateLimit { window: window.to_owned(), minutes, ..RateLimit::default() };
                windows.push(Window { limit, is_used_known: false });
                windows.len().saturating_sub(1)
            }
            None => continue,
        };
        if let Some(window) = windows.get_mut(at) {
            window.add(&fact, now / 1_000_000);
        }
    }
    windows.into_iter().filter(Window::says_something).map(|window| window.limit).collect()
}

impl Window {
    fn add(&mut self, fact: &Fact<'_>, now_ms: u64) {
        let millis = |seconds: u64| i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        match *fact {
            Fact::Used(share) => {
                self.is_used_known = true;
                // Within the range of the type: see `MAX_USED`.
                self.limit.used = (share * WHOLE).clamp(0.0, MAX_USED).round() as u32;
            }
            Fact::ResetsAt(seconds) => self.limit.resets_unix_ms = millis(seconds),
            Fact::ResetsAfter(seconds) if self.limit.resets_unix_ms == 0 => {
                let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
                self.limit.resets_unix_ms = now_ms.saturating_add(millis(seconds));
            }
            Fact::ResetsAfter(_) => {}
            Fact::Minutes(minutes) => self.limit.minutes = minutes,
            Fact::Status(status) => status.clone_into(&mut self.limit.status),
        }
    }

    /// In a plan without a window, all its headers are zero.
    fn says_something(&self) -> bool {
        let RateLimit { used, resets_unix_ms, minutes, .. } = self.limit;
        self.is_used_known && (used > 0 || resets_unix_ms > 0 || minutes > 0)
    }
}

/// The window that a header names, and the fact in its value.
fn header<'h>(name: &'h [u8], value: &'h str) -> Option<(&'h str, Fact<'h>)> {
    anthropic::allowance(name, value).or_else(|| chatgpt::allowance(name, value))
}

/// The length at the beginning of a window's name: `5h`, `7d_opus`; 0 if there is none.
fn minutes(window: &str) -> u32 {
    let (count, unit) = window.split_at(window.bytes().take_while(u8::is_ascii_digit).count());
    let minutes = match unit.split('_').next() {
        Some("h") => 60,
        Some("d") => 24 * 60,
        _ => 0,
    };
    count.parse::<u32>().unwrap_or(0).saturating_mul(minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_785_000_000_000_000_000;

    fn of(headers: &[(&str, &str)]) -> Vec<RateLimit> {
        read(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())), NOW)
    }

    fn limit(window: &str, used: u32, resets_unix_ms: i64, minutes: u32, status: &str) -> RateLimit {
        RateLimit { window: window.to_owned(), used, resets_unix_ms, minutes, status: status.to_owned() }
    }

    #[test]
    fn anthropics_windows_are_read() {
        // As an answer to a subscription had them.
        let found = of(&[
            ("anthropic-ratelimit-unified-5h-reset", "1785182400"),
            ("anthropic-ratelimit-unified-5h-status", "allowed"),
            ("anthropic-ratelimit-unified-5h-utilization", "0.01"),
            ("anthropic-ratelimit-unified-7d-reset", "1785751200"),
            ("anthropic-ratelimit-unified-7d-status", "allowed_warning"),
            ("anthropic-ratelimit-unified-7d-utilization", "1.125"),
            ("anthropic-ratelimit-unified-7d_oi-utilization", "0.02"),
            ("anthropic-ratelimit-unified-fallback-percentage", "0.5"),
            ("anthropic-ratelimit-unified-overage-status", "rejected"),
            ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
            ("anthropic-ratelimit-unified-reset", "1785182400"),
            ("anthropic-ratelimit-unified-status", "allowed"),
            ("anthropic-ratelimit-requests-remaining", "7"),
        ]);
        assert_eq!(
            found,
            [
                limit("5h", 100, 1_785_182_400_000, 300, "allowed"),
                limit("7d", 11_250, 1_785_751_200_000, 10_080, "allowed_warning"),
                limit("7d_oi", 200, 0, 10_080, ""),
            ]
        );
    }

    #[test]
    fn chatgpts_windows_are_read() {
        let found = of(&[
            ("x-codex-primary-used-percent", "42.5"),
            ("x-codex-primary-window-minutes", "300"),
            ("x-codex-primary-reset-at", "1785182400"),
            ("x-codex-primary-reset-after-seconds", "9"),
            ("x-codex-secondary-used-percent", "13"),
            ("x-codex-secondary-window-minutes", "10080"),
            ("x-codex-secondary-reset-after-seconds", "60"),
            ("x-codex-bengalfox-primary-used-percent", "100"),
            ("x-codex-credits-balance", "$5.00"),
        ]);
        let after = i64::try_from(NOW / 1_000_000).unwrap() + 60_000;
        assert_eq!(
            found,
            [
                limit("primary", 4_250, 1_785_182_400_000, 300, ""),
                limit("secondary", 1_300, after, 10_080, ""),
            ]
        );
        let none = [("x-codex-primary-used-percent", "0"), ("x-codex-primary-window-minutes", "0")];
        assert_eq!(of(&none), []);
    }

    #[test]
    fn what_is_no_figure_is_not_taken_for_one() {
        for bad in ["", "NaN", "inf", "-inf", "x", "0,5", "1e999", "\u{1f4a5}"] {
            assert_eq!(of(&[("x-codex-primary-used-percent", bad), ("x-codex-primary-reset-at", "7")]), []);
        }
        let used = |text: &str| {
            let headers = [("x-codex-primary-used-percent", text), ("x-codex-primary-window-minutes", "1")];
            of(&headers).first().map(|limit| limit.used)
        };
        assert_eq!((used("-3"), used("1e300"), used("1e-300")), (Some(0), Some(1_000_000), Some(0)));
        for bad in ["-1", "99999999999", "18446744073709551616", "2026-01-01"] {
            let found = of(&[("x-codex-primary-used-percent", "1"), ("x-codex-primary-reset-at", bad)]);
            assert_eq!(found, [limit("primary", 100, 0, 0, "")], "{bad}");
        }
        let long = format!("anthropic-ratelimit-unified-{}-utilization", "9".repeat(40));
        assert_eq!(of(&[(&long, "1")]), []);
        assert_eq!(of(&[("anthropic-ratelimit-unified--utilization", "1")]), []);
    }

    #[test]
    fn windows_are_bounded() {
        let names: Vec<String> =
            (1..40).map(|n| format!("anthropic-ratelimit-unified-{n}h-utilization")).collect();
        let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "0.5")).collect();
        assert_eq!(of(&headers).len(), MAX_WINDOWS);
        assert_eq!(minutes("4294967295d"), u32::MAX);
    }
}
