"""What a decorated function returned, as an upstream's reply, and back. It must know no SDK; `sdk_streams` does.

Whoever made the call gets what the function returned, itself; everyone else gets it rebuilt from the bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from llm_cache.clients.call_reader import ITEMS_HEAD, RESULT_HEAD, RETURNED
from llm_cache.clients.values import Unkeepable, decoded, encoded, unkeepable
from llm_cache.errors import UncacheableError
from llm_cache.runtime.aio import AsyncReader
from llm_cache.runtime.sync import SyncReader

_SENT = "a cached generator takes no values: what is sent to it cannot be part of its key"


def is_items(value: object) -> bool:
    """Whether it is one of Python's own iterators, which has nothing but its items."""
    cls = type(value)
    return cls is GeneratorType or (cls.__module__ in {"builtins", "itertools"} and hasattr(cls, "__next__"))


def is_async_items(value: object) -> bool:
    """Whether it is an async generator."""
    return type(value) is AsyncGeneratorType


class Result:
    """One value. If it cannot be kept that shows with its chunk, so that the caller has it all the same.

    Args:
        value: what the function returned.
        why: why it cannot be kept, if that is known.
    """

    head = RESULT_HEAD

    def __init__(self, value: object, why: str | None = None) -> None:
        self.value = value
        self._chunk: bytes | Unkeepable
        try:
            self._chunk = encoded(value) if why is None else unkeepable(value, why)
        except Unkeepable as error:
            self._chunk = error

    def _encoded(self) -> bytes:
        if isinstance(self._chunk, Unkeepable):
            raise self._chunk
        return self._chunk

    def chunks(self) -> Iterator[bytes]:
        """The one encoded value."""
        yield self._encoded()

    def close(self) -> None:
        """There is nothing to let go of."""


class AsyncResult(Result):
    """As `Result`, for an event loop."""

    async def chunks(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        """The one encoded value."""
        yield self._encoded()

    async def close(self) -> None:  # type: ignore[override]
        """There is nothing to let go of."""


class _Made:
    """What the items of both kinds keep for the one who made the call."""

    head = ITEMS_HEAD

    def __init__(self) -> None:
        self.made: deque[Any] = deque()
        self.wanted = True
        """Whether the caller still reads; if not, only those who follow do."""
        self.left = False
        """Whether the source is the caller's alone, since an item cannot be kept."""
        self.ended = False
        self.returned: Any = None

    def _chunk(self, item: object) -> bytes:
        try:
            data = encoded(item)
        except Unkeepable:
            self.left = True
            raise
        if self.wanted:
            self.made.append(item)
        return data

    def _last(self) -> bytes | None:
        """What a generator has returned at its end, if anything."""
        self.ended = True
        return None if self.returned is None else RETURNED + encoded(self.returned)


class Items(_Made):
    """The items of an iterator, encoded one by one as somebody wants them."""

    def __init__(self, source: Iterator[Any]) -> None:
        super().__init__()
        self.source = source
        self._ahead: list[tuple[bool, Any]] = []

    def begin(self) -> None:
        """Take the first item now, so that a function that fails at once has never begun."""
        self._ahead = [self._next()]

    def _next(self) -> tuple[bool, Any]:
        try:
            return True, next(self.source)
        except StopIteration as stop:
            return False, stop.value

    def chunks(self) -> Iterator[bytes]:
        """Each item encoded. Raises `Unkeepable` with the first that cannot be."""
        while True:
            more, item = self._ahead.pop() if self._ahead else self._next()
            if not more:
                self.returned = item
                last = self._last()
                if last is not None:
                    yield last
                return
            yield self._chunk(item)

    def close(self) -> None:
        """Let go of the iterator, unless it is the caller's."""
        close = getattr(self.source, "close", None)
        if close is not None and not self.left:
            close()


class AsyncItems(_Made):
    """As `Items`, of an async generator."""

    def __init__(self, source: AsyncGenerator[Any, Any]) -> None:
        super().__init__()
        self.source = source
        self._ahead: list[tuple[bool, Any]] = []

    async def begin(self) -> None:
        """As `Items.begin`."""
        self._ahead = [await self._next()]

    async def _next(self) -> tuple[bool, Any]:
        try:
            return True, await anext(self.source)
        except StopAsyncIteration:
            return False, None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Each item encoded. Raises `Unkeepable` with the first that cannot be."""
        while True:
            more, item = self._ahead.pop() if self._ahead else await self._next()
            if not more:
                self.ended = True
                return
            yield self._chunk(item)

    async def close(self) -> None:
        """Let go of the generator, unless it is the caller's."""
        if not self.left:
            await self.source.aclose()


def replayed(values: Sequence[Any], returned: Any) -> Generator[Any, None, Any]:
    """Stored items, as the generator that they came from."""
    for value in values:
        _refuse((yield value))
    return returned


async def areplayed(values: Sequence[Any], _returned: Any = None) -> AsyncGenerator[Any, None]:
    """Stored items, as the async generator that they came from."""
    for value in values:
        _refuse((yield value))


def relayed(reader: SyncReader, items: Items | None) -> Generator[Any, None, Any]:
    """Items on their way: the caller's own, or (`items` None) those of an identical call."""
    returned: Any = None
    try:
        for chunk in reader:
            if chunk.startswith(RETURNED):
                returned = decoded(chunk[1:]) if items is None else items.returned
            else:
                _refuse((yield (decoded(chunk) if items is None else items.made.popleft())))
    except Unkeepable as left:
        if items is None:
            raise _not_shared() from None
        if items.ended:
            return items.returned
        yield left.value
        return (yield from items.source)
    finally:
        reader.close()
        if items is not None:
            items.wanted = False
    return returned


async def arelayed(reader: AsyncReader, items: AsyncItems | None) -> AsyncGenerator[Any, None]:
    """As `relayed`, on an event loop."""
    try:
        async for chunk in reader:
            _refuse((yield (decoded(chunk) if items is None else items.made.popleft())))
    except Unkeepable as left:
        if items is None:
            raise _not_shared() from None
        yield left.value
        async for item in items.source:
            yield item
    finally:
        await reader.aclose()
        if items is not None:
            items.wanted = False


def _refuse(sent: object) -> None:
    if sent is not None:
        raise TypeError(_SENT)


def _not_shared() -> UncacheableError:
    return UncacheableError("an identical call in flight returned something that cannot be shared; call again")
