"""LiteLLM's proxy with its guardrail `headroom`: tool loops of twelve rounds, and what becomes of them where headroomd
is down or slow. Prints one JSON object: what happened in each conversation."""
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import openai

PROVIDER = os.environ["PROVIDER_URL"]
SIDECAR = os.environ["SIDECAR_URL"]
OUTPUTS = json.loads(Path(os.environ["OUTPUTS"]).read_text(encoding="utf-8"))
PLAN = json.loads(os.environ["PLAN"])
KEY = "sk-master-1234"
PARAMETERS = {"type": "object", "properties": {"path": {"type": "string"}}}
ASK = "Which deployments failed?"
DROP_BLOCK = {"anthropic-beta": "thinking-binding-controls-2026-08-01"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def silent_server():
    """Takes connections and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    taken = []

    def accept():
        while True:
            taken.append(listener.accept())

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def config(names):
    models = []
    for name in names:
        if name.startswith("messages"):
            model, base = "anthropic/claude-opus-5-5", PROVIDER
        else:
            model, base = "openai/gpt-5", f"{PROVIDER}/v1"
        params = {"model": model, "api_base": base, "api_key": "sk-test", "extra_headers": {"x-test-name": name}}
        models.append({"model_name": name, "litellm_params": params})
    bases = {"up": SIDECAR, "down": f"http://127.0.0.1:{free_port()}", "slow": silent_server()}
    guardrails = [
        {"guardrail_name": name, "litellm_params": {
            "guardrail": "headroom", "mode": "pre_call", "api_base": base, "default_on": False,
            "unreachable_fallback": "fail_closed" if name == "up" else "fail_open", "timeout": 60 if name == "up" else 1}}
        for name, base in bases.items()
    ]
    # JSON is YAML.
    return json.dumps({"model_list": models, "guardrails": guardrails, "general_settings": {"master_key": KEY},
                       "litellm_settings": {"num_retries": 0, "drop_params": True}})


def follow(name):
    request = urllib.request.Request(f"{PROVIDER}/__plans/{name}", data=json.dumps(PLAN).encode(), method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def report(name):
    with urllib.request.urlopen(f"{PROVIDER}/__reports/{name}") as answer:
        return json.load(answer)


def client(base):
    return openai.OpenAI(base_url=f"{base}/v1", api_key=KEY, max_retries=0, timeout=120)


def chat(base, name, guardrail, stream):
    """Runs the loop over Chat Completions."""
    tools = [{"type": "function", "function": {"name": "list", "description": "Lists deployments.", "parameters": PARAMETERS}}]
    messages = [{"role": "user", "content": ASK}]
    given = itertools.cycle(OUTPUTS)
    for _ in range(4 * PLAN["rounds"]):
        arguments = dict(model=name, messages=messages, tools=tools, extra_body={"guardrails": [guardrail]})
        if stream:
            with client(base).chat.completions.stream(**arguments) as events:
                answer = events.get_final_completion()
        else:
            answer = client(base).chat.completions.create(**arguments)
        message = answer.choices[0].message
        if not message.tool_calls:
            return message.content
        calls = [{"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}
                 for call in message.tool_calls]
        messages.append({"role": "assistant", "content": message.content, "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": next(given)} for call in calls]
    return None


def responses(base, name, guardrail, stream):
    """Runs the loop over Responses."""
    tools = [{"type": "function", "name": "list", "description": "Lists deployments.", "parameters": PARAMETERS, "strict": False}]
    items = [{"type": "message", "role": "user", "content": ASK}]
    given = itertools.cycle(OUTPUTS)
    for _ in range(4 * PLAN["rounds"]):
        arguments = dict(model=name, input=items, tools=tools, store=False, extra_body={"guardrails": [guardrail]})
        if stream:
            events = client(base).responses.create(stream=True, **arguments)
            output = next(event.response.output for event in events if event.type == "response.completed")
        else:
            output = client(base).responses.create(**arguments).output
        items += [item.model_dump(exclude_none=True) if hasattr(item, "model_dump") else item for item in output]
        calls = [item for item in output if item.type == "function_call"]
        if not calls:
            return "".join(part.text for item in output if item.type == "message" for part in item.content)
        items += [{"type": "function_call_output", "call_id": call.call_id, "output": next(given)} for call in calls]
    return None


def messages(base, name, guardrail, stream, thinking=None, drop_block=False):
    """Runs the loop over Anthropic's Messages."""
    body = {"model": name, "max_tokens": 4096, "stream": stream, "guardrails": [guardrail],
            "tools": [{"name": "list", "description": "Lists deployments.", "input_schema": PARAMETERS}],
            "messages": [{"role": "user", "content": ASK}]}
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}", "anthropic-version": "2023-06-01"}
    if thinking:
        body["thinking"] = dict(thinking)
    if drop_block:
        headers |= DROP_BLOCK
        body["thinking"]["block_binding"] = {"prefix_mismatch_behavior": "drop_block"}
    given = itertools.cycle(OUTPUTS)
    for _ in range(4 * PLAN["rounds"]):
        request = urllib.request.Request(f"{base}/v1/messages", data=json.dumps(body).encode(), headers=headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            content = streamed(answer) if stream else json.load(answer)["content"]
        body["messages"].append({"role": "assistant", "content": content})
        calls = [block for block in content if block["type"] == "tool_use"]
        if not calls:
            return content[-1]["text"]
        results = [{"type": "tool_result", "tool_use_id": call["id"], "content": next(given)} for call in calls]
        body["messages"].append({"role": "user", "content": results})
    return None


def streamed(answer):
    """The content blocks of a stream."""
    blocks = {}
    for line in answer:
        if not line.startswith(b"data:"):
            continue
        event = json.loads(line[5:])
        if event["type"] == "content_block_start":
            blocks[event["index"]] = dict(event["content_block"]) | {"_json": ""}
        elif event["type"] == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            if delta["type"] == "input_json_delta":
                block["_json"] += delta["partial_json"]
            for key in ["text", "thinking", "signature"]:
                if key in delta:
                    block[key] = block.get(key, "") + delta[key]
    for block in blocks.values():
        spelled = block.pop("_json")
        if block["type"] == "tool_use":
            block["input"] = json.loads(spelled or "{}")
    return [block for _, block in sorted(blocks.items())]


def start(names):
    folder = tempfile.mkdtemp()
    path = Path(folder, "config.yaml")
    path.write_text(config(names), encoding="utf-8")
    port = free_port()
    log = open(Path(folder, "log"), "w", encoding="utf-8")
    program = Path(sys.executable).with_name("litellm")
    environment = os.environ | {"NO_PROXY": "*", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    arguments = [sys.executable, str(program), "--config", str(path), "--host", "127.0.0.1", "--port", str(port)]
    proxy = subprocess.Popen(arguments, stdout=log, stderr=log, env=environment)
    base = f"http://127.0.0.1:{port}"
    for _ in range(240):
        if proxy.poll() is not None:
            raise SystemExit(Path(folder, "log").read_text(encoding="utf-8")[-4000:])
        try:
            with urllib.request.urlopen(f"{base}/health/liveliness", timeout=5):
                return proxy, base, Path(folder, "log")
        except OSError:
            time.sleep(0.5)
    raise SystemExit("LiteLLM's proxy did not start")


def loops():
    thinking = {"type": "enabled", "budget_tokens": 2048}
    for guardrail in ["up", "down", "slow"]:
        for api in [chat, messages, responses]:
            for stream in [False, True]:
                # one way is enough if headroomd gives no answer
                if guardrail == "up" or not stream:
                    name = f"{api.__name__}-{guardrail}-{'stream' if stream else 'whole'}"
                    yield name, lambda base, name, api=api, guardrail=guardrail, stream=stream: api(base, name, guardrail, stream)
    yield "messages-thinking", lambda base, name: messages(base, name, "up", False, thinking)
    yield "messages-thinking-drop", lambda base, name: messages(base, name, "up", False, thinking, drop_block=True)


chosen = [(name, run) for name, run in loops() if os.environ.get("ONLY", "") in name]
proxy, base, log = start([name for name, _ in chosen])
results = {}
try:
    for name, run in chosen:
        follow(name)
        started = time.monotonic()
        try:
            said, error = run(base, name), None
        except urllib.error.HTTPError as refusal:
            said, error = None, f"{refusal.code}: {refusal.read().decode()[:400]}"
        except (openai.APIError, OSError) as failure:
            said, error = None, str(failure)[:400]
        results[name] = {"said": said, "error": error, "seconds": round(time.monotonic() - started, 1), "report": report(name)}
finally:
    proxy.terminate()
    proxy.wait()
print(json.dumps(results))
