//! Development tool: runs the compressors of this directory on recorded outputs.
//!
//! `CORPUS=… cargo test -p headroom-compress --lib kinds::corpus -- --ignored --nocapture`

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::block::Call;
use crate::config::Config;
use crate::detect;
use crate::tokens::Encoding;

/// The recorded outputs: kind, id, text.
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
    if matches!(kind, Kind::Json | Kind::JsonLines) {
        return super::documents(text, None, cx, |_, _, _| {}).into_owned();
    }
    let shown = super::lines(kind, text, cx, |_, _, _| {});
    super::coded(kind, &shown, cx).map_or_else(|| shown.into_owned(), |form| form.text)
}

#[test]
#[ignore = "needs the corpus and prints figures instead of asserting"]
fn reductions() {
    let Some(samples) = samples() else { return };
    let (config, encoding) = (Config::default(), Encoding::O200kBase);
    let cx = Context { encoding, ..Context::of(&config) };
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

/// Inputs that are made to be slow, each of about `size` bytes.
fn hostile(size: usize) -> Vec<(&'static str, String)> {
    let lines = |line: &dyn Fn(usize) -> String| {
        let mut text = String::with_capacity(size + 100);
        let mut i = 0;
        while text.len() < size {
            text += &line(i);
            text.push('\n');
            i += 1;
        }
        text
    };
    vec![
        ("one line of words", "error 12 of x ".repeat(size / 14)),
        ("one line of one word", "a".repeat(size)),
        ("tiny lines", lines(&|i| char::from(b'a' + (i % 26) as u8).to_string())),
        ("blank lines", "\n".repeat(size)),
        ("identical lines", lines(&|_| "2024-01-01 10:00:00 ERROR the same thing failed again".to_owned())),
        ("distinct errors", lines(&|i| format!("error: {} failed", radix(i)))),
        (
            "distinct wordings",
            lines(&|i| format!("the {} of {} is {}", radix(i), radix(i * 7), radix(i * 13))),
        ),
        ("leads that change", lines(&|i| format!("2024-01-{:02} 10:00:{:02} x {i}", i % 28, i % 60))),
        ("capital letters", lines(&|i| format!("{} x", radix(i).to_uppercase()))),
        ("quotes", "\"".repeat(size)),
        ("pipes", "|".repeat(size)),
        ("pipe rows", lines(&|i| format!("| {i} | a"))),
        ("commas", lines(&|i| format!("{i},{},,", i * 7))),
        ("paths", lines(&|i| format!("a/{}/b{i}", radix(i)))),
        ("deep tree", lines(&|i| format!("{}├── {i}", "│   ".repeat(i % 300)))),
        ("diff heads", lines(&|i| format!("diff --git a/{i} b/{i}\n--- a/{i}\n+++ b/{i}\n@@ -1 +1 @@\n-a"))),
        ("hunk heads", format!("diff --git a/x b/x\n{}", lines(&|_| "@@ -1 +1 @@".to_owned()))),
        ("open tags", "<a href=\"".repeat(size / 9)),
        ("scripts", "<script>".repeat(size / 8)),
        ("aligned", format!("A   B   C\n{}", lines(&|i| format!("{:<3} {:<3} {i}", i % 9, i % 7)))),
    ]
}

fn radix(mut n: usize) -> String {
    let mut out = String::new();
    loop {
        out.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
        if n == 0 {
            return out;
        }
    }
}

const KINDS: [Kind; 7] =
    [Kind::Log, Kind::TestBuild, Kind::Diff, Kind::Listing, Kind::Table, Kind::Html, Kind::Text];

fn with<T>(f: impl FnOnce(&Context<'_>) -> T) -> T {
    let config = Config::default();
    f(&Context {
        call: Call { name: "Bash", arguments: "{\"command\": \"cat a1.log b_2.txt\"}" },
        query: "what about order_77 and src/kinds.rs?",
        encoding: Encoding::O200kBase,
        ..Context::of(&config)
    })
}

#[test]
fn hostile_inputs_are_taken_by_every_compressor() {
    with(|cx| {
        for (name, text) in hostile(60_000) {
            for kind in KINDS {
                let form = lossless(kind, &text, cx);
                assert!(form.len() <= text.len(), "{name} as {}", kind.name());
                if let Some((_, kept)) = lossy(kind, &text, cx) {
                    assert!(!kept.left_out.is_empty(), "{name} as {}", kind.name());
                }
            }
        }
    });
}

#[test]
#[ignore = "prints figures instead of asserting"]
fn speeds() {
    // Processor time, because the machine may be busy with other things.
    let now = || {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
    };
    let time = |f: &dyn Fn()| {
        let start = now();
        f();
        (now() - start).max(1e-9)
    };
    with(|cx| {
        for kind in KINDS {
            for (large, small) in hostile(2_000_000).iter().zip(hostile(1_000_000)) {
                let run = |text: &str| {
                    let lossless = time(&|| {
                        lossless(kind, text, cx);
                    });
                    let lossy = time(&|| {
                        lossy(kind, text, cx);
                    });
                    (lossless, lossy)
                };
                let (one, two) = (run(&small.1), run(&large.1));
                eprintln!(
                    "SPEED {:10} {:22} lossless {:7.0} MB/s x{:4.1}  lossy {:7.0} MB/s x{:4.1}",
                    kind.name(),
                    small.0,
                    large.1.len() as f64 / 1e6 / two.0,
                    two.0 / one.0,
                    large.1.len() as f64 / 1e6 / two.1,
                    two.1 / one.1,
                );
            }
        }
        for (label, id, text) in samples().into_iter().flatten() {
            let kind = detect::kind(&text);
            if text.len() > 10_000 && KINDS.contains(&kind) {
                let rounds = 20;
                let run = |f: &dyn Fn()| {
                    text.len() as f64 * rounds as f64 / 1e6 / time(&|| (0..rounds).for_each(|_| f()))
                };
                let (a, b) = (
                    run(&|| {
                        lossless(kind, &text, cx);
                    }),
                    run(&|| {
                        lossy(kind, &text, cx);
                    }),
                );
                eprintln!("SPEED {label:10} {id:24} lossless {a:6.0} MB/s  lossy {b:6.0} MB/s");
            }
        }
    });
}
