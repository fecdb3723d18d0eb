//! `/stats-conversations` and `/stats-recent`: sums over the newest requests.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use headroom_api::pages::{Conversations, Recent};
use tokio::sync::{Mutex, MutexGuard};

use super::App;
use super::error::Refusal;
use super::feed::limit;
use crate::clock::{iso, now_ms};
use crate::recent::{AT_ONCE, ByConversation, Groups, RecentFilter, scan};

/// Conversations shown by default.
const DEFAULT: u32 = 50;
/// Conversations shown at most.
const MOST: u32 = 1_000;

/// Maximum age of the answer with sums over all of the newest requests: every dashboard asks for it.
const FRESH: Duration = Duration::from_secs(5);

/// Allows one scan of the newest requests at a time: a scan takes a while, and the store serves reports too.
#[derive(Debug, Default)]
pub(crate) struct Turnstile(Mutex<Option<(Instant, Recent)>>);

impl Turnstile {
    /// Waits for the turn, which ends when the guard is dropped. The guard has the last sums over everything.
    pub(super) async fn pass(&self) -> MutexGuard<'_, Option<(Instant, Recent)>> {
        self.0.lock().await
    }
}

pub(super) async fn conversations(
    State(app): State<Arc<App>>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Json<Conversations>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::query(error.body_text()))?;
    let wanted = RecentFilter::read(&query).map_err(Refusal::query)?;
    let limit = limit(&query, DEFAULT, MOST).map_err(Refusal::query)?;
    let _turn = app.turnstile.pass().await;
    let mut found = ByConversation::default();
    let reach = scan(app.store.as_ref(), i64::MAX, AT_ONCE, |landed| {
        found.add(landed, &wanted);
        ControlFlow::Continue(())
    })
    .await?;
    let (total, conversations, requests_of_none) = found.page(limit as usize);
    let generated_at = iso(now_ms());
    Ok(Json(Conversations { generated_at, reach, total, requests_of_none, conversations }))
}

pub(super) async fn recent(
    State(app): State<Arc<App>>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Json<Recent>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::query(error.body_text()))?;
    let wanted = RecentFilter::read(&query).map_err(Refusal::query)?;
    let mut last = app.turnstile.pass().await;
    if let Some((at, page)) = &*last
        && wanted.is_everything()
        && at.elapsed() < FRESH
    {
        return Ok(Json(page.clone()));
    }
    let begun = Instant::now();
    let mut found = Groups::default();
    let reach = scan(app.store.as_ref(), i64::MAX, AT_ONCE, |landed| {
        found.add(landed, &wanted);
        ControlFlow::Continue(())
    })
    .await?;
    let (totals, groups, missed) = found.page();
    let page = Recent { generated_at: iso(now_ms()), reach, totals, groups, missed };
    if wanted.is_everything() {
        *last = Some((begun, page.clone()));
    }
    Ok(Json(page))
}
