"""Caching transports for httpx. A door only; `clients.doors` has what stands behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_cache.clients.doors import transports

__all__ = ["AsyncCachingTransport", "CachingTransport"]

if TYPE_CHECKING:
    # What `transports` makes, for type checkers: it makes it for either library at run time.
    import httpx

    from llm_cache.clients.cache import LLMCache

    class CachingTransport(httpx.BaseTransport):
        """A transport that answers from the cache, around another."""

        def __init__(
            self,
            inner: httpx.BaseTransport | None = None,
            *,
            cache: LLMCache | None = None,
            ttl_days: float | str | None = None,
            namespace: str | None = None,
        ) -> None: ...

    class AsyncCachingTransport(httpx.AsyncBaseTransport):
        """The same for `httpx.AsyncClient`."""

        def __init__(
            self,
            inner: httpx.AsyncBaseTransport | None = None,
            *,
            cache: LLMCache | None = None,
            ttl_days: float | str | None = None,
            namespace: str | None = None,
        ) -> None: ...

else:
    CachingTransport, AsyncCachingTransport = transports("httpx")
