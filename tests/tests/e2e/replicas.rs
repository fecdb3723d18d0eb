//! Two replicas of headroomd on one PostgreSQL behind one Envoy: either may die.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use headroom_compress::Api;
use headroom_e2e::agent::{Agent, Format, recorded};
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::provider::{NAME_HEADER, Plan};
use headroom_e2e::sidecar::Sidecar;
use headroom_e2e::{Provider, built};
use headroomctl::bootstrap::{Bootstrap, Endpoint, GRPC_CLUSTER, Providers};
use serde_json::{Value, json};

use crate::postgres::Postgres;
use crate::reversible::{ROWS, body, markers, rows};
use crate::thinking::Thinking;

/// The replicas behind one name, like behind a Service or a load balancer; a dead one is detected at once.
fn cluster(replicas: &[Sidecar]) -> Value {
    let endpoint = |replica: &Sidecar| {
        let address = json!({"address": "127.0.0.1", "port_value": replica.grpc().port()});
        json!({"endpoint": {"address": {"socket_address": address}}})
    };
    let protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    json!({
        "name": GRPC_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "load_assignment": {
            "cluster_name": GRPC_CLUSTER,
            "endpoints": [{"lb_endpoints": replicas.iter().map(endpoint).collect::<Vec<_>>()}],
        },
        "health_checks": [{
            "timeout": "1s", "interval": "0.1s", "no_traffic_interval": "0.1s",
            "unhealthy_threshold": 1, "healthy_threshold": 1, "tcp_health_check": {},
        }],
        "typed_extension_protocol_options": {protocol: {
            "@type": format!("type.googleapis.com/{protocol}"),
            "explicit_http_config": {"http2_protocol_options": {}},
        }},
    })
}

async fn envoy(
    provider: SocketAddr,
    replicas: &[Sidecar],
    folder: &Path,
    memory_context: bool,
) -> Result<Envoy> {
    let mut bootstrap = Bootstrap::new(Providers::all(format!("http://{provider}").parse()?));
    bootstrap.listen = Endpoint::loopback(0);
    bootstrap.admin = folder.join("admin.sock");
    bootstrap.module = Some(built::filter_module().await?);
    bootstrap.plugin_config = json!({
        "reversible": true,
        "store_originals": true,
        "memory_context": memory_context,
        "project": "deployments",
        "control_plane": {"cluster": GRPC_CLUSTER, "report_interval_ms": 50, "max_backoff_ms": 200},
    });
    bootstrap.clusters.insert(GRPC_CLUSTER.to_owned(), cluster(replicas));
    let neighbours =
        Neighbours { provider, sidecar_grpc: replicas[0].grpc(), sidecar_http: replicas[0].http() };
    let options =
        Options { filter: None, configuration: Some(bootstrap.render()?), workers: 2, ..Options::default() };
    Envoy::start(&options, neighbours, Path::new(""), folder).await
}

/// The number of records that this process, and not the other one, has received.
async fn taken(replica: &Sidecar) -> Result<u64> {
    let mut connection = Connection::open(replica.http(), Protocol::Http1).await?;
    let metrics = connection.send(Call::get("/metrics")).await?.text();
    let count = metrics.lines().find_map(|line| line.strip_prefix("headroom_requests_total "));
    count.context("headroom_requests_total was expected")?.parse().context("a whole number was expected")
}

/// Counts of the clients' requests.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    answered: AtomicU64,
    tokens_saved: AtomicI64,
}

impl Load {
    /// Sends one request after the other, each with a new output, until it is stopped; between them, turns of
    /// conversations with models that think.
    async fn client(&self, envoy: SocketAddr, thinking: &Thinking, number: usize) -> Result<()> {
        let mut connection = Connection::open(envoy, Protocol::Http1).await?;
        for turn in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            thinking.turn_beside(turn, envoy).await?;
            let body = body(Api::AnthropicMessages, false, &[rows(ROWS, number * 1_000_000 + turn)]);
            let answer =
                connection.send(Call::post("/v1/messages", body).header(NAME_HEADER, "load")).await?;
            ensure!(answer.status == 200, "client {number}, request {turn}: {}", answer.status);
            let saved = answer.header("x-headroom-tokens-saved").context("the filter says what it saved")?;
            self.tokens_saved.fetch_add(saved.parse()?, Ordering::Relaxed);
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn more(&self, requests: u64) -> Result<()> {
        let wanted = self.answered.load(Ordering::Relaxed) + requests;
        until("requests are answered", || async {
            (self.answered.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await
    }
}

/// The hashes that the provider has seen so far.
fn originals(provider: &Provider) -> Vec<String> {
    provider.requests("load").iter().flat_map(|request| markers(&request.body)).collect()
}

async fn assert_has_all(replica: &Sidecar, hashes: &[String]) -> Result<()> {
    for hash in hashes {
        until("a copy is stored", || async { replica.retrieve("", hash, "").await.ok().flatten() }).await?;
    }
    Ok(())
}

#[tokio::test]
async fn one_of_two_replicas_dies_under_load_and_no_report_and_no_original_is_lost() -> Result<()> {
    let Some(postgres) = Postgres::start().await else { return Ok(()) };
    let database = postgres.database("replicas");
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut replicas = [
        Sidecar::replica(&database, folders[0].path()).await?,
        Sidecar::replica(&database, folders[1].path()).await?,
    ];
    let provider = Provider::start(0).await?;
    let envoy = envoy(provider.address(), &replicas, folders[0].path(), false).await?;

    let load = Load::default();
    let thinking = Thinking::with(&provider);
    let clients = async {
        let client = |number| load.client(envoy.listener(), &thinking, number);
        let (a, b, c, d) = tokio::join!(client(0), client(1), client(2), client(3));
        a.and(b).and(c).and(d)
    };
    let under_load = async {
        load.more(60).await?;
        until("both replicas take reports", || async {
            (taken(&replicas[0]).await.ok()? > 0 && taken(&replicas[1]).await.ok()? > 0).then_some(())
        })
        .await?;
        let early = originals(&provider);
        ensure!(!early.is_empty(), "nothing was left out before the death");
        assert_has_all(&replicas[0], &early).await?;
        assert_has_all(&replicas[1], &early).await?;
        let (sent, turns) = (provider.requests("load").len(), thinking.turns());
        ensure!(turns > 0, "no model has thought before the death");
        replicas[0].kill()?;
        load.more(60).await?;
        until("models think after the death", || async { (thinking.turns() > turns + 2).then_some(()) })
            .await?;
        let arrived = provider.requests("load");
        let late = arrived.iter().skip(sent).flat_map(|request| markers(&request.body)).count();
        ensure!(late > 0, "nothing was left out after the death");
        Ok(())
    };
    let course = async {
        let done = under_load.await;
        load.stop.store(true, Ordering::Relaxed);
        done
    };
    let (served, course) = tokio::join!(clients, course);
    course.and(served)?;

    let thought = thinking.end(envoy.listener()).await?;
    let (loaded, saved) = (load.answered.into_inner(), load.tokens_saved.into_inner());
    let (sent, saved) = (loaded + thought.requests as u64, saved + thought.tokens_saved);
    until("every request is counted", || async {
        (replicas[1].counted_requests().await.ok()? >= sent).then_some(())
    })
    .await?;
    replicas[0].run().await?;
    let hashes = originals(&provider);
    for replica in &replicas {
        let stats = replica.stats().await?;
        assert_eq!((&stats["requests"]["total"], &stats["tokens"]["saved"]), (&json!(sent), &json!(saved)));
        assert_has_all(replica, &hashes).await?;
    }
    assert_eq!(provider.requests("load").len() as u64, loaded);
    headroom_e2e::say(&format!(
        "{sent} requests, {} originals, one of two replicas killed; {}",
        hashes.len(),
        thought.line()
    ));
    Ok(())
}

/// Each conversation has its notes through two Envoys in turn, whichever replica is asked and whichever is killed, and
/// what a replica has said is what the other says.
#[tokio::test]
async fn conversations_keep_what_they_begin_with_while_replicas_die_in_turn() -> Result<()> {
    const ROUNDS: usize = 12;
    let Some(postgres) = Postgres::start().await else { return Ok(()) };
    let database = postgres.database("contexts");
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut replicas = [
        Sidecar::replica(&database, folders[0].path()).await?,
        Sidecar::replica(&database, folders[1].path()).await?,
    ];
    let provider = Provider::start(0).await?;
    let envoys = [
        envoy(provider.address(), &replicas, folders[0].path(), true).await?,
        envoy(provider.address(), &replicas, folders[1].path(), true).await?,
    ];
    let fact = json!({"scope": "team", "facts": [{"content": "Deployments that failed are in the log"}]});
    let mut http = Connection::open(replicas[0].http(), Protocol::Http1).await?;
    let saved = http.send(Call::post("/v1/memory/save", fact.to_string())).await?;
    ensure!(saved.status == 200, "{}", saved.text());

    let mut agents = Vec::new();
    for format in [Format::Messages, Format::Chat, Format::Responses, Format::Gemini] {
        for stream in [false, true] {
            let name = format!("{format:?} {stream}");
            provider.follow(&name, Plan { rounds: ROUNDS, ..Plan::default() });
            let mut agent = Agent::new(format, &name, stream, recorded(1)?);
            agent.settings.thinks = false;
            agent.say(&format!("Which deployments failed? {name}"));
            agents.push((name, agent));
        }
    }
    let mut unanswered = 0;
    for round in 0..ROUNDS {
        let dying = round / 3 % 2;
        match round % 3 {
            1 => replicas[dying].kill()?,
            2 => replicas[dying].run().await?,
            _ => {}
        }
        for (_, agent) in &mut agents {
            agent.rounds(envoys[round % 2].listener(), 1).await?;
        }
        if round == 0 {
            unanswered = envoys[0].stat("wasmcustom.headroom.memory_context.unanswered").await?;
        }
    }
    let mut noted = 0;
    for (name, _) in &agents {
        let report = provider.report(name);
        ensure!(report.problems().is_empty() && report.respelled == 0, "{name}: {:?}", report.problems());
        let [beginning] = report.beginnings.as_slice() else { bail!("{name} began in two ways: {report:?}") };
        noted += usize::from(beginning.contains("Deployments that failed are in the log"));
    }
    // All, unless the machine stood still for two seconds when they began.
    let expected = if unanswered == 0 { agents.len() } else { 1 };
    ensure!(noted >= expected, "{noted} of {} conversations began with notes", agents.len());
    Ok(())
}
