//! From a module to the files of an OCI layout.

use std::collections::HashMap;
use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use oci_spec::OciSpecError;
use oci_spec::image::{
    ANNOTATION_CREATED, ANNOTATION_LICENSES, ANNOTATION_REF_NAME, ANNOTATION_REVISION, ANNOTATION_TITLE,
    ANNOTATION_VERSION, Arch, Descriptor, DescriptorBuilder, Digest, HistoryBuilder,
    ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder, Os,
    RootFsBuilder, SCHEMA_VERSION,
};
use serde::Serialize;
use thiserror::Error;

use crate::{BLOBS, Files, MAX_FILE_BYTES, MODULE_NAME, MODULE_START, VARIANT, sha256};

/// The operating system of the module's target, `wasm32-wasip1`, in Go's spelling.
const OS: &str = "wasip1";
/// gzip's number for an unknown operating system.
const GZIP_UNKNOWN_OS: u8 = 255;

/// The image's labels.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Labels {
    /// The release, which is also the image's tag.
    pub version: String,
    /// The commit.
    pub revision: String,
    /// Seconds since the Unix epoch: the commit's time, so that a second build gives the same image.
    pub created: i64,
}

/// Why no image was built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The file is not a module.
    #[error("expected a WebAssembly module, which begins with \\0asm and version 1")]
    NoModule,
    /// The file is too long for every reader.
    #[error("the module has {0} bytes, more than the {MAX_FILE_BYTES} that are unpacked again")]
    TooLong(usize),
    /// The time is outside the calendar.
    #[error("{0} seconds since the epoch is no time")]
    Time(i64),
    /// The OCI types refuse their values.
    #[error("the image's description: {0}")]
    Oci(#[from] OciSpecError),
    /// The same, during serialization to JSON.
    #[error("the image's description: {0}")]
    Json(#[from] serde_json::Error),
    /// Writing to memory failed.
    #[error("the layer: {0}")]
    Layer(#[from] std::io::Error),
}

/// The files of an OCI layout with one image that contains `module`.
pub fn build(module: &[u8], labels: &Labels) -> Result<Files, BuildError> {
    if !module.starts_with(MODULE_START) {
        return Err(BuildError::NoModule);
    }
    if module.len() as u64 > MAX_FILE_BYTES {
        return Err(BuildError::TooLong(module.len()));
    }
    let created =
        Timestamp::from_second(labels.created).map_err(|_| BuildError::Time(labels.created))?.to_string();
    let mut files = Files::new();

    let archive = layer(module)?;
    let history = HistoryBuilder::default()
        .created(created.clone())
        .created_by(format!("COPY {MODULE_NAME} ./"))
        .build()?;
    let config = ImageConfigurationBuilder::default()
        .created(created.clone())
        .architecture(Arch::Wasm)
        .os(Os::Other(OS.to_owned()))
        .rootfs(
            RootFsBuilder::default()
                .typ("layers")
                .diff_ids([format!("sha256:{}", sha256(&archive))])
                .build()?,
        )
        .history([history])
        .build()?;
    let config = blob(&mut files, MediaType::ImageConfig, json(&config)?)?;
    let layer = blob(&mut files, MediaType::ImageLayerGzip, gzip(&archive)?)?;

    let annotations = HashMap::from(
        [
            VARIANT,
            (ANNOTATION_TITLE, "headroom filter"),
            (ANNOTATION_VERSION, &labels.version),
            (ANNOTATION_REVISION, &labels.revision),
            (ANNOTATION_CREATED, &created),
            (ANNOTATION_LICENSES, env!("CARGO_PKG_LICENSE")),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers([layer])
        .annotations(annotations)
        .build()?;
    let mut manifest = blob(&mut files, MediaType::ImageManifest, json(&manifest)?)?;
    // The tag for tools that copy a layout into a registry.
    manifest.set_annotations(Some(HashMap::from([(ANNOTATION_REF_NAME.to_owned(), labels.version.clone())])));

    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests([manifest])
        .build()?;
    files.insert("index.json".to_owned(), json(&index)?);
    let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
    files.insert("oci-layout".to_owned(), json(&layout)?);
    Ok(files)
}

fn blob(files: &mut Files, media_type: MediaType, bytes: Vec<u8>) -> Result<Descriptor, OciSpecError> {
    let digest = sha256(&bytes);
    let descriptor = DescriptorBuilder::default()
        .media_type(media_type)
        .size(bytes.len() as u64)
        .digest(Digest::try_from(format!("sha256:{digest}"))?)
        .build()?;
    files.insert(format!("{BLOBS}{digest}"), bytes);
    Ok(descriptor)
}

/// The OCI types keep annotations in hash maps, whose order changes from run to run.
fn json(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut value = serde_json::to_value(value)?;
    value.sort_all_objects();
    serde_json::to_vec(&value)
}

/// An archive of one file. Its time is the epoch, so that a commit that does not change the module does not
/// change the layer, which then need not be fetched again.
fn layer(module: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(module.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let mut archive = tar::Builder::new(Vec::with_capacity(module.len() + 4096));
    archive.append_data(&mut header, MODULE_NAME, module)?;
    archive.into_inner()
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder =
        GzBuilder::new().mtime(0).operating_system(GZIP_UNKNOWN_OS).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}
