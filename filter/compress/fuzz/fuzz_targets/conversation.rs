//! Outputs that build on one another: references to what was shown before, the chain of keys, and that
//! what was shown stays as it was (I3).

#![no_main]

use arbitrary::Arbitrary;
use headroom_compress::{Config, Memo, Request, compress};
use headroom_fuzz::{APIS, body, check};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    api: u8,
    /// Pieces of text; outputs are put together from them, so that they share some.
    pieces: Vec<&'a str>,
    outputs: Vec<Vec<u8>>,
}

fuzz_target!(|input: Input<'_>| {
    if input.pieces.is_empty() || input.outputs.len() > 8 {
        return;
    }
    let api = APIS[usize::from(input.api) % APIS.len()];
    let texts: Vec<String> = input
        .outputs
        .iter()
        .map(|picks| {
            let pick = |&pick: &u8| input.pieces[usize::from(pick) % input.pieces.len()];
            picks.iter().take(64).map(pick).collect::<Vec<_>>().join("\n")
        })
        .collect();
    let outputs: Vec<(&str, &str)> = texts.iter().map(|text| ("bash", text.as_str())).collect();
    let config = Config { min_block_bytes: 0, ..Config::default() };
    let request = Request { reversible: true, ..Request::new(api) };
    let (mut warm, mut before) = (Memo::new(1 << 20), Vec::new());
    for end in 1..=outputs.len() {
        let body = body(api, &outputs[..end]);
        let outcome = compress(&body, &request, &config, &mut warm);
        check(&body, &outcome);
        assert_eq!(compress(&body, &request, &config, &mut Memo::new(0)).body, outcome.body);
        let after: Vec<_> = outcome.blocks.iter().map(|block| (block.outcome, block.tokens_after)).collect();
        assert_eq!(after[..before.len()], before[..]);
        before = after;
    }
});
