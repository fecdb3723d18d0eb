"""The Google Gen AI SDK: it calls a Python function by itself, answered at once and as a stream."""
from google import genai
from google.genai import types

from scripted import CALL, ENVOY, LOOP, PETS, TEXT, assert_shorter, forwarded_all, headers

client = genai.Client(api_key="test", http_options=types.HttpOptions(base_url=ENVOY))
calls = []


def list_pets(limit: int, owner: str) -> str:
    """Lists pets."""
    calls.append({"limit": limit, "owner": owner})
    return PETS


def tool_loop(stream):
    name = f"genai-{'stream' if stream else 'whole'}"
    calls.clear()
    config = types.GenerateContentConfig(
        tools=[list_pets], system_instruction="Be brief.",
        http_options=types.HttpOptions(headers=headers(name, LOOP)),
    )
    arguments = dict(model="gemini-2.5-pro", contents="How many pets are there?", config=config)
    if stream:
        chunks = list(client.models.generate_content_stream(**arguments))
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
        text = "".join(part.text or "" for part in parts)
        assert len(chunks) > 2, "the answer came in pieces"
        usage = chunks[-1].usage_metadata
    else:
        answer = client.models.generate_content(**arguments)
        text, usage = answer.text, answer.usage_metadata
    assert TEXT["text"] in text, text
    assert usage.prompt_token_count > 0 and usage.candidates_token_count > 0
    assert calls == [CALL["tool_call"]["arguments"]], calls

    first, second = forwarded_all(name)
    assert second["contents"][0] == first["contents"][0]
    assert second["tools"] == first["tools"] and second["systemInstruction"] == first["systemInstruction"]
    parts = [part for content in second["contents"] for part in content["parts"]]
    (call,) = [part["functionCall"] for part in parts if "functionCall" in part]
    assert call["args"] == CALL["tool_call"]["arguments"], call
    (response,) = [part["functionResponse"] for part in parts if "functionResponse" in part]
    assert response["name"] == "list_pets"
    assert_shorter(response["response"]["result"])


tool_loop(stream=False)
tool_loop(stream=True)

try:
    client.models.generate_content(
        model="gemini-2.5-pro", contents="x",
        config=types.GenerateContentConfig(
            http_options=types.HttpOptions(headers=headers("genai-error", {"status": 400}))
        ),
    )
    raise AssertionError("an error was expected")
except genai.errors.ClientError as error:
    assert error.message == "scripted status 400", error
