//! What may be done to requests, and how hard outputs are pressed, by name.

use headroom_compress::Profile;

/// What happens to a matching request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// It is compressed.
    #[default]
    Optimize,
    /// It is measured and forwarded as it was.
    Audit,
    /// As `Audit`, and record and answer say what would have become of it.
    Simulate,
    /// It is passed.
    Off,
}

/// `compress` is what `optimize` was called at first.
pub(crate) const MODES: &[(&str, Mode)] = &[
    ("optimize", Mode::Optimize),
    ("compress", Mode::Optimize),
    ("audit", Mode::Audit),
    ("simulate", Mode::Simulate),
    ("off", Mode::Off),
];

pub(crate) const PROFILES: &[(&str, Profile)] = &[
    ("lossless", Profile::Lossless),
    ("conservative", Profile::Conservative),
    ("balanced", Profile::Balanced),
    ("aggressive", Profile::Aggressive),
];
