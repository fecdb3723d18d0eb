//! As WASM, compiled as the module is, the engine gives the same bytes as natively.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use headroom_compress::Memo;
use serde_json::{Value, json};

/// Runs a WASI command under Node with files as its standard input and output.
const RUN: &str = "
const [wasm, input, output] = process.argv.slice(1);
const fs = require('node:fs');
const { WASI } = require('node:wasi');
const wasi = new WASI({ version: 'preview1', args: ['answers'], env: {},
    stdin: fs.openSync(input, 'r'), stdout: fs.openSync(output, 'w'), returnOnExit: true });
const instance = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync(wasm)), wasi.getImportObject());
process.exit(wasi.start(instance));
";

#[allow(dead_code, unreachable_pub, reason = "the test calls what the command prints")]
#[path = "../../answers/src/main.rs"]
mod native;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The command, built for WASI as the module is. `make` has done it already, and then says so with `HEADROOM_BUILT=1`.
fn built() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    if env::var_os("HEADROOM_BUILT").is_none_or(|value| value != "1") {
        let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "-p", "headroom-answers"])
            .args(["--target", "wasm32-wasip1", "--profile", "wasm", "--target-dir"])
            .arg(target)
            .current_dir(workspace())
            .status()
            .unwrap();
        assert!(status.success(), "cargo could not build the engine for wasm32-wasip1");
    }
    target.join("wasm32-wasip1/wasm/headroom-answers.wasm")
}

/// Requests of a recorded conversation, as bodies of OpenAI Chat: at a third, two thirds, and the end.
fn requests(conversation: &Value) -> Vec<String> {
    let messages: Vec<Value> = conversation["messages"].as_array().unwrap().iter().map(message).collect();
    [1, 2, 3]
        .map(|third| {
            let messages = &messages[..messages.len() * third / 3];
            json!({"model": "gpt-4.1", "tools": [{"type": "function", "function": {"name": "run"}}],
                "messages": messages})
            .to_string()
        })
        .to_vec()
}

fn message(message: &Value) -> Value {
    match message["role"].as_str().unwrap() {
        "tool" => {
            let content = match &message["content"] {
                Value::Array(texts) => {
                    texts.iter().map(|text| json!({"type": "text", "text": text})).collect()
                }
                text => text.clone(),
            };
            json!({"role": "tool", "tool_call_id": message["id"], "content": content})
        }
        "assistant" => {
            let calls = message["calls"].as_array().into_iter().flatten();
            let calls: Vec<Value> = calls
                .map(|call| {
                    json!({"id": call["id"], "type": "function",
                        "function": {"name": call["name"], "arguments": call["args"].to_string()}})
                })
                .collect();
            json!({"role": "assistant", "content": message["text"], "tool_calls": calls})
        }
        role => json!({"role": role, "content": message["content"].as_str().unwrap_or_default()}),
    }
}

fn lines_of(folder: &Path, lines: &mut Vec<String>) {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        for line in fs::read_to_string(file).unwrap().lines() {
            for body in requests(&serde_json::from_str(line).unwrap()) {
                lines.push(json!(["openai_chat", body]).to_string());
            }
        }
    }
}

fn assert_same(name: &str, lines: &[String]) {
    if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: install Node.js 20 or later to compare the engine with itself as WASM");
        return;
    }
    let wasm = built();
    let file = |what: &str| Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{what}"));
    fs::write(file("in"), lines.join("\n")).unwrap();
    let node = Command::new("node")
        .args(["--no-warnings", "-e", RUN, "--"])
        .args([wasm, file("in"), file("out")])
        .stdout(Stdio::inherit())
        .status()
        .unwrap();
    assert!(node.success());
    let answers = fs::read_to_string(file("out")).unwrap();
    let mut answers = answers.lines();
    let mut memo = Memo::new(32 << 20);
    let mut replaced = 0;
    for (at, line) in lines.iter().enumerate() {
        for native in native::answers(line, &mut memo).unwrap() {
            let wasm = answers.next().unwrap_or_default();
            assert!(native == wasm, "line {at} is natively {native:.2000} and as WASM {wasm:.2000}");
            replaced += usize::from(native.contains("json_table") || native.contains("line_numbers"));
        }
    }
    assert_eq!(answers.next(), None);
    assert!(replaced > 0, "nothing was compressed");
}

#[test]
fn recorded_conversations_give_the_same_bytes_natively_and_as_wasm() {
    let mut lines = Vec::new();
    lines_of(&workspace().join("tests/fixtures/conversations"), &mut lines);
    let bodies = workspace().join("filter/compress/tests/fixtures/bodies");
    for entry in fs::read_dir(bodies).unwrap() {
        let path = entry.unwrap().path();
        let body = fs::read_to_string(&path).unwrap();
        for api in ["anthropic_messages", "openai_chat", "openai_responses", "gemini_generate_content"] {
            lines.push(json!([api, body]).to_string());
        }
    }
    assert_same("recorded", &lines);
}

#[test]
fn a_whole_corpus_gives_the_same_bytes_natively_and_as_wasm() {
    let Some(corpus) = std::env::var_os("CORPUS") else {
        eprintln!("SKIPPED: set CORPUS to the folder of a corpus to compare on all of it");
        return;
    };
    let mut lines = Vec::new();
    lines_of(&Path::new(&corpus).join("trajectories"), &mut lines);
    assert_same("corpus", &lines);
}
