//! `--llmlingua`: with a tiny model, whose weights are random, so that it shortens and does not understand.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::child::{PATIENCE, Sidecar, client};

pub(crate) const MODEL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/text_model/tests/oracle/bert-base-multilingual-cased");

pub(crate) fn prose() -> String {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faq.md")).unwrap();
    let page = page.replace("**", "");
    let paragraphs = page.split("\n\n").filter(|part| part.starts_with(|char: char| char.is_alphabetic()));
    paragraphs.collect::<Vec<_>>().join("\n\n").chars().take(6000).collect()
}

async fn compress(sidecar: &Sidecar, mut config: Value) -> (u16, Value) {
    // so that the engine leaves it to the model
    config["profile"] = json!("lossless");
    let call = json!({"role": "assistant", "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "fetch", "arguments": "{}"}}]});
    let output = json!({"role": "tool", "tool_call_id": "c", "content": prose()});
    let body = json!({"model": "gpt-4o", "messages": [call, output], "config": config}).to_string();
    let url = format!("http://{}/v1/compress", sidecar.ready.http);
    let answer =
        client().post(url).header("content-type", "application/json").body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

pub(crate) async fn status(sidecar: &Sidecar, expected: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = sidecar.json("/debug/warmup").await["llmlingua"].clone();
        if state["status"] == expected {
            return state;
        }
        assert!(Instant::now() < deadline, "expected {expected}, found {state}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn prose_is_shortened_for_who_asks_and_can_be_had_back() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &["--llmlingua", "--llmlingua-model", MODEL], &[]).await;
    let state = status(&sidecar, "loaded").await;
    assert_eq!((&state["info"]["model"], &state["info"]["device"]), (&json!(MODEL), &json!("cpu")));

    let (code, plain) = compress(&sidecar, json!({"mode": "ccr"})).await;
    assert_eq!((code, plain.get("llmlingua")), (200, None));
    let (code, refused) = compress(&sidecar, json!({"llmlingua": true})).await;
    assert_eq!(code, 400, "{refused}");
    for wrong in [json!(1), json!({}), json!({"text": 0}), json!({"log": true}), json!({"text": "x"})] {
        let (code, answer) = compress(&sidecar, json!({"mode": "ccr", "llmlingua": wrong})).await;
        assert_eq!(code, 400, "{answer}");
    }

    let (_, short) = compress(&sidecar, json!({"mode": "ccr", "llmlingua": {"text": 0.4}})).await;
    assert_eq!(short["llmlingua"], json!({"shortened": 1}), "{short}");
    assert_eq!(short["transforms_applied"], json!(["headroom:llmlingua:lossy"]));
    let text = short["messages"][1]["content"].as_str().unwrap();
    assert!(text.contains("characters left out by a text model"), "{text}");
    let (before, after) = (short["tokens_before"].as_u64().unwrap(), short["tokens_after"].as_u64().unwrap());
    assert!(after * 10 < before * 8 && after > 0, "{before} {after}");
    let hash = short["ccr_hashes"][0].as_str().unwrap();
    assert!(text.contains(hash));
    let original = sidecar.json(&format!("/v1/retrieve/{hash}")).await;
    assert_eq!(original["original_content"], json!(prose()));

    let (_, again) = compress(&sidecar, json!({"mode": "ccr", "llmlingua": {"text": 0.4}})).await;
    assert_eq!(again["messages"], short["messages"], "the same text comes back as the same bytes");

    let url = format!("http://{}/debug/llmlingua/unload", sidecar.ready.http);
    assert_eq!(client().post(url).send().await.unwrap().status().as_u16(), 200);
    status(&sidecar, "unloaded").await;
    let (_, other) = compress(&sidecar, json!({"mode": "ccr", "llmlingua": {"text": 0.5}})).await;
    assert_eq!(other["llmlingua"], json!({"shortened": 1}));
    status(&sidecar, "loaded").await;
}

#[tokio::test]
async fn a_model_that_is_none_is_said_to_be_none_and_messages_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    std::fs::create_dir(&model).unwrap();
    let args = ["--llmlingua", "--llmlingua-model", model.to_str().unwrap()];
    let sidecar = Sidecar::start_with(dir.path(), &args, &[]).await;
    let state = status(&sidecar, "error").await;
    assert!(state["error"].as_str().unwrap().contains("config.json"), "{state}");
    let (code, answer) = compress(&sidecar, json!({"mode": "ccr", "llmlingua": true})).await;
    assert_eq!((code, &answer["llmlingua"]["shortened"]), (200, &json!(0)));
    assert!(answer["llmlingua"]["error"].as_str().unwrap().contains("could not be loaded"), "{answer}");
    assert_eq!(answer["messages"][1]["content"], json!(prose()));
}
