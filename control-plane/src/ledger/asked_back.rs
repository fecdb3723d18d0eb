//! The names under which the sums of blocks count what forms left out, and what models asked back.

/// Separates the parts of a name. Kinds, forms and parts have none in them; a tool's name stands last.
pub(crate) const SEPARATOR: char = '/';

/// The name under which outputs of which something is left out are counted.
pub(crate) fn left_out(kind: &str, form: &str, tool: &str) -> String {
    [kind, form, tool].map(part).join("/")
}

/// The name under which what was asked back is counted.
pub(crate) fn asked_back(kind: &str, form: &str, what: &str, tool: &str) -> String {
    [kind, form, what, tool].map(part).join("/")
}

/// A part of a name: not empty, and but for the last without a separator.
fn part(name: &str) -> String {
    let name: String = name.chars().take(64).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}
