//! What the tool loop needs of a format: reading the rounds of an answer, and joining them into one answer.

use crate::arguments::RetrieveArguments;
use crate::json;
use crate::memory_tools;
use crate::own_tools::OwnTool;
use crate::rounds::{Retrieval, TraceInput};

/// A call of a tool of ours.
#[derive(Clone, Debug, Default)]
pub struct OwnCall {
    /// The call's id, which its result names; empty where the format has no ids.
    pub id: String,
    /// Which of our tools it is for.
    pub tool: OwnTool,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them, usually JSON.
    pub arguments: String,
    /// Where the call is in the turn as the client receives it: see [`Step`].
    pub place: u32,
    /// The same for its reasoning.
    pub reasoning: u32,
}

impl OwnCall {
    /// Whether it saves, changes or deletes something.
    pub fn changes_memory(&self) -> bool {
        self.tool == OwnTool::Memory && !memory_tools::only_reads(&self.name, &self.arguments)
    }

    /// The arguments of a call of the retrieve tool.
    pub fn asked(&self) -> RetrieveArguments {
        RetrieveArguments::read(&self.arguments)
    }
}

/// The end of an answer that the filter writes instead of the provider.
#[derive(Debug, Default)]
pub struct Ending<'a> {
    /// A note for the client, if something is missing.
    pub note: Option<&'a str>,
    /// The id of a client's call, and the id with the trace that replaces it.
    pub carrier: Option<(&'a str, &'a str)>,
    /// Whether our calls in the last round are dropped: then no later request puts them back.
    pub drops_last: bool,
}

impl Ending<'_> {
    pub(crate) fn is_traced(&self) -> bool {
        self.carrier.is_some()
    }
}

/// A call of ours as it is written into the request that continues the answer.
pub struct WrittenCall<'a> {
    /// `None`: as the model spelled it.
    pub retrieval: Option<Retrieval>,
    /// What the model reads.
    pub text: &'a str,
    /// Whether the text is an error.
    pub is_error: bool,
}

/// Reads one provider's answers, and joins their rounds into one answer.
pub trait AnswerReader: std::fmt::Debug {
    /// About how many bytes it holds in memory.
    fn bytes(&self) -> usize;

    /// Reads one event of a stream. `None`: the event does not follow the format.
    fn event(&mut self, name: &str, data: &str) -> Option<()>;

    /// Whether the event just read is held, together with all earlier held events.
    fn holding(&self) -> bool;

    /// Whether a held event belongs to a call of ours.
    fn holds_ours(&self) -> bool {
        self.holding()
    }

    /// Reads a whole answer. `None`: it does not follow the format.
    fn document(&mut self, answer: &str) -> Option<()>;

    /// Whether the round is complete.
    fn is_complete(&self) -> bool;

    /// The round's calls in their order: true for ours.
    fn calls(&self) -> Vec<bool>;

    /// Whether the round's first call is ours and carries a signature that also counts for the calls after
    /// it.
    fn signs_ours(&self) -> bool {
        false
    }

    /// The round's calls of our tools, as far as they can be read.
    fn wanted(&self) -> Vec<OwnCall>;

    /// The round's first call of a client's tool that the client has not received yet: the trace goes into
    /// its id. `None`: there is none, or the format cannot carry a trace.
    fn carrier(&self) -> Option<String>;

    /// What the client receives of the turn before a position.
    fn before(&self, place: u32, reasoning: u32) -> TraceInput;

    /// The request that continues this one: with the model's turn without the client's calls, and the results
    /// of our calls.
    fn continuation(&self, request: &str, written: &[WrittenCall<'_>]) -> Option<String>;

    /// Notes that the round is over and another one follows.
    fn next_round(&mut self);

    /// A copy of the current state, to go back to if the next round fails.
    fn copy(&self) -> Box<dyn AnswerReader>;

    /// The end of the answer without calls of ours: for a stream the events that are still missing, otherwise
    /// the whole answer.
    fn finish(&self, stream: bool, ending: &Ending<'_>) -> Option<String>;
}

/// Figures of a provider's usage that add up over rounds.
#[derive(Clone, Debug)]
pub(crate) struct Figures<const N: usize> {
    names: [&'static str; N],
    /// The sums of all rounds before this one.
    spent: [u64; N],
    /// The figures of this round; a later figure replaces an earlier one.
    round: [Option<u64>; N],
}

impl<const N: usize> Figures<N> {
    pub(crate) fn new(names: [&'static str; N]) -> Self {
        Self { names, spent: [0; N], round: [None; N] }
    }

    pub(crate) fn read(&mut self, usage: &str) {
        let Some(members) = json::object(usage) else { return };
        for (figure, name) in self.round.iter_mut().zip(self.names) {
            if let Some(count) = json::get(&members, name).and_then(json::number) {
                *figure = Some(count);
            }
        }
    }

    pub(crate) fn next_round(&mut self) {
        for (spent, figure) in self.spent.iter_mut().zip(&mut self.round) {
            *spent += figure.take().unwrap_or(0);
        }
    }

    /// `usage` with the figures of all rounds.
    pub(crate) fn total(&self, usage: &str) -> Option<String> {
        let totals: Vec<(&str, String)> = self
            .names
            .iter()
            .zip(self.spent.iter().zip(self.round))
            .filter(|(_, (spent, figure))| **spent > 0 || figure.is_some())
            .map(|(name, (spent, figure))| (*name, (spent + figure.unwrap_or(0)).to_string()))
            .collect();
        json::with(if usage.starts_with('{') { usage } else { "{}" }, &json::borrowed(&totals))
    }
}

/// The number of characters of a text: the position of a call after it.
pub(crate) fn characters<'a>(texts: impl Iterator<Item = &'a str>) -> u32 {
    u32::try_from(texts.map(|text| text.chars().count()).sum::<usize>()).unwrap_or(u32::MAX)
}
