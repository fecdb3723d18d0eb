//! The demo, on the fixtures: the claims of its table are true.

use anyhow::Result;
use headroom_compress::Config;
use headroom_e2e::conversation::{fixtures, read_sets};
use headroom_e2e::envoy::Options;
use headroom_e2e::replay::replay;
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Stack, deadline};
use serde_json::json;

use crate::stacks::assert_no_trap;

#[tokio::test]
async fn recorded_conversations_get_shorter_and_keep_their_structure_and_their_prefix() -> Result<()> {
    let filter = json!({"control_plane": {"cluster": "headroom", "report_interval_ms": 50}});
    let stack =
        Stack::start(Options { filter: Some(filter), workers: 2, ..Options::default() }, Kind::Real).await?;
    let mut requests = 0;
    let (mut before, mut after) = (0, 0);
    for mut set in read_sets(&fixtures())? {
        // One conversation of each set is enough here; `make demo` sends them all.
        set.conversations.truncate(1);
        let row = replay(&stack, &set, &Config::default()).await?;
        assert_eq!(row.faults, Vec::<String>::new(), "{}", row.set);
        assert!(row.requests > 1, "{}", row.set);
        requests += row.requests as u64;
        before += row.tokens_before;
        after += row.tokens_after;
    }
    assert!(after < before, "{before} tokens became {after}");
    deadline::until("headroomd has counted every request", || async {
        (stack.sidecar.counted_requests().await.ok()? == 2 * requests).then_some(())
    })
    .await?;
    assert_no_trap(&stack).await
}
