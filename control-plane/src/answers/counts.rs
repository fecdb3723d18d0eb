//! Counts of the answer cache since the process started.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the process started.
        #[derive(Debug, Default)]
        pub struct Counts {
            $($name: AtomicU64,)*
        }

        /// What they were at one time.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Read {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            /// What they are now.
            pub fn read(&self) -> Read {
                Read { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counts! {
    /// Questions that got an answer.
    found,
    /// Questions that got the answer to a similar one.
    similar,
    /// Questions without one.
    missed,
    /// Questions that waited for another request that fetched the answer.
    waited,
    /// Answers that were kept.
    kept,
    /// Answers that were not: too large.
    refused,
    /// Answers removed early, to make room.
    evicted,
    /// Answers removed because they had expired.
    expired,
}

impl Counts {
    pub(super) fn found(&self, similar: bool) {
        add(if similar { &self.similar } else { &self.found }, 1);
    }

    pub(super) fn missed(&self) {
        add(&self.missed, 1);
    }

    pub(super) fn waited(&self) {
        add(&self.waited, 1);
    }

    pub(super) fn kept(&self, evicted: usize) {
        add(&self.kept, 1);
        add(&self.evicted, evicted);
    }

    pub(super) fn refused(&self) {
        add(&self.refused, 1);
    }

    pub(super) fn expired(&self, answers: usize) {
        add(&self.expired, answers);
    }
}

fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(more as u64, Ordering::Relaxed);
}
