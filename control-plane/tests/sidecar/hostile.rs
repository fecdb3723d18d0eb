//! Invalid input is refused in plain words, and nothing is lost or counted because of it.

use headroom_api::v1::{AdmitRequest, BlockRecord, Original, ReportRequest, RequestRecord};
use tonic::Code;

use crate::child::{Sidecar, client_builder};
use crate::records::{record, report};

#[tokio::test]
async fn a_report_with_a_bad_envelope_is_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.grpc().await;
    let long = "v".repeat(65);
    for vm_id in ["", "a b", "vm'; DROP TABLE vm; --", "é", long.as_str()] {
        let status = client.report(report(vm_id, 1..=2)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{vm_id}");
        assert!(status.message().starts_with("vm_id: expected"), "{}", status.message());
    }
    assert_eq!(client.report(report("vm", [1, 0])).await.unwrap_err().code(), Code::InvalidArgument);
    let many = ReportRequest { records: vec![RequestRecord::default(); 10_001], ..report("vm", []) };
    assert_eq!(client.report(many).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(sidecar.json("/stats").await["requests"]["total"], 0);
}

#[tokio::test]
async fn a_report_larger_than_the_cap_is_refused_and_the_next_one_counted() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.grpc().await;
    let mut huge = report("vm", [1]);
    huge.records[0].model = "m".repeat(5 << 20);
    assert_eq!(client.report(huge).await.unwrap_err().code(), Code::OutOfRange);
    client.report(report("vm", [1])).await.unwrap();
    assert_eq!(sidecar.json("/stats").await["requests"]["total"], 1);
}

#[tokio::test]
async fn absurd_figures_and_names_are_counted_within_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.grpc().await;
    let mut absurd = report("vm", []);
    for sequence in 1..=300 {
        let mut record = record(sequence);
        record.model = format!("model-{sequence}\"\n\\\u{0}");
        record.stack = format!("stack_{sequence}");
        record.started_unix_ms = i64::MAX;
        record.outcome = 99;
        if let Some(tokens) = &mut record.tokens {
            (tokens.before, tokens.after) = (u64::MAX, 0);
        }
        absurd.records.push(record);
    }
    absurd.records[0].sequence = u64::MAX;
    client.report(absurd).await.unwrap();
    let stats = sidecar.json("/stats").await;
    assert_eq!(stats["requests"]["total"], 300);
    assert_eq!(stats["requests"]["by_outcome"]["unspecified"], 300);
    assert!(stats["requests"]["by_model"].as_object().unwrap().len() <= 65);
    assert!(stats["requests"]["by_stack"].as_object().unwrap().len() <= 33);
    let (status, metrics) = sidecar.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.lines().filter(|line| line.starts_with("headroom_requests_by_model{")).count() <= 65);
}

#[tokio::test]
async fn bytes_that_are_no_protobuf_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let url = format!("http://{}/headroom.v1.ControlPlane/Report", sidecar.ready.grpc);
    let client = client_builder().http2_prior_knowledge().build().unwrap();
    for body in [&b""[..], b"\0", b"\0\0\0\0\x05hel", b"\0\0\0\0\x03\xff\xff\xff", b"\xff\xff\xff\xff\xff"] {
        let request = client.post(&url).header("content-type", "application/grpc").header("te", "trailers");
        let answer = request.body(body.to_vec()).send().await.unwrap();
        let refused = answer.headers().get("grpc-status").is_none_or(|status| status != "0");
        assert!(refused, "{body:?}");
    }
    sidecar.grpc().await.report(report("vm", [1])).await.unwrap();
}

#[tokio::test]
async fn who_shows_no_token_is_refused_before_the_message_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &[], &[("HEADROOM_TOKEN", "s3cret-t0ken")]).await;
    let client = client_builder().http2_prior_knowledge().build().unwrap();
    for method in
        ["ControlPlane/Report", "Originals/Admit", "Memory/Call", "Answers/Keep", "TextModel/Decide"]
    {
        let code = async |token: &str| {
            let url = format!("http://{}/headroom.v1.{method}", sidecar.ready.grpc);
            let request = client.post(&url).header("content-type", "application/grpc").bearer_auth(token);
            let answer = request.body(&b"\0\0\0\0\x03\xff\xff\xff"[..]).send().await.unwrap();
            answer.headers()["grpc-status"].to_str().unwrap().parse().map(Code::from_i32).unwrap()
        };
        assert_eq!(code("wrong").await, Code::Unauthenticated, "{method}");
        assert_eq!(code("s3cret-t0ken").await, Code::Internal, "{method}: it is no message");
    }
}

#[tokio::test]
async fn messages_of_many_empty_parts_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let many = AdmitRequest { originals: vec![Original::default(); 100_000], ..AdmitRequest::default() };
    let refused = sidecar.originals().await.admit(many).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("originals: expected at most"), "{}", refused.message());
    let record = RequestRecord { blocks: vec![BlockRecord::default(); 300_000], ..record(1) };
    let refused =
        sidecar.grpc().await.report(ReportRequest { records: vec![record], ..report("vm", []) }).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    sidecar.grpc().await.report(report("vm", [1])).await.unwrap();
}

#[tokio::test]
async fn a_damaged_store_is_set_aside_and_a_new_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("headroom.db"), "not a database, but precious all the same").unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    sidecar.grpc().await.report(report("vm", [1])).await.unwrap();
    assert_eq!(sidecar.json("/stats").await["requests"]["total"], 1);
    let kept = std::fs::read_dir(dir.path()).unwrap().filter_map(Result::ok);
    let kept: Vec<_> = kept.filter(|it| it.file_name().to_string_lossy().contains(".damaged-")).collect();
    assert_eq!(kept.len(), 1);
    assert!(std::fs::read_to_string(kept[0].path()).unwrap().contains("precious"));
}
