//! The labels of a folder of real session logs: what a learner must find in them, and what it must not.
//!
//! The folder is not part of the repository; `HEADROOM_SESSIONS` names it. It holds logs of several agents and
//! `labels.jsonl`, whose lines have `kind`, `learnable`, `wrong`, `right` and `evidence`, a list of
//! `[file, line of the call or of its result]`.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use headroom_learn::analyzers::sessions::lessons;
use headroom_learn::gather::{gather, plugins, select};
use headroom_learn::lesson::Lesson;
use headroom_learn::plugins::Home;
use serde_json::Value;

/// A label as far as the score needs it.
struct Label {
    kind: String,
    learnable: bool,
    wrong: String,
    evidence: Vec<(String, u64)>,
    /// Whether its places are named by pattern, for recordings of every agent
    is_recorded: bool,
    pieces: usize,
}

fn labels(folder: &Path) -> Vec<Label> {
    let text = fs::read_to_string(folder.join("labels.jsonl")).expect("labels.jsonl");
    let label = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("a label");
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let places = value["evidence"].as_array().cloned().unwrap_or_default();
        let place = |place: &Value| Some((place[0].as_str()?.to_owned(), place[1].as_u64()?));
        let evidence: Vec<(String, u64)> = places.iter().filter_map(place).collect();
        Label {
            kind: text("kind"),
            learnable: value["learnable"] == Value::Bool(true),
            wrong: text("wrong"),
            is_recorded: evidence.is_empty(),
            pieces: places.len(),
            evidence,
        }
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(label).collect()
}

fn learned(folder: &Path, least: usize) -> Vec<Lesson> {
    let nothing = |name: &str| (name == "HOME").then(|| "/nonexistent".to_owned());
    let home = Home::new(nothing, None).expect("a home");
    let plugins = plugins(None);
    let plugins = select(&plugins, "auto").expect("all agents");
    let gathered = gather(&plugins, &[folder.to_owned()], &home, 2).expect("the logs");
    gathered.projects.values().flat_map(|sessions| lessons(sessions, least)).collect()
}

/// Whether a lesson matches a label: for failures with line numbers, one of the lines; for recordings, the
/// first words of the failed command.
fn meets(folder: &Path, label: &Label, lesson: &Lesson) -> bool {
    if label.is_recorded {
        let about = label.wrong.split([' ', '(']).next().unwrap_or_default();
        return lesson.text.split('`').nth(1) == Some(about);
    }
    label.evidence.iter().any(|(file, line)| {
        let file: PathBuf = folder.join(file);
        lesson
            .evidence
            .iter()
            .any(|place| *place.file == *file && (place.call == *line || place.result == *line))
    })
}

#[test]
fn every_repeated_label_is_found_and_none_that_is_no_lesson() {
    let Some(folder) = env::var_os("HEADROOM_SESSIONS").map(PathBuf::from) else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: HEADROOM_SESSIONS names no folder of session logs with labels.jsonl"
        );
        return;
    };
    let labels = labels(&folder);
    let (twice, once) = (learned(&folder, 2), learned(&folder, 1));
    let mut report = String::new();
    let (mut missed, mut wrong, mut singles) = (0, 0, 0);
    for label in &labels {
        let in_twice = twice.iter().any(|lesson| meets(&folder, label, lesson));
        let in_once = once.iter().any(|lesson| meets(&folder, label, lesson));
        let name = format!("{} {:?}", label.kind, label.wrong);
        report.push_str(&format!(
            "{} twice {in_twice} once {in_once}: {name}\n",
            if label.learnable { "learn" } else { "never" }
        ));
        if label.learnable {
            missed += usize::from(label.pieces >= 2 && !in_twice);
            singles += usize::from(label.pieces < 2 && in_once);
        } else {
            wrong += usize::from(in_twice || in_once);
        }
    }
    for (title, lessons) in [("with 2", &twice), ("with 1", &once)] {
        report.push_str(&format!("\n{title}: {} lessons\n", lessons.len()));
        for lesson in lessons {
            let places: Vec<String> = lesson.evidence.iter().take(4).map(ToString::to_string).collect();
            report.push_str(&format!(
                "- {} [{}]\n    {}\n",
                lesson.text,
                lesson.evidence.len(),
                places.join(" ")
            ));
        }
    }
    let _ = writeln!(std::io::stderr(), "{report}");
    assert_eq!((missed, wrong), (0, 0), "labels missed, and labels learned that are no lessons");
    assert!(singles >= 5, "{singles} labels with one piece of evidence");
}
