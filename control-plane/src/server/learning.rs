//! Brings up the live learner.

use std::sync::Arc;

use headroom_learn::inbox::Inbox;
use headroom_learn::plugins::Home;

use crate::clock::now_ms;
use crate::learn::{LearnStore, Learner, Places, StoredSightings, Worker, learner};
use crate::settings::Settings;
use crate::store::{Renewing, SqlLearn};
use crate::trouble::{StoreWatch, Trouble};
use crate::warmup::Warmup;

/// The live learner, if it is switched on and its store can be opened.
pub(super) struct Learning {
    pub(super) learner: Learner,
    pub(super) worker: Option<Worker>,
    pub(super) learned: StoredSightings,
    pub(super) watch: Option<Arc<StoreWatch>>,
}

/// Prepares the learner. A problem with the learner does not affect anything else.
pub(super) async fn learning(settings: &Settings, warmup: &mut Warmup) -> Learning {
    let place = Arc::new(settings.learned.clone());
    let off = || Learning {
        learner: Learner::default(),
        worker: None,
        learned: StoredSightings { store: None, place: Arc::clone(&place) as _ },
        watch: None,
    };
    if !settings.learn {
        warmup.note_learn(None, None);
        return off();
    }
    let home = Home::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty()), None);
    let opened = Renewing::<SqlLearn>::open(&settings.learned, Arc::new(now_ms)).await;
    let (home, opened) = match (home, opened) {
        (Ok(home), Ok(opened)) => (home, opened),
        (Err(error), _) => {
            tracing::error!(message = "Nothing is learned.", %error);
            warmup.note_learn(None, Some(error.to_string()));
            return off();
        }
        (_, Err(error)) => {
            tracing::error!(message = "Nothing is learned: the store cannot be opened.", %error);
            // the database's message may contain hosts and users
            warmup.note_learn(None, Some(Trouble::of(&error).sentence().to_owned()));
            return off();
        }
    };
    warmup.note_learn(Some(LearnStore::location(&opened)), None);
    let watch = opened.watch();
    let store: Arc<dyn LearnStore> = Arc::new(opened);
    let inbox = Inbox::new(&settings.workspace_dir);
    let places = Places { home, inbox, write_tracked: settings.learn_writes_tracked };
    let (learner, queue) = learner();
    let worker = Worker::new(queue, Arc::clone(learner.counts()), Arc::clone(&store), places);
    let learned = StoredSightings { store: Some(store), place };
    Learning { learner, worker: Some(worker), learned, watch: Some(watch) }
}
