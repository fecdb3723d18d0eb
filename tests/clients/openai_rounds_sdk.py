"""The OpenAI SDK in long conversations, over Chat Completions and over Responses: it sends back what it was given."""
import itertools
import json
import os

import openai

from scripted import ENVOY, follow, outputs

client = openai.OpenAI(base_url=f"{ENVOY}/v1", api_key="sk-test", max_retries=0)
PLAN = json.loads(os.environ["PLAN"])
PARAMETERS = {"type": "object", "properties": {"path": {"type": "string"}}}
FUNCTION = {"name": "list", "description": "Lists deployments.", "parameters": PARAMETERS}


def chat(stream):
    headers = follow(f"openai-chat-rounds-{'stream' if stream else 'whole'}", PLAN)
    given = itertools.cycle(outputs())
    messages = [{"role": "user", "content": "Which deployments failed?"}]
    for _ in range(4 * PLAN["rounds"]):
        arguments = dict(
            model="gpt-4.1", tools=[{"type": "function", "function": FUNCTION}], messages=messages,
            extra_headers=headers,
        )
        if stream:
            with client.chat.completions.stream(**arguments) as events:
                message = events.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.create(**arguments).choices[0].message
        said = message.model_dump(include={"role", "content"})
        calls = message.tool_calls or []
        if calls:
            said["tool_calls"] = [
                {"id": call.id, "type": "function",
                 "function": {"name": call.function.name, "arguments": call.function.arguments}} for call in calls]
        messages.append(said)
        assert all(call.function.name == "list" for call in calls), calls
        for call in calls:
            messages.append({"role": "tool", "tool_call_id": call.id, "content": next(given)})
        if not calls:
            if message.content == PLAN["last"]:
                return
            messages.append({"role": "user", "content": "Go on."})
    raise AssertionError("the model was expected to be done")


def responses(stream, stored):
    way = ("stored-" if stored else "") + ("stream" if stream else "whole")
    headers = follow(f"openai-responses-rounds-{way}", PLAN)
    given = itertools.cycle(outputs())
    items = [{"role": "user", "content": "Which deployments failed?"}]
    before = {} if stored else {"store": False, "include": ["reasoning.encrypted_content"]}
    for _ in range(4 * PLAN["rounds"]):
        arguments = dict(
            model="gpt-5", input=items, tools=[{"type": "function", "strict": False, **FUNCTION}],
            extra_headers=headers, **before,
        )
        if stream:
            with client.responses.stream(**arguments) as events:
                response = events.until_done().get_final_response()
        else:
            response = client.responses.create(**arguments)
        if stored:
            before, items = {"previous_response_id": response.id}, []
        else:
            items += [item.model_dump(exclude_none=True) for item in response.output]
        calls = [item for item in response.output if item.type == "function_call"]
        assert all(call.name == "list" for call in calls), calls
        for call in calls:
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": next(given)})
        if not calls:
            if response.output_text == PLAN["last"]:
                return
            items.append({"role": "user", "content": "Go on."})
    raise AssertionError("the model was expected to be done")


for way in [False, True]:
    chat(stream=way)
    responses(stream=way, stored=False)
    responses(stream=way, stored=True)
