"""The public transports: `CachingTransport(inner, cache=…)` for one library or the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_cache.clients.cache import default_cache
from llm_cache.clients.options import layer
from llm_cache.clients.transport import Bound, Caching, Face, bind

if TYPE_CHECKING:
    from llm_cache.clients.cache import LLMCache


def transports(name: str) -> tuple[Any, Any]:
    """The sync and the async transport for the library of that module name.

    Raises:
        ImportError: the library is not installed.
    """
    bound = bind(name)
    classes = _make(bound.library, bound)
    for cls in classes:
        cls.__qualname__ = cls.__name__
        cls.__module__ = f"llm_cache.{name}"
    return classes


def _make(library: Any, bound: Bound) -> tuple[Any, Any]:
    class CachingTransport(Caching, library.BaseTransport):  # type: ignore[misc]
        """A transport with a cache before another transport.

        A client that is given a transport looks at no proxies of the environment; to keep those,
        make an ordinary client and use `wrap`.

        Args:
            inner: does what the cache cannot; a fresh `HTTPTransport` by default.
            cache: where to keep answers; without it the process's default cache.
            ttl_days: lifetime of answers in days, `"never"` for no expiry.
            namespace: entries of one namespace are never served to another.

        Raises:
            ConfigError: a value is wrong.
            CacheMissError: from a call, in offline mode, with nothing stored for it.
        """

        def __init__(
            self,
            inner: Any = None,
            *,
            cache: LLMCache | None = None,
            ttl_days: float | str | None = None,
            namespace: str | None = None,
        ) -> None:
            self._inner = inner if inner is not None else library.HTTPTransport()
            engine = (cache if cache is not None else default_cache()).engine
            given = layer(ttl_days=ttl_days, namespace=namespace, source="CachingTransport()")
            self._face = Face(engine, given)

        def handle_request(self, request: Any) -> Any:
            return bound.serve(self._face, self._inner, request)

        def close(self) -> None:
            self._inner.close()

    class AsyncCachingTransport(Caching, library.AsyncBaseTransport):  # type: ignore[misc]
        """As `CachingTransport`, for an event loop."""

        def __init__(
            self,
            inner: Any = None,
            *,
            cache: LLMCache | None = None,
            ttl_days: float | str | None = None,
            namespace: str | None = None,
        ) -> None:
            self._inner = inner if inner is not None else library.AsyncHTTPTransport()
            engine = (cache if cache is not None else default_cache()).engine
            given = layer(ttl_days=ttl_days, namespace=namespace, source="AsyncCachingTransport()")
            self._face = Face(engine, given)

        async def handle_async_request(self, request: Any) -> Any:
            return await bound.aserve(self._face, self._inner, request)

        async def aclose(self) -> None:
            await self._inner.aclose()

    return CachingTransport, AsyncCachingTransport
