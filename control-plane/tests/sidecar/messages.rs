//! Texts of requests and answers are shown if both filter and sidecar have it switched on, and are
//! never stored.

use headroom_api::v1::{LoggedMessages, ReportRequest};
use serde_json::{Value, json};

use crate::child::Sidecar;
use crate::records::report;

/// Two requests, the first with messages.
fn reported() -> ReportRequest {
    let logged = LoggedMessages {
        request_id: "hr_1".to_owned(),
        request_messages: vec![r#"{"role":"user","content":"the question"}"#.to_owned()],
        request_messages_left_out: 2,
        response_content: r#"{"content":"the answer"}"#.to_owned(),
        response_content_cut: false,
        blocks: Vec::new(),
    };
    ReportRequest { logged_messages: vec![logged], ..report("vm", 1..=2) }
}

fn shown(requests: &Value) -> Vec<(Value, Value)> {
    let both = |request: &Value| (request["request_messages"].clone(), request["response_content"].clone());
    requests.as_array().unwrap().iter().map(both).collect()
}

#[tokio::test]
async fn messages_are_shown_beside_their_requests() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &["--log-messages"], &[]).await;
    sidecar.grpc().await.report(reported()).await.unwrap();
    let messages = json!([{"role": "user", "content": "the question"}]);
    let expected = [(Value::Null, Value::Null), (messages, json!(r#"{"content":"the answer"}"#))];
    for (path, requests) in [("/transformations/feed", "transformations"), ("/stats", "recent_requests")] {
        let page = sidecar.json(path).await;
        assert_eq!(page["log_full_messages"], true, "{path}");
        assert_eq!(shown(&page[requests]), expected, "{path}");
    }

    assert_eq!(sidecar.terminate().await, Some(0));
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("the question") && !text.contains("the answer"), "{}", file.display());
    }
}

#[tokio::test]
async fn without_a_word_a_sidecar_shows_no_messages_whatever_filters_send() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    sidecar.grpc().await.report(reported()).await.unwrap();
    let feed = sidecar.json("/transformations/feed").await;
    assert_eq!(feed["log_full_messages"], false);
    assert_eq!(shown(&feed["transformations"]), [(Value::Null, Value::Null), (Value::Null, Value::Null)]);
    let stats = sidecar.get("/stats").await.1;
    assert!(stats.contains("hr_1") && !stats.contains("the question") && !stats.contains("the answer"));
}
