"""The way in for everything built on httpx or httpx2: two unrelated libraries, one body.

`bind` makes the classes for one of the two; a `Face` turns a library's request into an `Ask` and
an outcome back into the library's response. What cannot be cached goes to the inner transport
untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from llm_cache.clients.asks import Asks, Name
from llm_cache.clients.bodies import async_body_of, body_of
from llm_cache.clients.options import LastCall, Layer, remember
from llm_cache.core.model import Head, Request
from llm_cache.core.plan import Ask, Pass, Replay
from llm_cache.core.replay import chunks
from llm_cache.errors import CacheMissError
from llm_cache.providers.errors import error_body
from llm_cache.providers.registry import possible, readable
from llm_cache.runtime import aio, sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from llm_cache.clients.engine import Engine
    from llm_cache.clients.short_calls import Shortcuts
    from llm_cache.core.events import Event
    from llm_cache.core.model import Entry, Headers

GATEWAY_TIMEOUT = 504
_FRAMING = frozenset({"content-encoding", "content-length", "transfer-encoding"})
_LARGEST_BODY = 256 * 1024 * 1024
"""Requests over this many bytes are sent as they come, without being read into memory."""


class Caching:
    """What all transports have in common that look into a cache themselves."""


class Face:
    """One cache with one layer of policy, as a transport sees it.

    Args:
        engine: the cache behind it.
        layer: what the wrapper was given.
        kind: the kind of SDK that is wrapped, "" for one that is not known, None for a bare HTTP client. An SDK would
            retry and wrap an exception, so for it a miss while offline is a reply.
        quiet: whether calls that are none of a model pass without a trace, not even counted.
        short: the short way of the client that is wrapped, if there may be one.
    """

    def __init__(
        self,
        engine: Engine,
        layer: Layer = (),
        kind: str | None = None,
        *,
        quiet: bool = False,
        short: Shortcuts | None = None,
    ) -> None:
        self.engine = engine
        self.layer = layer
        self.kind = kind
        self.quiet = quiet
        self.short = short
        self.asks = Asks()

    def readable(self, request: Any) -> bool:
        """Whether the request's body should be read to see what it asks for."""
        if request.method != "POST" or not possible(str(request.url)):
            return False
        headers = request.headers
        if not readable(headers.get("content-type", ""), str(request.url)):
            return False
        return int(headers.get("content-length") or 0) <= _LARGEST_BODY

    def known(self, request: Any) -> Call | None:
        """The call of a request that was a hit before."""
        name = self.asks.name(request)
        ask = self.asks.get(name, self.engine.policy_for(self.layer))
        return None if ask is None else Call(self, ask, name)

    def begin(self, request: Any, *, read: bool) -> Call:
        """The call as the core sees it; `read` says whether its body is at hand."""
        if not read:
            asked = Request(request.method, str(request.url))
            return Call(self, Ask(asked, self.engine.policy_for(self.layer), None, None))
        asked = Request(request.method, str(request.url), _pairs(request.headers), request.content)
        return self.call(asked, self.asks.name(request))

    def call(self, asked: Request, name: Name | None = None) -> Call:
        """The call of a request whose body is at hand."""
        return Call(self, self.engine.ask(asked, self.engine.policy_for(self.layer), self.kind), name)


class Call:
    """One call through a transport, and what is told of it."""

    def __init__(self, face: Face, ask: Ask, name: Name | None = None) -> None:
        self.face = face
        self.ask = ask
        self.name = name
        self.last = LastCall("miss", ask.signature.key if ask.signature else "", face.engine.ledger.price)

    @property
    def foreign(self) -> bool:
        """Whether it is no call of a model and shall pass without a trace."""
        policy = self.ask.policy
        return self.face.quiet and self.ask.endpoint is None and (policy.reads or policy.writes)

    def tell(self, event: Event) -> None:
        """Pass an event on to the ledger, and to whoever asks about this very call."""
        self.face.engine.ledger(event)
        self.last.note(event)

    def done(self, status: str, reason: str | None = None, age_s: float = 0.0) -> LastCall:
        """Make this the latest call of the context."""
        self.last.status, self.last.reason, self.last.age_s = status, reason, age_s
        remember(self.last)
        return self.last

    def hit(self, replay: Replay) -> LastCall:
        """Make this the latest call of the context, answered from the store."""
        self.face.asks.put(self.name, self.ask)
        if self.face.short is not None:
            self.face.short.hit(self.ask, replay)
        return self.done(replay.status, age_s=replay.age_s)

    def missed(self, error: CacheMissError) -> tuple[Headers, bytes] | None:
        """The reply that tells an SDK of a miss while offline; None where an exception does."""
        self.done("miss", "offline")
        if self.face.kind is None:
            return None
        provider = self.ask.endpoint.provider if self.ask.endpoint else self.face.kind
        body = error_body(
            "anthropic" if self.face.kind == "anthropic" else provider,
            GATEWAY_TIMEOUT,
            str(error),
            "cache_miss",
        )
        return (("content-type", "application/json"), ("x-should-retry", "false")), body


@dataclass(frozen=True)
class Bound:
    """The serving functions for one library: `serve(face, inner, request)` and its async twin."""

    library: Any
    serve: Callable[[Face, Any, Any], Any]
    aserve: Callable[[Face, Any, Any], Any]


def _pairs(headers: Any) -> Headers:
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers.raw)


@cache
def bind(name: str) -> Bound:
    """The transport classes for the library of that module name, `httpx` or `httpx2`.

    Keyed by name, since `httpx2.alias_httpx()` can make both names one module.

    Raises:
        ImportError: the library is not installed.
    """
    return _bind(import_module(name))


def _bind(library: Any) -> Bound:  # noqa: C901 - the sum of the small classes that it makes
    decoders = getattr(getattr(library, "_decoders", None), "SUPPORTED_DECODERS", None)
    decodable = frozenset(decoders or ("identity", "gzip", "deflate"))

    def relayed(headers: Headers) -> list[tuple[str, str]]:
        """The leader's headers for a body that has been decoded."""
        encodings = {
            token.strip().lower() for name, value in headers if name == "content-encoding" for token in value.split(",")
        }
        if not encodings or not encodings <= decodable:
            return list(headers)
        return [pair for pair in headers if pair[0] not in _FRAMING]

    sync_body, async_body = body_of(library), async_body_of(library)

    class Upstream:
        """The inner transport's response as the runners see it."""

        def __init__(self, response: Any, request: Any) -> None:
            response.request = request
            self.response = response
            self.head = Head(response.status_code, _pairs(response.headers))

        def chunks(self) -> Iterator[bytes]:
            return (data for data in self.response.iter_bytes() if data)

        def close(self) -> None:
            self.response.close()

    class AsyncUpstream:
        """As `Upstream`, for an event loop."""

        def __init__(self, response: Any, request: Any) -> None:
            response.request = request
            self.response = response
            self.head = Head(response.status_code, _pairs(response.headers))

        async def chunks(self) -> AsyncIterator[bytes]:
            async for data in self.response.aiter_bytes():
                if data:
                    yield data

        async def close(self) -> None:
            await self.response.aclose()

    def from_entry(entry: Entry, last: LastCall, body: Callable[..., Any], request: Any) -> Any:
        return library.Response(
            entry.head.status,
            headers=list(entry.head.headers),
            stream=body(chunks(entry), request),
            extensions={"http_version": b"HTTP/1.1", "llm_cache": last},
        )

    def from_reader(reader: Any, last: LastCall, body: Callable[..., Any], request: Any, inner: Any) -> Any:
        extensions = dict(inner.extensions) if inner is not None else {"http_version": b"HTTP/1.1"}
        return library.Response(
            reader.head.status,
            headers=relayed(reader.head.headers),
            stream=body(reader, request),
            extensions={**extensions, "llm_cache": last},
        )

    def from_miss(reply: tuple[Headers, bytes], last: Any, body: Callable[..., Any]) -> Any:
        headers, text = reply
        return library.Response(
            GATEWAY_TIMEOUT,
            headers=list(headers),
            stream=body([text], None),
            extensions={"http_version": b"HTTP/1.1", "llm_cache": last},
        )

    def serve(face: Face, inner: Any, request: Any) -> Any:
        """Answer one request, from the cache or through the inner transport."""
        call = face.known(request)
        if call is None:
            read = face.readable(request)
            if read:
                request.read()
            call = face.begin(request, read=read)
        if call.foreign:
            return inner.handle_request(request)
        fetched: list[Any] = []

        def send(_: Request) -> Upstream:
            fetched.append(inner.handle_request(request))
            return Upstream(fetched[0], request)

        try:
            outcome = sync.run(call.ask, face.engine.world, send, call.tell)
        except CacheMissError as error:
            reply = call.missed(error)
            if reply is None:
                raise
            return from_miss(reply, call.last, sync_body)
        if isinstance(outcome, Replay):
            last = call.hit(outcome)
            return from_entry(outcome.entry, last, sync_body, request)
        if isinstance(outcome, Pass):
            call.done("bypass", outcome.reason)
            return inner.handle_request(request)
        last = call.done("joined" if outcome.follows else "miss", outcome.reason)
        mine = None if outcome.follows else fetched[0]
        return from_reader(outcome, last, sync_body, request, mine)

    async def aserve(face: Face, inner: Any, request: Any) -> Any:
        """As `serve`, on an event loop."""
        call = face.known(request)
        if call is None:
            read = face.readable(request)
            if read:
                await request.aread()
            call = face.begin(request, read=read)
        if call.foreign:
            return await inner.handle_async_request(request)
        fetched: list[Any] = []

        async def send(_: Request) -> AsyncUpstream:
            fetched.append(await inner.handle_async_request(request))
            return AsyncUpstream(fetched[0], request)

        try:
            outcome = await aio.run(call.ask, face.engine.world, send, call.tell)
        except CacheMissError as error:
            reply = call.missed(error)
            if reply is None:
                raise
            return from_miss(reply, call.last, async_body)
        if isinstance(outcome, Replay):
            last = call.hit(outcome)
            return from_entry(outcome.entry, last, async_body, request)
        if isinstance(outcome, Pass):
            call.done("bypass", outcome.reason)
            return await inner.handle_async_request(request)
        last = call.done("joined" if outcome.follows else "miss", outcome.reason)
        mine = None if outcome.follows else fetched[0]
        return from_reader(outcome, last, async_body, request, mine)

    return Bound(library, serve, aserve)
