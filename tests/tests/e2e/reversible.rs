//! Lossy forms through the real Envoy: nothing leaves before its original is stored, and the model gets it
//! back.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use headroom_compress::{Api, Config, Memo, Request, RetrieveTool, compress};
use headroom_e2e::client::{Answer, Call, Protocol};
use headroom_e2e::conversation::{self, fixtures, read_sets};
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER, Script, ToolCall};
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Stack, deadline::until};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::command_line::run;
use crate::stacks::{MAX_BODY_BYTES, MODES, Mode, assert_no_trap, forwarded, options};

const APIS: [Api; 4] =
    [Api::AnthropicMessages, Api::OpenAiChat, Api::OpenAiResponses, Api::GeminiGenerateContent];
const MODEL: &str = "gpt-4.1";
/// Rows of an output of which most are left out.
pub(crate) const ROWS: usize = 300;
/// A deadline that a busy machine meets.
pub(crate) const PATIENT_MS: u32 = 20_000;

fn reversible(mode: Mode, admit_timeout_ms: u32) -> Options {
    let mut options = options(mode);
    let plugin = options.filter.as_mut().expect("the filter is on");
    plugin["reversible"] = true.into();
    plugin["control_plane"]["admit_timeout_ms"] = admit_timeout_ms.into();
    plugin["control_plane"]["breaker_pause_ms"] = 100.into();
    Options { workers: 2, ..options }
}

/// One stack for all tests that leave its sidecar alone.
async fn shared() -> Result<&'static Stack> {
    static STACK: OnceCell<Stack> = OnceCell::const_new();
    STACK.get_or_try_init(|| Stack::start(reversible(Mode::Strip, PATIENT_MS), Kind::Real)).await
}

pub(crate) fn rows(count: usize, salt: usize) -> String {
    let rows: Vec<Value> = (0..count)
        .map(|n| {
            json!({"id": 7919 * (n + 1), "build": salt, "status": if n == 40 { "failed" } else { "ok" },
                "name": format!("deployment-{n}"), "region": "eu-central-1"})
        })
        .collect();
    json!(rows).to_string()
}

fn path(api: Api, stream: bool) -> String {
    match api {
        Api::AnthropicMessages => "/v1/messages".to_owned(),
        Api::OpenAiChat => "/v1/chat/completions".to_owned(),
        Api::OpenAiResponses => "/v1/responses".to_owned(),
        Api::GeminiGenerateContent if stream => {
            format!("/v1beta/models/{MODEL}:streamGenerateContent?alt=sse")
        }
        Api::GeminiGenerateContent => format!("/v1beta/models/{MODEL}:generateContent"),
        other => unreachable!("calls are not answered in {other:?}"),
    }
}

/// A request whose tools have given these outputs.
pub(crate) fn body(api: Api, stream: bool, outputs: &[String]) -> Vec<u8> {
    let user = "Which deployments failed?";
    let body = match api {
        Api::AnthropicMessages => {
            let turns = outputs.iter().enumerate().flat_map(|(n, output)| {
                let id = format!("toolu_{n}");
                [
                    json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "list", "input": {}}]}),
                    json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": output}]}),
                ]
            });
            let messages: Vec<_> =
                [json!({"role": "user", "content": user})].into_iter().chain(turns).collect();
            json!({"model": MODEL, "max_tokens": 1024, "stream": stream,
                "tools": [{"name": "list", "input_schema": {"type": "object"}}], "messages": messages})
        }
        Api::OpenAiChat => {
            let turns = outputs.iter().enumerate().flat_map(|(n, output)| {
                let id = format!("call_{n}");
                [
                    json!({"role": "assistant", "tool_calls": [{"id": id, "type": "function",
                        "function": {"name": "list", "arguments": "{}"}}]}),
                    json!({"role": "tool", "tool_call_id": id, "content": output}),
                ]
            });
            let messages: Vec<_> =
                [json!({"role": "user", "content": user})].into_iter().chain(turns).collect();
            json!({"model": MODEL, "stream": stream, "stream_options": {"include_usage": true},
                "tools": [{"type": "function", "function": {"name": "list"}}], "messages": messages})
        }
        Api::OpenAiResponses => {
            let turns = outputs.iter().enumerate().flat_map(|(n, output)| {
                let id = format!("call_{n}");
                [
                    json!({"type": "function_call", "call_id": id, "name": "list", "arguments": "{}"}),
                    json!({"type": "function_call_output", "call_id": id, "output": output}),
                ]
            });
            let input: Vec<_> = [json!({"role": "user", "content": user})].into_iter().chain(turns).collect();
            json!({"model": MODEL, "stream": stream, "tools": [{"type": "function", "name": "list"}], "input": input})
        }
        Api::GeminiGenerateContent => {
            let turns = outputs.iter().flat_map(|output| {
                [
                    json!({"role": "model", "parts": [{"functionCall": {"name": "list", "args": {}}}]}),
                    json!({"role": "user", "parts": [{"functionResponse": {"name": "list", "response": {"output": output}}}]}),
                ]
            });
            let user = json!({"role": "user", "parts": [{"text": user}]});
            let contents: Vec<_> = [user].into_iter().chain(turns).collect();
            json!({"tools": [{"functionDeclarations": [{"name": "list"}]}], "contents": contents})
        }
        other => unreachable!("calls are not answered in {other:?}"),
    };
    body.to_string().into_bytes()
}

/// What the engine forwards when the originals of the first blocks are stored, and their hashes and texts.
fn engine(api: Api, body: &[u8], lossy_blocks: usize) -> (Vec<u8>, Vec<(String, String)>) {
    let config = Config { max_body_bytes: MAX_BODY_BYTES, ..Config::default() };
    let request = Request {
        model: Some(MODEL),
        reversible: true,
        lossy_blocks,
        retrieve_tool: RetrieveTool::Add,
        ..Request::new(api)
    };
    let outcome = compress(body, &request, &config, &mut Memo::new(16 << 20));
    let originals =
        outcome.originals.iter().map(|it| (it.hash.to_string(), it.text().into_owned())).collect();
    (outcome.body.into_owned(), originals)
}

/// The hashes of all markers in a forwarded body.
pub(crate) fn markers(body: &[u8]) -> Vec<String> {
    const MARKER: &str = "headroom_retrieve hash=";
    let text = String::from_utf8_lossy(body);
    text.match_indices(MARKER).map(|(at, _)| text[at + MARKER.len()..][..24].to_owned()).collect()
}

#[tokio::test]
async fn every_marker_that_reaches_the_provider_leads_to_the_exact_original() -> Result<()> {
    for mode in MODES {
        let stack = Stack::start(reversible(mode, PATIENT_MS), Kind::Real).await?;
        for api in APIS {
            let name = format!("{api:?}");
            let body = body(api, false, &[rows(ROWS, 1), rows(ROWS + 7, 2)]);
            let call = Call::post(&path(api, false), body.clone()).header("x-headroom-user-id", "team");
            let (answer, _) = stack.exchange(&name, Protocol::Http1, call).await?;
            assert_eq!(answer.status, 200, "{name}");
            let arrived = forwarded(&stack.provider, &name).body;
            let (expected, originals) = engine(api, &body, usize::MAX);
            assert_eq!(arrived, expected, "{name}");
            assert_eq!(markers(&arrived).len(), 2, "{name}");
            for (hash, original) in originals {
                assert!(markers(&arrived).contains(&hash));
                assert_eq!(stack.sidecar.retrieve("team", &hash, "").await?, Some(original), "{name}");
                assert_eq!(stack.sidecar.retrieve("other", &hash, "").await?, None, "{name}");
            }
        }
        assert_no_trap(&stack).await?;
    }
    Ok(())
}

/// The recorded conversations of the repository, and those of the folder in `CORPUS` if it is set.
#[tokio::test]
async fn every_marker_of_recorded_conversations_resolves_and_the_command_line_writes_the_same() -> Result<()>
{
    let mut options = reversible(Mode::Hold, PATIENT_MS);
    options.max_body_bytes = 16 << 20;
    options.filter.as_mut().expect("the filter is on")["max_body_bytes"] = (16 << 20).into();
    let stack = Stack::start(options, Kind::Real).await?;
    let mut connection = stack.connect(Protocol::Http2).await?;
    let (mut lines, mut expected, mut requests) = (Vec::new(), Vec::new(), 0);
    let (mut markers_sent, mut originals) = (0, HashMap::new());
    let mut sets = read_sets(&fixtures())?;
    if let Some(folder) = std::env::var_os("CORPUS") {
        sets.extend(read_sets(Path::new(&folder))?);
    }
    for conversation in sets.iter().flat_map(|set| &set.conversations) {
        let api = conversation.api();
        for (turn, body) in conversation.requests(api).into_iter().enumerate() {
            let name = format!("{} {turn}", conversation.id);
            let call = Call::post(conversation::path(api), body.clone()).header(NAME_HEADER, &name);
            assert_eq!(connection.send(call).await?.status, 200);
            let arrived = stack.provider.take(&name).pop().context("nothing arrived")?.body;
            let request = Request { reversible: true, retrieve_tool: RetrieveTool::Add, ..Request::new(api) };
            let outcome = compress(&body, &request, &Config::default(), &mut Memo::new(0));
            for original in &outcome.originals {
                let hash = original.hash.to_string();
                assert!(String::from_utf8_lossy(&arrived).contains(&format!("hash={hash}")), "{name}");
                originals.insert(hash, original.text().into_owned());
                markers_sent += 1;
            }
            requests += 1;
            lines.extend_from_slice(&body);
            lines.push(b'\n');
            expected.extend_from_slice(&arrived);
            expected.push(b'\n');
        }
    }
    let mut resolved = 0;
    for (hash, original) in &originals {
        resolved += usize::from(stack.sidecar.original(hash).await?.as_deref() == Some(original));
    }
    headroom_e2e::say(&format!(
        "{requests} recorded requests: {markers_sent} markers to {} originals, of which {resolved} came back exact",
        originals.len()
    ));
    assert_eq!(resolved, originals.len());
    assert!(run(lines, &["--retrieve-tool", "add"]).await? == expected, "headroomctl writes the same bytes");
    assert_no_trap(&stack).await
}

/// With this sidecar every request leaves lossless, and is answered.
async fn leaves_lossless(kind: Kind) -> Result<()> {
    let mut options = reversible(Mode::Strip, 300);
    options.filter.as_mut().expect("the filter is on")["control_plane"]["breaker_pause_ms"] = 60_000.into();
    // Each worker finds out for itself.
    options.workers = 1;
    let stack = Stack::start(options, kind).await?;
    for number in 0..8 {
        let name = format!("request {number}");
        let body = body(Api::AnthropicMessages, false, &[rows(ROWS, number)]);
        let call = Call::post("/v1/messages", body.clone());
        let (answer, _) = stack.exchange(&name, Protocol::Http1, call).await?;
        assert_eq!(answer.status, 200, "{name}");
        let arrived = forwarded(&stack.provider, &name).body;
        assert_eq!(arrived, engine(Api::AnthropicMessages, &body, 0).0, "{name}");
        assert_eq!(markers(&arrived), Vec::<String>::new());
    }
    let stat = async |name: &str| stack.envoy.stat(&format!("wasmcustom.headroom.{name}")).await;
    until("all fallbacks are counted", || async {
        (stat("lossless_fallbacks").await.ok()? == 8).then_some(())
    })
    .await?;
    assert_eq!((stat("admits").await?, stat("admits_skipped").await?), (3, 5), "tried, then left alone");
    assert_no_trap(&stack).await
}

#[tokio::test]
async fn without_a_sidecar_requests_leave_lossless() -> Result<()> {
    leaves_lossless(Kind::Down).await
}

#[tokio::test]
async fn with_a_sidecar_that_never_answers_requests_leave_lossless() -> Result<()> {
    leaves_lossless(Kind::Silent).await
}

#[tokio::test]
async fn with_a_sidecar_of_another_protocol_requests_leave_lossless() -> Result<()> {
    leaves_lossless(Kind::Noise).await
}

#[tokio::test]
async fn with_a_sidecar_that_answers_garbage_requests_leave_lossless() -> Result<()> {
    leaves_lossless(Kind::Garbage).await
}

#[tokio::test]
async fn with_a_sidecar_that_stores_nothing_requests_leave_lossless() -> Result<()> {
    leaves_lossless(Kind::Forgetful).await
}

/// A call of our tool.
pub(crate) fn ours(hash: &str) -> ToolCall {
    ToolCall { name: "headroom_retrieve".to_owned(), arguments: json!({"hash": hash}) }
}

fn clients() -> ToolCall {
    ToolCall { name: "list".to_owned(), arguments: json!({"page": 2}) }
}

fn says(text: &str) -> Script {
    Script { text: Some(text.to_owned()), ..Script::default() }
}

/// Sends a request with one original and lets the provider answer by `script`, which is given its hash.
async fn asked(
    stack: &Stack,
    name: &str,
    api: Api,
    stream: bool,
    script: impl FnOnce(&str) -> Script,
) -> Result<(Answer, String)> {
    let body = body(api, stream, &[rows(ROWS, name.len())]);
    let (hash, original) = engine(api, &body, usize::MAX).1.remove(0);
    let call = Call::post(&path(api, stream), body)
        .header("authorization", "Bearer sk-ant-s3cret")
        .header("idempotency-key", "once")
        .header(SCRIPT_HEADER, &script(&hash).header());
    let (answer, _) = stack.exchange(name, Protocol::Http1, call).await?;
    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    Ok((answer, original))
}

/// All strings in a JSON document.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

/// Asserts that an answer has the form of its API from its beginning to its end.
fn assert_whole(api: Api, stream: bool, answer: &Answer) {
    let text = answer.text();
    if !stream {
        serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        return;
    }
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let last = data.last().copied().unwrap_or_default();
    let end = match api {
        Api::AnthropicMessages => last.contains("message_stop"),
        Api::OpenAiChat => last == "[DONE]",
        Api::OpenAiResponses => last.contains("response.completed"),
        Api::GeminiGenerateContent => last.contains("\"finishReason\":\"STOP\""),
        other => unreachable!("calls are not answered in {other:?}"),
    };
    assert!(end, "{api:?} ends with {last}");
    for data in data.iter().filter(|data| **data != "[DONE]") {
        serde_json::from_str::<Value>(data).unwrap_or_else(|error| panic!("{error}: {data}"));
    }
}

#[tokio::test]
async fn the_model_gets_the_original_and_the_client_one_answer() -> Result<()> {
    let stack = shared().await?;
    for api in APIS {
        for stream in [false, true] {
            let name = format!("loop {api:?} {stream}");
            let script = |hash: &str| Script {
                tool_call: Some(ours(hash)),
                piece_bytes: Some(37),
                then: vec![says("It is number 40.")],
                ..says("I look.")
            };
            let (answer, original) = asked(stack, &name, api, stream, script).await?;
            let text = answer.text();
            assert_whole(api, stream, &answer);
            assert!(!text.contains("headroom_retrieve"), "{name}: {text}");
            for word in ["number ", "40."] {
                assert!(text.contains(word), "{name}: {text}");
            }

            let requests = stack.provider.requests(&name);
            assert_eq!(requests.len(), 2, "{name}");
            let [first, second] = [&requests[0], &requests[1]];
            assert_eq!((&first.path, &first.method), (&second.path, &second.method));
            assert_eq!(first.headers["host"], second.headers["host"], "{name}");
            assert_eq!(second.headers["authorization"], "Bearer sk-ant-s3cret");
            assert!(!second.headers.contains_key("idempotency-key"));
            assert!(second.headers.keys().all(|name| !name.as_str().starts_with("x-headroom-")));
            let continued: Value = serde_json::from_slice(&second.body)?;
            assert!(strings(&continued).contains(&original.as_str()), "{name}");
            let spent = (first.body.len() / 4 + second.body.len() / 4).to_string();
            assert!(text.contains(&spent), "{name}: not {spent} input tokens: {text}");
        }
    }
    assert_no_trap(stack).await
}

#[tokio::test]
async fn a_turn_with_calls_of_both_kinds_ends_consistently() -> Result<()> {
    let stack = shared().await?;
    for api in APIS {
        for stream in [false, true] {
            // Ours first: the turn goes on without the client's.
            let name = format!("mixed ours {api:?} {stream}");
            let script = |hash: &str| Script {
                tool_call: Some(ours(hash)),
                more_calls: vec![clients()],
                then: vec![says("Now I know.")],
                ..Script::default()
            };
            let (answer, _) = asked(stack, &name, api, stream, script).await?;
            assert_whole(api, stream, &answer);
            assert_eq!(stack.provider.requests(&name).len(), 2, "{name}");
            assert!(!answer.text().contains("\"list\""), "{name}: {}", answer.text());
            // The client's first: they stand, and ours is taken out.
            let name = format!("mixed client's {api:?} {stream}");
            let script = |hash: &str| Script {
                tool_call: Some(clients()),
                more_calls: vec![ours(hash), clients()],
                ..Script::default()
            };
            let (answer, _) = asked(stack, &name, api, stream, script).await?;
            let text = answer.text();
            assert_whole(api, stream, &answer);
            assert_eq!(stack.provider.requests(&name).len(), 1, "{name}");
            assert!(text.contains("\"list\"") && !text.contains("headroom_retrieve"), "{name}: {text}");
        }
    }
    assert_no_trap(stack).await
}

#[tokio::test]
async fn a_provider_that_does_not_go_on_leaves_the_client_a_whole_answer() -> Result<()> {
    let stack = shared().await?;
    let failures = [
        ("500", Script { status: Some(500), ..Script::default() }),
        ("429", Script { status: Some(429), ..Script::default() }),
        ("broken", Script { break_after: Some(2), ..Script::default() }),
    ];
    for api in APIS {
        for stream in [false, true] {
            for (failure, then) in &failures {
                if *failure == "broken" && !stream {
                    continue;
                }
                let name = format!("fails {failure} {api:?} {stream}");
                let script = |hash: &str| Script {
                    tool_call: Some(ours(hash)),
                    then: vec![then.clone()],
                    ..Script::default()
                };
                let (answer, _) = asked(stack, &name, api, stream, script).await?;
                let text = answer.text();
                assert_whole(api, stream, &answer);
                assert!(text.contains("could not be retrieved"), "{name}: {text}");
                assert!(!text.contains("headroom_retrieve"), "{name}: {text}");
            }
        }
    }
    assert_no_trap(stack).await
}

#[tokio::test]
async fn a_model_that_keeps_asking_is_stopped_after_three_rounds() -> Result<()> {
    let stack = shared().await?;
    for api in APIS {
        for stream in [false, true] {
            let name = format!("circles {api:?} {stream}");
            let script = |hash: &str| Script { tool_call: Some(ours(hash)), ..Script::default() };
            let (answer, _) = asked(stack, &name, api, stream, script).await?;
            assert_whole(api, stream, &answer);
            assert_eq!(stack.provider.requests(&name).len(), 4, "{name}");
            assert!(!answer.text().contains("headroom_retrieve"), "{name}: {}", answer.text());
        }
    }
    assert_no_trap(stack).await
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_the_loop_harms_nobody() -> Result<()> {
    let stack = shared().await?;
    let body = body(Api::AnthropicMessages, true, &[rows(ROWS, 3)]);
    let hash = engine(Api::AnthropicMessages, &body, usize::MAX).1.remove(0).0;
    for number in 0..4 {
        let name = format!("leaves {number}");
        let script = Script {
            tool_call: Some(ours(&hash)),
            then: vec![Script { gate: true, ..says("Never heard.") }],
            ..Script::default()
        };
        let call = Call::post("/v1/messages", body.clone())
            .header(SCRIPT_HEADER, &script.header())
            .header(NAME_HEADER, &name);
        let mut connection = stack.connect(Protocol::Http1).await?;
        let answer = connection.stream(call).await?;
        until("the provider is asked to go on", || async {
            (stack.provider.requests(&name).len() == 2).then_some(())
        })
        .await?;
        drop((answer, connection));
    }
    let script = |hash: &str| Script {
        tool_call: Some(ours(hash)),
        then: vec![says("Still here.")],
        ..Script::default()
    };
    let (answer, _) = asked(stack, "after they left", Api::AnthropicMessages, true, script).await?;
    assert!(answer.text().contains("Still "), "{}", answer.text());
    assert_no_trap(stack).await
}

/// Requests from several clients while the sidecar is killed and started again.
#[tokio::test]
async fn no_request_fails_and_no_marker_is_lost_while_the_sidecar_is_killed_again_and_again() -> Result<()> {
    const CLIENTS: usize = 4;
    const KILLS: usize = 5;
    let mut stack = Stack::start(reversible(Mode::Strip, 400), Kind::Real).await?;
    let (listener, provider) = (stack.envoy.listener(), stack.provider.clone());
    let (sent, failed, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let client = async |client: usize| -> Result<()> {
        let mut outputs = Vec::new();
        for number in 0.. {
            if stop.load(Ordering::Relaxed) > 0 {
                return Ok(());
            }
            // Conversations that grow, each output new, so that stored and new originals come together.
            if outputs.len() == 4 {
                outputs.clear();
            }
            outputs.push(rows(ROWS + number % 50, client * 1_000_000 + number));
            let body = body(Api::AnthropicMessages, false, &outputs);
            let mut connection = headroom_e2e::client::Connection::open(listener, Protocol::Http1).await?;
            let call = Call::post("/v1/messages", body).header(NAME_HEADER, "load");
            sent.fetch_add(1, Ordering::Relaxed);
            match connection.send(call).await {
                Ok(answer) if answer.status == 200 => {}
                _ => _ = failed.fetch_add(1, Ordering::Relaxed),
            }
        }
        Ok(())
    };
    let kills = async {
        for kill in 1..=KILLS {
            let enough = async |count: usize| {
                let target = sent.load(Ordering::Relaxed) + count;
                until("requests are sent", || async {
                    (sent.load(Ordering::Relaxed) >= target).then_some(())
                })
                .await
            };
            enough(60).await?;
            stack.sidecar.kill()?;
            enough(if kill % 2 == 0 { 60 } else { 10 }).await?;
            stack.sidecar.run().await?;
        }
        stop.store(1, Ordering::Relaxed);
        Ok::<_, anyhow::Error>(())
    };
    let clients = async {
        let (a, b, c, d) = tokio::join!(client(0), client(1), client(2), client(CLIENTS - 1));
        a.and(b).and(c).and(d)
    };
    let (killed, served) = tokio::join!(kills, clients);
    killed.and(served)?;

    let arrived = provider.take("load");
    let mut hashes: Vec<String> = arrived.iter().flat_map(|request| markers(&request.body)).collect();
    let markers = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    let mut unresolvable = 0;
    for hash in &hashes {
        unresolvable += usize::from(stack.sidecar.retrieve("", hash, "").await?.is_none());
    }
    let (sent, failed) = (sent.into_inner(), failed.into_inner());
    let lossless = stack.envoy.stat("wasmcustom.headroom.lossless_fallbacks").await?;
    let report = format!(
        "{KILLS} kills: {sent} requests sent, {failed} failed, {lossless} left lossless; {markers} markers \
         ({} originals), {unresolvable} unresolvable",
        hashes.len()
    );
    headroom_e2e::say(&report);
    assert_eq!((failed, unresolvable), (0, 0), "{report}");
    assert_eq!(arrived.len(), sent, "{report}");
    assert!(markers > 0 && lossless > 0, "{report}");
    assert_no_trap(&stack).await
}

/// What storing costs: figures, not a limit.
#[tokio::test]
#[ignore = "prints figures that mean nothing while other tests run: run it alone"]
async fn what_it_costs_to_store_a_hundred_kilobytes() -> Result<()> {
    const REQUESTS: usize = 200;
    let mut options = reversible(Mode::Strip, PATIENT_MS);
    options.workers = 1;
    let stack = Stack::start(options, Kind::Real).await?;
    let mut connection = stack.connect(Protocol::Http1).await?;
    let (mut storing, mut stored) = (Vec::new(), Vec::new());
    for number in 0..REQUESTS {
        let output = rows(1_000, number);
        let body = body(Api::AnthropicMessages, false, &[output]);
        for times in [&mut storing, &mut stored] {
            let call = Call::post("/v1/messages", body.clone());
            let start = Instant::now();
            let answer = connection.send(call).await?;
            times.push(start.elapsed());
            anyhow::ensure!(answer.status == 200);
        }
    }
    let quantiles = |times: &mut Vec<Duration>| -> Result<(f64, f64)> {
        times.sort_unstable();
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).context("no requests");
        Ok((at(0.5)?.as_secs_f64() * 1e3, at(0.99)?.as_secs_f64() * 1e3))
    };
    let histogram = stack.envoy.admin_get("/stats?filter=headroom.(admit|compress)_us").await?;
    let (new, old) = (quantiles(&mut storing)?, quantiles(&mut stored)?);
    headroom_e2e::say(&format!(
        "{REQUESTS} requests of {} bytes: new and stored p50 {:.2} ms p99 {:.2} ms; known p50 {:.2} ms p99 {:.2} \
         ms\n{histogram}",
        rows(1_000, 0).len(),
        new.0,
        new.1,
        old.0,
        old.1
    ));
    Ok(())
}
