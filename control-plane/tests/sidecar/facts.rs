//! Requests to the memory of a real `headroomd`, and its guarantees in all cases.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::child::{PATIENCE, Sidecar, client};

/// The status and the answer of `/v1/memory/NAME`; `None`: there was no answer.
pub(crate) async fn try_ask(
    sidecar: &Sidecar,
    name: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> Option<(u16, Value)> {
    loop {
        let request = client().post(format!("http://{}/v1/memory/{name}", sidecar.ready.http)).json(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        // too many requests: it answers 429, and this tries again
        if status == 429 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        return Some((status, answer.json().await.ok()?));
    }
}

pub(crate) async fn ask(sidecar: &Sidecar, name: &str, body: Value) -> Value {
    let (status, answer) = try_ask(sidecar, name, &body, &[]).await.unwrap();
    assert_eq!(status, 200, "{name} {body}: {answer}");
    answer
}

pub(crate) fn save(project: &str, content: &str) -> Value {
    json!({"project": project, "agent": "claude-code", "via": "mcp", "facts": [{"content": content}]})
}

/// Saves, changes and deletes until there is no answer; records what was acknowledged, and the last request.
pub(crate) async fn work_until_killed(
    sidecar: &Sidecar,
    worker: usize,
    round: usize,
    known: &mut BTreeMap<String, Option<String>>,
) {
    for n in 0.. {
        let name = format!("w{worker}r{round}n{n}");
        let content = format!("worker fact {name} first");
        let Some((200, saved)) = try_ask(sidecar, "save", &save("/p", &content), &[]).await else { return };
        let id = saved["saved"][0]["id"].as_str().unwrap().to_owned();
        known.insert(id.clone(), Some(content));
        if n % 3 == 1 {
            let content = format!("worker fact {name} second");
            let change = json!({"project": "/p", "memory_id": id, "new_content": content});
            // an operation without an acknowledgement may have happened or not
            let before = known.remove(&id);
            let Some((200, _)) = try_ask(sidecar, "update", &change, &[]).await else { return };
            drop(before);
            known.insert(id.clone(), Some(content));
        }
        if n % 3 == 2 {
            known.remove(&id);
            let gone = json!({"project": "/p", "memory_id": id});
            let Some((200, _)) = try_ask(sidecar, "delete", &gone, &[]).await else { return };
            known.insert(id, None);
        }
    }
}

/// Each acknowledged fact is there, once, in the list, in its history and in the text index.
pub(crate) async fn nothing_is_lost_or_doubled(sidecar: &Sidecar, known: &BTreeMap<String, Option<String>>) {
    let (mut listed, mut before) = (Vec::new(), Value::Null);
    loop {
        let page = ask(sidecar, "list", json!({"project": "/p", "limit": 100, "before": before})).await;
        let facts = page["facts"].as_array().unwrap();
        listed.extend(facts.iter().map(|fact| {
            (fact["id"].as_str().unwrap().to_owned(), fact["content"].as_str().unwrap().to_owned())
        }));
        before = page["next"].clone();
        if before.is_null() {
            break;
        }
    }
    let ids: BTreeMap<String, String> = listed.iter().cloned().collect();
    assert_eq!(ids.len(), listed.len(), "a fact is there twice");
    let texts: std::collections::BTreeSet<&String> = ids.values().collect();
    assert_eq!(texts.len(), ids.len(), "a text is there twice");
    for (id, content) in known {
        assert_eq!(ids.get(id), content.as_ref(), "{id}");
    }
    for (id, content) in listed.iter().rev().take(40) {
        let word = content.split(' ').nth(2).unwrap();
        let found = ask(sidecar, "search", json!({"project": "/p", "query": word})).await;
        assert_eq!(found["found"][0]["id"], json!(id), "{word}: {found}");
        assert_eq!(found["found"].as_array().unwrap().len(), 1, "{word}: {found}");
    }
}

/// Waits until there are this many facts.
pub(crate) async fn wait_for_facts(sidecar: &Sidecar, facts: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = ask(sidecar, "status", json!({"project": "/p"})).await;
        if status["project_facts"].as_u64().unwrap() >= facts as u64 {
            return;
        }
        assert!(Instant::now() < deadline, "nothing is kept: {status}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
