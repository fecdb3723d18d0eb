//! One call that shows a pattern: the part of live traffic that is stored. The lessons of all sightings of a project
//! are the same as those of its session logs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use headroom_private::secrets::scrub;

use crate::analyzers::Report;
use crate::analyzers::sessions::is_contradicted_by;
use crate::lesson::{Finding, Kind};
use crate::model::{Place, Session, Unit, head};

/// Maximum bytes of each stored text.
const TEXT: usize = 2 << 10;
/// The call id for a pattern that counts once per conversation.
const CONVERSATION: &str = "conversation";

/// A call that shows a pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// The agent that made the call.
    pub agent: String,
    /// The conversation.
    pub conversation: String,
    /// The call's id.
    pub call: String,
    /// What it is about.
    pub kind: Kind,
    /// What distinguishes it from others of its kind.
    pub subject: String,
    /// What failed.
    pub wrong: String,
    /// What worked instead.
    pub right: Option<String>,
    /// The user's or the error's words about it.
    pub said: Option<String>,
    /// When it was first seen, in milliseconds since 1970.
    pub seen_ms: i64,
}

/// The patterns in a conversation, one for each call. Credentials are removed. A pattern that the same conversation
/// refutes is left out.
pub fn sightings(session: &Session, report: &Report) -> Vec<Sighting> {
    let kept = |text: &str| head(&scrub(text), TEXT).to_owned();
    let holds = |finding: &&Finding| !is_contradicted_by(finding.kind, &finding.subject, report);
    let of_finding = |finding: &Finding| {
        let calls: Vec<String> = match finding.kind {
            // sessions count, not runs
            Kind::WorkingCommand => vec![CONVERSATION.to_owned()],
            _ => finding.evidence.iter().map(|place| place.id.to_string()).collect(),
        };
        let sighting = |call: String| Sighting {
            agent: session.agent.to_string(),
            conversation: session.id.to_string(),
            call,
            kind: finding.kind,
            subject: kept(&finding.subject),
            wrong: kept(&finding.wrong),
            right: finding.right.as_deref().map(kept),
            said: finding.said.as_deref().map(kept),
            seen_ms: session.latest,
        };
        calls.into_iter().map(sighting).collect::<Vec<_>>()
    };
    report.findings.iter().filter(holds).flat_map(of_finding).collect()
}

/// The conversations of sightings, in the form of the analyzers of session logs.
pub fn sessions(project: &str, sightings: &[Sighting]) -> Vec<(Session, Report)> {
    let mut conversations: BTreeMap<(&str, &str), (Session, Report)> = BTreeMap::new();
    let root: Arc<str> = Arc::from(project);
    for (number, sighting) in sightings.iter().enumerate() {
        let key = (sighting.agent.as_str(), sighting.conversation.as_str());
        let (session, report) = conversations.entry(key).or_insert_with(|| {
            let session = Session {
                agent: Arc::from(sighting.agent.as_str()),
                id: Arc::from(sighting.conversation.as_str()),
                cwd: Arc::clone(&root),
                project: Arc::clone(&root),
                tree: Arc::clone(&root),
                remote: None,
                latest: 0,
            };
            (session, Report { calls: 1, ..Report::default() })
        });
        session.latest = session.latest.max(sighting.seen_ms);
        let place = Place {
            file: Arc::from(Path::new(&sighting.conversation)),
            unit: Unit::Row,
            call: number as u64 + 1,
            result: number as u64 + 1,
            // short ids are unique only in their conversation
            id: match sighting.call.len() {
                16.. => Arc::from(sighting.call.as_str()),
                _ => Arc::from(format!("{}/{}", sighting.conversation, sighting.call)),
            },
        };
        report.findings.push(Finding {
            kind: sighting.kind,
            subject: sighting.subject.clone(),
            wrong: sighting.wrong.clone(),
            right: sighting.right.clone(),
            said: sighting.said.clone(),
            evidence: vec![place],
        });
    }
    conversations.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyzers::sessions::lessons;
    use crate::lesson::Lesson;

    /// `least` is the minimum amount of evidence.
    fn lessons_of(project: &str, sightings: &[Sighting], least: usize) -> Vec<Lesson> {
        lessons(&sessions(project, sightings), least)
    }

    fn sighting(conversation: &str, call: &str, right: Option<&str>) -> Sighting {
        Sighting {
            agent: "claude".to_owned(),
            conversation: conversation.to_owned(),
            call: call.to_owned(),
            kind: Kind::MissingProgram,
            subject: "python".to_owned(),
            wrong: "python".to_owned(),
            right: right.map(str::to_owned),
            said: None,
            seen_ms: 5,
        }
    }

    #[test]
    fn sightings_of_several_conversations_are_one_lesson() {
        let once = [sighting("a", "toolu_0123456789", Some("python3 x.py"))];
        assert!(lessons_of("/p", &once, 2).is_empty());
        let copied = [once[0].clone(), sighting("fork", "toolu_0123456789", Some("python3 x.py"))];
        assert!(lessons_of("/p", &copied, 2).is_empty(), "a fork repeats the calls of the first one");
        let twice = [once[0].clone(), sighting("b", "call_1", None)];
        let found = lessons_of("/p", &twice, 2);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].text.contains("(seen 2 times)") && found[0].text.contains("`python3`"),
            "{}",
            found[0].text
        );
    }
}
