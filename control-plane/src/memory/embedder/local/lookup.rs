//! A static model: a table with one vector for each token, and their mean.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

pub(super) struct Lookup {
    dimensions: usize,
    values: Vec<f32>,
    /// What each token counts, where they do not all count the same.
    weights: Option<Vec<f32>>,
    /// The row of each token, where several share one.
    rows: Option<Vec<usize>>,
}

impl Lookup {
    pub(super) fn load(bytes: &[u8]) -> Result<Self, String> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let all = tensors.tensors();
        let mut tables = all.iter().filter(|(_, tensor)| tensor.shape().len() == 2);
        let (Some((name, table)), None) = (tables.next(), tables.next()) else {
            return Err("expected one table of vectors".to_owned());
        };
        let &[count, dimensions] = table.shape() else {
            return Err("expected a table of vectors".to_owned());
        };
        if dimensions == 0 {
            return Err(format!("{name}: its vectors have no dimensions"));
        }
        let mut lookup = Self { dimensions, values: floats(name, table)?, weights: None, rows: None };
        for (name, tensor) in all.iter().filter(|(_, tensor)| tensor.shape().len() != 2) {
            match (name.as_str(), tensor.shape()) {
                ("weights", [_]) => lookup.weights = Some(floats(name, tensor)?),
                ("mapping", [_]) => lookup.rows = Some(rows(name, tensor, count)?),
                _ => return Err(format!("{name}: expected only a table of vectors, weights and a mapping")),
            }
        }
        Ok(lookup)
    }

    pub(super) fn embed(&self, ids: &[u32]) -> Vec<f32> {
        let mut mean = vec![0.0; self.dimensions];
        for id in ids {
            let id = *id as usize;
            // a tokenizer may know more tokens than the table
            let Some((row, weight)) = self.row(id) else { continue };
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
        }
        mean
    }

    fn row(&self, id: usize) -> Option<(&[f32], f32)> {
        let row = match &self.rows {
            Some(rows) => *rows.get(id)?,
            None => id,
        };
        let weight = match &self.weights {
            Some(weights) => *weights.get(id)?,
            None => 1.0,
        };
        let from = row.checked_mul(self.dimensions)?;
        Some((self.values.get(from..from.checked_add(self.dimensions)?)?, weight))
    }
}

fn floats(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let data = tensor.data();
    Ok(match tensor.dtype() {
        Dtype::F64 => data.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
        Dtype::F32 => data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => data.as_chunks::<2>().0.iter().map(|bytes| half(u16::from_le_bytes(*bytes))).collect(),
        other => return Err(format!("{name}: expected F64, F32 or F16, found {other:?}")),
    })
}

/// The rows that tokens have in a table of `count`.
fn rows(name: &str, tensor: &TensorView<'_>, count: usize) -> Result<Vec<usize>, String> {
    let data = tensor.data();
    let numbers: Vec<i64> = match tensor.dtype() {
        Dtype::I64 => data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        Dtype::I32 => data.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect(),
        other => return Err(format!("{name}: expected I64 or I32, found {other:?}")),
    };
    let row = |number: &i64| {
        let row = usize::try_from(*number).ok().filter(|row| *row < count);
        row.ok_or_else(|| format!("{name}: expected numbers below {count}, found {number}"))
    };
    numbers.iter().map(row).collect()
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
pub(in crate::memory::embedder) mod tests {
    use super::*;
    use crate::memory::embedder::local::{LocalModel, load};

    /// A tokenizer of three words.
    pub(crate) const TOKENIZER: &str = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
        "normalizer":{"type":"Lowercase"},"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
        "model":{"type":"WordLevel","vocab":{"[UNK]":0,"port":1,"theme":2,"a":3},"unk_token":"[UNK]"}}"#;

    /// A model of two dimensions in a folder.
    fn model(folder: &std::path::Path) -> LocalModel {
        let values: Vec<u8> =
            [0.0_f32, 0.0, 3.0, 0.0, 0.0, 2.0, 1.0, 1.0].iter().flat_map(|it| it.to_le_bytes()).collect();
        let table = safetensors::tensor::TensorView::new(Dtype::F32, vec![4, 2], &values).unwrap();
        let bytes = safetensors::serialize([("embedding.weight", table)], None).unwrap();
        std::fs::write(folder.join("table.safetensors"), bytes).unwrap();
        std::fs::write(folder.join("tokenizer.json"), TOKENIZER).unwrap();
        load(folder).unwrap().unwrap()
    }

    #[test]
    fn a_text_is_the_mean_of_its_tokens_of_length_one() {
        let dir = tempfile::tempdir().unwrap();
        let embedder = model(dir.path());
        assert!(embedder.name.starts_with("static:"), "{}", embedder.name);
        assert_eq!(embedder.embed("Port").unwrap(), [1.0, 0.0]);
        assert_eq!(embedder.embed("theme theme").unwrap(), [0.0, 1.0]);
        let both = embedder.embed("a port").unwrap();
        assert!((both[0] - 4.0 / 17f32.sqrt()).abs() < 1e-6, "{both:?}");
        assert_eq!(embedder.embed("").unwrap(), [0.0, 0.0]);
    }

    #[test]
    fn tokens_that_share_a_row_and_count_differently_are_read_as_they_were_made() {
        let bytes = |values: &[f32]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
        let (table, weights) = (bytes(&[1.0, 0.0, 0.0, 1.0]), bytes(&[0.0, 2.0, 1.0, 0.5]));
        let numbers = |rows: [i64; 4]| rows.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
        let load = |rows: [i64; 4]| {
            let rows = numbers(rows);
            let views = [
                ("embeddings", TensorView::new(Dtype::F32, vec![2, 2], &table).unwrap()),
                ("weights", TensorView::new(Dtype::F32, vec![4], &weights).unwrap()),
                ("mapping", TensorView::new(Dtype::I64, vec![4], &rows).unwrap()),
            ];
            Lookup::load(&safetensors::serialize(views, None).unwrap())
        };
        let lookup = load([0, 0, 1, 1]).unwrap();
        assert_eq!(lookup.embed(&[1, 2]), [2.0, 1.0]);
        assert_eq!(lookup.embed(&[3, 3, 0]), [0.0, 1.0]);
        assert_eq!(lookup.embed(&[4, u32::MAX]), [0.0, 0.0], "tokens that it does not know");
        for wrong in [[0, 0, 1, 2], [0, 0, 1, -1], [0, 0, 1, i64::MAX]] {
            assert!(load(wrong).err().unwrap().contains("mapping: expected numbers below 2"));
        }
    }

    #[test]
    fn halves_are_read_as_the_standard_lays_them_out() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8), (0, 0.0)]
        {
            assert_eq!(half(bits), value, "{bits:x}");
        }
        assert!(half(0x7e00).is_nan() && half(0x7c00) == f32::INFINITY);
    }
}
