"""The proxy's own pages: health, readiness, metrics. They must show no request, no answer and no tenant."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from llm_cache.ledger.metrics import CONTENT_TYPE, render
from llm_cache.proxy.incoming import Raw
from llm_cache.proxy.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from llm_cache.clients.engine import Engine
    from llm_cache.proxy.board import Board
    from llm_cache.proxy.siblings import Siblings

_JSON = "application/json"
_NOBODY = "00" * 32
"""A key that no request has: looking it up tells whether the store answers."""

_READ = frozenset({"GET", "HEAD"})
_FRONT = """\
llm-cache {version}: a caching proxy for calls of language models

A client's base URL is this address: its own path says whose API is called (/v1/chat/completions, /v1/messages, ...).
/NAME in front of the path names the upstream (/openai, /anthropic, /groq/openai/v1, ...).

/dashboard  what is stored, and what it saved
/metrics    for Prometheus
/health     version and store; /healthz and /readyz for supervisors
"""

Page = tuple[int, str, bytes]
"""Status, content type, body."""


class Admin:
    """The pages of one proxy."""

    def __init__(self, engine: Engine, version: str, board: Board, siblings: Siblings | None = None) -> None:
        self._engine = engine
        self._board = board
        self._siblings = siblings
        self._version = version
        self._began = time.monotonic()
        self._pages: dict[str, Callable[[], Awaitable[Page]]] = {
            "/": self._front,
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/health": self._health,
            "/metrics": self._metrics,
        }

    def has(self, method: str, path: str) -> bool:
        """Whether a page is meant. What is sent to `/` may be for an upstream that answers there."""
        return path in self._pages and (path != "/" or method in _READ)

    async def page(self, method: str, path: str) -> tuple[int, list[Raw], bytes]:
        """Status, headers and body of a page.

        Raises:
            Refusal: it is only to be read.
        """
        if method not in _READ:
            raise Refusal(405, "read_only", "This page of the proxy can only be read.", ((b"allow", b"GET, HEAD"),))
        status, content_type, body = await self._pages[path]()
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        return status, headers, body

    async def _front(self) -> Page:
        """For whoever opens the address in a browser, or asks whether anybody is there, as clients of Ollama do."""
        return 200, "text/plain; charset=utf-8", _FRONT.format(version=self._version).encode()

    async def _alive(self) -> Page:
        return 200, _JSON, msgspec.json.encode({"status": "ok"})

    async def _ready(self) -> Page:
        if await self._store_answers():
            return 200, _JSON, msgspec.json.encode({"status": "ready"})
        message = "The store fails: calls go on without the cache."
        return 503, _JSON, msgspec.json.encode({"status": "degraded", "message": message})

    async def _health(self) -> Page:
        engine = self._engine
        answers = await self._store_answers()
        entries: int | None = None
        if answers:
            try:
                entries = (await asyncio.to_thread(engine.store.summary)).entries
            except Exception:  # it is the state of the store that is asked for here, not an answer at any price
                answers = False
        told = {
            "status": "ok" if answers else "degraded",
            "version": self._version,
            # Its kind and not its place: a path tells of the machine.
            "store": engine.settings.backend,
            "entries": entries,
            "uptime_s": round(time.monotonic() - self._began, 3),
        }
        return 200, _JSON, msgspec.json.encode(told)

    async def _metrics(self) -> Page:
        if self._siblings is not None:
            await self._siblings.settle()
        up = await self._store_answers()
        # Reading the account waits for the store, and may load the prices.
        stats = await asyncio.to_thread(self._engine.ledger.stats, lenient=True)
        return 200, CONTENT_TYPE, await asyncio.to_thread(render, stats, self._board.metrics, store_up=up)

    async def _store_answers(self) -> bool:
        """Whether the store answers now, and the latest write worked."""
        access = self._engine.access
        if access.inline:
            access.lookup(_NOBODY)
        else:
            await asyncio.to_thread(access.lookup, _NOBODY)
        access.reviving.soon()
        return access.healthy
