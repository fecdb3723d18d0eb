//! A client that shortens its messages with `/v1/compress` and then sends them through Envoy.

use anyhow::Result;
use headroom_e2e::Stack;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::sidecar::Kind;
use serde_json::{Value, json};

use crate::stacks::{Mode, assert_no_trap, options};

/// An output that shares no line with those of other turns: shared lines would be shortened only in the data plane, and
/// would correctly be counted there.
fn pets(turn: usize) -> String {
    let kind = ["dog", "cat", "owl"].get(turn).unwrap_or(&"fox");
    let pet = |n: usize| {
        json!({"id": 1000 * turn + n, "name": format!("Rex {turn}-{}", n * (turn + 3)), "kind": kind,
            "vaccinated": n.is_multiple_of(3 + turn)})
    };
    let pets: Vec<Value> = (0..40 + 360 * turn).map(pet).collect();
    serde_json::to_string_pretty(&pets).expect("plain data")
}

/// The figures, after this many requests are counted.
async fn counted(stack: &Stack, requests: u64) -> Result<Value> {
    until("the requests are counted", || async {
        let stats = stack.sidecar.stats().await.ok()?;
        (stats["requests"]["total"].as_u64() >= Some(requests)).then_some(stats)
    })
    .await
}

/// Conversations that grow by a tool output in each turn: the client sends the result of one turn in the next.
#[tokio::test]
async fn a_saving_that_compress_has_counted_is_not_counted_again_in_the_data_plane() -> Result<()> {
    for mode in [Value::Null, json!("ccr")] {
        let stack = Stack::start(options(Mode::Strip), Kind::Real).await?;
        let mut messages = vec![json!({"role": "user", "content": "List the pets"})];
        let (mut requests, mut saved) = (0, 0);
        for turn in 0..3 {
            let id = format!("call_{turn}");
            let function = json!({"name": "list_pets", "arguments": "{}"});
            let call = json!({"id": id, "type": "function", "function": function});
            messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
            messages.push(json!({"role": "tool", "tool_call_id": id, "content": pets(turn)}));
            let body = json!({"model": "gpt-4.1", "messages": messages,
                "config": {"mode": mode, "session_id": "conversation"}});
            let call =
                Call::post("/v1/compress", body.to_string()).header("content-type", "application/json");
            let answer = stack.connect(Protocol::Http1).await?.send(call).await?;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let told: Value = serde_json::from_slice(&answer.body)?;
            let this_time = told["tokens_saved"].as_u64().unwrap_or_default();
            assert!(this_time > 100, "{told}");
            requests += 1;
            saved += this_time;
            let before = counted(&stack, requests).await?;
            assert_eq!(before["tokens"]["saved"], saved, "{mode} {turn}");

            let short = json!({"model": "gpt-4.1", "messages": told["messages"]}).to_string();
            let call = Call::post("/v1/chat/completions", short.clone());
            let name = format!("turn {turn}");
            let (answer, received) = stack.exchange(&name, Protocol::Http1, call).await?;
            let received = received.last().map(|received| &received.body[..]);
            assert!(received == Some(short.as_bytes()), "what is short stays as it is");
            let before_it = told["tokens_after"].to_string();
            assert_eq!(
                answer.header("x-headroom-tokens-before"),
                Some(before_it.as_str()),
                "both count alike"
            );
            requests += 1;
            let after = counted(&stack, requests).await?;
            assert_eq!(after["tokens"]["saved"], saved, "{mode} {turn}");
            for figure in [
                "/savings/side_by_side/per_request/tokens_not_sent",
                "/savings/side_by_side/unique/tokens_not_sent",
                "/cost/breakdown/compression_savings_list_usd",
            ] {
                assert_eq!(after.pointer(figure), before.pointer(figure), "{figure}: {mode} {turn}");
            }
            assert_eq!(after["requests"]["by_api"], json!({"compress": turn + 1, "openai_chat": turn + 1}));
            // The client keeps the returned messages.
            messages = told["messages"].as_array().cloned().unwrap_or_default();
        }
        assert_no_trap(&stack).await?;
    }
    Ok(())
}
