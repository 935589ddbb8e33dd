"""Calls whose answer is a Python value: `get_or_set`. The same plan as for bytes, with encoded values.

A value is encoded once, when it is fetched; whoever fetched it gets its own object back, everyone
else one rebuilt from the bytes.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from llm_cache.codec.values import decode_value, encode_value, viewable
from llm_cache.core.model import Endpoint, Head, Reading, Request, Step
from llm_cache.errors import EntryError, UncacheableError
from llm_cache.providers.registry import endpoint_named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from llm_cache.core.model import Entry

_log = logging.getLogger("llm_cache")
CONTENT_TYPE = "application/x-llm-cache-value"
VALUE_HEAD = Head(200, (("content-type", CONTENT_TYPE),))
_CERTAIN = frozenset({"error", "failed", "cancelled", "unfinished"})
"""Flaws that a provider's own reply declares; anything else may just be a value of another kind."""
_warned: set[str] = set()


class Unkeepable(Exception):
    """A fetched value that cannot be encoded; the caller gets it and nobody else does."""

    def __init__(self, value: object) -> None:
        super().__init__("a value that cannot be kept")
        self.value = value


class Described(Request):
    """The request of a value call, written out only if it is stored: a hit never needs it."""

    __slots__ = ("_data",)
    _data: object

    def __init__(self, provider: str, path: str, data: object) -> None:
        object.__setattr__(self, "method", "VALUE")
        object.__setattr__(self, "url", f"value://{provider}{path}")
        object.__setattr__(self, "headers", ())
        object.__setattr__(self, "_data", data)

    @property
    def body(self) -> bytes:
        """The description as JSON, as far as it can be written as such."""
        return described(self._data)


def described(data: object) -> bytes:
    """A request description as JSON; what JSON does not have is written as its `repr`."""
    try:
        return msgspec.json.encode(data, enc_hook=repr)
    except (TypeError, ValueError, RecursionError):
        return msgspec.json.encode(repr(data))


class ValueReader:
    """Reads one encoded value, or a stream of them, as the provider's reply that it may be."""

    def __init__(self, path: str, provider: str, *, stream: bool) -> None:
        self._rules = endpoint_named(provider, path)
        self._stream = stream
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> Step:
        """Take one encoded value; each chunk is exactly one."""
        self._chunks.append(data)
        return Step.MORE

    def finish(self) -> Reading:
        """What the values amount to."""
        views = [viewable(chunk) for chunk in self._chunks]
        reading = self._as_reply(views)
        if reading is None or (reading.flaw is not None and reading.flaw not in _CERTAIN):
            return Reading(text=next((view for view in views if isinstance(view, str)), None))
        return reading

    def _as_reply(self, views: list[object]) -> Reading | None:
        make = self._rules.reader
        if make is None or not all(isinstance(view, dict) for view in views):
            return None
        kind = "text/event-stream" if self._stream else "application/json"
        reader = make(Head(200, (("content-type", kind),)), stream=self._stream, count=1)
        for view in views:
            text = msgspec.json.encode(view)
            reader.feed(b"data: %b\n\n" % text if self._stream else text)
        if self._stream:
            reader.feed(b"data: [DONE]\n\n")
        return reader.finish()


@lru_cache(maxsize=1024)
def value_endpoint(provider: str, model: str, path: str, stream: bool) -> Endpoint:
    """The endpoint of a call that is described by hand."""
    rules = endpoint_named(provider, path)
    return Endpoint(
        provider=provider,
        upstream=provider,
        path=path,
        model=model,
        stream=stream,
        reader=lambda _head: ValueReader(path, provider, stream=stream),
        outside=rules.outside,
        unmark=rules.unmark,
        stream_counts=rules.stream_counts,
    )


def encoded(value: object) -> bytes:
    """A value as bytes.

    Raises:
        Unkeepable: it cannot be. The log has one warning for its type.
    """
    try:
        return encode_value(value)
    except UncacheableError as error:
        raise unkeepable(value, str(error)) from None


def unkeepable(value: object, why: str) -> Unkeepable:
    """What to raise for a value that cannot be kept. The log has one warning for its type."""
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if name not in _warned:
        _warned.add(name)
        _log.warning("a result of type %s is returned and not kept: %s", name, why)
    return Unkeepable(value)


class Fetched:
    """One value fetched by `fetch`, as an upstream's reply of one chunk."""

    head = VALUE_HEAD

    def __init__(self, value: object) -> None:
        self.value = value
        self._data = encoded(value)

    def chunks(self) -> Iterator[bytes]:
        """The one encoded value."""
        yield self._data

    def close(self) -> None:
        """There is nothing to let go of."""


class FetchedStream:
    """A stream of values, encoded one by one as somebody wants them."""

    head = VALUE_HEAD

    def __init__(self, values: Any) -> None:
        self.values = iter(values)
        self._source = values
        self._left = False

    def chunks(self) -> Iterator[bytes]:
        """Each value encoded. Raises `Unkeepable` with the first that cannot be."""
        for value in self.values:
            try:
                data = encoded(value)
            except Unkeepable:
                # From here on the stream is its owner's alone.
                self._left = True
                raise
            yield data

    def close(self) -> None:
        """Let go of the stream, if it can be and is not its owner's."""
        close = getattr(self._source, "close", None)
        if close is not None and not self._left:
            close()


class AsyncFetched(Fetched):
    """As `Fetched`, for an event loop."""

    async def chunks(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        """The one encoded value."""
        yield self._data

    async def close(self) -> None:  # type: ignore[override]
        """There is nothing to let go of."""


class AsyncFetchedStream:
    """As `FetchedStream`, for an event loop; the values may come from either kind of iterator."""

    head = VALUE_HEAD

    def __init__(self, values: Any) -> None:
        self.values: AsyncIterator[Any] = aiter(values) if hasattr(values, "__aiter__") else _in_turn(values)
        self._source = values
        self._left = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Each value encoded. Raises `Unkeepable` with the first that cannot be."""
        async for value in self.values:
            try:
                data = encoded(value)
            except Unkeepable:
                self._left = True
                raise
            yield data

    async def close(self) -> None:
        """Let go of the stream, if it can be and is not its owner's."""
        close = getattr(self._source, "aclose", None) or getattr(self._source, "close", None)
        if close is not None and not self._left:
            closing = close()
            if hasattr(closing, "__await__"):
                await closing


async def _in_turn(values: Any) -> AsyncIterator[Any]:
    for value in values:
        yield value


class Kept:
    """Decodes an entry's values while it is looked up, so that one that cannot be rebuilt is a miss."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def verify(self, entry: Entry) -> None:
        """Rebuild the values of an entry.

        Raises:
            EntryError: one cannot be.
        """
        if entry.kind != "value" or not entry.frames:
            raise EntryError(f"the entry {entry.key[:12]}… holds no Python values")
        self.values = [decode_value(frame.data) for frame in entry.frames]


def decoded(data: bytes) -> object:
    """One value rebuilt from a chunk of somebody else's fetch."""
    return decode_value(data)
