//! A store that fails in the middle of a conversation: what stands before stays as it was.

use headroom_compress::{Api, Config, Memo, Request, RetrieveTool, compress};
use serde_json::json;

fn body() -> Vec<u8> {
    let outputs = (0..3).flat_map(|turn| {
        let rows: Vec<_> = (0..400 + turn)
            .map(|n| {
                json!({"id": 7919 * (n + 1), "status": if n == 40 { "failed" } else { "ok" },
                "name": format!("deployment-{turn}-{n}"), "region": "eu-central-1"})
            })
            .collect();
        [
            json!({"role": "assistant", "tool_calls": [{"id": format!("c{turn}"), "type": "function",
                "function": {"name": "list", "arguments": "{}"}}]}),
            json!({"role": "tool", "tool_call_id": format!("c{turn}"), "content": json!(rows).to_string()}),
        ]
    });
    let user = json!({"role": "user", "content": "Which deployments failed?"});
    let messages: Vec<_> = [user].into_iter().chain(outputs).collect();
    let tools = json!([{"type": "function", "function": {"name": "list"}}]);
    json!({"model": "gpt-4.1", "tools": tools, "messages": messages}).to_string().into_bytes()
}

fn forwarded(body: &[u8], lossy_blocks: usize, memo: &mut Memo) -> (Vec<u8>, Vec<usize>) {
    let request = Request {
        reversible: true,
        lossy_blocks,
        retrieve_tool: RetrieveTool::Add,
        ..Request::new(Api::OpenAiChat)
    };
    let outcome = compress(body, &request, &Config::default(), memo);
    let blocks = outcome.originals.iter().map(|original| original.block).collect();
    (outcome.body.into_owned(), blocks)
}

#[test]
fn only_the_first_blocks_are_lossy_and_they_are_the_same_as_ever() {
    let body = body();
    // One memo for all, as in a VM: what it remembers of one form must not answer for another.
    let mut memo = Memo::new(16 << 20);
    let (all, blocks) = forwarded(&body, usize::MAX, &mut memo);
    assert_eq!(blocks, [0, 1, 2]);
    for lossy in 0..=3 {
        let (some, blocks) = forwarded(&body, lossy, &mut memo);
        assert_eq!(blocks, (0..lossy).collect::<Vec<_>>());
        assert_eq!(some, forwarded(&body, lossy, &mut Memo::new(0)).0, "the memo decides nothing");
        let common = some.iter().zip(&all).take_while(|(a, b)| a == b).count();
        let next = String::from_utf8_lossy(&all[..common]).matches("headroom_retrieve hash=").count();
        assert_eq!(next, lossy, "the prefix holds up to the block that is not lossy");
    }
}
