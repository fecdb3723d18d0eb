"""Test vectors for turn ids, computed from their definition and not by the engine.

python3 tests/turn_ids.py > tests/fixtures/turn_ids.json
"""

import hashlib
import json

MEMBERS = {
    "openai_responses": ("instructions", "input"),
    "gemini_generate_content": ("systemInstruction", "contents"),
}


def without_cache_control(value):
    if isinstance(value, dict):
        return {k: without_cache_control(v) for k, v in value.items() if k != "cache_control"}
    if isinstance(value, list):
        return [without_cache_control(item) for item in value]
    return value


def dumped(value):
    return json.dumps(without_cache_control(value), sort_keys=True)


def is_said_by_user(message):
    if not isinstance(message, dict) or message.get("role") != "user":
        return False
    content = message.get("content", message.get("parts"))
    if isinstance(content, str):
        return content != ""
    parts = [part for part in content or [] if isinstance(part, dict)]
    results = [p for p in parts if p.get("type") == "tool_result" or "toolResult" in p or "functionResponse" in p]
    texts = [p for p in parts if p.get("type") in ("text", "input_text") or ("type" not in p and "text" in p)]
    return bool(texts) and not results


def turn_id(api, body):
    body = json.loads(body)
    system_name, messages_name = MEMBERS.get(api, ("system", "messages"))
    messages = body.get(messages_name)
    if not isinstance(messages, list):
        return None
    said = [at for at, message in enumerate(messages) if is_said_by_user(message)]
    if not said:
        return None
    system = body.get(system_name)
    system = system if isinstance(system, str) else "" if system is None else dumped(system)
    parts = [body.get("model", ""), system, dumped(messages[: said[-1] + 1])]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


USER = '{"role":"user","content":"hi"}'
BODIES = [
    ("anthropic_messages", '{"model":"claude-sonnet-4-5","messages":[%s]}' % USER),
    ("anthropic_messages", '{"model":"claude-sonnet-4-5","system":"Be brief.\\n\\u00e9é😀","messages":[%s]}' % USER),
    ("anthropic_messages", '{"messages":[%s], "system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}]}' % USER),
    ("anthropic_messages", '{"model":"m","system":null,"messages":[%s]}' % USER),
    ("anthropic_messages", '{"model":"m","system":[],"messages":[%s]}' % USER),
    ("anthropic_messages", '{"model":"m","messages":[]}'),
    ("anthropic_messages", '{"model":"m","messages":[{"role":"user","content":""}]}'),
    ("anthropic_messages", '{"model":"m","messages":[{"role":"assistant","content":"hi"}]}'),
    ("anthropic_messages", '{"model":"m","messages":[{"content":[{"text":"x","type":"text"}],"role":"user"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"cache_control":1,"b":[1,2.0,-0.0,-0,1e5,1E400,1e-7,1e16,123456789012345678901234567890,0.1,5e-324,1.5e300,100000000000000000000.0],"a":null}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"r"}]}]}'),
    ("anthropic_messages", '{"model":"m","messages":[{"role":"user","content":"one"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"cache_control":1,"b":[1,2.0,-0.0,-0,1e5,1E400,-1e999,1e-7,0.0001,0.00012,1e15,1e16,9999999999999998.0,123456789012345678901234567890,0.1,5e-324,1.5e300,100000000000000000000.0,true,false,null],"a":{}}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"r"}]},{"role":"user","content":"two"}]}'),
    ("anthropic_messages", '{"model":"m","messages":[{"role":"user","content":"one"},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"r"},{"type":"text","text":"and"}]}]}'),
    ("anthropic_messages", '{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"AA"}},{"type":"text","text":""}]}]}'),
    ("anthropic_messages", '{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{}}]}]}'),
    ("anthropic_messages", '{"model":"m","messages":[{"role":"user","content":"\\u0041\\/\\b\\f\\n\\r\\t\\"\\\\ \\u007f\\u001f\\ud83d\\ude00\\ud800 \x7f é"}]}'),
    ("anthropic_messages", '{"model":"m\\u00e9","messages":[{"role":"user","content":"x","z":1,"a":2,"Z":3,"é":4,"😀":5,"\\uff5e":6}]}'),
    ("anthropic_messages", '{"model":"m","messages":[{"role":"user","content":"x","b":1,"a":2,"b":3}]}'),
    ("anthropic_messages", '{"model":"m","messages":[{"role":"user","content":"%s"}]}' % ("long text, " * 2000)),
    ("anthropic_messages", '{"model":"m","messages":[{"role":"user","content":"%s"}]}' % ("é\\n" * 3000)),
    ("openai_chat", '{"model":"gpt-5","messages":[{"role":"system","content":"s"},{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"r"}]}'),
    ("openai_chat", '{"model":"gpt-5","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}},{"type":"text","text":"hi"}]}]}'),
    ("openai_responses", '{"model":"gpt-5","instructions":"i","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]},{"type":"function_call_output","call_id":"c","output":"r"}]}'),
    ("openai_responses", '{"model":"gpt-5","input":"hi"}'),
    ("gemini_generate_content", '{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{}}}]}]}'),
    ("bedrock_converse", '{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"hi"}]},{"role":"assistant","content":[]},{"role":"user","content":[{"toolResult":{"toolUseId":"t","content":[{"text":"r"}]}}]}]}'),
    ("cohere_chat", '{"model":"command-a","messages":[{"role":"system","content":"s"},{"role":"user","content":"hi"}]}'),
]

vectors = [{"api": api, "body": body, "turn_id": turn_id(api, body)} for api, body in BODIES]
print(json.dumps(vectors, indent=1))
