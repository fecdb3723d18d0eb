"""The official MCP client: Headroom's tools over standard input and output, and over streamable HTTP."""
import asyncio
import json
import os
import re
import subprocess
import sys

from mcp import Client, StdioServerParameters

CTL = os.environ["HEADROOMCTL"]
GRPC = os.environ["SIDECAR_GRPC"]
CLOSED = os.environ["CLOSED_GRPC"]
URL = os.environ["SIDECAR_URL"]
PLACEHOLDER = os.environ["PLACEHOLDER"]
LOG = "".join(f"2026-01-01 00:00:{n % 60:02} INFO worker-{n % 7} finished größe={n * 31}\n" for n in range(9000))
MARKER = re.compile(r"headroom_retrieve hash=([0-9a-f]{24})\]")


def arguments(grpc=GRPC):
    return ["mcp", "--grpc", grpc, "--url", URL]


def texts(result, error=False):
    assert bool(result.is_error) == error, result
    return [block.text for block in result.content]


async def retrieve(client, **asked):
    return texts(await client.call_tool("headroom_retrieve", asked))[0]


async def whole(client, hash):
    """Follows the last lines from page to page, as a model would."""
    text, asked = "", {"hash": hash}
    while True:
        page = await retrieve(client, **asked)
        body, note, rest = page.rpartition("[headroom: lines ")
        assert note, page[-300:]
        text += body
        following = re.search(r"headroom_retrieve hash=(\w+) lines=([\d-]+)\]$", rest)
        if not following:
            return text
        asked = {"hash": following[1], "lines": following[2]}


async def use(client, way):
    listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert sorted(listed) == ["headroom_compress", "headroom_retrieve", "headroom_stats"], listed
    assert listed["headroom_retrieve"].input_schema["required"] == ["hash"]

    text = f"{way}\n{LOG}"
    short, summary = texts(await client.call_tool("headroom_compress", {"content": text, "tool": "Bash"}))
    assert len(short) < len(text) / 2, len(short)
    assert summary.startswith("[headroom: log"), summary
    hash = MARKER.search(short)[1]
    assert await whole(client, hash) == text
    assert (await retrieve(client, hash=hash, lines="1")).startswith(f"{way}\n[headroom: lines 1 to 1;")
    found = await retrieve(client, hash=hash, query="größe=278969")
    assert LOG.splitlines()[8999] in found.splitlines() and len(found) < 2000, found

    unchanged, _ = texts(await client.call_tool("headroom_compress", {"content": "short"}))
    assert unchanged == "short"
    assert texts(await client.call_tool("headroom_retrieve", {"hash": "0" * 24})) == [PLACEHOLDER]
    stats = json.loads(texts(await client.call_tool("headroom_stats", {}))[0])
    assert stats["originals"]["ccr_entries"] >= 1, stats
    for name, wrong in [("headroom_retrieve", {}), ("headroom_compress", {"content": 7}), ("nothing", {})]:
        try:
            result = await client.call_tool(name, wrong)
        except Exception as error:
            assert name in str(error) or "field" in str(error) or "string" in str(error), error
        else:
            assert result.is_error, (name, result)


async def without_a_sidecar(client):
    short, summary = texts(await client.call_tool("headroom_compress", {"content": LOG, "tool": "Bash"}))
    assert not MARKER.search(short), "a marker that points to nothing"
    assert "nothing left out" in summary and "headroomctl up" in summary, summary
    assert texts(await client.call_tool("headroom_retrieve", {"hash": "0" * 24})) == [PLACEHOLDER]


async def main():
    for mode in ["auto", "legacy"]:
        async with Client(StdioServerParameters(command=CTL, args=arguments()), mode=mode) as client:
            await use(client, f"stdio {mode}")
    async with Client(StdioServerParameters(command=CTL, args=arguments(CLOSED))) as client:
        await without_a_sidecar(client)

    server = subprocess.Popen([CTL, *arguments(), "--http", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    try:
        url = server.stderr.readline().split()[-1]
        for mode in ["auto", "legacy"]:
            async with Client(url, mode=mode) as client:
                await use(client, f"http {mode}")
    finally:
        server.terminate()
    assert server.wait() == 0, server.stderr.read()


sys.exit(asyncio.run(main()))
