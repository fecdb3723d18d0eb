//! Budgets: how many tokens and dollars a key, a team or everyone together may use in an hour, a day or a month.
//!
//! ```json
//! {"budgets": [
//!     {"per": "team", "window": "day", "usd": 50},
//!     {"per": "team", "of": "research", "window": "month", "usd": 2000, "tokens": 500000000},
//!     {"per": "key", "window": "hour", "tokens": 2000000},
//!     {"per": "all", "window": "month", "usd": 10000}
//! ]}
//! ```
//!
//! `of` names one team, or one key by its hash as in `/transformations/feed`; without it the budget applies to
//! each of them. Hours, days and months are in UTC. The usage comes from answers, so the request that exceeds
//! a budget is served, and later ones are refused. An entry that cannot be read is reported and left out, so a
//! typing error refuses no request.

use std::ops::AddAssign;
use std::path::Path;

use headroom_api::pages::BudgetUse;
use headroom_api::v1::{LimitsResponse, RequestRecord, UsedUp};
use serde_json::Value;

use crate::clock::{DAY_MS, UnixMs, iso};
use crate::ledger::bucket::Unit;
use crate::ledger::sums::{Sums, usd};

/// How long an answer is valid for filters: the time of twelve of their calls.
const VALID_FOR_MS: u32 = 60_000;
/// Maximum number of entries in an answer to a filter.
const MAX_USED_UP: usize = 1_000;

/// Whom a budget or a sum is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum BudgetSubject {
    /// Everyone together.
    All,
    /// Each credential, by its hash.
    Key,
    /// Each team, from the configured header.
    Team,
}

/// What was used in one window.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Spending {
    /// Input of every kind and output.
    pub tokens: i64,
    /// At list prices, cache prices included.
    pub nanousd: i64,
}

impl AddAssign for Spending {
    fn add_assign(&mut self, other: Self) {
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.nanousd = self.nanousd.saturating_add(other.nanousd);
    }
}

/// An owner, in one window.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Account {
    /// The window's length.
    pub unit: Unit,
    /// Where it starts.
    pub bucket_ms: UnixMs,
    /// The kind of owner.
    pub per: BudgetSubject,
    /// The owner; empty for everyone.
    pub owner: String,
}

/// All budgets.
#[derive(Clone, Debug, Default)]
pub struct Budgets {
    budgets: Vec<Budget>,
    warnings: Vec<String>,
}

#[derive(Clone, Debug)]
struct Budget {
    per: BudgetSubject,
    of: Option<String>,
    window: Unit,
    tokens: Option<i64>,
    nanousd: Option<i64>,
}

const PERS: [(&str, BudgetSubject); 3] =
    [("all", BudgetSubject::All), ("key", BudgetSubject::Key), ("team", BudgetSubject::Team)];
const WINDOWS: [(&str, Unit); 3] = [("hour", Unit::Hour), ("day", Unit::Day), ("month", Unit::Month)];

impl BudgetSubject {
    /// The name in configuration and store.
    pub fn name(self) -> &'static str {
        PERS.iter().find(|(_, per)| *per == self).map_or("", |(name, _)| name)
    }

    /// The kind with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        PERS.iter().find(|(known, _)| *known == name).map(|(_, per)| *per)
    }
}

impl Budgets {
    /// Reads `HEADROOM_BUDGETS`, JSON or the path of a file, or else the file in the folder of configuration.
    pub fn load(text_or_file: Option<&str>, file: &Path) -> Self {
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|error| format!("{}: cannot be read: {error}", path.display()))
        };
        let text = match text_or_file.map(str::trim) {
            Some(text) if text.starts_with('{') => Ok(text.to_owned()),
            Some(path) => read(Path::new(path)),
            None if file.exists() => read(file),
            None => return Self::default(),
        };
        match text.and_then(|text| Self::parse(&text)) {
            Ok(budgets) => budgets,
            Err(warning) => Self { budgets: Vec::new(), warnings: vec![warning] },
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let root: Value =
            serde_json::from_str(text).map_err(|error| format!("budgets: not JSON: {error}"))?;
        let list = root["budgets"].as_array().ok_or("budgets: expected {\"budgets\": [...]}")?;
        let mut all = Self::default();
        for (at, entry) in list.iter().enumerate() {
            match Budget::parse(entry) {
                Ok(budget) => all.budgets.push(budget),
                Err(why) => all.warnings.push(format!("budgets: number {}: {why}: left out", at + 1)),
            }
        }
        Ok(all)
    }

    /// The problems in them.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether there are none, so that nothing has to be counted.
    pub fn is_empty(&self) -> bool {
        self.budgets.is_empty()
    }

    /// The windows at a point in time for which there is a budget.
    pub fn windows(&self, now: UnixMs) -> Vec<(Unit, UnixMs)> {
        let mut windows: Vec<_> =
            self.budgets.iter().map(|budget| (budget.window, budget.window.start(now))).collect();
        windows.sort_unstable();
        windows.dedup();
        windows
    }

    /// The accounts that a request is charged to.
    pub fn accounts(&self, record: &RequestRecord) -> Vec<Account> {
        let owners = [
            (BudgetSubject::All, ""),
            (BudgetSubject::Key, &record.key),
            (BudgetSubject::Team, &record.team),
        ];
        let mut accounts: Vec<Account> = Vec::new();
        for budget in &self.budgets {
            let Some((per, owner)) = owners.iter().find(|(per, _)| *per == budget.per) else { continue };
            if *per == BudgetSubject::All || !owner.is_empty() {
                let bucket_ms = budget.window.start(record.started_unix_ms);
                let account =
                    Account { unit: budget.window, bucket_ms, per: *per, owner: (*owner).to_owned() };
                if !accounts.contains(&account) {
                    accounts.push(account);
                }
            }
        }
        accounts
    }

    /// The use of each budget, per owner. An unused budget is included if it names its owner.
    pub fn uses(&self, spent: &[(Account, Spending)], now: UnixMs) -> Vec<BudgetUse> {
        let mut uses = Vec::new();
        for budget in &self.budgets {
            let start = budget.window.start(now);
            let found =
                spent.iter().filter(|(account, _)| account.bucket_ms == start && budget.is_for(account));
            let before = uses.len();
            uses.extend(found.map(|(account, spent)| budget.use_of(&account.owner, *spent, start)));
            let named = budget.of.as_deref().or((budget.per == BudgetSubject::All).then_some(""));
            if uses.len() == before
                && let Some(owner) = named
            {
                uses.push(budget.use_of(owner, Spending::default(), start));
            }
        }
        uses
    }

    /// Which of them are used up.
    pub fn used_up(&self, spent: &[(Account, Spending)]) -> LimitsResponse {
        let used_up = self
            .budgets
            .iter()
            .flat_map(|budget| spent.iter().filter_map(|(account, spent)| budget.used_up(account, *spent)));
        LimitsResponse { used_up: used_up.take(MAX_USED_UP).collect(), valid_for_ms: VALID_FOR_MS }
    }
}

impl Budget {
    fn parse(entry: &Value) -> Result<Self, String> {
        fn one_of<T: Copy>(entry: &Value, name: &str, known: &[(&str, T)]) -> Result<T, String> {
            let found = known.iter().find(|(known, _)| entry[name] == *known);
            found.map(|(_, it)| *it).ok_or_else(|| {
                let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
                format!("{name}: expected {}", names.join(", "))
            })
        }
        /// More than is used in any month.
        const HIGHEST: f64 = 1e12;
        let amount = |name: &str| match &entry[name] {
            Value::Null => Ok(None),
            value => {
                let amount = value.as_f64().filter(|amount| (0.0..=HIGHEST).contains(amount));
                amount.map(Some).ok_or_else(|| format!("{name}: expected a number"))
            }
        };
        let budget = Self {
            per: one_of(entry, "per", &PERS)?,
            of: entry["of"].as_str().map(str::to_owned),
            window: one_of(entry, "window", &WINDOWS)?,
            tokens: amount("tokens")?.map(|tokens| tokens as i64),
            // The type has room for nine billion dollars in nano-dollars.
            nanousd: amount("usd")?.map(|usd| (usd * 1e9) as i64),
        };
        if budget.tokens.is_none() && budget.nanousd.is_none() {
            return Err("expected tokens or usd".to_owned());
        }
        Ok(budget)
    }

    fn is_for(&self, account: &Account) -> bool {
        account.per == self.per
            && account.unit == self.window
            && self.of.as_ref().is_none_or(|of| *of == account.owner)
    }

    fn use_of(&self, owner: &str, spent: Spending, start: UnixMs) -> BudgetUse {
        let share = |used: i64, most: Option<i64>| match most {
            None => 0.0,
            Some(0) => 100.0,
            Some(most) => used as f64 / most as f64 * 100.0,
        };
        let used_percent = share(spent.tokens, self.tokens).max(share(spent.nanousd, self.nanousd));
        BudgetUse {
            per: self.per.name().to_owned(),
            owner: owner.to_owned(),
            window: self.window.name().to_owned(),
            until: iso(end(self.window, start)),
            tokens: spent.tokens,
            tokens_limit: self.tokens,
            usd: usd(spent.nanousd),
            usd_limit: self.nanousd.map(usd),
            used_percent,
            used_up: used_percent >= 100.0,
        }
    }

    fn used_up(&self, account: &Account, spent: Spending) -> Option<UsedUp> {
        if !self.is_for(account) {
            return None;
        }
        let used = match (self.nanousd, self.tokens) {
            (Some(most), _) if spent.nanousd >= most => {
                format!("{:.2} of {:.2} USD", usd(spent.nanousd), usd(most))
            }
            (_, Some(most)) if spent.tokens >= most => format!("{} of {most} tokens", spent.tokens),
            _ => return None,
        };
        let until_unix_ms = end(account.unit, account.bucket_ms);
        let who = match account.per {
            BudgetSubject::All => "all requests together".to_owned(),
            BudgetSubject::Key => "this API key".to_owned(),
            BudgetSubject::Team => format!("team {}", account.owner),
        };
        let message = format!(
            "Budget exceeded for {} period: {who} used {used}. The next period begins at {}.",
            account.unit.name(),
            iso(until_unix_ms)
        );
        let owner =
            |per: BudgetSubject| if account.per == per { account.owner.clone() } else { String::new() };
        Some(UsedUp {
            key: owner(BudgetSubject::Key),
            team: owner(BudgetSubject::Team),
            until_unix_ms,
            message,
        })
    }
}

/// The end of a window with this start.
fn end(unit: Unit, start: UnixMs) -> UnixMs {
    match unit {
        // Every month begins within these days of the one before it.
        Unit::Month => unit.start(start + 31 * DAY_MS),
        Unit::Hour => start + crate::clock::HOUR_MS,
        _ => start + DAY_MS,
    }
}

/// The charge of a request, from its part of the sums: nothing if the provider refused it.
pub fn charge(record: &RequestRecord, sums: &Sums) -> Spending {
    if record.status >= 400 || record.status == 0 && sums.usage_reports == 0 {
        return Spending::default();
    }
    let reported = sums.uncached_input_tokens + sums.cache_read_tokens + sums.cache_write_tokens;
    let input = if sums.usage_reports > 0 { reported } else { sums.tokens_after };
    Spending { tokens: input + sums.output_tokens, nanousd: sums.input_nanousd + sums.output_nanousd }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_iso;

    fn budgets(text: &str) -> Budgets {
        Budgets::load(Some(text), Path::new("none"))
    }

    fn at(time: &str) -> UnixMs {
        parse_iso(time).unwrap()
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_said_so() {
        let some = budgets(
            r#"{"budgets":[{"per":"key","window":"day","usd":1},{"per":"person","window":"day","usd":1},
                {"per":"key","window":"week","usd":1},{"per":"key","window":"day"},{"per":"key","window":"day","usd":"1"}]}"#,
        );
        assert_eq!((some.budgets.len(), some.warnings().len()), (1, 4));
        for text in ["{", "{}", "/no/such/file"] {
            let none = budgets(text);
            assert!(none.is_empty() && none.warnings().len() == 1, "{text}");
        }
        assert!(Budgets::load(None, Path::new("/no/such/file")).warnings().is_empty());
    }

    #[test]
    fn a_request_is_charged_to_each_account_once() {
        let all = budgets(
            r#"{"budgets":[{"per":"key","window":"day","usd":1},{"per":"key","window":"day","tokens":1},
                {"per":"team","window":"month","usd":1},{"per":"all","window":"hour","usd":1}]}"#,
        );
        let record = RequestRecord {
            key: "k".to_owned(),
            started_unix_ms: at("2026-11-22T20:30:00Z"),
            ..RequestRecord::default()
        };
        let accounts = all.accounts(&record);
        assert_eq!(accounts.len(), 2, "nobody's team has no account: {accounts:?}");
        assert_eq!(accounts[0].bucket_ms, at("2026-11-22T00:00:00Z"));
        assert_eq!(
            (accounts[1].per, accounts[1].bucket_ms),
            (BudgetSubject::All, at("2026-11-22T20:00:00Z"))
        );
    }

    #[test]
    fn a_budget_is_used_up_by_whom_it_is_for_until_its_window_ends() {
        let all = budgets(
            r#"{"budgets":[{"per":"team","of":"red","window":"month","usd":2},{"per":"key","window":"day","tokens":100}]}"#,
        );
        let account = |unit: Unit, per, owner: &str| Account {
            unit,
            bucket_ms: unit.start(at("2026-12-05T10:00:00Z")),
            per,
            owner: owner.to_owned(),
        };
        let spent = |tokens, usd: f64| Spending { tokens, nanousd: (usd * 1e9) as i64 };
        let said = all.used_up(&[
            (account(Unit::Month, BudgetSubject::Team, "red"), spent(5, 2.0)),
            (account(Unit::Month, BudgetSubject::Team, "blue"), spent(5, 9.0)),
            (account(Unit::Day, BudgetSubject::Team, "red"), spent(5, 9.0)),
            (account(Unit::Day, BudgetSubject::Key, "k1"), spent(99, 9.0)),
            (account(Unit::Day, BudgetSubject::Key, "k2"), spent(100, 0.0)),
        ]);
        let who: Vec<_> = said.used_up.iter().map(|it| (it.team.as_str(), it.key.as_str())).collect();
        assert_eq!(who, [("red", ""), ("", "k2")]);
        assert_eq!(said.used_up[0].until_unix_ms, at("2027-01-01T00:00:00Z"));
        assert_eq!(
            said.used_up[1].message,
            "Budget exceeded for day period: this API key used 100 of 100 tokens. The next period begins at 2026-12-06T00:00:00.000000Z."
        );
    }

    #[test]
    fn what_was_used_is_told_of_each_also_of_nobody() {
        let all = budgets(
            r#"{"budgets":[{"per":"team","window":"day","usd":2,"tokens":100},{"per":"team","of":"red","window":"month","usd":1},
                {"per":"all","window":"hour","tokens":0},{"per":"key","window":"day","tokens":5}]}"#,
        );
        let now = at("2026-12-05T10:30:00Z");
        let account = |owner: &str, start| Account {
            unit: Unit::Day,
            bucket_ms: start,
            per: BudgetSubject::Team,
            owner: owner.to_owned(),
        };
        let spent = Spending { tokens: 150, nanousd: 500_000_000 };
        let uses = all.uses(
            &[
                (account("red", Unit::Day.start(now)), spent),
                (account("old", Unit::Day.start(now) - DAY_MS), spent),
            ],
            now,
        );
        let told: Vec<_> = uses
            .iter()
            .map(|it| (it.per.as_str(), it.owner.as_str(), it.used_percent, it.used_up, it.until.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("team", "red", 150.0, true, "2026-12-06T00:00:00.000000Z"),
                ("team", "red", 0.0, false, "2027-01-01T00:00:00.000000Z"),
                ("all", "", 100.0, true, "2026-12-05T11:00:00.000000Z"),
            ]
        );
        assert_eq!((uses[0].usd, uses[0].usd_limit, uses[0].tokens_limit), (0.5, Some(2.0), Some(100)));
    }

    #[test]
    fn every_month_ends_where_the_next_begins() {
        for month in 1..=12 {
            let start = at(&format!("2027-{month:02}-01T00:00:00Z"));
            let next = if month == 12 {
                at("2028-01-01T00:00:00Z")
            } else {
                at(&format!("2027-{:02}-01T00:00:00Z", month + 1))
            };
            assert_eq!(end(Unit::Month, start), next);
        }
    }
}
