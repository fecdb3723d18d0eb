//! The cost of a query over an original: the engine's own pass over it, and an index of the crate `bm25`.
//!
//! ```text
//! cargo run --release -p headroomd --example ranking
//! ```
//!
//! Each case runs in a separate process, which reports its time, the memory that it took in addition to the text,
//! and the position of the best line. The index consists of lines, like the engine's answers, and is searched once:
//! in practice each question is about another original.
#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use bm25::{Document, SearchEngineBuilder, Tokenizer};
use headroom_compress::excerpt::{PAGE_BYTES, Part, excerpt};

const QUERY: &str = "timeout while connecting to shard 17";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [how, text, megabytes] = arguments.as_slice() {
        return case(how, text, megabytes.parse().context("expected megabytes")?);
    }
    println!("{:8} {:8} {:>4} {:>12} {:>12}  best line", "", "text", "MB", "ms", "MB beyond it");
    for text in ["log", "words"] {
        for megabytes in ["1", "32"] {
            for how in ["engine", "bm25"] {
                let status = Command::new(std::env::current_exe()?).args([how, text, megabytes]).status()?;
                if !status.success() {
                    bail!("{how} {text} {megabytes} ended with {status}");
                }
            }
        }
    }
    Ok(())
}

fn case(how: &str, kind: &str, megabytes: usize) -> anyhow::Result<()> {
    let text = match kind {
        "log" => log(megabytes << 20),
        "words" => words(megabytes << 20),
        _ => bail!("expected log or words"),
    };
    let before = resident_kb("VmRSS:")?;
    let begun = Instant::now();
    let best = match how {
        "engine" => excerpt(&text, None, Part::Query(QUERY), PAGE_BYTES).from,
        "bm25" => best_of_index(&text).map_or(0, |line| line + 1),
        _ => bail!("expected engine or bm25"),
    };
    let took = begun.elapsed().as_secs_f64() * 1e3;
    let taken = resident_kb("VmHWM:")?.saturating_sub(before) / 1024;
    println!("{how:8} {kind:8} {megabytes:>4} {took:>12.1} {taken:>12}  {best}");
    Ok(())
}

/// Runs of letters and digits, as the engine splits.
struct Words;

impl Tokenizer for Words {
    fn tokenize(&self, text: &str) -> Vec<String> {
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    }
}

fn best_of_index(text: &str) -> Option<usize> {
    let lines = text.lines().enumerate().map(|(line, text)| Document::new(line, text));
    let index = SearchEngineBuilder::<usize, u32, Words>::with_tokenizer_and_documents(Words, lines).build();
    index.search(QUERY, 1).first().map(|found| found.document.id)
}

/// Lines of a service's log. The query looks for one of them.
fn log(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 200);
    let (mut line, mut asked) = (0_u64, false);
    while text.len() < bytes {
        line += 1;
        let (shard, took) = (line % 97, line.wrapping_mul(2_654_435_761) % 5_000);
        text.push_str(&format!(
            "2026-11-29T10:00:{:02}Z INFO shard {shard} answered request {line} in {took} us\n",
            line % 60
        ));
        if !asked && text.len() > bytes / 2 {
            asked = true;
            text.push_str("2026-11-29T10:00:00Z ERROR timeout while connecting to shard 17, attempt 3\n");
        }
    }
    text
}

/// Lines of words that each occur once: the worst case for an index's memory.
fn words(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 200);
    let mut word = 0_u64;
    while text.len() < bytes {
        for _ in 0..10 {
            word += 1;
            text.push_str(&format!("{:x} ", word.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        }
        text.push('\n');
    }
    text.push_str("timeout while connecting to shard 17\n");
    text
}

/// A memory figure of this process, from Linux.
fn resident_kb(name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no figures of memory")?;
    line.trim().trim_end_matches(" kB").parse().context("no number")
}
