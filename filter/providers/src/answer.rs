//! What the tool loop asks of a format: what a round of an answer says, and how rounds become one answer.

use crate::arguments::Asked;
use crate::json;
use crate::memory_tools;
use crate::own_tools::OwnTool;
use crate::rounds::{Before, Retrieval};

/// A call of a tool of ours.
#[derive(Clone, Debug, Default)]
pub struct OwnCall {
    /// The call's id, which its result names; empty where the format has no ids.
    pub id: String,
    /// Which of our tools it is for.
    pub tool: OwnTool,
    /// The tool's name.
    pub name: String,
    /// What it is given, as the model wrote it: JSON where the model wrote JSON.
    pub arguments: String,
    /// Where it stands in the turn as the client gets it: see [`Step`].
    pub place: u32,
    /// The same for its reasoning.
    pub reasoning: u32,
}

impl OwnCall {
    /// Whether it saves, changes or deletes something.
    pub fn changes_memory(&self) -> bool {
        self.tool == OwnTool::Memory && !memory_tools::only_reads(&self.name, &self.arguments)
    }

    /// What a call of the retrieve tool asks for.
    pub fn asked(&self) -> Asked {
        Asked::read(&self.arguments)
    }
}

/// How an answer ends that is not the provider's own.
#[derive(Debug, Default)]
pub struct Ending<'a> {
    /// For the client to read, where something is missing.
    pub note: Option<&'a str>,
    /// The id of a client's call, and the one that it gets.
    pub carrier: Option<(&'a str, &'a str)>,
    /// Calls of ours in the last round are dropped: nothing puts them back.
    pub drops_last: bool,
}

impl Ending<'_> {
    pub(crate) fn is_traced(&self) -> bool {
        self.carrier.is_some()
    }
}

/// A call of ours as a continuation spells it.
pub struct WrittenCall<'a> {
    /// `None`: as the model spelled it.
    pub retrieval: Option<Retrieval>,
    /// What the model reads.
    pub text: &'a str,
    /// It is an error.
    pub is_error: bool,
}

/// One provider's answers: what a round says, and how rounds become one answer.
pub trait AnswerReader: std::fmt::Debug {
    /// About how many bytes it keeps.
    fn bytes(&self) -> usize;

    /// Reads one event of a stream. `None`: not what the format promises.
    fn event(&mut self, name: &str, data: &str) -> Option<()>;

    /// Whether the event just read is held, with all that were held before it.
    fn holding(&self) -> bool;

    /// Whether a call of ours is among what is held.
    fn holds_ours(&self) -> bool {
        self.holding()
    }

    /// Reads a whole answer. `None`: not what the format promises.
    fn document(&mut self, answer: &str) -> Option<()>;

    /// Whether the round has come to its end.
    fn is_complete(&self) -> bool;

    /// The round's calls in their order: true for ours.
    fn calls(&self) -> Vec<bool>;

    /// Whether the round's first call is ours and carries a signature that counts for the calls behind it.
    fn signs_ours(&self) -> bool {
        false
    }

    /// The round's calls of our tools, as far as they can be read.
    fn wanted(&self) -> Vec<OwnCall>;

    /// The first of the round's calls of the client's tools that it has not got yet: the trace goes into its
    /// id. `None` where there is none, or where the format cannot carry a trace.
    fn carrier(&self) -> Option<String>;

    /// What the client gets of the turn before a place.
    fn before(&self, place: u32, reasoning: u32) -> Before;

    /// The request that continues this one: with the model's turn without the client's calls, and the
    /// results of ours.
    fn continuation(&self, request: &str, written: &[WrittenCall<'_>]) -> Option<String>;

    /// Takes note that the round is over and another one follows.
    fn next_round(&mut self);

    /// As it is now, to come back to when the next round fails.
    fn copy(&self) -> Box<dyn AnswerReader>;

    /// The end of the answer without calls of ours: for a stream the events that are still missing, otherwise the
    /// whole answer.
    fn finish(&self, stream: bool, ending: &Ending<'_>) -> Option<String>;
}

/// Figures of a provider's usage that add up over rounds.
#[derive(Clone, Debug)]
pub(crate) struct Figures<const N: usize> {
    names: [&'static str; N],
    /// Of all rounds before this one.
    spent: [u64; N],
    /// Of this round; a later figure replaces an earlier one.
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

/// The number of characters of a text, which is where a call behind it stands.
pub(crate) fn characters<'a>(texts: impl Iterator<Item = &'a str>) -> u32 {
    u32::try_from(texts.map(|text| text.chars().count()).sum::<usize>()).unwrap_or(u32::MAX)
}
