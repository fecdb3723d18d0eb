//! The results of conversations.

use super::{Event, HeldConversation};
use crate::Provider;
use crate::agent::Format;
use crate::provider::Report;

/// The results of the conversations of one format.
#[derive(Clone, Debug)]
pub struct Row {
    /// The event during them.
    pub event: Event,
    /// The format.
    pub format: Format,
    /// Whether answers were streams.
    pub stream: bool,
    /// How many conversations.
    pub conversations: usize,
    /// The reasons of those that failed.
    pub failed: Vec<String>,
    /// The provider's report about all of them.
    pub report: Report,
    /// Retrievals that were answered with the exact text.
    pub exact: usize,
}

pub(super) fn rows(event: Event, provider: &Provider, all: &[HeldConversation]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for held in all {
        let (format, stream) = (held.format, held.stream);
        let at = rows.iter().position(|row| row.format == format && row.stream == stream);
        let at = at.unwrap_or_else(|| {
            let (failed, report) = (Vec::new(), Report::default());
            rows.push(Row { event, format, stream, conversations: 0, failed, report, exact: 0 });
            rows.len() - 1
        });
        let row = &mut rows[at];
        let report = provider.report(&held.name);
        row.conversations += 1;
        row.failed.extend(held.failed.clone());
        row.exact += report.exact(&held.agent.given());
        row.report.add(report);
    }
    rows
}

impl Row {
    /// Changes of a prefix, as the provider notices them: reasoning that it refuses or drops.
    pub fn mismatches(&self) -> usize {
        self.report.refused.len() + self.report.dropped.len()
    }

    /// Problems, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.failed.iter().map(|why| format!("failed: {why}")).collect();
        problems.extend(self.report.problems());
        if self.report.respelled > 0 {
            problems.push(format!("{} requests spell earlier messages another way", self.report.respelled));
        }
        let asked = self.report.retrievals.len();
        if self.exact < asked {
            problems.push(format!("{} of {asked} retrievals were answered exactly", self.exact));
        }
        // The client already has the ids of its calls before our call comes, or the format has no permanent
        // ids.
        let can_be_lost = self.stream || self.format == Format::Gemini;
        if self.report.asked_again > if can_be_lost { self.conversations } else { 0 } {
            problems.push(format!("{} retrievals had to be asked for again", self.report.asked_again));
        }
        let way = if self.stream { "stream" } else { "JSON" };
        let here = format!("{}, {}, {way}", self.event.name(), self.format.name());
        problems.into_iter().map(|problem| format!("{here}: {problem}")).collect()
    }
}
