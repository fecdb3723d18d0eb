//! Originals over HTTP, under upstream's names.

use serde_json::{Value, json};

use crate::child::{PATIENCE, Sidecar, client};
use crate::originals::{original, request};

async fn post(sidecar: &Sidecar, tenant: Option<&str>, body: Value) -> (u16, Value) {
    let url = format!("http://{}/v1/retrieve", sidecar.ready.http);
    let mut request = client().post(url).json(&body);
    if let Some(tenant) = tenant {
        request = request.header("x-headroom-user-id", tenant);
    }
    let answer = request.send().await.unwrap();
    assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn an_original_is_given_whole_in_lines_and_by_what_matches() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let rows: Vec<String> = (0..60).map(|n| format!("{{\"name\":\"row {n}\",\"id\":{n}.0}}")).collect();
    let (text, lines) = (format!("[{}]", rows.join(",")), "one\ntwo error\nthree\n");
    let (table, log) = (original(&text), original(lines));
    let admit = request("", vec![table.clone(), log.clone()]);
    sidecar.originals().await.admit(admit).await.unwrap();

    let (status, whole) = post(&sidecar, None, json!({"hash": table.hash})).await;
    assert_eq!(status, 200);
    assert_eq!(
        whole,
        json!({"hash": table.hash, "original_content": text, "original_tokens": 900, "compressed_tokens": 100,
               "original_item_count": 60, "compressed_item_count": null, "tool_name": "Bash", "kind": "log",
               "retrieval_count": 1})
    );
    // rows are returned as spelled: neither keys nor numbers change
    let (_, found) = sidecar.get(&format!("/v1/retrieve/{}?query=row%2042", table.hash)).await;
    let start = format!("{{\"hash\":\"{}\",\"query\":\"row 42\",\"results\":[", table.hash);
    assert!(found.starts_with(&start) && found.contains(&rows[42]), "{found}");
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!((&found["matches"], &found["unit"], &found["total"]), (&json!(1), &json!("rows"), &json!(60)));
    let (_, found) = post(&sidecar, None, json!({"hash": log.hash, "query": "error"})).await;
    assert!(found["results"].as_array().unwrap().contains(&json!("two error")), "{found}");
    assert_eq!((&found["matches"], &found["content"]), (&json!(1), &json!(lines)));
    let (_, found) = post(&sidecar, None, json!({"hash": log.hash, "query": "zebra"})).await;
    assert_eq!((&found["results"], &found["count"]), (&json!([]), &json!(0)));
    let part = sidecar.json(&format!("/v1/retrieve?hash={}&lines=2-", log.hash)).await;
    assert_eq!(part["content"], "two error\nthree\n");
    let (_, rows_of) = post(&sidecar, None, json!({"hash": table.hash, "lines": "rows 3-4"})).await;
    assert_eq!(rows_of["content"], rows[3..=4].join(","));
    assert_eq!((&rows_of["from"], &rows_of["to"], &rows_of["total"]), (&json!(3), &json!(4), &json!(60)));
    let empty = post(&sidecar, None, json!({"hash": log.hash, "query": " ", "lines": ""})).await.1;
    assert_eq!(empty["original_content"], lines);
}

/// Resident memory of a process now, and its maximum so far. Kilobytes.
fn resident(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    let kilobytes = |name: &str| line(name).trim_end_matches(" kB").parse().unwrap();
    (kilobytes("VmRSS:"), kilobytes("VmHWM:"))
}

#[tokio::test]
async fn eight_queries_at_once_over_a_large_original_take_little_more_than_eight_times_its_text() {
    const AT_ONCE: u64 = 8;
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    // Short lines, rows of a list, and a text inside JSON: the shapes that a query searches.
    let lines = "a\n".repeat(500_000) + "the needle\n";
    let rows = format!("[{}\"the needle\"]", "1,".repeat(200_000));
    let wrapped = json!({"content": lines}).to_string();
    for text in [lines, rows, wrapped] {
        let large = original(&text);
        sidecar.originals().await.admit(request("", vec![large.clone()])).await.unwrap();
        let (before, _) = resident(sidecar.ready.pid);
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let url = format!("http://{}/v1/retrieve/{}?query=needle", sidecar.ready.http, large.hash);
            asking.spawn(async move { client().get(url).send().await.unwrap().text().await.unwrap() });
        }
        let found = asking.join_all().await;
        assert!(found.iter().all(|found| found.contains("the needle")), "{}", found[0]);
        let (_, most) = resident(sidecar.ready.pid);
        let taken = most.saturating_sub(before) << 10;
        let megabytes = |bytes: u64| bytes >> 20;
        let size = text.len() as u64;
        eprintln!("{} MB, {AT_ONCE} at once: {} MB more", megabytes(size), megabytes(taken));
        // For each: its text, the source of the text, and the string if it is one; and the memory of connections. Eight
        // bytes per line would be 32 MB more.
        assert!(taken <= AT_ONCE * 4 * size + (16 << 20), "{} MB", megabytes(taken));
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_makes_no_sense_400() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mine = original("one tenant's");
    sidecar.originals().await.admit(request("me", vec![mine.clone()])).await.unwrap();
    assert_eq!(post(&sidecar, Some("me"), json!({"hash": mine.hash})).await.0, 200);
    for tenant in [None, Some("you")] {
        let (status, body) = post(&sidecar, tenant, json!({"hash": mine.hash})).await;
        assert_eq!(status, 404);
        assert_eq!(body["error"]["message"], "Entry not found or expired (TTL: 24 hours)");
    }
    for hash in ["x", "..%2f..", "0123456789abcdef01234567", "%00"] {
        assert_eq!(sidecar.get(&format!("/v1/retrieve/{hash}")).await.0, 404, "{hash}");
    }
    for body in [json!({}), json!([]), json!({"hash": 7}), json!({"query": "x"})] {
        assert_eq!(post(&sidecar, None, body.clone()).await.0, 400, "{body}");
    }
    assert_eq!(sidecar.get("/v1/retrieve").await.0, 400);
    for asked in [json!({"lines": "9-3"}), json!({"lines": "1-2", "query": "x"})] {
        let mut asked = asked;
        asked["hash"] = json!(mine.hash);
        assert_eq!(post(&sidecar, Some("me"), asked.clone()).await.0, 400, "{asked}");
    }
}

#[tokio::test]
async fn a_tool_call_is_answered_in_the_form_of_its_provider() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let log = original("one\ntwo error\nthree\n");
    sidecar.originals().await.admit(request("", vec![log.clone()])).await.unwrap();
    let ask = async |provider: &str, tool_call: &Value| {
        let url = format!("http://{}/v1/retrieve/tool_call", sidecar.ready.http);
        let body = json!({"tool_call": tool_call, "provider": provider});
        let answer = client().post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let name = "headroom_retrieve";
    let (arguments, spelled) = (json!({"hash": log.hash}), json!({"hash": log.hash}).to_string());
    let text = "one\ntwo error\nthree\n";
    for (provider, call, result) in [
        (
            "anthropic",
            json!({"type": "tool_use", "id": "t", "name": name, "input": arguments}),
            json!({"type": "tool_result", "tool_use_id": "t", "content": text}),
        ),
        (
            "openai",
            json!({"id": "c", "type": "function", "function": {"name": name, "arguments": spelled}}),
            json!({"role": "tool", "tool_call_id": "c", "content": text}),
        ),
        (
            "openai",
            json!({"type": "function_call", "call_id": "c", "name": name, "arguments": spelled}),
            json!({"type": "function_call_output", "call_id": "c", "output": text}),
        ),
        (
            "google",
            json!({"functionCall": {"name": name, "args": arguments}}),
            json!({"functionResponse": {"name": name, "response": {"output": text}}}),
        ),
    ] {
        let (status, answer) = ask(provider, &call).await;
        assert_eq!((status, &answer["success"], &answer["tool_result"]), (200, &json!(true), &result));
        assert_eq!(answer["data"]["original_content"], text);
    }
    let mut call = json!({"id": "t", "name": "mcp__headroom__headroom_retrieve",
        "input": {"hash": log.hash, "query": "error"}});
    let (_, answer) = ask("anthropic", &call).await;
    assert_eq!(answer["data"]["matches"], 1);
    assert!(answer["tool_result"]["content"].as_str().unwrap().starts_with(text), "{answer}");
    call["input"]["hash"] = json!("0".repeat(24));
    let (status, answer) = ask("anthropic", &call).await;
    assert_eq!((status, &answer["success"]), (200, &json!(false)));
    assert_eq!(answer["tool_result"]["content"], "Entry not found or expired (TTL: 24 hours)");
    for (provider, call) in [
        ("anthropic", json!({"id": "t", "name": "list", "input": {}})),
        ("openai", json!({"id": "t", "function": {"name": name, "arguments": "{"}})),
        ("acme", call),
        ("anthropic", json!(7)),
    ] {
        assert_eq!(ask(provider, &call).await.0, 400, "{provider} {call}");
    }
}

#[tokio::test]
async fn figures_of_originals_are_on_every_page_that_shows_some() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let text = original("text");
    let mut forged = original("other");
    forged.hash = "0".repeat(24);
    let mut client = sidecar.originals().await;
    client.admit(request("", vec![text.clone(), forged])).await.unwrap();
    assert_eq!(sidecar.get(&format!("/v1/retrieve/{}", text.hash)).await.0, 200);
    assert_eq!(sidecar.get("/v1/retrieve/0123456789abcdef01234567").await.0, 404);
    // the read is written before later admissions
    client.admit(request("", vec![original("a third")])).await.unwrap();
    client.admit(request("", vec![text.clone()])).await.unwrap();

    let stats = sidecar.json("/v1/retrieve/stats").await;
    assert_eq!(stats["store"]["entry_count"], 2);
    assert_eq!(stats["store"]["total_original_tokens"], 1_800);
    assert_eq!(stats["store"]["total_compressed_tokens"], 200);
    assert_eq!(stats["store"]["total_retrievals"], 1);
    assert_eq!(stats["store"]["backend"]["backend_type"], "sqlite");
    assert_eq!(stats["since_start"]["rejected"]["address"], 1);
    let recent = &stats["recent_retrievals"];
    assert_eq!((&recent[1]["hash"], &recent[1]["found"]), (&json!(text.hash), &json!(true)));
    assert_eq!(recent[0]["found"], false);

    let compression = &sidecar.json("/stats").await["compression"];
    assert_eq!((&compression["ccr_entries"], &compression["ccr_retrievals"]), (&json!(2), &json!(1)));
    let (_, metrics) = sidecar.get("/metrics").await;
    for line in [
        "headroom_ccr_stored_total 2",
        "headroom_ccr_refreshed_total 1",
        "headroom_ccr_refused_total{reason=\"address\"} 1",
        "headroom_ccr_retrievals_total{outcome=\"found\"} 1",
        "headroom_ccr_retrievals_total{outcome=\"not_found\"} 1",
        "headroom_ccr_evicted_total 0",
        "headroom_ccr_entries 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
}

/// The notation of a form's marker, or two words of a row: an answer never denies text that exists.
#[tokio::test]
async fn a_query_finds_what_most_rows_have() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let result = |n: usize| if n % 80 == 33 { "failure" } else { "success" };
    let rows: Vec<Value> = (0..240)
        .map(|n| json!({"id": 5000 + n, "name": format!("job-{}", n % 17), "conclusion": result(n), "branch": format!("feat/{}", n % 5)}))
        .collect();
    let table = original(&json!(rows).to_string());
    sidecar.originals().await.admit(request("", vec![table.clone()])).await.unwrap();
    let count = |wanted: &dyn Fn(&Value) -> bool| rows.iter().filter(|row| wanted(row)).count();
    let success = count(&|row| row["conclusion"] == "success");
    let branch = count(&|row| row["branch"] == "feat/2");
    let both = count(&|row| row["conclusion"] == "success" && row["branch"] == "feat/2");
    let name = count(&|row| row["name"] == "job-3");
    for (query, matches) in [
        ("conclusion=success", success),
        ("branch=feat/2", branch),
        ("success feat/2", both),
        ("name=job-3", name),
    ] {
        let (_, found) = post(&sidecar, None, json!({"hash": table.hash, "query": query})).await;
        assert_eq!(found["matches"], matches, "{query}");
        assert!(found["count"].as_u64().unwrap() >= 1, "{query}: {found}");
        let mut filter = sidecar.originals().await;
        let answer = filter.retrieve(headroom_api::v1::RetrieveRequest {
            hash: table.hash.clone(),
            query: query.to_owned(),
            ..Default::default()
        });
        let content = answer.await.unwrap().into_inner().content;
        assert!(!content.contains("nothing of the text matches"), "{query}");
    }
    let (_, lines) = post(&sidecar, None, json!({"hash": table.hash, "lines": "40-80"})).await;
    assert_eq!((&lines["unit"], &lines["total"]), (&json!("rows"), &json!(240)));
}

/// Whoever asks for a stored original: it tells something about the form that left it out.
#[tokio::test]
async fn what_is_asked_of_the_store_is_counted_by_tool_kind_form_and_part() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let log = original("one\ntwo error\nthree\n");
    let mut unknown = original("from an older filter\n");
    unknown.form.clear();
    let hash = &log.hash;
    sidecar.originals().await.admit(request("", vec![log.clone(), unknown.clone()])).await.unwrap();
    let ask = |what: &str| format!("/v1/retrieve/{hash}{what}");
    for (what, status) in [("", 200), ("?query=error", 200), ("?lines=1-2", 200), ("?lines=9-3", 400)] {
        assert_eq!(sidecar.get(&ask(what)).await.0, status, "{what}");
    }
    assert_eq!(sidecar.get("/v1/retrieve/0123456789abcdef01234567").await.0, 404);
    let call = json!({"id": "t", "name": "headroom_retrieve", "input": {"hash": hash, "lines": "rows 3-4"}});
    let url = format!("http://{}/v1/retrieve/tool_call", sidecar.ready.http);
    client().post(url).json(&json!({"tool_call": call})).send().await.unwrap().error_for_status().unwrap();
    for hash in [hash, &unknown.hash] {
        let asked = headroom_api::v1::RetrieveRequest { hash: hash.clone(), ..Default::default() };
        assert!(sidecar.originals().await.retrieve(asked).await.unwrap().into_inner().found);
    }
    let deadline = std::time::Instant::now() + PATIENCE;
    let page = loop {
        let page = sidecar.json("/v1/toin/stats").await;
        if page["total_retrievals"] == 6 {
            break page;
        }
        assert!(std::time::Instant::now() < deadline, "{page}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let patterns = page["patterns"].as_array().unwrap();
    let of = |form: &str| patterns.iter().find(|pattern| pattern["form"] == form).unwrap();
    let counted = of("log_digest");
    assert_eq!((&counted["tool"], &counted["kind"]), (&json!("Bash"), &json!("log")));
    assert_eq!(counted["parts"], json!({"whole": 2, "query": 1, "lines": 1, "rows": 1}));
    assert_eq!(counted["retrieval_rate"], Value::Null, "no request has reported the output");
    assert_eq!(of("unknown")["parts"], json!({"whole": 1}));
    let stats = sidecar.json("/stats").await;
    assert_eq!(stats["requests"]["total"], 0, "no request was made: {}", stats["requests"]);
}

#[tokio::test]
async fn a_scorer_is_one_of_three_and_meaning_needs_an_embedder() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let text: String = (0..400)
        .map(|n| format!("line {n}: {}\n", if n == 211 { "certificate expired" } else { "fine" }))
        .collect();
    let log = original(&text);
    let hash = log.hash.clone();
    sidecar.originals().await.admit(request("", vec![log])).await.unwrap();
    let ask = |scorer: &str| format!("/v1/retrieve?hash={hash}&query=certificate%20expired&scorer={scorer}");
    let words = sidecar.json(&ask("bm25")).await;
    assert_eq!(words["scorer"], "bm25");
    assert_eq!(words["scorer_note"], Value::Null);
    let both = sidecar.json(&ask("hybrid")).await;
    assert_eq!((&both["scorer"], &both["content"]), (&"bm25".into(), &words["content"]));
    assert!(both["scorer_note"].as_str().unwrap().contains("no embedder"), "{both}");
    for (scorer, status) in [("embedding", 422), ("tfidf", 400), ("%00", 400), ("BM25", 200)] {
        assert_eq!(sidecar.get(&ask(scorer)).await.0, status, "{scorer}");
    }
}
