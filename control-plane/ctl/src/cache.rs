//! `headroomctl cache`: the providers' prompt caches.

mod suggest;

use clap::{Args, Subcommand};

pub use self::suggest::SuggestArgs;

/// What to do about prompt caches.
#[derive(Args, Clone, Debug)]
pub struct CacheArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// What to do about prompt caches.
#[derive(Clone, Debug, Subcommand)]
pub enum CacheCommand {
    /// Write rules that move lines which change to the end of their system prompts
    #[command(after_help = suggest::EXAMPLES)]
    Suggest(SuggestArgs),
}

/// Does it.
pub async fn cache(args: &CacheArgs) -> anyhow::Result<()> {
    match &args.command {
        CacheCommand::Suggest(args) => suggest::suggest(args).await,
    }
}
