//! What a chunk of 512 tokens costs here: a model of a real one's shape with random weights, in a folder of its own.
//!
//! ```text
//! cargo run --release -p headroom-text-model --example throughput -- bert-base
//! ```

use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

use headroom_text_model::{Options, TextModel};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

/// Layers, width, heads, inner width, rows of the vocabulary.
const SHAPES: [(&str, [usize; 5]); 3] = [
    ("minilm", [6, 384, 12, 1536, 30_522]),
    ("bert-base", [12, 768, 12, 3072, 119_547]),
    ("xlm-r-large", [24, 1024, 16, 4096, 250_102]),
];
/// Chunks that are measured.
const CHUNKS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let named = env::args().nth(1).unwrap_or_else(|| "bert-base".to_owned());
    let threads = env::args().nth(2).and_then(|threads| threads.parse().ok()).unwrap_or(1);
    let (_, shape) =
        SHAPES.into_iter().find(|(name, _)| *name == named).ok_or("minilm, bert-base or xlm-r-large")?;
    let folder = env::temp_dir().join(format!("headroom-throughput-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = write(&folder, shape).and_then(|bytes| measure(&folder, &named, threads, bytes));
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(folder: &Path, name: &str, threads: usize, bytes: u64) -> Result<(), Box<dyn std::error::Error>> {
    let before = resident_mib();
    let started = Instant::now();
    let model = TextModel::load(folder, threads)?;
    let loaded = started.elapsed();
    // 510 tokens of one letter and a full stop
    let text = format!("{}.", "a ".repeat(510)).repeat(CHUNKS);
    let mut times = Vec::new();
    let (worked, mut chunks) = (processor_time(), 0);
    for _ in 0..3 {
        let started = Instant::now();
        let compressed = model.compress(&text, &Options::of_rate(0.3), &|| true)?;
        let all = u32::try_from(compressed.chunks)?;
        times.push(started.elapsed() / all);
        chunks += all;
    }
    // on a machine that does other things this tells more than the time that passes
    let worked = (processor_time() - worked) / chunks.max(1);
    times.sort();
    let middle = times.get(1).copied().unwrap_or(Duration::ZERO);
    eprintln!(
        "{name}: {} MiB of weights, {threads} threads: loaded in {:.1} s, {:.2} s a chunk of 512 tokens (three runs: {:?}), \
         {:.2} s of processor time for one, {} MiB resident before, {} after loading and running",
        bytes >> 20,
        loaded.as_secs_f64(),
        middle.as_secs_f64(),
        times,
        worked.as_secs_f64(),
        before,
        resident_mib(),
    );
    Ok(())
}

/// What the threads of this process have worked so far, from Linux; nothing elsewhere.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // behind the program's name, which may have anything in it: the times as user and as system are the 12th and the 13th
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Writes a model whose weights are small random numbers.
fn write(
    folder: &Path,
    [layers, hidden, heads, inner, rows]: [usize; 5],
) -> Result<u64, Box<dyn std::error::Error>> {
    let config = json!({
        "architectures": ["BertForTokenClassification"], "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": heads, "intermediate_size": inner, "vocab_size": rows,
        "max_position_embeddings": 512, "type_vocab_size": 2,
    });
    fs::write(folder.join("config.json"), config.to_string())?;
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "."];
    let vocabulary: serde_json::Map<_, _> =
        words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), id.into())).collect();
    let tokenizer = json!({
        "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": null, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary},
    });
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string())?;
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    for (table, rows) in [("word", rows), ("position", 512), ("token_type", 2)] {
        shapes.push((format!("bert.embeddings.{table}_embeddings.weight"), vec![rows, hidden]));
    }
    let mut linear = |name: String, outputs: usize, inputs: usize| {
        shapes.push((format!("{name}.weight"), vec![outputs, inputs]));
        shapes.push((format!("{name}.bias"), vec![outputs]));
    };
    linear("classifier".to_owned(), 2, hidden);
    for layer in 0..layers {
        let name = |part: &str| format!("bert.encoder.layer.{layer}.{part}");
        for part in
            ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
        {
            linear(name(part), hidden, hidden);
        }
        linear(name("intermediate.dense"), inner, hidden);
        linear(name("output.dense"), hidden, inner);
    }
    let norms = (0..layers).flat_map(|layer| {
        ["attention.output", "output"].map(|part| format!("bert.encoder.layer.{layer}.{part}.LayerNorm"))
    });
    for norm in norms.chain(["bert.embeddings.LayerNorm".to_owned()]) {
        shapes.push((format!("{norm}.weight"), vec![hidden]));
        shapes.push((format!("{norm}.bias"), vec![hidden]));
    }
    let largest = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).max().unwrap_or_default();
    let mut state = 26_u64;
    let values: Vec<u8> = (0..largest)
        .flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1 << 24) as f32 * 0.08 - 0.04).to_le_bytes()
        })
        .collect();
    let mut views = Vec::new();
    for (name, shape) in shapes {
        let bytes = values.get(..shape.iter().product::<usize>() * 4).unwrap_or_default();
        views.push((name, TensorView::new(Dtype::F32, shape, bytes)?));
    }
    let path = folder.join("model.safetensors");
    safetensors::serialize_to_file(views, None, &path)?;
    Ok(fs::metadata(path)?.len())
}

/// Memory of this process that is in use, where the system says so.
fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or_default() >> 10
}
