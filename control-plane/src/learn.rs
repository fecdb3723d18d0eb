//! The live learner: what agents' tools fail at while their requests pass, by the analyzers of `headroomctl learn`, over
//! the newest calls of each conversation.
//!
//! It sees what filters send along for the feed and nothing else, and only of requests that belong to no tenant. What it
//! finds is kept at each sighting, one row for each call, so that evidence counts across restarts and replicas; a while
//! later it is written into the agents' files of projects on this machine, or proposed in the inbox.

mod purge;
mod queue;
mod store;
mod worker;

pub(crate) use self::purge::Learned;
pub(crate) use self::queue::{LearnCounts, Learner, learner};
pub use self::store::{LearnPlace, LearnStore};
pub(crate) use self::worker::{Places, Worker};
