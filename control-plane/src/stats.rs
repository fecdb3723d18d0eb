//! The figures that `/stats` shows, read from the store at one point in time.

pub(crate) mod cache;
mod figures;
mod request;

use std::collections::BTreeMap;

use headroom_api::names::outcome_name;
use headroom_api::pages::{
    Blocks, Minute, PersistentSavings, PrefixCache, Reasoning, Reports, Requests, Stats, Subscriptions,
};
use headroom_api::v1::RequestOutcome;

pub(crate) use self::request::request;
use crate::clock::{MINUTE_MS, UnixMs, iso};
use crate::ledger::bucket::Unit;
use crate::ledger::contribution::CountedRequest;
use crate::ledger::history::Checkpoint;
use crate::ledger::labels::Dimension;
use crate::ledger::session::{self, DisplaySession};
use crate::ledger::store::{Bucket, LedgerStore, Probe, Slice, Vms};
use crate::ledger::sums::{BlockSums, Sums, Timing};
use crate::trouble::StoreError;
use crate::upstream::savings as upstream;

/// Number of individual requests shown, as in upstream.
const RECENT: u32 = 10;
/// Points of `savings_history`, as in upstream.
const HISTORY: u32 = 100;
/// Minutes in the live view.
const ACTIVITY_MINUTES: i64 = 60;
/// Newest requests over which percentiles of the overhead are taken.
const PERCENTILES_OVER: u32 = 1_000;

/// The data of `/stats`.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    at_ms: UnixMs,
    location: String,
    tallies: BTreeMap<(Dimension, String), Sums>,
    blocks: BTreeMap<(Dimension, String), BlockSums>,
    timings: BTreeMap<String, Timing>,
    session: DisplaySession,
    recent: Vec<CountedRequest>,
    overheads_us: Vec<i64>,
    history: Vec<Checkpoint>,
    minutes: Vec<Bucket>,
    vms: Vms,
    probe: Option<Probe>,
}

impl Snapshot {
    /// Reads the figures.
    pub(crate) async fn read(store: &dyn LedgerStore, now: UnixMs) -> Result<Self, StoreError> {
        let tallies = store.tallies().await?;
        let blocks = store.block_tallies().await?;
        let mut overheads_us = store.recent_overheads_us(PERCENTILES_OVER).await?;
        overheads_us.sort_unstable();
        let minutes = Slice {
            unit: Unit::Minute,
            dimension: Dimension::All,
            value: Some(""),
            from_ms: Unit::Minute.start(now) - (ACTIVITY_MINUTES - 1) * MINUTE_MS,
            to_ms: UnixMs::MAX,
            limit: ACTIVITY_MINUTES as u32,
        };
        Ok(Self {
            at_ms: now,
            location: store.location().to_owned(),
            tallies: tallies.into_iter().map(|(dimension, value, sums)| ((dimension, value), sums)).collect(),
            blocks: blocks.into_iter().map(|(dimension, value, sums)| ((dimension, value), sums)).collect(),
            timings: store.timings().await?.into_iter().collect(),
            session: session::shown(store.display_session().await?, now),
            recent: store.recent(RECENT).await?,
            overheads_us,
            history: store.checkpoints(HISTORY).await?,
            minutes: store.rollup(&minutes).await?,
            vms: store.vms(now).await?,
            probe: store.probe().await?,
        })
    }

    /// The ledger's part of `/stats`. Other parts add the rest.
    pub(crate) fn page(&self) -> Stats {
        let total = self.total();
        let requests = self.requests(&total);
        let cost = figures::cost(&total);
        let display_session = upstream::display_session(&self.session);
        let stage = |name: &str| self.timings.get(name);
        Stats {
            generated_at: iso(self.at_ms),
            summary: Some(upstream::summary(&total, &requests, cost.clone())),
            savings: Some(figures::savings(&total)),
            requests: Some(requests),
            tokens: Some(figures::tokens(&total)),
            blocks: Some(Blocks {
                by_outcome: self.blocks_by(Dimension::BlockOutcome),
                by_tool: self.blocks_by(Dimension::Tool),
                by_kind: self.blocks_by(Dimension::Kind),
            }),
            latency: Some(figures::timing(stage("latency"))),
            overhead: Some(figures::overhead(stage("overhead"), &self.overheads_us)),
            ttfb: Some(figures::timing(stage("ttfb"))),
            pipeline_timing: self
                .timings
                .iter()
                .map(|(name, it)| (name.clone(), figures::stage(it)))
                .collect(),
            savings_history: self.savings_history(),
            activity: self.minutes.iter().map(minute).collect(),
            persistent_savings: Some(PersistentSavings {
                storage_path: self.location.clone(),
                lifetime: upstream::lifetime(&self.lifetime()),
                display_session: display_session.clone(),
                display_session_policy: upstream::display_session_policy(),
            }),
            display_session: Some(display_session),
            prefix_cache: Some(PrefixCache {
                by_provider: self.by_provider(figures::cache),
                totals: figures::cache(&total),
            }),
            audit: Some(figures::audit(&self.audited())),
            reasoning: Some(Reasoning {
                totals: Some(figures::reasoning(&total)),
                display_session: figures::reasoning(&self.session.sums),
                by_provider: self.by_provider(figures::reasoning),
            }),
            answers: Some(figures::answers(&total)),
            cost: Some(cost),
            subscriptions: Some(Subscriptions {
                requests: total.subscription_requests,
                tokens_saved: total.subscription_tokens_saved,
                accounts: Vec::new(),
            }),
            probe: self.probe.clone(),
            reports: Some(Reports {
                vms: self.vms.count,
                filter_version: self.vms.filter_version.clone(),
                dropped_records: self.vms.dropped_records,
                config_errors: self.vms.config_errors,
                dropped_originals: self.vms.dropped_originals,
                open_records: self.vms.open_records,
                lost_records: self.vms.lost_records,
                report_interval_ms: self.vms.report_interval_ms,
                ..Reports::default()
            }),
            recent_requests: self.recent.iter().map(request).collect(),
            ..Stats::default()
        }
    }

    fn total(&self) -> Sums {
        self.tallies.get(&(Dimension::All, String::new())).copied().unwrap_or_default()
    }

    fn lifetime(&self) -> Sums {
        lifetime_of(self.tallies.iter().map(|((dimension, _), sums)| (*dimension, sums)))
    }

    /// The requests that were only measured.
    fn audited(&self) -> Sums {
        let measured = [RequestOutcome::Audited, RequestOutcome::Simulated].map(outcome_name);
        let mut sums = Sums::default();
        for (_, some) in self.by(Dimension::Outcome).filter(|(name, _)| measured.contains(name)) {
            sums += *some;
        }
        sums
    }

    fn by(&self, dimension: Dimension) -> impl Iterator<Item = (&str, &Sums)> {
        let of_it = self.tallies.iter().filter(move |((found, _), _)| *found == dimension);
        of_it.map(|((_, value), sums)| (value.as_str(), sums))
    }

    fn by_provider<T>(&self, section: impl Fn(&Sums) -> T) -> BTreeMap<String, T> {
        self.by(Dimension::Provider).map(|(value, sums)| (value.to_owned(), section(sums))).collect()
    }

    fn requests(&self, total: &Sums) -> Requests {
        let by =
            |dimension| self.by(dimension).map(|(value, sums)| (value.to_owned(), sums.requests)).collect();
        Requests {
            total: total.requests,
            compressed: total.compressed,
            failed: total.failed,
            rate_limited: total.rate_limited,
            by_provider: by(Dimension::Provider),
            by_model: by(Dimension::Model),
            by_stack: by(Dimension::Stack),
            by_project: by(Dimension::Project),
            by_api: by(Dimension::Api),
            by_outcome: by(Dimension::Outcome),
        }
    }

    fn blocks_by(&self, dimension: Dimension) -> BTreeMap<String, headroom_api::pages::BlockSums> {
        let of_it = self.blocks.iter().filter(|((found, _), _)| *found == dimension);
        of_it.map(|((_, value), sums)| (value.clone(), figures::blocks(sums))).collect()
    }

    fn savings_history(&self) -> Vec<(String, i64)> {
        self.history.iter().map(|point| (iso(point.at_ms), point.sums.tokens_saved)).collect()
    }
}

fn minute(Bucket { start_ms, sums }: &Bucket) -> Minute {
    Minute {
        timestamp: iso(*start_ms),
        requests: sums.requests,
        failed: sums.failed,
        tokens_before: sums.tokens_before,
        tokens_after: sums.tokens_after,
        tokens_saved: sums.tokens_saved,
    }
}

/// The sum of what was counted here and what was imported.
pub(crate) fn lifetime_of<'s>(tallies: impl Iterator<Item = (Dimension, &'s Sums)>) -> Sums {
    let mut lifetime = Sums::default();
    for (dimension, sums) in tallies {
        if matches!(dimension, Dimension::All | Dimension::Import) {
            lifetime += *sums;
        }
    }
    lifetime
}
