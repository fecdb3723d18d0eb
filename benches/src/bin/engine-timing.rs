//! Prints the engine's times as JSON: `engine-timing FOLDER`, with a folder of conversations. Built
//! natively and for wasm32-wasip1, to compare the two.

use std::path::Path;

use headroom_benches::bodies::exchanges;
use headroom_benches::timing::timings;

#[allow(clippy::print_stdout, reason = "the figures are what it is for")]
#[allow(clippy::disallowed_methods, reason = "see the last line")]
fn main() -> anyhow::Result<()> {
    let folder =
        std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("expected a folder of conversations"))?;
    println!("{}", serde_json::to_string(&timings(&exchanges(Path::new(&folder))))?);
    // Node 20 often crashes with a segmentation fault when a module ends whose memory has grown by more than a
    // hundred megabytes.
    std::process::exit(0)
}
