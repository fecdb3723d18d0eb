//! Any bytes as a body of any format.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| headroom_fuzz::any_body(body));
