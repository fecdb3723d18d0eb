//! Reads the module from the files of an OCI layout, and verifies everything.

use std::io::Read as _;

use flate2::bufread::GzDecoder;
use oci_spec::image::{
    Descriptor, DigestAlgorithm, ImageConfiguration, ImageIndex, ImageManifest, MediaType, OciLayout,
};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::{BLOBS, Files, MAX_FILE_BYTES, MODULE_NAME, MODULE_START, VARIANT, sha256};

/// An image in a registry, and the module that Istio's agent would extract.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    /// SHA-256 of the manifest, by which the image is pinned: `…@sha256:<this>`.
    pub digest: String,
    /// The tag.
    pub tag: Option<String>,
    /// The module.
    pub module: Vec<u8>,
}

/// Why a layout is not the image of a filter.
#[derive(Debug, Error)]
pub enum Fault {
    /// A required file is missing.
    #[error("{0} is missing")]
    Missing(String),
    /// A file without a reference.
    #[error("{0} belongs to nothing")]
    Stray(String),
    /// Not JSON, or not of this type.
    #[error("{path}: {error}")]
    Json {
        /// Which file.
        path: String,
        /// Why.
        error: serde_json::Error,
    },
    /// A newer version of the layout.
    #[error("oci-layout: expected version 1.0.0, found {0:?}")]
    Layout(String),
    /// Not exactly one.
    #[error("expected one {what}, found {found}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
    },
    /// A media type that readers would not accept.
    #[error("{what}: expected the media type {expected}, found {found}")]
    Type {
        /// Of what.
        what: &'static str,
        /// From the specification.
        expected: MediaType,
        /// From the layout.
        found: String,
    },
    /// A digest other than SHA-256.
    #[error("{0}: expected a sha256 digest")]
    Algorithm(String),
    /// The bytes do not match the name.
    #[error("{path}: the content has {bytes} bytes and the digest {digest}, expected {expected_bytes}")]
    Content {
        /// Which file.
        path: String,
        /// Its length.
        bytes: usize,
        /// Its digest.
        digest: String,
        /// The length in its descriptor.
        expected_bytes: u64,
    },
    /// The annotation is missing, so readers may expect the other variant.
    #[error("the manifest has no annotation {}: {}", VARIANT.0, VARIANT.1)]
    Variant,
    /// The configuration belongs to another layer.
    #[error("the configuration names the layers {found:?}, expected sha256:{expected}")]
    DiffId {
        /// From the configuration.
        found: Vec<String>,
        /// SHA-256 of the unpacked layer.
        expected: String,
    },
    /// More than this crate would ever pack.
    #[error("the layer unpacks to more than {MAX_FILE_BYTES} bytes")]
    TooLong,
    /// Broken, or more than it should be.
    #[error("the layer: {0}")]
    Layer(#[from] std::io::Error),
    /// Bytes after the end of the layer's formats.
    #[error("the layer goes on after its end")]
    Trailing,
    /// Another file, or a link.
    #[error("the layer holds {0:?}, expected the file {MODULE_NAME}")]
    Entry(String),
    /// The file with the module's name is not a module.
    #[error("{MODULE_NAME} is no WebAssembly module")]
    NoModule,
}

/// The image in a layout, or the first fault.
pub fn read(files: &Files) -> Result<Image, Fault> {
    let layout: OciLayout = parse("oci-layout", file(files, "oci-layout")?)?;
    if layout.image_layout_version() != "1.0.0" {
        return Err(Fault::Layout(layout.image_layout_version().clone()));
    }
    let index: ImageIndex = parse("index.json", file(files, "index.json")?)?;
    let described = only("image in the index", index.manifests())?;
    let (manifest_path, bytes) = blob(files, "manifest", described, MediaType::ImageManifest)?;
    let manifest: ImageManifest = parse(&manifest_path, bytes)?;
    // Istio reads a manifest with Docker's type by other rules.
    if let Some(found) = manifest.media_type().as_ref().filter(|found| **found != MediaType::ImageManifest) {
        let found = found.to_string();
        return Err(Fault::Type { what: "manifest", expected: MediaType::ImageManifest, found });
    }
    let annotation =
        manifest.annotations().as_ref().and_then(|all| all.get(VARIANT.0)).is_some_and(|is| is == VARIANT.1);
    if !annotation {
        return Err(Fault::Variant);
    }
    let (config_path, bytes) = blob(files, "configuration", manifest.config(), MediaType::ImageConfig)?;
    let config: ImageConfiguration = parse(&config_path, bytes)?;
    let layer = only("layer", manifest.layers())?;
    let (layer_path, bytes) = blob(files, "layer", layer, MediaType::ImageLayerGzip)?;

    let known = ["oci-layout", "index.json", &manifest_path, &config_path, &layer_path];
    if let Some(stray) = files.keys().find(|path| !known.contains(&path.as_str())) {
        return Err(Fault::Stray(stray.clone()));
    }
    let archive = unzip(bytes)?;
    let expected = sha256(&archive);
    let diff_ids = config.rootfs().diff_ids();
    if *diff_ids != [format!("sha256:{expected}")] {
        return Err(Fault::DiffId { found: diff_ids.clone(), expected });
    }
    let module = only_file(&archive)?;
    if !module.starts_with(MODULE_START) {
        return Err(Fault::NoModule);
    }
    let tag = described.annotations().as_ref().and_then(|all| all.get(oci_spec::image::ANNOTATION_REF_NAME));
    Ok(Image { digest: described.digest().digest().to_owned(), tag: tag.cloned(), module })
}

fn file<'a>(files: &'a Files, path: &str) -> Result<&'a [u8], Fault> {
    files.get(path).map(Vec::as_slice).ok_or_else(|| Fault::Missing(path.to_owned()))
}

fn parse<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| Fault::Json { path: path.to_owned(), error })
}

fn only<'a>(what: &'static str, all: &'a [Descriptor]) -> Result<&'a Descriptor, Fault> {
    match all {
        [one] => Ok(one),
        all => Err(Fault::Count { what, found: all.len() }),
    }
}

fn blob<'a>(
    files: &'a Files,
    what: &'static str,
    descriptor: &Descriptor,
    expected: MediaType,
) -> Result<(String, &'a [u8]), Fault> {
    if *descriptor.media_type() != expected {
        return Err(Fault::Type { what, expected, found: descriptor.media_type().to_string() });
    }
    let digest = descriptor.digest();
    if *digest.algorithm() != DigestAlgorithm::Sha256 {
        return Err(Fault::Algorithm(digest.to_string()));
    }
    let path = format!("{BLOBS}{}", digest.digest());
    let bytes = file(files, &path)?;
    let found = sha256(bytes);
    if bytes.len() as u64 != descriptor.size() || found != digest.digest() {
        let expected_bytes = descriptor.size();
        return Err(Fault::Content { path, bytes: bytes.len(), digest: found, expected_bytes });
    }
    Ok((path, bytes))
}

fn unzip(mut bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut unpacked = Vec::new();
    // The tar format puts a header and two blocks of zeros around the file.
    let limit = MAX_FILE_BYTES + 4096;
    GzDecoder::new(&mut bytes).take(limit + 1).read_to_end(&mut unpacked)?;
    if unpacked.len() as u64 > limit {
        return Err(Fault::TooLong);
    }
    if !bytes.is_empty() {
        return Err(Fault::Trailing);
    }
    Ok(unpacked)
}

fn only_file(archive: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut archive = tar::Archive::new(archive);
    let mut module = Vec::new();
    {
        let mut entries = archive.entries()?;
        let mut entry = entries.next().ok_or(Fault::Count { what: "file in the layer", found: 0 })??;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if path != MODULE_NAME || entry.header().entry_type() != tar::EntryType::Regular {
            return Err(Fault::Entry(path));
        }
        entry.read_to_end(&mut module)?;
        if entries.next().is_some() {
            return Err(Fault::Count { what: "file in the layer", found: 2 });
        }
    }
    if archive.into_inner().iter().any(|byte| *byte != 0) {
        return Err(Fault::Trailing);
    }
    Ok(module)
}
