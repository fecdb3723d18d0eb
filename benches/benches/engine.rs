//! The engine, native: bodies whose blocks were all seen before, and bodies of new content.

use std::collections::BTreeMap;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use headroom_benches::bodies::{APIS, body, exchanges, recorded};
use headroom_compress::{Api, Config, Encoding, Memo, Request, compress};

const SIZES: [(&str, usize); 3] = [("10KB", 10_000), ("100KB", 100_000), ("1MB", 1_000_000)];

fn request(api: Api) -> Request<'static> {
    Request { reversible: true, ..Request::new(api) }
}

fn seen_before(criterion: &mut Criterion) {
    let (exchanges, config) = (exchanges(&recorded()), Config::default());
    let mut group = criterion.benchmark_group("seen before");
    for api in APIS {
        for (size, bytes) in SIZES {
            if api != Api::AnthropicMessages && bytes != 1_000_000 {
                continue;
            }
            let body = body(api, &exchanges, 0, bytes);
            let mut memo = Memo::new(64 << 20);
            compress(&body, &request(api), &config, &mut memo);
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(format!("{} {size}", api.name()), |bencher| {
                bencher.iter(|| compress(&body, &request(api), &config, &mut memo).tokens);
            });
        }
    }
    group.finish();
}

fn new_content(criterion: &mut Criterion) {
    let (exchanges, config) = (exchanges(&recorded()), Config::default());
    let mut group = criterion.benchmark_group("new content");
    group.sample_size(10);
    for (size, bytes) in SIZES {
        let body = body(Api::AnthropicMessages, &exchanges, 0, bytes);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(size, |bencher| {
            bencher.iter_batched(
                || Memo::new(64 << 20),
                |mut memo| compress(&body, &request(Api::AnthropicMessages), &config, &mut memo).tokens,
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// What an agent sends: a long history that was seen before, and one new output at its end.
fn next_turn(criterion: &mut Criterion) {
    let (exchanges, config) = (exchanges(&recorded()), Config::default());
    let api = Api::AnthropicMessages;
    let [history, longer] = [1_000_000, 1_010_000].map(|bytes| body(api, &exchanges, 0, bytes));
    let mut group = criterion.benchmark_group("next turn");
    group.throughput(Throughput::Bytes(longer.len() as u64));
    group.bench_function("10KB new behind 1MB", |bencher| {
        bencher.iter_batched_ref(
            || {
                let mut memo = Memo::new(64 << 20);
                compress(&history, &request(api), &config, &mut memo);
                memo
            },
            |memo| compress(&longer, &request(api), &config, memo).tokens,
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Exact counts of the texts of all tool outputs.
fn tokens(criterion: &mut Criterion) {
    let texts: Vec<String> = exchanges(&recorded()).into_iter().map(|exchange| exchange.text).collect();
    let mut group = criterion.benchmark_group("tokens");
    group.throughput(Throughput::Bytes(texts.iter().map(|text| text.len() as u64).sum()));
    for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
        group.bench_function(encoding.name(), |bencher| {
            bencher.iter(|| texts.iter().map(|text| encoding.count(text)).sum::<usize>());
        });
    }
    group.finish();
}

/// One new output at a time, with its body and its counts, by what it contains.
fn kinds(criterion: &mut Criterion) {
    let (api, config) = (Api::AnthropicMessages, Config::default());
    let mut bodies: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    for exchange in exchanges(&recorded()).into_iter().filter(|exchange| !exchange.text.is_empty()) {
        let body = body(api, &[exchange], 0, 1);
        let outcome = compress(&body, &request(api), &config, &mut Memo::new(1 << 20));
        let kind = outcome.blocks.first().map_or("none", |block| block.kind.name());
        bodies.entry(kind).or_default().push(body);
    }
    let mut group = criterion.benchmark_group("new content by kind");
    group.sample_size(10);
    for (kind, bodies) in bodies {
        group.throughput(Throughput::Bytes(bodies.iter().map(|body| body.len() as u64).sum()));
        group.bench_function(kind, |bencher| {
            bencher.iter_batched(
                || Memo::new(64 << 20),
                |mut memo| {
                    let outcomes =
                        bodies.iter().map(|body| compress(body, &request(api), &config, &mut memo));
                    outcomes.map(|outcome| outcome.tokens.after).sum::<u64>()
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(engine, seen_before, new_content, next_turn, kinds, tokens);
criterion_main!(engine);
