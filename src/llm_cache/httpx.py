"""Caching transports for httpx. A door only; `clients.doors` has what stands behind it."""

from __future__ import annotations

from llm_cache.clients.doors import transports

__all__ = ["AsyncCachingTransport", "CachingTransport"]

CachingTransport, AsyncCachingTransport = transports("httpx")
