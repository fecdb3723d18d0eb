//! Values that only a report needs: they are worked out after the request has left, so they delay no request.

use headroom_providers::string;
use headroom_providers::tape::Tape;

use crate::engine::Request;
use crate::kinds::json;
use crate::memo::Memo;
use crate::outcome::{Block, Kind};
use crate::tokens::Counting;
use crate::turn;

/// The result of [`appendix`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Appendix {
    /// The same for all requests of one user turn; `None` before the user has written anything.
    pub turn_id: Option<String>,
    /// Tokens of the tool outputs after JSON minification alone: an output that is JSON loses its layout if
    /// that saves tokens, and anything else stays as it is.
    pub tool_outputs_minified: u64,
    /// The same for the [new](Block::new) outputs.
    pub tool_outputs_new_minified: u64,
}

/// Takes a body that [`compress`](crate::compress) has understood, with the blocks that it has found.
pub fn appendix(body: &[u8], request: &Request<'_>, blocks: &[Block], memo: &mut Memo) -> Appendix {
    let Ok(tape) = Tape::of(body) else { return Appendix::default() };
    let model = turn::model(&tape).or_else(|| request.model.map(str::to_owned)).unwrap_or_default();
    let counting = Counting::of(&model);
    let mut of = Appendix { turn_id: turn::id(&tape, &model, request.api, memo), ..Appendix::default() };
    for block in blocks {
        let minified = u64::from(minified(tape.body(), block, counting, memo));
        of.tool_outputs_minified += minified;
        if block.new {
            of.tool_outputs_new_minified += minified;
        }
    }
    for count in [&mut of.tool_outputs_minified, &mut of.tool_outputs_new_minified] {
        *count = counting.scaled(*count);
    }
    of
}

/// Keeps these counts apart from other counts of the same text.
const MINIFIED: u128 = 0x6d69_6e69_6669_6564;

fn minified(body: &str, block: &Block, counting: Counting, memo: &mut Memo) -> u32 {
    let quoted = body.get(block.span.clone()).filter(|quoted| quoted.starts_with('"'));
    // Other kinds may contain JSON, but a JSON minifier would not look for it there.
    let Some(quoted) = quoted.filter(|_| matches!(block.kind, Kind::Json | Kind::JsonLines)) else {
        return block.tokens_before;
    };
    let key = memo.fingerprint(quoted).wrapping_add(MINIFIED).wrapping_add(counting.encoding as u128);
    let tokens = memo.count(key, || {
        let minified = string::text(quoted).and_then(|text| json::without_layout(&text));
        let tokens = minified.map(|text| counting.encoding.count(&text));
        tokens.and_then(|tokens| u32::try_from(tokens).ok()).unwrap_or(u32::MAX)
    });
    tokens.min(block.tokens_before)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Api, Config, compress};

    #[test]
    fn minification_counts_for_json_only_and_new_outputs_count_apart() {
        let rows: Vec<_> =
            (0..40).map(|n| json!({"id": n, "name": format!("row {n}"), "ok": true})).collect();
        let pretty = serde_json::to_string_pretty(&rows).unwrap();
        let log = "2026-01-02T03:04:05Z INFO started\n".repeat(40);
        let call = |id: &str| json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}}]});
        let result = |id: &str, text: &str| json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": text}]});
        let body = json!({"model": "gpt-4o", "messages": [
            {"role": "user", "content": "go"}, call("a"), result("a", &pretty), call("b"), result("b", &log)]});
        let body = body.to_string().into_bytes();
        let (request, mut memo) = (Request::new(Api::AnthropicMessages), Memo::new(1 << 20));
        let outcome = compress(&body, &request, &Config::default(), &mut memo);
        assert_eq!(outcome.blocks.iter().map(|block| block.new).collect::<Vec<_>>(), [false, true]);
        let appendix = appendix(&body, &request, &outcome.blocks, &mut memo);
        let count = |text: &str| outcome.tokens.encoding.count(text) as u64;
        let minified = serde_json::to_string(&rows).unwrap();
        assert_eq!(appendix.tool_outputs_minified, count(&minified) + count(&log));
        assert!(count(&minified) < count(&pretty));
        assert_eq!(appendix.tool_outputs_new_minified, count(&log));
        assert_eq!(outcome.tokens.tool_outputs_new_before, count(&log));
        assert_eq!(outcome.tokens.tool_outputs_new_after, u64::from(outcome.blocks[1].tokens_after));
        assert!(outcome.blocks[1].tokens_after < outcome.blocks[1].tokens_before);
    }
}
