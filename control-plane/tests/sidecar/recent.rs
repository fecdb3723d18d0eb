//! The newest requests: search, and sums by conversation and by name.

use serde_json::Value;

use crate::child::Sidecar;
use crate::records::{record, report};
use headroom_api::v1::{BlockRecord, ReportRequest, Retrieval};

/// Thirty requests of three conversations, the last of which is unknown; every tenth has failed.
async fn reported(sidecar: &Sidecar) {
    let mut reported = report("vm", 1..=30);
    for (n, record) in reported.records.iter_mut().enumerate() {
        record.started_unix_ms -= 60_000 * (30 - n as i64);
        record.conversation_id = ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", ""][n % 3].to_owned();
        record.turn_id = format!("{:016x}", n / 10);
        record.team = ["red", "blue"][n % 2].to_owned();
        record.tenant = "payments".to_owned();
        record.hidden_rounds = u32::from(n == 0);
        if n % 10 == 9 {
            (record.status, record.error_class) = (529, "overloaded_error".to_owned());
        }
        if n % 3 == 1 {
            record.model = "acme-9".to_owned();
        }
    }
    sidecar.grpc().await.report(reported).await.unwrap();
}

fn ids(page: &Value) -> Vec<String> {
    let requests = page["transformations"].as_array().unwrap();
    requests.iter().map(|request| request["request_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn conversations_are_summed_up_over_the_requests_that_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    reported(&sidecar).await;
    let page = sidecar.json("/stats-conversations").await;
    assert_eq!((&page["total"], &page["requests_of_none"]), (&2.into(), &10.into()));
    assert_eq!((&page["reach"]["requests"], &page["reach"]["most"]), (&30.into(), &10_000.into()));
    let [newest, other] = page["conversations"].as_array().unwrap().as_slice() else { panic!("{page}") };
    assert_eq!(newest["conversation_id"], "bbbbbbbbbbbbbbbb");
    for (conversation, retrievals, models) in
        [(newest, 0, "acme-9"), (other, 1, "claude-sonnet-4-5-20250929")]
    {
        assert_eq!((&conversation["requests"], &conversation["turns"]), (&10.into(), &3.into()));
        assert_eq!(
            (&conversation["retrievals"], &conversation["models"][0]),
            (&retrievals.into(), &models.into())
        );
        assert_eq!((&conversation["tenant"], &conversation["failed"]), (&"payments".into(), &1.into()));
        assert!(conversation["lifetime_ms"].as_i64().unwrap() >= 27 * 60_000, "{conversation}");
    }
    assert!(
        newest["cost_usd"].is_null() && newest["unpriced_requests"] == 10,
        "no price is not zero: {newest}"
    );
    assert!(other["cost_usd"].as_f64() > Some(0.0) && other["saved_usd"].as_f64() > Some(0.0), "{other}");

    let one = sidecar.json("/stats-conversations?conversation=aaaaaaaaaaaaaaaa&limit=1").await;
    assert_eq!((&one["total"], &one["conversations"][0]["requests"]), (&1.into(), &10.into()));
    let none = sidecar.json("/stats-conversations?model=gpt-5").await;
    assert_eq!((&none["total"], &none["conversations"]), (&0.into(), &Value::Array(Vec::new())));
}

#[tokio::test]
async fn requests_are_found_by_what_they_are_called_and_a_few_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    reported(&sidecar).await;
    let failed = sidecar.json("/transformations/feed?status=failed").await;
    assert_eq!(ids(&failed), ["hr_1e", "hr_14", "hr_a"]);
    assert_eq!(
        (&failed["transformations"][0]["tenant"], &failed["next"]),
        (&"payments".into(), &Value::Null)
    );
    for (query, found) in [
        ("status=5xx&team=blue", 3),
        ("q=OVERLOADED", 3),
        ("q=bash", 20),
        ("request=hr_1", 1),
        ("conversation=aaaaaaaaaaaaaaaa", 10),
        ("model=acme-9&status=ok", 9),
        ("outcome=bypassed", 0),
        ("q=%3Cscript%3E", 0),
    ] {
        let page = sidecar.json(&format!("/transformations/feed?limit=20&{query}")).await;
        assert_eq!(page["transformations"].as_array().unwrap().len(), found, "{query}");
    }
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page =
            sidecar.json(&format!("/transformations/feed?limit=4&conversation=aaaaaaaaaaaaaaaa{next}")).await;
        seen.extend(ids(&page));
        let Some(before) = page["next"].as_i64() else { break };
        next = format!("&before={before}");
    }
    assert_eq!(seen, ["hr_1c", "hr_19", "hr_16", "hr_13", "hr_10", "hr_d", "hr_a", "hr_7", "hr_4", "hr_1"]);
    let long = "x".repeat(300);
    for bad in
        ["status=xx", "status=-1", "before=x", "limit=0", &format!("q={long}"), &format!("model={long}")]
    {
        assert_eq!(sidecar.get(&format!("/transformations/feed?{bad}")).await.0, 400, "{bad}");
    }
    for page in ["stats-conversations", "stats-recent"] {
        assert_eq!(sidecar.get(&format!("/{page}?status=xx")).await.0, 400, "{page}");
    }
}

#[tokio::test]
async fn names_and_outputs_that_were_left_alone_are_summed_up() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    reported(&sidecar).await;
    let page = sidecar.json("/stats-recent?status=failed").await;
    assert_eq!((&page["totals"]["requests"], &page["totals"]["failed"]), (&3.into(), &3.into()));
    let group = |by: &str, value: &str| {
        let groups = page["groups"].as_array().unwrap();
        groups.iter().find(|group| group["by"] == by && group["value"] == value).cloned().unwrap_or_default()
    };
    assert_eq!(group("error", "overloaded_error")["requests"], 3);
    assert_eq!(group("status", "529")["requests"], 3);
    assert_eq!(group("team", "blue")["requests"], 3);
    assert_eq!(group("team", "red"), Value::Null);

    let mut more = record(1);
    more.blocks[1].new = true;
    (more.blocks[1].tool, more.request_id) = ("<b>".to_owned(), "hr_more".to_owned());
    let more = ReportRequest { records: vec![more], ..report("more", []) };
    sidecar.grpc().await.report(more).await.unwrap();
    // sums over everything may be a few seconds old; this is the first request for them
    let page = sidecar.json("/stats-recent").await;
    let missed = &page["missed"][0];
    assert_eq!(
        (&missed["tool"], &missed["reason"], &missed["blocks"]),
        (&"<b>".into(), &"no_gain".into(), &1.into())
    );
    assert!(
        missed["tokens"].as_i64() >= Some(2_000) && page["missed"].as_array().unwrap().len() == 1,
        "{page}"
    );
}

#[tokio::test]
async fn budgets_are_shown_with_what_was_used_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let budgets = r#"{"budgets":[{"per":"team","window":"month","tokens":1000},{"per":"all","window":"day","usd":1000000}]}"#;
    let sidecar = Sidecar::start_with(dir.path(), &[], &[("HEADROOM_BUDGETS", budgets)]).await;
    let mut one = record(1);
    one.team = "red".to_owned();
    sidecar.grpc().await.report(ReportRequest { records: vec![one], ..report("vm", []) }).await.unwrap();
    let page = sidecar.json("/stats-budgets").await;
    let [first, second] = page["budgets"].as_array().unwrap().as_slice() else { panic!("{page}") };
    assert_eq!(
        (&first["per"], &first["owner"], &first["used_up"]),
        (&"team".into(), &"red".into(), &true.into())
    );
    assert_eq!(
        (&second["per"], &second["window"], &second["used_up"]),
        (&"all".into(), &"day".into(), &false.into())
    );
    assert!(second["usd"].as_f64() > Some(0.0), "{second}");

    let other = tempfile::tempdir().unwrap();
    let none = Sidecar::start(other.path()).await;
    assert_eq!(none.json("/stats-budgets").await["configured"], false);
}

/// What was left out and what models asked back of it, durable and separate by tool, kind and form.
#[tokio::test]
async fn retrievals_are_summed_up_by_tool_kind_and_form() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut reported = report("vm", 1..=12);
    for record in &mut reported.records {
        record.blocks[0].lossy = true;
        record.blocks[0].outcome = "json_crush".to_owned();
        // the same output in a later request
        let again = BlockRecord { new: false, ..record.blocks[0].clone() };
        record.blocks.push(again);
    }
    for record in reported.records.iter_mut().take(7) {
        let asked = |part: &str| Retrieval {
            tool: "Bash".to_owned(),
            kind: "json".to_owned(),
            form: "json_crush".to_owned(),
            part: part.to_owned(),
        };
        record.retrievals = vec![asked("whole")];
    }
    // hostile: names of any length, control characters, separators, far too many
    reported.records[11].retrievals = (0..2_000)
        .map(|n| Retrieval { tool: "/\u{0}/".repeat(400), kind: format!("k/{n}"), ..Retrieval::default() })
        .collect();
    sidecar.grpc().await.report(reported).await.unwrap();
    let page = sidecar.json("/v1/toin/stats").await;
    let pattern =
        &page["patterns"].as_array().unwrap().iter().find(|it| it["tool"] == "Bash").unwrap().clone();
    assert_eq!((&pattern["outputs"], &pattern["retrievals"]), (&12.into(), &7.into()));
    assert_eq!(pattern["parts"], serde_json::json!({"whole": 7}));
    assert_eq!(pattern["recommendation"], "lossless");
    assert!(page["patterns"].as_array().unwrap().len() < 100);
    let export = sidecar.json("/v1/toin/export").await;
    let exported =
        export["patterns"].as_object().unwrap().values().find(|it| it["tool_name"] == "Bash").unwrap();
    assert_eq!((&exported["total_compressions"], &exported["full_retrievals"]), (&12.into(), &7.into()));
}
