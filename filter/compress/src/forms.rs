//! The version of the forms that tool outputs get.
//!
//! A conversation is sent in full with every turn. An engine that gives an old output another form than before
//! rewrites every conversation that is under way, once; providers that bind reasoning to what stood before it then
//! drop that reasoning. So a change of the forms is a change of the contract, with a number of its own, which every
//! record carries. `tests/forms.rs` holds the number against what the fixtures become.

/// Raised where any fixture becomes other bytes than in the last release. How: `make forms`, and a line in
/// CHANGELOG.md.
pub const FORMS_VERSION: u32 = 5;
