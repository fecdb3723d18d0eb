//! The host names that the listener accepts: no web page may make its own name point here (DNS rebinding).

use anyhow::Result;
use headroom_compress::Api;
use headroom_e2e::Stack;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::envoy::Options;
use headroom_e2e::sidecar::Kind;
use serde_json::json;

use crate::bodies::{anthropic, pretty_pets, shortened};
use crate::stacks::forwarded;

#[tokio::test]
async fn another_name_than_ours_gets_neither_a_provider_nor_the_sidecar() -> Result<()> {
    let options = Options {
        filter: Some(json!({"control_plane": {"cluster": "headroom", "report_interval_ms": 50}})),
        allow_hosts: vec!["headroom.internal".to_owned(), "gateway".to_owned()],
        ..Options::default()
    };
    let stack = Stack::start(options, Kind::Real).await?;
    let body = anthropic(&pretty_pets(20));
    for foreign in [
        "evil.example",
        "evil.example:8787",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "notlocalhost",
        "headroomxinternal",
        "gateway.evil.example",
        "xn--localhost-9ya",
    ] {
        for path in ["/v1/messages", "/v1/chat/completions", "/v1/models", "/nothing"] {
            let call = Call::post(path, body.clone()).header("host", foreign);
            let (answer, arrived) = stack.exchange(foreign, Protocol::Http1, call).await?;
            assert_eq!(answer.status, 403, "{foreign} {path}");
            assert!(answer.text().contains("--allow-host"), "{}", answer.text());
            assert!(arrived.is_empty(), "{foreign} {path}");
        }
        for path in ["/livez", "/stats", "/dashboard", "/events", "/metrics", "/transformations/feed"] {
            let call = Call::get(path).header("host", foreign);
            let (answer, _) = stack.exchange(foreign, Protocol::Http1, call).await?;
            assert_eq!(answer.status, 403, "{foreign} {path}");
        }
    }
    for own in [
        "localhost",
        "LOCALHOST:8787",
        "a.localhost",
        "127.0.0.1",
        "10.1.2.3:80",
        "[::1]:8787",
        "Headroom.Internal:8787",
        "gateway",
        "localhost.",
    ] {
        let call = Call::post("/v1/messages", body.clone()).header("host", own);
        let (answer, _) = stack.exchange(own, Protocol::Http1, call).await?;
        assert_eq!(answer.status, 200, "{own}");
        assert_eq!(forwarded(&stack.provider, own).body, shortened(Api::AnthropicMessages, &body), "{own}");
    }
    // The figures do not contain the foreign requests either: the filter has not seen them.
    headroom_e2e::deadline::until("the requests are counted", || async {
        (stack.sidecar.stats().await.ok()?["requests"]["total"] == 9).then_some(())
    })
    .await?;
    Ok(())
}
