//! The analyzers: pure functions from the events of a conversation to findings. They access no files, so
//! that any source of events can use them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use super::lesson::{Finding, Kind};
use super::model::{Event, Outcome, Place, Session, Tool, ToolCall, head, tail};
use super::project::relative;
use super::shell::{Simple, parse};

mod commands;
mod environment;
mod preferences;
mod retries;
pub mod sessions;
mod structure;

/// The number of calls after a failure that are searched for a correction.
const REACH: usize = 10;
/// Subjects that findings of one conversation may have, and findings of one subject: a log of a million
/// calls repeats itself.
const SUBJECTS: usize = 2000;
const REPETITIONS: u32 = 50;
/// The number of existing paths that are remembered: 8 bytes each.
const PATHS: usize = 1 << 20;
/// The number of existing programs that are remembered.
const PROGRAMS: usize = 4096;
/// Failures that are kept as text, for a model.
const EPISODES: usize = 100;

/// A failure and the calls after it, as text.
#[derive(Clone, Debug)]
pub struct Episode {
    /// The call, the end of its output, and the next calls
    pub text: String,
    /// Its position
    pub place: Place,
}

/// What the analyzers found in one conversation.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Tool calls that were looked at
    pub calls: u64,
    /// Those that failed
    pub failures: u64,
    /// What was found
    pub findings: Vec<Finding>,
    /// Paths that were read or made, as digests
    pub paths: HashSet<u64>,
    /// Programs and modules that ran
    pub programs: BTreeSet<String>,
    /// Failures as text
    pub episodes: Vec<Episode>,
    /// How many findings there are of each subject
    pub counts: HashMap<(Kind, String), u32>,
}

impl Report {
    /// Adds what was found in a later part of the same conversation.
    pub fn add(&mut self, later: Self) {
        self.calls += later.calls;
        self.failures += later.failures;
        let room = |limit: usize, used: usize| limit.saturating_sub(used);
        for finding in later.findings {
            let key = (finding.kind, finding.subject.clone());
            if self.counts.len() >= SUBJECTS && !self.counts.contains_key(&key) {
                continue;
            }
            let count = self.counts.entry(key).or_default();
            if *count < REPETITIONS {
                *count += 1;
                self.findings.push(finding);
            }
        }
        self.paths.extend(later.paths.into_iter().take(room(PATHS, self.paths.len())));
        self.programs.extend(later.programs.into_iter().take(room(PROGRAMS, self.programs.len())));
        self.episodes.extend(later.episodes.into_iter().take(room(EPISODES, self.episodes.len())));
    }

    /// The existing paths and programs, without the findings.
    pub fn present(self) -> Self {
        Self { paths: self.paths, programs: self.programs, ..Self::default() }
    }

    /// Whether a path of the project existed at some time.
    pub fn has_path(&self, path: &str) -> bool {
        self.paths.contains(&digest(path))
    }
}

/// The digest of a path, equal in every run.
fn digest(path: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(path)
}

/// A call with its command line taken apart.
#[derive(Debug)]
pub struct ParsedCall<'e> {
    /// The call
    pub call: &'e ToolCall,
    /// The simple commands of a shell call
    pub commands: Vec<Simple>,
    /// Its index in the events
    pub at: usize,
}

impl ParsedCall<'_> {
    fn failed(&self) -> bool {
        self.call.outcome == Outcome::Failed
    }

    fn done(&self) -> bool {
        self.call.outcome == Outcome::Done
    }

    fn is_shell(&self) -> bool {
        self.call.tool == Tool::Shell
    }
}

/// A conversation, ready for the analyzers.
#[derive(Debug)]
pub struct Conversation<'e> {
    /// Its session
    pub session: &'e Session,
    /// All events
    pub events: &'e [Event],
    /// The calls among them
    pub steps: Vec<ParsedCall<'e>>,
}

impl<'e> Conversation<'e> {
    fn new(session: &'e Session, events: &'e [Event]) -> Self {
        let step = |(at, event): (usize, &'e Event)| {
            let call = event.call()?;
            Some(ParsedCall { call, commands: call.command().map(parse).unwrap_or_default(), at })
        };
        Self { session, events, steps: events.iter().enumerate().filter_map(step).collect() }
    }

    /// The calls after a failure that may contain its correction.
    fn after(&self, index: usize) -> impl Iterator<Item = (usize, &ParsedCall<'e>)> {
        let later = self.steps.iter().enumerate().skip(index + 1).take(REACH);
        later.filter(|(_, step)| step.call.outcome != Outcome::Refused)
    }

    /// A path relative to the project.
    fn relative(&self, path: &str, cwd: &str) -> Option<String> {
        relative(path, cwd, &self.session.tree)
    }
}

/// Runs all analyzers over a conversation, or a part of one.
pub fn analyze(session: &Session, events: &[Event]) -> Report {
    let conversation = Conversation::new(session, events);
    let mut findings = environment::find(&conversation);
    findings.extend(structure::find(&conversation));
    findings.extend(commands::find(&conversation));
    findings.extend(retries::find(&conversation));
    findings.extend(preferences::find(&conversation));
    findings.extend(sessions::find(&conversation));
    let failures = conversation.steps.iter().filter(|step| step.failed()).count();
    Report {
        calls: conversation.steps.len() as u64,
        failures: failures as u64,
        findings,
        paths: structure::present(&conversation).iter().map(|path| digest(path)).collect(),
        programs: environment::present(&conversation),
        episodes: episodes(&conversation),
        counts: HashMap::new(),
    }
}

fn episodes(conversation: &Conversation<'_>) -> Vec<Episode> {
    let failed = conversation.steps.iter().enumerate().filter(|(_, step)| step.failed());
    let episode = |(index, step): (usize, &ParsedCall<'_>)| {
        let mut text = format!("FAILED {}\n", describe(step.call));
        // most tools print the cause in the first lines, a traceback in the last lines
        let output = step.call.output.trim();
        let shown = if output.contains("Traceback (most recent call last)") {
            tail(output, 500)
        } else {
            head(output, 500)
        };
        text.push_str(&format!("  output: {}\n", shown.trim().replace('\n', "\n    ")));
        for (_, next) in conversation.after(index).take(4) {
            let state = if next.failed() { "failed" } else { "worked" };
            text.push_str(&format!("  then {state}: {}\n", describe(next.call)));
        }
        Episode { text, place: step.call.place.clone() }
    };
    failed.take(EPISODES).map(episode).collect()
}

fn describe(call: &ToolCall) -> String {
    let what = call.command().or_else(|| call.path()).or_else(|| call.pattern()).unwrap_or_default();
    let line = what.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}: {}", call.name, head(&line, 300))
}

/// Events for the analyzers' own tests.
#[cfg(test)]
mod testing {
    use std::path::Path;
    use std::sync::Arc;

    use serde_json::Value;

    use super::*;
    use crate::model::{Statement, Unit};

    pub(super) fn session() -> Session {
        let root: Arc<str> = Arc::from("/p");
        Session {
            agent: Arc::from("test"),
            id: Arc::from("s"),
            cwd: Arc::clone(&root),
            project: Arc::clone(&root),
            tree: root,
            remote: None,
            latest: 0,
        }
    }

    /// Calls as (tool, arguments, exit code, output); an exit code of -1 is a refusal.
    pub(super) fn events(calls: &[(&str, Value, i64, &str)]) -> Vec<Event> {
        let event = |(number, (tool, arguments, code, output)): (usize, &(&str, Value, i64, &str))| {
            let number = number as u64 + 1;
            if *tool == "user" {
                return Event::Said(Statement { text: (*output).to_owned() });
            }
            let place = Place {
                file: Arc::from(Path::new("log")),
                unit: Unit::Line,
                call: number,
                result: number,
                id: Arc::from(number.to_string()),
            };
            let mut call = ToolCall::new(tool, arguments, Arc::from("/p"), place);
            let outcome = match code {
                0 => Outcome::Done,
                -1 => Outcome::Refused,
                _ => Outcome::Failed,
            };
            call.finish(outcome, Some(*code), output, number);
            Event::Call(call)
        };
        calls.iter().enumerate().map(event).collect()
    }

    pub(super) fn findings(calls: &[(&str, Value, i64, &str)]) -> Vec<Finding> {
        analyze(&session(), &events(calls)).findings
    }

    pub(super) fn of_kind(calls: &[(&str, Value, i64, &str)], kind: Kind) -> Vec<Finding> {
        findings(calls).into_iter().filter(|finding| finding.kind == kind).collect()
    }
}
