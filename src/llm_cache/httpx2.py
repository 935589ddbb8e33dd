"""Caching transports for httpx2. A door only; `clients.doors` has what stands behind it."""

from __future__ import annotations

import sys

if sys.hexversion < 0x030B0000:
    raise ImportError("llm_cache.httpx2 needs Python 3.11 or newer, as current httpx2 does")

from llm_cache.clients.doors import transports

__all__ = ["AsyncCachingTransport", "CachingTransport"]

CachingTransport, AsyncCachingTransport = transports("httpx2")
