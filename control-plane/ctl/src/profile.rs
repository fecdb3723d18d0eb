//! The engine's profiles as an option of the command line.

use clap::ValueEnum;
use headroom_compress::Profile;

/// How strongly tool outputs may be shortened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum ProfileName {
    /// Only forms from which the original can be derived
    Lossless,
    /// Lossy on large outputs only, keeping more of each
    Conservative,
    /// The default
    #[default]
    Balanced,
    /// Lossy earlier, keeping less of each
    Aggressive,
}

impl ProfileName {
    /// The name in options and in the plugin configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lossless => "lossless",
            Self::Conservative => "conservative",
            Self::Balanced => "balanced",
            Self::Aggressive => "aggressive",
        }
    }
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Lossless => Self::Lossless,
            ProfileName::Conservative => Self::Conservative,
            ProfileName::Balanced => Self::Balanced,
            ProfileName::Aggressive => Self::Aggressive,
        }
    }
}
