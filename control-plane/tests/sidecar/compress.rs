//! The requests of gateways and SDKs, in their own form.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::child::{PATIENCE, Sidecar, client};

#[derive(Deserialize)]
struct Recording {
    texts: Map<String, Value>,
    exchanges: Vec<Exchange>,
}

#[derive(Clone, Deserialize)]
struct Exchange {
    name: String,
    path: String,
    status: u16,
    fields: Option<Vec<String>>,
    body: Value,
}

fn recorded() -> Vec<Exchange> {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateways/exchanges.json"));
    let recorded: Recording = serde_json::from_str(&text.unwrap()).unwrap();
    let filled = |exchange: Exchange| Exchange { body: filled(exchange.body, &recorded.texts), ..exchange };
    recorded.exchanges.into_iter().map(filled).collect()
}

fn filled(value: Value, texts: &Map<String, Value>) -> Value {
    match value {
        Value::String(name) => match name.strip_prefix('@').and_then(|name| texts.get(name)) {
            Some(text) => text.clone(),
            None => Value::String(name),
        },
        Value::Array(all) => all.into_iter().map(|value| filled(value, texts)).collect(),
        Value::Object(all) => all.into_iter().map(|(key, value)| (key, filled(value, texts))).collect(),
        other => other,
    }
}

async fn post(sidecar: &Sidecar, path: &str, headers: &[(&str, &str)], body: String) -> (u16, String) {
    let mut request = client().post(format!("http://{}{path}", sidecar.ready.http)).body(body);
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn compress(sidecar: &Sidecar, headers: &[(&str, &str)], body: &Value) -> Value {
    let (status, answer) = post(sidecar, "/v1/compress", headers, body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).unwrap()
}

pub(crate) fn log(lines: usize) -> String {
    (0..lines)
        .map(|n| {
            let level = if n % 97 == 13 { "ERROR connection refused by" } else { "INFO finished" };
            format!(
                "2026-01-01T00:{:02}:{:02}Z {level} worker {} job {}\n",
                n / 60 % 60,
                n % 60,
                n % 7,
                n * 31
            )
        })
        .collect()
}

fn pets(count: usize) -> String {
    let pets: Vec<Value> = (0..count)
        .map(|n| json!({"id": n, "name": format!("Rex {n}"), "kind": "dog", "city": "Köln"}))
        .collect();
    serde_json::to_string_pretty(&pets).unwrap()
}

/// The part of a conversation that LiteLLM sends: results without their calls.
fn part(text: &str) -> Value {
    json!([{"role": "user", "content": "What failed?"}, {"role": "tool", "tool_call_id": "c1", "content": text}])
}

async fn until<T>(mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "the condition did not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn recorded_calls_are_answered_with_the_fields_and_rows_that_their_callers_read() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut shortened = BTreeSet::new();
    for exchange in recorded() {
        let Exchange { name, path, status, fields, body } = exchange;
        let sent = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        let headers: &[_] =
            if name.starts_with("compress-bypass") { &[("x-headroom-bypass", "true")] } else { &[] };
        let (found, answer) = post(&sidecar, &path, headers, sent).await;
        // Rows that are not objects are the caller's mistake, not a failure of the service.
        let expected = if status == 503 { 400 } else { status };
        assert_eq!(found, expected, "{name}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        if found == 400 {
            assert_eq!(answer["error"]["type"], "invalid_request", "{name}");
            assert!(answer["error"]["message"].as_str().is_some_and(|message| message.len() > 10), "{name}");
            continue;
        }
        for field in fields.into_iter().flatten() {
            let absent = field == "transforms_summary" && name.contains("bypass");
            assert!(!answer[&field].is_null() || absent, "{name}: {field} is missing in {answer}");
        }
        if path != "/v1/compress" {
            continue;
        }
        let (rows, given) = (body.get("messages").or(body.get("input")).unwrap(), &answer["messages"]);
        let roles = |rows: &Value| {
            let role = |row: &Value| (row["role"].clone(), row["type"].clone(), row["tool_call_id"].clone());
            rows.as_array().unwrap().iter().map(role).collect::<Vec<_>>()
        };
        assert_eq!(roles(given), roles(rows), "{name}");
        let (before, after) =
            (answer["tokens_before"].as_u64().unwrap(), answer["tokens_after"].as_u64().unwrap());
        assert!(after <= before && answer["compression_skipped"].is_null(), "{name}: {before} {after}");
        assert_eq!(answer["tokens_saved"], before - after, "{name}");
        for (sent, given) in rows.as_array().unwrap().iter().zip(given.as_array().unwrap()) {
            if sent != given {
                let result =
                    sent["content"][0]["type"] == "tool_result" || sent["type"] == "function_call_output";
                assert!(sent["role"] == "tool" || result, "{name}: {sent}");
                shortened.insert(name.split('-').next().unwrap_or_default().to_owned());
            }
        }
    }
    assert_eq!(shortened, ["compress", "litellm", "sdk", "session"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_row_becomes_the_same_bytes_whatever_stands_around_it() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    for mode in [Value::Null, json!("ccr")] {
        let config = json!({"mode": mode});
        let alone =
            compress(&sidecar, &[], &json!({"model": "m", "messages": part(&log(900)), "config": config}))
                .await;
        let row = &alone["messages"][1];
        assert_ne!(row["content"], log(900), "{mode}");
        let mut rows = part(&pets(80)).as_array().unwrap().clone();
        rows.push(json!({"role": "user", "content": "anything else about worker 3?"}));
        rows.push(json!({"role": "tool", "tool_call_id": "c1", "content": log(900)}));
        rows.push(json!({"role": "tool", "tool_call_id": "c2", "content": log(900)}));
        let body = json!({"model": "claude-sonnet-4-5", "messages": rows, "config": config, "system": "s", "tools": []});
        let among = compress(&sidecar, &[("x-headroom-stack", "other")], &body).await;
        assert_eq!(&among["messages"][3], row, "{mode}");
        assert_eq!(among["messages"][4]["content"], row["content"], "{mode}: it refers to no other row");
        // compressed rows are returned unchanged, with their hashes
        let again = json!({"model": "m", "messages": among["messages"], "config": config});
        let again = compress(&sidecar, &[], &again).await;
        assert_eq!(again["messages"], among["messages"], "{mode}");
        assert_eq!(again["ccr_hashes"], among["ccr_hashes"], "{mode}");
    }
}

#[tokio::test]
async fn nothing_is_left_out_unless_the_caller_can_ask_for_it_and_then_it_can_be_had() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let me = [("x-headroom-user-id", "me"), ("x-headroom-stack", "adapter_litellm")];
    for config in [json!({}), json!({"mode": "lossy_inline"}), json!({"mode": "ccr", "profile": "lossless"})]
    {
        let body = json!({"model": "gpt-4o", "messages": part(&log(900)), "config": config});
        let answer = compress(&sidecar, &me, &body).await;
        assert_eq!(answer["ccr_hashes"], json!([]), "{config}");
        assert!(!answer.to_string().contains("headroom_retrieve"), "{config}");
    }
    let body = json!({"model": "gpt-4o", "messages": part(&log(900)), "config": {"mode": "ccr"}});
    let answer = compress(&sidecar, &me, &body).await;
    let hash = answer["ccr_hashes"][0].as_str().unwrap().to_owned();
    assert!(
        hash.len() == 24 && answer["messages"][1]["content"].as_str().unwrap().contains(&hash),
        "{answer}"
    );
    let get = async |path: String, tenant: &str| {
        let url = format!("http://{}{path}", sidecar.ready.http);
        let answer = client().get(url).header("x-headroom-user-id", tenant).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, whole) = get(format!("/v1/retrieve/{hash}"), "me").await;
    assert_eq!((status, &whole["original_content"]), (200, &json!(log(900))));
    let (_, found) = get(format!("/v1/retrieve/{hash}?query=refused"), "me").await;
    assert!(found["original_content"].as_str().unwrap().contains("connection refused"), "{found}");
    assert_eq!(get(format!("/v1/retrieve/{hash}"), "you").await.0, 404);
    // an old marker is listed only for its tenant, and text that only looks like a marker is not listed
    let old = part(&format!(
        "[headroom: 1 of 2 lines left out. Full text: headroom_retrieve hash={hash}] and headroom_retrieve hash=0123456789abcdef01234567, headroom_retrieve hash=é"
    ));
    let old = json!({"model": "gpt-4o", "messages": old});
    assert_eq!(compress(&sidecar, &me, &old).await["ccr_hashes"], json!([hash]));
    assert_eq!(compress(&sidecar, &[], &old).await["ccr_hashes"], json!([]));
}

#[tokio::test]
async fn a_session_is_answered_with_the_prefix_that_it_has_whatever_is_set_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut rows = part(&log(900)).as_array().unwrap().clone();
    let body = |rows: &[Value], config: Value| json!({"model": "gpt-4o", "messages": rows, "config": config});
    let first = compress(&sidecar, &[], &body(&rows, json!({"session_id": "s", "mode": "ccr"}))).await;
    assert_eq!(
        first["session"],
        json!({"id": "s", "frozen_message_count": 0, "cached_prefix_replayed": false})
    );
    rows.push(json!({"role": "tool", "tool_call_id": "c2", "content": log(900)}));
    let second = compress(&sidecar, &[], &body(&rows, json!({"session_id": "s"}))).await;
    assert_eq!(
        second["session"],
        json!({"id": "s", "frozen_message_count": 2, "cached_prefix_replayed": true})
    );
    assert_eq!(second["messages"][1], first["messages"][1]);
    assert_eq!(second["ccr_hashes"], first["ccr_hashes"], "what the prefix names is listed");
    assert_ne!(
        second["messages"][2]["content"], second["messages"][1]["content"],
        "and now nothing is left out"
    );
    let other = [("x-headroom-user-id", "other")];
    let theirs = compress(&sidecar, &other, &body(&rows, json!({"session_id": "s"}))).await;
    assert_eq!(theirs["session"]["frozen_message_count"], 0);
    let usage =
        |tokens: Value| json!({"session_id": "s", "usage": {"cache_read_input_tokens": tokens}}).to_string();
    let (status, told) = post(&sidecar, "/v1/usage", &[], usage(json!(3000))).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((status, told), (200, json!({"session_id": "s", "frozen_message_count": 3, "applied": true})));
    assert_eq!(post(&sidecar, "/v1/usage", &[("x-headroom-user-id", "none")], usage(json!(1))).await.0, 404);
}

#[tokio::test]
async fn simulated_calls_change_nothing_and_say_what_would_become_of_each_output() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let rows = part(&log(900));
    let body = |mode| json!({"model": "gpt-4o", "messages": rows, "config": {"mode": mode}});
    let plan = compress(&sidecar, &[], &body("simulate")).await;
    assert_eq!(
        (&plan["messages"], &plan["simulated"], &plan["ccr_hashes"]),
        (&rows, &json!(true), &json!([]))
    );
    let block = &plan["plan"]["blocks"][0];
    assert_eq!((&block["message"], &block["lossy"]), (&json!(1), &json!(true)), "{block}");
    assert!(block["left_out"].is_string(), "{block}");
    assert_eq!(sidecar.json("/v1/retrieve/stats").await["store"]["entry_count"], 0);
    let real = compress(&sidecar, &[], &body("ccr")).await;
    assert_eq!(plan["plan"]["messages"], real["messages"]);
    for figure in ["tokens_before", "tokens_after", "transforms_applied"] {
        assert_eq!(plan[figure], real[figure], "{figure}");
    }
}

#[tokio::test]
async fn fewer_items_of_a_long_list_stay_where_the_caller_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let items: Vec<Value> = (0..600)
        .map(
            |n| json!({"id": n * 7919 % 99_991, "owner": format!("team-{}", n * n % 41), "load": n * n % 97}),
        )
        .collect();
    let rows = part(&json!(items).to_string());
    let after = async |config: Value| {
        let body = json!({"model": "m", "messages": rows, "config": config});
        compress(&sidecar, &[], &body).await["tokens_after"].as_u64().unwrap()
    };
    let free = after(json!({"mode": "ccr"})).await;
    let few = after(json!({"mode": "ccr", "max_items_after_crush": 5})).await;
    assert!(few < free, "{few} of {free}");
    assert_eq!(after(json!({"mode": "ccr", "max_items_after_crush": 5_000})).await, free);
    let lossless = after(json!({})).await;
    assert_eq!(after(json!({"max_items_after_crush": 5})).await, lossless, "nothing is left out of it");
}

/// A model for which two words mean the same.
fn model(folder: &Path) {
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "ferry": 1, "harbour": 2, "team": 3}, "unk_token": "[UNK]"},
    });
    let values: Vec<u8> =
        [0.0_f32, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0].iter().flat_map(|it| it.to_le_bytes()).collect();
    let table = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![4, 2], &values).unwrap();
    let bytes = safetensors::serialize([("embedding.weight", table)], None).unwrap();
    std::fs::write(folder.join("table.safetensors"), bytes).unwrap();
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

#[tokio::test]
async fn of_what_is_left_out_a_scorer_keeps_what_the_user_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join("models");
    std::fs::create_dir(&models).unwrap();
    model(&models);
    let sidecar =
        Sidecar::start_with(dir.path(), &["--memory-model-dir", models.to_str().unwrap()], &[]).await;
    until(async || {
        let warmup = sidecar.json("/debug/warmup").await;
        (warmup["memory_embedder"]["status"] == "loaded").then_some(())
    })
    .await;
    let items: Vec<Value> = (0..600)
        .map(|n: u64| {
            let place = if n == 311 { "harbour" } else { "team" };
            json!({"id": n * 7919 % 99_991, "owner": format!("{place} {:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)), "load": n * n % 97})
        })
        .collect();
    let text = json!(items).to_string();
    let (name, spelled) = ("harbour", items[311]["id"].to_string());
    let call = json!({"id": "c", "type": "function", "function": {"name": "list", "arguments": "{}"}});
    let shown = async |said: &Value, config: Value| {
        let rows = json!([
            {"role": "user", "content": said},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": text},
        ]);
        let answer =
            compress(&sidecar, &[], &json!({"model": "m", "messages": rows, "config": config})).await;
        let content = answer["messages"][2]["content"].as_str().unwrap().to_owned();
        assert!(content.len() < text.len() / 2 || config["mode"] != "ccr", "{content}");
        (content.contains(name), answer)
    };
    let meant = json!("When does the ferry leave?");
    let ccr = |scorer: &str| json!({"mode": "ccr", "scorer": scorer});
    // nothing tells this row from the others but what the user asks for
    let (plain, answer) = shown(&meant, json!({"mode": "ccr"})).await;
    assert_eq!((plain, &answer["scorer"]), (false, &Value::Null));
    let (by_words, answer) = shown(&meant, ccr("bm25")).await;
    assert_eq!((by_words, &answer["scorer"], &answer["scorer_note"]), (false, &json!("bm25"), &Value::Null));
    for scorer in ["embedding", "hybrid"] {
        let (kept, answer) = shown(&meant, ccr(scorer)).await;
        assert_eq!(
            (kept, &answer["scorer"], &answer["scorer_note"]),
            (true, &json!(scorer), &Value::Null),
            "{answer}"
        );
        assert_eq!(shown(&meant, ccr(scorer)).await.1["messages"], answer["messages"]);
        let hash = answer["ccr_hashes"][0].as_str().unwrap();
        assert_eq!(sidecar.json(&format!("/v1/retrieve/{hash}")).await["original_content"], text);
    }
    // said as parts, with what an agent adds to it; by words the row's own id finds it
    let named = json!([{"type": "text", "text": "<system-reminder>ferry</system-reminder>"},
        {"type": "text", "text": format!("What about {spelled}?")}]);
    assert!(shown(&named, ccr("bm25")).await.0 && shown(&named, ccr("hybrid")).await.0);
    assert!(!shown(&named, ccr("embedding")).await.0, "it has no meaning");
    assert!(!shown(&named, json!({"mode": "ccr"})).await.0);
    // where nothing is left out there is nothing to decide
    let (_, answer) = shown(&meant, json!({"scorer": "hybrid"})).await;
    assert_eq!(answer["scorer"], Value::Null);
    // a session keeps what it was answered
    let session = |scorer: &str| json!({"mode": "ccr", "session_id": "s", "scorer": scorer});
    let first = shown(&meant, session("bm25")).await.1;
    assert_eq!(shown(&meant, session("embedding")).await.1["messages"], first["messages"]);
}

/// An output counts once among those of which something is left out, and what is asked back of it belongs to it.
#[tokio::test]
async fn what_is_left_out_here_and_asked_back_is_counted_by_form() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let call = json!({"id": "c", "type": "function", "function": {"name": "tail_log", "arguments": "{}"}});
    let mut rows = vec![
        json!({"role": "user", "content": "What failed?"}),
        json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": "c", "content": log(2_000)}),
    ];
    let ask = |rows: &[Value]| json!({"model": "m", "messages": rows, "config": {"mode": "ccr"}});
    let answer = compress(&sidecar, &[], &ask(&rows)).await;
    let hash = answer["ccr_hashes"][0].as_str().unwrap();
    // the next turn of the model stands behind it, so it is not new any more
    rows.push(json!({"role": "assistant", "content": "It was refused."}));
    assert_eq!(compress(&sidecar, &[], &ask(&rows)).await["ccr_hashes"][0], hash);
    sidecar.json(&format!("/v1/retrieve/{hash}")).await;
    let pattern = until(async || {
        let page = sidecar.json("/v1/toin/stats").await;
        let total = sidecar.json("/stats").await["requests"]["total"].clone();
        (total == 2 && page["total_retrievals"] == 1).then(|| page["patterns"].clone())
    })
    .await;
    assert_eq!(pattern.as_array().unwrap().len(), 1, "{pattern}");
    assert_eq!((&pattern[0]["tool"], &pattern[0]["outputs"]), (&json!("tail_log"), &json!(1)));
    assert_eq!((&pattern[0]["retrievals"], &pattern[0]["retrieval_rate"]), (&json!(1), &json!(1.0)));
}

#[tokio::test]
async fn settings_leave_rows_alone() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let rows = part(&pets(80));
    let stays = async |config: Value| {
        let answer =
            compress(&sidecar, &[], &json!({"model": "m", "messages": rows, "config": config})).await;
        assert_eq!(
            answer["tokens_before"].as_u64() == answer["tokens_after"].as_u64(),
            answer["messages"] == rows
        );
        answer["messages"] == rows
    };
    assert!(!stays(json!({})).await);
    assert!(!stays(json!({"min_tokens_to_crush": 200, "max_items_after_crush": 15})).await);
    assert!(stays(json!({"min_tokens_to_crush": 1_000_000})).await);
    assert!(!stays(json!({"frozen_message_count": 1})).await);
    assert!(stays(json!({"frozen_message_count": 2})).await);
}

#[tokio::test]
async fn each_call_is_a_record_of_its_stack_and_tenant_and_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let headers = [("x-headroom-stack", "adapter_ts"), ("x-headroom-user-id", "team-7")];
    let body = json!({"model": "gpt-4o", "messages": part(&pets(80))});
    let answer = compress(&sidecar, &headers, &body).await;
    let stats = until(async || {
        let stats = sidecar.json("/stats").await;
        (stats["recent_requests"].as_array().is_some_and(|recent| !recent.is_empty())).then_some(stats)
    })
    .await;
    let text = stats.to_string();
    assert!(text.contains("adapter_ts") && text.contains("\"compress\""), "{text}");
    let record = &stats["recent_requests"][0];
    assert!(record.to_string().contains(&answer["tokens_saved"].to_string()), "{record}");
}

#[tokio::test]
async fn what_would_be_left_out_stays_where_it_cannot_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &["--ccr-max-bytes", "10"], &[]).await;
    let rows = part(&log(900));
    let answer =
        compress(&sidecar, &[], &json!({"model": "m", "messages": rows, "config": {"mode": "ccr"}})).await;
    assert_eq!((&answer["messages"], &answer["skip_reason"]), (&rows, &json!("originals_not_kept")));
    assert_eq!(answer["ccr_hashes"], json!([]));
}

#[tokio::test]
async fn hostile_calls_are_refused_or_pass_and_the_next_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let url = format!("http://{}/v1/compress", sidecar.ready.http);
    assert_eq!(client().get(&url).send().await.unwrap().status().as_u16(), 405);
    assert_eq!(client().put(&url).send().await.unwrap().status().as_u16(), 405);
    let long = format!(r#"{{"model":"m","messages":[],"x":"{}"}}"#, "x".repeat(33 << 20));
    let (status, told) = post(&sidecar, "/v1/compress", &[], long.clone()).await;
    assert!(status == 413 && told.contains("invalid_request"), "{status} {told}");
    // without a length
    let pieces = tokio_stream::iter(
        long.into_bytes().chunks(1 << 20).map(|it| Ok::<_, std::io::Error>(it.to_vec())).collect::<Vec<_>>(),
    );
    let chunked = client().post(&url).header("content-type", "application/json");
    let answer = chunked.body(reqwest::Body::wrap_stream(pieces)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 413);
    let body = r#"{"model":"m","messages":[]}"#;
    for (name, value) in [("content-type", "text/plain"), ("content-encoding", "gzip")] {
        assert_eq!(post(&sidecar, "/v1/compress", &[(name, value)], body.to_owned()).await.0, 415, "{name}");
    }
    let deep = format!(
        r#"{{"model":"m","messages":[{{"role":"tool","content":{}{}}}]}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    for row in [
        deep,
        r#"{"model":"m","messages":[{"role":"tool","role":"user","content":"x"},{"role":7},{},{"content":{"a":[]}}]}"#.to_owned(),
        r#"{"model":"m","messages":[{"role":"tool","tool_call_id":"c","content":"\ud800\u0000"}]}"#.to_owned(),
        r#"{"model":"m","input":[{"type":"function_call_output","call_id":[],"output":{}}]}"#.to_owned(),
    ] {
        let (status, answer) = post(&sidecar, "/v1/compress", &[], row.clone()).await;
        assert_eq!(status, 200, "{answer}");
        let messages = row.split_once('[').unwrap().1.rsplit_once(']').unwrap().0;
        assert!(answer.starts_with(&format!("{{\"messages\":[{messages}]")), "byte for byte: {}", &answer[..200]);
    }
    // more at once than any client sends
    let body = json!({"model": "m", "messages": part(&log(200))}).to_string();
    let calls: Vec<_> = (0..600)
        .map(|_| {
            let (url, body) = (url.clone(), body.clone());
            tokio::spawn(async move {
                let request = client().post(url).header("content-type", "application/json").body(body);
                let answer = request.send().await.unwrap();
                (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
            })
        })
        .collect();
    for call in calls {
        let (status, answer) = call.await.unwrap();
        let waits_no_longer = answer["skip_reason"] == "busy" || answer["compression_skipped"].is_null();
        assert!(status == 200 && answer["messages"][1]["role"] == "tool" && waits_no_longer, "{answer}");
    }
}
