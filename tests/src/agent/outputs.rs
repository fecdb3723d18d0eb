//! The outputs of an agent's tools: recorded outputs, and tables whose forms leave most rows out.

use anyhow::Result;
use serde_json::{Value, json};

use crate::conversation::{fixtures, read_sets};

/// Shorter outputs are seldom changed.
const SHORTEST: usize = 400;

/// Recorded outputs of some length, and after every second one a service's table of deployments.
/// `seed`: the start, and the value that makes the tables differ from others.
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

/// A service's list of deployments; one of them has failed.
pub fn rows(count: usize, salt: usize) -> String {
    let rows: Vec<Value> = (0..count)
        .map(|n| {
            json!({"id": 7919 * (n + 1), "build": salt, "status": if n == 40 { "failed" } else { "ok" },
                "name": format!("deployment-{n}"), "region": "eu-central-1"})
        })
        .collect();
    json!(rows).to_string()
}

/// Source files of Go with their lines numbered, and after each the types that it uses, which cannot be shortened.
/// After some files a conversation has passed 90,000 tokens.
pub fn source_files(seed: usize, count: usize) -> Vec<String> {
    let pair = |at: usize| [numbered(&source_file(seed * 1_000 + at)), types(seed * 1_000 + at)];
    (0..count).flat_map(pair).collect()
}

fn source_file(salt: usize) -> String {
    let function = |n: usize| {
        let statements: String = (0..30 + n % 20)
            .map(|line| format!("\tentry{line} := table.lookup({}, \"key-{}\")\n", salt + line, n * line))
            .collect();
        format!(
            "// step{n} does a part of the work.\nfunc step{n}(table *Table) error {{\n{statements}\tif table.size() == 0 {{\n\
             \t\treturn errors.New(\"no entries in {salt}\")\n\t}}\n\treturn nil\n}}\n\n"
        )
    };
    let functions: String = (0..12).map(function).collect();
    format!("package part{salt}\n\nimport \"errors\"\n\n{functions}")
}

fn types(salt: usize) -> String {
    let field = |n: usize| {
        format!("type Kind{salt}x{n} struct {{ Left{n} map[string]Kind{n}; Right{} int }}\n", n * 7)
    };
    (0..600).map(field).collect()
}

fn numbered(text: &str) -> String {
    let lines = text.lines().zip(1..).map(|(line, number)| format!("{number:6}→{line}\n"));
    lines.collect()
}
