//! Outputs that depend on each other.

#![no_main]

use arbitrary::Arbitrary;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    api: u8,
    pieces: Vec<&'a str>,
    outputs: Vec<Vec<u8>>,
}

libfuzzer_sys::fuzz_target!(|input: Input<'_>| {
    headroom_fuzz::any_conversation(input.api, &input.pieces, &input.outputs);
});
