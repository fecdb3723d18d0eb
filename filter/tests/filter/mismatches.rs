//! Reasoning that a provider did not use because the text before it had changed: read in answers and
//! refusals.

use headroom_api::v1::PrefixMismatchSource::{self, InputTransformations, Refusal, Unspecified};
use serde_json::{Value, json};

use crate::answers::{chunk, records, records_with_status};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Checks the counts for every place where the network may cut the answer.
#[track_caller]
fn counts(status: &str, content_type: &str, answer: &[u8], blocks: u32, source: PrefixMismatchSource) {
    for (cut, record) in records_with_status(status, content_type, answer).iter().enumerate() {
        let found = (record.prefix_mismatches, record.prefix_mismatch_source());
        assert_eq!(found, (blocks, source), "cut {cut} of {}", String::from_utf8_lossy(answer));
    }
}

fn events(events: &[Value]) -> Vec<u8> {
    events.iter().flat_map(|event| format!("data: {event}\n\n").into_bytes()).collect()
}

/// Two that count, in the spellings of both providers, and some that do not count.
fn transformations() -> Value {
    json!([
        {"type": "thinking_dropped", "reason": "prefix_binding_mismatch", "path": "messages.1.content.0"},
        {"path": "input.3", "reason": "prefix_mismatch", "type": "reasoning_dropped", "detail": {"type": "thinking"}},
        {"type": "thinking_dropped", "reason": "model_binding_mismatch", "path": "messages.3.content.0"},
        {"type": "thinking_mismatch_allowed", "reason": "prefix_binding_mismatch", "path": "messages.5.content.0"},
        {"type": "image_resized", "reason": "prefix"},
        {"reason": "prefix_binding_mismatch"},
        {}, null, "thinking_dropped", ["prefix"],
    ])
}

#[test]
fn what_was_dropped_for_a_changed_prefix_counts_and_nothing_else() {
    let anthropic =
        json!({"type": "message", "model": "m", "content": [], "input_transformations": transformations()});
    counts("200", JSON, anthropic.to_string().as_bytes(), 2, InputTransformations);
    let none = json!({"type": "message", "input_transformations": []});
    counts("200", JSON, none.to_string().as_bytes(), 0, Unspecified);
    // The same words in text of the model.
    let quoted = json!({"content": [{"type": "tool_use", "input": {"input_transformations": transformations()}}],
        "output": [{"input_transformations": transformations()}]});
    counts("200", JSON, quoted.to_string().as_bytes(), 0, Unspecified);
}

#[test]
fn a_stream_that_lists_the_same_more_than_once_is_counted_once() {
    let anthropic = events(&[
        json!({"type": "message_start", "message": {"model": "m", "input_transformations": transformations()}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "input_transformations": transformations()}),
        json!({"type": "message_stop"}),
    ]);
    counts("200", EVENTS, &anthropic, 2, InputTransformations);
    let responses = events(&[
        json!({"type": "response.created", "response": {"status": "in_progress", "input_transformations": []}}),
        json!({"type": "response.in_progress", "response": {"input_transformations": transformations()}}),
        json!({"type": "response.completed", "response": {"status": "completed", "input_transformations": transformations()}}),
    ]);
    counts("200", EVENTS, &responses, 2, InputTransformations);
    let start = json!({"type": "message_start", "message": {"input_transformations": transformations()}});
    counts("200", "application/vnd.amazon.eventstream", &chunk(&start.to_string()), 2, InputTransformations);
}

#[test]
fn a_refusal_for_a_changed_prefix_counts_as_one() {
    let message = "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different \
        conversation. Remove the block, or set `thinking.block_binding.prefix_mismatch_behavior` to \"drop_block\".";
    let anthropic = json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}});
    counts("400", JSON, anthropic.to_string().as_bytes(), 1, Refusal);
    counts("400", JSON, json!({"message": message}).to_string().as_bytes(), 1, Refusal);
    counts("200", EVENTS, &events(&[anthropic]), 1, Refusal);

    let other = json!({"type": "error", "error": {"type": "invalid_request_error",
        "message": "messages.1.content.0: Invalid `signature` in `thinking` block"}});
    counts("400", JSON, other.to_string().as_bytes(), 0, Unspecified);
    // The model may write this as well.
    for said in [
        json!({"type": "response.output_text.delta", "delta": message}),
        json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": message, "message": message}}),
        json!({"message": message}),
    ] {
        for record in records(EVENTS, &events(&[said])) {
            assert_eq!(record.prefix_mismatches, 0);
        }
    }
}
