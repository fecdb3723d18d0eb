//! Across sessions: findings in several conversations of a project become lessons, unless another
//! conversation shows that they are wrong.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{Conversation, Report};
use crate::failures::{is_check, is_runner};
use crate::lesson::{Finding, Kind, Lesson, sentence};
use crate::model::{Place, Session};
use headroom_private::secrets::scrub;

/// Maximum number of lessons of one project. No one reads more, and each costs tokens in every conversation.
const LESSONS: usize = 40;
/// Maximum number of checks.
const CHECKS: usize = 6;
/// Maximum number of places that are kept for one lesson.
const PLACES: usize = 50;

/// Checks that ran and passed, one piece of evidence each.
pub(super) fn find(conversation: &Conversation<'_>) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for step in conversation.steps.iter().filter(|step| step.done() && step.is_shell()) {
        // the exit code is that of the last command, and with `&&` also that of those before it
        let line = step.call.command().unwrap_or_default();
        if line.contains("||") || line.contains(';') {
            continue;
        }
        for command in &step.commands {
            // an ad-hoc script, or one file, belongs to one conversation; a command that installs a check is
            // not a check
            let plain = |word: &str| {
                word == "./..."
                    || !(word.contains(['/', '$', '*', '\'', '"', '=', '{', '.'])
                        || matches!(word, "install" | "add"))
            };
            let is_short = command.words.len() <= 6 && command.arguments().all(plain);
            let is_module = command.arguments().next() == Some("-m");
            let is_known = match command.program() {
                "python" | "python3" => is_module,
                program => program == "pytest" || is_runner(program),
            };
            if command.piped || !is_short || !is_known || !is_check(command) || !seen.insert(command.text()) {
                continue;
            }
            findings.push(Finding {
                kind: Kind::WorkingCommand,
                subject: command.text(),
                wrong: command.text(),
                right: None,
                said: None,
                evidence: vec![step.call.place.clone()],
            });
        }
    }
    findings
}

/// All findings of one subject.
#[derive(Debug, Default)]
struct Group<'r> {
    findings: Vec<&'r Finding>,
    evidence: Vec<Place>,
    ids: HashSet<String>,
    sessions: BTreeSet<&'r str>,
    /// When the last of the conversations was
    latest: i64,
}

/// The lessons of a project's conversations, the most certain first. `least` is the minimum amount of
/// evidence.
pub fn lessons(reports: &[(Session, Report)], least: usize) -> Vec<Lesson> {
    let mut groups: BTreeMap<(Kind, &str), Group<'_>> = BTreeMap::new();
    for (session, report) in reports {
        for finding in &report.findings {
            let group = groups.entry((finding.kind, finding.subject.as_str())).or_default();
            let mut is_new = false;
            for place in &finding.evidence {
                // resumed and forked conversations repeat the lines of the first one, with their ids
                let id = if place.id.len() >= 8 { place.id.to_string() } else { format!("{place}") };
                if group.ids.insert(id) {
                    is_new = true;
                    if group.evidence.len() < PLACES {
                        group.evidence.push(place.clone());
                    }
                }
            }
            if is_new {
                group.sessions.insert(&session.id);
                group.latest = group.latest.max(session.latest);
                group.findings.push(finding);
            }
        }
    }
    let mut found: Vec<Lesson> = groups
        .into_iter()
        .filter(|((kind, subject), group)| !is_contradicted(*kind, subject, group.latest, reports))
        .filter_map(|((kind, _), group)| lesson(kind, &group, least))
        .collect();
    let rank = |lesson: &Lesson| {
        (lesson.kind.map(Kind::section), Reverse(lesson.sessions), Reverse(lesson.evidence.len()))
    };
    found.sort_by_key(rank);
    let mut checks = 0;
    found.retain(|lesson| {
        let is_check = lesson.kind == Some(Kind::WorkingCommand);
        checks += usize::from(is_check);
        !is_check || checks <= CHECKS
    });
    found.truncate(LESSONS);
    found
}

fn lesson(kind: Kind, group: &Group<'_>, least: usize) -> Option<Lesson> {
    let count = if kind == Kind::WorkingCommand { group.sessions.len() } else { group.ids.len() };
    if count < least.max(kind.least_evidence()) {
        return None;
    }
    // the solution that was used most often; if equal, the latest
    let mut votes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (index, finding) in group.findings.iter().enumerate() {
        if let Some(right) = finding.right.as_deref() {
            let vote = votes.entry(right).or_default();
            *vote = (vote.0 + 1, index);
        }
    }
    let best = votes.values().max().map(|(_, index)| *index);
    if best.is_none() && (kind.needs_right() || (least < 2 && kind == Kind::MissingProgram)) {
        return None;
    }
    // of equivalent findings, the shortest line is the clearest
    let finding = match best {
        Some(index) => group.findings.get(index)?,
        None => group.findings.iter().min_by_key(|finding| finding.wrong.len())?,
    };
    Some(Lesson {
        kind: Some(kind),
        section: kind.section().title().to_owned(),
        is_memory: kind.is_memory(),
        tokens_saved: None,
        text: scrub(&sentence(finding, count)).into_owned(),
        evidence: group.evidence.clone(),
        sessions: group.sessions.len(),
    })
}

/// Whether another conversation shows that a lesson is wrong. A file that existed once and does not
/// exist in a later conversation is on another branch, or gone.
fn is_contradicted(kind: Kind, subject: &str, latest: i64, reports: &[(Session, Report)]) -> bool {
    reports.iter().any(|(session, report)| {
        let is_path = matches!(kind, Kind::WrongPath | Kind::AbsentPath);
        (!is_path || session.latest >= latest || session.latest == 0)
            && is_contradicted_by(kind, subject, report)
    })
}

/// Whether a conversation shows that a lesson is wrong.
pub fn is_contradicted_by(kind: Kind, subject: &str, report: &Report) -> bool {
    match kind {
        Kind::WrongPath | Kind::AbsentPath => report.has_path(subject),
        Kind::MissingProgram => report.programs.contains(subject),
        Kind::MissingModule => report.programs.contains(&format!("-m {subject}")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::analyze;
    use super::super::testing::{events, session};
    use super::*;

    fn report(id: &str, calls: &[(&str, Value, i64, &str)]) -> (Session, Report) {
        let mut session = session();
        session.id = id.into();
        let mut events = events(calls);
        for event in &mut events {
            if let crate::model::Event::Call(call) = event {
                call.place.id = format!("{id}-{}-long-id", call.place.call).into();
            }
        }
        let report = analyze(&session, &events);
        (session, report)
    }

    fn missing() -> [(&'static str, Value, i64, &'static str); 2] {
        [
            ("Bash", json!({"command": "python x.py"}), 127, "bash: python: command not found"),
            ("Bash", json!({"command": "python3 x.py"}), 0, "ok"),
        ]
    }

    #[test]
    fn what_two_sessions_show_is_a_lesson_and_a_copy_of_one_is_not() {
        let (first, second) = (report("first", &missing()), report("second", &missing()));
        assert!(lessons(std::slice::from_ref(&first), 2).is_empty());
        assert!(
            lessons(&[first.clone(), first.clone()], 2).is_empty(),
            "a resumed conversation repeats its lines"
        );
        let found = lessons(&[first, second], 2);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].sessions, found[0].evidence.len()), (2, 2));
        assert!(found[0].text.contains("`python3 x.py`"), "{}", found[0].text);
    }

    #[test]
    fn a_program_that_ran_in_another_session_is_not_missing() {
        let ran = report("third", &[("Bash", json!({"command": "python y.py"}), 0, "ok")]);
        let all = [report("first", &missing()), report("second", &missing()), ran];
        assert!(lessons(&all, 2).is_empty());
    }

    #[test]
    fn a_check_is_named_when_three_sessions_ran_it() {
        let run = [("Bash", json!({"command": "mise run fmt && mise run lint"}), 0, "ok")];
        let all = [report("a", &run), report("b", &run), report("c", &run)];
        assert!(lessons(&all[..2], 1).is_empty());
        let texts: Vec<String> = lessons(&all, 2).into_iter().map(|lesson| lesson.text).collect();
        assert!(texts.iter().any(|text| text.contains("`mise run lint`")), "{texts:?}");
        for other in ["pip install pytest", "python test_fix.py", "npm test src/a.test.ts"] {
            let run = [("Bash", json!({"command": other}), 0, "ok")];
            assert!(
                lessons(&[report("a", &run), report("b", &run), report("c", &run)], 2).is_empty(),
                "{other}"
            );
        }
    }

    #[test]
    fn no_credential_leaves_a_log() {
        let calls = [
            (
                "Bash",
                json!({"command": "curlx -H 'Authorization: Bearer abcdef0123456789' https://a.example"}),
                127,
                "bash: curlx: command not found",
            ),
            (
                "Bash",
                json!({"command": "curl -H 'Authorization: Bearer abcdef0123456789' https://a.example"}),
                0,
                "ok",
            ),
        ];
        let found = lessons(&[report("a", &calls), report("b", &calls)], 2);
        assert_eq!(found.len(), 1);
        assert!(!found[0].text.contains("abcdef"), "{}", found[0].text);
    }
}
