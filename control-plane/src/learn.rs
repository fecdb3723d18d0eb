//! The live learner: finds failures of agents' tools in passing requests. It uses the analyzers of `headroomctl learn`,
//! on the newest calls of each conversation.
//!
//! It sees only the messages that filters send for the feed, and only of requests without a tenant. Each sighting is
//! stored, one row per call, so that evidence counts across restarts and replicas. After a while the lessons are
//! written into the agents' files of projects on this machine, or proposed in the inbox.

mod purge;
mod queue;
mod store;
mod worker;

pub(crate) use self::purge::StoredSightings;
pub(crate) use self::queue::{LearnCounts, Learner, learner};
pub use self::store::{LearnPlace, LearnStore};
pub(crate) use self::worker::{Places, Worker};
