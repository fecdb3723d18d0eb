//! Reductions on recorded outputs, for development: `CORPUS=dir cargo test -p headroom-compress json_reductions -- --ignored --nocapture`.
//! `JSON_OUT=dir` writes every replacement into a file.

use std::path::Path;
use std::time::Instant;

use super::inverse::{Value, documents};
use super::{crush, find, minify, notation};
use crate::block::Context;
use crate::config::Config;
use crate::tokens::Encoding;

/// `(id, text)` of every recorded output that may be JSON.
fn outputs(corpus: &Path) -> Vec<(String, String)> {
    let mut outputs = Vec::new();
    let samples = std::fs::read_to_string(corpus.join("samples/outputs.jsonl")).unwrap();
    for line in samples.lines() {
        let sample: serde_json::Value = serde_json::from_str(line).unwrap();
        if sample["kind"] == "json" {
            outputs.push((
                sample["id"].as_str().unwrap().to_owned(),
                sample["text"].as_str().unwrap().to_owned(),
            ));
        }
    }
    let mut files: Vec<_> =
        std::fs::read_dir(corpus.join("trajectories")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        for (at, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
            let conversation: serde_json::Value = serde_json::from_str(line).unwrap();
            for (turn, message) in conversation["messages"].as_array().unwrap().iter().enumerate() {
                if let (Some("tool"), Some(text)) = (message["role"].as_str(), message["content"].as_str()) {
                    outputs.push((format!("{name}-{at}-{turn}"), text.to_owned()));
                }
            }
        }
    }
    outputs
}

#[test]
#[ignore = "needs CORPUS=dir; prints figures"]
fn json_reductions() {
    let Ok(corpus) = std::env::var("CORPUS") else { panic!("CORPUS=dir names the corpus") };
    let out = std::env::var("JSON_OUT").ok();
    let count = |text: &str| Encoding::default().count(text);
    let config = Config::default();
    let limits = config.profile.limits();
    let cx = Context::of(&config);
    count("start the tokenizer");
    let mut groups = std::collections::BTreeMap::<String, [usize; 6]>::new();
    for (id, text) in outputs(Path::new(&corpus)) {
        let start = Instant::now();
        let Some(found) = find(&text) else { continue };
        let tree = &found.tree;
        let minified = minify::documents(tree).text;
        let notation = notation::documents(tree, Encoding::default());
        let micros = start.elapsed().as_micros() as usize;
        let expected: Vec<Value> = tree.roots.iter().map(|&root| Value::of(tree, root)).collect();
        assert_eq!(documents(&notation), expected, "{id}");
        let before = count(&text);
        let after = [&minified, &notation].map(|form| count(&found.within(form.clone())));
        let best = after.iter().copied().min().unwrap().min(before);
        let kept = (best >= limits.min_lossy_tokens).then(|| crush::lossy(tree, &cx)).flatten();
        let least = kept.as_ref().map_or(best, |kept| count(&found.within(kept.text.clone())) + 40).min(best);
        let group = id.split('-').next().unwrap().to_owned();
        if group == "json" {
            eprintln!(
                "{id} {before} -> {after:?} {:.1} % {} MB/s, lossy {least} {:.1} % {}",
                100.0 - best as f64 * 100.0 / before as f64,
                text.len() / micros.max(1),
                100.0 - least as f64 * 100.0 / before as f64,
                kept.as_ref().map_or("", |kept| &kept.left_out),
            );
        }
        for (sum, value) in groups.entry(group).or_default().iter_mut().zip([
            before,
            after[0],
            best,
            text.len(),
            micros,
            least,
        ]) {
            *sum += value;
        }
        if let Some(dir) = &out {
            std::fs::write(
                Path::new(dir).join(&id),
                format!(
                    "{text}\n=====\n{}\n=====\n{}",
                    found.within(notation),
                    kept.map(|kept| format!("{}\n[{}]", kept.text, kept.left_out)).unwrap_or_default()
                ),
            )
            .unwrap();
        }
    }
    for (group, [before, minified, best, bytes, micros, least]) in groups {
        eprintln!(
            "{group}: {before} -> minified {minified}, best {best}: {:.1} % less; lossy {least}: {:.1} % less; {} MB/s",
            100.0 - best as f64 * 100.0 / before as f64,
            100.0 - least as f64 * 100.0 / before as f64,
            bytes / micros.max(1)
        );
        assert!(best <= before);
    }
}
