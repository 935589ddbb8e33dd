"""Puts a cache under a client that exists already, and takes it away again without a trace.

Works on the HTTP client inside an SDK's client, so that every method, helper and copy of it is
covered. Knows where each SDK keeps that client and nothing else about it.
"""

from __future__ import annotations

import sys
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from llm_cache.clients.options import layer
from llm_cache.clients.transport import Bound, Face, bind
from llm_cache.errors import ConfigError

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache

_Client = TypeVar("_Client")
_LIBRARIES = ("httpx2", "httpx")
_PATHS: dict[str, tuple[str, ...]] = {
    "openai": ("_client",),
    "anthropic": ("_client",),
    "groq": ("_client",),
    "together": ("_client",),
    "ollama": ("_client",),
    "cohere": ("_client_wrapper.httpx_client.httpx_client",),
    "mistralai": ("sdk_configuration.client", "sdk_configuration.async_client"),
}
"""Where an SDK's client keeps its HTTP client (clients), by the SDK's top-level package."""
_KINDS = {"mistralai": "mistral", "AzureOpenAI": "azure", "AsyncAzureOpenAI": "azure"}
"""Kinds that are not called like their package, by package or by class."""

_lock = threading.Lock()
_switches: weakref.WeakKeyDictionary[Any, _Switch] = weakref.WeakKeyDictionary()
_entered: ContextVar[tuple[Wrapping[Any], ...]] = ContextVar("llm_cache_wrappings", default=())


class _Switch:
    """What stands in a wrapped HTTP client's transports: the innermost handle serves.

    Innermost is the latest that was started in the context of the call, and for contexts that
    started none (other threads) the latest of all.
    """

    def __init__(self, http: Any, bound: Bound) -> None:
        self.active: list[Wrapping[Any]] = []
        self._transport = http._transport
        self._mounts = dict(http._mounts)
        classes = _classes(bound)
        wrapped = classes[isinstance(http, bound.library.AsyncClient)]
        self._mine = wrapped(self, http._transport)
        http._transport = self._mine
        # Environment proxies live in the mounts; None there means "no proxy" and must stay so.
        self._my_mounts = {
            pattern: None if inner is None else wrapped(self, inner) for pattern, inner in http._mounts.items()
        }
        http._mounts = self._my_mounts

    def serving(self) -> Wrapping[Any] | None:
        """The handle whose cache answers a call made now."""
        active = self.active
        for handle in reversed(_entered.get()):
            if handle in active:
                return cast("Wrapping[Any]", handle)
        return active[-1] if active else None

    def restore(self, http: Any) -> None:
        """Put back what was there, unless somebody has put something else over it meanwhile."""
        if http._transport is self._mine:
            http._transport = self._transport
        if http._mounts is self._my_mounts:
            http._mounts = self._mounts


class _Forwarding:
    """A transport that is the inner one in every other respect."""

    def __init__(self, switch: _Switch, inner: Any) -> None:
        self._switch = switch
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


_made: dict[str, tuple[Any, Any]] = {}


def _classes(bound: Bound) -> tuple[Any, Any]:
    name = bound.library.__name__
    if name not in _made:
        _made[name] = _make(bound.library, bound)
    return _made[name]


def _make(library: Any, bound: Bound) -> tuple[Any, Any]:
    class Transport(_Forwarding, library.BaseTransport):  # type: ignore[misc]
        """The switch as a sync transport."""

        def handle_request(self, request: Any) -> Any:
            handle = self._switch.serving()
            if handle is None:
                return self._inner.handle_request(request)
            return bound.serve(handle.face, self._inner, request)

        def __enter__(self) -> Any:
            self._inner.__enter__()
            return self

        def __exit__(self, *details: object) -> None:
            self._inner.__exit__(*details)

        def close(self) -> None:
            self._inner.close()

    class AsyncTransport(_Forwarding, library.AsyncBaseTransport):  # type: ignore[misc]
        """The switch as an async transport."""

        async def handle_async_request(self, request: Any) -> Any:
            handle = self._switch.serving()
            if handle is None:
                return await self._inner.handle_async_request(request)
            return await bound.aserve(handle.face, self._inner, request)

        async def __aenter__(self) -> Any:
            await self._inner.__aenter__()
            return self

        async def __aexit__(self, *details: object) -> None:
            await self._inner.__aexit__(*details)

        async def aclose(self) -> None:
            await self._inner.aclose()

    return Transport, AsyncTransport


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
        kind: str | None,
    ) -> None:
        self.client = client
        self._cache = cache
        self._layer = layer(ttl_days=ttl_days, namespace=namespace, source="wrap()")
        self._kind = kind
        self._https = _http_clients(client)
        self._starts = 0
        self.face: Face

    def start(self) -> Wrapping[_Client]:
        """Begin to answer the client's calls from the cache. Answers the handle itself.

        Raises:
            ConfigError: there is no `cache=`, and the default cache's configuration is wrong.
        """
        face = Face(_engine(self._cache), self._layer, self._kind)
        with _lock:
            self._starts += 1
            if self._starts == 1:
                self.face = face
                for http, bound in self._https:
                    switch = _switches.get(http)
                    if switch is None:
                        switch = _switches[http] = _Switch(http, bound)
                    switch.active = [*switch.active, self]
        _entered.set((*_entered.get(), self))
        return self

    def stop(self) -> None:
        """Give the client back as it was, if no other handle needs it. May be called twice."""
        entered = list(_entered.get())
        if self in entered:
            del entered[len(entered) - 1 - entered[::-1].index(self)]
            _entered.set(tuple(entered))
        with _lock:
            self._starts = max(0, self._starts - 1)
            if self._starts:
                return
            for http, _bound in self._https:
                switch = _switches.get(http)
                if switch is None:
                    continue
                switch.active = [handle for handle in switch.active if handle is not self]
                if not switch.active:
                    switch.restore(http)
                    del _switches[http]

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


def _package(client: object) -> str:
    for cls in type(client).__mro__:
        name = cls.__module__.partition(".")[0]
        if name in _PATHS or name in _LIBRARIES:
            return name
    return ""


def _library_of(http: object) -> Bound | None:
    """The library whose client this is, looked up without importing either."""
    for name in _LIBRARIES:
        library = sys.modules.get(name)
        if library is not None and isinstance(http, (library.Client, library.AsyncClient)):
            return bind(name)
    return None


def _http_clients(client: object) -> list[tuple[Any, Bound]]:
    found: list[tuple[Any, Bound]] = []
    bound = _library_of(client)
    if bound is not None:
        return [(client, bound)]
    for path in _PATHS.get(_package(client), ()):
        http: object = client
        for name in path.split("."):
            http = getattr(http, name, None)
        bound = _library_of(http)
        if bound is not None:
            found.append((http, bound))
    if not found:
        raise ConfigError(
            f"wrap() does not know how to reach the HTTP client of {type(client).__module__}."
            f"{type(client).__qualname__}: give it an SDK's client or an httpx or httpx2 client"
        )
    return found


def wrap(
    client: _Client,
    cache: LLMCache | None = None,
    ttl_days: float | str | None = None,
    namespace: str | None = None,
) -> Wrapping[_Client]:
    """A handle that puts a cache under a client: an SDK's, or one of httpx or httpx2.

    Use it in a `with` statement, or call `start` and `stop`. The client itself is patched, and with
    it all copies that share its HTTP client (`with_options`, `with_raw_response`, …).

    Args:
        client: sync or async.
        cache: where to keep answers; without it the process's default cache.
        ttl_days: lifetime of answers in days, `"never"` for no expiry.
        namespace: entries of one namespace are never served to another.

    Raises:
        ConfigError: the client is of no known kind, or a value is wrong.
    """
    return Wrapping(client, cache, ttl_days, namespace, _kind(client))


def _kind(client: object) -> str | None:
    package = _package(client)
    if package in _LIBRARIES:
        return None
    named = [_KINDS[cls.__name__] for cls in type(client).__mro__ if cls.__name__ in _KINDS]
    return named[0] if named else _KINDS.get(package, package)


def _wrap_kind(
    package: str,
    client: _Client,
    cache: LLMCache | None,
    ttl_days: float | str | None,
    namespace: str | None,
) -> Wrapping[_Client]:
    if _package(client) != package:
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
