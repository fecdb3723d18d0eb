//! Development harness: what the compressors of this directory do to recorded outputs.
//!
//! `CORPUS=… cargo test -p headroom-compress --lib kinds::corpus -- --ignored --nocapture`

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::block::Call;
use crate::config::Config;
use crate::detect;
use crate::tokens::Encoding;

/// The recorded single outputs: kind, id, text.
fn samples() -> Option<Vec<(String, String, String)>> {
    let Ok(corpus) = std::env::var("CORPUS") else {
        eprintln!("SKIPPED: CORPUS does not name the directory of the corpus");
        return None;
    };
    let file = std::path::Path::new(&corpus).join("samples/outputs.jsonl");
    let lines = std::fs::read_to_string(file).expect("the samples can be read");
    let field = |v: &Value, name: &str| v[name].as_str().expect("a string").to_owned();
    Some(
        lines
            .lines()
            .map(|line| {
                let v: Value = serde_json::from_str(line).expect("one document per line");
                (field(&v, "kind"), field(&v, "id"), field(&v, "text"))
            })
            .collect(),
    )
}

fn lossless(kind: Kind, text: &str, cx: &Context<'_>) -> String {
    let mut shown = text.to_owned();
    for step in lossless_steps(kind) {
        if let Some(form) = step.form(&shown, cx) {
            shown = form;
        }
    }
    shown
}

#[test]
#[ignore = "needs the corpus and prints figures instead of asserting"]
fn reductions() {
    let Some(samples) = samples() else { return };
    let (config, encoding) = (Config::default(), Encoding::O200kBase);
    let cx = Context {
        call: Call::default(),
        query: "",
        config: &config,
        encoding,
        reversible: true,
        edits_by_line: false,
    };
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut sums: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for (label, id, text) in samples {
        if !only.is_empty() && !id.contains(&only) {
            continue;
        }
        let kind = detect::kind(&text);
        let before = encoding.count(&text);
        let form = lossless(kind, &text, &cx);
        let after = encoding.count(&form).min(before);
        let kept = lossy(kind, &text, &cx);
        let least = kept.as_ref().map_or(after, |(_, k)| encoding.count(&k.text) + 30);
        let percent = |n: usize| 100.0 * (1.0 - n as f64 / before.max(1) as f64);
        eprintln!(
            "{label:12} {:10} {id:24} {before:6} -> {after:6} {:5.1}%  lossy {least:6} {:5.1}%",
            kind.name(),
            percent(after),
            percent(least.min(after))
        );
        if let Ok(dir) = std::env::var("OUT") {
            let dir = std::path::Path::new(&dir);
            std::fs::write(dir.join(format!("{id}.lossless")), &form).expect("OUT can be written");
            if let Some((_, kept)) = &kept {
                let text = format!("{}\n[{}]", kept.text, kept.left_out);
                std::fs::write(dir.join(format!("{id}.lossy")), text).expect("OUT can be written");
            }
        }
        let sum = sums.entry(label).or_default();
        for (sum, n) in sum.iter_mut().zip([before, after, least.min(after)]) {
            *sum += n;
        }
    }
    for (label, [before, after, least]) in sums {
        let percent = |n: usize| 100.0 * (1.0 - n as f64 / before.max(1) as f64);
        eprintln!("SUM {label:12} {before:7} lossless {:5.1}% lossy {:5.1}%", percent(after), percent(least));
    }
}
