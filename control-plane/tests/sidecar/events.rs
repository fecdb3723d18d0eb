//! The stream of changing statistics.

use std::time::Duration;

use serde_json::Value;

use crate::child::{PATIENCE, Sidecar, client, client_builder};
use crate::records::report;

/// The data of the next event named `stats`.
async fn next_stats(answer: &mut reqwest::Response, buffer: &mut String) -> Value {
    loop {
        if let Some((event, rest)) = buffer.split_once("\n\n") {
            let stats = event.starts_with("event: stats");
            let data: String = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
            *buffer = rest.to_owned();
            if stats {
                return serde_json::from_str(&data).unwrap();
            }
            continue;
        }
        let chunk = tokio::time::timeout(PATIENCE, answer.chunk()).await.expect("an event in time");
        buffer.push_str(std::str::from_utf8(&chunk.unwrap().expect("the stream goes on")).unwrap());
    }
}

#[tokio::test]
async fn a_listener_is_told_at_once_and_again_when_records_land() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut answer = client().get(format!("http://{}/events", sidecar.ready.http)).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut buffer = String::new();
    assert_eq!(next_stats(&mut answer, &mut buffer).await["requests"]["total"], 0);
    sidecar.grpc().await.report(report("vm", 1..=3)).await.unwrap();
    assert_eq!(next_stats(&mut answer, &mut buffer).await["requests"]["total"], 3);
}

#[tokio::test]
async fn listeners_are_bounded_and_do_not_hold_up_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let url = format!("http://{}/events", sidecar.ready.http);
    let client = client_builder().timeout(Duration::from_secs(300)).build().unwrap();
    let mut listening = Vec::new();
    let refused = loop {
        let answer = client.get(&url).send().await.unwrap();
        match answer.status().as_u16() {
            200 => listening.push(answer),
            status => break status,
        }
    };
    assert_eq!((refused, listening.len()), (503, 64));
    assert_eq!(sidecar.terminate().await, Some(0));
}
