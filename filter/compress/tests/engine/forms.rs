//! The forms of the fixtures are those of `FORMS_VERSION`.
//!
//! `forms.txt` has a line for each version: its number, and a digest of all the fixtures' forms. If the forms
//! have changed, `make forms` writes the line of the version that `src/forms.rs` names. A released version
//! keeps its line: raise the number first, and say in CHANGELOG.md that a rollout changes running
//! conversations once.

use std::fs;
use std::path::{Path, PathBuf};

use headroom_compress::{Api, Config, FORMS_VERSION, Memo, Profile, Request, RetrieveTool, compress};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The files in a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no fixtures", folder.display());
    files
}

fn api(name: &str) -> Api {
    let by_name = Api::ALL.into_iter().find(|api| name.starts_with(api.name()));
    by_name.unwrap_or(match name {
        name if name.starts_with("anthropic") => Api::AnthropicMessages,
        name if name.starts_with("gemini") => Api::GeminiGenerateContent,
        _ => Api::OpenAiChat,
    })
}

/// A recorded conversation as a request to OpenAI.
fn request(conversation: &Value) -> Vec<u8> {
    let messages: Vec<Value> = conversation["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| match message["role"].as_str().unwrap() {
            "user" => json!({"role": "user", "content": message["content"]}),
            "tool" => json!({"role": "tool", "tool_call_id": message["id"], "content": message["content"]}),
            _ => {
                let calls = message["calls"].as_array().into_iter().flatten().map(|call| {
                    let function = json!({"name": call["name"], "arguments": call["args"].to_string()});
                    json!({"id": call["id"], "type": "function", "function": function})
                });
                json!({"role": "assistant", "content": message["text"], "tool_calls": calls.collect::<Vec<_>>()})
            }
        })
        .collect();
    let tools = json!([{"type": "function", "function": {"name": "Bash", "parameters": {"type": "object"}}}]);
    json!({"model": "gpt-5", "tools": tools, "messages": messages}).to_string().into_bytes()
}

/// Every fixture in all its formats and lengths.
fn bodies() -> Vec<(Api, Vec<u8>)> {
    let mut bodies = Vec::new();
    for kind in ["bodies", "untouchables"] {
        for file in files(&folder().join("fixtures").join(kind)) {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            bodies.push((api(&name), fs::read(&file).unwrap()));
        }
    }
    for place in ["../../../tests/fixtures/conversations", "../../../benches/conversations"] {
        for file in files(&folder().join(place)) {
            if file.extension().is_none_or(|it| it != "jsonl") {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let requests = text.lines().map(|line| request(&serde_json::from_str(line).unwrap()));
            bodies.extend(requests.map(|body| (Api::OpenAiChat, body)));
        }
    }
    bodies
}

/// A digest of all their forms, how many tool outputs got another form, and how many a lossy one.
fn digest() -> (String, usize, usize) {
    let mut hasher = blake3::Hasher::new();
    let (mut compressed, mut lossy) = (0, 0);
    for (api, body) in bodies() {
        for profile in [Profile::Lossless, Profile::Balanced, Profile::Aggressive] {
            let config = Config { profile, ..Config::default() };
            let request = Request { reversible: true, retrieve_tool: RetrieveTool::Add, ..Request::new(api) };
            let outcome = compress(&body, &request, &config, &mut Memo::new(0));
            hasher.update(&(outcome.body.len() as u64).to_le_bytes());
            hasher.update(&outcome.body);
            let changed = outcome.blocks.iter().filter(|block| block.tokens_after < block.tokens_before);
            compressed += changed.count();
            lossy += outcome.originals.len();
        }
    }
    (hasher.finalize().to_hex()[..32].to_owned(), compressed, lossy)
}

#[test]
fn the_fixtures_become_what_the_version_says() {
    let path = folder().join("forms.txt");
    let (digest, compressed, lossy) = digest();
    assert!(compressed > 100 && lossy > 5, "{compressed} changed, {lossy} of them lossy: too few to tell");
    let line = format!("{FORMS_VERSION} {digest}");
    let text = fs::read_to_string(&path).unwrap_or_default();
    if std::env::var_os("WRITE_FORMS").is_some() {
        let of_it = |known: &&str| known.split(' ').next() != Some(&FORMS_VERSION.to_string());
        let lines: Vec<&str> = text.lines().filter(of_it).chain([line.as_str()]).collect();
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        return;
    }
    assert_eq!(
        text.lines().last(),
        Some(line.as_str()),
        "the fixtures become something else than forms.txt says of this version: see the head of this file"
    );
}
