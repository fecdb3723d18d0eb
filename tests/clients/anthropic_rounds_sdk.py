"""The Anthropic SDK in long conversations with a model that thinks: it sends back what it was given."""
import itertools
import json
import os

import anthropic

from scripted import ENVOY, follow, outputs

client = anthropic.Anthropic(base_url=ENVOY, api_key="sk-ant-test", max_retries=0)
PLAN = json.loads(os.environ["PLAN"])
TOOLS = [{
    "name": "list",
    "description": "Lists deployments.",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}},
}]


def ask(messages, headers, stream):
    arguments = dict(
        model="claude-opus-5-5", max_tokens=4096, tools=TOOLS, messages=messages, extra_headers=headers,
        thinking={"type": "enabled", "budget_tokens": 2048},
    )
    if not stream:
        return client.messages.create(**arguments)
    with client.messages.stream(**arguments) as events:
        return events.get_final_message()


def converse(stream):
    headers = follow(f"anthropic-rounds-{'stream' if stream else 'whole'}", PLAN)
    given = itertools.cycle(outputs())
    messages = [{"role": "user", "content": "Which deployments failed?"}]
    for _ in range(4 * PLAN["rounds"]):
        message = ask(messages, headers, stream)
        messages.append({"role": "assistant", "content": message.content})
        calls = [block for block in message.content if block.type == "tool_use"]
        assert all(call.name == "list" for call in calls), calls
        if calls:
            results = [{"type": "tool_result", "tool_use_id": call.id, "content": next(given)} for call in calls]
            messages.append({"role": "user", "content": results})
        elif message.content[-1].text == PLAN["last"]:
            return
        else:
            messages.append({"role": "user", "content": "Go on."})
    raise AssertionError("the model was expected to be done")


converse(stream=False)
converse(stream=True)
