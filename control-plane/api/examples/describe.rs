//! Writes the descriptor set of the contract. `baseline/` keeps one for each release.
//!
//!     cargo run -p headroom-api --example describe -- control-plane/api/baseline/0.1.binpb

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use prost_reflect::prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("expected the file to write")?;
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut descriptors = protox::compile(
        ["headroom/v1/answers.proto", "headroom/v1/control_plane.proto", "headroom/v1/originals.proto"]
            .map(|name| proto.join(name)),
        [&proto],
    )?;
    // Comments are not part of the contract.
    descriptors.file.iter_mut().for_each(|file| file.source_code_info = None);
    Ok(fs::write(file, descriptors.encode_to_vec())?)
}
