//! The committed Rust of the contract is what its files make. `make proto` writes it.

use std::path::Path;
use std::{env, fs};

#[path = "contract/descriptors.rs"]
mod descriptors;

/// Committed, so that no build of the filter or of the programs compiles protobuf's compilers first.
#[test]
fn the_generated_rust_is_that_of_the_contract() {
    let made = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .client_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"grpc\")]")
        .out_dir(made.path())
        .compile_fds(descriptors::current().unwrap())
        .unwrap();
    let made = fs::read_to_string(made.path().join("headroom.v1.rs")).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/headroom.v1.rs");
    if env::var_os("WRITE_PROTO").is_some() {
        fs::write(&path, &made).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == made,
        "src/headroom.v1.rs is not what proto/ makes: write it with `make proto`"
    );
}
