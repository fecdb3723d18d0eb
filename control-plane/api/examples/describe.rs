//! Writes the descriptor set of the contract. `baseline/` keeps one for each release.
//!
//!     cargo run -p headroom-api --example describe -- control-plane/api/baseline/0.1.binpb

use std::error::Error;
use std::{env, fs};

use prost_reflect::prost::Message as _;

#[path = "../tests/contract/descriptors.rs"]
mod descriptors;

fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("expected the file to write")?;
    let mut descriptors = descriptors::current()?;
    // Comments are not part of the contract.
    descriptors.file.iter_mut().for_each(|file| file.source_code_info = None);
    Ok(fs::write(file, descriptors.encode_to_vec())?)
}
