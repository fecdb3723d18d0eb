//! Allowances of subscriptions: how much of each window is used, as the newest answer's headers say it.
//!
//! Kept in memory and in a file, `subscription_state.json`, whose first members are those that the original Headroom
//! writes: `latest` and `contribution` for a Claude subscription, `codex_rate_limits` for ChatGPT. Its dollars are
//! left out, since nobody pays for these tokens one by one. What this version reads back stands in `accounts`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headroom_api::v1::{RateLimit, RequestRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::{DAY_MS, MINUTE_MS, UnixMs, iso};
use crate::ledger::contribution::Landed;
use crate::ledger::labels::tidy;

/// Accounts that are remembered; the one that was quiet for longest makes room.
const MAX_ACCOUNTS: usize = 64;
/// Windows kept of an account.
pub(crate) const MAX_WINDOWS: usize = 8;
/// The longest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// An account that only its credential tells is forgotten when it was quiet for so long: the credential is renewed
/// several times a day, and the account then goes by the new one.
const CREDENTIAL_MS: i64 = DAY_MS;
/// Any other: the longest window, and a day.
const ACCOUNT_MS: i64 = 8 * DAY_MS;
/// A window that ends so much later than before is the next one. Times that follow from a rest wobble by seconds.
const NEXT_WINDOW_MS: i64 = 5 * MINUTE_MS;
/// Between a change and its writing, so that a busy minute is not written a thousand times.
const SETTLE: Duration = Duration::from_secs(2);

/// Every subscription that was heard of lately.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    file: PathBuf,
    accounts: Mutex<BTreeMap<Owner, Account>>,
    changed: Notify,
}

/// Whose allowance it is.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
struct Owner {
    provider: String,
    /// A hash of the account's id, or of the credential.
    account: String,
    is_credential: bool,
}

/// What is known of an allowance.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Account {
    seen_ms: UnixMs,
    windows: Vec<Window>,
    /// Since the shortest window began, as far as requests passed here.
    tokens_forwarded: i64,
    tokens_saved: i64,
    cache_read_tokens: i64,
}

/// As in [`RateLimit`].
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Window {
    window: String,
    used_percent: f64,
    resets_ms: UnixMs,
    minutes: u32,
    status: String,
}

/// What the file holds that is read back.
#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    accounts: Vec<(Owner, Account)>,
}

impl Subscriptions {
    /// Begins with what the file holds. One that cannot be read is written anew.
    pub(crate) fn load(file: PathBuf, now: UnixMs) -> Self {
        let stored = read(&file).unwrap_or_else(|error| {
            let file = file.display();
            tracing::warn!(message = "The state of subscriptions was left out.", %file, %error);
            Vec::new()
        });
        let mut accounts = BTreeMap::new();
        for (owner, account) in stored.into_iter().take(MAX_ACCOUNTS) {
            accounts.insert(owner.tidied(), account.bounded(now));
        }
        forget(&mut accounts, now);
        Self { file, accounts: Mutex::new(accounts), changed: Notify::new() }
    }

    /// Takes what requests say that have landed.
    pub(crate) fn observe(&self, landed: &[Landed], now: UnixMs) {
        let of_subscriptions: Vec<&Landed> = landed.iter().filter(|it| it.record.subscription).collect();
        if of_subscriptions.is_empty() {
            return;
        }
        let mut accounts = self.lock();
        for request in of_subscriptions {
            let owner = Owner::of(&request.record);
            // An allowance of which nothing is known is none to show.
            if !request.record.rate_limits.is_empty() || accounts.contains_key(&owner) {
                accounts.entry(owner).or_default().add(request);
            }
        }
        forget(&mut accounts, now);
        drop(accounts);
        self.changed.notify_one();
    }

    /// As `/stats` shows them, the newest first.
    pub(crate) fn list(&self, now: UnixMs) -> Value {
        let accounts = self.newest(now);
        let shown = accounts.iter().map(|(owner, account)| {
            json!({
                "provider": owner.provider,
                "account": owner.account,
                "seen_at": iso(account.seen_ms),
                "windows": account.windows.iter().map(|window| window.shown(now)).collect::<Vec<_>>(),
                "tokens_forwarded": account.tokens_forwarded,
                "tokens_saved": account.tokens_saved,
                "cache_read_tokens": account.cache_read_tokens,
            })
        });
        shown.collect()
    }

    /// A Claude subscription as the original tells of it; `null` where there is none.
    pub(crate) fn anthropic(&self, now: UnixMs) -> Value {
        let accounts = self.newest(now);
        let Some((_, account)) = accounts.iter().find(|(owner, _)| owner.provider == "anthropic") else {
            return Value::Null;
        };
        let window = |name: &str| account.windows.iter().find(|window| window.window == name);
        let mut latest = json!({
            "five_hour": of_original(window("5h"), now),
            "seven_day": of_original(window("7d"), now),
            "extra_usage": {
                "is_enabled": false, "monthly_limit_usd": null, "used_credits_usd": null, "utilization_pct": null,
            },
            "polled_at": iso(account.seen_ms),
            "token_prefix": "",
        });
        for (name, of) in [("seven_day_opus", "7d_opus"), ("seven_day_sonnet", "7d_sonnet")] {
            if let Some(window) = window(of) {
                latest[name] = of_original(Some(window), now);
            }
        }
        let (saved, read) = (account.tokens_saved, account.cache_read_tokens);
        let without = account.tokens_forwarded.saturating_add(saved);
        json!({
            "latest": latest,
            "window_tokens": null,
            "contribution": {
                "tokens_submitted": account.tokens_forwarded,
                "tokens_saved": {
                    "compression": saved, "proxy_compression": saved, "cli_filtering": 0, "rtk": 0,
                    "cli_filtering_raw": 0, "rtk_raw": 0, "cache_reads": read, "total": saved.saturating_add(read),
                },
                "raw_without_headroom": without,
                "efficiency_pct": crate::stats::percent(saved.saturating_add(read), without),
            },
            "discrepancies": [],
            "poll_count": 0,
            "poll_errors": 0,
            "last_error": null,
            "last_active_at": iso(account.seen_ms),
        })
    }

    /// A ChatGPT subscription as the original tells of it; `null` where there is none.
    pub(crate) fn codex(&self, now: UnixMs) -> Value {
        let accounts = self.newest(now);
        let with = |name: &str, account: &Account| {
            let window = account.windows.iter().find(|window| window.window == name)?;
            let resets = (window.resets_ms > 0).then_some(window.resets_ms / 1_000);
            let label = match window.minutes {
                0 => "unknown".to_owned(),
                minutes if minutes < 60 => format!("{minutes}m"),
                minutes if minutes % 60 == 0 => format!("{}h", minutes / 60),
                minutes => format!("{}h{:02}m", minutes / 60, minutes % 60),
            };
            Some(json!({
                "used_percent": window.used_percent,
                "window_minutes": (window.minutes > 0).then_some(window.minutes),
                "window_label": label,
                "resets_at": resets,
                "seconds_until_reset": resets.map(|resets| (resets - now / 1_000).max(0)),
            }))
        };
        let found = accounts.iter().find_map(|(_, account)| {
            let windows = (with("primary", account), with("secondary", account));
            (windows.0.is_some() || windows.1.is_some()).then_some((account, windows))
        });
        let Some((account, (primary, secondary))) = found else { return Value::Null };
        json!({
            "limit_id": "codex",
            "limit_name": null,
            "primary": primary,
            "secondary": secondary,
            "credits": null,
            "promo_message": null,
            "captured_at": account.seen_ms as f64 / 1e3,
        })
    }

    /// Writes what changes, until the sidecar stops. Records that land after that are written by [`Self::write`].
    pub(crate) async fn keep(&self, now: impl Fn() -> UnixMs, stop: CancellationToken) {
        let mut failed = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
            }
            match self.write(now()) {
                Ok(()) => failed = false,
                Err(error) if !failed => {
                    failed = true;
                    let file = self.file.display();
                    tracing::warn!(message = "The state of subscriptions cannot be written.", %file, %error);
                }
                Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SETTLE) => {}
            }
        }
    }

    /// Writes the file. Without a subscription there is none.
    pub(crate) fn write(&self, now: UnixMs) -> io::Result<()> {
        let accounts = self.newest(now);
        if accounts.is_empty() {
            return Ok(());
        }
        let mut state = self.anthropic(now);
        if state.is_null() {
            state = json!({"latest": null});
        }
        state["codex_rate_limits"] = self.codex(now);
        state["accounts"] = serde_json::to_value(&accounts)?;
        if let Some(folder) = self.file.parent() {
            headroom_private::folder(folder)?;
        }
        headroom_private::write(&self.file, &serde_json::to_vec_pretty(&state)?)
    }

    fn newest(&self, now: UnixMs) -> Vec<(Owner, Account)> {
        let mut accounts = self.lock();
        forget(&mut accounts, now);
        let mut all: Vec<_> =
            accounts.iter().map(|(owner, account)| (owner.clone(), account.clone())).collect();
        all.sort_by_key(|(_, account)| std::cmp::Reverse(account.seen_ms));
        all
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Owner, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget(accounts: &mut BTreeMap<Owner, Account>, now: UnixMs) {
    accounts.retain(|owner, account| {
        let kept_ms = if owner.is_credential { CREDENTIAL_MS } else { ACCOUNT_MS };
        now - account.seen_ms <= kept_ms
    });
    while accounts.len() > MAX_ACCOUNTS {
        let oldest = accounts.iter().min_by_key(|(_, account)| account.seen_ms);
        let Some(oldest) = oldest.map(|(owner, _)| owner.clone()) else { return };
        accounts.remove(&oldest);
    }
}

fn read(file: &Path) -> io::Result<Vec<(Owner, Account)>> {
    let file = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice::<Stored>(&text)?.accounts)
}

impl Owner {
    fn of(record: &RequestRecord) -> Self {
        let is_credential = record.account.is_empty();
        let account = if is_credential { &record.key } else { &record.account };
        Self { provider: record.provider.clone(), account: account.clone(), is_credential }
    }

    fn tidied(self) -> Self {
        Self { provider: tidy(&self.provider), account: tidy(&self.account), ..self }
    }
}

impl Account {
    fn add(&mut self, request: &Landed) {
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

    /// As far as a file can be believed that anybody may have written.
    fn bounded(mut self, now: UnixMs) -> Self {
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

    fn shown(&self, now: UnixMs) -> Value {
        json!({
            "window": self.window,
            "minutes": (self.minutes > 0).then_some(self.minutes),
            "used_percent": self.used_percent,
            "resets_at": (self.resets_ms > 0).then(|| iso(self.resets_ms)),
            // What is known is of the window before.
            "has_begun_anew": self.resets_ms > 0 && self.resets_ms <= now,
            "status": (!self.status.is_empty()).then_some(&self.status),
        })
    }
}

/// A window under the original's names. It knows its tokens, which no header tells.
fn of_original(window: Option<&Window>, now: UnixMs) -> Value {
    let resets = window.map_or(0, |window| window.resets_ms);
    json!({
        "used": 0,
        "limit": 0,
        "utilization_pct": window.map_or(0.0, |window| window.used_percent),
        "resets_at": (resets > 0).then(|| iso(resets)),
        "seconds_to_reset": (resets > 0).then(|| (resets - now).max(0) as f64 / 1e3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::contribution::{Accounting, Contribution};

    const NOW: UnixMs = 1_790_000_000_000;

    fn limit(window: &str, used: u32, resets_unix_ms: UnixMs, minutes: u32) -> RateLimit {
        RateLimit { window: window.to_owned(), used, resets_unix_ms, minutes, ..RateLimit::default() }
    }

    fn record(provider: &str, key: &str, rate_limits: Vec<RateLimit>) -> RequestRecord {
        RequestRecord {
            sequence: 1,
            provider: provider.to_owned(),
            key: key.to_owned(),
            subscription: true,
            started_unix_ms: NOW,
            status: 200,
            outcome: headroom_api::v1::RequestOutcome::Compressed.into(),
            tokens: Some(headroom_api::v1::Tokens { before: 1_000, after: 400, ..Default::default() }),
            rate_limits,
            ..RequestRecord::default()
        }
    }

    fn observe(subscriptions: &Subscriptions, record: &RequestRecord) {
        let landed = Contribution::of([("vm", record)], &Accounting::default(), NOW).requests;
        subscriptions.observe(&landed, NOW);
    }

    #[test]
    fn what_an_answer_says_is_shown_written_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state/subscription_state.json");
        let subscriptions = Subscriptions::load(file.clone(), NOW);
        subscriptions.write(NOW).unwrap();
        assert!(!file.exists(), "there is nothing to write");
        let resets = NOW + 60 * MINUTE_MS;
        let windows = vec![limit("5h", 3_725, resets, 300), limit("7d", 90, NOW + DAY_MS, 10_080)];
        observe(&subscriptions, &record("anthropic", "k", windows));
        let mut codex = record("chatgpt", "k2", vec![limit("primary", 4_250, resets, 300)]);
        codex.account = "a".to_owned();
        observe(&subscriptions, &codex);
        let other = RequestRecord { subscription: false, ..record("openai", "k3", Vec::new()) };
        observe(&subscriptions, &other);
        subscriptions.write(NOW).unwrap();

        let state: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(state["latest"]["five_hour"]["utilization_pct"], 37.25);
        assert_eq!(state["latest"]["five_hour"]["seconds_to_reset"], 3_600.0);
        assert_eq!(state["contribution"]["tokens_saved"]["proxy_compression"], 600);
        assert_eq!(state["codex_rate_limits"]["primary"]["used_percent"], 42.5);
        assert_eq!(state["codex_rate_limits"]["primary"]["window_label"], "5h");
        assert!(!state.to_string().contains("savings_usd"));

        let again = Subscriptions::load(file, NOW);
        assert_eq!(again.list(NOW), subscriptions.list(NOW));
        assert_eq!(again.list(NOW).as_array().unwrap().len(), 2);
        assert_eq!(again.list(resets)[0]["windows"][0]["has_begun_anew"], true);
    }

    #[test]
    fn tokens_count_from_the_beginning_of_the_window() {
        let dir = tempfile::tempdir().unwrap();
        let subscriptions = Subscriptions::load(dir.path().join("s.json"), NOW);
        let of = |resets| record("anthropic", "k", vec![limit("5h", 1, resets, 300)]);
        for resets in [NOW + 1_000, NOW + 2_000, NOW + 1_000] {
            observe(&subscriptions, &of(resets));
        }
        assert_eq!(subscriptions.list(NOW)[0]["tokens_saved"], 1_800);
        observe(&subscriptions, &of(NOW + 300 * MINUTE_MS));
        assert_eq!(subscriptions.list(NOW)[0]["tokens_saved"], 600);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let subscriptions = Subscriptions::load(dir.path().join("s.json"), NOW);
        for n in 0..MAX_ACCOUNTS + 5 {
            let windows = vec![limit("5h", 1, NOW + 1_000, 300); 20];
            observe(&subscriptions, &record("anthropic", &n.to_string(), windows));
        }
        let list = subscriptions.list(NOW);
        assert_eq!(list.as_array().unwrap().len(), MAX_ACCOUNTS);
        assert!(list[0]["windows"].as_array().unwrap().len() <= MAX_WINDOWS);
        assert_eq!(subscriptions.list(NOW + CREDENTIAL_MS + 1), json!([]));
    }

    #[test]
    fn a_file_that_cannot_be_read_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.json");
        let long = format!("{{\"accounts\":[{}]}}", "[1],".repeat(1 << 19));
        // The original's file has no accounts.
        for text in ["", "[1]", "{\"accounts\":[[{}]]}", "{\"latest\":null,\"history\":[]}", &long, "\u{0}"] {
            std::fs::write(&file, text).unwrap();
            let subscriptions = Subscriptions::load(file.clone(), NOW);
            assert_eq!(subscriptions.list(NOW), json!([]));
        }
        let owner = json!({"provider": "x".repeat(500), "account": "a\nb", "is_credential": false});
        let window = json!({"window": "5h", "used_percent": 1e300, "resets_ms": i64::MIN, "minutes": 0, "status": "\u{7}"});
        let account = json!({"seen_ms": i64::MAX, "windows": vec![window; 100], "tokens_forwarded": i64::MAX,
            "tokens_saved": i64::MAX, "cache_read_tokens": i64::MAX});
        std::fs::write(&file, json!({"accounts": [[owner, account]]}).to_string()).unwrap();
        let subscriptions = Subscriptions::load(file, NOW);
        let list = subscriptions.list(NOW);
        assert_eq!(list[0]["windows"].as_array().unwrap().len(), MAX_WINDOWS);
        assert_eq!(
            (list[0]["account"].as_str(), list[0]["seen_at"].as_str()),
            (Some("a_b"), Some(iso(NOW).as_str()))
        );
        subscriptions.write(NOW).unwrap();
    }
}
