//! The version of the forms that tool outputs get.
//!
//! A conversation is sent in full with every turn. An engine that gives an old output another form than
//! before changes every running conversation once; providers that bind reasoning to the text before it then
//! drop that reasoning. So a change of the forms is a change of the contract, with its own number, which
//! every record carries. `tests/engine/forms.rs` compares the number with the forms of the fixtures.

/// Raised if the form of any fixture differs from that of the last release. How: `make forms`, and a line in
/// CHANGELOG.md.
pub const FORMS_VERSION: u32 = 5;
