//! How the old outputs of a conversation were rewritten, for reports.

/// What was rewritten so far.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RewriteHistory {
    /// How often the conversation was rewritten so far.
    pub epochs: u32,
    /// How many boundaries it has passed.
    pub boundaries: u32,
    /// What was done at the last boundary.
    pub strategy: Strategy,
    /// What would have been done there, but does not pay.
    pub unpaid: Strategy,
    /// This request is the first that is rewritten so.
    pub now: bool,
    /// Reads of files that were edited later.
    pub stale: u32,
    /// Reads of files that were read again.
    pub superseded: u32,
    /// Outputs that were shortened.
    pub shortened: u32,
    /// Outputs that were dropped.
    pub dropped: u32,
    /// What all of it saves. Tokens in o200k_base.
    pub saved: u64,
}

/// What is done at a boundary.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Strategy {
    /// Nothing.
    #[default]
    None,
    /// Only reads are replaced that are of no use any more.
    ReadLifecycle,
    /// The window is passed by less than a tenth: old outputs are shortened.
    CompressFirst,
    /// It is passed by more: old outputs go, the least important first.
    DropByScore,
}

impl Strategy {
    /// Those that rewrite something.
    pub const REWRITING: [Self; 3] = [Self::ReadLifecycle, Self::CompressFirst, Self::DropByScore];

    /// The name in reports and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ReadLifecycle => "read_lifecycle",
            Self::CompressFirst => "compress_first",
            Self::DropByScore => "drop_by_score",
        }
    }
}
