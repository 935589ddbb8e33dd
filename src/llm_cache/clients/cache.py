"""`LLMCache`, the front door from Python, and the process's default cache.

It turns arguments into the core's words and answers back into values; it decides nothing itself.
"""

from __future__ import annotations

import inspect
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llm_cache.clients import admin, logs
from llm_cache.clients.engine import Engine
from llm_cache.clients.value_call import ValueCall, avalues_of, in_async, values_of
from llm_cache.clients.value_recall import MISSING, ValueRecall
from llm_cache.clients.values import AsyncFetched, AsyncFetchedStream, Fetched, FetchedStream, Unkeepable, decoded
from llm_cache.config import load
from llm_cache.core.plan import Pass, Replay
from llm_cache.runtime import aio, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from llm_cache.config import Settings
    from llm_cache.core.model import Entry
    from llm_cache.ledger.report import Stats


class LLMCache:
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

    def __init__(self, backend: str | None = None, database_url: str | None = None, **settings: Any) -> None:
        given = {"backend": backend, "database_url": database_url, **settings}
        chosen = load(given)
        logs.apply(chosen)
        self.engine = Engine(chosen)
        self._recall = ValueRecall(self.engine)

    # --- calls -------------------------------------------------------------------------------

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

    # --- entries -----------------------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """The entry of a key, given as it was passed to `get_or_set` or as `list` shows it.

        Counts as no call. None if there is none, it has expired, or the store fails.
        """
        return admin.get(self.engine, key)

    def set(
        self,
        key: str | None,
        value: Any,
        provider: str,
        model: str,
        endpoint: str,
        request_data: Any,
        ttl_days: float | str | None = None,
    ) -> str:
        """Store a value as `get_or_set` would have, and say under which 64 hex digits.

        Raises:
            UncacheableError: the value cannot be stored, or `key` is None and `request_data` is
                not JSON.
            StoreError: the store failed.
        """
        call = ValueCall(
            self.engine, self._recall.layer(ttl_days), key, provider, model, endpoint, request_data, stream=False
        )
        return admin.put(self.engine, call.ask, value)

    def delete(self, key: str) -> bool:
        """Forget the entry of a key, given as for `get`; whether there was one.

        Raises:
            StoreError: the store failed.
        """
        return admin.delete(self.engine, key)

    def entries(
        self,
        provider: str | None = None,
        model: str | None = None,
        namespace: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Entry]:
        """The entries that match, newest first, expired ones included.

        Raises:
            StoreError: the store failed.
        """
        return admin.entries(self.engine, provider, model, namespace, limit)

    def find(self, prefix: str) -> list[Entry]:
        """The entries whose key begins with these hex digits; at most ten.

        Raises:
            StoreError: the store failed.
        """
        return admin.find(self.engine, prefix)

    def purge(
        self,
        *,
        key: str | None = None,
        expired: bool = False,
        older_than_days: float | None = None,
        provider: str | None = None,
        model: str | None = None,
        namespace: str | None = None,
        everything: bool = False,
        dry_run: bool = False,
    ) -> int:
        """Delete the entries that match all filters that are given, and say how many.

        Args:
            key: the first hex digits of keys as `list` shows them.
            expired: only what is past its expiry.
            older_than_days: only what was made longer ago.
            provider: only this provider's.
            model: only this model's.
            namespace: only this namespace's.
            everything: required where no filter is given.
            dry_run: only count them.

        Raises:
            ConfigError: no filter and not `everything`, or a value is wrong.
            StoreError: the store failed.
        """
        return admin.purge(
            self.engine,
            key=key,
            expired=expired,
            older_than_days=older_than_days,
            provider=provider,
            model=model,
            namespace=namespace,
            everything=everything,
            dry_run=dry_run,
        )

    def stats(self) -> Stats:
        """What the cache holds and what it has done, by this and all other processes.

        Raises:
            StoreError: the store failed.
        """
        return self.engine.ledger.stats()

    def check(self) -> list[str]:
        """Look for damage in the store; one sentence for each finding.

        Raises:
            StoreError: the store failed.
        """
        return self.engine.store.check()

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.engine.settings

    @property
    def location(self) -> str:
        """Where the entries are: a path or a URL without its password."""
        return self.engine.store.location()

    # --- async twins ------------------------------------------------------------------------

    async def aget(self, key: str) -> Entry | None:
        """As `get`, off the event loop."""
        return await admin.in_thread(self.get, key)

    async def aset(
        self,
        key: str | None,
        value: Any,
        provider: str,
        model: str,
        endpoint: str,
        request_data: Any,
        ttl_days: float | str | None = None,
    ) -> str:
        """As `set`, off the event loop."""
        return await admin.in_thread(self.set, key, value, provider, model, endpoint, request_data, ttl_days)

    async def adelete(self, key: str) -> bool:
        """As `delete`, off the event loop."""
        return await admin.in_thread(self.delete, key)

    async def aentries(
        self,
        provider: str | None = None,
        model: str | None = None,
        namespace: str | None = None,
        limit: int | None = None,
    ) -> list[Entry]:
        """As `entries`, off the event loop and as a list."""
        return await admin.in_thread(lambda: list(self.entries(provider, model, namespace, limit)))

    async def astats(self) -> Stats:
        """As `stats`, off the event loop."""
        return await admin.in_thread(self.stats)

    async def apurge(self, **filters: Any) -> int:
        """As `purge`, off the event loop."""
        return await admin.in_thread(lambda: self.purge(**filters))

    async def aclose(self) -> None:
        """As `close`, off the event loop."""
        await admin.in_thread(self.close)

    # --- life -------------------------------------------------------------------------------

    def close(self) -> None:
        """Flush counters and let go of the store. A second call does nothing."""
        self.engine.close()

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
