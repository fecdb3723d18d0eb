//! The fuzz targets with the same mutations in every run, on any compiler.

use std::fs;

use crate::numbers::Numbers;

#[path = "../../fuzz/src/lib.rs"]
#[allow(missing_docs, unreachable_pub, dead_code, reason = "the fuzz targets use all of it")]
mod targets;

/// Mutations of each target.
const ROUNDS: usize = 300;

/// The longest input in bytes.
const MOST: usize = 6 << 10;

/// The bodies of all fixtures, in the order of their names.
fn seeds() -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    for folder in ["faults", "bodies"] {
        let folder = format!("{}/tests/fixtures/{folder}", env!("CARGO_MANIFEST_DIR"));
        paths.extend(fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One of the seeds with bytes changed, left out, doubled, or put in from another one.
fn mutated(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seeds[numbers.below(seeds.len())].clone();
    if bytes.len() > MOST {
        let from = numbers.below(bytes.len() - MOST);
        bytes = bytes[from..from + MOST].to_vec();
    }
    for _ in 0..1 + numbers.below(6) {
        let from = numbers.below(bytes.len());
        let to = (from + 1 + numbers.below(200)).min(bytes.len());
        match numbers.below(5) {
            0 if from < to => bytes[from] = u8::try_from(numbers.below(256)).unwrap(),
            1 => drop(bytes.drain(from..to)),
            2 => {
                let piece = bytes[from..to].repeat(1 + numbers.below(12));
                bytes.splice(from..from, piece);
            }
            3 => {
                let other = &seeds[numbers.below(seeds.len())];
                let start = numbers.below(other.len());
                bytes.splice(from..to, other[start..(start + 400).min(other.len())].iter().copied());
            }
            _ => {
                const MARKS: [&str; 10] =
                    ["\n", "\\n", "\"", "[", "{\"", "\u{1b}[31m", "🦀", "@@ ", "\\ud800", "[headroom: "];
                bytes.splice(from..from, MARKS[numbers.below(MARKS.len())].bytes());
            }
        }
    }
    bytes.truncate(4 * MOST);
    bytes
}

#[test]
fn any_body_stays_what_it_is_outside_of_its_outputs() {
    let seeds = seeds();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    // Unchanged, so that whole bodies are among the inputs.
    for seed in &seeds {
        targets::any_body(seed);
    }
    for _ in 0..ROUNDS {
        targets::any_body(&mutated(&seeds, &mut numbers));
    }
}

#[test]
fn any_output_gets_a_form_that_holds_its_promises() {
    let seeds = seeds();
    let mut numbers = Numbers(0xd1b5_4a32_d192_ed03);
    for _ in 0..ROUNDS {
        let bytes = mutated(&seeds, &mut numbers);
        // Escaped line ends become real ones: outputs have lines.
        targets::any_output(&String::from_utf8_lossy(&bytes).replace("\\n", "\n").replace("\\\"", "\""));
    }
}

#[test]
fn what_a_conversation_has_shown_stays_as_it_was() {
    let seeds = seeds();
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    for _ in 0..ROUNDS / 3 {
        let texts: Vec<String> = (0..4)
            .map(|_| String::from_utf8_lossy(&mutated(&seeds, &mut numbers)).replace("\\n", "\n"))
            .collect();
        let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).take(200).collect();
        let outputs: Vec<Vec<u8>> = (0..1 + numbers.below(5))
            .map(|_| {
                // Runs of lines that other outputs also have.
                let from = numbers.below(200);
                (0..10 + numbers.below(50)).map(|at| u8::try_from((from + at) % 200).unwrap()).collect()
            })
            .collect();
        targets::any_conversation(u8::try_from(numbers.below(256)).unwrap(), &lines, &outputs);
    }
}
