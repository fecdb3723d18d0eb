//! Memory over HTTP: only the owners find a fact, and acknowledged facts survive a kill.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::child::{PATIENCE, Sidecar};
use crate::facts::{ask, nothing_is_lost_or_doubled, save, try_ask, wait_for_facts, work_until_killed};
use crate::health::ready_when;

/// Number of times that the sidecar is killed.
const KILLS: usize = 6;
/// Minimum number of saves before each kill.
const SAVES: usize = 40;

fn contents(answer: &Value, list: &str) -> Vec<String> {
    let facts = answer[list].as_array().unwrap();
    facts.iter().map(|fact| fact["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_fact_is_kept_for_its_project_with_what_is_close_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &[], &[("USER", "ann")]).await;
    let first = ask(&sidecar, "save", save("/p", "The API server listens on port 8787")).await;
    let id = first["saved"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&first["saved"][0]["status"], &first["saved"][0]["scope"]),
        (&json!("saved"), &json!("project"))
    );
    assert_eq!(first["hint"], Value::Null);
    let again = ask(&sidecar, "save", save("/p", "The API server  listens on port 8787")).await;
    assert_eq!(
        (&again["saved"][0]["status"], &again["saved"][0]["id"]),
        (&json!("already saved"), &json!(id))
    );
    let other = ask(&sidecar, "save", save("/p", "The API server listens on port 9090")).await;
    let similar = &other["saved"][0]["similar"][0];
    assert_eq!((&similar["id"], &similar["relation"]), (&json!(id), &json!("contradicts")));

    let found =
        ask(&sidecar, "search", json!({"project": "/p", "query": "which port does the server use?"})).await;
    assert_eq!(found["found"].as_array().unwrap().len(), 2);
    assert_eq!(found["found"][0]["source_agent"], "claude-code");
    let elsewhere = ask(&sidecar, "search", json!({"project": "/q", "query": "port server"})).await;
    assert_eq!(elsewhere["found"], json!([]));

    // an unknown project
    let homeless = ask(&sidecar, "save", save("", "The user's timezone is Europe/Berlin")).await;
    assert_eq!(homeless["saved"][0]["scope"], "user");
    assert!(homeless["hint"].as_str().unwrap().contains("not known"), "{homeless}");
    let everywhere = ask(&sidecar, "list", json!({"project": "/q"})).await;
    assert_eq!(contents(&everywhere, "facts"), ["The user's timezone is Europe/Berlin"]);
    assert_eq!(everywhere["facts"][0]["owner"], "ann");
    let bob = ask(&sidecar, "list", json!({"project": "/q", "user": "bob"})).await;
    assert_eq!(bob["facts"], json!([]));

    let changed = json!({"project": "/p", "memory_id": id, "new_content": "The API server listens on a socket",
        "reason": "since 2.0", "agent": "codex"});
    assert_eq!(ask(&sidecar, "update", changed).await["fact"]["version"], 2);
    let forgotten = json!({"project": "/p", "memory_id": id, "reason": "no API any more"});
    assert_eq!(ask(&sidecar, "delete", forgotten.clone()).await["changed"], true);
    assert_eq!(ask(&sidecar, "delete", forgotten.clone()).await["changed"], false);
    let history = ask(&sidecar, "show", forgotten).await;
    let versions = history["versions"].as_array().unwrap();
    assert_eq!(versions[1]["ended"]["reason"], "no API any more");
    assert_eq!(
        (&versions[1]["reason"], &versions[1]["source_agent"]),
        (&json!("since 2.0"), &json!("codex"))
    );
    let from_elsewhere = json!({"project": "/q", "memory_id": id});
    for name in ["show", "restore", "delete"] {
        let (status, answer) = try_ask(&sidecar, name, &from_elsewhere, &[]).await.unwrap();
        assert_eq!((status, &answer["error"]["type"]), (404, &json!("not_found")), "{name}");
    }
    assert_eq!(
        ask(&sidecar, "restore", json!({"project": "/p", "memory_id": id})).await["fact"]["version"],
        3
    );
}

#[tokio::test]
async fn no_credential_reaches_the_store_and_what_is_purged_leaves_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let key = "sk-proj-0123456789abcdefghij";
    let mut fact = save("/p", &format!("The key is {key}"));
    fact["facts"][0]["entities"] = json!([{"entity": key}]);
    fact["conversation"] = json!(key);
    let saved = ask(&sidecar, "save", fact).await;
    assert_eq!(saved["saved"][0]["content"], "The key is [secret]");
    assert!(saved["hint"].as_str().unwrap().contains("credential"));
    let private = "a private matter of nobody else";
    let id = ask(&sidecar, "save", save("/p", private)).await["saved"][0]["id"].clone();
    ask(&sidecar, "delete", json!({"project": "/p", "memory_id": id, "purge": true})).await;
    let (status, _) =
        try_ask(&sidecar, "show", &json!({"project": "/p", "memory_id": id}), &[]).await.unwrap();
    assert_eq!(status, 404);
    assert_eq!(sidecar.terminate().await, Some(0));
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        for text in [key, private, "matter"] {
            let holds = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!holds, "{text} in {}", path.display());
        }
    }
}

#[tokio::test]
async fn a_tenants_memory_opens_with_its_token_and_hostile_requests_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tenants");
    std::fs::write(&file, "red t0ken-of-red\nblue t0ken-of-blue\n").unwrap();
    let args = ["--tenant-tokens-file", file.to_str().unwrap()];
    let sidecar = Sidecar::start_with(dir.path(), &args, &[("HEADROOM_TOKEN", "0perator")]).await;
    let red = [("authorization", "Bearer t0ken-of-red")];
    let blue = [("authorization", "Bearer t0ken-of-blue")];
    let operator = [("authorization", "Bearer 0perator")];
    let team = json!({"scope": "team", "facts": [{"content": "Red deploys on Tuesdays"}]});
    assert_eq!(try_ask(&sidecar, "save", &team, &red).await.unwrap().0, 200);
    let query = json!({"query": "deploys", "project": "", "user": "red"});
    let count = async |headers: &[(&str, &str)]| {
        let (status, found) = try_ask(&sidecar, "search", &query, headers).await.unwrap();
        assert_eq!(status, 200, "{found}");
        found["found"].as_array().unwrap().len()
    };
    assert_eq!((count(&red).await, count(&blue).await, count(&operator).await), (1, 0, 0));
    assert_eq!(count(&[operator[0], ("x-headroom-user-id", "red")]).await, 1);
    for (headers, refused) in [
        (vec![], 401),
        (vec![("authorization", "Bearer wrong")], 401),
        (vec![red[0], ("x-headroom-user-id", "blue")], 403),
    ] {
        assert_eq!(try_ask(&sidecar, "search", &query, &headers).await.unwrap().0, refused, "{headers:?}");
    }
    let long = "x".repeat(9_000);
    for (name, body) in [
        ("save", json!({"facts": []})),
        ("save", json!({"facts": [{"content": " "}]})),
        ("save", json!({"facts": [{"content": long}]})),
        ("save", json!({"facts": [{"content": "x", "importance": 2}]})),
        ("save", json!({"facts": vec![json!({"content": "x"}); 101]})),
        ("save", json!({"facts": [{"content": "x"}], "scope": "everyone"})),
        ("save", json!({"facts": [{"content": "x"}], "project": long})),
        ("save", json!([])),
        ("search", json!({"query": 1})),
        ("list", json!({"limit": -1})),
        ("update", json!({"memory_id": "x"})),
    ] {
        let (status, answer) = try_ask(&sidecar, name, &body, &operator).await.unwrap();
        assert_eq!((status, &answer["error"]["type"]), (400, &json!("bad_query")), "{name}: {answer}");
    }
    for query in ["", "\"", "* OR content:", "NEAR(a b)", "' | !", "\u{0}", "holder : h1", &long] {
        let found = try_ask(&sidecar, "search", &json!({"query": query}), &operator).await.unwrap();
        assert_eq!(found.0, 200, "{query:?}: {}", found.1);
    }
}

#[tokio::test]
async fn what_memory_consists_of_is_told_truly() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let deadline = Instant::now() + PATIENCE;
    let warmup = loop {
        let warmup = sidecar.json("/debug/warmup").await;
        if warmup["memory_embedder"]["status"] != "loading" {
            break warmup;
        }
        assert!(Instant::now() < deadline, "{warmup}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(warmup["memory_backend"]["status"], "loaded");
    assert!(warmup["memory_backend"]["info"].as_str().unwrap().ends_with("memory.db"));
    assert_eq!(warmup["memory_embedder"]["status"], Value::Null, "there is no model");
    let ready = ready_when(&sidecar, |page| page["checks"]["memory"]["status"] == "healthy").await;
    assert_eq!(ready["checks"]["memory"]["ready"], true);
    assert_eq!(sidecar.json("/health").await["config"]["memory"], true);
    drop(sidecar);

    // a damaged file, and a folder without a model
    let store = dir.path().join("memory.db");
    for beside in ["-wal", "-shm"] {
        std::fs::remove_file(format!("{}{beside}", store.display())).ok();
    }
    let damaged = vec![b'x'; 8192];
    std::fs::write(&store, &damaged).unwrap();
    let models = dir.path().join("models");
    std::fs::create_dir(&models).unwrap();
    let args = ["--memory-model-dir", models.to_str().unwrap()];
    let sidecar = Sidecar::start_with(dir.path(), &args, &[("HEADROOM_LOG", "off")]).await;
    let deadline = Instant::now() + PATIENCE;
    let warmup = loop {
        let warmup = sidecar.json("/debug/warmup").await;
        if warmup["memory_embedder"]["status"] == "error" {
            break warmup;
        }
        assert!(Instant::now() < deadline, "{warmup}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(warmup["memory_embedder"]["error"].as_str().unwrap().contains("tokenizer.json"), "{warmup}");
    assert_eq!(warmup["memory_backend"]["status"], "loaded", "{warmup}");
    let (status, answer) = try_ask(&sidecar, "list", &json!({}), &[]).await.unwrap();
    assert_eq!((status, &answer["facts"]), (200, &json!([])), "{answer}");
    let ready = ready_when(&sidecar, |page| {
        page["checks"]["memory"]["error"].as_str().is_some_and(|why| why.contains("set aside as "))
    })
    .await;
    assert_eq!(
        (&ready["ready"], &ready["checks"]["memory"]["status"]),
        (&json!(true), &json!("degraded")),
        "{ready}"
    );
    let why = ready["checks"]["memory"]["error"].as_str().unwrap();
    let aside = why.split_once("set aside as ").unwrap().1;
    assert_eq!(std::fs::read(aside).unwrap(), damaged, "nothing is written to it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_it_at_any_moment_loses_and_doubles_no_fact() {
    let dir = tempfile::tempdir().unwrap();
    let mut known = BTreeMap::new();
    for round in 0..KILLS {
        let sidecar = Arc::new(Sidecar::start(dir.path()).await);
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let sidecar = Arc::clone(&sidecar);
                tokio::spawn(async move {
                    let mut known = BTreeMap::new();
                    work_until_killed(&sidecar, worker, round, &mut known).await;
                    known
                })
            })
            .collect();
        wait_for_facts(&sidecar, SAVES * (round + 1) / 2 + 3 * round).await;
        sidecar.kill_now();
        for worker in workers {
            known.extend(worker.await.unwrap());
        }
    }
    let sidecar = Sidecar::start(dir.path()).await;
    assert!(known.len() > SAVES);
    nothing_is_lost_or_doubled(&sidecar, &known).await;
}
