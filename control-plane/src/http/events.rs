//! `/events`: the statistics as server-sent events, whenever records were stored.
//!
//! Each event is named `stats` and has the same content as `/stats`. The first is sent at once, then at
//! most one every [`PACE`], however many records are stored. To find records that another replica has
//! stored in the same database, it checks every [`LOOK`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use headroom_api::pages::Stats;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::App;
use super::board::Answer;
use super::error::Refusal;

/// Listeners at most; each has a connection and gets some kilobytes per event.
pub(super) const MAX_LISTENERS: usize = 64;
/// The shortest time between two events: what a person can follow.
const PACE: Duration = Duration::from_secs(1);
/// The longest time between two checks for changes.
const LOOK: Duration = Duration::from_secs(5);
/// A comment is sent if nothing else was sent for this long, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type Events = Sse<axum::response::sse::KeepAliveStream<ReceiverStream<Result<Event, Infallible>>>>;

pub(super) async fn events(State(app): State<Arc<App>>) -> Result<Events, Refusal> {
    let listener = Arc::clone(&app.listeners).try_acquire_owned().map_err(|_| Refusal::LISTENERS)?;
    let (events, receiver) = mpsc::channel(1);
    let tasks = app.tasks.clone();
    tasks.spawn("events", send(app, events, listener));
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Ends when the listener disconnects or the sidecar stops.
async fn send(
    app: Arc<App>,
    events: mpsc::Sender<Result<Event, Infallible>>,
    _listener: OwnedSemaphorePermit,
) {
    let mut landings = app.board.landings();
    let mut shown: Option<Arc<Answer>> = None;
    loop {
        landings.mark_unchanged();
        match app.board.stats(PACE).await {
            // an answer that differs only in its time is not sent
            Ok(answer) if shown.as_deref().is_none_or(|shown| differs(shown, &answer)) => {
                if events.send(Ok(Event::default().event("stats").data(&answer.text))).await.is_err() {
                    return;
                }
                shown = Some(answer);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(message = "An event could not be made.", %error),
        }
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = events.closed() => return,
            () = tokio::time::sleep(PACE) => {}
        }
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = events.closed() => return,
            changed = landings.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn differs(one: &Answer, other: &Answer) -> bool {
    let at_the_same_time = Stats { generated_at: other.page.generated_at.clone(), ..one.page.clone() };
    at_the_same_time != other.page
}
