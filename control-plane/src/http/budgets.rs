//! `/stats-budgets`: the use of each budget.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use headroom_api::pages::BudgetsPage;

use super::App;
use super::error::Refusal;
use crate::clock::{iso, now_ms};

/// Budgets listed at most.
const MOST: usize = 500;

pub(super) async fn budgets(State(app): State<Arc<App>>) -> Result<Json<BudgetsPage>, Refusal> {
    let budgets = &app.accounting.budgets;
    let now = now_ms();
    let mut spent = Vec::new();
    for (unit, bucket_ms) in budgets.windows(now) {
        spent.extend(app.store.spent(unit, bucket_ms).await?);
    }
    let mut uses = budgets.uses(&spent, now);
    uses.sort_by(|a, b| b.used_percent.total_cmp(&a.used_percent).then_with(|| a.owner.cmp(&b.owner)));
    let left_out = uses.len().saturating_sub(MOST);
    uses.truncate(MOST);
    Ok(Json(BudgetsPage { generated_at: iso(now), configured: !budgets.is_empty(), budgets: uses, left_out }))
}
