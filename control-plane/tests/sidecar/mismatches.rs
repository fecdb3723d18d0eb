//! Reasoning that providers ignored because something before it had changed: who made the change, on every page
//! for operators.

use headroom_api::v1::{PrefixMismatchSource, ReportRequest, RequestRecord};

use crate::child::Sidecar;
use crate::records::{report, turn};

fn reported(records: Vec<RequestRecord>) -> ReportRequest {
    ReportRequest { records, dropped_originals: 3, ..report("vm", []) }
}

fn mismatched(record: RequestRecord, source: PrefixMismatchSource) -> RequestRecord {
    RequestRecord {
        prefix_mismatches: 2,
        prefix_mismatch_source: source.into(),
        recovered: true,
        hidden_rounds: 1,
        restored_rounds: 4,
        ..record
    }
}

#[tokio::test]
async fn it_is_shown_whose_change_lost_reasoning_goes_back_to() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let (_, text) = sidecar.get("/metrics").await;
    let none = "headroom_prefix_mismatch_total{provider=\"anthropic\",whose=\"headroom\"} 0";
    assert!(text.lines().any(|line| line == none), "{none} is not in\n{text}");

    let mut client = sidecar.grpc().await;
    client.report(reported(vec![turn(1, &[1, 2], &[1, 20])])).await.unwrap();
    let listed = PrefixMismatchSource::InputTransformations;
    let ours = mismatched(turn(2, &[1, 2, 3], &[1, 21, 31]), listed);
    client.report(reported(vec![ours])).await.unwrap();
    let totals = sidecar.json("/stats").await["reasoning"]["totals"].clone();
    assert_eq!(
        totals,
        serde_json::json!({"prefix_mismatches": 2, "by_headroom": 2, "by_client": 0, "unseen": 0,
            "recovered_requests": 1, "hidden_rounds": 1, "restored_rounds": 4})
    );
    assert_eq!(sidecar.terminate().await, Some(0));

    // The previous request is found in the store.
    let sidecar = Sidecar::start(dir.path()).await;
    let again = mismatched(turn(3, &[1, 2, 3, 4], &[1, 21, 31, 41]), listed);
    let clients = mismatched(turn(4, &[1, 9, 39], &[1, 91, 32]), PrefixMismatchSource::Refusal);
    sidecar.grpc().await.report(reported(vec![again, clients])).await.unwrap();
    let stats = sidecar.json("/stats").await;
    for part in ["totals", "display_session"] {
        let of = &stats["reasoning"][part];
        assert_eq!((&of["by_headroom"], &of["by_client"]), (&4.into(), &2.into()), "{part}: {of}");
    }
    assert_eq!(stats["reasoning"]["by_provider"]["anthropic"]["prefix_mismatches"], 6);
    assert_eq!(stats["reports"]["dropped_originals"], 3);
    let newest = &stats["recent_requests"][0]["reasoning"];
    assert_eq!((&newest["changed_by"], &newest["prefix_mismatches"]), (&"client".into(), &2.into()));
    assert_eq!((&newest["seen_by"], &newest["forms_version"]), (&"refusal".into(), &1.into()));
    assert_eq!(stats["recent_requests"][3]["reasoning"]["changed_by"], serde_json::Value::Null);
    let (_, text) = sidecar.get("/metrics").await;
    for line in [
        "headroom_prefix_mismatch_total{provider=\"anthropic\",whose=\"headroom\"} 2",
        "headroom_prefix_mismatch_total{provider=\"anthropic\",whose=\"client\"} 2",
        "headroom_prefix_mismatch_total{provider=\"openai\",whose=\"unseen\"} 0",
        "headroom_requests_recovered_total 2",
        "headroom_tool_rounds_total{round=\"restored\"} 8",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn figures_that_no_filter_makes_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut absurd = turn(1, &[7; 5_000], &[7; 5_000]);
    (absurd.prefix_mismatches, absurd.hidden_rounds, absurd.prefix_change) = (u32::MAX, u32::MAX, 99);
    let mut claims = turn(2, &[1], &[1]);
    claims.prefix_change = 1;
    sidecar.grpc().await.report(reported(vec![absurd, claims])).await.unwrap();
    let totals = sidecar.json("/stats").await["reasoning"]["totals"].clone();
    assert_eq!((&totals["unseen"], &totals["by_headroom"]), (&10_000.into(), &0.into()));
    assert_eq!(totals["hidden_rounds"], 10_000);
}
