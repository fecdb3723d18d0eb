//! The OCI image from which Istio and Envoy Gateway load the filter.
//!
//! It is the "compat" variant of the Wasm image specification: an ordinary OCI image, like the result of
//! `FROM scratch` and `COPY plugin.wasm ./`, with one gzipped layer that contains one file, and the
//! annotation `module.wasm.image/variant: compat` on its manifest. No clock, no randomness and no order of
//! a hash map goes into it: the same module and the same [`Labels`] give the same bytes.
//!
//! ```
//! use headroom_image::{Labels, build, read};
//!
//! let module = b"\0asm\x01\0\0\0";
//! let labels = Labels { version: "0.1.0".into(), revision: "abc".into(), created: 1_700_000_000 };
//! let files = build(module, &labels)?;
//! assert_eq!(read(&files)?.module, module);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod build;
mod files;
mod read;

pub use build::{BuildError, Labels, build};
pub use files::{FilesError, archive, from_archive, from_folder, to_folder};
pub use read::{Fault, Image, read};

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// An OCI layout: the bytes of each file by its path, with `/` between its parts.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The file name that Istio's agent and Envoy Gateway expect for the module.
const MODULE_NAME: &str = "plugin.wasm";
/// The annotation that distinguishes this variant from the one with its own media types.
const VARIANT: (&str, &str) = ("module.wasm.image/variant", "compat");
/// The folder of blobs, which are named by their digests.
const BLOBS: &str = "blobs/sha256/";
/// More than the module will ever have: longer files are refused before they are unpacked into memory.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Eight bytes with which every module begins: the magic number and version 1.
const MODULE_START: &[u8] = b"\0asm\x01\0\0\0";

/// SHA-256 as 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
