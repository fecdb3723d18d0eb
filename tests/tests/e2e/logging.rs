//! Texts of requests and answers in the feed: only if both filter and sidecar have it switched on.

use anyhow::Result;
use headroom_e2e::Stack;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::sidecar::Kind;
use serde_json::{Value, json};

use crate::answers::streaming;
use crate::bodies::{anthropic, pretty_pets};
use crate::stacks::assert_no_trap;

const KEY: &str = "sk-ant-this-is-secret";

/// The feed after an answer in one piece and one as a stream, newest first.
async fn feed(filter_logs: bool, sidecar_shows: bool) -> Result<(Vec<Value>, String)> {
    let filter = json!({"control_plane": {"cluster": "headroom", "log_messages": filter_logs}});
    let mut stack = Stack::start(Options { filter: Some(filter), ..Options::default() }, Kind::Real).await?;
    if sidecar_shows {
        stack.sidecar.kill()?;
        stack.sidecar.set("HEADROOM_LOG_MESSAGES", "on");
        stack.sidecar.run().await?;
    }
    let body = anthropic(&pretty_pets(20));
    for body in [body.clone(), streaming(body)] {
        let call = Call::post("/v1/messages", body).header("x-api-key", KEY).header("authorization", KEY);
        let (answer, _) = stack.exchange("logged", Protocol::Http1, call).await?;
        assert_eq!(answer.status, 200);
    }
    let feed = until("both are recorded", || async {
        let feed = stack.sidecar.feed().await.ok()?["transformations"].take();
        Some(feed.as_array()?.clone()).filter(|feed| feed.len() == 2)
    })
    .await?;
    let pages = format!("{}{}", stack.sidecar.stats().await?, Value::from(feed.clone()));
    assert_no_trap(&stack).await?;
    Ok((feed, pages))
}

#[tokio::test]
async fn messages_and_answers_are_shown_where_both_sides_say_so_and_keys_never() -> Result<()> {
    let (feed, pages) = feed(true, true).await?;
    let sent: Value = serde_json::from_slice(&anthropic(&pretty_pets(20)))?;
    for (record, answer) in feed.iter().zip(["event: message_start", r#""type":"message""#]) {
        assert_eq!(record["request_messages"], sent["messages"]);
        let content = record["response_content"].as_str().unwrap_or_default();
        assert!(content.contains(answer) && content.contains("nichts "), "{content}");
    }
    assert!(!pages.contains(KEY));
    Ok(())
}

#[tokio::test]
async fn one_side_alone_shows_nothing() -> Result<()> {
    for (filter_logs, sidecar_shows) in [(true, false), (false, true)] {
        let (feed, pages) = feed(filter_logs, sidecar_shows).await?;
        for record in feed {
            assert_eq!(
                (&record["request_messages"], &record["response_content"]),
                (&Value::Null, &Value::Null)
            );
        }
        assert!(!pages.contains("nichts "));
    }
    Ok(())
}
