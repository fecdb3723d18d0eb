//! Prints the engine's times as JSON: `engine-timing FOLDER`, with a folder of conversations. Built
//! natively and for wasm32-wasip1, to compare the two.

use std::path::Path;

use headroom_benches::bodies::exchanges;
use headroom_benches::timing::timings;

#[allow(clippy::print_stdout, reason = "the figures are what it is for")]
fn main() -> anyhow::Result<()> {
    let folder =
        std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("expected a folder of conversations"))?;
    println!("{}", serde_json::to_string(&timings(&exchanges(Path::new(&folder))))?);
    Ok(())
}
