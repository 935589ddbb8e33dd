"""Caching transports for httpx2. A door only; `clients.doors` has what stands behind it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if sys.hexversion < 0x030B0000:
    raise ImportError("llm_cache.httpx2 needs Python 3.11 or newer, as current httpx2 does")

from llm_cache.clients.doors import transports

__all__ = ["AsyncCachingTransport", "CachingTransport"]

if TYPE_CHECKING:
    # What `transports` makes, for type checkers: it makes it for either library at run time.
    import httpx2

    from llm_cache.clients.cache import LLMCache

    class CachingTransport(httpx2.BaseTransport):
        """A transport that answers from the cache, around another."""

        def __init__(
            self,
            inner: httpx2.BaseTransport | None = None,
            *,
            cache: LLMCache | None = None,
            ttl_days: float | str | None = None,
            namespace: str | None = None,
        ) -> None: ...

    class AsyncCachingTransport(httpx2.AsyncBaseTransport):
        """The same for `httpx2.AsyncClient`."""

        def __init__(
            self,
            inner: httpx2.AsyncBaseTransport | None = None,
            *,
            cache: LLMCache | None = None,
            ttl_days: float | str | None = None,
            namespace: str | None = None,
        ) -> None: ...

else:
    CachingTransport, AsyncCachingTransport = transports("httpx2")
