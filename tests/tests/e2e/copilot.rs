//! Requests of GitHub Copilot's clients through the real Envoy: recognized by their headers, routed to their own
//! cluster and labelled. A request of the filter itself does not count as one of the user's.

use anyhow::Result;
use headroom_compress::{Api, Config, Memo, Request, compress};
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::provider::{SCRIPT_HEADER, Script};
use serde_json::{Value, json};

use crate::reversible::{APIS, ROWS, body, engine, rows, shared};
use crate::stacks::{MAX_BODY_BYTES, MODES, assert_no_trap, shared as plain};
use crate::tool_loop::ours;
use crate::unread::passes;

/// What an editor sends.
const EDITOR: [(&str, &str); 4] = [
    ("copilot-integration-id", "vscode-chat"),
    ("openai-intent", "conversation-agent"),
    ("x-initiator", "user"),
    ("authorization", "Bearer tid=s3cret"),
];

fn path(api: Api) -> &'static str {
    match api {
        Api::AnthropicMessages => "/v1/messages",
        Api::OpenAiChat => "/chat/completions",
        _ => "/responses",
    }
}

fn call(api: Api, body: Vec<u8>) -> Call {
    EDITOR.iter().fold(Call::post(path(api), body), |call, (name, value)| call.header(name, value))
}

/// The formats that Copilot supports.
fn formats() -> impl Iterator<Item = Api> {
    APIS.into_iter().filter(|api| *api != Api::GeminiGenerateContent)
}

#[tokio::test]
async fn a_request_of_copilot_is_compressed_routed_by_its_headers_and_labelled() -> Result<()> {
    for mode in MODES {
        let stack = plain(mode, Protocol::Http1).await?;
        for api in formats() {
            let body = body(api, false, &[crate::bodies::pretty_pets(40)]);
            let name = format!("copilot {mode:?} {api:?}");
            let (answer, requests) = stack.exchange(&name, Protocol::Http1, call(api, body.clone())).await?;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            assert_eq!(answer.header("x-headroom-outcome"), Some("compressed"), "{name}");
            let config = Config { max_body_bytes: MAX_BODY_BYTES, ..Config::default() };
            let shorter = compress(&body, &Request::new(api), &config, &mut Memo::new(16 << 20));
            assert_eq!(requests[0].body, shorter.body.into_owned(), "{name}");
            assert_eq!(requests[0].path, path(api), "as it was spelled");
            assert_eq!(requests[0].headers["x-initiator"], "user", "the user has asked");
        }
        assert_no_trap(stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn without_copilots_headers_its_paths_are_nobodys() -> Result<()> {
    for api in [Api::OpenAiChat, Api::OpenAiResponses] {
        // Another header, so that a route takes it.
        passes(&format!("like copilot {api:?}"), true, || {
            let body = body(api, false, &[crate::bodies::pretty_pets(30)]);
            (Call::post(path(api), body.clone()).header("anthropic-version", "2023-06-01"), body)
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_request_that_goes_on_with_an_answer_is_not_one_of_the_users() -> Result<()> {
    let stack = shared().await?;
    let before = stack.sidecar.stats().await?;
    let count = |stats: &Value| stats["requests"]["by_provider"]["copilot"].as_u64().unwrap_or_default();
    for api in formats() {
        let name = format!("copilot loop {api:?}");
        let body = body(api, false, &[rows(ROWS, name.len())]);
        let (hash, original) = engine(api, &body).1.remove(0);
        let answers = Script { text: Some("It is number 40.".to_owned()), ..Script::default() };
        let script = Script { tool_call: Some(ours(&hash)), then: vec![answers], ..Script::default() };
        let call = call(api, body).header(SCRIPT_HEADER, &script.header());
        let (answer, requests) = stack.exchange(&name, Protocol::Http1, call).await?;
        assert!(answer.text().contains("It is number 40."), "{name}: {}", answer.text());
        assert_eq!(requests.len(), 2, "{name}");
        let said = |at: usize| requests[at].headers.get("x-initiator").map(|value| value.as_bytes().to_vec());
        assert_eq!((said(0), said(1)), (Some(b"user".to_vec()), Some(b"agent".to_vec())), "{name}");
        assert_eq!(requests[1].headers["copilot-integration-id"], "vscode-chat");
        assert_eq!(requests[1].headers["authorization"], "Bearer tid=s3cret");
        let continued: Value = serde_json::from_slice(&requests[1].body)?;
        assert!(continued.to_string().contains(&json!(original).to_string()), "{name}");
    }
    let after = until("Copilot's requests are counted", || async {
        let stats = stack.sidecar.stats().await.ok()?;
        (count(&stats) >= count(&before) + 3).then_some(stats)
    })
    .await?;
    let subscriptions = |stats: &Value| stats["subscriptions"]["requests"].as_u64().unwrap_or_default();
    assert!(subscriptions(&after) >= subscriptions(&before) + 3, "{}", after["subscriptions"]);
    assert_no_trap(stack).await
}
