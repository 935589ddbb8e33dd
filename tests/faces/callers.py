"""The four ways to call over HTTP, made to look alike, so that one test can hold for all of them."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from llm_cache import LLMCache, last_call, wrap
from llm_cache.testing import Exchange

LIBRARIES = ("httpx", "httpx2")
NOT_THE_CLIENTS = {"content-length", "transfer-encoding", "host", "connection", "accept-encoding", "content-encoding"}


@dataclass(frozen=True)
class Got:
    """What came back from one call."""

    status: int
    headers: dict[str, str]
    body: bytes
    outcome: str


Caller = Callable[[LLMCache, Iterable[tuple[str, bytes, dict[str, str]]]], list[Got]]
"""Makes the calls (URL, body, headers) one after the other through one wrapped client."""


def _sync(library: Any) -> Caller:
    def call(cache: LLMCache, calls: Iterable[tuple[str, bytes, dict[str, str]]]) -> list[Got]:
        with library.Client(trust_env=False) as client, wrap(client, cache):
            found = []
            for url, body, headers in calls:
                with client.stream("POST", url, content=body, headers=headers) as response:
                    data = b"".join(response.iter_bytes())
                    found.append(_got(response, data))
            return found

    return call


def _async(library: Any) -> Caller:
    async def call(cache: LLMCache, calls: Iterable[tuple[str, bytes, dict[str, str]]]) -> list[Got]:
        async with library.AsyncClient(trust_env=False) as client:
            with wrap(client, cache):
                found = []
                for url, body, headers in calls:
                    async with client.stream("POST", url, content=body, headers=headers) as response:
                        data = b"".join([piece async for piece in response.aiter_bytes()])
                        found.append(_got(response, data))
                return found

    return lambda cache, calls: asyncio.run(call(cache, calls))


def _got(response: Any, data: bytes) -> Got:
    called = last_call()
    assert called is not None
    assert response.extensions["llm_cache"] is called
    return Got(response.status_code, dict(response.headers), data, called.status)


def callers() -> list[Any]:
    """Parameters: sync and async, of each library that is installed; absent ones are skipped with the reason."""
    found = []
    for name in LIBRARIES:
        absent = importlib.util.find_spec(name) is None
        skip = pytest.mark.skipif(absent, reason=f"{name} is not installed")
        for kind, make in (("sync", _sync), ("async", _async)):
            caller = None if absent else make(importlib.import_module(name))
            found.append(pytest.param(caller, id=f"{name}-{kind}", marks=skip))
    return found


def request_of(exchange: Exchange, base: str) -> tuple[str, bytes, dict[str, str]]:
    """A recorded request, as it would be sent to a server at that base URL."""
    headers = {name: value for name, value in exchange.request_headers if name not in NOT_THE_CLIENTS}
    headers.setdefault("content-type", "application/json")
    return base + exchange.path, exchange.request, headers
