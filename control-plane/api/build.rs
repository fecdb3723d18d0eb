//! Compiles `proto/` with protox, so that the machine needs no protoc.

use std::{env, path::Path};

const PROTOS: [&str; 5] = [
    "proto/headroom/v1/answers.proto",
    "proto/headroom/v1/control_plane.proto",
    "proto/headroom/v1/memory.proto",
    "proto/headroom/v1/originals.proto",
    "proto/headroom/v1/text_model.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let services = env::var_os("CARGO_FEATURE_GRPC").is_some();
    let out = env::var("OUT_DIR")?;
    tonic_prost_build::configure()
        .build_client(services)
        .build_server(services)
        .out_dir(Path::new(&out))
        .compile_fds(descriptors)?;
    Ok(())
}
