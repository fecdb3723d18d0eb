//! The engine as a filter of lines, so that it can be compared natively and as WASM (`filter/compress/tests/engine/wasm.rs`).
//!
//! A line of standard input is `["API", "BODY"]`. It gives two lines of JSON on standard output, one without
//! a store and one with a store: the body to forward, and the outcome of each block.

use std::io::{self, BufRead as _, Write as _};

use headroom_compress::{Api, Config, Memo, Profile, Request, compress};
use serde_json::json;

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut memo = Memo::new(32 << 20);
    for line in io::stdin().lock().lines() {
        for answer in answers(&line?, &mut memo)? {
            writeln!(out, "{answer}")?;
        }
    }
    out.flush()
}

/// The engine's output for one line.
pub fn answers(line: &str, memo: &mut Memo) -> io::Result<[String; 2]> {
    let (api, body): (String, String) = serde_json::from_str(line)?;
    let Some(api) = Api::ALL.into_iter().find(|known| known.name() == api) else {
        return Err(io::Error::other(format!("expected the name of an API, found {api:?}")));
    };
    Ok([Profile::Lossless, Profile::Aggressive].map(|profile| {
        let config = Config { profile, ..Config::default() };
        let request = Request { reversible: profile != Profile::Lossless, ..Request::new(api) };
        let outcome = compress(body.as_bytes(), &request, &config, memo);
        let blocks: Vec<_> = outcome
            .blocks
            .iter()
            .map(|block| json!([block.outcome.name(), block.kind.name(), block.tokens_after]))
            .collect();
        let body = String::from_utf8_lossy(&outcome.body);
        json!([body, blocks, outcome.tokens.after, outcome.conversation_id]).to_string()
    }))
}
