//! The events of `go test -json`: one JSON object per line. The events of a failed test belong together.

use serde::Deserialize;

use super::super::keep::{LineSelection, counted, counted_lines, grouped};
use super::super::query::Query;
use super::{ANSWERS, FEWEST_LINES, OF_FAILURES};
use crate::block::{Context, Lossy};
use crate::lines;
use crate::seeded::Seeded;
use crate::work;

/// Lines kept at either end.
const FIRST: usize = 2;
const LAST: usize = 3;

/// How many lines decide whether JSON lines are events.
const LOOKED_AT: usize = 8;

/// The fields of an event that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Event {
    action: String,
    package: String,
    test: Option<String>,
    output: Option<String>,
}

impl Event {
    fn read(line: &str) -> Option<Self> {
        work::spend(line.len());
        serde_json::from_str(line).ok().filter(|event: &Self| !event.action.is_empty())
    }

    /// Whether it reports a failure.
    fn fails(&self) -> bool {
        matches!(self.action.as_str(), "fail" | "build-fail")
    }

    /// The test or package that it is about.
    fn about(&self) -> (&str, Option<&str>) {
        (&self.package, self.test.as_deref())
    }

    /// Whether it only reports that a test runs or its result.
    fn is_routine(&self) -> bool {
        const STARTS: [&str; 5] = ["=== RUN", "=== PAUSE", "=== CONT", "=== NAME", "--- PASS"];
        self.output
            .as_deref()
            .is_none_or(|text| STARTS.iter().any(|start| text.trim_start().starts_with(start)))
    }
}

/// Whether a text of JSON lines consists of such events.
pub(crate) fn are_in(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).take(LOOKED_AT).peekable();
    lines.peek().is_some()
        && lines.all(|line| {
            line.contains("\"Action\":\"") && Event::read(line).is_some_and(|event| !event.package.is_empty())
        })
}

/// Keeps the events of failed tests, up to a stated limit, lines that are not events, the ends, and the lines
/// that were asked for. Passed tests are counted.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    let lines: Vec<&str> = lines::split(text.strip_suffix('\n').unwrap_or(text)).collect();
    if lines.len() < FEWEST_LINES {
        return None;
    }
    let events: Vec<Option<Event>> = lines.iter().map(|line| Event::read(line)).collect();
    let failed: hashbrown::HashSet<(&str, Option<&str>), Seeded> =
        events.iter().flatten().filter(|event| event.fails()).map(Event::about).collect();
    let mut keep = LineSelection::generous(&lines, cx);
    let (mut room, mut without) = (OF_FAILURES, 0);
    for (number, (line, event)) in lines.iter().zip(&events).enumerate() {
        let Some(event) = event else {
            keep.must(number);
            continue;
        };
        let belongs = event.action == "build-output"
            || failed.contains(&event.about()) && event.output.is_some() && !event.is_routine();
        if event.fails() {
            keep.must(number);
        } else if belongs && line.len() < room {
            room -= line.len() + 1;
            keep.must(number);
        } else if belongs {
            without += 1;
        }
    }
    for line in (0..FIRST).chain(lines.len() - LAST..lines.len()) {
        keep.may(line);
    }
    for line in Query::new(cx).best(&lines).into_iter().take(ANSWERS) {
        keep.may(line);
    }
    keep.close_small_gaps();
    let left_out = lines.len() - keep.count();
    if left_out == 0 {
        return None;
    }
    let text = keep.render(|gap| {
        let results = results(&events, gap.clone());
        format!("… {}{results}", counted_lines(&gap, cx))
    });
    let all = results(&events, (0..lines.len()).filter(|line| !keep.has(*line)));
    let mut what = format!("{} of {} left out{all}", grouped(left_out), counted(lines.len(), "line"));
    if without > 0 {
        what.push_str(&format!(", with {} of the output of tests that failed", counted(without, "line")));
    }
    Some(Lossy { text, left_out: what })
}

/// `: 51 tests passed, 3 tests skipped`, of these lines.
fn results(events: &[Option<Event>], lines: impl Iterator<Item = usize>) -> String {
    let (mut passed, mut skipped) = (0, 0);
    let known = lines.filter_map(|line| events.get(line)?.as_ref());
    for event in known.filter(|event| event.test.is_some()) {
        passed += usize::from(event.action == "pass");
        skipped += usize::from(event.action == "skip");
    }
    let said = [(passed, "passed"), (skipped, "skipped")].into_iter().filter(|(count, _)| *count > 0);
    let said: Vec<String> = said.map(|(count, what)| format!("{} {what}", counted(count, "test"))).collect();
    if said.is_empty() { String::new() } else { format!(": {}", said.join(", ")) }
}
