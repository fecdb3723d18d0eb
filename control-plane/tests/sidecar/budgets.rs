//! Budgets: the answer that filters get after one is used up.

use headroom_api::v1::{LimitsRequest, ReportRequest};

use crate::child::Sidecar;
use crate::records::report;

/// Each of the records below has 9,200 tokens and costs $0.0084.
const BUDGETS: &str = r#"{"budgets": [
    {"per": "key", "window": "day", "tokens": 18000},
    {"per": "team", "of": "red", "window": "month", "usd": 0.01},
    {"per": "person", "window": "day", "usd": 1}]}"#;

fn of(key: &str, team: &str, sequences: std::ops::RangeInclusive<u64>) -> ReportRequest {
    let mut report = report(&format!("vm-{key}{team}"), sequences);
    for record in &mut report.records {
        (record.key, record.team) = (key.to_owned(), team.to_owned());
    }
    report
}

#[tokio::test]
async fn filters_are_told_which_budgets_are_used_up_and_after_a_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    let start = || Sidecar::start_with(dir.path(), &[], &[("HEADROOM_BUDGETS", BUDGETS)]);
    let sidecar = start().await;
    let mut client = sidecar.grpc().await;
    let said = client.report(of("k1", "", 1..=1)).await.unwrap().into_inner().limits.unwrap();
    assert_eq!(said.used_up, []);
    assert!(said.valid_for_ms > 0);
    client.report(of("k1", "", 2..=2)).await.unwrap();
    client.report(of("", "red", 1..=2)).await.unwrap();
    client.report(of("", "blue", 1..=9)).await.unwrap();
    let mut refused = of("k2", "", 1..=9);
    for record in &mut refused.records {
        record.status = 529;
        record.usage = None;
    }
    client.report(refused).await.unwrap();
    drop(sidecar);

    let sidecar = start().await;
    let said = sidecar.grpc().await.limits(LimitsRequest {}).await.unwrap().into_inner();
    let who: Vec<_> = said.used_up.iter().map(|it| (it.key.as_str(), it.team.as_str())).collect();
    assert_eq!(who, [("k1", ""), ("", "red")]);
    let messages: Vec<_> = said.used_up.iter().map(|it| it.message.as_str()).collect();
    assert!(
        messages[0].starts_with("Budget exceeded for day period: this API key used 18400 of 18000 tokens."),
        "{messages:?}"
    );
    assert!(messages[1].contains("team red used 0.02 of 0.01 USD"), "{messages:?}");
}

#[tokio::test]
async fn without_budgets_nobody_is_told_of_any() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.grpc().await;
    assert_eq!(client.report(of("k1", "", 1..=9)).await.unwrap().into_inner().limits, None);
    assert_eq!(client.limits(LimitsRequest {}).await.unwrap().into_inner().used_up, []);
}
