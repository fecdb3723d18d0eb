//! Calls of `headroom_retrieve` through the real Envoy: the model gets its original, the client one answer.

use anyhow::{Context as _, Result};
use headroom_compress::Api;
use headroom_e2e::client::{Answer, Call, Protocol};
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER, Script, ToolCall};
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Stack, deadline::until};
use serde_json::{Value, json};

use crate::reversible::{APIS, ROWS, body, engine, large_bodies, path, rows, shared};
use crate::stacks::{Mode, assert_no_trap};

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

/// Sends a request with one original and lets the provider answer by `script`, which gets its hash.
async fn asked(
    stack: &Stack,
    name: &str,
    api: Api,
    stream: bool,
    script: impl FnOnce(&str) -> Script,
) -> Result<(Answer, String)> {
    let body = body(api, stream, &[rows(ROWS, name.len())]);
    let (hash, original) = engine(api, &body).1.remove(0);
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

/// Asserts that an answer is complete in the form of its API.
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
            // Ours first: the turn ends with the client's call, whose id contains the trace. Gemini has no permanent
            // ids: the turn continues without the client's call.
            let name = format!("mixed ours {api:?} {stream}");
            let script = |hash: &str| Script {
                tool_call: Some(ours(hash)),
                more_calls: vec![clients()],
                then: vec![says("Now I know.")],
                ..Script::default()
            };
            let (answer, _) = asked(stack, &name, api, stream, script).await?;
            assert_whole(api, stream, &answer);
            let gemini = api == Api::GeminiGenerateContent;
            let text = answer.text();
            assert_eq!(stack.provider.requests(&name).len(), if gemini { 2 } else { 1 }, "{name}");
            assert_eq!(text.contains("\"list\""), !gemini, "{name}: {text}");
            assert_eq!(text.contains("_hr1_"), !gemini, "{name}: {text}");
            assert!(!text.contains("headroom_retrieve"), "{name}: {text}");
            // The client's first: they stay, and ours is removed.
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

/// The longest body and the memo may take all but 8 MiB of the VM, and one request takes most of these.
#[tokio::test]
async fn where_the_filter_has_no_room_for_originals_the_store_is_the_source() -> Result<()> {
    let mut options = large_bodies(Mode::Strip);
    let plugin = options.filter.as_mut().expect("the filter is on");
    plugin["max_body_bytes"] = (128 << 20).into();
    plugin["memo_bytes"] = (512 << 20).into();
    plugin["control_plane"]["timeout_ms"] = 60_000.into();
    options.workers = 1;
    let stack = Stack::start(options, Kind::Real).await?;
    let api = Api::AnthropicMessages;
    let outputs = |count: usize, salt: usize| (0..count).map(|at| rows(4_000, salt + at)).collect::<Vec<_>>();
    let copied = |copies: u64| {
        let envoy = &stack.envoy;
        async move {
            until("the store has copies", || async {
                (envoy.stat("wasmcustom.headroom.originals_copied").await.ok()? >= copies).then_some(())
            })
            .await
        }
    };
    let lossy = |forwarded: &[u8], outputs: &[String]| {
        let forwarded = String::from_utf8_lossy(forwarded);
        let hashes = outputs.iter().map(|output| headroom_compress::address(output));
        hashes.filter(|hash| forwarded.contains(&format!("hash={hash}"))).collect::<Vec<_>>()
    };
    let (originals, others) = (outputs(6, 100), outputs(16, 200));
    let (asking, holding) = (body(api, true, &originals), body(api, true, &others));
    let call = || Call::post("/v1/messages", asking.clone());
    let (_, requests) = stack.exchange("with room", Protocol::Http1, call()).await?;
    let expected = requests[0].body.clone();
    let asked = lossy(&expected, &originals);
    let hash = asked.first().context("an output of which rows are left out")?;
    let original = originals.iter().find(|it| headroom_compress::address(it) == *hash);
    let original = original.context("it is one of these")?;
    // Both are sent once before, because copies that wait for the store take room too.
    let (_, requests) =
        stack.exchange("copies", Protocol::Http1, Call::post("/v1/messages", holding.clone())).await?;
    let held = lossy(&requests[0].body, &others);
    copied((asked.len() + held.len()) as u64).await?;
    let no_room = stack.envoy.stat("wasmcustom.headroom.no_room").await?;

    let gated = Script { gate: true, ..Script::default() };
    let held = Call::post("/v1/messages", holding)
        .header(SCRIPT_HEADER, &gated.header())
        .header(NAME_HEADER, "holds");
    let mut connection = stack.connect(Protocol::Http1).await?;
    let mut answer = connection.stream(held).await?;
    assert_eq!(stack.envoy.stat("wasmcustom.headroom.no_room").await?, no_room, "there is room for this one");

    let script = Script { tool_call: Some(ours(hash)), then: vec![says("It is 40.")], ..Script::default() };
    let asking = call().header(SCRIPT_HEADER, &script.header());
    let (told, requests) = stack.exchange("without room", Protocol::Http1, asking).await?;
    assert!(told.text().contains("40.") && !told.text().contains("_hr1_"), "{}", told.text());
    assert_eq!(requests.len(), 2);
    assert!(requests[0].body == expected, "no form depends on what the filter keeps");
    let continued: Value = serde_json::from_slice(&requests[1].body)?;
    // A page of a list begins with its first row.
    let start = original.get(1..1_000).context("a long text")?;
    assert!(strings(&continued).iter().any(|text| text.starts_with(start)), "the text from the store");
    assert!(stack.envoy.stat("wasmcustom.headroom.no_room").await? > no_room);

    stack.provider.release("holds", 100);
    while answer.next().await?.is_some() {}
    assert_no_trap(&stack).await
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
    let hash = engine(Api::AnthropicMessages, &body).1.remove(0).0;
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
