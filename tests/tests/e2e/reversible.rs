//! Lossy forms through the real Envoy: they depend only on the request, and the model can retrieve what they leave
//! out.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use headroom_compress::{Api, Config, Memo, Request, RetrieveTool, compress};
use headroom_e2e::Stack;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::conversation::{self, fixtures, read_sets};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::NAME_HEADER;
use headroom_e2e::sidecar::Kind;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::command_line::run;
use crate::stacks::{MAX_BODY_BYTES, MODES, Mode, assert_no_trap, forwarded, options};

pub(crate) const APIS: [Api; 4] =
    [Api::AnthropicMessages, Api::OpenAiChat, Api::OpenAiResponses, Api::GeminiGenerateContent];
const MODEL: &str = "gpt-4.1";
/// Rows of an output; most of them are left out.
pub(crate) const ROWS: usize = 300;

pub(crate) fn reversible(mode: Mode) -> Options {
    let mut options = options(mode);
    let plugin = options.filter.as_mut().expect("the filter is on");
    plugin["reversible"] = true.into();
    plugin["store_originals"] = true.into();
    plugin["tenant_from"] = "client".into();
    Options { workers: 2, ..options }
}

/// As [`reversible`], with the filter's own cap on bodies.
pub(crate) fn large_bodies(mode: Mode) -> Options {
    let mut options = reversible(mode);
    options.max_body_bytes = 32 << 20;
    options.filter.as_mut().expect("the filter is on")["max_body_bytes"] = (32 << 20).into();
    options
}

/// One stack for all tests that leave its sidecar alone.
pub(crate) async fn shared() -> Result<&'static Stack> {
    static STACK: OnceCell<Stack> = OnceCell::const_new();
    STACK.get_or_try_init(|| Stack::start(reversible(Mode::Strip), Kind::Real)).await
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

pub(crate) fn path(api: Api, stream: bool) -> String {
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

/// A request with these tool outputs.
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
            json!({"model": MODEL, "stream": stream, "store": false,
                "tools": [{"type": "function", "name": "list"}], "input": input})
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

/// What the engine forwards, and the hashes and texts of what it leaves out.
pub(crate) fn engine(api: Api, body: &[u8]) -> (Vec<u8>, Vec<(String, String)>) {
    let config = Config { max_body_bytes: MAX_BODY_BYTES, ..Config::default() };
    let request = Request {
        model: Some(MODEL),
        reversible: true,
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
        let stack = Stack::start(reversible(mode), Kind::Real).await?;
        for api in APIS {
            let name = format!("{api:?}");
            let body = body(api, false, &[rows(ROWS, 1), rows(ROWS + 7, 2)]);
            let call = Call::post(&path(api, false), body.clone()).header("x-headroom-user-id", "team");
            let (answer, _) = stack.exchange(&name, Protocol::Http1, call).await?;
            assert_eq!(answer.status, 200, "{name}");
            let arrived = forwarded(&stack.provider, &name).body;
            let (expected, originals) = engine(api, &body);
            assert_eq!(arrived, expected, "{name}");
            assert_eq!(markers(&arrived).len(), 2, "{name}");
            for (hash, original) in originals {
                assert!(markers(&arrived).contains(&hash));
                let copy = until("the copy is stored", || async {
                    stack.sidecar.retrieve("team", &hash, "").await.ok().flatten()
                });
                assert_eq!(copy.await?, original, "{name}");
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
    let stack = Stack::start(large_bodies(Mode::Hold), Kind::Real).await?;
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
        let copy =
            until("the copy is stored", || async { stack.sidecar.original(hash).await.ok().flatten() });
        resolved += usize::from(copy.await? == *original);
    }
    headroom_e2e::say(&format!(
        "{requests} recorded requests: {markers_sent} markers to {} originals, of which {resolved} came back exact",
        originals.len()
    ));
    assert_eq!(resolved, originals.len());
    assert!(run(lines, &["--retrieve-tool", "add"]).await? == expected, "headroomctl writes the same bytes");
    assert_no_trap(&stack).await
}
