"""The way in for what stands on urllib3: requests and botocore. One body for both, as `transport` is for httpx.

It gives their readers the bytes as they arrive, in the words of urllib3; their own objects they make themselves.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from llm_cache.clients.options import LastCall
from llm_cache.clients.transport import Call, Face
from llm_cache.core.model import Head, Headers, Request
from llm_cache.core.plan import Pass, Replay
from llm_cache.core.replay import chunks
from llm_cache.errors import CacheMissError
from llm_cache.providers.registry import possible
from llm_cache.runtime import sync

_FRAMING = frozenset({"content-encoding", "content-length", "transfer-encoding"})
_PIECE = 64 * 1024


@dataclass(frozen=True)
class Fetched:
    """What the network has answered.

    Attributes:
        response: the library's own object.
        status: HTTP's.
        headers: names in lower case.
        raw: the urllib3 response under it.
        content: the body, if it has been read already.
    """

    response: Any
    status: int
    headers: Headers
    raw: Any
    content: bytes | None = None


@dataclass(frozen=True)
class Answer:
    """What a call came to: a status, headers and a body in pieces; `mine` if this call has met the network itself."""

    status: int
    headers: Headers
    body: Any
    last: LastCall
    mine: Fetched | None


def asked(method: str | None, url: str | None, headers: Any, body: Any) -> Request:
    """The request as the core sees it: without a body if it is no call of a model, or cannot be read without harm."""
    method, url = method or "", url or ""
    if method == "POST" and possible(url):
        if isinstance(body, str):
            body = body.encode()
        if isinstance(body, (bytes, bytearray)):
            return Request(method, url, pairs(headers), bytes(body))
    return Request(method, url)


def pairs(headers: Any) -> Headers:
    """Headers of either library; values may be bytes."""
    return tuple((_text(name).lower(), _text(value)) for name, value in headers.items())


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class _Upstream:
    """What was fetched, as the runners see it."""

    def __init__(self, fetched: Fetched) -> None:
        self._fetched = fetched
        self.head = Head(fetched.status, fetched.headers)

    def chunks(self) -> Iterator[bytes]:
        """The content-decoded body, as it arrives."""
        raw = self._fetched.raw
        if self._fetched.content is not None:
            if self._fetched.content:
                yield self._fetched.content
        elif getattr(raw, "chunked", False) or not hasattr(raw, "read1"):
            yield from (data for data in raw.stream(_PIECE, decode_content=True) if data)
        else:
            # `stream` would wait until a piece is full.
            while data := raw.read1(_PIECE, decode_content=True):
                yield data

    def close(self) -> None:
        """Let go of the connection."""
        self._fetched.raw.close()


def answer(face: Face, request: Request, fetch: Callable[[], Fetched]) -> Answer | None:
    """Answer one request from the cache or with `fetch`; None if the cache has nothing to do with it.

    Raises:
        CacheMissError: offline, with nothing stored for it. Neither library retries that, nor wraps it.
        Exception: whatever `fetch` raised.
    """
    call: Call = face.call(request)
    if call.foreign:
        return None
    fetched: list[Fetched] = []

    def send(_: Request) -> _Upstream:
        fetched.append(fetch())
        return _Upstream(fetched[-1])

    try:
        outcome = sync.run(call.ask, face.engine.world, send, call.tell)
    except CacheMissError:
        call.done("miss", "offline")
        raise
    if isinstance(outcome, Replay):
        last = call.done(outcome.status, age_s=outcome.age_s)
        head = outcome.entry.head
        return Answer(head.status, head.headers, chunks(outcome.entry), last, None)
    if isinstance(outcome, Pass):
        call.done("bypass", outcome.reason)
        return None
    last = call.done("joined" if outcome.follows else "miss", outcome.reason)
    mine = None if outcome.follows else fetched[-1]
    return Answer(outcome.head.status, _decoded(outcome.head.headers), outcome, last, mine)


def _decoded(headers: Headers) -> Headers:
    """The headers for a body that urllib3 has decoded, or has left as it is because it cannot."""
    import urllib3

    encodings = {
        part.strip().lower() for name, value in headers if name == "content-encoding" for part in value.split(",")
    }
    if not encodings or not encodings <= {"identity", *urllib3.HTTPResponse.CONTENT_DECODERS}:
        return headers
    return tuple(pair for pair in headers if pair[0] not in _FRAMING)


class _Pieces(io.RawIOBase):
    """A body as a file. To read more than has arrived gives what there is."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._pieces = iter(source)
        self._left = b""

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1) -> bytes:
        """The next piece, or what is left of it; empty at the end."""
        if not self._left:
            try:
                self._left = next(self._pieces, b"")
            except Exception as error:
                raise _own_error(error, self._source) from error
        size = len(self._left) if size < 0 else size
        data, self._left = self._left[:size], self._left[size:]
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None and not self.closed:
            close()
        super().close()


def _own_error(error: Exception, source: Any) -> Exception:
    """The error in urllib3's words; the leader's is so already."""
    from urllib3 import exceptions

    if isinstance(error, (TimeoutError, ConnectionError)):
        return exceptions.ProtocolError(str(error), error)
    if source.follows and type(error).__module__.partition(".")[0] in {"httpx", "httpx2"}:
        return exceptions.ProtocolError(str(error), error)
    return error


@cache
def _body_class() -> Any:
    import urllib3

    class Body(urllib3.HTTPResponse):
        """A body that gives each piece as it arrives; urllib3's own waits until `amt` bytes are there."""

        def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Any:
            file: Any = self._fp
            while not file.closed:
                data = file.read1(amt or -1)
                if not data:
                    file.close()
                    break
                yield data

    return Body


def body_of(answer: Answer, method: str = "POST") -> Any:
    """The answer as a urllib3 response."""
    return _body_class()(
        body=_Pieces(answer.body),
        headers=list(answer.headers),
        status=answer.status,
        reason="OK" if answer.status == 200 else None,
        preload_content=False,
        request_method=method,
    )
