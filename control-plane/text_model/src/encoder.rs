//! The transformer encoder of BERT and XLM-R with a classifier of two classes on top, on the CPU.
//!
//! It runs one sequence at a time, without padding: the Python package masks padded places, so that they add nothing to
//! any other place.

use std::fmt;
use std::ops::Range;

use rayon::prelude::*;
use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_simd::{SimdOp as _, SimdUnaryOp as _};
use rten_tensor::NdTensorView;
use rten_tensor::prelude::*;
use rten_vecmath::{Gelu, Softmax};

use crate::config::Config;
use crate::file::ModelError;
use crate::tensors::Tensors;

/// The model has failed in a way that no text should cause.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The caller does not wait any longer.
    #[error("stopped")]
    Stopped,
    /// Its results are not numbers.
    #[error("it gives values that are not numbers")]
    NotANumber,
    /// A token or a position that is not in the tables.
    #[error("it has no row for token {0}")]
    Row(u32),
    /// A multiplication was refused.
    #[error("{0}")]
    Gemm(String),
}

/// A token of a sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) id: u32,
    pub(crate) position: usize,
}

/// The weights.
pub(crate) struct Encoder {
    hidden: usize,
    heads: usize,
    words: Vec<f32>,
    positions: Vec<f32>,
    /// The first row of the table of types: all of a text is of one.
    kind: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    classifier: Linear,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_norm: Norm,
    wide: Linear,
    narrow: Linear,
    norm: Norm,
}

struct Linear {
    weights: PackedBMatrix<f32>,
    bias: Vec<f32>,
}

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoder({} layers of {})", self.layers.len(), self.hidden)
    }
}

impl Encoder {
    /// Reads the weights, tensor by tensor, so that no more than one is in memory twice.
    pub(crate) fn read(tensors: &Tensors, config: &Config) -> Result<Self, ModelError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let gemm = multiplier();
        let body = config.family().prefix();
        let linear = |name: &str, outputs: usize, inputs: usize| {
            let weights = tensors.read(&format!("{name}.weight"), &[outputs, inputs])?;
            let stored = NdTensorView::from_data([outputs, inputs], weights.as_slice());
            let bias = tensors.read(&format!("{name}.bias"), &[outputs])?;
            Ok::<_, ModelError>(Linear { weights: gemm.prepack_b(stored.transposed()), bias })
        };
        let norm = |name: &str| {
            let part = |part: &str| tensors.read(&format!("{name}.{part}"), &[hidden]);
            Ok::<_, ModelError>(Norm {
                weight: part("weight")?,
                bias: part("bias")?,
                epsilon: config.layer_norm_eps,
            })
        };
        let layer = |number: usize| {
            let name = |part: &str| format!("{body}.encoder.layer.{number}.{part}");
            Ok::<_, ModelError>(Layer {
                query: linear(&name("attention.self.query"), hidden, hidden)?,
                key: linear(&name("attention.self.key"), hidden, hidden)?,
                value: linear(&name("attention.self.value"), hidden, hidden)?,
                attended: linear(&name("attention.output.dense"), hidden, hidden)?,
                attended_norm: norm(&name("attention.output.LayerNorm"))?,
                wide: linear(&name("intermediate.dense"), inner, hidden)?,
                narrow: linear(&name("output.dense"), hidden, inner)?,
                norm: norm(&name("output.LayerNorm"))?,
            })
        };
        let table = |name: &str, rows: usize| {
            tensors.read(&format!("{body}.embeddings.{name}.weight"), &[rows, hidden])
        };
        let mut kind = table("token_type_embeddings", config.type_vocab_size)?;
        kind.truncate(hidden);
        Ok(Self {
            hidden,
            heads: config.num_attention_heads,
            words: table("word_embeddings", config.vocab_size)?,
            positions: table("position_embeddings", config.max_position_embeddings)?,
            kind,
            norm: norm(&format!("{body}.embeddings.LayerNorm"))?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_, _>>()?,
            classifier: linear("classifier", 2, hidden)?,
        })
    }

    /// For each place, how likely the model is to keep its token. `goes_on` is asked before each layer.
    pub(crate) fn keep(
        &self,
        places: &[Place],
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<f32>, RunError> {
        let mut states = self.embed(places)?;
        for layer in &self.layers {
            if !goes_on() {
                return Err(RunError::Stopped);
            }
            states = self.layer(layer, states, places.len())?;
        }
        let logits = self.linear(&self.classifier, &states, places.len())?;
        let kept = logits.as_chunks::<2>().0.iter().map(|&[drop, keep]| {
            // as torch has it: the larger is taken off before
            let largest = drop.max(keep);
            let (drop, keep) = ((drop - largest).exp(), (keep - largest).exp());
            keep / (drop + keep)
        });
        let kept: Vec<f32> = kept.collect();
        if kept.iter().any(|keep| !keep.is_finite()) {
            return Err(RunError::NotANumber);
        }
        Ok(kept)
    }

    fn embed(&self, places: &[Place]) -> Result<Vec<f32>, RunError> {
        let mut states = Vec::with_capacity(places.len() * self.hidden);
        for place in places {
            let word = row(&self.words, place.id as usize, self.hidden);
            let position = row(&self.positions, place.position, self.hidden);
            let (Some(word), Some(position)) = (word, position) else { return Err(RunError::Row(place.id)) };
            let sum = word.iter().zip(position).zip(&self.kind);
            states.extend(sum.map(|((word, position), kind)| word + kind + position));
        }
        self.norm.apply(&mut states);
        Ok(states)
    }

    fn layer(&self, layer: &Layer, states: Vec<f32>, rows: usize) -> Result<Vec<f32>, RunError> {
        let query = self.linear(&layer.query, &states, rows)?;
        let key = self.linear(&layer.key, &states, rows)?;
        let value = self.linear(&layer.value, &states, rows)?;
        let attended = self.attention(&query, &key, &value, rows)?;
        let mut attended = self.linear(&layer.attended, &attended, rows)?;
        add(&mut attended, &states);
        layer.attended_norm.apply(&mut attended);
        let mut wide = self.linear(&layer.wide, &attended, rows)?;
        let columns = layer.wide.bias.len();
        wide.par_chunks_mut(columns.max(1)).for_each(|row| {
            Gelu {}.map_mut(row);
        });
        let mut narrow = self.linear(&layer.narrow, &wide, rows)?;
        add(&mut narrow, &attended);
        layer.norm.apply(&mut narrow);
        Ok(narrow)
    }

    /// Each head on its own columns; a head's result is copied to where the others' stand.
    fn attention(
        &self,
        query: &[f32],
        key: &[f32],
        value: &[f32],
        rows: usize,
    ) -> Result<Vec<f32>, RunError> {
        let width = self.hidden / self.heads;
        let scale = 1.0 / (width as f32).sqrt();
        let all = |values| NdTensorView::from_data([rows, self.hidden], values);
        let (query, key, value) = (all(query), all(key), all(value));
        let gemm = multiplier();
        let head = |number: usize| {
            let columns: Range<usize> = number * width..(number + 1) * width;
            let of = |matrix: &NdTensorView<'_, f32, 2>| matrix.slice((.., columns.clone())).to_tensor();
            let (query, key, value) = (of(&query), of(&key), of(&value));
            let mut scores = vec![0.0; rows * rows];
            let scaled = GemmOptions { alpha: scale, ..GemmOptions::default() };
            let keys = GemmInputB::Unpacked(key.view().transposed());
            gemm.gemm(&mut scores, GemmInputA::Unpacked(query.view()), keys, scaled)
                .map_err(|error| RunError::Gemm(format!("{error:?}")))?;
            for row in scores.chunks_exact_mut(rows.max(1)) {
                Softmax::new_mut(row).dispatch();
            }
            let scores = NdTensorView::from_data([rows, rows], scores.as_slice());
            let mut attended = vec![0.0; rows * width];
            let values = GemmInputB::Unpacked(value.view());
            gemm.gemm(&mut attended, GemmInputA::Unpacked(scores), values, GemmOptions::default())
                .map_err(|error| RunError::Gemm(format!("{error:?}")))?;
            Ok(attended)
        };
        let heads: Vec<Vec<f32>> =
            (0..self.heads).into_par_iter().map(head).collect::<Result<_, RunError>>()?;
        let mut attended = Vec::with_capacity(rows * self.hidden);
        for row in 0..rows {
            for head in &heads {
                attended.extend(head.iter().skip(row * width).take(width));
            }
        }
        Ok(attended)
    }

    fn linear(&self, linear: &Linear, states: &[f32], rows: usize) -> Result<Vec<f32>, RunError> {
        let inputs = states.len() / rows.max(1);
        let states = NdTensorView::from_data([rows, inputs], states);
        let mut out = vec![0.0; rows * linear.bias.len()];
        let options = GemmOptions { bias: Some(BiasVector::Row(&linear.bias)), ..GemmOptions::default() };
        multiplier()
            .gemm(&mut out, GemmInputA::Unpacked(states), GemmInputB::Packed(&linear.weights), options)
            .map_err(|error| RunError::Gemm(format!("{error:?}")))?;
        Ok(out)
    }
}

impl Norm {
    /// Each row to a mean of 0 and a variance of 1, then scaled and moved.
    fn apply(&self, states: &mut [f32]) {
        let columns = self.weight.len();
        for row in states.chunks_exact_mut(columns.max(1)) {
            let mean = row.iter().sum::<f32>() / columns as f32;
            let variance =
                row.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / columns as f32;
            let scale = 1.0 / (variance + self.epsilon).sqrt();
            for ((value, weight), bias) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
                *value = (*value - mean) * scale * weight + bias;
            }
        }
    }
}

/// What multiplies matrices on this machine's processor. It stays on its thread, and costs nothing to make.
fn multiplier() -> GemmExecutor {
    GemmExecutor::new()
}

fn row(table: &[f32], row: usize, columns: usize) -> Option<&[f32]> {
    let from = row.checked_mul(columns)?;
    table.get(from..from.checked_add(columns)?)
}

fn add(sums: &mut [f32], values: &[f32]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}
