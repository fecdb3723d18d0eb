//! Names that fit into a table.

/// Longer than names of models, tenants and stacks usually are.
const MAX_NAME_BYTES: usize = 128;

/// A name from a body, cut to this length.
pub(crate) fn name(text: &str) -> String {
    text.chars().take(MAX_NAME_BYTES).filter(|c| !c.is_control()).collect()
}
