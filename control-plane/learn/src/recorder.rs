//! Collects the events that a plugin reads into conversations, in bounded memory: it joins results with
//! their calls, and runs the analyzers every few thousand events.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::analyzers::{self, Report};
use super::failures;
use super::model::{Event, Outcome, Place, Session, Statement, ToolCall, Unit, head};
use super::project::Roots;
use super::value::Verdict;
use super::wire::Sink;

/// Events that are analyzed together. With outputs cut to 4 KiB this stays below some 30 MB.
const WINDOW: usize = 4096;
/// Events of a window that the next one sees again, so that a correction after its end is found.
const OVERLAP: usize = 32;
/// Bytes of a statement of the user.
pub(crate) const STATEMENT: usize = 2 << 10;

/// How a call ended, according to its result, and the result without the agent's additions.
pub(crate) fn outcome(verdict: Verdict, output: &str) -> (Outcome, String) {
    let tidy = failures::tidy(output);
    let failed = verdict.failed.unwrap_or(false) || verdict.exit_code.is_some_and(|code| code != 0);
    let outcome = if verdict.refused || (failed && failures::says_refused(&tidy)) {
        Outcome::Refused
    } else if failed {
        Outcome::Failed
    } else {
        Outcome::Done
    };
    (outcome, tidy)
}

/// Whether a text is the user's own, and not a message of the agent in the user's name.
pub(crate) fn is_statement(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('<') && !text.starts_with("# AGENTS.md")
}

/// Receives the events of one log.
#[derive(Debug)]
pub struct Recorder<'r> {
    agent: Arc<str>,
    file: Arc<Path>,
    unit: Unit,
    roots: &'r Roots,
    session: Session,
    cwd: Arc<str>,
    events: Vec<Event>,
    /// The calls without a result, by id, with their index in `events`
    open: HashMap<String, usize>,
    report: Report,
    done: Vec<(Session, Report)>,
}

impl<'r> Recorder<'r> {
    /// A recorder for a log of an agent.
    pub fn new(agent: &str, file: &Path, unit: Unit, roots: &'r Roots) -> Self {
        let agent: Arc<str> = Arc::from(agent);
        let id = file.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let empty: Arc<str> = Arc::from("");
        let session = Session {
            agent: Arc::clone(&agent),
            id: Arc::from(id),
            cwd: Arc::clone(&empty),
            project: Arc::clone(&empty),
            tree: Arc::clone(&empty),
            remote: None,
            latest: 0,
        };
        Self {
            agent,
            file: Arc::from(file),
            unit,
            roots,
            session,
            cwd: empty,
            events: Vec::new(),
            open: HashMap::new(),
            report: Report::default(),
            done: Vec::new(),
        }
    }

    /// Another log of the same conversation, or of the next one.
    pub fn file(&mut self, file: &Path) {
        self.file = Arc::from(file);
    }

    /// Starts another conversation. With the same id, it continues.
    pub fn begin(&mut self, id: &str) {
        if *self.session.id == *id {
            return;
        }
        if self.events.is_empty() && self.session.cwd.is_empty() {
            self.session.id = Arc::from(id);
            return;
        }
        self.end();
        self.session.id = Arc::from(id);
    }

    /// The folder that the next calls run in. The first one decides the project.
    pub fn cwd(&mut self, cwd: &str) {
        if cwd.is_empty() || *self.cwd == *cwd {
            return;
        }
        self.cwd = Arc::from(head(cwd, 4096));
        if self.session.cwd.is_empty() {
            self.session.cwd = Arc::clone(&self.cwd);
            let checkout = self.roots.checkout(cwd);
            self.session.project = checkout.project;
            self.session.tree = checkout.tree;
        }
    }

    /// The root of the repository according to the log; the disk has priority.
    pub fn root(&mut self, root: &str) {
        let is_known = self.session.project != self.session.cwd;
        if root.len() > 1 && !is_known && Path::new(&*self.session.cwd).starts_with(root) {
            self.session.project = Arc::from(root.trim_end_matches('/'));
            self.session.tree = Arc::clone(&self.session.project);
        }
    }

    /// The time of the next events: a time as text, or in milliseconds.
    pub fn time(&mut self, time: Option<&Value>) {
        let millis = match time {
            Some(Value::String(text)) => {
                text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
            }
            Some(number) => number.as_i64(),
            None => None,
        };
        self.session.latest = self.session.latest.max(millis.unwrap_or(0));
    }

    /// The address of the repository, as the log says.
    pub fn remote(&mut self, remote: &str) {
        if !remote.is_empty() {
            self.session.remote = Some(Arc::from(head(remote, 1024)));
        }
    }

    /// Whether a call of this id is among the last events: a log may repeat an event.
    pub fn has_seen(&self, id: &str) -> bool {
        !id.is_empty()
            && self.events.iter().rev().take(256).filter_map(Event::call).any(|call| *call.place.id == *id)
    }

    /// A tool is called.
    pub fn call(&mut self, id: &str, name: &str, arguments: &Value, number: u64) {
        self.call_in(id, name, arguments, number, None);
    }

    /// A tool is called in another folder than the conversation's.
    pub fn call_in(&mut self, id: &str, name: &str, arguments: &Value, number: u64, cwd: Option<&str>) {
        if !id.is_empty() && self.open.contains_key(id) {
            return;
        }
        self.make_room();
        let place = Place {
            file: Arc::clone(&self.file),
            unit: self.unit,
            call: number,
            result: number,
            id: Arc::from(head(id, 256)),
        };
        let cwd = cwd.map_or_else(|| Arc::clone(&self.cwd), |cwd| Arc::from(head(cwd, 4096)));
        if !id.is_empty() {
            self.open.insert(head(id, 256).to_owned(), self.events.len());
        }
        self.events.push(Event::Call(ToolCall::new(name, arguments, cwd, place)));
    }

    /// The result of a call. A result without a call is skipped: its call is in another file, or cut off.
    pub fn result(&mut self, id: &str, verdict: Verdict, output: &str, number: u64) {
        let Some(at) = self.open.remove(head(id, 256)) else { return };
        let Some(Event::Call(call)) = self.events.get_mut(at) else { return };
        let (outcome, output) = outcome(verdict, output);
        call.finish(outcome, verdict.exit_code, &output, number);
    }

    /// The user says something.
    pub fn said(&mut self, text: &str) {
        let text = text.trim();
        if is_statement(text) {
            self.make_room();
            self.events.push(Event::Said(Statement { text: head(text, STATEMENT).to_owned() }));
        }
    }

    /// All conversations of the log.
    pub fn finish(mut self) -> Vec<(Session, Report)> {
        self.end();
        self.done
    }

    fn end(&mut self) {
        self.analyze(0);
        let report = std::mem::take(&mut self.report);
        if report.calls > 0 {
            self.done.push((self.session.clone(), report));
        }
        let empty: Arc<str> = Arc::from("");
        self.session.agent = Arc::clone(&self.agent);
        self.session.cwd = Arc::clone(&empty);
        self.session.project = Arc::clone(&empty);
        self.session.tree = Arc::clone(&empty);
        self.session.remote = None;
        self.session.latest = 0;
        self.cwd = empty;
    }

    /// Ends the window where it is full.
    fn make_room(&mut self) {
        if self.events.len() >= WINDOW {
            self.analyze(OVERLAP);
        }
    }

    /// Runs the analyzers over the events so far, and keeps the last `keep` events.
    fn analyze(&mut self, keep: usize) {
        self.report.add(analyzers::analyze(&self.session, &self.events));
        let drained = self.events.len().saturating_sub(keep);
        self.events.drain(..drained);
        self.open.retain(|_, at| {
            *at = at.wrapping_sub(drained);
            *at < keep
        });
    }
}

impl Sink for Recorder<'_> {
    fn call(&mut self, id: &str, name: &str, arguments: &Value, number: u64, cwd: Option<&str>) {
        self.call_in(id, name, arguments, number, cwd);
    }

    fn result(&mut self, id: &str, verdict: Verdict, output: &str, number: u64) {
        Recorder::result(self, id, verdict, output, number);
    }

    fn said(&mut self, text: &str) {
        Recorder::said(self, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_statements_alone_is_not_kept_as_a_whole() {
        let roots = Roots::default();
        let mut recorder = Recorder::new("claude", Path::new("log.jsonl"), Unit::Line, &roots);
        for number in 0..3 * WINDOW {
            recorder.said(&format!("statement {number}"));
            assert!(recorder.events.len() <= WINDOW);
        }
    }
}
