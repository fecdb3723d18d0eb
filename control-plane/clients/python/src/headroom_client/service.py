"""headroomd's endpoints: `/v1/compress`, `/v1/retrieve` and `/v1/usage`."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

Message = Mapping[str, Any]

DEFAULT_URL = "http://127.0.0.1:8787"
"""Headroom's Envoy, which hands these paths on to headroomd."""

DEFAULT_TIMEOUT = 30.0
"""Seconds. headroomd answers within ten, with the messages as they came where it could do no more."""


class ServiceError(Exception):
    """headroomd gave no answer that can be used."""


@dataclass(frozen=True)
class Block:
    """The plan for one tool output."""

    message: int
    """The place of its message."""
    tool: str
    kind: str
    outcome: str
    """The form, or `skipped:` and why."""
    lossy: bool
    tokens_before: int
    tokens_after: int
    left_out: str | None = None


@dataclass(frozen=True)
class Compressed:
    """Messages to send instead of one's own: as many, in the same order."""

    messages: list[dict[str, Any]]
    tokens_before: int
    tokens_after: int
    transforms: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    """The originals that `retrieve` gives back."""
    skipped: str | None = None
    """Why the messages came back as they were."""

    @property
    def tokens_saved(self) -> int:
        return max(0, self.tokens_before - self.tokens_after)


@dataclass(frozen=True)
class Plan:
    """The plan for messages, which are not changed."""

    before: list[dict[str, Any]]
    after: list[dict[str, Any]]
    tokens_before: int
    tokens_after: int
    blocks: list[Block]

    @property
    def tokens_saved(self) -> int:
        return max(0, self.tokens_before - self.tokens_after)

    def diff(self) -> str:
        """The messages that change, as a unified diff."""
        lines: list[str] = []
        for number, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            if before != after:
                name = f"message {number}"
                lines += difflib.unified_diff(_lines(before), _lines(after), f"{name} before", f"{name} after", lineterm="")
        return "\n".join(lines)


class _Endpoint:
    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        tenant: str | None = None,
        stack: str = "python",
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self.base_url = (base_url or os.environ.get("HEADROOM_BASE_URL") or DEFAULT_URL).rstrip("/")
        self.timeout = timeout
        self.headers = {"x-headroom-stack": stack}
        token = api_key or os.environ.get("HEADROOM_API_KEY")
        if token:
            self.headers["authorization"] = f"Bearer {token}"
        if tenant:
            self.headers["x-headroom-user-id"] = tenant


class Service(_Endpoint):
    """headroomd."""

    def __init__(self, *args: Any, transport: httpx.BaseTransport | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._http = httpx.Client(
            base_url=self.base_url, headers=self.headers, timeout=self.timeout, transport=transport
        )

    def compress(
        self, messages: Sequence[Message], *, model: str, field: str = "messages", **config: Any
    ) -> Compressed:
        """Shortened messages. `config` is that of `/v1/compress`: `mode`, `session_id`, `min_tokens_to_crush` …"""
        return _compressed(self._post(_body(messages, model, field, config)), messages)

    def simulate(
        self, messages: Sequence[Message], *, model: str, field: str = "messages", **config: Any
    ) -> Plan:
        """What `compress` with markers would make of the messages. Nothing is stored."""
        return _plan(self._post(_body(messages, model, field, config | {"mode": "simulate"})), messages)

    def retrieve(self, hash: str, query: str | None = None) -> str:
        """The text of a marker's hash, or what in it matches."""
        try:
            answer = self._http.get(f"/v1/retrieve/{quote(hash, safe='')}", params={"query": query} if query else None)
        except httpx.HTTPError as error:
            raise ServiceError(str(error)) from error
        return str(_json(answer).get("original_content", ""))

    def close(self) -> None:
        self._http.close()

    def _post(self, body: str) -> dict[str, Any]:
        try:
            answer = self._http.post("/v1/compress", content=body, headers=_JSON)
        except httpx.HTTPError as error:
            raise ServiceError(str(error)) from error
        return _json(answer)


class AsyncService(_Endpoint):
    """headroomd, for `async` code."""

    def __init__(self, *args: Any, transport: httpx.AsyncBaseTransport | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._http = httpx.AsyncClient(
            base_url=self.base_url, headers=self.headers, timeout=self.timeout, transport=transport
        )

    async def compress(
        self, messages: Sequence[Message], *, model: str, field: str = "messages", **config: Any
    ) -> Compressed:
        """As `Service.compress`."""
        return _compressed(await self._post(_body(messages, model, field, config)), messages)

    async def simulate(
        self, messages: Sequence[Message], *, model: str, field: str = "messages", **config: Any
    ) -> Plan:
        """As `Service.simulate`."""
        return _plan(await self._post(_body(messages, model, field, config | {"mode": "simulate"})), messages)

    async def retrieve(self, hash: str, query: str | None = None) -> str:
        """As `Service.retrieve`."""
        params = {"query": query} if query else None
        try:
            answer = await self._http.get(f"/v1/retrieve/{quote(hash, safe='')}", params=params)
        except httpx.HTTPError as error:
            raise ServiceError(str(error)) from error
        return str(_json(answer).get("original_content", ""))

    async def close(self) -> None:
        await self._http.aclose()

    async def _post(self, body: str) -> dict[str, Any]:
        try:
            answer = await self._http.post("/v1/compress", content=body, headers=_JSON)
        except httpx.HTTPError as error:
            raise ServiceError(str(error)) from error
        return _json(answer)


_JSON = {"content-type": "application/json"}


def _body(messages: Sequence[Message], model: str, field: str, config: dict[str, Any]) -> str:
    try:
        return json.dumps({"model": model, field: list(messages), "config": config}, default=_plain)
    except (TypeError, ValueError) as error:
        raise ServiceError(f"the messages are no JSON: {error}") from error


def _plain(value: Any) -> Any:
    """Messages may be the models of an SDK."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError as error:
        raise ServiceError(f"status {answer.status_code}, and no JSON") from error
    if answer.status_code != 200 or not isinstance(body, dict):
        raise ServiceError(f"status {answer.status_code}: {str(body)[:400]}")
    return body


def _rows(body: dict[str, Any], messages: Sequence[Message]) -> list[dict[str, Any]]:
    rows = body.get("messages")
    if not isinstance(rows, list) or len(rows) != len(messages) or not all(isinstance(row, dict) for row in rows):
        raise ServiceError("expected as many messages as were sent")
    return rows


def _compressed(body: dict[str, Any], messages: Sequence[Message]) -> Compressed:
    return Compressed(
        messages=_rows(body, messages),
        tokens_before=int(body.get("tokens_before") or 0),
        tokens_after=int(body.get("tokens_after") or 0),
        transforms=list(body.get("transforms_applied") or []),
        hashes=list(body.get("ccr_hashes") or []),
        skipped=body.get("skip_reason"),
    )


def _plan(body: dict[str, Any], messages: Sequence[Message]) -> Plan:
    plan = body.get("plan")
    if not isinstance(plan, dict):
        raise ServiceError(f"no plan: {body.get('skip_reason')}")
    return Plan(
        before=_rows(body, messages),
        after=_rows(plan, messages),
        tokens_before=int(body.get("tokens_before") or 0),
        tokens_after=int(body.get("tokens_after") or 0),
        blocks=[Block(**{key: block.get(key) for key in Block.__dataclass_fields__}) for block in plan.get("blocks", [])],
    )


def _lines(message: dict[str, Any]) -> list[str]:
    """What a message says, line by line; what is no text, as JSON."""
    content = message.get("content", message.get("output"))
    return content.splitlines() if isinstance(content, str) else json.dumps(content, indent=1, ensure_ascii=False).splitlines()
