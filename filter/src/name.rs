//! Names that a table can show.

/// As long as names of models, tenants and stacks get.
const MAX_NAME_BYTES: usize = 128;

/// A name out of a body, cut to a length that a table can show.
pub(crate) fn name(text: &str) -> String {
    text.chars().take(MAX_NAME_BYTES).filter(|c| !c.is_control()).collect()
}
