"""LiteLLM: a tool loop over Anthropic, Chat Completions, Responses and Gemini, at once and as a stream."""
import json

import litellm

from scripted import CALL, ENVOY, LOOP, PETS, TEXT, assert_shorter, forwarded_all, headers

PARAMETERS = {"type": "object", "properties": {"limit": {"type": "integer"}, "owner": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "list_pets", "description": "Lists pets.", "parameters": PARAMETERS}}]
PROVIDERS = [
    ("anthropic/claude-sonnet-4-5", ENVOY),
    ("openai/gpt-4.1", f"{ENVOY}/v1"),
    ("gemini/gemini-2.5-pro", f"{ENVOY}/v1beta"),
]


def ask(model, base, name, messages, stream):
    answer = litellm.completion(
        model=model, api_base=base, api_key="sk-test", messages=messages, tools=TOOLS, stream=stream, num_retries=0,
        extra_headers=headers(name, LOOP), stream_options={"include_usage": True} if stream else None,
    )
    if stream:
        chunks = list(answer)
        assert len(chunks) > 1, "the answer came in pieces"
        answer = litellm.stream_chunk_builder(chunks, messages=messages)
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0
    return answer.choices[0].message


def tool_loop(model, base, stream):
    name = f"litellm-{model.split('/')[0]}-{'stream' if stream else 'whole'}"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many pets are there?"}]
    first = ask(model, base, name, messages, stream)
    (call,) = first.tool_calls
    assert call.function.name == "list_pets"
    assert json.loads(call.function.arguments) == CALL["tool_call"]["arguments"]
    messages += [first.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": PETS}]
    last = ask(model, base, name, messages, stream)
    assert TEXT["text"] in last.content, last

    first, second = forwarded_all(name)
    key = "contents" if model.startswith("gemini") else "messages"
    assert second[key][: len(first[key])] == first[key]
    assert_shorter(output(second[key][-1]))


def output(message):
    """The text of the tool output in the last message of a request."""
    if message.get("role") == "tool":
        return message["content"]
    if "parts" in message:
        (content,) = message["parts"][0]["function_response"]["response"].values()
        return content
    content = message["content"][0]["content"]
    return content if isinstance(content, str) else content[0]["text"]


for model, base in PROVIDERS:
    tool_loop(model, base, stream=False)
    tool_loop(model, base, stream=True)

name = "litellm-responses"
items = [
    {"type": "message", "role": "user", "content": "How many pets are there?"},
    {"type": "function_call", "call_id": "call_1", "name": "list_pets", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": PETS},
]
response = litellm.responses(
    model="openai/gpt-5", api_base=f"{ENVOY}/v1", api_key="sk-test", input=items, extra_headers=headers(name, TEXT),
    tools=[{"type": "function", "name": "list_pets", "parameters": PARAMETERS, "strict": False}],
)
assert response.output[0].content[0].text == TEXT["text"], response
(got,) = forwarded_all(name)
assert got["input"][:2] == items[:2]
assert_shorter(got["input"][2]["output"])
