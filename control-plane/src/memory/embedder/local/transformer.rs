//! A sentence transformer in ONNX format: the mean of the last layer over the text's tokens.

use rten::{Model, NodeId, ValueOrView};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

pub(super) struct Transformer {
    model: Model,
    /// The inputs that it has, with what each is given.
    inputs: Vec<(NodeId, Input)>,
    output: NodeId,
}

#[derive(Clone, Copy)]
enum Input {
    Ids,
    Mask,
    Types,
}

impl Transformer {
    pub(super) fn load(bytes: Vec<u8>) -> Result<Self, String> {
        let model = Model::load(bytes).map_err(|error| error.to_string())?;
        let mut inputs = Vec::new();
        for id in model.input_ids() {
            let name =
                model.node_info(*id).and_then(|info| info.name().map(str::to_owned)).unwrap_or_default();
            let input = match name.as_str() {
                "input_ids" => Input::Ids,
                "attention_mask" => Input::Mask,
                "token_type_ids" => Input::Types,
                other => {
                    return Err(format!("it has an input {other:?}, which sentence transformers do not"));
                }
            };
            inputs.push((*id, input));
        }
        let named = ["last_hidden_state", "token_embeddings"].iter().find_map(|name| model.find_node(name));
        let output = named.or_else(|| model.output_ids().first().copied()).ok_or("it has no output")?;
        Ok(Self { model, inputs, output })
    }

    pub(super) fn embed(&self, ids: &[u32]) -> Result<Vec<f32>, String> {
        let tokens = ids.len();
        let row = |values: Vec<i32>| NdTensor::from_data([1, tokens], values);
        let ids: Vec<i32> = ids.iter().map(|id| i32::try_from(*id).unwrap_or_default()).collect();
        let given = |input: Input| match input {
            Input::Ids => row(ids.clone()),
            Input::Mask => row(vec![1; tokens]),
            Input::Types => row(vec![0; tokens]),
        };
        let inputs: Vec<(NodeId, ValueOrView<'_>)> =
            self.inputs.iter().map(|(id, input)| (*id, given(*input).into())).collect();
        let mut outputs = self.model.run(inputs, &[self.output], None).map_err(|error| error.to_string())?;
        let states = outputs.pop().ok_or("it gave no output")?;
        let states: NdTensor<f32, 3> =
            states.try_into().map_err(|_| "its output is not a vector for each token".to_owned())?;
        let [_, rows, dimensions] = states.shape();
        let mut mean = vec![0.0; dimensions];
        let values = states.to_vec();
        for row in values.chunks_exact(dimensions.max(1)) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += value / rows as f32;
            }
        }
        Ok(mean)
    }
}
