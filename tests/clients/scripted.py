"""What the provider is told to answer, and what reached it."""
import json
import os
import urllib.request

ENVOY = os.environ["ENVOY_URL"]
PROVIDER = os.environ["PROVIDER_URL"]

# What a tool of an API client typically gives back: indented JSON.
PETS = json.dumps(
    [{"id": 1000 + n, "name": f"Rex {n}", "kind": "dog", "vaccinated": n % 3 == 0} for n in range(40)], indent=2
)
CALL = {"tool_call": {"name": "list_pets", "arguments": {"limit": 40, "owner": "Grüße"}}}
TEXT = {"text": "There are forty dogs. ✓"}
# For clients that run the loop themselves, with the same headers on each request.
LOOP = {**CALL, "then": [TEXT]}


def headers(name, script):
    return {"x-test-name": name, "x-script": json.dumps(script)}


def forwarded_all(name):
    """The requests of this name as the provider got them."""
    with urllib.request.urlopen(f"{PROVIDER}/__requests/{name}") as answer:
        requests = json.load(answer)
    for request in requests:
        assert request["complete"]
        assert not [key for key, _ in request["headers"] if key.startswith("x-headroom-")], request["headers"]
    return [json.loads(request["body"]) for request in requests]


def forwarded(name):
    """The one request of this name as the provider got it."""
    requests = forwarded_all(name)
    assert len(requests) == 1, f"{len(requests)} requests of the name {name}"
    return requests[0]


def assert_shorter(got):
    """A tool output got shorter and still says what it said."""
    assert len(got) < len(PETS), (len(got), len(PETS))
    for n in range(40):
        assert f"Rex {n}" in got, got


# Outputs of tools in long conversations, from the test: a file with a list of texts.
def outputs():
    with open(os.environ["OUTPUTS"], encoding="utf-8") as file:
        return json.load(file)


def follow(name, plan):
    """From now on a model that thinks answers the requests of this name, by a plan."""
    request = urllib.request.Request(f"{PROVIDER}/__plans/{name}", data=json.dumps(plan).encode(), method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    return {"x-test-name": name}
