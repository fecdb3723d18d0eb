//! Any bytes as a body of any format: the walk, the splice, and that nothing is edited that is not JSON.

#![no_main]

use headroom_compress::{Config, Memo, Request, RetrieveTool, compress};
use headroom_fuzz::{APIS, check};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let config = Config { min_block_bytes: 0, ..Config::default() };
    for api in APIS {
        let request = Request { reversible: true, ..Request::new(api) };
        let mut memo = Memo::new(1 << 20);
        let outcome = compress(body, &request, &config, &mut memo);
        check(body, &outcome);
        let again = compress(body, &request, &config, &mut memo);
        assert_eq!(again.body, outcome.body);
        // With a definition added the body stays JSON.
        let request = Request { retrieve_tool: RetrieveTool::Add, ..request };
        let added = compress(body, &request, &config, &mut memo);
        if added.unread.is_none() {
            serde_json::from_slice::<&serde_json::value::RawValue>(&added.body).unwrap();
        }
    }
});
