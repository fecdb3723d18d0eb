//! The documents: outputs of every kind, with the forms that the engine has for them.
//!
//! They are made from the same numbers in every run. Values that questions ask for follow no pattern, so that they
//! cannot be guessed from their neighbours.

mod code;
mod data;
mod files;
mod large;
mod pages;
mod repeated;
mod runs;
mod sources;
mod tables;

use crate::document::Document;

/// All of them.
pub fn all() -> Vec<Document> {
    [
        data::logs(),
        data::json(),
        data::values(),
        tables::all(),
        files::all(),
        code::all(),
        runs::all(),
        pages::all(),
        repeated::all(),
        large::all(),
        sources::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Numbers without a pattern (xorshift).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % most.max(1)
    }

    pub(crate) fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        let at = self.below(of.len() as u64);
        usize::try_from(at).ok().and_then(|at| of.get(at)).copied().unwrap_or_default()
    }
}

/// Lines by their number, from 0.
pub(crate) fn lines(count: u64, mut line: impl FnMut(u64) -> String) -> String {
    (0..count).map(|at| line(at) + "\n").collect()
}
