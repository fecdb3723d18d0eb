//! Images are reproducible, have the structure that Istio expects, and are verified when they are read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use headroom_image::{
    BuildError, Fault, Files, FilesError, Labels, archive, build, from_archive, from_folder, read, sha256,
    to_folder,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const MODULE: &[u8] = b"\0asm\x01\0\0\0 and the sections of a module";

fn labels() -> Labels {
    Labels { version: "1.2.3".into(), revision: "0123abc".into(), created: 1_700_000_000 }
}

fn image() -> Files {
    build(MODULE, &labels()).unwrap()
}

fn object(files: &Files, path: &str) -> Value {
    serde_json::from_slice(&files[path]).unwrap()
}

/// The path of the blob that a descriptor names.
fn blob(descriptor: &Value) -> String {
    format!("blobs/sha256/{}", descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap())
}

/// An image around other layer bytes, with every digest and length in order.
fn with_layer(layer: &[u8], unpacked: &[u8]) -> Files {
    rebuilt(&image(), |config, manifest, blobs| {
        config["rootfs"]["diff_ids"] = json!([format!("sha256:{}", sha256(unpacked))]);
        blobs.clear();
        blobs.insert(format!("blobs/sha256/{}", sha256(layer)), layer.to_vec());
        manifest["layers"][0]["digest"] = json!(format!("sha256:{}", sha256(layer)));
        manifest["layers"][0]["size"] = json!(layer.len());
    })
}

/// The image with its configuration, manifest and layers changed, and its digests corrected again.
fn rebuilt(files: &Files, change: impl FnOnce(&mut Value, &mut Value, &mut Files)) -> Files {
    let mut index = object(files, "index.json");
    let mut manifest = object(files, &blob(&index["manifests"][0]));
    let mut config = object(files, &blob(&manifest["config"]));
    let mut layers = BTreeMap::new();
    for layer in manifest["layers"].as_array().unwrap() {
        layers.insert(blob(layer), files[&blob(layer)].clone());
    }
    change(&mut config, &mut manifest, &mut layers);
    let mut put = |descriptor: &mut Value, value: &Value| {
        let bytes = serde_json::to_vec(value).unwrap();
        descriptor["digest"] = json!(format!("sha256:{}", sha256(&bytes)));
        descriptor["size"] = json!(bytes.len());
        layers.insert(blob(descriptor), bytes);
    };
    put(&mut manifest["config"], &config);
    put(&mut index["manifests"][0], &manifest);
    layers.insert("oci-layout".into(), files["oci-layout"].clone());
    layers.insert("index.json".into(), serde_json::to_vec(&index).unwrap());
    layers
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar_of(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

fn fault_of_archive(archive: &[u8]) -> String {
    read(&with_layer(&gzip(archive), archive)).unwrap_err().to_string()
}

#[test]
fn what_was_put_in_comes_out() {
    let files = image();
    let image = read(&files).unwrap();
    assert_eq!(image.module, MODULE);
    assert_eq!(image.tag.as_deref(), Some("1.2.3"));
    let manifest = &files[&format!("blobs/sha256/{}", image.digest)];
    assert_eq!(sha256(manifest), image.digest);
}

#[test]
fn the_types_are_those_that_istio_and_envoy_gateway_look_for() {
    let files = image();
    let index = object(&files, "index.json");
    let descriptor = &index["manifests"][0];
    assert_eq!(descriptor["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    let manifest = object(&files, &blob(descriptor));
    assert_eq!(manifest["schemaVersion"], 2);
    assert_eq!(manifest["annotations"]["module.wasm.image/variant"], "compat");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(1));
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let config = object(&files, &blob(&manifest["config"]));
    assert_eq!((&config["architecture"], &config["os"]), (&json!("wasm"), &json!("wasip1")));
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
}

#[test]
fn two_builds_give_the_same_bytes() {
    // The order of a hash map differs between two maps of one process, too.
    for _ in 0..20 {
        assert_eq!(image(), image());
    }
    assert_eq!(archive(&image(), 7).unwrap(), archive(&image(), 7).unwrap());
}

#[test]
fn a_commit_that_leaves_the_module_alone_leaves_the_layer_alone() {
    let layer = |labels: Labels| {
        let files = build(MODULE, &labels).unwrap();
        let manifest = object(&files, &blob(&object(&files, "index.json")["manifests"][0]));
        manifest["layers"].clone()
    };
    let later = Labels { revision: "fff".into(), created: 1_800_000_000, ..labels() };
    assert_eq!(layer(labels()), layer(later));
}

#[test]
fn the_folder_and_the_archive_hold_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/image");
    to_folder(&image(), &path).unwrap();
    assert_eq!(from_folder(&path).unwrap(), image());
    assert_eq!(from_archive(&archive(&image(), 0).unwrap()).unwrap(), image());

    let newer = build(MODULE, &Labels { version: "2".into(), ..labels() }).unwrap();
    to_folder(&newer, &path).unwrap();
    assert_eq!(from_folder(&path).unwrap(), newer, "nothing of the older one is left");
}

#[test]
fn a_folder_that_is_no_layout_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("precious"), "1").unwrap();
    assert!(matches!(to_folder(&image(), folder.path()), Err(FilesError::InTheWay(_))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_link_in_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    to_folder(&image(), &path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", path.join("blobs/sha256/link")).unwrap();
    assert!(matches!(from_folder(&path), Err(FilesError::Foreign(_))));
}

#[test]
fn an_archive_with_links_doubles_or_too_many_files_is_refused() {
    let link = tar_of(&[("index.json", tar::EntryType::Symlink, b"")]);
    assert!(matches!(from_archive(&link), Err(FilesError::Foreign(_))));
    let double = tar_of(&[
        ("oci-layout", tar::EntryType::Regular, b"1"),
        ("oci-layout", tar::EntryType::Regular, b"2"),
    ]);
    assert!(matches!(from_archive(&double), Err(FilesError::Foreign(_))));
    let names: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), tar::EntryType::Regular, &b""[..])).collect();
    assert!(matches!(from_archive(&tar_of(&many)), Err(FilesError::TooMuch(_))));
}

#[test]
fn what_is_no_module_is_not_packed() {
    for bytes in [&b""[..], b"\0asm", b"\0asm\x0d\0\x01\0 a component", b"#!/bin/sh\n"] {
        assert!(matches!(build(bytes, &labels()), Err(BuildError::NoModule)), "{bytes:?}");
    }
    let never = Labels { created: i64::MAX, ..labels() };
    assert!(matches!(build(MODULE, &never), Err(BuildError::Time(_))));
}

#[test]
fn a_missing_a_strange_and_a_changed_file_are_found() {
    for path in image().keys() {
        let mut files = image();
        files.remove(path);
        assert!(matches!(read(&files), Err(Fault::Missing(missing)) if missing == *path));
    }
    let mut files = image();
    files.insert("blobs/sha256/stray".into(), Vec::new());
    assert!(matches!(read(&files), Err(Fault::Stray(_))));
    for path in image().keys().filter(|path| path.starts_with("blobs/")) {
        let mut files = image();
        *files.get_mut(path).unwrap().last_mut().unwrap() ^= 1;
        assert!(matches!(read(&files), Err(Fault::Content { .. })), "{path}");
    }
}

#[test]
fn a_digest_that_leads_out_of_the_folder_is_no_digest() {
    for digest in ["sha256:../../../etc/passwd", "sha256:", "md5:d41d8cd98f00b204e9800998ecf8427e", "x"] {
        let mut files = image();
        let mut index = object(&files, "index.json");
        index["manifests"][0]["digest"] = json!(digest);
        files.insert("index.json".into(), serde_json::to_vec(&index).unwrap());
        assert!(matches!(read(&files), Err(Fault::Json { .. } | Fault::Algorithm(_))), "{digest}");
    }
}

#[test]
fn other_types_other_counts_and_no_annotation_are_refused() {
    type Change = fn(&mut Value, &mut Value);
    let cases: [(Change, &str); 7] = [
        (
            |_, manifest| {
                manifest["mediaType"] = json!("application/vnd.docker.distribution.manifest.v2+json")
            },
            "media type",
        ),
        (
            |_, manifest| {
                manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+zstd")
            },
            "media type",
        ),
        (
            |_, manifest| manifest["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json"),
            "media type",
        ),
        (
            |_, manifest| manifest["layers"] = json!([manifest["layers"][0], manifest["layers"][0]]),
            "expected one layer",
        ),
        (|_, manifest| manifest["annotations"] = json!({"module.wasm.image/variant": "oci"}), "annotation"),
        (|_, manifest| manifest["layers"][0]["size"] = json!(1), "content"),
        (
            |config, _| config["rootfs"]["diff_ids"] = json!([format!("sha256:{}", sha256(b""))]),
            "names the layers",
        ),
    ];
    for (change, expected) in cases {
        let files = rebuilt(&image(), |config, manifest, _| change(config, manifest));
        let fault = read(&files).unwrap_err().to_string();
        assert!(fault.contains(expected), "{expected}: {fault}");
    }
}

#[test]
fn a_layer_with_anything_but_the_module_is_refused() {
    let file = tar::EntryType::Regular;
    assert!(fault_of_archive(&tar_of(&[])).contains("found 0"));
    assert!(fault_of_archive(&tar_of(&[("other.wasm", file, MODULE)])).contains("other.wasm"));
    assert!(fault_of_archive(&tar_of(&[("../plugin.wasm", file, MODULE)])).contains("../plugin.wasm"));
    assert!(
        fault_of_archive(&tar_of(&[("plugin.wasm", tar::EntryType::Symlink, b"")]))
            .contains("expected the file")
    );
    assert!(
        fault_of_archive(&tar_of(&[("plugin.wasm", file, MODULE), ("x", file, b"")])).contains("found 2")
    );
    assert!(
        fault_of_archive(&tar_of(&[("plugin.wasm", file, b"no module")])).contains("no WebAssembly module")
    );
    let whole = tar_of(&[("plugin.wasm", file, MODULE)]);
    assert!(fault_of_archive(&[&whole[..], b"more"].concat()).contains("goes on"));
    let zipped = [gzip(&whole), b"more".to_vec()].concat();
    assert!(matches!(read(&with_layer(&zipped, &whole)), Err(Fault::Trailing)));
    assert!(matches!(read(&with_layer(b"no gzip", b"")), Err(Fault::Layer(_))));
}

#[test]
fn a_layer_that_unpacks_to_gigabytes_is_refused_before_memory_is_full() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..128 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(read(&with_layer(&bomb, b"")), Err(Fault::TooLong)));
}

proptest! {
    #[test]
    fn no_change_of_one_byte_reads_as_another_module(
        file in 0_usize..5, at in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let mut files = image();
        let path = files.keys().nth(file).unwrap().clone();
        let bytes = files.get_mut(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // A label may change; content with a digest may not.
        if let Ok(image) = read(&files) {
            prop_assert_eq!(image.module, MODULE);
        }
    }

    #[test]
    fn bytes_that_are_no_archive_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        if let Ok(files) = from_archive(&bytes) {
            prop_assert!(read(&files).is_err());
        }
    }
}

fn program(arguments: &[&str], out: &Path) -> Output {
    let module = out.with_extension("module");
    fs::write(&module, MODULE).unwrap();
    Command::new(env!("CARGO_BIN_EXE_headroom-image"))
        .args(["write", "--created", "1700000000", "--revision", "0123abc"])
        .arg("--module")
        .arg(module)
        .arg("--out")
        .arg(out)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn the_program_writes_both_forms_and_says_their_digest() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("filter");
    let output = program(&[], &out);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let digest = read(&from_folder(&out).unwrap()).unwrap().digest;
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.matches(&digest).count(), 2, "{said}");
    assert_eq!(said.matches(&sha256(MODULE)).count(), 2, "{said}");
    let tar = PathBuf::from(format!("{}.tar", out.display()));
    assert_eq!(from_archive(&fs::read(tar).unwrap()).unwrap(), from_folder(&out).unwrap());
}

#[test]
fn the_program_refuses_a_module_with_a_path_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("filter");
    let output = program(&["--foreign", "the sections"], &out);
    assert!(!output.status.success());
    assert!(!out.exists());
}
