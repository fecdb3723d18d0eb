"""Against a running headroomd (through Envoy) and a scripted provider."""

import asyncio
import json
import os
import urllib.request

import anthropic
import httpx
import openai
import pytest

from headroom_client import AsyncService, HeadroomClient, Plan, Service, ServiceError

PROVIDER = os.environ["PROVIDER_URL"]
PETS = json.dumps([{"id": n, "name": f"Rex {n}", "kind": "dog", "vaccinated": n % 3 == 0} for n in range(60)], indent=2)
LOG = "".join(f"2026-01-01T00:{n // 60 % 60:02}:{n % 60:02}Z INFO worker {n % 7} finished job {n * 31}\n" for n in range(2000))
SCRIPT = json.dumps({"text": "There are sixty."})


def headers(name):
    return {"x-test-name": name, "x-script": SCRIPT}


def forwarded(name):
    with urllib.request.urlopen(f"{PROVIDER}/__requests/{name}") as answer:
        return [json.loads(request["body"]) for request in json.load(answer)]


def chat(text=PETS):
    call = {"id": "c1", "type": "function", "function": {"name": "list_pets", "arguments": "{}"}}
    return [
        {"role": "user", "content": "How many pets are there?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": text},
    ]


def claude(text=PETS):
    return [
        {"role": "user", "content": "How many pets are there?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "list_pets", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": text}]},
    ]


def openai_client(**more):
    return openai.OpenAI(base_url=f"{PROVIDER}/v1", api_key="sk-test", max_retries=0, **more)


def test_an_openai_client_sends_shorter_outputs_and_counts_what_was_saved():
    client = HeadroomClient(openai_client())
    given = chat()
    answer = client.chat.completions.create(model="gpt-5", messages=given, extra_headers=headers("py-openai"))
    assert answer.choices[0].message.content == "There are sixty."
    assert given == chat(), "the caller's own messages stay"
    (got,) = forwarded("py-openai")
    assert got["messages"][:2] == given[:2]
    assert len(got["messages"][2]["content"]) < len(PETS) and "60 rows" in got["messages"][2]["content"]
    assert client.savings.calls == 1 and client.savings.tokens_saved > 100
    assert [model.id for model in client.models.list()] is not None, "the rest is the SDK's own"


def test_an_openai_client_streams_and_speaks_responses():
    client = HeadroomClient(openai_client())
    stream = client.chat.completions.create(model="gpt-5", messages=chat(), stream=True, extra_headers=headers("py-stream"))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "There are sixty."
    assert len(forwarded("py-stream")[0]["messages"][2]["content"]) < len(PETS)
    items = [
        {"type": "message", "role": "user", "content": "How many?"},
        {"type": "function_call", "call_id": "c1", "name": "list_pets", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": PETS},
    ]
    client.responses.create(model="gpt-5", input=items, extra_headers=headers("py-responses"))
    got = forwarded("py-responses")[0]["input"]
    assert got[:2] == items[:2] and len(got[2]["output"]) < len(PETS)


def test_an_anthropic_client_sends_shorter_outputs():
    client = HeadroomClient(anthropic.Anthropic(base_url=PROVIDER, api_key="sk-ant-test", max_retries=0))
    answer = client.messages.create(
        model="claude-opus-5-5", max_tokens=100, messages=claude(), extra_headers=headers("py-anthropic")
    )
    assert answer.content[0].text == "There are sixty."
    with client.messages.stream(
        model="claude-opus-5-5", max_tokens=100, messages=claude(), extra_headers=headers("py-anthropic")
    ) as events:
        assert events.get_final_text() == "There are sixty."
    first, second = forwarded("py-anthropic")
    assert first["messages"] == second["messages"] and first["messages"][:2] == claude()[:2]
    assert len(first["messages"][2]["content"][0]["content"]) < len(PETS)


def test_asynchronous_clients_do_the_same():
    async def run():
        client = HeadroomClient(openai.AsyncOpenAI(base_url=f"{PROVIDER}/v1", api_key="sk-test", max_retries=0))
        await client.chat.completions.create(model="gpt-5", messages=chat(), extra_headers=headers("py-async"))
        async with client.chat.completions.stream(
            model="gpt-5", messages=chat(), extra_headers=headers("py-async")
        ) as events:
            assert (await events.get_final_completion()).choices[0].message.content == "There are sixty."
        plan = await client.chat.completions.create(model="gpt-5", messages=chat(), headroom_mode="simulate")
        return client, plan

    client, plan = asyncio.run(run())
    first, second = forwarded("py-async")
    assert first["messages"] == second["messages"] and len(first["messages"][2]["content"]) < len(PETS)
    assert client.savings.tokens_saved > 100 and plan.tokens_saved > 100


def test_audit_sends_what_the_caller_sends_and_says_what_would_have_been_saved():
    client = HeadroomClient(openai_client(), mode="audit")
    client.chat.completions.create(model="gpt-5", messages=chat(), extra_headers=headers("py-audit"))
    assert forwarded("py-audit")[0]["messages"] == chat()
    assert client.savings.tokens_saved > 100


def test_simulate_asks_no_model_and_gives_a_plan_with_a_diff():
    client = HeadroomClient(openai_client(default_headers=headers("py-simulate")))
    plan = client.chat.completions.create(model="gpt-5", messages=chat(LOG), headroom_mode="simulate")
    assert isinstance(plan, Plan) and forwarded("py-simulate") == []
    assert plan.before == chat(LOG) and plan.tokens_after < plan.tokens_before
    (block,) = plan.blocks
    assert (block.message, block.tool, block.lossy) == (2, "list_pets", True)
    assert plan.diff().startswith("--- message 2 before\n+++ message 2 after\n@@")


def test_what_is_left_out_can_be_had_back():
    service = Service(tenant="py")
    compressed = service.compress(chat(LOG), model="gpt-5", mode="ccr")
    (hash,) = compressed.hashes
    assert service.retrieve(hash) == LOG
    assert "finished job 57567" in service.retrieve(hash, "57567")
    with pytest.raises(ServiceError, match="404"):
        Service(tenant="other").retrieve(hash)
    with pytest.raises(ServiceError, match="404"):
        service.retrieve("../stats")


@pytest.mark.parametrize(
    "transport",
    [
        httpx.MockTransport(lambda request: httpx.Response(500, text="no")),
        httpx.MockTransport(lambda request: httpx.Response(200, text="no")),
        httpx.MockTransport(lambda request: httpx.Response(200, json={"messages": []})),
        httpx.MockTransport(lambda request: httpx.Response(200, json=[])),
    ],
)
def test_messages_go_out_as_they_are_where_headroomd_gives_no_answer(transport):
    client = HeadroomClient(openai_client(), service=Service("http://127.0.0.1:9", transport=transport))
    client.chat.completions.create(model="gpt-5", messages=chat(), extra_headers=headers("py-fails"))
    assert forwarded("py-fails")[-1]["messages"] == chat()
    assert (client.savings.calls, client.savings.failures) == (0, 1)


def test_nobody_there_is_no_reason_to_fail_and_a_wrong_mode_is():
    client = HeadroomClient(openai_client(), service=Service("http://127.0.0.1:9"))
    client.chat.completions.create(model="gpt-5", messages=chat(), extra_headers=headers("py-nobody"))
    assert forwarded("py-nobody")[0]["messages"] == chat()
    with pytest.raises(ValueError, match="expected one of"):
        HeadroomClient(openai_client(), mode="best")
    with pytest.raises(ValueError, match="expected one of"):
        client.chat.completions.create(model="gpt-5", messages=chat(), headroom_mode="best")


def test_asynchronous_services_are_for_asynchronous_clients():
    with pytest.raises(TypeError):
        HeadroomClient(openai_client(), service=AsyncService()).chat.completions.create(model="m", messages=chat())
