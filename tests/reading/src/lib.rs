//! The reading test: documents in four arms, questions about them, and a scorer.
//!
//! A document is one to three tool outputs. A reader sees them as the tool printed them (`original`), in the forms of
//! the lossless profile, in those of the default one, or, where they are source files, in those of `code_aware`, and
//! answers by reading alone. The right answer comes from the original: [`Ask`](question::Ask) reads nothing else. An
//! answer that is wrong in an arm and right with the original is a fault of the form.

pub mod arm;
pub mod document;
pub mod documents;
pub mod folder;
pub mod keys;
pub mod original;
pub mod question;
pub mod score;
