//! Answers of providers that would compress them, for each value of `accept_encoding`.

use anyhow::{Context as _, Result};
use headroom_compress::Api;
use headroom_e2e::client::{Answer, Call, Connection, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{Encoding, SCRIPT_HEADER};
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Script, Stack};
use serde_json::{Value, json};

use crate::answers::streaming;
use crate::bodies::{anthropic, pretty_pets, shortened};
use crate::stacks::assert_no_trap;

const ENCODINGS: [Encoding; 2] = [Encoding::Gzip, Encoding::Brotli];

async fn start(accept_encoding: &str) -> Result<Stack> {
    let filter = json!({"accept_encoding": accept_encoding, "control_plane": {"cluster": "headroom"}});
    Stack::start(Options { filter: Some(filter), ..Options::default() }, Kind::Real).await
}

/// A call of a client that accepts an encoding, to a provider that supports it.
fn call(body: Vec<u8>, encoding: Encoding) -> Call {
    let script = Script { encode: true, ..Script::default() };
    let accepts = format!("{}, deflate;q=0.5", encoding.name());
    Call::post("/v1/messages", body)
        .header(SCRIPT_HEADER, &script.header())
        .header("accept-encoding", &accepts)
}

/// What the provider answers to the forwarded request if no encoding is requested.
async fn plain(stack: &Stack, body: &[u8]) -> Result<Answer> {
    let call = Call::post("/v1/messages", shortened(Api::AnthropicMessages, body));
    Connection::open(stack.provider.address(), Protocol::Http1).await?.send(call).await
}

/// Sends each kind of request once, checks what the client gets, and returns their entries in the feed.
async fn exchanged(
    accept_encoding: &str,
    check: impl Fn(Encoding, &Answer, &Answer) -> Result<()>,
) -> Result<Vec<Value>> {
    let stack = start(accept_encoding).await?;
    let body = anthropic(&pretty_pets(20));
    let mut sent = 0;
    for body in [body.clone(), streaming(body)] {
        for encoding in ENCODINGS {
            let name = format!("{accept_encoding} {sent}");
            let (answer, got) = stack.exchange(&name, Protocol::Http1, call(body.clone(), encoding)).await?;
            sent += 1;
            let asked = got.first().and_then(|got| got.headers.get("accept-encoding"));
            let asked = asked.context("the provider is told an encoding")?.to_str()?;
            let kept = asked.starts_with(encoding.name());
            assert_eq!(kept, accept_encoding == "keep", "{asked}");
            check(encoding, &answer, &plain(&stack, &body).await?)?;
        }
    }
    let feed = until("all are recorded", || async {
        let feed = stack.sidecar.feed().await.ok()?["transformations"].take();
        Some(feed.as_array()?.clone()).filter(|feed| feed.len() == sent)
    })
    .await?;
    assert_no_trap(&stack).await?;
    Ok(feed)
}

#[tokio::test]
async fn with_identity_the_provider_answers_plainly_and_usage_is_recorded() -> Result<()> {
    let feed = exchanged("identity", |_, answer, plain| {
        assert_eq!(answer.header("content-encoding"), None);
        assert_eq!(answer.text(), plain.text());
        Ok(())
    })
    .await?;
    for record in feed {
        assert_eq!((&record["status"], &record["outcome"]), (&200.into(), &"compressed".into()));
        let usage = &record["usage"];
        assert!(
            usage["input_tokens"].as_u64() > Some(0) && usage["output_tokens"].as_u64() > Some(0),
            "{record}"
        );
        assert_eq!(record["stop_reason"], "end_turn");
    }
    Ok(())
}

#[tokio::test]
async fn with_keep_the_client_gets_the_encoding_that_it_asked_for_and_the_record_has_no_usage() -> Result<()>
{
    let feed = exchanged("keep", |encoding, answer, plain| {
        assert_eq!(answer.header("content-encoding"), Some(encoding.name()));
        assert_eq!(encoding.decode(&answer.body)?, plain.body);
        Ok(())
    })
    .await?;
    for record in feed {
        assert_eq!((&record["status"], &record["outcome"]), (&200.into(), &"compressed".into()));
        assert_eq!((&record["usage"], &record["stop_reason"]), (&Value::Null, &"".into()), "{record}");
    }
    Ok(())
}
