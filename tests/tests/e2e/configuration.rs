//! Plugin configurations that are wrong still serve (I1).

use anyhow::Result;
use headroom_compress::Api;
use headroom_e2e::Stack;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::sidecar::Kind;
use serde_json::{Value, json};

use crate::bodies::{anthropic, pretty_pets, shortened};
use crate::stacks::{assert_no_trap, forwarded};

async fn start(filter: Value, sidecar: Kind) -> Result<Stack> {
    Stack::start(Options { filter: Some(filter), ..Options::default() }, sidecar).await
}

#[tokio::test]
async fn unknown_keys_and_bad_values_are_counted_and_the_rest_holds() -> Result<()> {
    let filter = json!({
        "body_mode": "backwards",
        "max_body_bytes": -3,
        "min_block_bytes": "many",
        "max_body_byte": 1,
        "colour": {"of": ["the", "sky"]},
        "tools": [{"tool": "kept_*", "policy": "off"}, {"tool": "x", "policy": "sometimes"}],
        "control_plane": {"cluster": "headroom", "report_interval_ms": 50},
    });
    let stack = start(filter, Kind::Real).await?;
    assert_eq!(stack.envoy.stat("wasmcustom.headroom.config_errors").await?, 4);
    let body = anthropic(&pretty_pets(30));
    let (answer, _) =
        stack.exchange("bad", Protocol::Http1, Call::post("/v1/messages", body.clone())).await?;
    assert_eq!(answer.status, 200);
    assert_eq!(forwarded(&stack.provider, "bad").body, shortened(Api::AnthropicMessages, &body));

    let kept = String::from_utf8(body)?.replace("list_pets", "kept_pets");
    let (_, _) = stack.exchange("kept", Protocol::Http1, Call::post("/v1/messages", kept.clone())).await?;
    assert_eq!(forwarded(&stack.provider, "kept").body, kept, "the good rule of a list with a bad one holds");

    until("headroomd shows the errors", || async {
        (stack.sidecar.stats().await.ok()?["reports"]["config_errors"] == 4).then_some(())
    })
    .await?;
    assert_no_trap(&stack).await
}

#[tokio::test]
async fn a_configuration_that_is_no_object_passes_every_request() -> Result<()> {
    let stack = start(json!("max_body_bytes=3"), Kind::Down).await?;
    assert_eq!(stack.envoy.stat("wasmcustom.headroom.config_errors").await?, 1);
    let body = anthropic(&pretty_pets(30));
    let call = Call::post("/v1/messages", body.clone()).header("x-headroom-user-id", "u");
    let (answer, _) = stack.exchange("no object", Protocol::Http1, call).await?;
    assert_eq!(answer.status, 200);
    let got = forwarded(&stack.provider, "no object");
    assert_eq!(got.body, body);
    assert_eq!(got.headers["content-length"], body.len().to_string());
    Ok(())
}

#[tokio::test]
async fn hold_mode_where_envoy_does_not_allow_it_still_forwards() -> Result<()> {
    // Envoy then delivers the body only after the headers continue: a filter that holds them would hang.
    let options = Options { filter: Some(json!({"body_mode": "hold"})), hold: false, ..Options::default() };
    let stack = Stack::start(options, Kind::Down).await?;
    let body = anthropic(&pretty_pets(30));
    let (answer, _) =
        stack.exchange("not allowed", Protocol::Http1, Call::post("/v1/messages", body)).await?;
    assert_eq!(answer.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_cluster_whose_name_is_valid_protobuf_does_not_end_envoy() -> Result<()> {
    // Envoy would read such a name as an empty GrpcService and abort.
    let filter =
        json!({"control_plane": {"cluster": "headroom-cp", "report_interval_ms": 50, "max_backoff_ms": 50}});
    let stack = start(filter, Kind::Down).await?;
    let body = anthropic(&pretty_pets(30));
    for name in ["before a report", "after a report"] {
        let call = Call::post("/v1/messages", body.clone());
        let (answer, _) = stack.exchange(name, Protocol::Http1, call).await?;
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(forwarded(&stack.provider, name).body, shortened(Api::AnthropicMessages, &body), "{name}");
        until("a report has failed", || async {
            (stack.envoy.stat("wasmcustom.headroom.reports_failed").await.ok()? > 0).then_some(())
        })
        .await?;
    }
    assert_no_trap(&stack).await
}
