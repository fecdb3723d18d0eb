//! The modes of requests and the profiles of compression, by name.

use headroom_compress::Profile;

/// What happens to a matching request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// It is compressed.
    #[default]
    Optimize,
    /// It is measured and forwarded as it was.
    Audit,
    /// As `Audit`, and record and answer also say what would have been done.
    Simulate,
    /// It is passed.
    Off,
}

/// `compress` is the old name of `optimize`.
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
