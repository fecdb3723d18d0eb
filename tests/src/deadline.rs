//! Waits for a condition, never for a fixed time.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a condition may take to come true before the test gives up. A limit against hanging, not a
/// measure: a machine ten times slower than any seen still meets it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two checks of a condition.
const INTERVAL: Duration = Duration::from_millis(20);

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
        if start.elapsed() > PATIENCE {
            bail!("waited {PATIENCE:?} for this to come true: {what}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The value of `future`, or an error that names `what` after [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("waited {PATIENCE:?} for {what}"),
    }
}
