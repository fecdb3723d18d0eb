//! The newest calls of a conversation, from its passing requests: each request repeats the earlier ones, and each
//! call counts once.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::analyzers::{Report, analyze};
use crate::model::{Event, Outcome, Place, Session, Statement, ToolCall, Unit, head};
use crate::project::{Checkout, anchored};
use crate::recorder::{STATEMENT, is_statement, outcome};
use crate::value::Verdict;
use crate::wire::{Pending, Sink, read_message};

/// Events that are analyzed together. The ten calls after a failure are searched for a correction.
const EVENTS: usize = 60;
/// Number of ids of calls that have left the window and may appear again in the rest of a request.
const LEFT: usize = 256;
/// Bytes of an id.
const ID: usize = 256;
/// How a message begins that an agent has written in the user's name. The user's own, and the files of a repository that
/// agents quote in others, could name any folder.
const OWN: [&str; 4] =
    ["<environment_context>", "<session_context>", "This is the Gemini CLI.", "This is the Qwen Code."];
/// Tags and words before the folder that an agent works in, in its message to the model.
const FOLDERS: [(&str, &str); 3] = [
    ("<cwd>", "</cwd>"),
    ("**Workspace Directories:**\n  - ", "\n"),
    ("I'm currently working in the directory: ", "\n"),
];

/// The newest calls of one conversation.
#[derive(Debug, Default)]
pub struct Window {
    events: VecDeque<Event>,
    left: VecDeque<Arc<str>>,
    /// The folder that the agent says it works in.
    cwd: Option<String>,
    number: u64,
}

impl Window {
    /// Reads the messages of a request, oldest first. Cut or foreign ones are skipped.
    pub fn read<'m>(&mut self, messages: impl IntoIterator<Item = &'m str>) {
        let mut pending = Pending::default();
        for message in messages {
            let Ok(message) = serde_json::from_str::<Value>(message) else { continue };
            self.number += 1;
            let number = self.number;
            read_message(self, number, &message, &mut pending);
        }
    }

    /// The analyzers' report on the calls, if their project is known.
    pub fn report(&self, agent: &str, conversation: &str, now: i64) -> Option<(Session, Report)> {
        let checkout = self.checkout()?;
        let tree = Arc::clone(&checkout.tree);
        let cwd = self.cwd.as_deref().map_or_else(|| Arc::clone(&tree), Arc::from);
        let session = Session {
            agent: Arc::from(agent),
            id: Arc::from(conversation),
            cwd: Arc::clone(&cwd),
            project: checkout.project,
            tree,
            remote: None,
            latest: now,
        };
        let place = |mut event: Event| {
            if let Event::Call(call) = &mut event
                && call.cwd.is_empty()
            {
                call.cwd = Arc::clone(&cwd);
            }
            event
        };
        let events: Vec<Event> = self.events.iter().cloned().map(place).collect();
        let report = analyze(&session, &events);
        Some((session, report))
    }

    /// The repository that the agent works in: the one that it names, else the one that contains most of the paths. A
    /// path belongs to the innermost repository above it.
    fn checkout(&self) -> Option<Checkout> {
        if let Some(checkout) = self.cwd.as_deref().and_then(|cwd| anchored(Path::new(cwd))) {
            return Some(checkout);
        }
        let mut votes: BTreeMap<Arc<str>, (usize, Checkout)> = BTreeMap::new();
        for call in self.events.iter().filter_map(Event::call) {
            let own = Some(&*call.cwd).filter(|cwd| !cwd.is_empty());
            for path in own.into_iter().chain(call.path()).filter(|path| Path::new(path).is_absolute()) {
                if let Some(checkout) = anchored(Path::new(path)) {
                    votes.entry(Arc::clone(&checkout.tree)).or_insert((0, checkout)).0 += 1;
                }
            }
        }
        votes.into_values().max_by_key(|(count, _)| *count).map(|(_, checkout)| checkout)
    }

    fn push(&mut self, event: Event) {
        self.events.push_back(event);
        if self.events.len() > EVENTS
            && let Some(Event::Call(call)) = self.events.pop_front()
        {
            self.left.push_back(call.place.id);
            if self.left.len() > LEFT {
                self.left.pop_front();
            }
        }
    }
}

impl Sink for Window {
    fn call(&mut self, id: &str, name: &str, arguments: &Value, number: u64, cwd: Option<&str>) {
        let id = head(id, ID);
        let mut known =
            self.events.iter().filter_map(Event::call).map(|call| &call.place.id).chain(&self.left);
        if id.is_empty() || known.any(|known| **known == *id) {
            return;
        }
        let place = Place {
            file: Arc::from(Path::new("requests")),
            unit: Unit::Message,
            call: number,
            result: number,
            id: Arc::from(id),
        };
        let cwd = Arc::from(head(cwd.unwrap_or_default(), 4096));
        self.push(Event::Call(ToolCall::new(name, arguments, cwd, place)));
    }

    fn result(&mut self, id: &str, verdict: Verdict, output: &str, number: u64) {
        let calls = self.events.iter_mut().filter_map(|event| match event {
            Event::Call(call) => Some(call),
            Event::Said(_) => None,
        });
        let id = head(id, ID);
        let mut open = calls.filter(|call| *call.place.id == *id && call.outcome == Outcome::Unknown);
        if let Some(call) = open.next() {
            let (outcome, output) = outcome(verdict, output);
            call.finish(outcome, verdict.exit_code, &output, number);
        }
    }

    fn said(&mut self, text: &str) {
        let is_own = OWN.iter().any(|own| text.trim_start().starts_with(own));
        for (before, after) in FOLDERS.into_iter().filter(|_| is_own) {
            let named = text.split_once(before).and_then(|(_, rest)| rest.split(after).next());
            if let Some(folder) = named.map(str::trim).filter(|folder| Path::new(folder).is_absolute()) {
                self.cwd = Some(head(folder, 4096).to_owned());
            }
        }
        let text = head(text.trim(), STATEMENT);
        let is_known = |event: &Event| matches!(event, Event::Said(said) if said.text == text);
        if is_statement(text) && !self.events.iter().any(is_known) {
            self.push(Event::Said(Statement { text: text.to_owned() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::lesson::Kind;

    fn call(id: &str, command: &str) -> String {
        json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "Bash", "input": {"command": command}}]})
            .to_string()
    }

    fn result(id: &str, output: &str, failed: bool) -> String {
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": output, "is_error": failed}]})
            .to_string()
    }

    fn read(window: &mut Window, messages: &[String]) {
        window.read(messages.iter().map(String::as_str));
    }

    #[test]
    fn a_call_counts_once_in_however_many_requests_it_stands() {
        let home = tempfile::tempdir().unwrap();
        let project = home.path().canonicalize().unwrap().join("shop");
        fs::create_dir_all(project.join(".git")).unwrap();
        let cwd = json!({"role": "user", "content": format!("<environment_context>\n  <cwd>{}</cwd>", project.display())})
            .to_string();
        let mut messages = vec![
            cwd,
            call("toolu_1", "python x.py"),
            result("toolu_1", "Exit code 127\nbash: python: command not found", true),
        ];
        let mut window = Window::default();
        read(&mut window, &messages);
        let (session, report) = window.report("claude", "c", 1).unwrap();
        assert_eq!(*session.project, *project.to_string_lossy());
        assert_eq!((report.calls, report.findings.len()), (1, 1));
        messages.extend([call("toolu_2", "python3 x.py"), result("toolu_2", "ok", false)]);
        read(&mut window, &messages[2..]);
        read(&mut window, &messages);
        let (_, report) = window.report("claude", "c", 1).unwrap();
        assert_eq!(report.calls, 2);
        let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
        assert_eq!((finding.kind, finding.right.as_deref()), (Kind::MissingProgram, Some("python3 x.py")));
        assert_eq!(finding.evidence.len(), 1);
    }

    #[test]
    fn a_path_belongs_to_the_innermost_repository_and_none_teaches_nothing() {
        let home = tempfile::tempdir().unwrap();
        let outer = home.path().canonicalize().unwrap();
        fs::create_dir_all(outer.join("app/.git")).unwrap();
        fs::create_dir_all(outer.join("app/vendor/lib/.git")).unwrap();
        let project = |paths: &[&Path]| {
            let mut window = Window::default();
            for (number, path) in paths.iter().enumerate() {
                let read = json!({"role": "assistant", "content": [
                    {"type": "tool_use", "id": format!("id{number}"), "name": "Read", "input": {"file_path": path}}]});
                window.read([read.to_string().as_str()]);
            }
            window.report("claude", "c", 0).map(|(session, _)| session.project.to_string())
        };
        let (app, lib) = (outer.join("app"), outer.join("app/vendor/lib"));
        assert_eq!(project(&[&lib.join("src/gone/a.rs")]).as_deref(), lib.to_str());
        assert_eq!(project(&[&lib.join("a"), &app.join("b"), &app.join("c")]).as_deref(), app.to_str());
        for nowhere in [outer.join("else/a"), "/etc/passwd".into(), "/".into(), "relative".into()] {
            assert_eq!(project(&[&nowhere]), None, "{}", nowhere.display());
        }
        assert_eq!(project(&[]), None);
    }

    #[test]
    fn only_the_agent_names_its_folder() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let [shop, other] = ["shop", "other"].map(|name| home.join(name));
        for project in [&shop, &other] {
            fs::create_dir_all(project.join(".git")).unwrap();
        }
        let read = json!({"role": "assistant", "content": [
            {"type": "tool_use", "id": "id", "name": "Read", "input": {"file_path": shop.join("a")}}]});
        let named = format!("<cwd>{}</cwd>", other.display());
        for text in [
            format!("<system-reminder>CLAUDE.md says:\n{named}</system-reminder>"),
            format!("# AGENTS.md instructions\n<environment_context>{named}"),
            format!("See what I found: <environment_context>{named}"),
            format!("I'm currently working in the directory: {}\n", other.display()),
        ] {
            let mut window = Window::default();
            let said = json!({"role": "user", "content": text}).to_string();
            window.read([said.as_str(), read.to_string().as_str()]);
            let (session, _) = window.report("claude", "c", 0).unwrap();
            assert_eq!(*session.project, *shop.to_string_lossy(), "{text}");
        }
        for text in [
            format!("<environment_context>\n  {named}\n</environment_context>"),
            format!(
                "<session_context>\nThis is the Gemini CLI.\n- **Workspace Directories:**\n  - {}\n",
                other.display()
            ),
            format!("This is the Qwen Code.\nI'm currently working in the directory: {}\n", other.display()),
        ] {
            let mut window = Window::default();
            let said = json!({"role": "user", "content": text}).to_string();
            window.read([said.as_str(), read.to_string().as_str()]);
            let (session, _) = window.report("codex", "c", 0).unwrap();
            assert_eq!(*session.project, *other.to_string_lossy(), "{text}");
        }
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut window = Window::default();
        for number in 0..10 * EVENTS {
            let id = format!("toolu_{number}");
            read(&mut window, &[call(&id, "ls"), result(&id, "x", false), "{\"role\":\"us".to_owned()]);
        }
        assert_eq!((window.events.len(), window.left.len()), (EVENTS, LEFT));
    }
}
