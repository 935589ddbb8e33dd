"""The short way of a hit: a request that came before, byte for byte, is answered without being parsed again.

It decides nothing anew. Equal bytes on a fresh connection are the same request, so what was worked out of them (where
they go, who asks, which key) still holds; whether the answer does is asked each time, of the store. Whatever is not
plainly so goes the long way, whose replies are the same to the byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from llm_cache.core.events import About, Hit
from llm_cache.core.plan import Ask, about, fresh
from llm_cache.proxy import telling
from llm_cache.proxy.board import HIT, Row
from llm_cache.proxy.memo import Memo

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from llm_cache.clients.engine import Engine
    from llm_cache.core.events import Event
    from llm_cache.core.model import Entry
    from llm_cache.core.policy import Policy
    from llm_cache.proxy.incoming import Raw

WHOLE = "llm_cache.whole"
"""Where `protocol` leaves the bytes of a request between which nothing else came, in the ASGI scope."""
_TOLD_AFTER_S = 0.05
MOST_REQUEST = 64 * 1024
MOST_REPLY = 256 * 1024
"""Longer ones are written in pieces, as fast as the client takes them."""


class _Known:
    """A request that has been a hit, and the bytes of its latest reply."""

    __slots__ = ("age", "age_s", "entry", "key", "policy", "reply", "ttl", "untold", "whom")

    def __init__(self, whom: About, policy: Policy) -> None:
        self.whom = whom
        self.key = whom.key
        self.policy = policy
        self.entry: Entry | None = None
        self.age = self.ttl = -1
        self.age_s = 0.0
        self.reply = b""
        self.untold = 0
        """How many hits on this entry nobody has been told of yet."""


class Shortcut:
    """What is known of requests by their bytes. For one event loop.

    Args:
        engine: the cache.
        row: where the proxy counts beside the account.
        listeners: hear of hits, a moment later and by the number: one event each would cost as much as all the rest.
    """

    def __init__(self, engine: Engine, row: Row, *listeners: Callable[[Event], None]) -> None:
        self._access = engine.access
        self._clock = engine.clock
        self._listeners = listeners
        self._row = row
        self._took_s = 0.0
        self._known: Memo[_Known] = Memo(64 * 1024 * 1024)
        self._heads: Memo[bytes] = Memo(4 * 1024 * 1024)
        self._generation: int | None = None
        self._looked = False
        self._untold: list[_Known] = []

    def learn(self, whole: bytes, ask: Ask) -> None:
        """Remember a request that has just been a fresh hit."""
        head, blank, _ = whole.partition(b"\r\n\r\n")
        self._heads.put(head + blank, blank, len(head) + 256)
        self._known.put(whole, _Known(about(ask), ask.policy), len(whole) + 1024)

    def begins(self, piece: bytes) -> bool:
        """Whether these bytes are the whole head of a known request, whose body has not come yet."""
        return self._heads.get(piece) is not None

    def reply(self, whole: bytes, loop: AbstractEventLoop) -> bytes | None:
        """The reply to these bytes if they are known and their answer is at hand; the hit is counted then."""
        known = self._known.get(whole)
        if known is None:
            return None
        began = time.monotonic()
        if not self._looked:
            # Whatever is read from sockets in this turn of the loop was sent before we look, so one look serves all.
            self._generation = self._access.generation()
            self._looked = True
            loop.call_soon(self._look_again)
        generation = self._generation
        if generation is None or (entry := self._access.recall(known.key, generation)) is None:
            return self._read(known, generation, began)
        now = self._clock()
        if not fresh(entry, known.policy, now):
            return None
        known.age_s = age_s = max(0.0, now - entry.created_at)
        ttl = -1 if entry.expires_at is None else int(entry.expires_at - now)
        if known.entry is not entry or known.age != int(age_s) or known.ttl != ttl:
            if known.untold and known.entry is not entry:
                self.flush()
            body = entry.body
            if len(body) > MOST_REPLY:
                return None
            known.reply = written(entry.head.status, telling.replayed(entry, age_s, now), entry, body)
            known.entry, known.age, known.ttl = entry, int(age_s), ttl
            # Thousands of requests that differ in nothing that counts may have one long answer, and a reply each.
            self._known.weigh(whole, len(whole) + 1024 + len(known.reply) + len(body))
        if not known.untold:
            if not self._untold:
                loop.call_later(_TOLD_AFTER_S, self.flush)
            self._untold.append(known)
        known.untold += 1
        self._took_s += time.monotonic() - began
        return known.reply

    def _read(self, known: _Known, generation: int | None, began: float) -> bytes | None:
        """The reply with an answer that is in the store and not in memory: nothing of it is kept here."""
        entry = self._access.glance(known.key, generation)
        now = self._clock()
        if entry is None or not fresh(entry, known.policy, now) or len(body := entry.body) > MOST_REPLY:
            return None
        age_s = max(0.0, now - entry.created_at)
        reply = written(entry.head.status, telling.replayed(entry, age_s, now), entry, body)
        hit = Hit(known.whom, entry, age_s)
        for listener in self._listeners:
            listener(hit)
        self._row.count("hit")
        self._row.took(HIT, time.monotonic() - began)
        return reply

    def flush(self) -> None:
        """Tell of all hits so far."""
        untold, self._untold = self._untold, []
        if untold:
            # Each is entered with the mean of all: they differ by microseconds.
            count = sum([known.untold for known in untold])
            self._row.count("hit", count)
            self._row.took(HIT, self._took_s / count, count)
            self._took_s = 0.0
        for known in untold:
            times, known.untold = known.untold, 0
            if known.entry is not None:
                hit = Hit(known.whom, known.entry, known.age_s, times=times)
                for listener in self._listeners:
                    listener(hit)

    def _look_again(self) -> None:
        self._looked = False


def written(status: int, headers: list[Raw], entry: Entry, body: bytes) -> bytes:
    """A reply as uvicorn writes it: a stream in one chunk, anything else with its length."""
    if not entry.stream:
        headers.append((b"content-length", b"%d" % len(body)))
        framed = body
    else:
        headers.append((b"transfer-encoding", b"chunked"))
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    head = b"".join([b"%b: %b\r\n" % pair for pair in headers])
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, HTTPStatus(status).phrase.encode(), head, framed)
