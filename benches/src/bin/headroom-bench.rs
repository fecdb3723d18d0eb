//! Measures the whole system and prints the tables of docs/benchmarks.md.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use headroom_benches::bodies::{Exchange, exchanges, recorded};
use headroom_benches::timing::{Requests, SIZES, Timing, timings};
use headroom_e2e::built::{cargo, target_folder, workspace};
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::latency::Latencies;
use headroom_e2e::sidecar::{Kind, Sidecar};
use headroom_e2e::{Provider, Stack};
use serde_json::json;

/// Measures the engine natively and in V8, requests through Envoy with the filter and without it, the
/// start of the module, and memory.
#[derive(Parser)]
struct Arguments {
    /// Requests of the memory measurement, after as many for warming up.
    #[arg(long, default_value_t = 10_000)]
    memory_requests: u64,
    /// Seconds for each size and kind of content through Envoy.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Conversations for others than those of the repository.
    #[arg(long, value_name = "DIR", default_value_os_t = recorded())]
    conversations: PathBuf,
    /// Measures only the sizes of these modules and the time until Envoy is ready with each, in turn.
    #[arg(long, value_name = "MODULE", num_args = 1..)]
    modules: Vec<PathBuf>,
}

/// Targets for the added median, in milliseconds: new content and content seen before.
const TARGETS_MS: [(f64, f64); 3] = [(1.0, 0.5), (3.0, 1.5), (20.0, 10.0)];
/// Target for the time until the module is ready.
const TARGET_READY: Duration = Duration::from_secs(2);

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the tables are what it is for")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if !arguments.modules.is_empty() {
        println!("{}", modules(&arguments.modules).await?);
        return Ok(());
    }
    let exchanges = exchanges(&arguments.conversations);
    println!("{}", engine(&exchanges, &arguments.conversations)?);
    println!("{}", start_up().await?);
    let pair = Pair::start().await?;
    println!("{}", through_envoy(&pair, &exchanges, Duration::from_secs(arguments.seconds)).await?);
    println!("{}", memory(&pair.with, &exchanges, arguments.memory_requests).await?);
    Ok(())
}

/// The same build of the engine, natively and in V8.
fn engine(exchanges: &[Exchange], conversations: &Path) -> Result<String> {
    let native = timings(exchanges);
    let v8 = in_v8(conversations)?;
    let mut table = "| engine, one request | native | V8 | V8 : native |\n|---|---:|---:|---:|\n".to_owned();
    for (native, v8) in native.iter().zip(&v8) {
        for (kind, native_us, v8_us) in
            [("new", native.new_us, v8.new_us), ("repeated", native.repeated_us, v8.repeated_us)]
        {
            table += &format!(
                "| {}, {kind} | {:.3} ms | {:.3} ms | {:.1} |\n",
                native.size,
                native_us / 1000.0,
                v8_us / 1000.0,
                v8_us / native_us
            );
        }
    }
    Ok(table)
}

fn in_v8(conversations: &Path) -> Result<Vec<Timing>> {
    let target = "wasm32-wasip1";
    cargo(&[
        "build",
        "-p",
        "headroom-benches",
        "--bin",
        "engine-timing",
        "--target",
        target,
        "--profile",
        "wasm",
    ])?;
    let module: PathBuf = target_folder()?.join(target).join("wasm/engine-timing.wasm");
    let output = Command::new("node")
        // The first says that WASI is experimental; the second is how Envoy's V8 is set up: no baseline
        // compiler.
        .args(["--no-warnings", "--no-liftoff"])
        .arg(workspace().join("benches/v8.mjs"))
        .arg(&module)
        .arg(conversations)
        .output()
        .context("the comparison with V8 needs node (20 or later): install it")?;
    ensure!(output.status.success(), "node failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Two Envoys. The filter is the only difference between them.
struct Pair {
    with: Stack,
    without: Stack,
}

impl Pair {
    async fn start() -> Result<Self> {
        let filter = json!({"control_plane": {"cluster": "headroom"}});
        let with = Stack::start(
            Options { filter: Some(filter), own_process: true, ..Options::default() },
            Kind::Real,
        )
        .await?;
        let without = Stack::start(Options { filter: None, ..Options::default() }, Kind::Down).await?;
        Ok(Self { with, without })
    }
}

/// The number of starts; the median counts.
const STARTS: usize = 5;

async fn modules(modules: &[PathBuf]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let provider = Provider::start(0).await?;
    let sidecar = Sidecar::start(Kind::Down, folder.path()).await?;
    let neighbours = Neighbours {
        provider: provider.address(),
        sidecar_grpc: sidecar.grpc(),
        sidecar_http: sidecar.http(),
    };
    let start = async |module: Option<&PathBuf>| {
        let folder = tempfile::tempdir()?;
        let options = Options { filter: module.map(|_| json!({})), own_process: true, ..Options::default() };
        let module = module.cloned().unwrap_or_default();
        anyhow::Ok(Envoy::start(&options, neighbours, &module, folder.path()).await?.started_in())
    };
    let mut times = vec![Vec::new(); modules.len() + 1];
    // In turn, so that other load on the machine affects all of them equally.
    for _ in 0..STARTS {
        for (times, module) in times.iter_mut().zip([None].into_iter().chain(modules.iter().map(Some))) {
            times.push(start(module).await?);
        }
    }
    let mut medians = times.into_iter().map(|mut times| {
        times.sort();
        times[STARTS / 2]
    });
    let without = medians.next().unwrap_or_default();
    let mut table = format!("| module | bytes | ready, median of {STARTS} |\n|---|---:|---:|\n");
    for (module, with) in modules.iter().zip(medians) {
        let bytes = std::fs::metadata(module)?.len();
        let ready = with.saturating_sub(without).as_secs_f64();
        table += &format!("| {} | {bytes} | {ready:.2} s |\n", module.display());
    }
    Ok(table)
}

async fn start_up() -> Result<String> {
    let time = async |filter: Option<serde_json::Value>| {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let stack = Stack::start(
                Options { filter: filter.clone(), own_process: true, ..Options::default() },
                Kind::Down,
            )
            .await?;
            times.push(stack.envoy.started_in());
        }
        times.sort();
        anyhow::Ok(times[STARTS / 2])
    };
    // Builds the module, so that the build is not measured.
    drop(Stack::start(Options::default(), Kind::Down).await?);
    let without = time(None).await?;
    let with = time(Some(json!({}))).await?;
    let module = with.saturating_sub(without);
    Ok(format!(
        "| start | median of {STARTS} | target |\n|---|---:|---:|\n| Envoy alone | {:.2} s | |\n| Envoy with the \
         filter | {:.2} s | |\n| module ready | {:.2} s{} | {} s |\n",
        without.as_secs_f64(),
        with.as_secs_f64(),
        module.as_secs_f64(),
        missed(module.as_secs_f64(), TARGET_READY.as_secs_f64()),
        TARGET_READY.as_secs()
    ))
}

fn missed(value: f64, target: f64) -> &'static str {
    if value > target { " **missed**" } else { "" }
}

async fn through_envoy(pair: &Pair, exchanges: &[Exchange], budget: Duration) -> Result<String> {
    let mut table = "| through Envoy | without p50 | with p50 | added p50 | target | added p99 | with : without | requests \
                     |\n|---|---:|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for ((name, bytes), (new_target, repeated_target)) in SIZES.into_iter().zip(TARGETS_MS) {
        for (kind, target) in [("new", new_target), ("repeated", repeated_target)] {
            let mut requests = Requests::new(exchanges, bytes, 0);
            let repeated = requests.next().unwrap_or_default();
            let next = || match kind {
                "new" => requests.next().unwrap_or_default(),
                _ => repeated.clone(),
            };
            let latencies = interleaved(pair, next, budget).await?;
            let added = latencies.added(50);
            table += &format!(
                "| {name}, {kind} | {:.2} ms | {:.2} ms | {added:.2} ms{} | {target} ms | {:.2} ms | {:.2} | {} |\n",
                latencies.without(50),
                latencies.with(50),
                missed(added, target),
                latencies.added(99),
                latencies.with(50) / latencies.without(50),
                latencies.pairs()
            );
        }
    }
    Ok(table)
}

async fn interleaved(pair: &Pair, mut next: impl FnMut() -> Vec<u8>, budget: Duration) -> Result<Latencies> {
    const FEWEST: usize = 20;
    let mut with = pair.with.connect(Protocol::Http1).await?;
    let mut without = pair.without.connect(Protocol::Http1).await?;
    for _ in 0..3 {
        let body = next();
        timed(&mut with, &body).await?;
        timed(&mut without, &body).await?;
    }
    let mut latencies = Latencies::default();
    let start = Instant::now();
    while latencies.pairs() < FEWEST || start.elapsed() < budget {
        let body = next();
        // The second one may find a warmer machine, so they take turns.
        if latencies.pairs().is_multiple_of(2) {
            let first = timed(&mut with, &body).await?;
            latencies.add(first, timed(&mut without, &body).await?);
        } else {
            let first = timed(&mut without, &body).await?;
            latencies.add(timed(&mut with, &body).await?, first);
        }
    }
    Ok(latencies)
}

async fn timed(connection: &mut Connection, body: &[u8]) -> Result<Duration> {
    let call = Call::post("/v1/messages", body.to_vec());
    let start = Instant::now();
    let answer = connection.stream(call).await?;
    let elapsed = start.elapsed();
    let answer = answer.finish().await?;
    ensure!(answer.status == 200, "a scripted answer came with status {}", answer.status);
    Ok(elapsed)
}

/// Resident memory over many requests of new content. The warm-up fills the memo up to its capacity first.
async fn memory(stack: &Stack, exchanges: &[Exchange], requests: u64) -> Result<String> {
    const BYTES: usize = 10_000;
    const SAMPLES: u64 = 5;
    let mut table = "| requests of 10 KB, new content | Envoy's resident memory |\n|---:|---:|\n".to_owned();
    let mut connection = stack.connect(Protocol::Http1).await?;
    let mut series = Requests::new(exchanges, BYTES, 1 << 32);
    let mut done = 0;
    for sample in 0..=2 * SAMPLES {
        while done < sample * requests / SAMPLES {
            done += 1;
            timed(&mut connection, &series.next().unwrap_or_default()).await?;
        }
        let megabytes = stack.envoy.resident_kilobytes()? as f64 / 1024.0;
        table += &format!("| {done} | {megabytes:.1} MB |\n");
    }
    Ok(table)
}
