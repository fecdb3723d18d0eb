//! Attacks on Envoy with the filter, on loopback and bounded: to bypass a budget, to read another tenant's data, to
//! send our own headers to the provider, to delay other clients, to use up memory.

mod peer;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use headroom_e2e::Stack;
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::NAME_HEADER;
use headroom_e2e::sidecar::Kind;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn options(more: &Value) -> Options {
    let mut filter = json!({
        "reversible": true,
        "store_originals": true,
        "control_plane": {"cluster": "headroom", "http_cluster": "headroomd_http", "report_interval_ms": 50},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        filter[key] = value.clone();
    }
    Options { filter: Some(filter), ..Options::default() }
}

/// A request with outputs that the engine shortens lossily.
fn body(rows: usize, salt: usize) -> Vec<u8> {
    let rows = headroom_e2e::agent::rows(rows, salt);
    json!({"model": "claude-sonnet-4-5", "max_tokens": 10,
        "tools": [{"name": "list", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "Which failed?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "list", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": rows}]}]})
    .to_string()
    .into_bytes()
}

#[tokio::test]
async fn a_key_over_its_budget_gets_round_it_in_no_way() -> Result<()> {
    let mut stack = Stack::start(options(&json!({})), Kind::Real).await?;
    let file = stack.folder().join("budgets.json");
    std::fs::write(&file, r#"{"budgets": [{"per": "key", "window": "month", "tokens": 1}]}"#)?;
    stack.sidecar.kill()?;
    stack.sidecar.set("HEADROOM_BUDGETS", &file.display().to_string());
    stack.sidecar.run().await?;

    let send = async |path: &str, headers: &[(&str, &str)]| -> Result<u16> {
        let mut call = Call::post(path, r#"{"model":"m","messages":[]}"#);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        Ok(stack.connect(Protocol::Http1).await?.send(call).await?.status.as_u16())
    };
    let real = ("authorization", "Bearer sk-over");
    assert_eq!(send("/v1/chat/completions", &[real]).await?, 200, "the one that oversteps it is served");
    until("the budget is used up", || async {
        (send("/v1/chat/completions", &[real]).await.ok()? == 429).then_some(())
    })
    .await?;
    for headers in [
        &[("authorization", "bearer sk-over")][..],
        &[("authorization", "BEARER   sk-over ")],
        &[("x-api-key", "decoy"), real],
        &[("x-api-key", ""), ("api-key", "decoy"), ("x-goog-api-key", "decoy"), real],
        &[("x-headroom-bypass", "true"), real],
        &[("authorization", "Bearer sk-other"), real],
        &[("authorization", "Bearer\tsk-over")],
    ] {
        for path in [
            "/v1/chat/completions",
            "/v1/chat/completions/",
            "//v1/chat//completions",
            "/v1/chat/completions;x",
            "/v1/chat/completions;x/?a=b",
            "/v1/./chat/x/../completions",
            "/v1/chat/complet%69ons",
            "/v1%2Fchat/completions",
            "/V1/Chat/Completions",
            "/v1/chat/completions//",
            "/v1/chat/completions%20",
            "/v1/chat/completions?key=decoy",
            "/v1/chat/%2e%2e/chat/completions",
            "/v1/chat/..;/chat/completions",
            "/%76%31/chat/completions",
            "/v1/completions",
            "/v1/embeddings",
            "/v1/anything/else",
        ] {
            let status = send(path, headers).await?;
            // An encoded slash and capitals do not match a path of a provider.
            let is_nobodys = ["/v1%2F", "/V1/"].iter().any(|start| path.starts_with(start));
            assert!(status == 429 || is_nobodys && status == 404, "{path} {headers:?}: {status}");
        }
    }
    assert_eq!(send("/v1/embeddings", &[("authorization", "Bearer sk-other")]).await?, 200);
    assert_eq!(stack.envoy.stat("wasmcustom.headroom.unrecognized./v1/embeddings").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_tenant_reads_what_is_its_own_whatever_it_says_of_itself() -> Result<()> {
    let stack = Stack::start(options(&json!({"tenant_from": "header:x-sub"})), Kind::Real).await?;
    let call = Call::post("/v1/messages", body(400, 7)).header("x-sub", "ann");
    let (answer, got) = stack.exchange("ann", Protocol::Http1, call).await?;
    assert_eq!(answer.status, 200);
    let text = String::from_utf8_lossy(&got[0].body).into_owned();
    let hash = text.split_once("hash=").context("something is left out")?.1[..24].to_owned();
    let retrieve = async |headers: &[(&str, &str)]| -> Result<u16> {
        let mut call = Call::get(&format!("/v1/retrieve/{hash}"));
        for (name, value) in headers {
            call = call.header(name, value);
        }
        Ok(stack.connect(Protocol::Http1).await?.send(call).await?.status.as_u16())
    };
    until("the copy is there for its tenant", || async {
        (retrieve(&[("x-sub", "ann")]).await.ok()? == 200).then_some(())
    })
    .await?;
    for headers in [
        &[("x-headroom-user-id", "ann")][..],
        &[("x_headroom_user_id", "ann")],
        &[("x-sub", "bob"), ("x-headroom-user-id", "ann")],
        &[("x-sub", "ann"), ("x-sub", "bob")],
        &[],
    ] {
        assert_eq!(retrieve(headers).await?, 404, "{headers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn no_spelling_of_our_headers_reaches_the_provider_and_many_or_long_ones_pass() -> Result<()> {
    let stack = Stack::start(options(&json!({})), Kind::Down).await?;
    let mut call = Call::post("/v1/messages", body(60, 1))
        .header("x_headroom_user_id", "a")
        .header("x-headroom_mode", "b")
        .header("X_Headroom-Bypass", "c");
    for number in 0..300 {
        call = call.header(&format!("x-many-{number}"), &"v".repeat(300));
    }
    let (answer, got) = stack.exchange("many", Protocol::Http1, call).await?;
    assert_eq!(answer.status, 200, "90 kB in 300 headers");
    let names: Vec<String> = got[0].headers.keys().map(|name| name.as_str().replace('_', "-")).collect();
    assert!(!names.iter().any(|name| name.starts_with("x-headroom-")), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.starts_with("x-many-")).count(), 300);
    Ok(())
}

#[tokio::test]
async fn a_client_of_http_1_0_is_answered() -> Result<()> {
    let stack = Stack::start(options(&json!({})), Kind::Down).await?;
    let body = body(60, 2);
    for host in ["", "Host: localhost\r\n"] {
        let head = format!(
            "POST /v1/messages HTTP/1.0\r\n{host}{NAME_HEADER}: old\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(stack.envoy.listener()).await?;
        stream.write_all(&[head.as_bytes(), &body].concat()).await?;
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await??;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.split_once(' ').is_some_and(|(_, rest)| rest.starts_with("200")), "{answer}");
        assert!(answer.contains("\"type\":\"message\""), "{answer}");
    }
    assert_eq!(stack.provider.requests("old").len(), 2);
    Ok(())
}

#[tokio::test]
async fn long_bodies_hold_nobody_up() -> Result<()> {
    let stack = Stack::start(options(&json!({})), Kind::Down).await?;
    let long = {
        let turns = (0..60).flat_map(|turn| {
            let id = format!("t{turn}");
            [
                json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "list", "input": {}}]}),
                json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id,
                    "content": headroom_e2e::agent::rows(2_500, turn)}]}),
            ]
        });
        let messages: Vec<_> = [json!({"role": "user", "content": "go"})].into_iter().chain(turns).collect();
        json!({"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": messages}).to_string().into_bytes()
    };
    let to = stack.envoy.listener();
    let started = Instant::now();
    let long = tokio::spawn(async move {
        let answer =
            Connection::open(to, Protocol::Http1).await?.send(Call::post("/v1/messages", long)).await?;
        anyhow::Ok((answer.status.as_u16(), started.elapsed()))
    });
    let mut connection = stack.connect(Protocol::Http1).await?;
    let mut longest = Duration::ZERO;
    while !long.is_finished() {
        let started = Instant::now();
        assert_eq!(connection.send(Call::post("/v1/messages", body(60, 3))).await?.status, 200);
        longest = longest.max(started.elapsed());
    }
    let (status, took) = long.await??;
    assert_eq!(status, 200);
    let paused = stack.envoy.stat("wasmcustom.headroom.work.paused").await?;
    assert!(paused > 3, "{paused} pauses in {took:?}, the slowest short request took {longest:?}");
    headroom_e2e::say(&format!("{paused} pauses in {took:?}, the slowest short request took {longest:?}"));
    Ok(())
}

#[tokio::test]
async fn a_body_of_line_feeds_takes_little_memory_for_good() -> Result<()> {
    const MORE_MEGABYTES: u64 = 260;
    let options = Options { own_process: true, ..options(&json!({})) };
    let stack = Stack::start(options, Kind::Down).await?;
    let send = async |text: String| -> Result<u16> {
        let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "list", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": text}]}]});
        Ok(stack
            .connect(Protocol::Http1)
            .await?
            .send(Call::post("/v1/messages", body.to_string()))
            .await?
            .status
            .as_u16())
    };
    assert_eq!(send("x".to_owned()).await?, 200);
    let before = stack.envoy.resident_kilobytes()? >> 10;
    assert_eq!(send("\n".repeat(8_000_000)).await?, 200);
    let after = stack.envoy.resident_kilobytes()? >> 10;
    headroom_e2e::say(&format!("{before} MB before a body of 16 MB of line feeds, {after} MB after it"));
    assert!(after < before + MORE_MEGABYTES, "{before} MB before, {after} MB after");
    Ok(())
}
