//! A body that is worked on step by step has the same result as in one go, wherever it pauses and whatever
//! happens meanwhile.

use headroom_compress::{Config, Memo, Outcome, ParsedBody, Request, compress};

/// Another conversation, which uses the same memo.
const OTHER: &[u8] = br#"{"model":"gpt-4o","messages":[{"role":"user","content":"go"},
    {"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},
    {"role":"tool","tool_call_id":"c","content":"[\n  {\n    \"id\": 1,\n    \"name\": \"Rex\"\n  }\n]"}]}"#;

/// What happens to the memo in a pause.
#[derive(Clone, Copy, Debug)]
enum Pause {
    /// The same request comes again and is finished.
    Twin,
    /// Another request is finished.
    Other,
    /// The memo is cleared.
    Forgotten,
}

/// Pauses at every step and compares with `whole`. Long conversations pause only at some of the steps.
pub(crate) fn check(body: &[u8], request: &Request<'_>, config: &Config, whole: &Outcome<'_>) {
    let steps = sliced(body, request, config, usize::MAX, Pause::Other, whole);
    let every = steps.div_ceil(12).max(1);
    for cut in (0..steps).step_by(every) {
        for pause in [Pause::Twin, Pause::Other, Pause::Forgotten] {
            sliced(body, request, config, cut, pause, whole);
        }
    }
}

/// Pauses after `cut` steps. Returns the number of steps.
fn sliced(
    body: &[u8],
    request: &Request<'_>,
    config: &Config,
    cut: usize,
    pause: Pause,
    whole: &Outcome<'_>,
) -> usize {
    let mut memo = Memo::new(1 << 20).seeded(cut as u64);
    let mut compression = ParsedBody::new(body, request.api, config).begin(request);
    let mut steps = 0;
    while compression.step(config, &mut memo) {
        if steps == cut {
            match pause {
                Pause::Twin => drop(compress(body, request, config, &mut memo)),
                Pause::Other => drop(compress(OTHER, request, config, &mut memo)),
                Pause::Forgotten => memo = Memo::new(1 << 20),
            }
        }
        steps += 1;
    }
    let outcome = compression.finish(&mut memo);
    assert_eq!(outcome.body, whole.body, "{pause:?} after {cut} steps");
    assert_eq!(outcome.tokens, whole.tokens);
    let hashes =
        |outcome: &Outcome<'_>| outcome.originals.iter().map(|it| it.hash.clone()).collect::<Vec<_>>();
    assert_eq!(hashes(&outcome), hashes(whole));
    let blocks =
        |outcome: &Outcome<'_>| outcome.blocks.iter().map(|it| (it.outcome, it.new)).collect::<Vec<_>>();
    assert_eq!(blocks(&outcome), blocks(whole));
    assert_eq!(outcome.conversation_id, whole.conversation_id);
    steps
}
