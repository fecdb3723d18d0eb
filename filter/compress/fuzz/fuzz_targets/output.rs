//! Any text as the one output of a tool.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| headroom_fuzz::any_output(text));
