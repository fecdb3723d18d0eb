//! Any text as the one output of a tool: detection and each compressor, in each profile.

#![no_main]

use headroom_compress::{Api, Config, Memo, Profile, Request, compress};
use headroom_fuzz::{body, check};
use libfuzzer_sys::fuzz_target;

const TOOLS: [&str; 6] = ["bash", "Read", "Grep", "WebFetch", "mcp__db__query", "list_directory"];

fuzz_target!(|text: &str| {
    // The text's length picks the tool, so that growing it tries them all.
    let tool = TOOLS[text.len() % TOOLS.len()];
    let body = body(Api::OpenAiChat, &[(tool, text)]);
    for profile in [Profile::Lossless, Profile::Conservative, Profile::Balanced, Profile::Aggressive] {
        let config = Config { profile, min_block_bytes: 0, ..Config::default() };
        let request = Request { reversible: true, ..Request::new(Api::OpenAiChat) };
        check(&body, &compress(&body, &request, &config, &mut Memo::new(0)));
    }
});
