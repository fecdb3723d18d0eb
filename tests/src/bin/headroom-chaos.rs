//! Sends many requests of all sorts through Envoy, the filter and headroomd while these fail in all sorts of ways,
//! and counts what must not happen.
//!
//! ```text
//! make chaos ARGS="--requests 20000"
//! ```
//!
//! Agents hold conversations with thinking models, in five formats, against a provider that checks what reasoning is
//! bound to. At the same time there are single requests: short ones, long ones, bypassed and audited ones, other paths,
//! broken bodies, refusals of the provider, and clients that leave. During this headroomd is killed, stopped, and left
//! without disk, the filter is delivered again, and Envoy is replaced and drained. Exits with 1 if a figure that must
//! be 0 is not.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use headroom_e2e::agent::{Agent, Format, recorded, rows};
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::delivery;
use headroom_e2e::envoy::{Envoy, Options};
use headroom_e2e::latency::percentile;
use headroom_e2e::provider::{Plan, Report, SCRIPT_HEADER, Way};
use headroom_e2e::sidecar::{Kind, Sidecar};
use headroom_e2e::{Provider, Script, built};
use serde_json::json;
use tokio::time::sleep;

/// Many requests under mixed faults.
#[derive(Parser)]
struct Arguments {
    /// Requests of clients
    #[arg(long, default_value_t = 20_000)]
    requests: usize,
    /// End after so many minutes, with as many requests as there were
    #[arg(long, default_value_t = 600)]
    minutes: u64,
    /// Conversations at once
    #[arg(long, default_value_t = 4)]
    agents: usize,
    /// Clients of single requests at once
    #[arg(long, default_value_t = 6)]
    clients: usize,
    /// A module in the place of the one that is built here
    #[arg(long)]
    module: Option<PathBuf>,
}

/// The time between two faults, and the duration of one.
const CALM: Duration = Duration::from_millis(1500);
const TROUBLE: Duration = Duration::from_millis(800);
/// After this time without requests the filter has reported everything.
const REPORTED: Duration = Duration::from_millis(1_500);

/// What all tasks share.
struct Chaos {
    provider: Provider,
    /// The address for new requests.
    envoy: Mutex<SocketAddr>,
    over: AtomicBool,
    sent: AtomicUsize,
    /// Requests answered with the expected status.
    answered: AtomicUsize,
    /// Requests that have a record: not those on other paths, and not token counts of a request.
    with_record: AtomicUsize,
    /// Requests that would have succeeded, and why each did not.
    failed: Mutex<Vec<String>>,
    /// Clients that left on purpose.
    left: AtomicUsize,
    conversations: AtomicUsize,
    report: Mutex<Report>,
    exact: AtomicUsize,
    /// Times of short requests.
    latencies: Mutex<Vec<Duration>>,
}

impl Chaos {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn listener(&self) -> SocketAddr {
        *self.envoy.lock().expect("no panic while locked")
    }

    fn fail(&self, why: String) {
        self.failed.lock().expect("no panic while locked").push(why);
    }

    /// One conversation after the other.
    async fn agent(&self, worker: usize) -> Result<()> {
        let outputs: Vec<Vec<String>> =
            (0..5).map(|seed| recorded(worker * 5 + seed)).collect::<Result<_>>()?;
        for number in 0.. {
            if self.is_over() {
                break;
            }
            let name = format!("chaos-{worker}-{number}");
            let format = Format::ALL[number % Format::ALL.len()];
            let plan = Plan {
                rounds: 6,
                text_every: 4,
                retrieve_every: 2,
                ways: Way::ALL.to_vec(),
                piece_bytes: Some(97),
                ..Plan::default()
            };
            self.provider.follow(&name, plan);
            let mut given = outputs[number % outputs.len()].clone();
            // Outputs that no earlier conversation had.
            given.insert(1, rows(220, 1_000_000 * (worker + 1) + number));
            let mut agent = Agent::new(format, &name, number % 2 == 0, given);
            agent.say("Which deployments failed, and why?");
            if let Err(error) = self.converse(&mut agent).await {
                self.fail(format!("{name}, {}: {error:#}", format.name()));
            }
            let report = self.provider.report(&name);
            self.exact.fetch_add(report.exact(&agent.given()), Ordering::Relaxed);
            self.report.lock().expect("no panic while locked").add(report);
            self.provider.forget(&name);
            self.conversations.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn converse(&self, agent: &mut Agent) -> Result<()> {
        let (mut rounds, mut asked) = (0, 0);
        loop {
            self.sent.fetch_add(1, Ordering::Relaxed);
            self.with_record.fetch_add(1, Ordering::Relaxed);
            let turn = agent.turn(self.listener()).await?;
            self.answered.fetch_add(1, Ordering::Relaxed);
            if turn.calls > 0 {
                rounds += 1;
            } else if rounds >= 6 {
                return Ok(());
            } else {
                asked += 1;
                ensure!(asked < 20, "the model does not go on");
                agent.say("Go on.");
            }
        }
    }

    /// Single requests of all sorts, one after the other.
    async fn client(&self, worker: usize, bodies: &Bodies) {
        let mut known: Option<(SocketAddr, Connection)> = None;
        for number in 0.. {
            if self.is_over() {
                break;
            }
            let to = self.listener();
            if number % 97 == 13 {
                self.leave(to, bodies).await;
                continue;
            }
            let (call, expected, is_short) = bodies.call(worker + number);
            let has_record = !matches!((worker + number) % 40, 8 | 12);
            let kept = known.take().filter(|(of, _)| *of == to);
            let mut connection = match kept {
                Some((_, connection)) => connection,
                None => match Connection::open(to, Protocol::Http1).await {
                    Ok(connection) => connection,
                    Err(error) => {
                        self.fail(format!("no connection: {error:#}"));
                        continue;
                    }
                },
            };
            self.sent.fetch_add(1, Ordering::Relaxed);
            self.with_record.fetch_add(usize::from(has_record), Ordering::Relaxed);
            let started = Instant::now();
            match connection.send(call).await {
                Ok(answer) if answer.status == expected => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    if is_short {
                        self.latencies.lock().expect("no panic while locked").push(started.elapsed());
                    }
                    known = Some((to, connection));
                }
                Ok(answer) => {
                    self.fail(format!("expected {expected}, got {}: {}", answer.status, answer.text()));
                }
                Err(error) => self.fail(format!("no answer: {error:#}")),
            }
        }
    }

    /// A client that goes in the middle of its body.
    async fn leave(&self, to: SocketAddr, bodies: &Bodies) {
        let first = bodies.short.slice(..bodies.short.len() / 2);
        let unfinished = match Connection::open(to, Protocol::Http1).await {
            Ok(connection) => connection.send_start(Call::post("/v1/messages", Bytes::new()), first).await,
            Err(error) => Err(error),
        };
        if let Ok(unfinished) = unfinished {
            self.left.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(20)).await;
            unfinished.disconnect();
        }
    }
}

/// The bodies of single requests.
struct Bodies {
    short: Bytes,
    long: Bytes,
}

impl Bodies {
    fn new() -> Self {
        Self { short: body(1, 60).into(), long: body(24, 1_500).into() }
    }

    /// A request, its expected status, and whether its time counts.
    fn call(&self, number: usize) -> (Call, u16, bool) {
        let messages = |body: &Bytes| Call::post("/v1/messages", body.clone());
        let answered = |status| {
            let script = Script { status: Some(status), ..Script::default() };
            messages(&self.short).header(SCRIPT_HEADER, &script.header())
        };
        match number % 40 {
            0 => (messages(&self.long), 200, false),
            5 => (messages(&self.short).header("x-headroom-bypass", "true"), 200, true),
            6 => (messages(&self.short).header("x-headroom-mode", "audit"), 200, true),
            7 => (Call::post("/v1/messages", "no JSON"), 200, true),
            8 => (Call::post("/v1/embeddings", r#"{"input":"x"}"#), 200, true),
            9 => (Call::post("//v1/messages/", self.short.clone()), 200, true),
            10 => (answered(529), 529, false),
            11 => (answered(429), 429, false),
            12 => (Call::post("/v1/messages/count_tokens", self.short.clone()), 200, true),
            _ => (messages(&self.short), 200, true),
        }
    }
}

fn body(outputs: usize, rows_each: usize) -> Vec<u8> {
    let turns = (0..outputs).flat_map(|turn| {
        let id = format!("toolu_{turn}");
        [
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "list", "input": {}}]}),
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id,
                "content": rows(rows_each, turn)}]}),
        ]
    });
    let messages: Vec<_> = [json!({"role": "user", "content": "go"})].into_iter().chain(turns).collect();
    json!({"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": messages}).to_string().into_bytes()
}

/// The processes under test.
struct Machines {
    sidecar: Sidecar,
    envoy: Envoy,
    module: PathBuf,
    folder: tempfile::TempDir,
    envoys: usize,
    reloads: u32,
    /// Records of Envoys that have ended.
    recorded: u64,
    kills: usize,
    stops: usize,
    full_disks: usize,
    memory: Vec<(u64, u64)>,
}

impl Machines {
    async fn start(provider: &Provider, module: PathBuf) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let sidecar = Sidecar::start(Kind::Real, folder.path()).await?;
        let envoy = Self::envoy(provider, &sidecar, &module, folder.path(), 0).await?;
        let (recorded, kills, stops, full_disks) = (0, 0, 0, 0);
        Ok(Self {
            sidecar,
            envoy,
            module,
            folder,
            envoys: 1,
            reloads: 0,
            recorded,
            kills,
            stops,
            full_disks,
            memory: Vec::new(),
        })
    }

    /// Delivers the filter to Envoy. Each number creates another VM.
    fn deliver(folder: &Path, module: &Path, number: u32) -> Result<()> {
        let filter = json!({"reversible": true, "control_plane": {"cluster": delivery::CLUSTER,
            // Reports wait long enough that a VM that ends still has some.
            "report_interval_ms": if number.is_multiple_of(2) { 100 } else { 1_000 },
            "max_backoff_ms": 300}});
        delivery::deliver(folder, &delivery::resource(number, module, &delivery::as_text(&filter)))
    }

    fn envoy_folder(folder: &Path, number: usize) -> PathBuf {
        folder.join(format!("envoy-{number}"))
    }

    async fn envoy(
        provider: &Provider,
        sidecar: &Sidecar,
        module: &Path,
        folder: &Path,
        number: usize,
    ) -> Result<Envoy> {
        let folder = Self::envoy_folder(folder, number);
        std::fs::create_dir(&folder)?;
        Self::deliver(&folder, module, 0)?;
        let configuration = Some(delivery::bootstrap(provider.address(), sidecar, &folder)?);
        let options = Options { filter: None, configuration, workers: 2, ..Options::default() };
        let neighbours = headroom_e2e::envoy::Neighbours {
            provider: provider.address(),
            sidecar_grpc: sidecar.grpc(),
            sidecar_http: sidecar.http(),
        };
        Envoy::start(&options, neighbours, module, &folder).await
    }

    /// Every fault in turn, until it is over.
    async fn trouble(&mut self, chaos: &Chaos) -> Result<()> {
        for number in 0.. {
            sleep(CALM).await;
            if chaos.is_over() {
                return Ok(());
            }
            match number % 4 {
                0 => {
                    self.sidecar.kill()?;
                    sleep(TROUBLE).await;
                    self.sidecar.run().await?;
                    self.kills += 1;
                }
                1 => {
                    self.sidecar.suspend()?;
                    sleep(TROUBLE).await;
                    self.sidecar.resume()?;
                    self.stops += 1;
                }
                2 => {
                    self.sidecar.fill_disk()?;
                    sleep(TROUBLE).await;
                    self.sidecar.empty_disk()?;
                    self.full_disks += 1;
                }
                // Each start takes V8 several seconds.
                _ if number % 16 == 3 => self.replace_envoy(chaos).await?,
                _ if number % 16 == 11 => {
                    self.reloads += 1;
                    let folder = Self::envoy_folder(self.folder.path(), self.envoys - 1);
                    Self::deliver(&folder, &self.module, self.reloads)?;
                }
                _ => self.look()?,
            }
        }
        Ok(())
    }

    fn look(&mut self) -> Result<()> {
        self.memory.push((self.envoy.resident_kilobytes()?, self.sidecar.resident_kilobytes()?));
        Ok(())
    }

    /// Sends new requests to another Envoy; the old one ends after it has answered its requests.
    async fn replace_envoy(&mut self, chaos: &Chaos) -> Result<()> {
        self.look()?;
        let next = Self::envoy(&chaos.provider, &self.sidecar, &self.module, self.folder.path(), self.envoys)
            .await?;
        self.envoys += 1;
        *chaos.envoy.lock().expect("no panic while locked") = next.listener();
        let old = std::mem::replace(&mut self.envoy, next);
        until("the old Envoy has answered its requests", || async {
            (old.stat("http.headroom.downstream_rq_active").await.ok()? == 0).then_some(())
        })
        .await?;
        sleep(REPORTED).await;
        self.recorded += records(&old).await?;
        Ok(())
    }
}

/// The requests that the filters of an Envoy have finished.
async fn records(envoy: &Envoy) -> Result<u64> {
    let all = envoy.admin_get("/stats?filter=wasmcustom.headroom.requests").await?;
    all.lines()
        .filter_map(|line| line.rsplit_once(": "))
        .map(|(_, count)| Ok(count.trim().parse::<u64>()?))
        .sum()
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let provider = Provider::start(0).await?;
    let module = match arguments.module {
        Some(module) => module,
        None => built::filter_module().await?,
    };
    let mut machines = Machines::start(&provider, module).await?;
    let chaos = Arc::new(Chaos {
        envoy: Mutex::new(machines.envoy.listener()),
        provider,
        over: AtomicBool::new(false),
        sent: AtomicUsize::new(0),
        answered: AtomicUsize::new(0),
        with_record: AtomicUsize::new(0),
        failed: Mutex::default(),
        left: AtomicUsize::new(0),
        conversations: AtomicUsize::new(0),
        report: Mutex::default(),
        exact: AtomicUsize::new(0),
        latencies: Mutex::default(),
    });
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..arguments.agents {
        let chaos = Arc::clone(&chaos);
        tasks.spawn(async move { chaos.agent(worker).await });
    }
    let bodies = Arc::new(Bodies::new());
    for worker in 0..arguments.clients {
        let (chaos, bodies) = (Arc::clone(&chaos), Arc::clone(&bodies));
        tasks.spawn(async move {
            chaos.client(worker * 7, &bodies).await;
            Ok(())
        });
    }
    sleep(Duration::from_secs(2)).await;
    machines.look()?;
    let end = async {
        let longest = Duration::from_secs(60 * arguments.minutes);
        let mut told = Instant::now();
        while chaos.sent.load(Ordering::Relaxed) < arguments.requests && started.elapsed() < longest {
            sleep(Duration::from_millis(100)).await;
            if told.elapsed() > Duration::from_secs(30) {
                told = Instant::now();
                let failed = chaos.failed.lock().expect("no panic while locked").len();
                headroom_e2e::say(&format!(
                    "{} requests after {} s, {failed} failed",
                    chaos.sent.load(Ordering::Relaxed),
                    started.elapsed().as_secs()
                ));
            }
        }
        chaos.over.store(true, Ordering::Relaxed);
    };
    let (trouble, ()) = tokio::join!(machines.trouble(&chaos), end);
    trouble.context("a fault could not be made")?;
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    sleep(2 * REPORTED).await;
    machines.look()?;
    let recorded = machines.recorded + records(&machines.envoy).await?;
    let counted = until("headroomd has counted what was recorded", || async {
        machines.sidecar.counted_requests().await.ok().filter(|counted| *counted >= recorded)
    })
    .await;
    let counted = match counted {
        Ok(counted) => counted,
        Err(_) => machines.sidecar.counted_requests().await?,
    };
    Ok(tell(&chaos, &machines, started.elapsed(), recorded, counted))
}

/// Prints the figures, and fails if one that must be 0 is not.
fn tell(chaos: &Chaos, machines: &Machines, took: Duration, recorded: u64, counted: u64) -> ExitCode {
    let failed = chaos.failed.lock().expect("no panic while locked");
    let report = chaos.report.lock().expect("no panic while locked");
    let latencies = chaos.latencies.lock().expect("no panic while locked");
    let mismatches = report.refused.len() + report.dropped.len() + report.rewritten.len();
    let asked = report.retrievals.len();
    let unresolvable = asked.saturating_sub(chaos.exact.load(Ordering::Relaxed));
    // A client that left has a record if the filter has seen the request's headers.
    let expected = chaos.with_record.load(Ordering::Relaxed) as u64;
    let (lost, doubled) = (expected.max(recorded).saturating_sub(counted), counted.saturating_sub(recorded));
    let megabytes = |kilobytes: u64| format!("{} MB", kilobytes >> 10);
    let memory = |of: fn(&(u64, u64)) -> u64| {
        let all: Vec<u64> = machines.memory.iter().map(of).collect();
        let ends = [all.first(), all.last(), all.iter().max()];
        ends.map(|it| megabytes(it.copied().unwrap_or_default())).join(", ")
    };
    let mut table = comfy_table::Table::new();
    table.set_header(["figure", "value"]);
    let load = |count: &AtomicUsize| count.load(Ordering::Relaxed).to_string();
    for (name, value) in [
        ("requests of clients", load(&chaos.sent)),
        ("seconds", took.as_secs().to_string()),
        ("answered as expected", load(&chaos.answered)),
        ("failed that would have succeeded", failed.len().to_string()),
        ("clients that left in the middle of a body", load(&chaos.left)),
        ("conversations", load(&chaos.conversations)),
        ("prefix mismatches", mismatches.to_string()),
        ("retrievals of the model", asked.to_string()),
        ("unresolvable", unresolvable.to_string()),
        ("requests that have to have a record", expected.to_string()),
        ("records", recorded.to_string()),
        ("records lost", lost.to_string()),
        ("records doubled", doubled.to_string()),
        ("headroomd killed, stopped, without disk", {
            format!("{}, {}, {}", machines.kills, machines.stops, machines.full_disks)
        }),
        ("Envoys, reloads", format!("{}, {}", machines.envoys, machines.reloads)),
        ("short requests, p50", format!("{:.1} ms", percentile(&latencies, 50))),
        ("short requests, p99", format!("{:.1} ms", percentile(&latencies, 99))),
        ("memory of Envoy at first, at last, at most", memory(|it| it.0)),
        ("memory of headroomd at first, at last, at most", memory(|it| it.1)),
    ] {
        table.add_row([name.to_owned(), value]);
    }
    headroom_e2e::say(&table.to_string());
    for why in failed.iter().take(20) {
        headroom_e2e::say(&format!("failed: {why}"));
    }
    for problem in report.problems().iter().take(20) {
        headroom_e2e::say(problem);
    }
    let good = failed.is_empty() && mismatches == 0 && unresolvable == 0 && lost == 0 && doubled == 0;
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
