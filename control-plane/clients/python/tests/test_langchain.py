"""An agent of LangChain with the middleware and the callback handler."""

import json
import os
import urllib.request

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from headroom_client import Service
from headroom_client.langchain import HeadroomMiddleware, HeadroomOptimizer

PROVIDER = os.environ["PROVIDER_URL"]
PETS = json.dumps([{"id": n, "name": f"Rex {n}", "kind": "dog", "vaccinated": n % 3 == 0} for n in range(60)], indent=2)
CALL = {"tool_call": {"name": "list_pets", "arguments": {}}}


@tool
def list_pets() -> str:
    """Lists pets."""
    return PETS


def run(name, middleware, script):
    optimizer = HeadroomOptimizer()
    model = ChatOpenAI(
        model="gpt-4.1", base_url=f"{PROVIDER}/v1", api_key="sk-test", max_retries=0,
        default_headers={"x-test-name": name, "x-script": json.dumps(script)},
    )
    agent = create_agent(model, tools=[list_pets], middleware=[middleware])
    state = agent.invoke({"messages": [{"role": "user", "content": "How many?"}]}, config={"callbacks": [optimizer]})
    with urllib.request.urlopen(f"{PROVIDER}/__requests/{name}") as answer:
        return state, optimizer.report(), [json.loads(request["body"]) for request in json.load(answer)]


def test_a_tools_message_is_shortened_once_and_stays_so():
    script = CALL | {"then": [CALL, {"text": "Sixty."}]}
    state, report, requests = run("lc-middleware", HeadroomMiddleware(), script)
    assert state["messages"][-1].text == "Sixty."
    first, second, third = (request["messages"] for request in requests)
    assert second[: len(first)] == first and third[: len(second)] == second, "append-only"
    short = second[2]["content"]
    assert len(short) < len(PETS) and "60 rows" in short
    assert [message.content for message in state["messages"] if message.type == "tool"] == [short, short]
    assert report["requests"] == 3 and report["input_tokens"] > 0
    saved = report["unique_tokens_saved"]
    assert saved > 200 and report["tokens_saved"] == saved + saved // 2, report


def test_a_tool_runs_as_before_where_headroomd_is_not_there():
    middleware = HeadroomMiddleware(Service("http://127.0.0.1:9"))
    state, report, requests = run("lc-nobody", middleware, CALL | {"then": [{"text": "Sixty."}]})
    assert requests[1]["messages"][2]["content"] == PETS
    assert state["messages"][-1].text == "Sixty." and report["tokens_saved"] == 0


def test_with_markers_the_agent_has_a_tool_to_ask_with():
    _, _, requests = run("lc-retrieve", HeadroomMiddleware(retrieve=True), {"text": "Sixty."})
    assert {tool["function"]["name"] for tool in requests[0]["tools"]} == {"list_pets", "headroom_retrieve"}
