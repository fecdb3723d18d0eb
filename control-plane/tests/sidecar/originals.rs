//! Originals over gRPC: durable before the acknowledgement, and returned unchanged.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headroom_api::v1::originals_client::OriginalsClient;
use headroom_api::v1::{
    AdmitRequest, AdmitResponse, ContentEncoding, Original, RetrieveRequest, RetrieveResponse,
};
use headroom_compress::rounds::{self, RetrieveArguments};
use tonic::Code;
use tonic::transport::Channel;

use crate::child::{PATIENCE, Sidecar};
use crate::records::report;

/// An original as a filter sends it.
pub(crate) fn original(text: &str) -> Original {
    Original {
        hash: headroom_compress::address(text),
        content: text.as_bytes().to_vec(),
        encoding: ContentEncoding::Identity.into(),
        length: text.len() as u64,
        tool: "Bash".to_owned(),
        kind: "log".to_owned(),
        form: "log_digest".to_owned(),
        tokens_before: 900,
        tokens_after: 100,
    }
}

pub(crate) fn request(tenant: &str, originals: Vec<Original>) -> AdmitRequest {
    AdmitRequest { tenant: tenant.to_owned(), conversation_id: "c1".to_owned(), originals }
}

async fn admit(client: &mut OriginalsClient<Channel>, originals: Vec<Original>) -> AdmitResponse {
    client.admit(request("", originals)).await.unwrap().into_inner()
}

async fn retrieve(
    client: &mut OriginalsClient<Channel>,
    tenant: &str,
    hash: &str,
    query: &str,
    lines: &str,
) -> RetrieveResponse {
    let request = RetrieveRequest {
        tenant: tenant.to_owned(),
        hash: hash.to_owned(),
        query: query.to_owned(),
        lines: lines.to_owned(),
    };
    client.retrieve(request).await.unwrap().into_inner()
}

async fn text_of(client: &mut OriginalsClient<Channel>, hash: &str) -> Option<String> {
    let answer = retrieve(client, "", hash, "", "").await;
    answer.found.then_some(answer.content)
}

#[tokio::test]
async fn an_original_comes_back_as_it_was_and_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.originals().await;
    let long: String = (1..=2_000).map(|n| format!("line {n}: größe {}\r\n", n * 7)).collect();
    let (short, long) = (original("three\nshort\nlines"), original(&long));
    let answer = admit(&mut client, vec![short.clone(), long.clone()]).await;
    assert_eq!(answer.stored, [short.hash.clone(), long.hash.clone()]);
    assert_eq!(answer.ttl_seconds, 3_600, "no longer than nothing is evicted");
    assert!(!answer.epoch.is_empty());
    assert!(answer.encodings.is_empty(), "a filter of 0.1 sends plain text");

    assert_eq!(text_of(&mut client, &short.hash).await.unwrap(), "three\nshort\nlines");
    assert_eq!(text_of(&mut client, &short.hash.to_uppercase()).await.unwrap(), "three\nshort\nlines");
    let part = retrieve(&mut client, "", &long.hash, "", "1999-2000").await;
    let last = "line 1999: größe 13993\r\nline 2000: größe 14000\r\n";
    let note = "[headroom: lines 1999 to 2000; the text has lines 1 to 2000]";
    assert_eq!(part.content, format!("{last}{note}"));
    assert_eq!(part.length, long.length);
    let part = retrieve(&mut client, "", &long.hash, "13993", "").await;
    assert!(part.content.contains("\nline 1999: größe 13993\r\n"), "{}", part.content);
    let asked =
        RetrieveArguments { hash: long.hash.clone(), query: "13993".to_owned(), lines: String::new() };
    let text = String::from_utf8(long.content.clone()).unwrap();
    assert_eq!(part.content, rounds::answer(&text, &asked).text, "what the filter would have answered");
}

#[tokio::test]
async fn the_epoch_is_that_of_reports_and_changes_with_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let text = original("kept over a restart");
    let first = admit(&mut sidecar.originals().await, vec![text.clone()]).await;
    let nothing = admit(&mut sidecar.originals().await, vec![]).await;
    assert_eq!((nothing.epoch.as_str(), nothing.stored.len()), (first.epoch.as_str(), 0));
    let reported = sidecar.grpc().await.report(report("vm", [1])).await.unwrap().into_inner();
    assert_eq!(reported.epoch, first.epoch);
    assert_eq!(sidecar.terminate().await, Some(0));

    let again = Sidecar::start(dir.path()).await;
    let mut client = again.originals().await;
    assert_eq!(text_of(&mut client, &text.hash).await.unwrap(), "kept over a restart");
    let second = admit(&mut client, vec![text]).await;
    assert_ne!(second.epoch, first.epoch);
    assert_eq!(again.grpc().await.report(report("vm", [])).await.unwrap().into_inner().epoch, second.epoch);
}

#[tokio::test]
async fn unknown_and_foreign_and_forged_hashes_find_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.originals().await;
    let mine = original("what one tenant's tool printed");
    client.admit(request("one", vec![mine.clone()])).await.unwrap();
    assert!(retrieve(&mut client, "one", &mine.hash, "", "").await.found);
    for (tenant, hash) in [
        ("", mine.hash.as_str()),
        ("two", &mine.hash),
        ("one", "ffffffffffffffffffffffff"),
        ("one", ""),
        ("one", "9f86"),
        ("one", "'; DROP TABLE original; --"),
        ("one", "größe größe größe größe"),
        ("one", &mine.hash[..23]),
    ] {
        let answer = retrieve(&mut client, tenant, hash, "", "").await;
        assert_eq!(answer, RetrieveResponse::default(), "{tenant} {hash}");
    }
    assert!(retrieve(&mut client, "one", &mine.hash, "", "").await.found);
}

#[tokio::test]
async fn what_is_not_what_it_says_is_not_stored_and_its_neighbours_are() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.originals().await;
    let good = original(&"a good original\n".repeat(1_000));
    let forged = Original { hash: "00112233445566778899aabb".to_owned(), ..good.clone() };
    let short = Original { hash: original("short").hash, length: 3, ..original("short") };
    let mut truncated = original(&"cut off\n".repeat(1_000));
    truncated.content.truncate(20);
    let compressed = Original {
        content: zstd::bulk::compress(b"compressed", 1).unwrap(),
        encoding: ContentEncoding::Zstd.into(),
        ..original("compressed")
    };
    let nothing = Original::default();
    let bad = vec![forged, short, truncated, compressed, nothing];
    let hashes: Vec<String> = bad.iter().map(|original| original.hash.clone()).collect();
    let answer = admit(&mut client, bad.into_iter().chain([good.clone()]).collect()).await;
    assert_eq!(answer.stored, [good.hash]);
    for hash in hashes {
        assert_eq!(text_of(&mut client, &hash).await, None);
    }
    let long = client.admit(request(&"t".repeat(257), vec![])).await.unwrap_err();
    assert_eq!(long.code(), Code::InvalidArgument);
    let control = client.admit(request("a\0b", vec![])).await.unwrap_err();
    assert_eq!(control.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_message_larger_than_the_cap_is_refused_and_the_next_one_kept() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.originals().await;
    let longest = original(&"a line of the longest body\n".repeat((32 << 20) / 27));
    assert_eq!(admit(&mut client, vec![longest.clone()]).await.stored, [longest.hash]);
    let huge = Original { content: vec![b'x'; 33 << 20], ..original("x") };
    assert_eq!(client.admit(request("", vec![huge])).await.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(admit(&mut client, vec![original("x")]).await.stored.len(), 1);
}

#[tokio::test]
async fn no_longer_is_promised_than_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &[], &[("HEADROOM_CCR_TTL_SECONDS", "90")]).await;
    let mut client = sidecar.originals().await;
    assert_eq!(admit(&mut client, vec![original("soon gone")]).await.ttl_seconds, 90);
}

#[tokio::test]
async fn when_there_is_no_room_nothing_that_was_promised_goes() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start_with(dir.path(), &[], &[("HEADROOM_CCR_MAX_BYTES", "1000")]).await;
    let mut client = sidecar.originals().await;
    let texts = [original("one"), original("two"), original("three"), original("four")];
    let answer = admit(&mut client, texts.to_vec()).await;
    assert_eq!(answer.stored, [texts[0].hash.clone(), texts[1].hash.clone(), texts[2].hash.clone()]);
    assert_eq!(text_of(&mut client, &texts[0].hash).await.unwrap(), "one");
    assert_eq!(text_of(&mut client, &texts[3].hash).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_it_under_load_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let acknowledged: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    for round in 0..4 {
        let sidecar = Arc::new(Sidecar::start(dir.path()).await);
        let before = acknowledged.lock().unwrap().len();
        let mut callers = Vec::new();
        for caller in 0..6 {
            let (acknowledged, mut client) = (Arc::clone(&acknowledged), sidecar.originals().await);
            callers.push(tokio::spawn(async move {
                for n in 0.. {
                    let text = format!("round {round} caller {caller} original {n}\n").repeat(50);
                    let Ok(answer) = client.admit(request("", vec![original(&text)])).await else { return };
                    for hash in answer.into_inner().stored {
                        acknowledged.lock().unwrap().push((hash, text.clone()));
                    }
                }
            }));
        }
        let deadline = Instant::now() + PATIENCE;
        while acknowledged.lock().unwrap().len() < before + 40 + round {
            assert!(Instant::now() < deadline, "nothing is kept");
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        sidecar.kill_now();
        for caller in callers {
            caller.await.unwrap();
        }
    }
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.originals().await;
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    assert!(acknowledged.len() >= 160);
    for (hash, text) in acknowledged {
        assert_eq!(text_of(&mut client, &hash).await.as_ref(), Some(&text), "{hash}");
    }
}

#[tokio::test]
async fn a_damaged_store_of_originals_is_set_aside_and_a_new_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("originals.db"), "not a database, but precious all the same").unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.originals().await;
    assert_eq!(admit(&mut client, vec![original("x")]).await.stored.len(), 1);
    let checks = sidecar.json("/readyz").await["checks"].clone();
    assert_eq!(checks["originals"]["status"], "degraded");
    assert_eq!(checks["savings_import"]["status"], "disabled");
}
