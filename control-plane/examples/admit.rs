//! How long it takes to make copies of originals durable, alone and with others at the same time.
//!
//! ```text
//! cargo run --release -p headroomd --example admit -- 2000
//! ```
//!
//! Sends that many admissions of 100 KB of new text each, first from one connection, then from eight
//! at once, and reads each back. Exits with 1 when one that was acknowledged cannot be read back.
#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use headroom_api::v1::originals_client::OriginalsClient;
use headroom_api::v1::{AdmitRequest, ContentEncoding, Original, RetrieveRequest};
use headroomd::settings::{Args, Settings};
use tonic::transport::{Channel, Endpoint};

/// Bytes of text in each admission.
const BYTES: usize = 100_000;
/// Connections that admit at once in the second round.
const CONNECTIONS: usize = 8;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let admissions =
        std::env::args().nth(1).map_or(Ok(2_000), |count| count.parse()).context("expected a number")?;
    let folder = tempfile::tempdir()?;
    let running = headroomd::start(&Settings::resolve(Args::on_free_ports(folder.path()), |_| None)?).await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", running.addresses().grpc))?;
    let mut lost = 0;
    for (round, connections) in [1, CONNECTIONS].into_iter().enumerate() {
        let mut callers = Vec::new();
        for caller in 0..connections {
            let client = OriginalsClient::new(endpoint.connect().await?);
            let seed = (round * CONNECTIONS + caller) as u64;
            callers.push(tokio::spawn(admit(client, seed, admissions / connections)));
        }
        let mut took = Vec::new();
        for caller in callers {
            let (times, missing) = caller.await??;
            took.extend(times);
            lost += missing;
        }
        took.sort_unstable();
        let at = |share: f64| took.get(((took.len() as f64 * share) as usize).min(took.len() - 1));
        let ms = |share| at(share).map_or(0.0, |took| took.as_secs_f64() * 1e3);
        println!(
            "{connections} at once: {} admissions of {BYTES} bytes, p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
            took.len(),
            ms(0.5),
            ms(0.99),
            ms(1.0),
        );
    }
    running.stop().await;
    println!("acknowledged but not there: {lost}");
    Ok(if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn admit(
    mut client: OriginalsClient<Channel>,
    seed: u64,
    admissions: usize,
) -> anyhow::Result<(Vec<Duration>, usize)> {
    let (mut took, mut missing) = (Vec::new(), 0);
    for n in 0..admissions {
        let text = text(seed << 32 | n as u64);
        let original = Original {
            hash: headroom_compress::address(&text),
            content: text.clone().into_bytes(),
            encoding: ContentEncoding::Identity.into(),
            length: text.len() as u64,
            ..Original::default()
        };
        let request = AdmitRequest { originals: vec![original], ..AdmitRequest::default() };
        let begun = Instant::now();
        let stored = client.admit(request).await?.into_inner().stored;
        took.push(begun.elapsed());
        for hash in stored {
            let request = RetrieveRequest { hash, lines: "1-1".to_owned(), ..RetrieveRequest::default() };
            let page = client.retrieve(request).await?.into_inner();
            missing += usize::from(!page.found || !text.starts_with(&page.content));
        }
    }
    Ok((took, missing))
}

/// Lines of a log that occurs once, about as compressible as logs are.
fn text(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(BYTES + 100);
    while text.len() < BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (worker, job) = (state >> 60, state >> 40);
        text.push_str(&format!("INFO worker-{worker} finished job {job:x} in {} ms\n", job % 977));
    }
    text
}
