"""`LLMCache`, the front door from Python, and the process's default cache.

It turns arguments into the core's words and answers back into values; it decides nothing itself.
"""

from __future__ import annotations

import inspect
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from llm_cache.clients import admin, logs
from llm_cache.clients.engine import Engine
from llm_cache.clients.kept import Kept
from llm_cache.clients.value_call import ValueCall, avalues_of, in_async, values_of
from llm_cache.clients.value_recall import MISSING, ValueRecall
from llm_cache.clients.values import AsyncFetched, AsyncFetchedStream, Fetched, FetchedStream, Unkeepable, decoded
from llm_cache.config import load
from llm_cache.core.plan import Pass, Replay
from llm_cache.runtime import aio, sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from types import TracebackType

    from typing_extensions import Unpack

    from llm_cache.config.arguments import Arguments

T = TypeVar("T")


class LLMCache(Kept):
    """A cache for calls of language models.

    Every setting of the configuration may be given as an argument, by the name that it has in the
    file; what is not given (or None) comes from the environment, the file and the defaults, read
    now. Shared among threads, tasks, event loops and forked processes; a context manager, plain
    and async.

    Args:
        backend: `sqlite`, `redis` or `memory`.
        database_url: `sqlite:///relative`, `sqlite:////absolute`, a path, `:memory:`, or a URL of Redis.
        settings: any other key of the configuration, `default_ttl_days=7`.

    Raises:
        ConfigError: a setting is wrong. A store that is damaged, locked or unreachable raises
            nothing: the cache works without it and tries again.
    """

    def __init__(
        self, backend: str | None = None, database_url: str | None = None, **settings: Unpack[Arguments]
    ) -> None:
        given: dict[str, object] = {"backend": backend, "database_url": database_url, **settings}
        chosen = load(given)
        logs.apply(chosen)
        self.engine = Engine(chosen)
        self._recall = ValueRecall(self.engine)

    # Calls

    @overload
    def get_or_set(
        self,
        key: str | None,
        fetch_func: Callable[[], Iterable[T]],
        provider: str,
        model: str,
        endpoint: str,
        request_data: Any,
        ttl_days: float | str | None = None,
        *,
        stream: Literal[True],
    ) -> Iterator[T]: ...

    @overload
    def get_or_set(
        self,
        key: str | None,
        fetch_func: Callable[[], T],
        provider: str,
        model: str,
        endpoint: str,
        request_data: Any,
        ttl_days: float | str | None = None,
        stream: bool = False,
    ) -> T: ...

    def get_or_set(
        self,
        key: str | None,
        fetch_func: Callable[[], Any],
        provider: str,
        model: str,
        endpoint: str,
        request_data: Any,
        ttl_days: float | str | None = None,
        stream: bool = False,
    ) -> Any:
        """The value stored under a key, or what `fetch_func` returns, which is then stored.

        Args:
            key: decides alone, with namespace and sample; None derives it from the other arguments.
            fetch_func: called without arguments when nothing is stored. What it raises passes
                through.
            provider: describes the entry, `"openai"`.
            model: describes the entry.
            endpoint: describes the entry, `"/v1/chat/completions"`.
            request_data: describes the entry: the request as JSON values.
            ttl_days: lifetime in days, `"never"` for no expiry; None is the default.
            stream: `fetch_func` returns an iterator, and so does this call.

        Returns:
            The fetched object itself, or a value of the same type that compares equal, rebuilt for
            each caller. A value that cannot be stored is returned uncached, with one warning.

        Raises:
            CacheMissError: the mode is `offline` and nothing is stored.
            UncacheableError: `key` is None and `request_data` is not JSON.
            ConfigError: `ttl_days` is wrong.
        """
        layer = self._recall.layer(ttl_days)
        name = (key, provider, model, endpoint, layer)
        if key is not None and not stream and (value := self._recall.value(name)) is not MISSING:
            return value
        call = ValueCall(self.engine, layer, key, provider, model, endpoint, request_data, stream=stream)
        fetched: list[Any] = []

        def send(_: object) -> Any:
            value = fetch_func()
            fetched.append(FetchedStream(value) if stream else Fetched(value))
            return fetched[0]

        try:
            outcome = sync.run(call.ask, self.engine.world, send, call.tell)
        except Unkeepable as unkeepable:
            call.done("miss", "unkeepable")
            return unkeepable.value
        if isinstance(outcome, Replay):
            if not (stream or outcome.stale):
                self._recall.learn(name, call.ask)
            return call.replayed(outcome)
        if isinstance(outcome, Pass):
            call.done("bypass", outcome.reason)
            return fetch_func()
        call.done("joined" if outcome.follows else "miss", outcome.reason)
        if stream:
            return values_of(outcome, fetched)
        data = b"".join(outcome)
        return decoded(data) if outcome.follows else fetched[0].value

    @overload
    async def aget_or_set(
        self,
        key: str | None,
        fetch_func: Callable[[], Awaitable[AsyncIterable[T] | Iterable[T]] | AsyncIterable[T] | Iterable[T]],
        provider: str,
        model: str,
        endpoint: str,
        request_data: Any,
        ttl_days: float | str | None = None,
        *,
        stream: Literal[True],
    ) -> AsyncIterator[T]: ...

    @overload
    async def aget_or_set(
        self,
        key: str | None,
        fetch_func: Callable[[], Awaitable[T]],
        provider: str,
        model: str,
        endpoint: str,
        request_data: Any,
        ttl_days: float | str | None = None,
        stream: bool = False,
    ) -> T: ...

    @overload
    async def aget_or_set(
        self,
        key: str | None,
        fetch_func: Callable[[], T],
        provider: str,
        model: str,
        endpoint: str,
        request_data: Any,
        ttl_days: float | str | None = None,
        stream: bool = False,
    ) -> T: ...

    async def aget_or_set(
        self,
        key: str | None,
        fetch_func: Callable[[], Any],
        provider: str,
        model: str,
        endpoint: str,
        request_data: Any,
        ttl_days: float | str | None = None,
        stream: bool = False,
    ) -> Any:
        """As `get_or_set`; `fetch_func` may be a coroutine function.

        With `stream=True` it returns an async iterator, whatever kind `fetch_func` made.
        """
        layer = self._recall.layer(ttl_days)
        name = (key, provider, model, endpoint, layer)
        if key is not None and not stream and (value := self._recall.value(name)) is not MISSING:
            return value
        call = ValueCall(self.engine, layer, key, provider, model, endpoint, request_data, stream=stream)
        fetched: list[Any] = []

        async def send(_: object) -> Any:
            value = fetch_func()
            if inspect.isawaitable(value):
                value = await value
            fetched.append(AsyncFetchedStream(value) if stream else AsyncFetched(value))
            return fetched[0]

        try:
            outcome = await aio.run(call.ask, self.engine.world, send, call.tell)
        except Unkeepable as unkeepable:
            call.done("miss", "unkeepable")
            return unkeepable.value
        if isinstance(outcome, Replay):
            if not (stream or outcome.stale):
                self._recall.learn(name, call.ask)
            value = call.replayed(outcome)
            return in_async(value) if stream else value
        if isinstance(outcome, Pass):
            call.done("bypass", outcome.reason)
            value = fetch_func()
            if inspect.isawaitable(value):
                value = await value
            return AsyncFetchedStream(value).values if stream else value
        call.done("joined" if outcome.follows else "miss", outcome.reason)
        if stream:
            return avalues_of(outcome, fetched)
        data = b"".join([chunk async for chunk in outcome])
        return decoded(data) if outcome.follows else fetched[0].value

    # Life

    def close(self) -> None:
        """Flush counters and let go of the store. A second call does nothing."""
        self.engine.close()

    async def aclose(self) -> None:
        """As `close`, off the event loop."""
        await admin.in_thread(self.close)

    def __enter__(self) -> LLMCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> LLMCache:
        return self

    async def __aexit__(self, *_details: object) -> None:
        await self.aclose()


_default: LLMCache | None = None
_default_lock = threading.Lock()


def default_cache() -> LLMCache:
    """The process's default cache, made from environment and file when it is first needed.

    Raises:
        ConfigError: a setting is wrong.
    """
    global _default  # noqa: PLW0603 - there is one a process
    if _default is None:
        with _default_lock:
            if _default is None:
                _default = LLMCache()
    return _default


@contextmanager
def standing_in(cache: LLMCache) -> Iterator[None]:
    """Make a cache the process's default for as long as the block runs, for tests of whoever uses that."""
    global _default  # noqa: PLW0603 - as above
    before, _default = _default, cache
    try:
        yield
    finally:
        _default = before
