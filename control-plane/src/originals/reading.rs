//! The memory of originals that are being read, and of the answers with them until they are sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For all.
const BYTES: usize = 256 << 20;
/// What one tenant may have of it: one that does not read its answers leaves some to others.
const TENANT_BYTES: usize = BYTES / 4 * 3;
/// Beside it, for short originals alone, which then wait for no long one.
const SHORT_BYTES: usize = 16 << 20;
/// The longest of them.
const SHORT: usize = 1 << 20;
/// Bytes that are needed for each byte of an original until the answer is made: as it is stored, its text, and the
/// answer, which repeats it with its escapes.
const FACTOR: usize = 4;
/// How long a reader waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// Tenants that are remembered though they read nothing.
const MOST_TENANTS: usize = 1_000;

/// The memory of all readers.
#[derive(Debug)]
pub(super) struct ReadingSpace {
    long: Arc<Semaphore>,
    short: Arc<Semaphore>,
    tenants: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl ReadingSpace {
    pub(super) fn new() -> Self {
        Self {
            long: Arc::new(Semaphore::new(BYTES)),
            short: Arc::new(Semaphore::new(SHORT_BYTES)),
            tenants: Mutex::default(),
        }
    }

    /// Room for an original of this length; `None` if there is none for a while.
    pub(super) async fn room(&self, tenant: &str, length: i64) -> Option<ReadingRoom> {
        let length = usize::try_from(length).unwrap_or(0);
        let needed = length.saturating_mul(FACTOR);
        if length <= SHORT
            && let Ok(shared) = Arc::clone(&self.short).try_acquire_many_owned(permits(needed, SHORT_BYTES))
        {
            return Some(ReadingRoom { shared, own: None });
        }
        let own = self.of_tenant(tenant);
        let room = async {
            // Whoever waits for its own tenant is not in the queue of the others.
            let own = own.acquire_many_owned(permits(needed, TENANT_BYTES)).await.ok()?;
            let shared = Arc::clone(&self.long).acquire_many_owned(permits(needed, BYTES)).await.ok()?;
            Some(ReadingRoom { shared, own: Some(own) })
        };
        tokio::time::timeout(PATIENCE, room).await.ok()?
    }

    fn of_tenant(&self, tenant: &str) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if tenants.len() >= MOST_TENANTS {
            tenants.retain(|_, room| Arc::strong_count(room) > 1);
        }
        let own = tenants.entry(tenant.to_owned());
        Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(TENANT_BYTES))))
    }
}

fn permits(bytes: usize, most: usize) -> u32 {
    u32::try_from(bytes.min(most)).unwrap_or(u32::MAX)
}

/// The memory of an original that is being read, and of the answer with it, until this is dropped.
#[derive(Debug)]
pub struct ReadingRoom {
    shared: OwnedSemaphorePermit,
    /// What it has of its tenant's.
    own: Option<OwnedSemaphorePermit>,
}

impl ReadingRoom {
    /// Room for so many bytes instead; `None` if there is none.
    pub(crate) fn resized(mut self, bytes: usize) -> Option<Self> {
        match &mut self.own {
            Some(own) => {
                resize(own, bytes.min(TENANT_BYTES))?;
                resize(&mut self.shared, bytes.min(BYTES))?;
            }
            None => resize(&mut self.shared, bytes.min(SHORT_BYTES))?,
        }
        Some(self)
    }

    /// Of a space of its own, which comes with it.
    #[cfg(test)]
    pub(crate) fn alone(bytes: usize) -> (Self, Arc<Semaphore>) {
        let space = Arc::new(Semaphore::new(SHORT_BYTES));
        let shared = Arc::clone(&space).try_acquire_many_owned(permits(bytes, SHORT_BYTES));
        (Self { shared: shared.expect("it is free"), own: None }, space)
    }
}

fn resize(room: &mut OwnedSemaphorePermit, bytes: usize) -> Option<()> {
    let held = room.num_permits();
    match bytes.checked_sub(held) {
        Some(more) => {
            room.merge(Arc::clone(room.semaphore()).try_acquire_many_owned(permits(more, usize::MAX)).ok()?)
        }
        None => drop(room.split(held - bytes)),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: i64 = 32 << 20;

    #[tokio::test(start_paused = true)]
    async fn who_reads_holds_room_and_the_next_waits_for_it_or_is_turned_away() {
        let space = ReadingSpace::new();
        let free = || space.long.available_permits();
        let room = space.room("a", LONG).await.unwrap();
        assert_eq!(free(), BYTES - FACTOR * (LONG as usize));
        let room = room.resized(5).unwrap();
        assert_eq!(free(), BYTES - 5);
        let room = room.resized(usize::MAX).unwrap();
        assert_eq!(free(), 0);
        assert!(space.room("b", LONG).await.is_none());
        let (next, ()) = tokio::join!(space.room("b", LONG), async {
            tokio::time::sleep(PATIENCE / 2).await;
            drop(room);
        });
        let next = next.unwrap();
        let _other = space.room("c", LONG).await.unwrap();
        assert!(next.resized(usize::MAX).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_reads_no_answer_stops_nobody_else() {
        let space = ReadingSpace::new();
        let mut held = Vec::new();
        // as long as there is room, and each answer is as long as its original
        while let Some(room) = space.room("a", LONG).await {
            held.push(room.resized(LONG as usize).unwrap());
        }
        while let Some(room) = space.room("a", 1 << 20).await {
            held.push(room);
        }
        assert!(held.len() < 64, "{}", held.len());
        assert!(space.room("b", 8 << 20).await.is_some() && space.room("b", 1).await.is_some());
        drop(held);
        assert!(space.room("a", LONG).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_original_waits_for_no_long_one() {
        let space = ReadingSpace::new();
        let (one, other) = (space.room("a", LONG).await, space.room("b", LONG).await);
        assert!(one.is_some() && other.is_some() && space.room("c", LONG).await.is_none());
        assert!(space.room("c", 1000).await.is_some());
    }

    #[test]
    fn tenants_that_read_nothing_are_forgotten() {
        let space = ReadingSpace::new();
        let _kept = space.of_tenant("kept");
        (0..3 * MOST_TENANTS).for_each(|n| drop(space.of_tenant(&n.to_string())));
        let tenants = space.tenants.lock().unwrap();
        assert!(tenants.len() <= MOST_TENANTS && tenants.contains_key("kept"), "{}", tenants.len());
    }
}
