//! Allowances of subscriptions: how much of each window is used, from the headers of the newest answer.
//!
//! Kept in memory and in a file, `subscription_state.json`, whose first members are the same as upstream's: `latest`
//! and `contribution` for a Claude subscription, `codex_rate_limits` for ChatGPT. Upstream's dollars are left out,
//! because these tokens are not paid individually. This version reads back only `accounts`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headroom_api::pages::{Allowance, CodexRateLimits, SubscriptionWindow};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::allowance::{Account, Owner};
use crate::clock::{DAY_MS, UnixMs};
use crate::ledger::contribution::CountedRequest;
use crate::upstream::allowances;

/// Maximum number of accounts; the least recently used one makes room.
const MAX_ACCOUNTS: usize = 64;
/// The longest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// An account that is known only by its credential is forgotten after this time without a request: the credential
/// is renewed several times a day, and the account then has the new one.
const CREDENTIAL_MS: i64 = DAY_MS;
/// The same for other accounts: the longest window, and a day.
const ACCOUNT_MS: i64 = 8 * DAY_MS;
/// Time between a change and its write, so that a busy minute does not cause a thousand writes.
const SETTLE: Duration = Duration::from_secs(2);

/// All recently seen subscriptions.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    file: PathBuf,
    accounts: Mutex<BTreeMap<Owner, Account>>,
    changed: Notify,
}

/// The part of the file that is read back.
#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    accounts: Vec<(Owner, Account)>,
}

impl Subscriptions {
    /// Starts with the content of the file. An unreadable file is replaced.
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

    /// Takes the data of stored requests.
    pub(crate) fn observe(&self, landed: &[CountedRequest], now: UnixMs) {
        let of_subscriptions: Vec<&CountedRequest> =
            landed.iter().filter(|it| it.record.subscription).collect();
        if of_subscriptions.is_empty() {
            return;
        }
        let mut accounts = self.lock();
        for request in of_subscriptions {
            let owner = Owner::of(&request.record);
            // An allowance without data is not shown.
            if !request.record.rate_limits.is_empty() || accounts.contains_key(&owner) {
                accounts.entry(owner).or_default().add(request);
            }
        }
        forget(&mut accounts, now);
        drop(accounts);
        self.changed.notify_one();
    }

    /// The allowances for `/stats`, newest first.
    pub(crate) fn list(&self, now: UnixMs) -> Vec<Allowance> {
        self.newest(now).iter().map(|(owner, account)| account.page(owner, now)).collect()
    }

    /// A Claude subscription in upstream's format.
    pub(crate) fn anthropic(&self, now: UnixMs) -> Option<SubscriptionWindow> {
        allowances::anthropic(&self.newest(now), now)
    }

    /// A ChatGPT subscription in upstream's format.
    pub(crate) fn codex(&self, now: UnixMs) -> Option<CodexRateLimits> {
        allowances::codex(&self.newest(now), now)
    }

    /// Writes changes until the sidecar stops. Later records are written by [`Self::write`].
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

    /// Writes the file. Without a subscription it writes no file.
    pub(crate) fn write(&self, now: UnixMs) -> io::Result<()> {
        let accounts = self.newest(now);
        if accounts.is_empty() {
            return Ok(());
        }
        let mut state = match allowances::anthropic(&accounts, now) {
            Some(window) => serde_json::to_value(window)?,
            None => json!({"latest": null}),
        };
        state["codex_rate_limits"] = serde_json::to_value(allowances::codex(&accounts, now))?;
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

#[cfg(test)]
mod tests {
    use headroom_api::v1::{RateLimit, RequestRecord};
    use serde_json::Value;

    use super::*;
    use crate::clock::{MINUTE_MS, iso};
    use crate::ledger::contribution::{Accounting, Contribution, MAX_WINDOWS};

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
        assert_eq!(again.list(NOW).len(), 2);
        assert!(again.list(resets)[0].windows[0].has_begun_anew);
    }

    #[test]
    fn tokens_count_from_the_beginning_of_the_window() {
        let dir = tempfile::tempdir().unwrap();
        let subscriptions = Subscriptions::load(dir.path().join("s.json"), NOW);
        let of = |resets| record("anthropic", "k", vec![limit("5h", 1, resets, 300)]);
        for resets in [NOW + 1_000, NOW + 2_000, NOW + 1_000] {
            observe(&subscriptions, &of(resets));
        }
        assert_eq!(subscriptions.list(NOW)[0].tokens_saved, 1_800);
        observe(&subscriptions, &of(NOW + 300 * MINUTE_MS));
        assert_eq!(subscriptions.list(NOW)[0].tokens_saved, 600);
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
        assert_eq!(list.len(), MAX_ACCOUNTS);
        assert!(list[0].windows.len() <= MAX_WINDOWS);
        assert_eq!(subscriptions.list(NOW + CREDENTIAL_MS + 1), []);
    }

    #[test]
    fn a_file_that_cannot_be_read_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.json");
        let long = format!("{{\"accounts\":[{}]}}", "[1],".repeat(1 << 19));
        // Upstream's file has no accounts.
        for text in ["", "[1]", "{\"accounts\":[[{}]]}", "{\"latest\":null,\"history\":[]}", &long, "\u{0}"] {
            std::fs::write(&file, text).unwrap();
            let subscriptions = Subscriptions::load(file.clone(), NOW);
            assert_eq!(subscriptions.list(NOW), []);
        }
        let owner = json!({"provider": "x".repeat(500), "account": "a\nb", "is_credential": false});
        let window = json!({"window": "5h", "used_percent": 1e300, "resets_ms": i64::MIN, "minutes": 0, "status": "\u{7}"});
        let account = json!({"seen_ms": i64::MAX, "windows": vec![window; 100], "tokens_forwarded": i64::MAX,
            "tokens_saved": i64::MAX, "cache_read_tokens": i64::MAX});
        std::fs::write(&file, json!({"accounts": [[owner, account]]}).to_string()).unwrap();
        let subscriptions = Subscriptions::load(file, NOW);
        let list = subscriptions.list(NOW);
        assert_eq!(list[0].windows.len(), MAX_WINDOWS);
        assert_eq!((list[0].account.as_str(), list[0].seen_at.as_str()), ("a_b", iso(NOW).as_str()));
        subscriptions.write(NOW).unwrap();
    }
}
