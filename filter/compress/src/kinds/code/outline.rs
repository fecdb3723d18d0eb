//! The functions of a file and the statements of their bodies, by lines.

use std::ops::Range;

/// The findings of a scanner. Lines count from 0.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// Sorted by where their bodies begin, so an inner function comes after its outer one.
    pub(super) functions: Vec<Function>,
    pub(super) blocks: Vec<Block>,
    /// Whether a statement that stays may need one that is left out: C's compilers need every declaration.
    pub(super) whole: bool,
    /// For each line: whether the end of the line before it is inside a string, a comment or a directive.
    pub(super) inside: Vec<bool>,
    /// For each line: whether it has a preprocessor directive.
    pub(super) directives: Vec<bool>,
}

/// A function with a body.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// The place of its name in the source; empty if it has none.
    pub(super) name: Range<usize>,
    /// Its body.
    pub(super) block: usize,
    /// The function around it.
    pub(super) parent: Option<usize>,
}

/// A sequence of statements.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// The line on which it opens. It stays; its statements may begin on it.
    pub(super) open: usize,
    /// The line on which it is closed, after its statements. `None`: the text ends first.
    pub(super) close: Option<usize>,
    pub(super) statements: Vec<Statement>,
}

/// A statement.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) first: usize,
    pub(super) last: usize,
    /// Its blocks, of which parts may be left out while the rest stays.
    pub(super) blocks: Vec<usize>,
    /// Whether it deals with failure.
    pub(super) raises: bool,
    /// Whether it is the documentation of its function.
    pub(super) documents: bool,
    /// Whether something in it needs its surroundings.
    pub(super) keeps: bool,
}

impl Outline {
    /// The outline of a source with this many lines, before anything is known.
    pub(super) fn of_lines(lines: usize) -> Self {
        Self { inside: vec![false; lines], directives: vec![false; lines], ..Self::default() }
    }

    /// Notes that the lines after `first` up to `last` begin inside of something.
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
