//! The explanation of a block's outcome (I8): what its call suggested, and which forms were tried.

use std::cell::RefCell;

use crate::outcome::{Compressor, Kind};
use crate::tokens::Encoding;

/// The reasons for the outcome of one block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// The kind that the call suggests, by the tool or by the file that it names. It counts for a text
    /// without a shape of its own.
    pub hint: Option<Kind>,
    /// How many of [`PRESSURE_TOKENS`](crate::PRESSURE_TOKENS) the conversation had passed before it.
    pub pressure: u8,
    /// The forms that were tried, in order. Those of texts in values come before those of the value.
    pub attempts: Vec<Attempt>,
}

/// A form that was tried on a text, or on a part of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// What the text contains.
    pub kind: Kind,
    /// The compressor that made the form.
    pub compressor: Compressor,
    /// Whether it leaves something out.
    pub lossy: bool,
    /// Tokens of the text before.
    pub tokens_before: usize,
    /// Tokens of the form.
    pub tokens_after: usize,
    /// Whether it was taken, or why not.
    pub verdict: Choice,
}

/// The decision about a form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Choice {
    /// It is shorter, and replaces the text from then on.
    Taken,
    /// It leaves something out, but keeps too much to be worth that.
    KeepsTooMuch,
    /// It would not make the text in a value shorter.
    NoGain,
}

impl Choice {
    /// The decision in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::KeepsTooMuch => "not taken: keeps too much to leave anything out",
            Self::NoGain => "not taken: saves no tokens",
        }
    }
}

/// Collects the attempts on one block.
#[derive(Debug)]
pub(crate) struct Attempts {
    encoding: Encoding,
    list: RefCell<Vec<Attempt>>,
}

impl Attempts {
    pub(crate) fn new(encoding: Encoding) -> Self {
        Self { encoding, list: RefCell::default() }
    }

    pub(crate) fn add(
        &self,
        kind: Kind,
        (compressor, lossy): (Compressor, bool),
        before: &str,
        after: &str,
        verdict: Choice,
    ) {
        let (tokens_before, tokens_after) = (self.encoding.count(before), self.encoding.count(after));
        self.list.borrow_mut().push(Attempt {
            kind,
            compressor,
            lossy,
            tokens_before,
            tokens_after,
            verdict,
        });
    }

    pub(crate) fn into_list(self) -> Vec<Attempt> {
        self.list.into_inner()
    }
}
