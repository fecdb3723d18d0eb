//! The functions of a file, and the statements of their bodies, by lines.

use std::ops::Range;

/// What a scanner has found. Lines count from 0.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// In the order in which their bodies begin; one that stands in another comes behind it.
    pub(super) functions: Vec<Function>,
    pub(super) blocks: Vec<Block>,
    /// A statement that stays may need one that goes, as where C's judges look for declarations.
    pub(super) whole: bool,
    /// Of each line: whether the end of the line before it lies inside a string, a comment or a directive.
    pub(super) inside: Vec<bool>,
    /// Of each line: whether a directive of the preprocessor stands on it.
    pub(super) directives: Vec<bool>,
}

/// A function with a body.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// Where its name stands in the source; empty where it has none.
    pub(super) name: Range<usize>,
    /// Its body.
    pub(super) block: usize,
    /// The function around it.
    pub(super) parent: Option<usize>,
}

/// Statements that stand together.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// The line on which it opens, which stays; its statements may begin there.
    pub(super) open: usize,
    /// The line on which it is closed, behind its statements. `None`: the text ends first.
    pub(super) close: Option<usize>,
    pub(super) statements: Vec<Statement>,
}

/// A statement.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) first: usize,
    pub(super) last: usize,
    /// The blocks of which something may be left out while the rest of it stays.
    pub(super) blocks: Vec<usize>,
    /// It deals with failure.
    pub(super) raises: bool,
    /// It is what documents its function.
    pub(super) documents: bool,
    /// Something in it needs what stands around it.
    pub(super) keeps: bool,
}

impl Outline {
    /// An outline of a source of so many lines, of which nothing is known yet.
    pub(super) fn of_lines(lines: usize) -> Self {
        Self { inside: vec![false; lines], directives: vec![false; lines], ..Self::default() }
    }

    /// Notes that the lines behind `first` up to `last` begin inside of something.
    pub(super) fn spans(&mut self, first: usize, last: usize) {
        for line in first + 1..=last {
            if let Some(inside) = self.inside.get_mut(line) {
                *inside = true;
            }
        }
    }

    pub(super) fn is_inside(&self, line: usize) -> bool {
        self.inside.get(line).copied().unwrap_or(false)
    }
}
