//! What sums are broken down by, and a bound on how many values each breakdown may have.
//!
//! Names come from requests, so anyone who can send one can invent them: beyond the bound a new
//! name is counted under [`OTHER`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// The value that stands for all beyond the bound.
pub const OTHER: &str = "other";
/// The value that stands for a name that the request did not give.
pub const UNKNOWN: &str = "unknown";
/// Characters kept of a name: long enough for every model and tool name in use.
const LONGEST_NAME: usize = 96;

/// What sums over requests, or over blocks, are broken down by.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Dimension {
    /// Not broken down.
    All,
    /// anthropic, openai, …
    Provider,
    /// The model as the request names it.
    Model,
    /// The client's software, as `x-headroom-stack` names it.
    Stack,
    /// The project that the request belongs to.
    Project,
    /// The wire format.
    Api,
    /// The outcome of the request.
    Outcome,
    /// Whose request it is; sums over the cache alone are broken down by it.
    Tenant,
    /// The outcome of the block: a compressor, or why it was skipped.
    BlockOutcome,
    /// The tool that produced the block.
    Tool,
    /// What the block contains.
    Kind,
    /// The savings file that history was imported from.
    Import,
    /// Of new blocks of which something is left out: kind, form and tool.
    LeftOut,
    /// What models asked back: kind, form, part and tool.
    AskedBack,
}

impl Dimension {
    /// Those that roll-ups by hour, day, week and month are kept for.
    pub const ROLLED_UP: [Self; 5] = [Self::All, Self::Provider, Self::Model, Self::Stack, Self::Project];

    /// Those that sums over the cache are broken down by.
    pub const OF_CACHE: [Self; 5] = [Self::All, Self::Model, Self::Project, Self::Stack, Self::Tenant];

    const NAMES: [(Self, &'static str); 14] = [
        (Self::All, "all"),
        (Self::Provider, "provider"),
        (Self::Model, "model"),
        (Self::Stack, "stack"),
        (Self::Project, "project"),
        (Self::Api, "api"),
        (Self::Outcome, "outcome"),
        (Self::Tenant, "tenant"),
        (Self::BlockOutcome, "block_outcome"),
        (Self::Tool, "tool"),
        (Self::Kind, "kind"),
        (Self::Import, "import"),
        (Self::LeftOut, "left_out"),
        (Self::AskedBack, "asked_back"),
    ];

    /// The name in the store and in queries.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(dimension, _)| *dimension == self).map_or("", |(_, name)| name)
    }

    /// The dimension of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(dimension, _)| *dimension)
    }

    /// Values counted one by one. A stack's bound is upstream's; the others leave room for a large
    /// installation and keep the store and `/metrics` small.
    pub fn max_values(self) -> usize {
        match self {
            Self::All => 1,
            Self::Provider | Self::Api | Self::Outcome | Self::Import => 16,
            Self::Stack | Self::Kind => 32,
            Self::Model | Self::BlockOutcome => 64,
            Self::Project | Self::Tool | Self::Tenant => 128,
            Self::LeftOut => 512,
            Self::AskedBack => 1_024,
        }
    }
}

/// The values met so far, per dimension.
#[derive(Debug, Default)]
pub struct Labels {
    met: Mutex<BTreeMap<Dimension, BTreeSet<String>>>,
}

impl Labels {
    /// Begins with what the store already tells apart.
    pub fn knowing(values: impl IntoIterator<Item = (Dimension, String)>) -> Self {
        let mut met: BTreeMap<Dimension, BTreeSet<String>> = BTreeMap::new();
        for (dimension, value) in values {
            met.entry(dimension).or_default().insert(value);
        }
        Self { met: Mutex::new(met) }
    }

    /// The value under which a name is counted: itself, tidied; [`UNKNOWN`]; or [`OTHER`].
    pub fn value(&self, dimension: Dimension, name: &str) -> String {
        let name = tidy(name);
        if name.is_empty() {
            return UNKNOWN.to_owned();
        }
        let mut met = self.met.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let values = met.entry(dimension).or_default();
        if values.contains(&name) {
            return name;
        }
        if values.len() >= dimension.max_values() {
            return OTHER.to_owned();
        }
        values.insert(name.clone());
        name
    }
}

/// A name without control characters or blanks around it, cut to a bounded length.
pub fn tidy(name: &str) -> String {
    name.trim().chars().take(LONGEST_NAME).map(|c| if c.is_control() { '_' } else { c }).collect()
}

/// Whether a name may be counted as a stack: `^[a-z][a-z0-9_]{0,63}$`.
pub fn is_stack(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && name.len() <= 64
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_names_end_up_under_other() {
        let labels = Labels::knowing([(Dimension::Model, "m0".to_owned())]);
        for n in 0..Dimension::Model.max_values() {
            assert_eq!(labels.value(Dimension::Model, &format!("m{n}")), format!("m{n}"));
        }
        assert_eq!(labels.value(Dimension::Model, "one more"), OTHER);
        assert_eq!(labels.value(Dimension::Model, "m3"), "m3");
        assert_eq!(labels.value(Dimension::Provider, " \t "), UNKNOWN);
    }

    #[test]
    fn a_name_is_bounded_and_printable() {
        assert_eq!(tidy("a\nb\u{7f}"), "a_b_");
        assert_eq!(tidy(&"é".repeat(1000)).chars().count(), LONGEST_NAME);
    }

    #[test]
    fn a_stack_is_a_slug() {
        assert!(is_stack("wrap_claude") && is_stack("a"));
        for bad in ["", "1a", "A", "a-b", "a b", &"a".repeat(65)] {
            assert!(!is_stack(bad), "{bad}");
        }
    }

    #[test]
    fn every_dimension_is_found_by_its_name() {
        for (dimension, name) in Dimension::NAMES {
            assert_eq!(dimension.name(), name);
            assert_eq!(Dimension::from_name(name), Some(dimension));
        }
    }
}
