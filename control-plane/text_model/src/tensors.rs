//! A safetensors file, read tensor by tensor.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::file::{ModelError, regular};

/// Bytes of the file at most: XLM-R large has 2.2 GB.
const MAX_FILE: u64 = 8 << 30;
/// Bytes of the list of tensors at most. XLM-R large's has 50 KB.
const MAX_HEADER: u64 = 16 << 20;
/// Bytes that say how long the list is.
const LENGTH: u64 = 8;

/// An open file with the list of what is in it.
#[derive(Debug)]
pub(crate) struct Tensors {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Where the values begin.
    data: u64,
}

impl Tensors {
    /// Reads the list. What it says is checked against the file's length, so that no wrong file is read whole.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let wrong = |problem: String| ModelError::file(path, problem);
        let length = regular(path, MAX_FILE)?;
        let read = |error: std::io::Error| wrong(error.to_string());
        let file = File::open(path).map_err(read)?;
        let mut header = [0; LENGTH as usize];
        file.read_exact_at(&mut header, 0)
            .map_err(|error| wrong(format!("it is not a safetensors file: {error}")))?;
        let header = u64::from_le_bytes(header);
        if header > MAX_HEADER || header.saturating_add(LENGTH) > length {
            return Err(wrong(format!(
                "it is not a safetensors file: its list of tensors is said to have {header} bytes"
            )));
        }
        let mut list = vec![0; usize::try_from(header).unwrap_or_default()];
        file.read_exact_at(&mut list, LENGTH).map_err(read)?;
        let metadata: Metadata = serde_json::from_slice(&list)
            .map_err(|error| wrong(format!("its list of tensors cannot be read: {error}")))?;
        let (data, expected) = (LENGTH + header, metadata.data_len() as u64);
        if length - data != expected {
            return Err(wrong(format!(
                "expected {expected} bytes of values, found {}: it was not copied whole",
                length - data
            )));
        }
        Ok(Self { path: path.to_owned(), file, metadata, data })
    }

    /// The values of a tensor, which has to be of a shape.
    pub(crate) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let wrong = |problem: String| ModelError::file(&self.path, format!("{name}: {problem}"));
        let info = self.metadata.info(name).ok_or_else(|| wrong("there is no such tensor".to_owned()))?;
        if info.shape != shape {
            return Err(wrong(format!("config.json says {shape:?}, found {:?}", info.shape)));
        }
        let (from, to) = info.data_offsets;
        let mut bytes = vec![0; to.saturating_sub(from)];
        self.file
            .read_exact_at(&mut bytes, self.data + from as u64)
            .map_err(|error| wrong(error.to_string()))?;
        Ok(match info.dtype {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|bytes| half(u16::from_le_bytes(*bytes))).collect(),
            Dtype::BF16 => {
                let float = |bytes: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
                bytes.as_chunks().0.iter().map(float).collect()
            }
            other => return Err(wrong(format!("expected F32, F16 or BF16, found {other:?}"))),
        })
    }
}

/// A number of 16 bits, as IEEE 754 lays it out.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    fn written(dir: &Path, dtype: Dtype, bytes: &[u8], count: usize) -> PathBuf {
        let view = TensorView::new(dtype, vec![count], bytes).unwrap();
        let path = dir.join("m.safetensors");
        std::fs::write(&path, safetensors::serialize([("t", view)], None).unwrap()).unwrap();
        path
    }

    #[test]
    fn numbers_of_each_width_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let f32s: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|it| it.to_le_bytes()).collect();
        for (dtype, bytes) in [
            (Dtype::F32, f32s.as_slice()),
            (Dtype::F16, &[0x00, 0x3e, 0x00, 0xc0]),
            (Dtype::BF16, &[0xc0, 0x3f, 0x00, 0xc0]),
        ] {
            let tensors = Tensors::open(&written(dir.path(), dtype, bytes, 2)).unwrap();
            assert_eq!(tensors.read("t", &[2]).unwrap(), [1.5, -2.0], "{dtype:?}");
        }
        let tensors = Tensors::open(&written(dir.path(), Dtype::I32, &[0; 8], 2)).unwrap();
        assert!(tensors.read("t", &[2]).unwrap_err().to_string().contains("expected F32, F16 or BF16"));
        assert!(tensors.read("t", &[3]).unwrap_err().to_string().contains("config.json says [3], found [2]"));
        assert!(tensors.read("u", &[2]).unwrap_err().to_string().contains("no such tensor"));
    }

    #[test]
    fn what_is_no_such_file_is_told_from_its_first_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        let one = |offsets: &str, shape: &str| {
            header(&format!(r#"{{"t":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#))
        };
        for (bytes, said) in [
            (vec![], "not a safetensors file"),
            (vec![0xff; 8], "not a safetensors file"),
            (vec![0xff; 4096], "not a safetensors file"),
            (header("[]"), "list of tensors"),
            (header("{\"t\":"), "list of tensors"),
            (one("[0,8]", "[2]"), "expected 8 bytes of values, found 0"),
            (one("[0,18446744073709551615]", "[4611686018427387904]"), "list of tensors"),
            (one("[8,0]", "[2]"), "list of tensors"),
            (one("[0,8]", "[18446744073709551615,18446744073709551615]"), "list of tensors"),
            ([one("[0,8]", "[2]"), vec![0; 9]].concat(), "found 9"),
        ] {
            std::fs::write(&path, &bytes).unwrap();
            let error = Tensors::open(&path).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("m.safetensors"), "{error}");
        }
        // a terabyte of nothing takes no room on the disk, and none here
        std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(Tensors::open(&path).unwrap_err().to_string().contains("more than"));
    }
}
