//! Runs `envoy/production.yaml`: only the addresses are changed, and the provider speaks plain HTTP.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use headroom_compress::Api;
use headroom_e2e::client::{Answer, Call, Connection, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER};
use headroom_e2e::sidecar::{Kind, Sidecar};
use headroom_e2e::{Provider, Script, built};
use serde_json::Value;
use tempfile::TempDir;

use crate::bodies::{anthropic, chat, pretty_pets, shortened};
use crate::reversible::{ROWS, body, markers, rows};
use crate::stacks::forwarded;
use crate::tool_loop::ours;

pub(crate) struct Production {
    pub(crate) envoy: Envoy,
    pub(crate) sidecar: Sidecar,
    pub(crate) provider: Provider,
    folder: TempDir,
}

impl Production {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts it with the first text of each pair replaced by the second.
    pub(crate) async fn start_with(changes: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let provider = Provider::start(0).await?;
        let sidecar = Sidecar::start(Kind::Real, folder.path()).await?;
        let module = built::filter_module().await?;
        let neighbours = Neighbours {
            provider: provider.address(),
            sidecar_grpc: sidecar.grpc(),
            sidecar_http: sidecar.http(),
        };
        let text = fs::read_to_string(built::workspace().join("envoy/production.yaml"))?;
        let text = changes.iter().try_fold(text, |text, (from, to)| replaced(&text, from, to))?;
        let text = replaced(&text, "/run/headroom", &folder.path().display().to_string())?;
        let configuration = Some(local(&text, &neighbours, &module)?);
        let options = Options { configuration, ..Options::default() };
        let envoy = Envoy::start(&options, neighbours, &module, folder.path()).await?;
        Ok(Self { envoy, sidecar, provider, folder })
    }

    pub(crate) async fn send(&self, name: &str, call: Call) -> Result<Answer> {
        let mut connection = Connection::open(self.envoy.listener(), Protocol::Http1).await?;
        connection.send(call.header(NAME_HEADER, name)).await
    }

    /// The lines of the access log, written so far.
    fn access_log(&self) -> Result<Vec<Value>> {
        let log = fs::read_to_string(self.folder.path().join("envoy.log"))?;
        Ok(log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

/// The configuration with the addresses of this test, and clusters without TLS.
fn local(text: &str, neighbours: &Neighbours, module: &Path) -> Result<String> {
    let text = replaced(text, "address: 127.0.0.1, port_value: 8790", "address: 127.0.0.1, port_value: 0")?;
    let text = replaced(&text, "address: 0.0.0.0, port_value: 8787", "address: 127.0.0.1, port_value: 0")?;
    let grpc = format!("address: 127.0.0.1, port_value: {}", neighbours.sidecar_grpc.port());
    let text = replaced(&text, "address: 127.0.0.1, port_value: 8789", &grpc)?;
    let text = replaced(&text, "/etc/headroom/filter.wasm", &module.display().to_string())?;
    let (head, clusters) = text.split_once("\n  clusters:\n").context("the configuration has clusters")?;
    let mut local = format!("{head}\n  clusters:\n");
    for cluster in clusters.split("\n\n") {
        local.push_str(&plain(cluster, neighbours.provider)?);
        local.push_str("\n\n");
    }
    Ok(local)
}

pub(crate) fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "the configuration has no {from:?}");
    Ok(text.replace(from, to))
}

/// A provider's cluster, moved to this machine; the others as they are.
pub(crate) fn plain(cluster: &str, provider: SocketAddr) -> Result<String> {
    let Some((before, _)) = cluster.split_once("    transport_socket:") else {
        return Ok(cluster.to_owned());
    };
    let mut lines = Vec::new();
    for line in before.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("auto_config:") {
            lines.push("        explicit_http_config: { http_protocol_options: {} }".to_owned());
        } else if trimmed.starts_with("- endpoint:") {
            let address = format!("address: {}, port_value: {}", provider.ip(), provider.port());
            lines.push(format!("        - endpoint: {{ address: {{ socket_address: {{ {address} }} }} }}"));
        } else if !trimmed.starts_with("http_protocol_options: {}")
            && !trimmed.starts_with("http2_protocol_options: { max_concurrent")
        {
            lines.push(line.to_owned());
        }
    }
    Ok(lines.join("\n"))
}

#[tokio::test]
async fn the_production_configuration_compresses_retries_and_logs_what_it_saved() -> Result<()> {
    let production = Production::start().await?;
    let body = anthropic(&pretty_pets(40));
    let answer = production.send("messages", Call::post("/v1/messages", body.clone())).await?;
    assert_eq!(answer.status, 200);
    let saved = answer.headers["x-headroom-tokens-saved"].to_str()?.to_owned();
    let got = forwarded(&production.provider, "messages");
    assert_eq!(got.body, shortened(Api::AnthropicMessages, &body));
    assert_eq!(got.headers["host"], "api.anthropic.com");

    let azure = chat(&pretty_pets(40));
    let call = Call::post("/openai/v1/chat/completions?api-version=preview", azure.clone());
    assert_eq!(production.send("azure", call).await?.status, 200);
    let got = forwarded(&production.provider, "azure");
    assert_eq!(got.body, shortened(Api::OpenAiChat, &azure));
    assert_eq!(got.headers["host"], "example.openai.azure.com");

    for (path, host) in [
        ("/v1/chat/completions", "api.openai.com"),
        ("/v1beta/models/gemini-2.5-pro:generateContent", "generativelanguage.googleapis.com"),
        (
            "/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-pro:generateContent",
            "aiplatform.googleapis.com",
        ),
        ("/model/anthropic.claude/converse", "bedrock-runtime.us-east-1.amazonaws.com"),
    ] {
        production.send(path, Call::post(path, "{}")).await?;
        assert_eq!(forwarded(&production.provider, path).headers["host"], host, "{path}");
    }

    for (status, attempts) in [(429, 3), (529, 3), (400, 1), (500, 1)] {
        let name = format!("answered with {status}");
        let script = Script { status: Some(status), ..Script::default() };
        let call = Call::post("/v1/messages", body.clone()).header(SCRIPT_HEADER, &script.header());
        assert_eq!(production.send(&name, call).await?.status, status);
        let arrived = production.provider.requests(&name);
        assert_eq!(arrived.len(), attempts, "{name}");
        let first = shortened(Api::AnthropicMessages, &body);
        assert!(arrived.iter().all(|request| request.body == first), "each attempt sends the same bytes");
    }

    let healthy = production.send("health", Call::get("/healthz")).await?;
    assert_eq!(healthy.status, 200);
    assert!(production.provider.requests("health").is_empty());
    assert_eq!(production.send("unknown", Call::get("/nowhere")).await?.status, 404);

    let line = until("the first request is logged", || async {
        let lines = production.access_log().ok()?;
        lines.into_iter().find(|line| line["path"] == "/v1/messages" && line["status"] == 200)
    })
    .await?;
    assert_eq!(line["tokens_saved"], saved);
    assert_eq!(line["outcome"], "compressed");
    assert_eq!(line["upstream_cluster"], "anthropic");
    until("headroomd has counted it", || async {
        let stats = production.sidecar.stats().await.ok()?;
        (stats["requests"]["by_outcome"]["compressed"].as_u64()? >= 2).then_some(())
    })
    .await
}

#[tokio::test]
async fn the_production_configuration_lists_names_gives_two_pages_waits_and_gives_the_model_what_was_left_out()
-> Result<()> {
    // one Envoy, since each compiles the module
    let production = Production::start().await?;
    it_answers_to_the_names_that_it_lists(&production).await?;
    two_pages_of_the_admin_interface_are_given_and_nothing_else(&production).await?;
    it_waits_as_long_as_the_provider_says_before_it_tries_again(&production).await?;
    it_gives_the_model_what_was_left_out(&production).await
}

async fn two_pages_of_the_admin_interface_are_given_and_nothing_else(production: &Production) -> Result<()> {
    let socket = fs::metadata(production.envoy.admin())?;
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&socket.permissions()) & 0o777, 0o600);
    let stats = production.envoy.other_listener("stats").await?;
    let send = async |call: Call| -> Result<Answer> {
        Connection::open(stats, Protocol::Http1).await?.send(call).await
    };
    let metrics = send(Call::get("/stats/prometheus")).await?;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("envoy_server_live"), "{}", metrics.text());
    assert_eq!(send(Call::get("/ready")).await?.text().trim(), "LIVE");
    assert_eq!(send(Call::get("/stats/prometheus").header("host", "evil.example")).await?.status, 403);
    for closed in [
        Call::get("/config_dump"),
        Call::get("/stats"),
        Call::get("/"),
        Call::get("/ready/../config_dump"),
        Call::get("//config_dump"),
        Call::get("/stats/prometheus/../../config_dump"),
        Call::get("/logging?level=trace"),
        Call::post("/logging?level=trace", ""),
        Call::post("/quitquitquit", ""),
        Call::post("/healthcheck/fail", ""),
        Call::post("/stats/prometheus", ""),
        Call::post("/ready", ""),
    ] {
        let answer = send(closed.clone()).await?;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (404, ""), "{closed:?}");
    }
    assert_eq!(production.envoy.stat("http.stats.downstream_rq_4xx").await?, 13);
    assert_eq!(production.envoy.stat("server.live").await?, 1, "nobody has stopped it");
    Ok(())
}

/// Names of metrics in the queries of Prometheus or Grafana.
fn asked_for(text: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c: char| !is_name(c)).filter(|word| word.starts_with("headroom_")).collect()
}

/// Names of metrics in the output for Prometheus.
fn printed(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

#[tokio::test]
async fn alerts_and_the_dashboard_for_grafana_ask_for_metrics_that_there_are() -> Result<()> {
    let production = Production::start().await?;
    let labels = [("x-headroom-stack", "monitored"), ("x-headroom-project", "shop")];
    let call =
        labels.iter().fold(Call::post("/v1/messages", anthropic(&pretty_pets(5))), |call, (name, value)| {
            call.header(name, value)
        });
    assert_eq!(production.send("monitored", call).await?.status, 200);
    until("headroomd has counted it", || async {
        let stats = production.sidecar.stats().await.ok()?;
        (stats["requests"]["total"].as_u64()? >= 1).then_some(())
    })
    .await?;
    let stats = production.envoy.other_listener("stats").await?;
    let mut connection = Connection::open(stats, Protocol::Http1).await?;
    let envoys = connection.send(Call::get("/stats/prometheus")).await?.text();
    let headroomds = production.sidecar.text("/metrics").await?;
    let known: BTreeSet<&str> = printed(&envoys).union(&printed(&headroomds)).copied().collect();

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy");
    let alerts = fs::read_to_string(folder.join("alerts.yaml"))?;
    let rules: String = alerts.lines().filter(|line| line.trim_start().starts_with("expr: ")).collect();
    assert!(rules.matches("expr: ").count() >= 10, "{rules}");
    let grafana: Value = serde_json::from_str(&fs::read_to_string(folder.join("grafana.json"))?)?;
    let panels = grafana["panels"].as_array().context("panels")?;
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let questions: Vec<&str> = targets.filter_map(|target| target["expr"].as_str()).collect();
    assert!(questions.len() >= 30, "{questions:?}");
    for (file, asked) in [("alerts.yaml", rules), ("grafana.json", questions.join(" "))] {
        let missing: Vec<_> = asked_for(&asked).into_iter().filter(|name| !known.contains(name)).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}");
    }
    let ids: BTreeSet<_> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
    Ok(())
}

async fn it_answers_to_the_names_that_it_lists(production: &Production) -> Result<()> {
    let body = anthropic(&pretty_pets(5));
    for (host, status, arrived) in [
        ("evil.example", 403, 0),
        ("api.anthropic.com", 403, 0),
        ("envoy.evil.example", 403, 0),
        ("envoy", 200, 1),
        ("Envoy:8787", 200, 1),
        ("10.1.2.3:8787", 200, 1),
        ("[fd00::1]:8787", 200, 1),
    ] {
        let answer =
            production.send(host, Call::post("/v1/messages", body.clone()).header("host", host)).await?;
        assert_eq!(answer.status, status, "{host}");
        assert_eq!(production.provider.requests(host).len(), arrived, "{host}");
    }
    Ok(())
}

async fn it_waits_as_long_as_the_provider_says_before_it_tries_again(production: &Production) -> Result<()> {
    let body = anthropic(&pretty_pets(41));
    for status in [429, 529] {
        let name = format!("refused with {status}");
        // longer than its own pause, which is at most half a second
        let refusal = Script { status: Some(status), retry_after: Some(1), ..Script::default() };
        let script = Script { then: vec![Script::default()], ..refusal };
        let call = Call::post("/v1/messages", body.clone()).header(SCRIPT_HEADER, &script.header());
        assert_eq!(production.send(&name, call).await?.status, 200, "{name}");
        let arrived = production.provider.requests(&name);
        let [first, second] = &arrived[..] else { panic!("{name}: {} attempts", arrived.len()) };
        assert!(second.at - first.at >= Duration::from_secs(1), "{name}: {:?}", second.at - first.at);
        assert_eq!(first.body, second.body);
    }
    Ok(())
}

#[tokio::test]
async fn the_production_configuration_refuses_what_is_above_the_rate() -> Result<()> {
    let rate = "max_tokens: 1000, tokens_per_fill: 500, fill_interval: 1s";
    let production =
        Production::start_with(&[(rate, "max_tokens: 3, tokens_per_fill: 1, fill_interval: 86400s")]).await?;
    let body = anthropic(&pretty_pets(5));
    for number in 0..5 {
        let name = format!("request {number}");
        let answer = production.send(&name, Call::post("/v1/messages", body.clone())).await?;
        let (status, arrived) = if number < 3 { (200, 1) } else { (429, 0) };
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(production.provider.requests(&name).len(), arrived, "{name}");
        assert_eq!(answer.header("retry-after"), (status == 429).then_some("1"), "{name}");
    }
    assert_eq!(production.send("health", Call::get("/healthz")).await?.status, 200, "health is not counted");
    Ok(())
}

async fn it_gives_the_model_what_was_left_out(production: &Production) -> Result<()> {
    let body = body(Api::AnthropicMessages, false, &[rows(ROWS, 11)]);
    let sent = production.send("left out", Call::post("/v1/messages", body.clone())).await?;
    assert_eq!(sent.status, 200);
    let hashes = markers(&forwarded(&production.provider, "left out").body);
    let [hash] = &hashes[..] else { panic!("one marker was expected: {hashes:?}") };
    // No copy of it is sent anywhere unless the operator wants that (I9).
    assert_eq!(production.sidecar.original(hash).await?, None);

    let told = Script { text: Some("One of them.".to_owned()), ..Script::default() };
    let script = Script { tool_call: Some(ours(hash)), then: vec![told], ..Script::default() };
    let call = Call::post("/v1/messages", body).header(SCRIPT_HEADER, &script.header());
    let answer = production.send("asked", call).await?;
    assert!(answer.text().contains("One of them."), "{}", answer.text());
    let arrived = production.provider.requests("asked");
    assert_eq!(arrived.len(), 2, "the filter asks the provider to go on");
    assert!(arrived.iter().all(|request| request.headers["host"] == "api.anthropic.com"));
    Ok(())
}
