"""LangChain's chat models: a tool loop over Anthropic, Chat Completions and Responses, at once and as a stream."""
import functools
import operator

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from scripted import CALL, ENVOY, LOOP, PETS, TEXT, assert_shorter, forwarded_all, headers


@tool
def list_pets(limit: int, owner: str) -> str:
    """Lists pets."""
    assert (limit, owner) == (40, "Grüße")
    return PETS


def anthropic(name):
    return ChatAnthropic(
        model="claude-sonnet-4-5", base_url=ENVOY, api_key="sk-ant-test", max_retries=0,
        default_headers=headers(name, LOOP),
    )


def openai(name, responses):
    return ChatOpenAI(
        model="gpt-5", base_url=f"{ENVOY}/v1", api_key="sk-test", max_retries=0, stream_usage=True,
        use_responses_api=responses, default_headers=headers(name, LOOP),
    )


def ask(model, messages, stream):
    if not stream:
        return model.invoke(messages)
    chunks = list(model.stream(messages))
    assert len(chunks) > 2, "the answer came in pieces"
    return functools.reduce(operator.add, chunks)


def tool_loop(model, name, stream):
    """Runs the loop and gives the two requests as they were forwarded."""
    model = model.bind_tools([list_pets])
    messages = [SystemMessage("Be brief."), HumanMessage("How many pets are there?")]
    first = ask(model, messages, stream)
    (call,) = first.tool_calls
    assert (call["name"], call["args"]) == ("list_pets", CALL["tool_call"]["arguments"]), call
    last = ask(model, messages + [first, list_pets.invoke(call)], stream)
    assert last.text == TEXT["text"], last
    assert last.usage_metadata["input_tokens"] > 0 and last.usage_metadata["output_tokens"] > 0
    first, second = forwarded_all(name)
    assert second["tools"] == first["tools"]
    return first, second


for stream in [False, True]:
    way = "stream" if stream else "whole"

    name = f"langchain-anthropic-{way}"
    first, second = tool_loop(anthropic(name), name, stream)
    assert second["system"] == first["system"] and second["messages"][0] == first["messages"][0]
    result = second["messages"][2]["content"][0]
    assert result["type"] == "tool_result", result
    content = result["content"]
    assert_shorter(content if isinstance(content, str) else content[0]["text"])

    name = f"langchain-chat-{way}"
    first, second = tool_loop(openai(name, responses=False), name, stream)
    assert second["messages"][:2] == first["messages"]
    assert second["messages"][3]["role"] == "tool"
    assert_shorter(second["messages"][3]["content"])

    name = f"langchain-responses-{way}"
    first, second = tool_loop(openai(name, responses=True), name, stream)
    assert second["input"][:2] == first["input"]
    assert second["input"][-1]["type"] == "function_call_output", second["input"]
    assert_shorter(second["input"][-1]["output"])
