"""OpenAI's and Anthropic's clients with shortened tool outputs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

from .service import AsyncService, Compressed, Plan, Service, ServiceError

Mode = Literal["audit", "optimize", "simulate"]

_MODES = ("audit", "optimize", "simulate")
_CALLS = {
    "chat.completions.create": "messages",
    "chat.completions.parse": "messages",
    "chat.completions.stream": "messages",
    "beta.messages.create": "messages",
    "beta.messages.stream": "messages",
    "messages.create": "messages",
    "messages.stream": "messages",
    "responses.create": "input",
    "responses.parse": "input",
    "responses.stream": "input",
}
"""The methods that ask a model, and the argument with the conversation."""

_log = logging.getLogger("headroom_client")


@dataclass
class Savings:
    """Sums over the calls of a client."""

    calls: int = 0
    """Calls with a conversation that headroomd has looked at."""
    failures: int = 0
    """Calls that went out as they were because headroomd gave no answer."""
    tokens_before: int = 0
    tokens_after: int = 0
    """In mode `audit`: as it would have been."""

    @property
    def tokens_saved(self) -> int:
        return self.tokens_before - self.tokens_after

    def add(self, counted: Compressed | Plan) -> None:
        self.calls += 1
        self.tokens_before += counted.tokens_before
        self.tokens_after += counted.tokens_after


class HeadroomClient:
    """A client of an SDK in front of which headroomd shortens what tools have printed.

    Everything but the methods that ask a model is the SDK's own.
    """

    def __init__(
        self,
        client: Any,
        mode: Mode = "optimize",
        service: Service | AsyncService | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        if mode not in _MODES:
            raise ValueError(f"mode: expected one of {', '.join(_MODES)}, found {mode!r}")
        self._client = client
        self._mode: Mode = mode
        self._config = config or {}
        self.asynchronous = type(client).__name__.startswith("Async")
        self.service = service or (AsyncService() if self.asynchronous else Service())
        self.savings = Savings()

    def __getattr__(self, name: str) -> Any:
        return _Path(self, getattr(self._client, name), name)

    def _settings(self, arguments: dict[str, Any], field: str) -> tuple[Mode, Any, str]:
        mode = arguments.pop("headroom_mode", self._mode)
        if mode not in _MODES:
            raise ValueError(f"headroom_mode: expected one of {', '.join(_MODES)}, found {mode!r}")
        conversation = arguments.get(field)
        return mode, conversation if isinstance(conversation, list) else None, str(arguments.get("model") or "")

    def _failed(self, error: ServiceError) -> None:
        self.savings.failures += 1
        _log.warning("headroomd gave no answer; the messages go out as they are: %s", error)

    def _send(self, method: Any, field: str, arguments: dict[str, Any]) -> Any:
        service = self.service
        if not isinstance(service, Service):
            raise TypeError("an AsyncService is for an asynchronous client")
        mode, conversation, model = self._settings(arguments, field)
        if mode == "simulate":
            return service.simulate(conversation or [], model=model, field=field, **self._config)
        if conversation:
            try:
                if mode == "audit":
                    self.savings.add(service.simulate(conversation, model=model, field=field, **self._config))
                else:
                    self._take(arguments, field, service.compress(conversation, model=model, field=field, **self._config))
            except ServiceError as error:
                self._failed(error)
        return method(**arguments)

    async def _prepare(self, field: str, arguments: dict[str, Any]) -> Plan | None:
        """The same for `async` code, up to the call. A plan, where that is all that is wanted."""
        service = self.service
        if not isinstance(service, AsyncService):
            raise TypeError("an asynchronous client needs an AsyncService")
        mode, conversation, model = self._settings(arguments, field)
        if mode == "simulate":
            return await service.simulate(conversation or [], model=model, field=field, **self._config)
        if conversation:
            try:
                if mode == "audit":
                    self.savings.add(await service.simulate(conversation, model=model, field=field, **self._config))
                else:
                    compressed = await service.compress(conversation, model=model, field=field, **self._config)
                    self._take(arguments, field, compressed)
            except ServiceError as error:
                self._failed(error)
        return None

    def _take(self, arguments: dict[str, Any], field: str, compressed: Compressed) -> None:
        arguments[field] = compressed.messages
        self.savings.add(compressed)

    async def _send_later(self, method: Any, field: str, arguments: dict[str, Any]) -> Any:
        plan = await self._prepare(field, arguments)
        return plan if plan is not None else await method(**arguments)


class _Stream:
    """An asynchronous SDK's `stream`, which is entered before anything is sent."""

    def __init__(self, owner: HeadroomClient, method: Any, field: str, arguments: dict[str, Any]) -> None:
        self._owner, self._method, self._field, self._arguments = owner, method, field, arguments
        self._entered: Any = None

    async def __aenter__(self) -> Any:
        if await self._owner._prepare(self._field, self._arguments) is not None:
            raise ValueError("headroom_mode: simulate has nothing to stream; use create")
        self._entered = self._method(**self._arguments)
        return await self._entered.__aenter__()

    async def __aexit__(self, *error: Any) -> Any:
        return await self._entered.__aexit__(*error)


class _Path:
    """An attribute of the SDK's client, however deep."""

    def __init__(self, owner: HeadroomClient, target: Any, path: str) -> None:
        self._owner, self._target, self._path = owner, target, path

    def __getattr__(self, name: str) -> Any:
        return _Path(self._owner, getattr(self._target, name), f"{self._path}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        field = _CALLS.get(self._path)
        if field is None or args:
            return self._target(*args, **kwargs)
        if self._owner.asynchronous and self._path.endswith(".stream"):
            return _Stream(self._owner, self._target, field, kwargs)
        if self._owner.asynchronous:
            return self._owner._send_later(self._target, field, kwargs)
        return self._owner._send(self._target, field, kwargs)

    def __repr__(self) -> str:
        return f"HeadroomClient({self._path}: {self._target!r})"
