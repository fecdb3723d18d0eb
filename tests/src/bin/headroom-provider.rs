//! The scripted provider as a program, for clients that are not written in Rust.

use anyhow::Result;
use clap::Parser;
use headroom_e2e::Provider;

/// Answers Anthropic, OpenAI and Gemini requests as their x-script header asks.
#[derive(Parser)]
struct Arguments {
    /// Loopback port; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the address is what the caller waits for")]
async fn main() -> Result<()> {
    let provider = Provider::start(Arguments::parse().port).await?;
    println!("http://{}", provider.address());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
