//! The invariants on recorded conversations: those in the repository, and the whole corpus if the environment
//! variable `CORPUS` names one.

use std::fs;
use std::path::{Path, PathBuf};

use headroom_compress::{Api, Config, Memo, Profile, Request, compress};
use serde_json::Value;

use crate::conversation::{APIS, Step};
use crate::{check, check_conversation, epochs};

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn texts(content: &Value) -> Vec<String> {
    match content {
        Value::String(text) => vec![text.clone()],
        parts => parts.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
    }
}

fn steps(conversation: &Value) -> Vec<Step> {
    let string = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut steps = Vec::new();
    for message in conversation["messages"].as_array().unwrap() {
        match message["role"].as_str().unwrap() {
            "user" => steps.extend(texts(&message["content"]).into_iter().map(Step::User)),
            "tool" => steps.push(Step::Output {
                id: string(message, "id"),
                name: string(message, "name"),
                texts: texts(&message["content"]),
            }),
            _ => {
                if !string(message, "text").trim().is_empty() {
                    steps.push(Step::Assistant(string(message, "text")));
                }
                steps.extend(message["calls"].as_array().into_iter().flatten().map(|call| Step::Call {
                    id: string(call, "id"),
                    name: string(call, "name"),
                    arguments: call["args"].clone(),
                }));
            }
        }
    }
    steps
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/conversations")
}

fn corpus() -> Option<PathBuf> {
    let corpus = std::env::var_os("CORPUS").map(PathBuf::from);
    if corpus.is_none() {
        eprintln!("SKIPPED: set CORPUS to the folder of a corpus to run this on all of it");
    }
    corpus
}

/// How many requests of each conversation are checked, spread over its length: all of them would take
/// quadratic time. The forms do not depend on the format, so fewer are enough where only that differs, unless there is a corpus.
fn most_requests(api: Api) -> usize {
    match api {
        Api::AnthropicMessages | Api::OpenAiChat => 12,
        _ if std::env::var_os("CORPUS").is_some() => 12,
        _ => 4,
    }
}

fn check_files(folder: &Path, config: &Config, apis: &[Api]) -> usize {
    let mut conversations = 0;
    for entry in fs::read_dir(folder).unwrap() {
        for conversation in lines(&entry.unwrap().path()) {
            let steps = steps(&conversation);
            let system = conversation["system"].as_str().unwrap_or_default();
            for &api in apis {
                check_conversation(api, system, &steps, most_requests(api), config, true, 0);
            }
            conversations += 1;
        }
    }
    conversations
}

#[test]
fn recorded_conversations_keep_every_invariant() {
    assert_eq!(check_files(&fixtures(), &Config::default(), &APIS), 13);
}

#[test]
fn recorded_conversations_keep_every_invariant_without_a_store() {
    let config = Config { profile: Profile::Lossless, ..Config::default() };
    assert_eq!(check_files(&fixtures(), &config, &[Api::AnthropicMessages]), 13);
}

#[test]
fn recorded_conversations_keep_every_invariant_while_old_turns_are_rewritten() {
    let config = Config { epochs: epochs(2_000, 2), ..Config::default() };
    assert_eq!(check_files(&fixtures(), &config, &[Api::OpenAiChat, Api::CohereChat]), 13);
}

#[test]
fn a_whole_corpus_keeps_every_invariant() {
    let Some(corpus) = corpus() else { return };
    assert!(check_files(&corpus.join("trajectories"), &Config::default(), &[Api::AnthropicMessages]) > 0);
}

#[test]
fn recorded_bodies_of_a_corpus_keep_every_invariant() {
    let Some(corpus) = corpus() else { return };
    let mut bodies = 0;
    for recorded in lines(&corpus.join("wire/recorded_bodies.jsonl")) {
        let api = match recorded["format"].as_str().unwrap() {
            "anthropic" => Api::AnthropicMessages,
            "openai-chat" => Api::OpenAiChat,
            "openai-responses" => Api::OpenAiResponses,
            _ => Api::GeminiGenerateContent,
        };
        let raw = recorded["body"].to_string();
        let config = Config { min_block_bytes: 0, ..Config::default() };
        let request = Request { reversible: true, ..Request::new(api) };
        let outcome = compress(raw.as_bytes(), &request, &config, &mut Memo::new(1 << 20));
        assert_eq!(outcome.unread, None, "{}", recorded["id"]);
        check(api, raw.as_bytes(), &outcome);
        bodies += 1;
    }
    assert!(bodies > 0);
}
