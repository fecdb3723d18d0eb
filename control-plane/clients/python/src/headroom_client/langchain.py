"""LangChain: a middleware that shortens what tools give, and a callback handler that reports what was saved."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.outputs import LLMResult
from langchain_core.tools import StructuredTool

from .service import AsyncService, Compressed, Message, Service, ServiceError

_KEY = "headroom"
_log = logging.getLogger("headroom_client")


class HeadroomMiddleware(AgentMiddleware[Any, Any]):
    """Shortens a tool's message once, when the tool has run; the agent's state holds the short one from then on."""

    def __init__(
        self,
        service: Service | None = None,
        async_service: AsyncService | None = None,
        *,
        retrieve: bool = False,
        **config: Any,
    ) -> None:
        """`retrieve`: parts of long messages are left out, and the model gets a tool to ask for them."""
        super().__init__()
        self._service = service or Service(stack="langchain")
        self._async_service = async_service or AsyncService(stack="langchain")
        self._config = config | ({"mode": "ccr"} if retrieve else {})
        self.tools = [_retrieve_tool(self._service, self._async_service)] if retrieve else []

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        result = handler(request)
        rows = _rows(request.tool_call, result)
        if rows is None:
            return result
        try:
            return _shortened(result, self._service.compress(rows, model="", **self._config))
        except ServiceError as error:
            return _unchanged(result, error)

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        result = await handler(request)
        rows = _rows(request.tool_call, result)
        if rows is None:
            return result
        try:
            return _shortened(result, await self._async_service.compress(rows, model="", **self._config))
        except ServiceError as error:
            return _unchanged(result, error)


class HeadroomOptimizer(BaseCallbackHandler):
    """Counts what a middleware has saved, over the requests that models were sent."""

    def __init__(self) -> None:
        self.requests = 0
        self.tokens_saved = 0
        self.unique_tokens_saved = 0
        self.input_tokens = 0
        self._seen: set[str] = set()

    def on_chat_model_start(self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **kwargs: Any) -> None:
        for conversation in messages:
            self.requests += 1
            for message in conversation:
                if not isinstance(message, ToolMessage) or _KEY not in message.response_metadata:
                    continue
                figures = message.response_metadata[_KEY]
                saved = figures["tokens_before"] - figures["tokens_after"]
                self.tokens_saved += saved
                # Some providers give the same id to calls of different turns.
                name = message.id or message.tool_call_id
                if name not in self._seen:
                    self._seen.add(name)
                    self.unique_tokens_saved += saved

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        for generations in response.generations:
            for generation in generations:
                usage = getattr(getattr(generation, "message", None), "usage_metadata", None) or {}
                self.input_tokens += usage.get("input_tokens", 0)

    def report(self) -> dict[str, int]:
        """`requests`; `tokens_saved`, over all of them; `unique_tokens_saved`, each message once; `input_tokens`, as
        the provider has counted."""
        return {
            "requests": self.requests,
            "tokens_saved": self.tokens_saved,
            "unique_tokens_saved": self.unique_tokens_saved,
            "input_tokens": self.input_tokens,
        }


def _rows(call: Any, result: Any) -> list[Message] | None:
    """The call and its result as Chat Completions spells them; `None`: there is no text to shorten."""
    if not isinstance(result, ToolMessage) or not isinstance(result.content, str) or call["name"] == "headroom_retrieve":
        return None
    function = {"name": call["name"], "arguments": "{}"}
    return [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "call", "content": result.content},
    ]


def _shortened(result: ToolMessage, compressed: Compressed) -> ToolMessage:
    content = compressed.messages[1].get("content")
    if not isinstance(content, str) or content == result.content:
        return result
    figures = {"tokens_before": compressed.tokens_before, "tokens_after": compressed.tokens_after}
    metadata = result.response_metadata | {_KEY: figures}
    return result.model_copy(update={"content": content, "response_metadata": metadata})


def _unchanged(result: ToolMessage, error: ServiceError) -> ToolMessage:
    _log.warning("headroomd gave no answer; the tool's message stays as it is: %s", error)
    return result


def _retrieve_tool(service: Service, async_service: AsyncService) -> StructuredTool:
    def retrieve(hash: str, query: str = "") -> str:
        try:
            return service.retrieve(hash, query or None)
        except ServiceError as error:
            return f"This text cannot be had any more: {error}"

    async def retrieve_later(hash: str, query: str = "") -> str:
        try:
            return await async_service.retrieve(hash, query or None)
        except ServiceError as error:
            return f"This text cannot be had any more: {error}"

    return StructuredTool.from_function(
        func=retrieve,
        coroutine=retrieve_later,
        name="headroom_retrieve",
        description="Gives the full text of a tool output that was shortened: the hash is in the marker at its end. "
        "With a query, the part that matches best.",
    )
