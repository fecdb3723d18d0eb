//! Waits for a condition, never for a fixed time.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a condition may take to come true before the test gives up. A limit against hanging, not a
/// measure: a machine ten times slower than any seen still meets it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Time between the first checks of a condition. Later it is a tenth of the time that was waited already: what is asked takes a
/// processor from what is waited for.
const FIRST: Duration = Duration::from_millis(20);
/// The longest time between two checks.
const LONGEST: Duration = Duration::from_millis(500);

/// Checks `condition` until it returns a value; `what` names it in the error after [`PATIENCE`].
pub async fn until<T, F>(what: &str, mut condition: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return Ok(value);
        }
        let waited = start.elapsed();
        if waited > PATIENCE {
            bail!("waited {PATIENCE:?} for this to come true: {what}");
        }
        tokio::time::sleep((waited / 10).clamp(FIRST, LONGEST)).await;
    }
}

/// The value of `future`, or an error that names `what` after [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("waited {PATIENCE:?} for {what}"),
    }
}
