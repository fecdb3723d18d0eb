//! Sums by the names that requests have, and tool outputs that were left as they were.

use std::collections::BTreeMap;

use headroom_api::pages::{Missed, RecentGroup, RecentSums};

use super::filter::attribute;
use super::{RecentFilter, shown};
use crate::ledger::contribution::CountedRequest;
use crate::ledger::sums::Sums;

/// What requests are grouped by.
const BY: [&str; 10] =
    ["model", "provider", "project", "stack", "tenant", "team", "key", "outcome", "status", "error"];
/// Maximum number of values for each, and of rows of missed outputs.
const SHOWN: usize = 100;
/// The prefix of the outcome of an unchanged block.
const SKIPPED: &str = "skipped:";

/// Sums over the requests that match.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    totals: Sums,
    groups: BTreeMap<(&'static str, String), Sums>,
    missed: BTreeMap<(String, String), Missed>,
}

impl Groups {
    /// Adds a request if it matches.
    pub(crate) fn add(&mut self, landed: &CountedRequest, wanted: &RecentFilter) {
        if !wanted.matches(landed) {
            return;
        }
        let record = &landed.record;
        self.totals += landed.sums;
        for by in BY {
            let value = match by {
                "status" if record.status > 0 => record.status.to_string(),
                _ => attribute(record, by).to_owned(),
            };
            if !value.is_empty() {
                *self.groups.entry((by, value)).or_default() += landed.sums;
            }
        }
        for block in record.blocks.iter().filter(|block| block.new) {
            let Some(reason) = block.outcome.strip_prefix(SKIPPED) else { continue };
            let key = (block.tool.clone(), reason.to_owned());
            let missed = self.missed.entry(key).or_default();
            missed.blocks += 1;
            missed.tokens += i64::from(block.tokens_before);
        }
    }

    /// The data of a page: sums over all, sums by name, and missed outputs.
    pub(crate) fn page(self) -> (RecentSums, Vec<RecentGroup>, Vec<Missed>) {
        let mut groups = Vec::new();
        for by in BY {
            let of_it = self.groups.iter().filter(|((found, _), _)| *found == by);
            let mut of_it: Vec<_> = of_it.map(|((_, value), sums)| (value, sums)).collect();
            of_it.sort_by(|(a, x), (b, y)| y.requests.cmp(&x.requests).then_with(|| a.cmp(b)));
            groups.extend(of_it.into_iter().take(SHOWN).map(|(value, sums)| RecentGroup {
                by: by.to_owned(),
                value: value.clone(),
                sums: shown(sums),
            }));
        }
        let named = |((tool, reason), missed): ((String, String), Missed)| Missed { tool, reason, ..missed };
        let mut missed: Vec<Missed> = self.missed.into_iter().map(named).collect();
        missed.sort_by_key(|missed| std::cmp::Reverse(missed.tokens));
        missed.truncate(SHOWN);
        (shown(&self.totals), groups, missed)
    }
}
