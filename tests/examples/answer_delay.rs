//! How late an answer reaches the client: its first byte, and each event of a stream, with and without the
//! filter, in turn.
//!
//! `cargo run -p headroom-e2e --example answer_delay [REQUESTS]`, for half a minute at most. The provider sends an
//! event on demand; the time from there until its arrival is measured. Client and provider are the same on both
//! sides, so the way in which they were built does not affect the difference; Envoy and the filter's module are
//! always optimized.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use headroom_compress::Api;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::envoy::Options;
use headroom_e2e::latency::Latencies;
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER};
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Script, Stack, conversation};
use serde_json::json;

/// The default number of requests.
const REQUESTS: usize = 300;
/// No further requests after this time, on a busy machine.
const LONGEST: Duration = Duration::from_secs(30);
/// Requests that do not count: the first ones open connections.
const WARM_UP: usize = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let requests = match std::env::args().nth(1) {
        Some(text) => text.parse().context("expected a number of requests")?,
        None => REQUESTS,
    };
    say("Building the filter and headroomd where they are not built yet, and starting both stacks …");
    let filter = json!({"control_plane": {"cluster": "headroom"}});
    let with =
        Stack::start(Options { filter: Some(filter), own_process: true, ..Options::default() }, Kind::Real)
            .await?;
    let without = Stack::start(Options { filter: None, ..Options::default() }, Kind::Down).await?;
    let (mut first, mut events) = (Latencies::default(), Latencies::default());
    say("Measuring …");
    let mut begun = Instant::now();
    for number in 0..requests.saturating_add(WARM_UP) {
        if begun.elapsed() > LONGEST {
            break;
        }
        let ([to_first, with_events], [other_first, other_events]) =
            (measure(&with, number).await?, measure(&without, number).await?);
        if number < WARM_UP {
            begun = Instant::now();
            continue;
        }
        for (with, without) in to_first.iter().zip(&other_first) {
            first.add(*with, *without);
        }
        for (with, without) in with_events.iter().zip(&other_events) {
            events.add(*with, *without);
        }
    }
    let mut table = comfy_table::Table::new();
    table.set_header([
        "milliseconds",
        "pairs",
        "p50 with",
        "without",
        "p99 with",
        "without",
        "added p50",
        "added p99",
    ]);
    for (name, latencies) in [("first byte", &first), ("an event", &events)] {
        let ms = |ms: f64| format!("{ms:.3}");
        table.add_row([
            name.to_owned(),
            latencies.pairs().to_string(),
            ms(latencies.with(50)),
            ms(latencies.without(50)),
            ms(latencies.with(99)),
            ms(latencies.without(99)),
            ms(latencies.added(50)),
            ms(latencies.added(99)),
        ]);
    }
    #[allow(clippy::print_stdout, reason = "this is what the program is for")]
    {
        println!("{table}");
    }
    Ok(())
}

#[allow(clippy::print_stderr, reason = "so that nobody waits in front of an empty screen")]
fn say(what: &str) {
    eprintln!("{what}");
}

/// The time to the first byte, and of each further event from its release until its arrival.
async fn measure(stack: &Stack, number: usize) -> Result<[Vec<Duration>; 2]> {
    let name = format!("delay {number}");
    let script = Script { gate: true, ..Script::default() };
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 10, "stream": true,
        "messages": [{"role": "user", "content": "hi"}]});
    let call = Call::post(conversation::path(Api::AnthropicMessages), body.to_string())
        .header(NAME_HEADER, &name)
        .header(SCRIPT_HEADER, &script.header());
    let mut connection = stack.connect(Protocol::Http1).await?;
    let begun = Instant::now();
    let mut streamed = connection.stream(call).await?;
    streamed.next().await?.context("an answer has a first event")?;
    let first = begun.elapsed();
    let mut events = Vec::new();
    loop {
        let released = Instant::now();
        stack.provider.release(&name, 1);
        match streamed.next().await? {
            Some(_) => events.push(released.elapsed()),
            None => return Ok([vec![first], events]),
        }
    }
}
