//! What an agent's tools give: recorded outputs, and tables of which most is left out.

use anyhow::Result;
use serde_json::{Value, json};

use crate::conversation::{fixtures, read_sets};

/// Shorter outputs are seldom changed.
const SHORTEST: usize = 400;

/// Recorded outputs of some length, and after every second of them a table as a service lists its deployments.
/// `seed`: where to begin, and what makes the tables different from others'.
pub fn recorded(seed: usize) -> Result<Vec<String>> {
    let sets = read_sets(&fixtures())?;
    let mut outputs: Vec<String> = sets
        .iter()
        .flat_map(|set| &set.conversations)
        .flat_map(|conversation| conversation.outputs())
        .filter(|output| output.len() >= SHORTEST)
        .collect();
    let first = (seed * 7) % outputs.len().max(1);
    outputs.rotate_left(first);
    let mut mixed = Vec::new();
    for (at, pair) in outputs.chunks(2).enumerate() {
        mixed.extend_from_slice(pair);
        mixed.push(rows(200 + 10 * (at % 5), seed * 1_000 + at));
    }
    Ok(mixed)
}

/// A list of deployments as a service gives it, of which one has failed.
pub fn rows(count: usize, salt: usize) -> String {
    let rows: Vec<Value> = (0..count)
        .map(|n| {
            json!({"id": 7919 * (n + 1), "build": salt, "status": if n == 40 { "failed" } else { "ok" },
                "name": format!("deployment-{n}"), "region": "eu-central-1"})
        })
        .collect();
    json!(rows).to_string()
}
