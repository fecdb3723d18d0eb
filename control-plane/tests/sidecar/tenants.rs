//! The data of one tenant is visible to no one else.

use headroom_api::v1::{MemoryCallRequest, MemoryContextRequest, RetrieveRequest};
use serde_json::{Value, json};
use tonic::{Code, Request};

use crate::child::{Sidecar, client};
use crate::health::ready_when;
use crate::originals::{original, request};

const RED: &str = "t0ken-of-red";
const BLUE: &str = "t0ken-of-blue";

async fn start(dir: &std::path::Path, token: Option<&str>) -> Sidecar {
    let file = dir.join("tenants");
    std::fs::write(&file, format!("# who is who\nred {RED}\nblue {BLUE}\n")).unwrap();
    let args = ["--tenant-tokens-file", file.to_str().unwrap()];
    let env: Vec<(&str, &str)> = token.iter().map(|token| ("HEADROOM_TOKEN", *token)).collect();
    Sidecar::start_with(dir, &args, &env).await
}

async fn get(sidecar: &Sidecar, path: &str, token: &str, tenant: Option<&str>) -> (u16, Value) {
    let mut request = client().get(format!("http://{}{path}", sidecar.ready.http)).bearer_auth(token);
    if let Some(tenant) = tenant {
        request = request.header("x-headroom-user-id", tenant);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

fn shown<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test]
async fn a_tenants_token_opens_its_originals_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = start(dir.path(), Some("0perator")).await;
    let mut grpc = sidecar.originals().await;
    let (of_red, of_blue) = (original("a text of red"), original("a text of blue"));
    grpc.admit(shown(request("red", vec![of_red.clone()]), "0perator")).await.unwrap();
    // a caller with a tenant's token need not name the tenant
    grpc.admit(shown(request("", vec![of_blue.clone()]), BLUE)).await.unwrap();

    let path = |hash: &str| format!("/v1/retrieve/{hash}");
    let (status, found) = get(&sidecar, &path(&of_red.hash), RED, None).await;
    assert_eq!((status, &found["original_content"]), (200, &json!("a text of red")));
    assert_eq!(get(&sidecar, &path(&of_red.hash), RED, Some("red")).await.0, 200);
    assert_eq!(get(&sidecar, &path(&of_blue.hash), RED, None).await.0, 404);
    assert_eq!(get(&sidecar, &path(&of_blue.hash), RED, Some("blue")).await.0, 403);
    assert_eq!(get(&sidecar, &path(&of_blue.hash), "0perator", Some("blue")).await.0, 200);
    assert_eq!(get(&sidecar, &path(&of_blue.hash), "0perator", None).await.0, 404);
    for bad in ["r\u{e9}d", "two words", &"x".repeat(129)] {
        assert_eq!(get(&sidecar, &path(&of_red.hash), "0perator", Some(bad)).await.0, 400, "{bad}");
    }

    let stats = get(&sidecar, "/v1/retrieve/stats", RED, None).await.1;
    assert_eq!((&stats["tenant"], &stats["store"]["entry_count"]), (&json!("red"), &json!(1)));
    assert_eq!(stats["since_start"], Value::Null);
    let recent = stats["recent_retrievals"].as_array().unwrap();
    assert!(recent.iter().all(|it| it["hash"] != of_blue.hash || it["found"] == false), "{stats}");
    let all = get(&sidecar, "/v1/retrieve/stats", "0perator", None).await.1;
    assert_eq!(all["store"]["entry_count"], 2);

    for closed in
        ["/stats", "/metrics", "/debug/tasks", "/dashboard", "/v1/retrieves", "/v1/purge", "/events"]
    {
        assert_eq!(get(&sidecar, closed, RED, None).await.0, 403, "{closed}");
    }
    ready_when(&sidecar, |page| *page == json!({"status": "healthy"})).await;
    let health = get(&sidecar, "/readyz", RED, None).await;
    assert_eq!(health, (200, json!({"status": "healthy"})));

    let ask = |tenant: &str, hash: &str| RetrieveRequest {
        tenant: tenant.to_owned(),
        hash: hash.to_owned(),
        ..RetrieveRequest::default()
    };
    assert!(grpc.retrieve(shown(ask("", &of_red.hash), RED)).await.unwrap().into_inner().found);
    assert!(!grpc.retrieve(shown(ask("red", &of_blue.hash), RED)).await.unwrap().into_inner().found);
    let refused = grpc.retrieve(shown(ask("blue", &of_blue.hash), RED)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = grpc.admit(shown(request("blue", vec![of_red]), RED)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let report = shown(crate::records::report("vm", [1]), RED);
    assert_eq!(sidecar.grpc().await.report(report).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_tenants_token_opens_its_memory_and_nobody_elses_through_the_filters_call() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = start(dir.path(), Some("0perator")).await;
    let mut grpc = sidecar.memory().await;
    let ask = |tenant: &str, tool: &str, arguments: Value| MemoryCallRequest {
        tenant: tenant.to_owned(),
        project: "shop".to_owned(),
        tool: tool.to_owned(),
        arguments: arguments.to_string(),
        ..MemoryCallRequest::default()
    };
    let save = ask("red", "memory_save", json!({"content": "Red deploys on Tuesday"}));
    let saved = grpc.call(shown(save, "0perator")).await.unwrap().into_inner();
    assert!(!saved.is_error && saved.text.starts_with("Saved 1 new"), "{}", saved.text);
    let search = |tenant: &str| ask(tenant, "memory_search", json!({"query": "deploys"}));
    for (tenant, token, is_found) in
        [("", RED, true), ("red", RED, true), ("", BLUE, false), ("", "0perator", false)]
    {
        let answer = grpc.call(shown(search(tenant), token)).await.unwrap().into_inner();
        assert_eq!(answer.text.contains("Tuesday"), is_found, "{tenant:?} {token}: {}", answer.text);
    }
    let refused = grpc.call(shown(search("red"), BLUE)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    for bad in ["r\nd", &"x".repeat(257)] {
        let refused = grpc.call(shown(search(bad), "0perator")).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad}");
    }
    let huge = ask("red", "memory_save", json!({"content": "x".repeat(3 << 20)}));
    assert_eq!(grpc.call(shown(huge, "0perator")).await.unwrap_err().code(), Code::OutOfRange);
    let begins = |tenant: &str, conversation: &str| MemoryContextRequest {
        tenant: tenant.to_owned(),
        project: "shop".to_owned(),
        conversation: conversation.to_owned(),
        begins: true,
        question: "When is it that Red deploys?".to_owned(),
        request_id: "hr_1".to_owned(),
        wait_ms: 10_000,
        ..MemoryContextRequest::default()
    };
    for (conversation, token, is_found) in [("c", BLUE, false), ("c", RED, true), ("d", "0perator", false)] {
        let answer = grpc.context(shown(begins("", conversation), token)).await.unwrap().into_inner();
        assert_eq!((answer.decided, answer.text.contains("Tuesday")), (true, is_found), "{token}");
    }
    let refused = grpc.context(shown(begins("red", "c"), BLUE)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = grpc.context(shown(begins("", ""), RED)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let told = grpc.call(shown(ask("red", "memory_save", json!([])), RED)).await.unwrap().into_inner();
    assert!(told.is_error && told.text.starts_with("Error: "), "{}", told.text);
}

#[tokio::test]
async fn without_an_operators_token_a_tenants_token_still_closes_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = start(dir.path(), None).await;
    assert_eq!(get(&sidecar, "/stats", RED, None).await.0, 403);
    assert_eq!(get(&sidecar, "/v1/retrieve/stats", RED, None).await.1["tenant"], "red");
    assert_eq!(
        get(&sidecar, "/stats", "nobody's", None).await.0,
        200,
        "as whoever shows nothing on this machine"
    );
}

#[tokio::test]
async fn what_is_purged_is_gone_and_a_dry_run_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = start(dir.path(), None).await;
    let mut grpc = sidecar.originals().await;
    let secret = "a text that nobody else may ever read again";
    grpc.admit(request("red", vec![original(secret)])).await.unwrap();
    grpc.admit(request("blue", vec![original("another")])).await.unwrap();
    let mut reported = crate::records::report("vm", 1..=4);
    for (n, record) in reported.records.iter_mut().enumerate() {
        record.tenant = if n < 3 { "red" } else { "blue" }.to_owned();
    }
    sidecar.grpc().await.report(reported).await.unwrap();

    let purge = async |body: Value| {
        let url = format!("http://{}/v1/purge", sidecar.ready.http);
        let answer = client().post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    for bad in [
        json!({}),
        json!({"all": true, "tenant": "red"}),
        json!({"older_than_seconds": -1}),
        json!({"everything": true}),
        json!([]),
    ] {
        assert_eq!(purge(bad.clone()).await.0, 400, "{bad}");
    }
    for (dry_run, left) in [(true, 2), (false, 1)] {
        let (status, purged) = purge(json!({"tenant": "red", "dry_run": dry_run})).await;
        assert_eq!(
            (status, &purged["originals"], &purged["requests"]),
            (200, &json!(1), &json!(3)),
            "{purged}"
        );
        assert_eq!(sidecar.json("/v1/retrieve/stats").await["store"]["entry_count"], left);
    }
    let recent = sidecar.json("/stats").await["recent_requests"].as_array().unwrap().len();
    assert_eq!(recent, 1, "the other tenant's stays");
    assert_eq!(purge(json!({"older_than_seconds": 3_600})).await.1["originals"], 0);
    let (_, purged) = purge(json!({"all": true})).await;
    assert_eq!((&purged["originals"], &purged["requests"]), (&json!(1), &json!(1)));
    assert_eq!(sidecar.json("/stats").await["requests"]["total"], 0);
    // it starts again from zero, and counts nothing twice
    sidecar.grpc().await.report(crate::records::report("vm", 1..=6)).await.unwrap();
    assert_eq!(sidecar.json("/stats").await["requests"]["total"], 2);
    assert_eq!(sidecar.terminate().await, Some(0));
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let compressed = &original(secret).content;
        let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!holds(secret.as_bytes()) && !holds(compressed), "{}", path.display());
    }
}

#[tokio::test]
async fn a_store_on_which_nobody_runs_is_purged_by_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    sidecar.originals().await.admit(request("red", vec![original("text")])).await.unwrap();
    sidecar.grpc().await.report(crate::records::report("vm", 1..=4)).await.unwrap();
    assert_eq!(sidecar.terminate().await, Some(0));
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_headroomd"));
        command.env_clear().arg("--workspace-dir").arg(dir.path()).arg("purge").args(args);
        command.output().unwrap()
    };
    assert_eq!(run(&["--all", "--tenant", "x"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(1));
    for (args, originals) in [(&["--all", "--dry-run"][..], 1), (&["--all"], 1), (&["--all"], 0)] {
        let done = run(args);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let purged: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(purged["originals"], originals, "{purged}");
    }
    assert_eq!(Sidecar::start(dir.path()).await.json("/stats").await["requests"]["total"], 0);
}

#[tokio::test]
async fn a_tenants_token_opens_compression_for_that_tenant_in_either_header() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = start(dir.path(), Some("0perator")).await;
    let url = format!("http://{}/v1/compress", sidecar.ready.http);
    let call = async |headers: &[(&str, &str)]| {
        let rows = json!([{"role": "tool", "tool_call_id": "c", "content": crate::compress::log(900)}]);
        let body = json!({"model": "m", "messages": rows, "config": {"mode": "ccr", "session_id": "s"}});
        let request = client().post(&url).json(&body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
    };
    let bearer = format!("Bearer {RED}");
    let (status, answer) = call(&[("authorization", &bearer)]).await;
    assert_eq!(status, 200, "{answer}");
    let path = format!("/v1/retrieve/{}", answer["ccr_hashes"][0].as_str().unwrap());
    assert_eq!(get(&sidecar, &path, RED, None).await.0, 200);
    assert_eq!(get(&sidecar, &path, BLUE, None).await.0, 404);
    let (status, answer) = call(&[("x-headroom-proxy-token", BLUE)]).await;
    assert_eq!((status, &answer["session"]["frozen_message_count"]), (200, &json!(0)), "not red's session");
    assert_eq!(get(&sidecar, &path, BLUE, None).await.0, 200);
    assert_eq!(call(&[("authorization", &bearer), ("x-headroom-user-id", "blue")]).await.0, 403);
    let operator = [("authorization", "Bearer 0perator")];
    assert_eq!(call(&operator).await.0, 200);
    // our own header has priority
    assert_eq!(call(&[operator[0], ("x-headroom-proxy-token", "wrong")]).await.0, 401);
    assert_eq!(call(&[operator[0], ("x-headroom-proxy-token", "")]).await.0, 401);
    assert_eq!(call(&[("authorization", "Bearer x"), ("x-headroom-proxy-token", "0perator")]).await.0, 200);
    for nobody in [&[("x-api-key", "0perator")][..], &[("authorization", "0perator")], &[]] {
        assert_eq!(call(nobody).await.0, 401, "{nobody:?}");
    }
}
