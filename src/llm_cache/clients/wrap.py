"""Puts a cache under a client that exists already, and takes it away again without a trace.

Works on the HTTP client inside an SDK's client, so that every method, helper and copy of it is
covered. Where that is, `places` knows.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from llm_cache.clients.options import layer
from llm_cache.clients.places import package as package_of, places
from llm_cache.clients.seats import Seat
from llm_cache.clients.short_calls import Shortcuts
from llm_cache.clients.short_state import sdk_of
from llm_cache.clients.switch import Switch, entered
from llm_cache.clients.transport import Face
from llm_cache.errors import ConfigError

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache

_Client = TypeVar("_Client")

_lock = threading.Lock()
_taken: weakref.WeakKeyDictionary[Any, tuple[Switch, Seat]] = weakref.WeakKeyDictionary()
_short: weakref.WeakKeyDictionary[Any, Shortcuts] = weakref.WeakKeyDictionary()
"""By the SDK's client; several may share an HTTP client."""


class Wrapping(Generic[_Client]):
    """A client with a cache under it, from `start` (or `with`) to `stop`.

    Handles on one client may overlap and nest, in several threads; the last to stop restores it.
    """

    def __init__(
        self,
        client: _Client,
        cache: LLMCache | None,
        ttl_days: float | str | None,
        namespace: str | None,
    ) -> None:
        self.client = client
        self._cache = cache
        self._layer = layer(ttl_days=ttl_days, namespace=namespace, source="wrap()")
        self._places = places(client)
        self._starts = 0

    def start(self) -> Wrapping[_Client]:
        """Begin to answer the client's calls from the cache. Answers the handle itself.

        Raises:
            ConfigError: there is no `cache=`, and the default cache's configuration is wrong.
        """
        engine = _engine(self._cache)
        with _lock:
            self._starts += 1
            if self._starts == 1:
                for target, kind, take in self._places:
                    if target not in _taken:
                        switch = Switch()
                        _taken[target] = switch, take(target, switch)
                    switch = _taken[target][0]
                    switch.add(self, Face(engine, self._layer, kind, short=self._shortcuts(switch)))
        entered.set((*entered.get(), self))
        return self

    def _shortcuts(self, switch: Switch) -> Shortcuts | None:
        if sdk_of(self.client) is None:
            return None
        if self.client not in _short:
            _short[self.client] = Shortcuts(self.client, switch)
        return _short[self.client]

    def stop(self) -> None:
        """Give the client back as it was, if no other handle needs it. May be called twice."""
        handles = list(entered.get())
        if self in handles:
            del handles[len(handles) - 1 - handles[::-1].index(self)]
            entered.set(tuple(handles))
        with _lock:
            self._starts = max(0, self._starts - 1)
            if self._starts:
                return
            for target, _kind, _take in self._places:
                if target not in _taken:
                    continue
                switch, seat = _taken[target]
                switch.remove(self)
                if not switch.active:
                    seat.restore(target)
                    del _taken[target]
                    for client, short in list(_short.items()):
                        if short.switch is switch:
                            short.restore()
                            del _short[client]

    def __enter__(self) -> _Client:
        self.start()
        return self.client

    def __exit__(self, *_details: object) -> None:
        self.stop()

    async def __aenter__(self) -> _Client:
        return self.__enter__()

    async def __aexit__(self, *_details: object) -> None:
        self.stop()


def _engine(cache: LLMCache | None) -> Any:
    from llm_cache.clients.cache import default_cache

    return (cache if cache is not None else default_cache()).engine


def wrap(
    client: _Client,
    cache: LLMCache | None = None,
    ttl_days: float | str | None = None,
    namespace: str | None = None,
) -> Wrapping[_Client]:
    """A handle that puts a cache under a client: an SDK's, or one of httpx, httpx2 or requests.

    Use it in a `with` statement, or call `start` and `stop`. The client itself is patched, and with
    it all copies that share its HTTP client (`with_options`, `with_raw_response`, …). What holds an
    SDK's client (a chat model of LangChain, a model of Pydantic AI, …) is as good as the client.

    Args:
        client: sync or async.
        cache: where to keep answers; without it the process's default cache.
        ttl_days: lifetime of answers in days, `"never"` for no expiry.
        namespace: entries of one namespace are never served to another.

    Raises:
        ConfigError: the client is of no known kind, or a value is wrong.
    """
    return Wrapping(client, cache, ttl_days, namespace)


def _wrap_kind(
    package: str,
    client: _Client,
    cache: LLMCache | None,
    ttl_days: float | str | None,
    namespace: str | None,
) -> Wrapping[_Client]:
    if package_of(client) != package:
        raise ConfigError(
            f"wrap_{package}() was given a {type(client).__module__}.{type(client).__qualname__},"
            f" which is no {package} client; wrap() finds the kind by itself"
        )
    return wrap(client, cache, ttl_days, namespace)


def wrap_openai(
    client: _Client,
    cache: LLMCache | None = None,
    ttl_days: float | str | None = None,
    namespace: str | None = None,
) -> Wrapping[_Client]:
    """`wrap` for a client of the `openai` package, sync or async, Azure included."""
    return _wrap_kind("openai", client, cache, ttl_days, namespace)


def wrap_anthropic(
    client: _Client,
    cache: LLMCache | None = None,
    ttl_days: float | str | None = None,
    namespace: str | None = None,
) -> Wrapping[_Client]:
    """`wrap` for a client of the `anthropic` package, sync or async."""
    return _wrap_kind("anthropic", client, cache, ttl_days, namespace)


def wrap_cohere(
    client: _Client,
    cache: LLMCache | None = None,
    ttl_days: float | str | None = None,
    namespace: str | None = None,
) -> Wrapping[_Client]:
    """`wrap` for a client of the `cohere` package: `Client` or `ClientV2`, sync or async."""
    return _wrap_kind("cohere", client, cache, ttl_days, namespace)
