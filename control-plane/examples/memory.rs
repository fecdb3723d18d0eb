//! How long memory takes to find something among 100,000 facts:
//!
//!     cargo run --release -p headroomd --example memory [FACTS] [postgres://…]
//!
//! First over 100 projects, then all in one; by words, and by invented vectors of 384 dimensions. The time to embed the
//! question is not included.

#![allow(clippy::print_stdout, reason = "it prints its figures")]

use std::time::{Duration, Instant};

use anyhow::Context as _;
use headroom_api::memory::Scope;
use headroomd::clock::now_ms;
use headroomd::memory::{Draft, FactScope, MemoryStore, Vector, query_words};
use headroomd::store::Database;
use headroomd::store::memory::open;

/// Dimensions of a sentence transformer.
const DIMENSIONS: usize = 384;
/// Facts in one transaction.
const BATCH: usize = 500;
/// Searches of each kind.
const SEARCHES: usize = 300;
/// Frequent words.
const WORDS: &[&str] = &[
    "server", "port", "database", "test", "deploy", "build", "config", "service", "user", "team", "lead",
    "commit", "message", "cache", "token", "header", "log", "metric", "queue", "worker", "job", "cron",
    "flag", "theme", "mode", "key", "vault", "region", "cluster", "node", "image", "registry", "python",
    "rust", "lint", "format", "retry", "backoff", "timeout", "schema", "table", "column", "index", "query",
    "api", "graphql", "auth", "session", "login",
];

/// A generator with a fixed seed, so that each run has the same facts.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit.max(1)
    }

    fn word(&mut self) -> &'static str {
        WORDS.get(self.below(WORDS.len())).copied().unwrap_or_default()
    }

    fn text(&mut self) -> String {
        let words: Vec<&str> = (0..6).map(|_| self.word()).collect();
        let (one, other) = (self.below(5_000), self.below(65_536));
        format!("The {} of {}-{one} uses {other}", words.join(" "), self.word())
    }

    fn vector(&mut self) -> Vector {
        let mut values: Vec<f32> =
            (0..DIMENSIONS).map(|_| self.below(2_000) as f32 / 1_000.0 - 1.0).collect();
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.iter_mut().for_each(|value| *value /= length);
        Vector { embedder: "made up".to_owned(), values }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let facts: usize = arguments.next().map_or(Ok(100_000), |facts| facts.parse()).context("FACTS")?;
    let url = arguments.next();
    for projects in [100, 1] {
        let dir = tempfile::tempdir()?;
        let database = match &url {
            Some(url) => Database::Postgres(url.clone()),
            None => Database::File(dir.path().join("memory.db")),
        };
        let store = open(&database).await?;
        store.purge(&headroomd::purge::Scope::All, false).await?;
        run(&*store, facts, projects).await?;
        store.close().await;
    }
    Ok(())
}

fn reach(project: usize) -> FactScope {
    FactScope { tenant: String::new(), user: "me".to_owned(), project: format!("/project/{project}") }
}

async fn run(store: &dyn MemoryStore, facts: usize, projects: usize) -> anyhow::Result<()> {
    let mut random = Random(7);
    let began = Instant::now();
    for batch in 0..facts.div_ceil(BATCH) {
        let holder = reach(batch % projects).holder(Scope::Project).context("a project has a holder")?;
        let drafts: Vec<Draft> = (0..BATCH)
            .map(|_| Draft { content: random.text(), vector: Some(random.vector()), ..Draft::default() })
            .collect();
        store.save(&holder, &drafts, now_ms()).await?;
    }
    println!("{facts} facts over {projects} projects, saved in {:.1} s", began.elapsed().as_secs_f64());
    let mut times = Vec::new();
    for _ in 0..SEARCHES {
        let (reach, query) = (reach(random.below(projects)), random.text());
        let began = Instant::now();
        let found = store.matching(&reach, &query_words(&query), now_ms(), 50).await?;
        times.push(began.elapsed());
        anyhow::ensure!(!found.is_empty(), "nothing was found for {query:?}");
    }
    show("by words", &mut times);
    let searches = if projects == 1 { SEARCHES / 10 } else { SEARCHES };
    for _ in 0..searches {
        let (reach, vector) = (reach(random.below(projects)), random.vector());
        let began = Instant::now();
        let found = store.nearest(&reach, &vector, now_ms(), 50).await?;
        times.push(began.elapsed());
        anyhow::ensure!(!found.is_empty(), "nothing is near");
    }
    show("by vectors", &mut times);
    Ok(())
}

fn show(kind: &str, times: &mut Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| {
        times.get(times.len() * share / 100).or(times.last()).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    println!("  {kind:<10}  median {:.1} ms, p99 {:.1} ms", at(50), at(99));
    times.clear();
}
