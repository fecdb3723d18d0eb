//! A static model: a table with one vector for each token, and their mean.

use safetensors::{Dtype, SafeTensors};

pub(super) struct Lookup {
    dimensions: usize,
    values: Vec<f32>,
}

impl Lookup {
    pub(super) fn load(bytes: &[u8]) -> Result<Self, String> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let all = tensors.tensors();
        let mut tables = all.iter().filter(|(_, tensor)| tensor.shape().len() == 2);
        let (Some((name, table)), None) = (tables.next(), tables.next()) else {
            return Err("expected one table of vectors".to_owned());
        };
        if all.len() > 1 {
            return Err("expected a table of vectors alone: weights and mappings are not read".to_owned());
        }
        let &[_, dimensions] = table.shape() else { return Err("expected a table of vectors".to_owned()) };
        let values = match table.dtype() {
            Dtype::F32 => {
                let (values, _) = table.data().as_chunks::<4>();
                values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            Dtype::F16 => {
                let (values, _) = table.data().as_chunks::<2>();
                values.iter().map(|bytes| half(u16::from_le_bytes(*bytes))).collect()
            }
            other => return Err(format!("{name}: expected F32 or F16, found {other:?}")),
        };
        if dimensions == 0 {
            return Err(format!("{name}: its vectors have no dimensions"));
        }
        Ok(Self { dimensions, values })
    }

    pub(super) fn embed(&self, ids: &[u32]) -> Vec<f32> {
        let mut mean = vec![0.0; self.dimensions];
        for id in ids {
            let from = (*id as usize).saturating_mul(self.dimensions);
            // a tokenizer may know more tokens than the table
            let Some(row) = self.values.get(from..from.saturating_add(self.dimensions)) else { continue };
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        mean
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
pub(super) mod tests {
    use super::*;
    use crate::memory::embedder::{Embedder, Found, detect};

    /// A tokenizer of three words.
    pub(crate) const TOKENIZER: &str = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
        "normalizer":{"type":"Lowercase"},"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
        "model":{"type":"WordLevel","vocab":{"[UNK]":0,"port":1,"theme":2,"a":3},"unk_token":"[UNK]"}}"#;

    /// A model of two dimensions in a folder.
    fn model(folder: &std::path::Path) -> Box<Embedder> {
        let values: Vec<u8> =
            [0.0_f32, 0.0, 3.0, 0.0, 0.0, 2.0, 1.0, 1.0].iter().flat_map(|it| it.to_le_bytes()).collect();
        let table = safetensors::tensor::TensorView::new(Dtype::F32, vec![4, 2], &values).unwrap();
        let bytes = safetensors::serialize([("embedding.weight", table)], None).unwrap();
        std::fs::write(folder.join("table.safetensors"), bytes).unwrap();
        std::fs::write(folder.join("tokenizer.json"), TOKENIZER).unwrap();
        let Found::Model(embedder) = detect(folder).unwrap() else { panic!("there is a model") };
        embedder
    }

    #[test]
    fn a_text_is_the_mean_of_its_tokens_of_length_one() {
        let dir = tempfile::tempdir().unwrap();
        let embedder = model(dir.path());
        assert!(embedder.name().starts_with("static:"), "{}", embedder.name());
        assert_eq!(embedder.embed("Port").unwrap(), [1.0, 0.0]);
        assert_eq!(embedder.embed("theme theme").unwrap(), [0.0, 1.0]);
        let both = embedder.embed("a port").unwrap();
        assert!((both[0] - 4.0 / 17f32.sqrt()).abs() < 1e-6, "{both:?}");
        assert_eq!(embedder.embed("").unwrap(), [0.0, 0.0]);
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
