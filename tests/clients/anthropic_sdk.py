"""The Anthropic SDK: a tool loop, answered at once and as a stream."""
import anthropic

from scripted import CALL, ENVOY, PETS, TEXT, assert_shorter, forwarded, headers

client = anthropic.Anthropic(base_url=ENVOY, api_key="sk-ant-test", max_retries=0)
TOOLS = [{
    "name": "list_pets",
    "description": "Lists pets.",
    "input_schema": {"type": "object", "properties": {"limit": {"type": "integer"}, "owner": {"type": "string"}}},
}]


def ask(messages, name, script, stream):
    arguments = dict(
        model="claude-sonnet-4-5", max_tokens=1024, tools=TOOLS, messages=messages,
        extra_headers=headers(name, script),
    )
    if not stream:
        return client.messages.create(**arguments)
    with client.messages.stream(**arguments) as events:
        texts = list(events.text_stream)
        message = events.get_final_message()
    assert len(texts) > 1, "the answer came in pieces"
    assert "".join(texts) == message.content[0].text
    return message


def tool_loop(stream):
    way = "stream" if stream else "whole"
    messages = [{"role": "user", "content": "How many pets are there?"}]
    first = ask(messages, f"anthropic-{way}-1", CALL, stream)
    assert first.stop_reason == "tool_use", first
    call = next(block for block in first.content if block.type == "tool_use")
    assert (call.name, call.input) == ("list_pets", CALL["tool_call"]["arguments"])
    assert first.usage.input_tokens > 0 and first.usage.output_tokens > 0

    messages.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]})
    messages.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": PETS}]})
    last = ask(messages, f"anthropic-{way}-2", TEXT, stream)
    assert last.stop_reason == "end_turn"
    assert last.content[0].text == TEXT["text"]

    got = forwarded(f"anthropic-{way}-2")
    result = got["messages"][2]["content"][0]
    assert (result["type"], result["tool_use_id"]) == ("tool_result", call.id)
    assert_shorter(result["content"])
    assert got["messages"][0] == messages[0]
    assert got["messages"][1]["content"][-1]["input"] == CALL["tool_call"]["arguments"]
    assert got["tools"] == TOOLS
    assert got.get("stream", False) == stream


tool_loop(stream=False)
tool_loop(stream=True)

try:
    ask([{"role": "user", "content": "x"}], "anthropic-error", {"status": 429}, False)
    raise AssertionError("an error was expected")
except anthropic.RateLimitError as error:
    assert error.body["error"]["message"] == "scripted status 429", error.body
