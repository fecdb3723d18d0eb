//! Reads the queue, stores its findings, and writes lessons where agents read them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headroom_learn::analyzers::Report;
use headroom_learn::analyzers::sessions::{is_contradicted_by, lessons};
use headroom_learn::apply;
use headroom_learn::inbox::Inbox;
use headroom_learn::lesson::Kind;
use headroom_learn::model::Session;
use headroom_learn::plugins::{self, Home};
use headroom_learn::publish::{PublishReport, publish};
use headroom_learn::sighting::{Sighting, sessions, sightings};
use headroom_learn::window::Window;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::queue::{LearnCounts, Observation};
use super::store::LearnStore;
use crate::clock::now_ms;
use crate::purge::Scope;
use crate::trouble::StoreError;

/// Time from the first new sighting until the files are written, because calls come in groups.
const DEBOUNCE: Duration = Duration::from_secs(10);
/// Evidence that a lesson needs while Headroom runs.
const LIVE: usize = 2;
/// Evidence that a lesson needs when Headroom ends.
const AT_THE_END: usize = 1;
/// Maximum number of conversations in memory.
const CONVERSATIONS: usize = 100;
/// Maximum bytes of a project's path, which is part of a key.
const PROJECT: usize = 1 << 10;
/// Maximum number of projects.
const PROJECTS: usize = 256;
/// How long a sighting is valid.
const KEPT_MS: i64 = 90 * 86_400_000;
/// Time between two removals of older sightings.
const TIDY: Duration = Duration::from_secs(3600);

/// Where lessons go.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The agents' own folders.
    pub(crate) home: Home,
    /// Where entries for shared files wait.
    pub(crate) inbox: Inbox,
    /// Whether shared files are written too.
    pub(crate) write_tracked: bool,
}

/// A project with new sightings.
#[derive(Debug, Default)]
struct Project {
    /// Whether something has changed since its files were written.
    is_dirty: bool,
    /// Existing paths and programs, to recognize entries that are no longer true.
    present: Report,
    agents: BTreeSet<String>,
}

/// The learner's own task.
pub(crate) struct Worker {
    queue: mpsc::Receiver<Observation>,
    counts: Arc<LearnCounts>,
    store: Arc<dyn LearnStore>,
    places: Places,
    windows: HashMap<(String, String), (Window, u64)>,
    projects: BTreeMap<String, Project>,
    turn: u64,
}

/// The findings in one request.
struct RequestFindings {
    session: Session,
    report: Report,
    sightings: Vec<Sighting>,
}

impl Worker {
    pub(crate) fn new(
        queue: mpsc::Receiver<Observation>,
        counts: Arc<LearnCounts>,
        store: Arc<dyn LearnStore>,
        places: Places,
    ) -> Self {
        Self { queue, counts, store, places, windows: HashMap::new(), projects: BTreeMap::new(), turn: 0 }
    }

    /// Learns until the queue is closed and empty. Then it also writes what was seen only once.
    pub(crate) async fn run(mut self) {
        let mut write_at: Option<Instant> = None;
        let mut tidy = interval(TIDY);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = write_at.unwrap_or_else(Instant::now);
            tokio::select! {
                observation = self.queue.recv() => match observation {
                    Some(observation) => {
                        if self.observe(observation).await {
                            write_at.get_or_insert_with(|| Instant::now() + DEBOUNCE);
                        }
                    }
                    None => break,
                },
                () = sleep_until(due), if write_at.is_some() => {
                    write_at = None;
                    self.write(LIVE).await;
                }
                _ = tidy.tick() => {
                    if let Err(error) = self.store.purge(&Scope::Before(now_ms() - KEPT_MS), false).await {
                        tracing::warn!(message = "Old sightings were not removed; they will be in an hour.", %error);
                    }
                }
            }
        }
        self.projects.values_mut().for_each(|project| project.is_dirty = true);
        self.write(AT_THE_END).await;
        // what another program has changed in that moment
        self.write(AT_THE_END).await;
    }

    /// True if something is new.
    async fn observe(&mut self, observation: Observation) -> bool {
        let key = (observation.agent, observation.conversation);
        let mut window = self.windows.remove(&key).map(|(window, _)| window).unwrap_or_default();
        let (agent, conversation) = key.clone();
        let read = tokio::task::spawn_blocking(move || {
            window.read(observation.messages.iter().map(String::as_str));
            let found = window.report(&agent, &conversation, now_ms());
            let seen = found.map(|(session, report)| {
                let sightings = sightings(&session, &report);
                RequestFindings { session, report, sightings }
            });
            (window, seen)
        });
        let (window, seen) = match read.await {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(message = "A request was not learned from.", %error);
                return false;
            }
        };
        self.keep(key, window);
        let Some(seen) = seen.filter(|seen| seen.session.project.len() <= PROJECT) else { return false };
        match self.record(&seen).await {
            Ok(news) => {
                self.counts.add_sightings(news);
                self.note(seen, news > 0)
            }
            Err(error) => {
                tracing::warn!(message = "Lessons of a request were not stored.", %error);
                false
            }
        }
    }

    fn keep(&mut self, key: (String, String), window: Window) {
        self.turn += 1;
        self.windows.insert(key, (window, self.turn));
        if self.windows.len() > CONVERSATIONS {
            let oldest = self.windows.iter().min_by_key(|(_, (_, turn))| *turn).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.windows.remove(&key));
        }
    }

    /// Stores the findings, and returns how many are new.
    async fn record(&self, seen: &RequestFindings) -> Result<u64, StoreError> {
        let project = &*seen.session.project;
        let known = self.store.patterns(project).await?;
        let refuted: Vec<(Kind, String)> = known
            .into_iter()
            .filter(|(kind, subject)| is_contradicted_by(*kind, subject, &seen.report))
            .collect();
        if !refuted.is_empty() {
            self.store.refute(project, &refuted, seen.session.latest).await?;
        }
        let news =
            if seen.sightings.is_empty() { 0 } else { self.store.record(project, &seen.sightings).await? };
        Ok(news + refuted.len() as u64)
    }

    /// Notes what a request says about its project. True if the project's files are to be written.
    fn note(&mut self, seen: RequestFindings, is_news: bool) -> bool {
        let name = seen.session.project.to_string();
        // an earlier run may have been killed between recording and writing
        let is_first = !self.projects.contains_key(&name);
        if is_first && self.projects.len() >= PROJECTS {
            if is_news {
                tracing::warn!(
                    message = "Lessons were not written: too many projects in this run.",
                    project = name
                );
            }
            return false;
        }
        let project = self.projects.entry(name).or_default();
        project.is_dirty |= is_news || is_first;
        project.agents.insert(seen.session.agent.to_string());
        project.present.add(seen.report.present());
        is_news || is_first
    }

    /// Writes the files of all projects with changes.
    async fn write(&mut self, least: usize) {
        for (name, project) in self.projects.iter_mut().filter(|(_, project)| project.is_dirty) {
            project.is_dirty = false;
            let seen = match self.store.sightings(name).await {
                Ok(seen) => seen,
                Err(error) => {
                    project.is_dirty = true;
                    tracing::warn!(message = "Lessons were not written; they will be with the next.", project = name, %error);
                    continue;
                }
            };
            let (root, places, present) = (name.clone(), self.places.clone(), project.present.clone());
            let agents = project.agents.clone();
            let done = move || write_project(&root, &seen, &agents, &present, &places, least);
            match tokio::task::spawn_blocking(done).await {
                Ok(published) => {
                    // they are tried again with what is learned next
                    project.is_dirty = !published.problems.is_empty();
                    say(name, &published);
                }
                Err(error) => tracing::error!(message = "Lessons were not written.", project = name, %error),
            }
        }
    }
}

fn say(project: &str, published: &PublishReport) {
    for path in &published.written {
        tracing::info!(message = "Lessons were written.", project, path = %path.display());
    }
    if published.proposed > 0 {
        let proposed = published.proposed;
        tracing::info!(message = "Lessons wait: headroomctl learn inbox.", project, proposed);
    }
    for problem in &published.problems {
        tracing::warn!(message = "Lessons were not written.", project, problem);
    }
}

/// Puts the lessons of a project into the files of the agents that work on it.
fn write_project(
    project: &str,
    seen: &[Sighting],
    agents: &BTreeSet<String>,
    present: &Report,
    places: &Places,
    least: usize,
) -> PublishReport {
    let mut sessions = sessions(project, seen);
    let lessons = lessons(&sessions, least);
    // the current state decides whether older entries are still true
    for agent in agents {
        let session = Session {
            agent: Arc::from(agent.as_str()),
            id: Arc::from("present"),
            cwd: Arc::from(project),
            project: Arc::from(project),
            tree: Arc::from(project),
            remote: None,
            latest: 0,
        };
        sessions.push((session, present.clone()));
    }
    let date = jiff::Zoned::now().date().to_string();
    let root = Path::new(project);
    let mut published = PublishReport::default();
    // one agent's file that cannot be read keeps no lesson from the others
    for plugin in plugins::all() {
        match apply::plan(root, &lessons, &sessions, &[plugin.as_ref()], &places.home, &date) {
            Ok(plan) => published.add(publish(root, &plan, &places.inbox, places.write_tracked, &date)),
            Err(error) => published.problems.push(format!("{error:#}")),
        }
    }
    published
}
