"""One request on its way through: decided by the core, answered here. It must not know routes, scopes or settings."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import TYPE_CHECKING

from llm_cache.core.events import Event, Stored
from llm_cache.core.model import Entry, Head, Request
from llm_cache.core.plan import Ask, Pass, Replay
from llm_cache.core.replay import paced as frames_paced
from llm_cache.errors import CacheMissError
from llm_cache.proxy import telling
from llm_cache.proxy.board import HIT
from llm_cache.proxy.client import Client, Gone, Send
from llm_cache.proxy.incoming import Incoming, Raw
from llm_cache.proxy.refusal import Refusal
from llm_cache.proxy.routes import Route
from llm_cache.proxy.upstream import FAILURES, Answer, Outbound, refusal_of
from llm_cache.runtime import aio

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_cache.clients.engine import Engine
    from llm_cache.runtime.world import World

_log = logging.getLogger("llm_cache")
DRAIN_S = 120.0
"""How long an answer is read on for the store alone, after its client has gone."""
_PIECE = 256 * 1024
"""How much is written at once, so that a slow client does not make us hold a large answer twice."""
_LINGER_S = 1.0
"""How long a reply that is no stream may take from its head before it is passed on as it comes.

Some vendors send blank lines while a model thinks, so that no client runs out of patience.
"""
_BODILESS = frozenset({204, 304})
_LONGEST_SHOWN = 300
# Also one where it does not belong, behind an upstream's name, or at a proxy that has no tokens any more.
_TOKEN = re.compile(r"(/|%2f)(?:~|%7e)[^/]*", re.IGNORECASE)


class Call:
    """One request.

    Args:
        world: what the call runs in.
        body: what was read of it, None if it was not.
        drain: whether an answer is read to its end for the store when its client goes away.
        steered: whether its headers ask something of the cache.
        paced: whether a stored stream is sent as slowly as it once came.
        listener: told what happens, beside the account.
    """

    def __init__(  # what a call is made of
        self,
        engine: Engine,
        world: World,
        outbound: Outbound,
        incoming: Incoming,
        route: Route,
        ask: Ask,
        body: bytes | None,
        client: Client,
        send: Send,
        *,
        drain: bool,
        steered: bool,
        paced: bool = False,
        listener: Callable[[Event], None] | None = None,
    ) -> None:
        self._engine = engine
        self._world = world
        self._outbound = outbound
        self._incoming = incoming
        self._route = route
        self._ask = ask
        self._body = body
        self._client = client
        self._send = send
        self._patience_s = DRAIN_S if drain and ask.policy.writes else 0.0
        self._steered = steered
        self._listener = listener
        self._paced = paced
        self._row = outbound.row
        self._stored = False
        self._started = False
        self.hit = False
        """Whether it was answered by a fresh entry of the store."""
        self._began = time.monotonic()

    async def serve(self) -> None:
        """Answer it.

        Raises:
            Refusal: nothing has been sent yet, and this is what should be.
        """
        try:
            outcome = await aio.run(self._ask, self._world, self._fetch, self._tell)
            if isinstance(outcome, Replay):
                await self._replay(outcome)
                self.hit = not outcome.stale
            elif isinstance(outcome, Pass):
                await self._pass(outcome.reason)
            else:
                await self._relay(outcome)
        except CacheMissError as error:
            headers = [(b"x-should-retry", b"false")]
            if error.key:
                headers.append((b"x-llm-cache-key", error.key.encode()))
            raise Refusal(504, "cache_miss", str(error), tuple(headers), miss=True) from None
        except Gone:
            return
        except asyncio.CancelledError:
            if not self._client.left:
                raise
            self._say(499, "left")
        except FAILURES as error:
            refusal = refusal_of(error, self._route.name)
            if not self._started:
                raise refusal from error
            self._row.count("failed")
            self._say(refusal.status, refusal.code)
            # The head has left: that it is broken off must show in the framing, so nothing ends it.
        finally:
            self._client.finish()

    # What the plan wants

    async def _fetch(self, request: Request) -> Answer:
        """Send it upstream for everyone who waits for it. Runs in a task of the fetch's own."""
        self._client.watch(self._patience_s)
        return await self._outbound.open(request.method, request.url, request.headers, self._body, decode=True)

    def _tell(self, event: Event) -> None:
        if isinstance(event, Stored):
            self._stored = True
            self._client.settle()
        self._engine.ledger(event)
        if self._listener is not None:
            self._listener(event)

    # Answers

    async def _replay(self, replay: Replay) -> None:
        entry = replay.entry
        headers = telling.replayed(entry, replay.age_s, self._engine.clock(), replay.status)
        body = entry.body
        if not entry.stream or self._incoming.old:
            headers.append((b"content-length", b"%d" % len(body)))
        send = self._send
        await send({"type": "http.response.start", "status": entry.head.status, "headers": headers})
        if self._paced and entry.stream:
            await self._pace(entry)
            body = b""
        while len(body) > _PIECE:
            await send({"type": "http.response.body", "body": body[:_PIECE], "more_body": True})
            body = body[_PIECE:]
        await send({"type": "http.response.body", "body": body})
        self._row.count(replay.status)
        self._say(entry.head.status, replay.status, logging.DEBUG)
        self._row.took(HIT, time.monotonic() - self._began)

    async def _pace(self, entry: Entry) -> None:
        """Send a stream as slowly as it once came."""
        self._client.watch(0.0)
        for wait_s, data in frames_paced(entry):
            if wait_s:
                await asyncio.sleep(wait_s)
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _relay(self, reader: aio.AsyncReader) -> None:
        # The answer of a call that this one has joined is kept by who leads it.
        self._client.watch(0.0 if reader.follows else self._patience_s)
        try:
            pieces: list[bytes] = []
            whole = False
            if not self._streams(reader.head):
                whole = await self._gather(reader, pieces)
            headers = telling.relayed(reader.head, reader.reason, self._key, stored=self._stored)
            body = b"".join(pieces)
            if whole and reader.head.status not in _BODILESS:
                headers.append((b"content-length", b"%d" % len(body)))
            await self._start(reader.head.status, headers)
            if not whole:
                if body:
                    await self._send({"type": "http.response.body", "body": body, "more_body": True})
                async for data in reader:
                    await self._send({"type": "http.response.body", "body": data, "more_body": True})
                body = b""
            await self._send({"type": "http.response.body", "body": body})
            what = "joined" if reader.follows else "miss"
            self._row.count(what)
            self._say(reader.head.status, what)
        finally:
            await reader.aclose()

    async def _gather(self, reader: aio.AsyncReader, pieces: list[bytes]) -> bool:
        """Take all of a reply, so that its head can tell of its end; False if that takes too much or too long."""
        size, until = 0, time.monotonic() + _LINGER_S
        async for data in reader:
            pieces.append(data)
            size += len(data)
            if size > self._ask.policy.max_entry_bytes or time.monotonic() > until:
                return False
        return True

    async def _pass(self, reason: str) -> None:
        incoming, body = self._incoming, self._body
        headers = incoming.headers
        sending = body is None and incoming.has_body
        if incoming.length is not None:
            headers = (*headers, ("content-length", str(incoming.length)))
        self._client.watch(0.0, sending=sending)
        answer = await self._outbound.open(
            incoming.method,
            self._route.url,
            headers,
            self._client.pieces(incoming.length) if sending else body,
            decode=False,
        )
        try:
            raw = telling.passed(answer.raw, reason, steered=self._steered)
            if answer.head.status in _BODILESS:
                # A server may frame a body that it then does not send.
                raw = [pair for pair in raw if pair[0] != b"content-length"]
            await self._start(answer.head.status, raw)
            async for data in answer.chunks():
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
            await self._send({"type": "http.response.body", "body": b""})
            self._row.count("bypass")
            self._say(answer.head.status, "bypass")
        finally:
            await answer.close()

    async def _start(self, status: int, headers: list[Raw]) -> None:
        if not 200 <= status < 600:
            raise Refusal(
                502, "upstream_failed", f"The upstream answered with {status}, which is no status.", miss=True
            )
        self._started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    def _streams(self, head: Head) -> bool:
        """Whether a reply is one that a client reads while it comes."""
        content_type = head.header("content-type") or ""
        if content_type.startswith(("text/event-stream", "application/x-ndjson")):
            return True
        endpoint = self._ask.endpoint
        return endpoint is not None and endpoint.streams(content_type)

    @property
    def _key(self) -> str:
        return self._ask.signature.key if self._ask.signature is not None else ""

    def _say(self, status: int, what: str, level: int = logging.INFO) -> None:
        """One line for each call; for hits, which can be ten thousand a second, only on level DEBUG.

        Without the query, which may hold a key.
        """
        if _log.isEnabledFor(level):
            took_ms = (time.monotonic() - self._began) * 1000
            incoming = self._incoming
            path = _shown(incoming.path)
            _log.log(level, "%s %s %s: %d %s, %.0f ms", incoming.method, self._route.name, path, status, what, took_ms)


def refused(incoming: Incoming | None, refusal: Refusal) -> None:
    """A line for what is answered with an error of the proxy's own."""
    if incoming is not None:
        _log.info("%s %s: %d %s", incoming.method, _shown(incoming.path), refusal.status, refusal.code)


def _shown(path: str) -> str:
    """A path that cannot pretend to be anything else in a log, and shows no token; callers choose it."""
    path = _TOKEN.sub(r"\1~***", path)
    path = path if len(path) <= _LONGEST_SHOWN else path[:_LONGEST_SHOWN] + "…"
    return path if path.isascii() and path.isprintable() else ascii(path)
