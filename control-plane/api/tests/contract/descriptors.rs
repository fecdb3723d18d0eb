use std::path::Path;

use prost_types::FileDescriptorSet;

/// The contract's files, compiled with protox, so that the machine needs no protoc.
pub(crate) fn current() -> Result<FileDescriptorSet, Box<dyn std::error::Error>> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut files = Vec::new();
    for entry in proto.join("headroom/v1").read_dir()? {
        files.extend(Some(entry?.path()).filter(|path| path.extension().is_some_and(|it| it == "proto")));
    }
    files.sort();
    Ok(protox::compile(files, [proto])?)
}
