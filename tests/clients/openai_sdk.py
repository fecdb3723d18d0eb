"""The OpenAI SDK: a tool loop over Chat Completions and over Responses, answered at once and as a stream."""
import json

import openai

from scripted import CALL, ENVOY, PETS, TEXT, assert_shorter, forwarded, headers

client = openai.OpenAI(base_url=f"{ENVOY}/v1", api_key="sk-test", max_retries=0)
PARAMETERS = {"type": "object", "properties": {"limit": {"type": "integer"}, "owner": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "list_pets", "description": "Lists pets.", "parameters": PARAMETERS}}]


def ask(messages, name, script, stream):
    arguments = dict(model="gpt-4.1", tools=TOOLS, messages=messages, extra_headers=headers(name, script))
    if not stream:
        completion = client.chat.completions.create(**arguments)
    else:
        with client.chat.completions.stream(stream_options={"include_usage": True}, **arguments) as events:
            seen = sum(1 for _ in events)
            completion = events.get_final_completion()
        assert seen > 2, "the answer came in pieces"
    assert completion.usage.prompt_tokens > 0 and completion.usage.completion_tokens > 0
    return completion.choices[0]


def tool_loop(stream):
    way = "stream" if stream else "whole"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many pets are there?"}]
    first = ask(messages, f"openai-{way}-1", CALL, stream)
    assert first.finish_reason == "tool_calls", first
    (call,) = first.message.tool_calls
    assert call.function.name == "list_pets"
    assert json.loads(call.function.arguments) == CALL["tool_call"]["arguments"]

    messages.append({"role": "assistant", "content": None, "tool_calls": [
        {"id": call.id, "type": "function",
         "function": {"name": call.function.name, "arguments": call.function.arguments}}]})
    messages.append({"role": "tool", "tool_call_id": call.id, "content": PETS})
    last = ask(messages, f"openai-{way}-2", TEXT, stream)
    assert last.message.content == TEXT["text"]

    got = forwarded(f"openai-{way}-2")
    assert got["messages"][:3] == messages[:3]
    assert got["messages"][3]["tool_call_id"] == call.id
    assert_shorter(got["messages"][3]["content"])
    assert got["tools"] == TOOLS


def responses(stream):
    name = f"openai-responses-{'stream' if stream else 'whole'}"
    items = [
        {"type": "message", "role": "user", "content": "How many pets are there?"},
        {"type": "function_call", "call_id": "call_1", "name": "list_pets", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": PETS},
    ]
    tools = [{"type": "function", "name": "list_pets", "parameters": PARAMETERS, "strict": False}]
    arguments = dict(model="gpt-5", input=items, tools=tools, extra_headers=headers(name, TEXT))
    if stream:
        with client.responses.stream(**arguments) as events:
            response = events.until_done().get_final_response()
    else:
        response = client.responses.create(**arguments)
    assert response.output_text == TEXT["text"]
    assert response.usage.input_tokens > 0
    got = forwarded(name)
    assert got["input"][:2] == items[:2]
    assert got["input"][2]["call_id"] == "call_1"
    assert_shorter(got["input"][2]["output"])


tool_loop(stream=False)
tool_loop(stream=True)
responses(stream=False)
responses(stream=True)

try:
    ask([{"role": "user", "content": "x"}], "openai-error", {"status": 500}, False)
    raise AssertionError("an error was expected")
except openai.InternalServerError as error:
    assert "scripted status 500" in str(error), error
